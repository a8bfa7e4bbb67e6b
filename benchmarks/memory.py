"""Row ``memory``: what a worker holds at rest, and what each of 64 uploads at once adds to it."""

import hashlib
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.measure import forget_peak, peak_mb, resident_mb
from benchmarks.report import Figure, Target
from benchmarks.resolve import adapter
from benchmarks.servers import OWNER, Bed, Served, app, nginx
from tests.torture_wire import path_of

UPLOADS = 64
SIZE = 256 * 1000 * 1000
REFERENCE_SIZE = 8 * 1000 * 1000
BLOCK = bytes(1 << 20)
AT_REST = Target(120, at_least=False, of="ours")
GROWTH = Target(2, at_least=False, of="ours")
SECONDS = 900


@dataclass(frozen=True)
class Sparse:
    """An object that is made while it is sent: zeros, and a tail that no other has, so that its hash costs next to nothing."""

    oid: str
    size: int
    tail: bytes


def memory(bed: Bed) -> Iterator[Figure]:
    """Resident memory at rest beside a bare app of the same framework; growth by upload beside nginx."""
    size = SIZE // 16 if bed.quick else SIZE
    _check_room(bed.folder, UPLOADS * size)
    with app("benchmarks.constant_app:app") as (_, pid):
        bare = resident_mb(pid)
    reference = _nginx_growth(bed)
    for database in bed.databases:
        with bed.hub(database, lambda served: None) as served:
            adapter(served, "small")
            process = served.hub.process
            assert process
            yield Figure("memory", "worker at rest", database, resident_mb(process.pid), bare, "MB", AT_REST)
            objects = sparse_objects(size)
            targets = _offered(served, objects)
            growth = _growth(process.pid, served.hub.port, targets, objects)
            yield Figure("memory", f"growth by upload, {UPLOADS} of {size / 1e6:.0f} MB at once", database, growth, reference, "MB", GROWTH)


def sparse_objects(size: int) -> list[Sparse]:
    """``UPLOADS`` different objects of ``size`` bytes; what they have in common is hashed once."""
    common = hashlib.sha256()
    tails = [f"object {number:058d}".encode() for number in range(UPLOADS)]
    for length in blocks(size - len(tails[0])):
        common.update(memoryview(BLOCK)[:length])
    return [_sparse(common.copy(), size, tail) for tail in tails]


def blocks(size: int) -> Iterator[int]:
    """The lengths of the pieces in which ``size`` zeros are hashed and sent."""
    full, rest = divmod(size, len(BLOCK))
    yield from [len(BLOCK)] * full
    if rest:
        yield rest


def put(port: int, start: threading.Barrier, target: str, content: Sparse) -> None:
    """PUT one object over a connection of its own, once all are connected. Raises RuntimeError when the answer is no success."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        start.wait()
        connection.sendall(f"PUT {target} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {content.size}\r\n\r\n".encode())
        for length in blocks(content.size - len(content.tail)):
            connection.sendall(memoryview(BLOCK)[:length])
        connection.sendall(content.tail)
        status = connection.recv(4096).split(b"\r\n")[0]
    if status.split(b" ")[1] not in {b"200", b"201", b"204"}:
        raise RuntimeError(f"PUT was answered with {status!r}")


def _sparse(digest: "hashlib._Hash", size: int, tail: bytes) -> Sparse:
    digest.update(tail)
    return Sparse(digest.hexdigest(), size, tail)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < 1.2 * needed:
        raise RuntimeError(
            f"the uploads need {1.2 * needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free. Use --quick, or set TMPDIR to a larger disk."
        )


def _nginx_growth(bed: Bed) -> float:
    folder = bed.new_folder("nginx")
    with nginx(folder) as (port, files):
        objects = sparse_objects(REFERENCE_SIZE)
        master = int((folder / "nginx.pid").read_text())
        growth = _growth(master, port, [f"/{one.oid}" for one in objects], objects)
        shutil.rmtree(files)
    return growth


def _offered(served: Served, objects: Sequence[Sparse]) -> list[str]:
    repo = served.wire.create(OWNER, "large")
    offers = served.wire.offer(repo, {one.oid: one.size for one in objects})
    by_oid = {offer["oid"]: path_of(offer["actions"]["upload"]["href"]) for offer in offers}
    return [by_oid[one.oid] for one in objects]


def _growth(pid: int, port: int, targets: Sequence[str], objects: Sequence[Sparse]) -> float:
    start = threading.Barrier(len(objects))
    before = resident_mb(pid)
    forget_peak(pid)
    with ThreadPoolExecutor(len(objects)) as pool:
        list(pool.map(partial(put, port, start), targets, objects))
    return (peak_mb(pid) - before) / len(objects)

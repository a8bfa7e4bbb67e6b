"""Row ``download``: the throughput of one large file, against nginx with sendfile."""

import os
import socket
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.measure import alternate
from benchmarks.report import Figure, Target
from benchmarks.servers import OWNER, Bed, nginx
from tests.torture_wire import safetensors

SIZE = 100_000_000
BUFFER = 1 << 20
HEAD_LIMIT = 1 << 16


def download(bed: Bed) -> Iterator[Figure]:
    """GET of 100 MB over a new connection, the bytes thrown away by the reader."""
    weights = safetensors(os.urandom(SIZE))
    with nginx(bed.new_folder("nginx")) as (port, files):
        (files / "weights").write_bytes(weights)
        for database in bed.databases:
            with bed.hub(database) as served:
                repo = served.wire.create(OWNER, "download")
                served.wire.upload(repo, [weights])
                served.wire.commit(repo, "Add weights", inline={}, weights={"adapter_model.safetensors": weights})
                target = f"/{repo}/resolve/main/adapter_model.safetensors"
                speeds = alternate(partial(speed, served.hub.port, target), partial(speed, port, "/weights"), bed.rounds(11))
                yield Figure("download", "GET of 100 MB, 1 connection", database, *speeds, "MB/s", Target(0.9))


def speed(port: int, target: str) -> float:
    """MB/s of one GET, from the opening of the connection to the last byte.

    Raises:
        RuntimeError: the answer was not a 200, or shorter than it said.
    """
    buffer = bytearray(BUFFER)
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
        length, received = _read_head(connection, buffer)
        while received < length:
            count = connection.recv_into(buffer)
            if not count:
                raise RuntimeError(f"{received} bytes instead of {length}")
            received += count
    return length / 1e6 / (time.perf_counter() - began)


def _read_head(connection: socket.socket, buffer: bytearray) -> tuple[int, int]:
    """Content-Length, and how many bytes of the body came with the head."""
    filled = 0
    while (end := buffer.find(b"\r\n\r\n", 0, filled)) < 0:
        count = connection.recv_into(memoryview(buffer)[filled:HEAD_LIMIT])
        if not count:
            raise RuntimeError("the connection was closed before the head of the answer was complete")
        filled += count
    status, *lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    if " 200 " not in status:
        raise RuntimeError(f"not a 200: {status}")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(headers["content-length"]), filled - end - 4

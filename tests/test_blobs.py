"""What the hub asks of a blob store. A new kind of store adds one line to STORES."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from hub.blobs import BlobStore, blob_key, xorb_key
from hub.blobs.local import LocalStore
from hub.errors import StorageFull
from tests.support import faults
from tests.support.server import ROOT

MIB = 1 << 20
SIZES = (0, 1, 3 * MIB + 1)
STORES: dict[str, Callable[[Path], BlobStore]] = {
    "local": lambda folder: LocalStore(folder / "store"),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    """Each kind of store, empty. Whatever a test did, nothing may be left in staging when it ends."""
    made = STORES[request.param](tmp_path)
    yield made
    assert list(made.list("staging")) == []


def some_bytes(size: int) -> bytes:
    """``size`` bytes in no order, the same each time."""
    return hashlib.shake_128(b"seed").digest(size)


def key_of(data: bytes) -> str:
    return blob_key(hashlib.sha256(data).hexdigest())


def keep(store: BlobStore, data: bytes, key: str | None = None) -> str:
    """Store bytes, under their own key or under a given one; returns the key."""
    with store.stage() as staged:
        staged.write(data)
        staged.seal()
        staged.keep(key or key_of(data))
    return key or key_of(data)


def content(store: BlobStore, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


def test_keys_spread_over_folders() -> None:
    assert blob_key("ab12" + "0" * 60) == "blobs/sha256/ab/12/ab12" + "0" * 60
    assert xorb_key("0123", "f" * 64) == "xorbs/0123/" + "f" * 64


@pytest.mark.parametrize("size", SIZES)
def test_what_is_kept_comes_back(store: BlobStore, size: int) -> None:
    data = some_bytes(size)
    key = keep(store, data)
    assert store.size(key) == size
    assert content(store, key) == data


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1 * MIB, 700_001])
def test_size_and_hash_grow_with_the_bytes(store: BlobStore, size: int, piece: int) -> None:
    data = some_bytes(size)
    with store.stage() as staged:
        for start in range(0, size, piece):
            staged.write(memoryview(data)[start : start + piece])
        assert staged.size == size
        assert staged.sha256() == hashlib.sha256(data).hexdigest()


def test_every_kind_of_bytes_is_taken(store: BlobStore) -> None:
    with store.stage() as staged:
        for data in (b"ab", bytearray(b"cd"), memoryview(b"ef")):
            staged.write(data)
        staged.seal()
        staged.keep(key_of(b"abcdef"))
    assert content(store, key_of(b"abcdef")) == b"abcdef"


def test_staged_bytes_can_be_read_before_they_are_kept(store: BlobStore) -> None:
    with store.stage() as staged:
        staged.write(b"look at me")
        with staged.reader() as file:
            assert file.read() == b"look at me"
        staged.seal()
        with staged.reader() as file:
            assert file.read() == b"look at me"


def test_an_object_is_read_from_any_place(store: BlobStore) -> None:
    data = some_bytes(3 * MIB + 1)
    with store.open(keep(store, data)) as file:
        file.seek(MIB + 7)
        assert file.read(100) == data[MIB + 7 : MIB + 107]


def test_nothing_has_a_name_before_it_is_kept(store: BlobStore) -> None:
    with store.stage() as staged:
        staged.write(b"not yet")
        staged.seal()
        assert store.size(key_of(b"not yet")) is None
        assert list(store.list("blobs")) == []


def test_what_was_not_kept_is_thrown_away(store: BlobStore) -> None:
    with store.stage() as staged:
        staged.write(b"never mind")
        staged.seal()
    assert list(store.list("")) == []


def test_an_error_throws_the_bytes_away(store: BlobStore) -> None:
    with suppress(ZeroDivisionError), store.stage() as staged:
        staged.write(b"never mind")
        raise ZeroDivisionError
    assert list(store.list("")) == []


def test_keeping_what_is_not_sealed_is_refused(store: BlobStore) -> None:
    with store.stage() as staged:
        staged.write(b"not durable yet")
        with pytest.raises(ValueError, match="seal"):
            staged.keep(key_of(b"not durable yet"))
    assert list(store.list("")) == []


def test_writing_to_what_is_sealed_is_refused(store: BlobStore) -> None:
    with store.stage() as staged:
        staged.write(b"sealed")
        staged.seal()
        with pytest.raises(OSError, match="descriptor"):
            staged.write(b" and more")
    assert list(store.list("")) == []


def test_keeping_again_heals_a_damaged_object(store: BlobStore) -> None:
    key = keep(store, b"damaged by something", key_of(b"as it should be"))
    keep(store, b"as it should be")
    assert content(store, key) == b"as it should be"
    assert len(list(store.list("blobs"))) == 1


def test_a_reader_keeps_its_bytes_while_the_object_is_replaced_or_deleted(store: BlobStore) -> None:
    key = keep(store, b"the first")
    with store.open(key) as file:
        keep(store, b"the other", key)
        store.delete(key)
        assert file.read() == b"the first"


def test_the_same_key_kept_by_many_at_once(store: BlobStore) -> None:
    data, together = some_bytes(MIB), threading.Barrier(8)

    def keep_it(_: int) -> None:
        with store.stage() as staged:
            staged.write(data)
            staged.seal()
            together.wait()
            staged.keep(key_of(data))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(keep_it, range(8)))
    assert content(store, key_of(data)) == data
    assert len(list(store.list("blobs"))) == 1


def test_what_is_not_there(store: BlobStore) -> None:
    assert store.size(key_of(b"nothing")) is None
    with pytest.raises(FileNotFoundError):
        store.open(key_of(b"nothing"))
    store.delete(key_of(b"nothing"))


def test_delete(store: BlobStore) -> None:
    gone, stays = keep(store, b"gone"), keep(store, b"stays")
    store.delete(gone)
    store.delete(gone)
    assert store.size(gone) is None
    assert content(store, stays) == b"stays"


def test_list_names_size_and_age(store: BlobStore) -> None:
    blobs = {keep(store, some_bytes(size)): size for size in SIZES}
    xorb = keep(store, b"xorb", xorb_key("0123", "f" * 64))
    assert {item.key: item.size for item in store.list("blobs")} == blobs
    (listed,) = store.list("xorbs/0123")
    assert (listed.key, listed.size) == (xorb, 4)
    assert listed.written > 1_700_000_000
    assert list(store.list("xorbs/9999")) == []


def test_sweep_takes_what_is_old_and_nothing_else(store: BlobStore) -> None:
    kept = keep(store, b"kept")
    with store.stage() as abandoned, store.stage() as young:
        abandoned.write(b"abandoned")
        young.write(b"young")
        assert store.sweep(older_than=60) == 0
        assert store.sweep(older_than=-60) == 2
    assert content(store, kept) == b"kept"


def test_redirects_and_room_are_told(store: BlobStore) -> None:
    key = keep(store, b"somewhere")
    url = store.redirect_url(key, filename="a.bin", private=True)
    assert url is None or url.startswith(("http://", "https://"))
    room = store.free_bytes()
    assert room is None or room > 0


# --- a folder whose disk is full or fails --------------------------------------------------------------------------


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with faults.small_disk(tmp_path / "disk", 2 * MIB) as disk:
        store = LocalStore(disk / "store")
        kept = keep(store, b"kept before")
        with pytest.raises(StorageFull, match="full"):
            keep(store, some_bytes(3 * MIB))
        assert list(store.list("staging")) == []
        assert content(store, kept) == b"kept before"
        keep(store, some_bytes(MIB))


KEEP_WITH_FAULTS = """
import os, sys
from pathlib import Path
from hub.blobs import blob_key
from hub.blobs.local import LocalStore
from hub.errors import StorageFull

def keep(folder):
    with LocalStore(folder).stage() as staged:
        staged.write(b"some bytes")
        staged.seal()
        staged.keep(blob_key("ab" * 32))

def outcome(folder, at):
    os.environ.update(FAULTS_UNDER=str(folder), FAULTS_AT=str(at))
    try:
        keep(folder)
        return "kept"
    except StorageFull:
        return "full"
    except OSError as error:
        return f"failed {error.errno}"

for at in range(1, 100):
    folder = Path(sys.argv[1], str(at))
    LocalStore(folder)
    if os.fork() == 0:  # the calls are counted anew in each child
        print(outcome(folder, at), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.parametrize(("act", "expected"), [("enospc", "full"), ("eio", "failed 5")])
def test_a_failure_at_any_step_keeps_nothing_half(tmp_path: Path, act: str, expected: str) -> None:
    outcomes = keep_with_faults(tmp_path, act)
    steps = outcomes.index("kept")
    assert steps >= 9, "write, fsync, four folders with their fsync, rename, fsync"
    assert outcomes == [expected] * steps + ["kept"] * (99 - steps)
    for at in range(1, steps + 1):
        store = LocalStore(tmp_path / str(at))
        assert list(store.list("staging")) == []
        assert all(item.size == len(b"some bytes") for item in store.list("blobs"))


def keep_with_faults(folder: Path, act: str) -> list[str]:
    """Keep some bytes in fresh stores, the disk of the N-th failing at its N-th step; returns how each ended."""
    env = {**os.environ, "LD_PRELOAD": str(faults.build(folder)), "FAULTS_ACT": act}
    command = [sys.executable, "-c", KEEP_WITH_FAULTS, str(folder)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()

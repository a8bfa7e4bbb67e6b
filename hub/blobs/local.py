"""The blob store in a folder: one file an object.

The order of a write is the promise of an acknowledgement: staging file, write and hash, fsync of the file, rename into
place, fsync of the folder. A failed fsync is never tried again: the staging file is abandoned and the upload fails.
"""

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hub.blobs import Listed
from hub.errors import StorageFull

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LocalStaged:
    """A staging file, hashed while it grows."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / "staging" / secrets.token_hex(16)
        self.size = 0
        self._hash = hashlib.sha256()
        with _full_disk_said():
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._kept = False

    def __enter__(self) -> "LocalStaged":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
        if not self._kept:
            with suppress(FileNotFoundError):
                self._path.unlink()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes and hash them."""
        self._hash.update(data)
        rest = memoryview(data)
        with _full_disk_said():
            while rest:
                rest = rest[os.write(self._file, rest) :]
        self.size += len(data)

    def sha256(self) -> str:
        """The sha256 (hex) of all bytes so far."""
        return self._hash.hexdigest()

    def reader(self) -> BinaryIO:
        """A file of the bytes so far."""
        return open(self._path, "rb")

    def seal(self) -> None:
        """Make the bytes durable, still in staging."""
        with _full_disk_said():
            os.fsync(self._file)
        self._close()

    def keep(self, key: str) -> None:
        """Give sealed bytes their name, durably."""
        if self._file >= 0:
            raise ValueError("seal() comes before keep()")
        target = self._root / key
        with _full_disk_said():
            _make_folders(self._root, target.parent)
            os.rename(self._path, target)
            self._kept = True
            _fsync_folder(target.parent)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class LocalStore:
    """Objects as files below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        _make_folders(self.root.parent, self.root)
        _make_folders(self.root, self.root / "staging")

    def stage(self) -> LocalStaged:
        """A place for arriving bytes."""
        return LocalStaged(self.root)

    def size(self, key: str) -> int | None:
        """The size of an object in bytes, None when there is none."""
        try:
            return (self.root / key).stat().st_size
        except FileNotFoundError:
            return None

    def open(self, key: str) -> BinaryIO:
        """A seekable file of an object's bytes, unbuffered."""
        return open(self.root / key, "rb", buffering=0)

    def redirect_url(self, key: str, *, filename: str, private: bool) -> str | None:
        """None: the hub sends the bytes itself."""
        return None

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        with suppress(FileNotFoundError):
            (self.root / key).unlink()

    def list(self, prefix: str) -> Iterator[Listed]:
        """Every object whose key begins with ``prefix``; ``prefix`` is a folder."""
        for folder, _, names in os.walk(self.root / prefix):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    yield Listed(path.relative_to(self.root).as_posix(), stat.st_size, stat.st_mtime)

    def sweep(self, older_than: float) -> int:
        """Throw away staged bytes untouched for ``older_than`` seconds; returns how many."""
        stale = [item for item in self.list("staging") if item.written < time.time() - older_than]
        for item in stale:
            self.delete(item.key)
        return len(stale)

    def free_bytes(self) -> int | None:
        """Room left on the disk of the folder."""
        stat = os.statvfs(self.root)
        return stat.f_bavail * stat.f_frsize


@contextmanager
def _full_disk_said() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("The hub's disk is full. Nothing was kept of this upload; tell the operator, then send it again.") from error
        raise


def _make_folders(root: Path, folder: Path) -> None:
    """Make ``folder`` below ``root`` and make each new name durable."""
    if folder.is_dir():
        return
    if folder != root:
        _make_folders(root, folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(parents=folder == root, mode=0o700)
    _fsync_folder(folder.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

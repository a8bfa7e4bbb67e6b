"""The blob store: bytes by key, written once, never half.

    blobs/sha256/ab/cd/<64 hex>      what commits name; the last part is the sha256 of the bytes
    xorbs/<repository uid>/<hash>    Xet xorbs of one repository, kept while clients may refer to them
    hub                              the uid of the hub that the store belongs to
    staging/<random>                 arriving bytes; nobody reads here

Keys are made here and nowhere else. A client never writes to a key that is read: bytes arrive in staging, are hashed
on the way, and take their name only when size and sha256 are right.
"""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol

OWNER_KEY = "hub"


def blob_key(sha256: str) -> str:
    """Where the bytes of a sha256 lie."""
    return f"blobs/sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def xorb_key(repo_uid: str, xorb_hash: str) -> str:
    """Where a xorb of a repository lies."""
    return f"xorbs/{repo_uid}/{xorb_hash}"


class Listed(NamedTuple):
    """One object of a listing: its key, its size in bytes and when it was written (seconds since 1970)."""

    key: str
    size: int
    written: float


class Staged(Protocol):
    """Bytes on their way in. Use as a context manager: what was not kept is thrown away at the end."""

    size: int

    def __enter__(self) -> "Staged":
        """Itself."""
        ...

    def __exit__(self, *error: object) -> None:
        """Throw away what was not kept."""
        ...

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes and hash them. Raises StorageFull."""
        ...

    def sha256(self) -> str:
        """The sha256 (hex) of all bytes so far."""
        ...

    def reader(self) -> BinaryIO:
        """A file of the bytes so far, for a look at them before they are kept."""
        ...

    def seal(self) -> None:
        """Make the bytes durable, still in staging; nothing can be written after it. Raises StorageFull."""
        ...

    def keep(self, key: str) -> None:
        """Give sealed bytes their name, durably; what lay there before is replaced, which heals a damaged object."""
        ...


class BlobStore(Protocol):
    """What the hub asks of a store; one conformance suite (tests/test_blobs.py) holds every store to it."""

    def stage(self) -> Staged:
        """A place for arriving bytes. Raises StorageFull."""
        ...

    def size(self, key: str) -> int | None:
        """The size of an object in bytes, None when there is none."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A seekable file of an object's bytes. Raises FileNotFoundError."""
        ...

    def redirect_url(self, key: str, *, filename: str, private: bool) -> str | None:
        """An address where a client gets the bytes without the hub, or None when the hub must send them."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def list(self, prefix: str) -> Iterator[Listed]:
        """Every object whose key begins with ``prefix``, in no order."""
        ...

    def sweep(self, older_than: float) -> int:
        """Throw away staged bytes untouched for ``older_than`` seconds; returns how many."""
        ...

    def free_bytes(self) -> int | None:
        """Room left, None when the store has no such limit."""
        ...

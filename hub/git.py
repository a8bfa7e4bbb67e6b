"""The ids git gives to blobs, trees and commits, computed without git.

Clients compare these ids with what they hash themselves, and a later git door can serve the same objects. Formats:
git's "Git Objects" (``<type> <size>\\0<body>`` under SHA-1) and the Git LFS pointer file, version 1.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

FILE_MODE = b"100644"
FOLDER_MODE = b"40000"

_IDENTITY_BREAKERS = re.compile(r"[<>\n\0]")
_IDENTITY_CRUD = "".join(map(chr, range(33))) + ",:;<>\"\\'"


class Entry(NamedTuple):
    """A file of a tree. ``oid`` is its git blob id (of the pointer when ``lfs``), ``size`` and ``sha256`` are of the content itself."""

    oid: str
    size: int
    sha256: str
    lfs: bool


def blob_oid(data: bytes) -> str:
    """The git id of a file with this content."""
    return _oid(b"blob", data)


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The pointer file that stands in git for a large file (Git LFS specification, version 1)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def tree_oids(entries: Mapping[str, Entry]) -> dict[str, str]:
    """The git tree id of every folder of a tree (path -> Entry), by folder path; ``""`` is the root, there also when empty."""
    records: defaultdict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
    for path, entry in entries.items():
        folder, _, name = path.rpartition("/")
        key = name.encode()
        records[folder].append((key, _record(FILE_MODE, key, entry.oid)))
    oids: dict[str, str] = {}
    # Descending order puts every folder before the one that holds it.
    for folder in sorted(_with_parents(records), reverse=True):
        oids[folder] = oid = _oid(b"tree", b"".join(record for _, record in sorted(records[folder])))
        if folder:
            parent, _, name = folder.rpartition("/")
            key = name.encode()
            # Git sorts a folder as if its name ended with a slash.
            records[parent].append((key + b"/", _record(FOLDER_MODE, key, oid)))
    return oids


def commit_body(*, tree: str, parents: Sequence[str], author: str, email: str, when: int, message: str) -> bytes:
    """The body of a commit object: one person as author and committer, ``when`` in Unix seconds UTC, the message as it is."""
    identity = f"{_identity(author)} <{_identity(email)}> {when} +0000"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {identity}", f"committer {identity}", "", message]
    return "\n".join(lines).encode()


def commit_oid(*, tree: str, parents: Sequence[str], author: str, email: str, when: int, message: str) -> str:
    """The git id of the commit that ``commit_body`` writes from the same arguments."""
    return _oid(b"commit", commit_body(tree=tree, parents=parents, author=author, email=email, when=when, message=message))


def _hasher(kind: bytes, size: int) -> "hashlib._Hash":
    return hashlib.sha1(b"%s %d\0" % (kind, size), usedforsecurity=False)


def _oid(kind: bytes, body: bytes) -> str:
    digest = _hasher(kind, len(body))
    digest.update(body)
    return digest.hexdigest()


def _record(mode: bytes, name: bytes, oid: str) -> bytes:
    return b"%s %s\0%s" % (mode, name, bytes.fromhex(oid))


def _with_parents(folders: Iterable[str]) -> set[str]:
    """The folders and every folder above them, the root included."""
    found = {""}
    for start in folders:
        folder = start
        while folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _identity(text: str) -> str:
    """A name or address as git writes it: what would break the commit header is dropped, blanks and crud at the ends are cut."""
    return _IDENTITY_BREAKERS.sub("", text.strip(_IDENTITY_CRUD))

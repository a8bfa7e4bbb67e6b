"""Bytes on their way in: what a client may skip, where it may put bytes, and what counts as arrived.

A sha256 that a client merely names is worth nothing. It may be committed to a repository when the repository holds it
already, or when this user's bytes with that sha256 arrived for this repository (a row in Upload). Every other hash gets
the answer of one that nobody has ever seen.
"""

import base64
import binascii
import hmac
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hub import access, xet
from hub.access import Action, Place
from hub.blobs import BlobStore, Staged, blob_key, xorb_key
from hub.db import Database, ReadSession, WriteSession, now_ms, upsert
from hub.errors import BadRequest, Forbidden, StorageFull, Unprocessable
from hub.models import DAMAGED, LIVE, Blob, Link, Upload, Xorb
from hub.revisions import batched_list
from hub.settings import Settings


class Signer:
    """Signs capabilities: addresses and tokens that carry, readable but not forgeable, what their bearer may do and until when.

    Args:
        secret: the hub's secret; every purpose has a key of its own, derived from it.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, purpose: str, claims: dict[str, Any], *, seconds: float) -> str:
        """A capability for ``purpose`` that expires after ``seconds``."""
        body = json.dumps({**claims, "exp": int(time.time() + seconds)}, separators=(",", ":")).encode()
        return f"{_encode(body)}.{_encode(self._mac(purpose, body))}"

    def read(self, purpose: str, capability: str) -> dict[str, Any]:
        """The claims of a capability. Raises Forbidden for one that is forged, of another purpose or expired."""
        body, _, mac = capability.partition(".")
        try:
            claims, given = _decode(body), _decode(mac)
        except (binascii.Error, ValueError):
            raise _refused() from None
        if not hmac.compare_digest(given, self._mac(purpose, claims)):
            raise _refused()
        read: dict[str, Any] = json.loads(claims)
        if read["exp"] < time.time():
            raise Forbidden("This upload address has expired. Start the upload again.")
        return read

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return hmac.digest(hmac.digest(self._secret, purpose.encode(), "sha256"), body, "sha256")


def _refused() -> Forbidden:
    return Forbidden("This upload address is not one of this hub's. Start the upload again.")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends bytes to which repository, as a capability remembers it."""

    repo_id: int
    user_id: int
    token_id: int

    @classmethod
    def of(cls, place: Place) -> "Sender":
        """The caller of a place they may write to."""
        viewer = place.viewer
        if viewer.user_id is None or viewer.token_id is None:
            raise Forbidden("Uploading needs a token.")
        return cls(place.repo_id, viewer.user_id, viewer.token_id)

    @classmethod
    def read(cls, claims: dict[str, Any]) -> "Sender":
        """From the claims of a capability."""
        return cls(int(claims["repo"]), int(claims["user"]), int(claims["token"]))

    def claims(self) -> dict[str, Any]:
        """For a capability."""
        return {"repo": self.repo_id, "user": self.user_id, "token": self.token_id}

    def place(self, session: ReadSession) -> Place:
        """The repository as this sender meets it now. Raises when token or right has ended since."""
        place = access.find_again(session, token_id=self.token_id, user_id=self.user_id, repo_id=self.repo_id)
        access.require(place, Action.WRITE)
        return place


def save_blob(session: WriteSession, sha256: str, size: int, data: bytes | None = None) -> None:
    """Insert a blob's row, or renew the one that is there: gc leaves it alone, and what was damaged is whole again.

    Without ``data`` the bytes are in the store, or are about to be.
    """
    row = {"sha256": sha256, "size": size, "data": data, "state": LIVE, "touched_at": now_ms()}
    upsert(session, Blob, row, keys=("sha256",), update=("state", "touched_at", "data"))


def keep_blob(database: Database, staged: Staged, sender: Sender | None = None) -> str:
    """Make staged bytes a blob, and let their sender commit it; returns the sha256.

    The row is locked before the bytes take their name, so that gc cannot remove them in between. Raises what
    ``Sender.place`` raises when the sender's rights have ended while the bytes arrived.
    """
    sha256 = staged.sha256()
    staged.seal()
    with database.write() as session:
        if sender is not None:
            sender.place(session)
        save_blob(session, sha256, staged.size)
        if sender is not None:
            grant(session, sender, [sha256])
        staged.keep(blob_key(sha256))
    return sha256


def grant(session: WriteSession, sender: Sender, hashes: Iterable[str]) -> None:
    """Remember that the bytes of these sha256 arrived for the sender's repository."""
    for sha256 in hashes:
        row = {"repo_id": sender.repo_id, "user_id": sender.user_id, "sha256": sha256, "created_at": now_ms()}
        upsert(session, Upload, row, keys=("repo_id", "user_id", "sha256"), update=("created_at",))


def check_arrived(staged: Staged, *, sha256: str, size: int) -> None:
    """Raise Unprocessable when the bytes are not those that were announced."""
    if staged.size != size:
        raise Unprocessable(f"{staged.size} bytes arrived, {size} were announced. Send the file again.")
    if staged.sha256() != sha256:
        raise Unprocessable(f"The bytes that arrived have sha256 {staged.sha256()}, {sha256} was announced. Send the file again.")


@dataclass(frozen=True, slots=True)
class XetDoor:
    """Where Xet uploads for one repository arrive, and what their token allows."""

    sender: Sender
    uid: str
    epoch: int

    def claims(self) -> dict[str, Any]:
        """For the access token."""
        return {**self.sender.claims(), "uid": self.uid, "epoch": self.epoch}

    @classmethod
    def read(cls, claims: dict[str, Any], uid: str, epoch: str) -> "XetDoor":
        """From an access token, for a request to ``/cas/{epoch}/{uid}``. Raises Forbidden when the two differ."""
        if claims["uid"] != uid or str(claims["epoch"]) != epoch:
            raise Forbidden("This token is for another repository. Ask for a new one: xet-write-token.")
        return cls(Sender.read(claims), uid, int(claims["epoch"]))


def keep_xorb(database: Database, door: XetDoor, staged: Staged, xorb: xet.Xorb) -> bool:
    """Keep a verified xorb for its repository for as long as clients may refer to it; returns whether it is new there."""
    staged.seal()
    with database.write() as session:
        door.sender.place(session)
        known = session.get(Xorb, (door.sender.repo_id, xorb.hash)) is not None
        values = {"size": staged.size, "chunks": xet.pack_chunks(xorb.chunks), "used_at": now_ms()}
        row = {"repo_id": door.sender.repo_id, "hash": xorb.hash, **values}
        upsert(session, Xorb, row, keys=("repo_id", "hash"), update=tuple(values))
        staged.keep(xorb_key(door.uid, xorb.hash))
        return not known


def keep_shard(database: Database, store: BlobStore, door: XetDoor, shard: xet.Shard, *, settings: Settings) -> None:
    """Put together every file that a shard describes and check it against all its hashes.

    A file that this sender may commit already is not put together again. Raises BadRequest, StorageFull or XetError,
    with nothing granted for the file that failed.
    """
    with database.read() as session:
        place = door.sender.place(session)
        present = whole_blobs(session, store, place, {file.sha256 for file in shard.files if file.sha256})
    missing = [file for file in shard.files if file.sha256 is None or file.sha256 not in present]
    _check_room(store, missing, settings)
    for file in missing:
        _keep_file(database, store, door, file)
    with database.write() as session:
        door.sender.place(session)
        _renew(session, door, shard, present)


def _check_room(store: BlobStore, files: Sequence[xet.ShardFile], settings: Settings) -> None:
    """A small shard may describe any number of bytes by naming the same chunks again and again."""
    largest, total, free = max((file.size for file in files), default=0), sum(file.size for file in files), store.free_bytes()
    if largest > settings.max_lfs_bytes:
        raise BadRequest(f"A file has {largest} bytes; this hub takes {settings.max_lfs_bytes} (HUB_MAX_LFS_BYTES).")
    if free is not None and total > free - settings.min_free_bytes:
        raise StorageFull(f"The files have {total} bytes, for which the hub has no room. Tell the operator, then upload again.")


def _keep_file(database: Database, store: BlobStore, door: XetDoor, file: xet.ShardFile) -> None:
    def opened(xorb_hash: str) -> tuple[Any, Sequence[xet.Chunk]]:
        chunks = _xorb_chunks(database, door, xorb_hash)
        try:
            return store.open(xorb_key(door.uid, xorb_hash)), chunks
        except FileNotFoundError:
            raise _xorb_missing(xorb_hash) from None

    with store.stage() as staged:
        for piece in xet.reassemble(file, opened):
            staged.write(piece)
        if file.sha256 not in {None, staged.sha256()}:
            raise xet.XetError(f"The file put together has sha256 {staged.sha256()}, the shard says {file.sha256}. Upload the file again.")
        keep_blob(database, staged, door.sender)


def _xorb_chunks(database: Database, door: XetDoor, xorb_hash: str) -> Sequence[xet.Chunk]:
    """The index of one xorb: read when it is needed, so that a large file costs no more memory than a small one."""
    with database.read() as session:
        chunks = session.scalar(sa.select(Xorb.chunks).where(Xorb.repo_id == door.sender.repo_id, Xorb.hash == xorb_hash))
    if chunks is None:
        raise _xorb_missing(xorb_hash)
    return xet.unpack_chunks(chunks)


def _xorb_missing(xorb_hash: str) -> xet.XetError:
    return xet.XetError(f"The shard refers to xorb {xorb_hash}, which is not here. Delete the client's cache ($HF_HOME/xet), upload again.")


def _renew(session: WriteSession, door: XetDoor, shard: xet.Shard, present: Iterable[str]) -> None:
    """What is used stays: grants for files that were here already, and the age of the xorbs."""
    grant(session, door.sender, present)
    for some in batched_list({segment.xorb for file in shard.files for segment in file.segments}):
        session.execute(sa.update(Xorb).where(Xorb.repo_id == door.sender.repo_id, Xorb.hash.in_(some)).values(used_at=now_ms()))


def usable_blobs(session: ReadSession, place: Place, hashes: Iterable[str]) -> dict[str, int]:
    """Of the named sha256, those that the caller may commit to this repository, with their sizes in bytes."""
    usable = dict[str, int]()
    linked = sa.select(Link.sha256).where(Link.repo_id == place.repo_id, Link.sha256 == Blob.sha256).exists()
    sent = (
        sa.select(Upload.sha256)
        .where(Upload.repo_id == place.repo_id, Upload.user_id == place.viewer.user_id, Upload.sha256 == Blob.sha256)
        .exists()
    )
    for some in batched_list(hashes):
        rows = session.execute(sa.select(Blob.sha256, Blob.size).where(Blob.sha256.in_(some), Blob.state != DAMAGED, linked | sent))
        usable.update((sha256, size) for sha256, size in rows)
    return usable


def whole_blobs(session: ReadSession, store: BlobStore, place: Place, hashes: Iterable[str]) -> dict[str, int]:
    """Of the usable blobs, those whose bytes are there: what is lost or cut short is asked for again, and so healed."""
    usable = usable_blobs(session, place, hashes)
    in_rows = set[str]()
    for some in batched_list(usable):
        in_rows |= set(session.scalars(sa.select(Blob.sha256).where(Blob.sha256.in_(some), Blob.data.is_not(None))))
    return {sha256: size for sha256, size in usable.items() if sha256 in in_rows or store.size(blob_key(sha256)) == size}


def held_blobs(session: ReadSession, repo_id: int, hashes: Iterable[str]) -> dict[str, int]:
    """Of the named sha256, those that commits of the repository hold, with their sizes in bytes."""
    held = dict[str, int]()
    for some in batched_list(hashes):
        rows = session.execute(
            sa.select(Blob.sha256, Blob.size).join(Link, Link.sha256 == Blob.sha256).where(Link.repo_id == repo_id, Blob.sha256.in_(some))
        )
        held.update((sha256, size) for sha256, size in rows)
    return held

"""Looking after a hub: ``fsck`` says whether all is there, ``gc`` removes what nobody can reach any more."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hub.blobs import BlobStore, blob_key, xorb_key
from hub.db import Database, ReadSession, database_now, insert_into, now_ms
from hub.errors import HubError
from hub.models import CANDIDATE, DAMAGED, LIVE, Blob, Commit, Link, Manifest, Receipt, Ref, Repo, Upload, Xorb
from hub.repos import discard_contents
from hub.revisions import Tree, batched_list, forget_unreachable, oid_of
from hub.settings import Settings
from hub.tally import score_trending

READ_PIECE = 1 << 20
RECEIPT_MS = 86_400_000
SAFE_SHARE = 0.9
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: what kind, where, and what it means."""

    kind: str
    where: str
    message: str


@dataclass(slots=True)
class Collected:
    """What a gc did, or with ``dry_run`` would do."""

    commits: int = 0
    repositories: int = 0
    grants: int = 0
    xorbs: int = 0
    marked: int = 0
    blobs: int = 0
    bytes: int = 0
    staged: int = 0
    orphans: int = 0


class GcRefused(HubError):
    """The database and the store do not fit together; removing anything now could be a loss."""

    status = 409


def silent(what: str, done: int, total: int) -> None:
    """The progress that nobody watches."""


def fsck(database: Database, store: BlobStore, *, read_data: bool = False, progress: Progress = silent) -> Iterator[Finding]:
    """Check refs, commits, manifests, links, blobs and, with ``read_data``, every byte. Yields what is wrong.

    Damaged blobs are marked, so that clients which have them are asked to send them again.
    """
    if read_data:
        _unmark_whole(database, store)
    started = now_ms()
    with database.snapshot() as session:
        yield from _check_refs(session)
        yield from _check_commits(session, progress)
        yield from _check_manifests(session, progress)
        damaged = list[str]()
        for finding in _check_blobs(session, store, read_data, progress):
            damaged.append(finding.where)
            yield finding
        yield from _check_links(session)
        yield from _check_xorbs(session, store)
    _mark_damaged(database, damaged, before=started)


def _mark_damaged(database: Database, damaged: Sequence[str], *, before: int) -> None:
    """What was sent again meanwhile is whole and stays unmarked."""
    if damaged:
        with database.write() as session:
            for some in batched_list(damaged):
                session.execute(sa.update(Blob).where(Blob.sha256.in_(some), Blob.touched_at < before).values(state=DAMAGED))


def _unmark_whole(database: Database, store: BlobStore) -> None:
    """Take the mark off what an operator has put back in order."""
    with database.read() as session:
        marked = session.execute(sa.select(Blob.sha256, Blob.size, Blob.data).where(Blob.state == DAMAGED)).all()
        whole = [row.sha256 for row in marked if not _wrong(store, *row, read_data=True)]
    with database.write() as session:
        for some in batched_list(whole):
            session.execute(sa.update(Blob).where(Blob.sha256.in_(some), Blob.state == DAMAGED).values(state=LIVE))


def _check_refs(session: ReadSession) -> Iterator[Finding]:
    dangling = (
        sa.select(Repo.full_name, Ref.name)
        .join(Repo, Repo.id == Ref.repo_id)
        .outerjoin(Commit, (Commit.repo_id == Ref.repo_id) & (Commit.oid == Ref.target))
    )
    for repo, name in session.execute(dangling.where(Commit.id.is_(None))):
        yield Finding("dangling-ref", f"{repo}@{name}", "points to a commit that is not there")
    headless = sa.select(Repo.full_name).where(Repo.deleted_at.is_(None), ~sa.exists().where(Ref.repo_id == Repo.id, Ref.name == "main"))
    for repo in session.scalars(headless):
        yield Finding("no-main", repo, "has no main branch")


def _check_commits(session: ReadSession, progress: Progress) -> Iterator[Finding]:
    total = session.scalar(sa.select(sa.func.count()).select_from(Commit)) or 0
    rows = session.execute(
        sa.select(Commit, Manifest.tree, Repo.full_name)
        .outerjoin(Manifest, Manifest.id == Commit.manifest_id)
        .join(Repo, Repo.id == Commit.repo_id)
        .execution_options(yield_per=500)
    )
    for done, row in enumerate(rows, 1):
        progress("commits", done, total)
        commit, tree, repo = _outer(row)
        where = f"{repo}@{commit.oid}"
        if tree is None:
            yield Finding("no-manifest", where, "its manifest is not there")
        elif oid_of(commit, tree) != commit.oid:
            yield Finding("commit-id", where, "what is kept of this commit does not give its id")
    orphan = sa.select(Repo.full_name, Commit.oid).join(Repo, Repo.id == Commit.repo_id)
    parent = sa.orm.aliased(Commit)
    lost = orphan.outerjoin(parent, (parent.repo_id == Commit.repo_id) & (parent.oid == Commit.parent)).where(
        Commit.parent.is_not(None), parent.id.is_(None)
    )
    for repo, oid in session.execute(lost):
        yield Finding("no-parent", f"{repo}@{oid}", "its parent commit is not there")


def _outer(row: sa.Row[*tuple[Any, ...]]) -> tuple[Commit, str | None, str]:
    """The row of an outer join, whose tree may be missing."""
    commit, tree, repo = row
    return commit, tree, repo


def _check_manifests(session: ReadSession, progress: Progress) -> Iterator[Finding]:
    total = session.scalar(sa.select(sa.func.count()).select_from(Manifest)) or 0
    rows = session.execute(
        sa.select(Manifest, Repo.full_name)
        .join(Repo, Repo.id == Manifest.repo_id)
        .order_by(Manifest.repo_id)
        .execution_options(yield_per=100)
    )
    linked, of_repo = set[str](), -1
    for done, (manifest, repo) in enumerate(rows, 1):
        progress("manifests", done, total)
        tree = Tree.unpack(manifest.entries)
        if manifest.repo_id != of_repo:
            linked, of_repo = set(session.scalars(sa.select(Link.sha256).where(Link.repo_id == manifest.repo_id))), manifest.repo_id
        if tree.folders[""] != manifest.tree:
            yield Finding("tree-id", f"{repo} tree {manifest.tree}", "its entries do not give its id")
        for path, entry in tree.entries.items():
            if entry.sha256 not in linked:
                yield Finding("no-link", f"{repo}:{path}", f"blob {entry.sha256} is not linked to the repository")


def _check_blobs(session: ReadSession, store: BlobStore, read_data: bool, progress: Progress) -> Iterator[Finding]:
    total = session.scalar(sa.select(sa.func.count()).select_from(Blob)) or 0
    awaited = (Blob.state != CANDIDATE) | ~_unheld()
    columns = sa.select(Blob.sha256, Blob.size, Blob.data).where(awaited).execution_options(yield_per=200)
    for done, (sha256, size, data) in enumerate(session.execute(columns), 1):
        progress("blobs", done, total)
        wrong = _wrong(store, sha256, size, data, read_data=read_data)
        if wrong:
            yield Finding("blob", sha256, f"{wrong}; held by {_holders(session, sha256)}")


def _check_links(session: ReadSession) -> Iterator[Finding]:
    lost = sa.select(Repo.full_name, Link.sha256).join(Repo, Repo.id == Link.repo_id).outerjoin(Blob, Blob.sha256 == Link.sha256)
    for repo, sha256 in session.execute(lost.where(Blob.sha256.is_(None))):
        yield Finding("no-blob", repo, f"is linked to blob {sha256}, of which nothing is known")


def _check_xorbs(session: ReadSession, store: BlobStore) -> Iterator[Finding]:
    for repo, uid, xorb_hash, size in session.execute(
        sa.select(Repo.full_name, Repo.uid, Xorb.hash, Xorb.size).join(Repo, Repo.id == Xorb.repo_id)
    ):
        if store.size(xorb_key(uid, xorb_hash)) != size:
            yield Finding(
                "xorb",
                f"{repo} xorb {xorb_hash}",
                "it is not in the store as it was sent; run `adapterhub new-epoch`, so that clients send it again",
            )


def _wrong(store: BlobStore, sha256: str, size: int, data: bytes | None, *, read_data: bool) -> str | None:
    return _wrong_text(sha256, size, data) if data is not None else _wrong_object(store, sha256, size, read_data)


def _wrong_text(sha256: str, size: int, data: bytes) -> str | None:
    if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
        return "its bytes in the database are damaged"
    return None


def _wrong_object(store: BlobStore, sha256: str, size: int, read_data: bool) -> str | None:
    present = store.size(blob_key(sha256))
    if present is None:
        return "it is not in the store"
    if present != size:
        return f"it has {present} bytes instead of {size}"
    if read_data and _digest(store, blob_key(sha256)) != sha256:
        return "its bytes are damaged (upload the file again to heal it)"
    return None


def _digest(store: BlobStore, key: str) -> str:
    digest = hashlib.sha256()
    with store.open(key) as file:
        while piece := file.read(READ_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _holders(session: ReadSession, sha256: str) -> str:
    names = session.scalars(sa.select(Repo.full_name).join(Link, Link.repo_id == Repo.id).where(Link.sha256 == sha256).limit(5)).all()
    return ", ".join(names) or "no repository"


def gc(
    database: Database, store: BlobStore, settings: Settings, *, dry_run: bool = False, orphans: bool = False, progress: Progress = silent
) -> Collected:
    """Remove what nobody can reach: contents of deleted repositories, unreachable commits, expired uploads and xorbs, and blobs.

    A blob goes in two steps at least one grace period apart: it is marked when nothing links or awaits it, and removed
    by a later run if it is still marked then. Whoever uses it in between takes the mark off. All times are the
    database's. Objects of which the database knows nothing, left by a crash, go only with ``orphans``: after a restore
    they may be what was pushed since the backup. Raises GcRefused when the store does not look like the database's own.
    """
    _refuse_strange_store(database, store)
    result = Collected()
    _forget_history(database, settings, result, dry_run)
    _expire(database, store, settings, result, dry_run)
    # Removed first and marked after, so that no run removes what it has marked itself.
    _remove(database, store, settings, result, dry_run=dry_run, progress=progress)
    _mark(database, settings, result, dry_run)
    if not dry_run:
        result.staged = store.sweep(settings.upload_ttl)
        if orphans:
            result.orphans = _sweep_unknown(database, store, settings.upload_ttl)
        with database.write() as session:
            score_trending(session, Repo.trending > 0)
    return result


def _refuse_strange_store(database: Database, store: BlobStore) -> None:
    with database.read() as session:
        known = list(session.scalars(sa.select(Blob.sha256).where(Blob.data.is_(None), Blob.state == LIVE).limit(200)))
    there = sum(store.size(blob_key(sha256)) is not None for sha256 in known)
    if known and there < SAFE_SHARE * len(known):
        raise GcRefused(
            f"Only {there} of {len(known)} sampled blobs are in the store. Is HUB_BLOB_STORE the right one? "
            "Run `adapterhub fsck`; nothing was removed."
        )


def _forget_history(database: Database, settings: Settings, result: Collected, dry_run: bool) -> None:
    with database.read() as session:
        deleted = session.scalars(sa.select(Repo.id).where(Repo.deleted_at.is_not(None), Repo.head.is_not(None))).all()
        alive = session.scalars(sa.select(Repo.id).where(Repo.deleted_at.is_(None))).all()
        before = database_now(session) - int(settings.gc_grace * 1000)
    result.repositories = len(deleted)
    if dry_run:
        return
    for repo_id in deleted:
        with database.write() as session:
            discard_contents(session, repo_id)
    for repo_id in alive:
        if _has_unreachable(database, repo_id):
            with database.write() as session:
                result.commits += forget_unreachable(session, repo_id, before=before)


def _has_unreachable(database: Database, repo_id: int) -> bool:
    """Cheap first look: a commit that is neither a head nor anybody's parent."""
    child = sa.orm.aliased(Commit)
    with database.read() as session:
        tip = sa.select(Commit.id).where(
            Commit.repo_id == repo_id,
            ~sa.exists().where(Ref.repo_id == repo_id, Ref.target == Commit.oid),
            ~sa.exists().where(child.repo_id == repo_id, child.parent == Commit.oid),
        )
        return session.scalar(tip.limit(1)) is not None


def _expire(database: Database, store: BlobStore, settings: Settings, result: Collected, dry_run: bool) -> None:
    with database.read() as session:
        now = database_now(session)
        old_grant = Upload.created_at < now - int(settings.upload_ttl * 1000)
        old_xorb = Xorb.used_at < now - int(settings.xorb_ttl * 1000)
        result.grants = session.scalar(sa.select(sa.func.count()).select_from(Upload).where(old_grant)) or 0
        xorbs = session.execute(
            sa.select(Xorb.repo_id, Xorb.hash, Repo.uid, Xorb.used_at)
            .join(Repo, Repo.id == Xorb.repo_id)
            .where(old_xorb | Repo.deleted_at.is_not(None))
        ).all()
    result.xorbs = len(xorbs)
    if dry_run:
        return
    for repo_id, xorb_hash, uid, used_at in xorbs:
        with database.write() as session:
            still_due = sa.delete(Xorb).where(Xorb.repo_id == repo_id, Xorb.hash == xorb_hash, Xorb.used_at <= used_at)
            if session.scalar(still_due.returning(Xorb.hash)) is not None:
                store.delete(xorb_key(uid, xorb_hash))
    with database.write() as session:
        session.execute(sa.delete(Upload).where(old_grant))
        session.execute(sa.delete(Receipt).where(Receipt.created_at < now - RECEIPT_MS))


def _unheld() -> sa.ColumnElement[bool]:
    return ~sa.exists().where(Link.sha256 == Blob.sha256) & ~sa.exists().where(Upload.sha256 == Blob.sha256)


def _mark(database: Database, settings: Settings, result: Collected, dry_run: bool) -> None:
    with database.write() as session:
        now = database_now(session)
        due = (Blob.state != CANDIDATE) & (Blob.touched_at < now - int(settings.gc_grace * 1000)) & _unheld()
        result.marked = session.scalar(sa.select(sa.func.count()).select_from(Blob).where(due)) or 0
        if not dry_run:
            session.execute(sa.update(Blob).where(due).values(state=CANDIDATE, touched_at=now).execution_options(synchronize_session=False))


def _remove(database: Database, store: BlobStore, settings: Settings, result: Collected, *, dry_run: bool, progress: Progress) -> None:
    with database.read() as session:
        due = (Blob.state == CANDIDATE) & (Blob.touched_at <= database_now(session) - int(settings.gc_grace * 1000)) & _unheld()
        blobs = session.execute(sa.select(Blob.sha256, Blob.size).where(due)).all()
    for done, (sha256, size) in enumerate(blobs, 1):
        progress("blobs", done, len(blobs))
        if dry_run or _remove_one(database, store, sha256):
            result.blobs += 1
            result.bytes += size


def _remove_one(database: Database, store: BlobStore, sha256: str) -> bool:
    """Look again under the row's lock, then remove bytes and row together."""
    with database.write() as session:
        locked = session.scalar(sa.select(Blob.sha256).where(Blob.sha256 == sha256, Blob.state == CANDIDATE, _unheld()).with_for_update())
        if locked is None:
            return False
        session.execute(sa.delete(Blob).where(Blob.sha256 == sha256))
        store.delete(blob_key(sha256))
        return True


def _sweep_unknown(database: Database, store: BlobStore, older_than: float) -> int:
    """Remove objects that a crash left in the store without a row, if they are older than ``older_than`` seconds. Returns how many."""
    old = time.time() - older_than
    blobs = sum(_remove_unknown(database, store, item.key) for item in store.list("blobs") if item.written < old)
    with database.read() as session:
        rows = session.execute(sa.select(Repo.uid, Xorb.hash).join(Repo, Repo.id == Xorb.repo_id))
        known = {xorb_key(uid, xorb_hash) for uid, xorb_hash in rows}
    lost = [item.key for item in store.list("xorbs") if item.written < old and item.key not in known]
    for key in lost:
        store.delete(key)
    return blobs + len(lost)


def _remove_unknown(database: Database, store: BlobStore, key: str) -> bool:
    """Take the row's place first, so that an upload of the same bytes waits, then remove the object."""
    sha256 = key.rsplit("/", 1)[-1]
    with database.read() as session:
        if session.get(Blob, sha256) is not None:
            return False
    with database.write() as session:
        ours = insert_into(session, Blob).values(sha256=sha256, size=0, touched_at=0).on_conflict_do_nothing().returning(Blob.sha256)
        if session.scalar(ours) is None:
            return False
        store.delete(key)
        session.execute(sa.delete(Blob).where(Blob.sha256 == sha256))
        return True

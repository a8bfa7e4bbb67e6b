"""Publishing: from operations to a commit that everybody sees, in visible steps.

    take      decode and hash what was sent inline; nothing is visible yet
    prepare   outside any lock: read the head, apply the operations, build the tree, learn the facts
    publish   one short transaction: rights again, blobs again, commit row, compare-and-set of the ref, facts, receipt

When the head moved between prepare and publish and no parent was named, the two are done again on the new head. A lock
per repository keeps the commits of one process from racing each other; between processes the compare-and-set decides.
"""

import hashlib
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import sqlalchemy as sa

from hub import discussions, revisions
from hub.access import DEFAULT_BRANCH, Action, Commitish, Place, confirm
from hub.blobs import BlobStore
from hub.db import Collision, Database, ReadSession, WriteSession, insert_new, now_ms, upsert
from hub.errors import BadRequest, Busy, BytesLost, Conflict, EntryNotFound, ParentMismatch
from hub.git import Entry, blob_oid, lfs_pointer
from hub.gitfiles import PathRules, lfs_rules
from hub.inspection import ConfigError, Facts, learn, read_adapter_config, read_card
from hub.models import DAMAGED, LIVE, PULL, Blob, Commit, Discussion, Link, Receipt, Ref, Repo, RepoTag
from hub.names import check_path, check_tree
from hub.revisions import Manifests, Tree, batched_list
from hub.texts import TEXT_ROW_BYTES, Texts
from hub.uploads import keep_blob, save_blob, usable_blobs

TEXTS_IN_MEMORY = 8 << 20
READ_BYTES = 1 << 20
DEADLINE_SECONDS = 30.0
RECEIPT_WALK, RECEIPT_MS = 1_000, 86_400_000
README, ADAPTER_CONFIG, ATTRIBUTES = "README.md", "adapter_config.json", ".gitattributes"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a commit: its message, and the commit it builds on if the client named one."""

    summary: str
    description: str = ""
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class AddInline:
    """A file whose bytes came with the commit."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class AddPointer:
    """A file whose bytes arrived before, named by their sha256."""

    path: str
    sha256: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a file, or a folder with all in it."""

    path: str
    folder: bool = False


Operation = AddInline | AddPointer | Delete


@dataclass(frozen=True, slots=True)
class AddFile:
    """An inline file after ``take``: hashed, its bytes held or stored."""

    path: str
    entry: Entry


Taken = AddFile | AddPointer | Delete


@dataclass(frozen=True, slots=True)
class Request:
    """One commit request: where, by which message, its digest to know it again, and the pull request that it opens or merges."""

    place: Place
    header: Header
    digest: str
    pull: bool = False
    merges: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """The commit that answers a request, and the number of the pull request when one was opened."""

    commit: str
    pull: int | None = None


@dataclass(slots=True)
class Batch:
    """What ``take`` made of the operations. ``texts`` are the small new files by sha256 that wait to be written."""

    operations: list[Taken] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A commit ready to be published on ``head``; ``merged`` is the head of the pull request that it merges."""

    branch: str
    head: str
    tree: Tree
    commit: Commit
    added: Mapping[str, Entry]
    facts: Facts | None
    merged: str | None = None


class HeadMoved(Exception):
    """Somebody else's commit came first."""


class Publisher:
    """Publishes commits of one hub."""

    def __init__(self, database: Database, store: BlobStore, manifests: Manifests, texts: Texts) -> None:
        self._database = database
        self._store = store
        self._manifests = manifests
        self._texts = texts
        self._locks: WeakValueDictionary[int, _Lock] = WeakValueDictionary()
        self._guard = threading.Lock()
        self.conflicts = 0

    def publish(self, place: Place, header: Header, operations: Iterable[Operation], *, digest: str, pull: bool = False) -> Published:
        """Carry out one commit request. The same request again answers with the commit it made before.

        Raises BadRequest, BadPath, EntryNotFound, ParentMismatch, RevisionNotFound, Busy, and what ``confirm`` raises.
        """
        batch = self._take(place, operations)
        request = Request(place, header, digest, pull)
        with self._turn(place.repo_id):
            return self._until_it_fits(request, batch)

    def merge(self, place: Place, number: int) -> str:
        """Bring the changes of a pull request to the default branch as one commit; returns its id.

        ``place`` is the default branch. Raises NotFound, or Conflict when both sides changed the same files.
        """
        with self._database.read() as session:
            pull = discussions.mergeable(session, place, number)
        header = Header(f"{pull.title} (#{number})", pull.description)
        digest = hashlib.sha256(f"merge {place.repo_id} {number}".encode()).hexdigest()
        with self._turn(place.repo_id):
            return self._until_it_fits(Request(place, header, digest, merges=number), Batch()).commit

    def _changes_of(self, session: ReadSession, place: Place, pull: Discussion) -> list[Taken]:
        """What a pull request changed since the commit it is based on. Raises Conflict."""
        base, theirs, ours = (
            self._manifests.load(session, revisions.commit_at(session, place.repo_id, revision).manifest_id).entries
            for revision in (str(pull.base), f"refs/pr/{pull.num}", place.revision)
        )
        changed = _changes(base, theirs)
        clashing = sorted(path for path in changed & _changes(base, ours) if ours.get(path) != theirs.get(path))
        if clashing:
            raise Conflict(
                f"The branch and the pull request both changed {', '.join(clashing[:5])}. "
                "Commit to the pull request what the branch has, then merge."
            )
        added: list[Taken] = [AddFile(path, theirs[path]) for path in sorted(changed & theirs.keys())]
        return added + [Delete(path) for path in sorted(changed - theirs.keys()) if path in ours]

    def _until_it_fits(self, request: Request, batch: Batch) -> Published:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            try:
                return self._once(request, batch)
            except HeadMoved:
                self.conflicts += 1
                time.sleep(random.uniform(0, 0.02))  # noqa: S311 - jitter, no secret
        raise Busy(f"Many commits are arriving on {request.place.revision}. Try again in a moment.")

    def _once(self, request: Request, batch: Batch) -> Published:
        with self._database.read() as session:
            before = _receipt(session, request)
            if before is not None:
                self._hold_texts(batch)
                return before
            if request.merges is not None:
                batch = Batch(self._changes_of(session, request.place, discussions.mergeable(session, request.place, request.merges)))
            plan = self._prepare(session, request, batch)
        if plan is None:
            # Nothing changes, but bytes that came again may heal a text that was damaged.
            self._hold_texts(batch)
            return Published(self._head(request))
        try:
            with self._database.write() as writing:
                return _publish(writing, request, batch, plan)
        except Collision as error:
            raise HeadMoved from error

    def _head(self, request: Request) -> str:
        with self._database.read() as session:
            return revisions.commit_at(session, request.place.repo_id, request.place.revision).oid

    def _take(self, place: Place, operations: Iterable[Operation]) -> Batch:
        with self._database.read() as session:
            lfs = self._lfs_rules(session, place)
        batch = Batch()
        for operation in operations:
            check_path(operation.path.rstrip("/") if isinstance(operation, Delete) else operation.path)
            batch.operations.append(self._take_inline(operation, lfs, batch) if isinstance(operation, AddInline) else operation)
            if batch.waiting > TEXTS_IN_MEMORY:
                self._hold_texts(batch)
        _check_each_path_once(batch.operations)
        return batch

    def _take_inline(self, operation: AddInline, lfs: PathRules, batch: Batch) -> AddFile:
        content = operation.content
        sha256, size = hashlib.sha256(content).hexdigest(), len(operation.content)
        if size <= TEXT_ROW_BYTES:
            batch.texts[sha256] = content
            batch.waiting += size
        else:
            with self._store.stage() as staged:
                staged.write(content)
                keep_blob(self._database, staged)
        pointed = size > 0 and lfs.match(operation.path)
        oid = blob_oid(lfs_pointer(sha256, size) if pointed else content)
        return AddFile(operation.path, Entry(oid, size, sha256, pointed))

    def _hold_texts(self, batch: Batch) -> None:
        if not batch.texts:
            return
        with self._database.write() as session:
            _save_texts(session, batch)
        batch.texts.clear()
        batch.waiting = 0

    def _lfs_rules(self, session: ReadSession, place: Place) -> PathRules:
        return lfs_rules_at(session, self._manifests, self._texts, place.at_revision())

    def _prepare(self, session: ReadSession, request: Request, batch: Batch) -> Plan | None:
        """The plan on the present head, or None when the operations change nothing."""
        place = request.place
        head = _base(session, request)
        base = self._manifests.load(session, head.manifest_id)
        added = _resolve(session, place, batch)
        entries = _apply(base.entries, batch.operations, added)
        tree = Tree(entries)
        if tree.folders[""] == base.folders[""] and not request.pull and request.merges is None:
            return None
        check_tree(entries)
        viewer, header = place.viewer, request.header
        changes = _changes(base.entries, entries)
        commit = revisions.new_commit(
            place.repo_id,
            tree,
            parent=head.oid,
            author_id=viewer.user_id,
            author=viewer.name,
            title=header.summary,
            description=header.description,
            changes=changes,
        )
        facts = self._facts(session, tree, batch) if place.revision == DEFAULT_BRANCH and not request.pull else None
        merged = request.merges and revisions.commit_at(session, place.repo_id, f"refs/pr/{request.merges}").oid
        return Plan(place.revision, head.oid, tree, commit, added, facts, merged or None)

    def _facts(self, session: ReadSession, tree: Tree, batch: Batch) -> Facts:
        def read(path: str) -> bytes:
            entry = tree.entries.get(path)
            if entry is None or entry.size > READ_BYTES:
                return b""
            text = batch.texts.get(entry.sha256)
            try:
                return text if text is not None else self._texts.read(session, entry.sha256)
            except BytesLost:
                return b""

        card_text = read(README).decode("utf-8", "replace")
        try:
            config = read_adapter_config(read(ADAPTER_CONFIG))
        except ConfigError:
            config = None
        return learn(tree.entries.keys(), read_card(card_text), card_text, config)

    @contextmanager
    def _turn(self, repo_id: int) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(repo_id, _Lock())
        if not lock.held.acquire(timeout=DEADLINE_SECONDS):
            raise Busy("Many commits to this repository are waiting. Try again in a moment.")
        try:
            yield
        finally:
            lock.held.release()


class _Lock:
    """A lock that a WeakValueDictionary can forget."""

    def __init__(self) -> None:
        self.held = threading.Lock()


def lfs_rules_at(session: ReadSession, manifests: Manifests, texts: Texts, commit: Commitish) -> PathRules:
    """Which paths go to LFS at a commit, by its ``.gitattributes``."""
    entry = manifests.load(session, commit.manifest_id).entries.get(ATTRIBUTES)
    if entry is None or entry.size > READ_BYTES:
        return lfs_rules("")
    try:
        return lfs_rules(texts.read(session, entry.sha256).decode("utf-8", "replace"))
    except BytesLost:
        return lfs_rules("")


def _check_each_path_once(operations: Sequence[Taken]) -> None:
    added = [operation.path for operation in operations if not isinstance(operation, Delete)]
    if len(set(added)) != len(added):
        twice = next(path for path in added if added.count(path) > 1)
        raise BadRequest(f"The commit adds {twice!r} more than once. Send each path one time.")


def _base(session: ReadSession, request: Request) -> Commitish:
    """The commit to build on. Raises ParentMismatch when the client named another than the head."""
    place, parent = request.place, request.header.parent
    head = revisions.branch_head(session, place.repo_id, place.revision)
    if parent is None or head.oid.startswith(parent):
        return head
    if not request.pull:
        raise ParentMismatch()
    return revisions.commit_at(session, place.repo_id, parent)


def _resolve(session: ReadSession, place: Place, batch: Batch) -> dict[str, Entry]:
    """Path to entry of all that is added. A sha256 counts only if this repository holds it or this user sent its bytes here."""
    pointers = [operation for operation in batch.operations if isinstance(operation, AddPointer)]
    sizes = usable_blobs(session, place, {pointer.sha256 for pointer in pointers})
    added = {operation.path: operation.entry for operation in batch.operations if isinstance(operation, AddFile)}
    for pointer in pointers:
        size = sizes.get(pointer.sha256)
        if size is None:
            raise BadRequest(
                f"The bytes of {pointer.path!r} ({pointer.sha256}) have not been uploaded here. Upload the file again, then commit."
            )
        if pointer.size not in {None, size}:
            raise BadRequest(
                f"{pointer.path!r} is said to have {pointer.size} bytes, but {size} were uploaded. Upload the file again, then commit."
            )
        added[pointer.path] = Entry(blob_oid(lfs_pointer(pointer.sha256, size)), size, pointer.sha256, True)
    return added


def _apply(base: Mapping[str, Entry], operations: Sequence[Taken], added: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries after the operations: deletions first, as git sees one commit as one change."""
    entries = dict(base)
    for operation in operations:
        if isinstance(operation, Delete):
            _delete(entries, operation)
    entries.update(added)
    return entries


def _delete(entries: dict[str, Entry], operation: Delete) -> None:
    start = operation.path.rstrip("/") + "/"
    doomed = [path for path in entries if path.startswith(start)] if operation.folder else [operation.path]
    if not doomed or doomed[0] not in entries:
        raise EntryNotFound(f"A {'folder' if operation.folder else 'file'} with this name doesn't exist: {operation.path}")
    for path in doomed:
        del entries[path]


def _changes(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> set[str]:
    return {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


_RECEIPT = (
    sa.select(Receipt.commit, Receipt.pull, Discussion.status)
    .outerjoin(Discussion, (Discussion.repo_id == Receipt.repo_id) & (Discussion.num == Receipt.pull))
    .where(Receipt.repo_id == sa.bindparam("repo"), Receipt.digest == sa.bindparam("request"), Receipt.created_at > sa.bindparam("since"))
)


def _receipt(session: ReadSession, request: Request) -> Published | None:
    """What this very request made before, unless somebody has touched the same files since."""
    place = request.place
    receipt = (
        session.connection()
        .execute(_RECEIPT, {"repo": place.repo_id, "request": request.digest, "since": now_ms() - RECEIPT_MS})
        .one_or_none()
    )
    if receipt is None:
        return None
    if receipt.pull is not None:
        return Published(receipt.commit, receipt.pull) if receipt.status == discussions.OPEN else None
    newer = set[str]()
    head = revisions.commit_at(session, place.repo_id, place.revision)
    for count, commit in enumerate(revisions.walk(session, head)):
        if commit.oid == receipt.commit:
            return None if newer & set(commit.changes) else Published(receipt.commit)
        if count > RECEIPT_WALK:
            break
        newer |= set(commit.changes)
    return None


def _publish(session: WriteSession, request: Request, batch: Batch, plan: Plan) -> Published:
    revisions.lock(session, request.place.repo_id)
    place = confirm(session, request.place, Action.WRITE)
    if request.pull:
        revisions.commit_at(session, place.repo_id, plan.head)
    _save_texts(session, batch)
    _touch_blobs(session, {entry.sha256 for entry in plan.added.values()} - batch.texts.keys())
    revisions.save_commit(session, plan.commit, plan.tree)
    pull = _open_pull(session, request, plan) if request.pull else None
    if request.merges is not None:
        _close_merged(session, place, request.merges, plan)
    if pull is None and not revisions.move_ref(session, place.repo_id, plan.branch, old=plan.head, new=plan.commit.oid):
        raise HeadMoved
    grown = _link(session, place.repo_id, plan.added)
    session.connection().execute(_GROW, {"id_": place.repo_id, "grown": grown})
    _save_facts(session, place.repo_id, plan)
    _save_receipt(session, request, plan.commit.oid, pull)
    return Published(plan.commit.oid, pull)


def _close_merged(session: WriteSession, place: Place, number: int, plan: Plan) -> None:
    """The pull request is merged, unless it has grown since the plan was made: then the plan is made anew."""
    if revisions.commit_at(session, place.repo_id, f"refs/pr/{number}").oid != plan.merged:
        raise HeadMoved
    discussions.mergeable(session, place, number).status = discussions.MERGED


def _save_texts(session: WriteSession, batch: Batch) -> None:
    for sha256, data in sorted(batch.texts.items()):
        save_blob(session, sha256, len(data), data)


def _touch_blobs(session: WriteSession, hashes: Iterable[str]) -> None:
    """Keep gc away from what this commit holds. What gc has removed meanwhile must be sent again."""
    for some in batched_list(sorted(hashes)):
        alive = sa.update(Blob).where(Blob.sha256.in_(some), Blob.state != DAMAGED)
        touched = session.execute(alive.values(state=LIVE, touched_at=now_ms())).rowcount  # type: ignore[attr-defined]
        if touched != len(some):
            raise BadRequest("Some uploaded files have expired before they were committed. Upload them again, then commit.")


def _link(session: WriteSession, repo_id: int, added: Mapping[str, Entry]) -> int:
    """Link what was added to the repository; returns by how many bytes it grew."""
    rows = {
        entry.sha256: {"repo_id": repo_id, "sha256": entry.sha256, "lfs": entry.lfs, "path": path, "created_at": now_ms()}
        for path, entry in added.items()
    }
    sizes = {entry.sha256: entry.size for entry in added.values()}
    linked = insert_new(session, Link, list(rows.values()), "sha256") if rows else ()
    return sum(sizes[sha256] for sha256 in linked)


_GROW = sa.update(Repo).where(Repo.id == sa.bindparam("id_")).values(used_storage=Repo.used_storage + sa.bindparam("grown"))
_TAGS = sa.select(Repo.tags).where(Repo.id == sa.bindparam("id_"))
_UNTAG = sa.delete(RepoTag).where(RepoTag.repo_id == sa.bindparam("id_"))
_LEARNED = ("head", "updated_at", "tags", "card_data", "config", "pipeline_tag", "library_name")
_LEARN = sa.update(Repo).where(Repo.id == sa.bindparam("id_")).values({column: sa.bindparam(column) for column in _LEARNED})


def _save_facts(session: WriteSession, repo_id: int, plan: Plan) -> None:
    facts = plan.facts
    if facts is None:
        return
    connection, tags = session.connection(), list(facts.tags)
    if connection.scalar(_TAGS, {"id_": repo_id}) != tags:
        connection.execute(_UNTAG, {"id_": repo_id})
        if tags:
            connection.execute(sa.insert(RepoTag), [{"repo_id": repo_id, "tag": tag} for tag in tags])
    described = (facts.card_data, facts.config, facts.pipeline_tag, facts.library_name)
    values = (plan.commit.oid, plan.commit.created_at, tags, *described)
    connection.execute(_LEARN, {"id_": repo_id, **dict(zip(_LEARNED, values, strict=True))})


def _open_pull(session: WriteSession, request: Request, plan: Plan) -> int:
    place, header = request.place, request.header
    number = discussions.start(session, place, header.summary, header.description, base=plan.head)
    session.add(Ref(repo_id=place.repo_id, name=f"refs/pr/{number}", kind=PULL, target=plan.commit.oid))
    session.flush()
    return number


def _save_receipt(session: WriteSession, request: Request, commit: str, pull: int | None) -> None:
    values = {"commit": commit, "pull": pull, "created_at": now_ms()}
    row = {"repo_id": request.place.repo_id, "digest": request.digest, **values}
    upsert(session, Receipt, row, keys=("repo_id", "digest"), update=tuple(values))

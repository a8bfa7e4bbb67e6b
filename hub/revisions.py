"""History: manifests, commits, branches and tags."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from hub.access import DEFAULT_BRANCH, Commitish, Place
from hub.cache import Cache
from hub.db import ReadSession, WriteSession, insert_new, now_ms
from hub.errors import BadRequest, Busy, Conflict, EntryNotFound, RevisionNotFound
from hub.git import Entry, commit_oid, tree_oids
from hub.models import BRANCH, PULL, Blob, Commit, Link, Manifest, Ref, Repo
from hub.names import check_revision_name

CACHED_ENTRIES = 200_000
Rows = list[list[str | int]]


class Tree:
    """The files of a commit. Never changes, so it may be kept for as long as there is room."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = entries

    @classmethod
    def unpack(cls, rows: Rows) -> "Tree":
        """From the rows of a Manifest."""
        return cls({str(path): Entry(str(oid), int(size), str(sha256), bool(lfs)) for path, oid, size, sha256, lfs in rows})

    def pack(self) -> Rows:
        """The rows of a Manifest."""
        return [[path, entry.oid, entry.size, entry.sha256, int(entry.lfs)] for path, entry in sorted(self.entries.items())]

    @cached_property
    def folders(self) -> Mapping[str, str]:
        """The git tree id of every folder; the root is ``""``."""
        return tree_oids(self.entries)

    @cached_property
    def sorted_paths(self) -> Sequence[str]:
        """Every file's path, in order."""
        return sorted(self.entries)

    def below(self, folder: str, *, recursive: bool) -> list[str]:
        """Paths of the files and folders in ``folder`` ("" is the root), in order. Raises KeyError when there is no such folder."""
        self.folders[folder]
        start = f"{folder}/" if folder else ""
        paths = [path for path in (*self.folders, *self.entries) if path and path.startswith(start)]
        return sorted(path for path in paths if recursive or "/" not in path[len(start) :])


class Manifests:
    """Trees by manifest id."""

    def __init__(self, room: int = CACHED_ENTRIES) -> None:
        self._trees: Cache[int, Tree] = Cache(room)

    def cached(self, manifest_id: int) -> Tree | None:
        """The tree, if it is in memory."""
        return self._trees.get(manifest_id)

    def load(self, session: ReadSession, manifest_id: int) -> Tree:
        """The tree, from memory or from the database."""
        tree = self.cached(manifest_id)
        if tree is None:
            rows = session.scalar(sa.select(Manifest.entries).where(Manifest.id == manifest_id))
            if rows is None:
                raise Busy("The history of this repository is just being rewritten. Try again in a moment.")
            tree = Tree.unpack(rows)
            self._trees.keep(manifest_id, tree, len(tree.entries) + 1)
        return tree


def file_at(tree: Tree, path: str, commit: Commitish) -> Entry:
    """The entry of a file. Raises EntryNotFound with the commit, for the client's negative cache."""
    entry = tree.entries.get(path)
    if entry is None:
        raise EntryNotFound(f"There is no file {path!r} at revision {commit.oid}.", commit=commit.oid)
    return entry


def save_tree(session: WriteSession, repo_id: int, tree: Tree) -> int:
    """The id of the manifest of ``tree`` in this repository, made when it is new."""
    row = {"repo_id": repo_id, "tree": tree.folders[""], "entries": tree.pack()}
    made = insert_new(session, Manifest, [row], "id")
    if made:
        return int(made[0])
    return session.scalars(sa.select(Manifest.id).where(Manifest.repo_id == repo_id, Manifest.tree == tree.folders[""])).one()


def new_commit(
    repo_id: int,
    tree: Tree,
    *,
    parent: str | None,
    author_id: int | None,
    author: str,
    title: str,
    description: str = "",
    changes: Iterable[str] = (),
) -> Commit:
    """A commit with the id that git gives it; its manifest is attached when it is saved."""
    commit = Commit(
        repo_id=repo_id,
        parent=parent,
        author_id=author_id,
        author=author,
        title=title,
        description=description,
        created_at=now_ms(),
        changes=sorted(changes),
    )
    commit.oid = oid_of(commit, tree.folders[""])
    return commit


def oid_of(commit: Commit, tree: str) -> str:
    """The id that git gives to a commit with this tree."""
    message = f"{commit.title}\n\n{commit.description}\n" if commit.description else f"{commit.title}\n"
    parents = [commit.parent] if commit.parent else []
    return commit_oid(
        tree=tree, parents=parents, author=commit.author, email=noreply(commit.author), when=commit.created_at // 1000, message=message
    )


def noreply(author: str) -> str:
    """The address that commits carry; no mail is ever sent there."""
    return f"{author}@users.noreply.adapterhub"


def save_commit(session: WriteSession, commit: Commit, tree: Tree) -> None:
    """Write commit and manifest. The same commit twice (same second, same everything) is one."""
    commit.manifest_id = save_tree(session, commit.repo_id, tree)
    insert_new(session, Commit, [{column: getattr(commit, column) for column in _COMMIT_COLUMNS}], "id")


_COMMIT_COLUMNS = tuple(column.key for column in sa.inspect(Commit).columns if column.key != "id")
_MOVE = (
    sa.update(Ref)
    .where(Ref.repo_id == sa.bindparam("repo"), Ref.name == sa.bindparam("ref"), Ref.target == sa.bindparam("old"))
    .values(target=sa.bindparam("new"))
)
_HEAD = (
    sa.select(Ref.kind, Commit.oid, Commit.manifest_id, Commit.created_at)
    .outerjoin(Commit, (Commit.repo_id == Ref.repo_id) & (Commit.oid == Ref.target))
    .where(Ref.repo_id == sa.bindparam("repo"), Ref.name == sa.bindparam("ref"))
)


def move_ref(session: WriteSession, repo_id: int, name: str, *, old: str, new: str) -> bool:
    """Compare and set: whether ``name`` pointed to ``old`` and now points to ``new``."""
    moved: int = session.connection().execute(_MOVE, {"repo": repo_id, "ref": name, "old": old, "new": new}).rowcount
    return moved == 1


def refs(session: ReadSession, repo_id: int) -> Sequence[Ref]:
    """Every branch, tag and pull request, the default branch first."""
    found = session.scalars(sa.select(Ref).where(Ref.repo_id == repo_id).order_by(Ref.created_at, Ref.name)).all()
    return sorted(found, key=lambda ref: ref.name != DEFAULT_BRANCH)


def create_ref(session: WriteSession, place: Place, kind: str, name: str, *, target: str, message: str = "") -> None:
    """Make a branch or tag. Raises Conflict when the name is in use, BadRequest when it may not be one."""
    lock(session, place.repo_id)
    commit_at(session, place.repo_id, target)
    _insert_ref(session, Ref(repo_id=place.repo_id, kind=kind, name=check_revision_name(name), target=target, message=message))


def _insert_ref(session: WriteSession, ref: Ref) -> None:
    taken = session.get(Ref, (ref.repo_id, ref.name))
    if taken is not None:
        raise Conflict(f"Reference already exists: there is a {taken.kind} called {ref.name}.")
    try:
        with session.begin_nested():
            session.add(ref)
    except IntegrityError as error:
        raise Conflict(f"Reference already exists: {ref.name}.") from error


def delete_ref(session: WriteSession, place: Place, kind: str, name: str) -> None:
    """Remove a branch or tag; its commits stay reachable by id until gc. Raises RevisionNotFound, or BadRequest for the default branch."""
    if name == DEFAULT_BRANCH:
        raise BadRequest(f"The default branch {DEFAULT_BRANCH} cannot be deleted.")
    ref = session.get(Ref, (place.repo_id, name))
    if ref is None or ref.kind != kind:
        raise RevisionNotFound(name)
    session.delete(ref)


def commit_at(session: ReadSession, repo_id: int, revision: str) -> Commitish:
    """The commit of a branch, a tag, a pull request or an id of this repository. Raises RevisionNotFound."""
    name = DEFAULT_BRANCH if revision == "HEAD" else revision
    target = session.scalar(sa.select(Ref.target).where(Ref.repo_id == repo_id, Ref.name == name)) or name
    statement = sa.select(Commit.oid, Commit.manifest_id, Commit.created_at).where(Commit.repo_id == repo_id, Commit.oid == target)
    row = session.execute(statement).one_or_none()
    if row is None:
        raise RevisionNotFound(revision)
    return Commitish(repo_id, *row)


def branch_head(session: ReadSession, repo_id: int, name: str) -> Commitish:
    """The commit that a branch or a pull request points to. Raises RevisionNotFound, or BadRequest for a tag or an id."""
    row = session.connection().execute(_HEAD, {"repo": repo_id, "ref": name}).one_or_none()
    if row is not None and row.kind in {BRANCH, PULL}:
        return Commitish(repo_id, row.oid, row.manifest_id, row.created_at)
    commit_at(session, repo_id, name)
    raise BadRequest(f"{name} is not a branch. Commit to a branch, or open a pull request.")


def history(session: ReadSession, commit: Commitish, limit: int) -> Sequence[Commit]:
    """``commit`` and its ancestors, newest first, at most ``limit``."""
    chain = (
        sa.select(Commit.id, Commit.parent, sa.literal(1).label("depth"))
        .where(Commit.repo_id == commit.repo_id, Commit.oid == commit.oid)
        .cte(recursive=True)
    )
    parents = sa.select(Commit.id, Commit.parent, chain.c.depth + 1)
    chain = chain.union_all(parents.where(Commit.repo_id == commit.repo_id, Commit.oid == chain.c.parent, chain.c.depth < limit))
    return session.scalars(sa.select(Commit).join(chain, chain.c.id == Commit.id).order_by(chain.c.depth)).all()


def walk(session: ReadSession, commit: Commitish, page: int = 200) -> Iterator[Commit]:
    """``commit`` and all its ancestors, newest first, read a page at a time."""
    at: Commitish | None = commit
    while at is not None:
        commits = history(session, at, page)
        yield from commits
        parent = commits[-1].parent if commits else None
        at = Commitish(commit.repo_id, parent, 0, 0) if parent else None


def last_commits(session: ReadSession, commit: Commitish, paths: Iterable[str]) -> dict[str, Commit]:
    """For each file or folder the newest commit that touched it."""
    missing, found = set(paths), dict[str, Commit]()
    for ancestor in walk(session, commit):
        touched = set(_with_folders(ancestor.changes)) & missing
        found |= dict.fromkeys(touched, ancestor)
        missing -= touched
        if not missing:
            break
    return found


def _with_folders(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        segments = path.split("/")
        yield from ("/".join(segments[:depth]) for depth in range(1, len(segments) + 1))


def super_squash(session: WriteSession, place: Place, branch: str, message: str, manifests: Manifests) -> str:
    """Replace the history of a branch by one commit without a parent; what no other branch or tag reaches is forgotten."""
    lock(session, place.repo_id)
    head = branch_head(session, place.repo_id, branch)
    tree = manifests.load(session, head.manifest_id)
    viewer = place.viewer
    commit = new_commit(place.repo_id, tree, parent=None, author_id=viewer.user_id, author=viewer.name, title=message, changes=tree.entries)
    save_commit(session, commit, tree)
    if not move_ref(session, place.repo_id, branch, old=head.oid, new=commit.oid):
        raise Conflict("A commit has happened on this branch meanwhile. Please squash again.")
    if branch == DEFAULT_BRANCH:
        session.execute(sa.update(Repo).where(Repo.id == place.repo_id).values(head=commit.oid, updated_at=commit.created_at))
    forget_unreachable(session, place.repo_id, before=now_ms() + 1)
    return commit.oid


def lock(session: WriteSession, repo_id: int) -> None:
    """Let nobody else change this repository's history until the transaction ends: the first thing such a transaction does."""
    session.connection().execute(_LOCK, {"repo": repo_id})


_LOCK = sa.select(Repo.id).where(Repo.id == sa.bindparam("repo")).with_for_update()


def forget_unreachable(session: WriteSession, repo_id: int, *, before: int) -> int:
    """Drop commits older than ``before`` (ms) that no branch, tag or pull request reaches, and the links that only they held."""
    lock(session, repo_id)
    commits = {
        oid: (parent, created)
        for oid, parent, created in session.execute(
            sa.select(Commit.oid, Commit.parent, Commit.created_at).where(Commit.repo_id == repo_id)
        )
    }
    reached = _reached(commits, session.scalars(sa.select(Ref.target).where(Ref.repo_id == repo_id)))
    dropped = [oid for oid, (_, created) in commits.items() if oid not in reached and created < before]
    if not dropped:
        return 0
    for some in batched_list(dropped):
        session.execute(sa.delete(Commit).where(Commit.repo_id == repo_id, Commit.oid.in_(some)))
    used = sa.select(Commit.manifest_id).where(Commit.repo_id == repo_id)
    session.execute(sa.delete(Manifest).where(Manifest.repo_id == repo_id, Manifest.id.not_in(used)))
    _relink(session, repo_id)
    return len(dropped)


def _reached(commits: Mapping[str, tuple[str | None, int]], heads: Iterable[str]) -> set[str]:
    reached = set[str]()
    for head in heads:
        at: str | None = head
        while at is not None and at in commits and at not in reached:
            reached.add(at)
            at = commits[at][0]
    return reached


def _relink(session: WriteSession, repo_id: int) -> None:
    held = {str(row[3]) for rows in session.scalars(sa.select(Manifest.entries).where(Manifest.repo_id == repo_id)) for row in rows}
    linked = session.scalars(sa.select(Link.sha256).where(Link.repo_id == repo_id)).all()
    for some in batched_list([sha256 for sha256 in linked if sha256 not in held]):
        session.execute(sa.delete(Link).where(Link.repo_id == repo_id, Link.sha256.in_(some)))
    recount_storage(session, repo_id)


def recount_storage(session: WriteSession, repo_id: int) -> None:
    """Set a repository's used storage to the sum of the blobs that its commits hold."""
    total = sa.select(sa.func.coalesce(sa.func.sum(Blob.size), 0)).join(Link, Link.sha256 == Blob.sha256).where(Link.repo_id == repo_id)
    session.execute(sa.update(Repo).where(Repo.id == repo_id).values(used_storage=total.scalar_subquery()))


def batched_list(values: Iterable[str], size: int = 5_000) -> Iterator[list[str]]:
    """Lists short enough to be the parameters of one statement on either database."""
    values = list(values)
    for start in range(0, len(values), size):
        yield values[start : start + size]

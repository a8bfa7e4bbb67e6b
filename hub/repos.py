"""The verbs of a repository: create, move, delete, change, like, ask for access. Publishing has a file of its own."""

import hashlib
import secrets
from collections.abc import Sequence

import sqlalchemy as sa

from hub import revisions
from hub.access import DEFAULT_BRANCH, Place, Viewer, namespace_role, visible_to
from hub.db import ReadSession, WriteSession, now_ms
from hub.errors import AlreadyExists, BadRequest, Forbidden, NameReserved, NotFound
from hub.git import Entry, blob_oid
from hub.gitfiles import DEFAULT_ATTRIBUTES
from hub.models import AccessRequest, Commit, Discussion, Like, Link, Manifest, Namespace, Redirect, Ref, Repo, RepoTag, Upload
from hub.names import check_namespace, check_repo_name, repo_slug, slug
from hub.revisions import Tree
from hub.uploads import save_blob

ACCEPTED, PENDING, REJECTED = "accepted", "pending", "rejected"


def create(session: WriteSession, viewer: Viewer, namespace: str | None, name: str, *, private: bool, url: str) -> Repo:
    """Make a repository whose ``main`` holds one commit with a ``.gitattributes``.

    ``url`` is the hub's address, for the link in AlreadyExists. Raises Forbidden, BadName, AlreadyExists or NameReserved.
    """
    owner = _writable_namespace(session, viewer, namespace or viewer.name)
    full_name = f"{owner.name}/{check_repo_name(name)}"
    _check_free(session, viewer, full_name, url)
    repo = Repo(
        uid=secrets.token_hex(12), namespace_id=owner.id, name=name, full_name=full_name, slug=repo_slug(owner.name, name), private=private
    )
    session.add(repo)
    session.flush()
    _first_commit(session, repo, viewer)
    return repo


def _writable_namespace(session: WriteSession, viewer: Viewer, name: str) -> Namespace:
    """The namespace, if the caller may make repositories in it; one that is missing is answered like one that is not theirs."""
    owner = session.scalar(sa.select(Namespace).where(Namespace.slug == slug(name)))
    if owner is None or namespace_role(session, viewer, owner) not in {"write", "admin"}:
        check_namespace(name)
        raise Forbidden(
            f"You have no right to write under the namespace {name!r}. "
            "Use your own name, or ask an admin of the organisation for the role write."
        )
    return owner


def _check_free(session: WriteSession, viewer: Viewer, full_name: str, url: str) -> None:
    """Raise AlreadyExists, or NameReserved when the name was used by what is gone or what the caller may not see."""
    wanted = repo_slug(*full_name.split("/"))
    moved_here = sa.select(Redirect.repo_id).where(Redirect.slug == wanted)
    named_so = (Repo.slug == wanted) | Repo.id.in_(moved_here)
    if session.scalar(sa.select(Repo.id).where(named_so)) is None:
        return
    seen = session.scalar(sa.select(Repo.full_name).where(named_so, visible_to(viewer)))
    if seen is not None:
        raise AlreadyExists(f"You already created this model repo: {seen}", f"{url}/{seen}")
    raise NameReserved(
        f"{full_name} was used before and stays reserved, so that a pinned revision never comes to mean something else. "
        "Choose another name, or ask the operator to release this one with `adapterhub repo release`."
    )


def _first_commit(session: WriteSession, repo: Repo, viewer: Viewer) -> None:
    content = DEFAULT_ATTRIBUTES.encode()
    entry = Entry(blob_oid(content), len(content), hashlib.sha256(content).hexdigest(), False)
    save_blob(session, entry.sha256, entry.size, content)
    tree = Tree({".gitattributes": entry})
    commit = revisions.new_commit(
        repo.id, tree, parent=None, author_id=viewer.user_id, author=viewer.name, title="initial commit", changes=tree.entries
    )
    revisions.save_commit(session, commit, tree)
    session.add(Link(repo_id=repo.id, sha256=entry.sha256, lfs=False, path=".gitattributes"))
    session.add(Ref(repo_id=repo.id, name=DEFAULT_BRANCH, kind="branch", target=commit.oid))
    repo.head, repo.used_storage = commit.oid, entry.size


def move(session: WriteSession, place: Place, target: str, url: str) -> None:
    """Give a repository another name; the old one redirects for good. The caller is admin here and may write there."""
    namespace, separator, name = target.partition("/")
    if not separator:
        raise BadRequest(f"toRepo must be namespace/name; {target!r} is not.")
    owner = _writable_namespace(session, place.viewer, namespace)
    repo = session.get_one(Repo, place.repo_id)
    full_name, wanted = f"{owner.name}/{check_repo_name(name)}", repo_slug(owner.name, name)
    if wanted != repo.slug:
        _make_room(session, place.viewer, repo, full_name, url)
    if owner.id != repo.namespace_id:
        session.execute(sa.delete(AccessRequest).where(AccessRequest.repo_id == repo.id))
    repo.namespace_id, repo.name, repo.full_name, repo.slug = owner.id, name, full_name, wanted


def _make_room(session: WriteSession, viewer: Viewer, repo: Repo, full_name: str, url: str) -> None:
    wanted = repo_slug(*full_name.split("/"))
    back_to_old_name = session.get(Redirect, wanted)
    if back_to_old_name is not None and back_to_old_name.repo_id == repo.id:
        session.delete(back_to_old_name)
        session.flush()
    else:
        _check_free(session, viewer, full_name, url)
    session.add(Redirect(slug=repo.slug, repo_id=repo.id))


def delete(session: WriteSession, place: Place) -> None:
    """Take a repository away at once. Its name stays reserved; its bytes go with the next gc."""
    repo = session.get_one(Repo, place.repo_id)
    repo.deleted_at = now_ms()


def release(session: WriteSession, full_name: str) -> None:
    """Free a name that a deleted repository had, its last or an older one (an operator's deed). Raises NotFound."""
    namespace, _, name = full_name.partition("/")
    wanted = repo_slug(namespace, name)
    repo = session.scalar(sa.select(Repo).where(Repo.slug == wanted, Repo.deleted_at.is_not(None)))
    if repo is not None:
        repo.slug = f"released/{repo.uid}"
        return
    older = session.scalar(
        sa.select(Redirect).join(Repo, Repo.id == Redirect.repo_id).where(Redirect.slug == wanted, Repo.deleted_at.is_not(None))
    )
    if older is None:
        raise NotFound(f"No deleted repository is or was called {full_name}.")
    session.delete(older)


def change_settings(session: WriteSession, place: Place, *, private: bool | None, gated: str | bool | None) -> Repo:
    """Set visibility and gating; None leaves a setting as it is, gated False ends gating."""
    repo = session.get_one(Repo, place.repo_id)
    if private is not None:
        repo.private = private
    if gated is not None:
        repo.gated = str(gated) if gated else None
    return repo


def like(session: WriteSession, place: Place, liked: bool) -> None:
    """Like or unlike; twice is as good as once."""
    revisions.lock(session, place.repo_id)
    existing = session.get(Like, (place.repo_id, place.viewer.user_id))
    if liked and existing is None:
        session.add(Like(repo_id=place.repo_id, user_id=place.viewer.user_id))
    elif existing is not None and not liked:
        session.delete(existing)
    session.flush()
    count = sa.select(sa.func.count()).select_from(Like).where(Like.repo_id == place.repo_id).scalar_subquery()
    session.execute(sa.update(Repo).where(Repo.id == place.repo_id).values(likes=count))


def ask_access(session: WriteSession, place: Place) -> str:
    """Ask for the files of a gated repository: granted at once where the gate is automatic. Returns the request's status."""
    revisions.lock(session, place.repo_id)
    _check_gated(place)
    request = session.get(AccessRequest, (place.repo_id, place.viewer.user_id))
    if request is None:
        request = AccessRequest(repo_id=place.repo_id, user_id=place.viewer.user_id, status=ACCEPTED if place.gated == "auto" else PENDING)
        session.add(request)
    return request.status


def decide_access(session: WriteSession, place: Place, user: Namespace, status: str | None) -> None:
    """Accept, reject or reopen a request. Raises BadRequest, or NotFound when there is nothing to decide."""
    revisions.lock(session, place.repo_id)
    if status not in {ACCEPTED, REJECTED, PENDING}:
        raise BadRequest(f"status must be accepted, rejected or pending; {status!r} is none of them.")
    _check_gated(place)
    request = session.get(AccessRequest, (place.repo_id, user.id))
    if request is None:
        raise NotFound(f"{user.name} has not asked for access to {place.full_name}.")
    if request.status == status:
        raise NotFound(f"The request of {user.name} for {place.full_name} is {status} already.")
    request.status = status


def grant_access(session: WriteSession, place: Place, user: Namespace) -> None:
    """Let a user in who may not even have asked. Raises BadRequest when there is no gate or they are in already."""
    revisions.lock(session, place.repo_id)
    _check_gated(place)
    request = session.get(AccessRequest, (place.repo_id, user.id))
    if request is not None and request.status == ACCEPTED:
        raise BadRequest(f"{user.name} has access to {place.full_name} already.")
    if request is None:
        session.add(AccessRequest(repo_id=place.repo_id, user_id=user.id, status=ACCEPTED))
    else:
        request.status = ACCEPTED


def _check_gated(place: Place) -> None:
    if not place.gated:
        raise BadRequest(f"{place.full_name} is not gated; its files are open to everybody who can see it.")


def access_requests(session: ReadSession, place: Place, status: str) -> Sequence[tuple[Namespace, AccessRequest]]:
    """Who has asked for access and stands at ``status``, oldest first."""
    statement = sa.select(Namespace, AccessRequest).join(AccessRequest, AccessRequest.user_id == Namespace.id)
    rows = session.execute(
        statement.where(AccessRequest.repo_id == place.repo_id, AccessRequest.status == status).order_by(AccessRequest.created_at)
    )
    return [(user, request) for user, request in rows]


def discard_contents(session: WriteSession, repo_id: int) -> None:
    """Forget everything a deleted repository held; its row stays as a tombstone, its blobs are left to gc."""
    for table in (Link, Upload, Like, AccessRequest, Discussion, RepoTag, Ref, Commit, Manifest):
        session.execute(sa.delete(table).where(table.repo_id == repo_id))
    session.execute(sa.update(Repo).where(Repo.id == repo_id).values(head=None, tags=[], card_data={}, config={}, used_storage=0, likes=0))

"""What a caller may do: one rule in Python, its twin in SQL beside it. One page to audit.

A caller has a *role* on a repository (read, write, admin, or none), which is what their membership says, narrowed
by the scope and the role of the token they came with. Everything else follows from the role:

    see it            a role, or it is public
    read its files    see it, and (a role, or it is not gated, or access was granted)
    take part         see it, with a token that may write here (like it, ask for access)
    write             write or admin
    administer        admin
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from hub.db import ReadSession, now_ms
from hub.errors import Forbidden, Gated, InvalidCredentials, Moved, RepoNotFound, RevisionNotFound, SignInRequired
from hub.models import AccessRequest, Commit, Member, Namespace, Redirect, Ref, Repo, Token
from hub.names import repo_slug, slug

ROLES = ("read", "write", "admin")
DEFAULT_BRANCH = "main"


class Action(Enum):
    """What one may want to do with a repository."""

    SEE = "see"
    READ = "read"
    TAKE_PART = "take part"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: a user by one of their tokens, or nobody. ``credential`` is the sha256 of the token."""

    user_id: int | None = None
    name: str = ""
    token_id: int | None = None
    token_role: str = "read"
    token_namespace: int | None = None
    token_repo: int | None = None
    credential: str | None = None

    @property
    def anonymous(self) -> bool:
        """Nobody in particular."""
        return self.user_id is None


@dataclass(frozen=True, slots=True)
class Place:
    """A repository as one caller meets it, and the commit that the asked revision means there."""

    viewer: Viewer
    repo_id: int
    uid: str
    namespace_id: int
    full_name: str
    private: bool
    gated: str | None
    role: str | None
    granted: bool
    revision: str
    ref: str | None
    commit: str | None
    manifest_id: int | None
    commit_time: int | None

    def at_revision(self) -> "Commitish":
        """The commit this place points to. Raises RevisionNotFound."""
        if self.commit is None or self.manifest_id is None or self.commit_time is None:
            raise RevisionNotFound(self.revision)
        return Commitish(self.repo_id, self.commit, self.manifest_id, self.commit_time)


@dataclass(frozen=True, slots=True)
class Commitish:
    """A commit of a repository: what a branch, a tag or an id came down to."""

    repo_id: int
    oid: str
    manifest_id: int
    time: int


def allowed(place: Place, action: Action) -> bool:
    """The rule."""
    if action is Action.SEE:
        return place.role is not None or not place.private
    if action is Action.READ:
        return allowed(place, Action.SEE) and (place.role is not None or not place.gated or place.granted)
    if action is Action.TAKE_PART:
        viewer = place.viewer
        mine = viewer.token_role == "write" and _covers(viewer, place.namespace_id, place.repo_id)
        return allowed(place, Action.SEE) and mine and not viewer.anonymous
    if action is Action.WRITE:
        return place.role in {"write", "admin"}
    return place.role == "admin"


def visible_to(viewer: Viewer) -> sa.ColumnElement[bool]:
    """The twin of ``allowed(place, Action.SEE)`` as a condition on Repo, for lists."""
    alive = Repo.deleted_at.is_(None)
    if viewer.anonymous:
        return alive & Repo.private.is_(False)
    mine: sa.ColumnElement[bool] = Repo.namespace_id.in_(sa.select(Member.namespace_id).where(Member.user_id == viewer.user_id))
    if viewer.token_namespace is not None:
        mine &= Repo.namespace_id == viewer.token_namespace
    if viewer.token_repo is not None:
        mine &= Repo.id == viewer.token_repo
    return alive & (Repo.private.is_(False) | mine)


def require(place: Place, action: Action) -> None:
    """Raise the error that tells a caller no more than they may know."""
    if allowed(place, action):
        return
    anonymous = place.viewer.anonymous
    if not allowed(place, Action.SEE):
        raise RepoNotFound(anonymous=anonymous)
    if action is Action.READ:
        raise Gated(place.full_name, anonymous=anonymous)
    if anonymous:
        raise SignInRequired(f"This needs a token with a right on {place.full_name}. Make one and set HF_TOKEN, or run `hf auth login`.")
    raise Forbidden(f"You may not do this to {place.full_name}: {_why_not(place)}.")


def _why_not(place: Place) -> str:
    viewer = place.viewer
    if viewer.token_role == "read":
        return "this token can only read. Use one with the role write"
    if not _covers(viewer, place.namespace_id, place.repo_id):
        return "it lies outside the scope of this token"
    return "ask an admin of the namespace for a higher role"


def _covers(viewer: Viewer, namespace_id: int, repo_id: int | None) -> bool:
    if viewer.token_namespace is not None and viewer.token_namespace != namespace_id:
        return False
    return viewer.token_repo is None or viewer.token_repo == repo_id


def _narrowed(viewer: Viewer, role: str | None, namespace_id: int, repo_id: int | None) -> str | None:
    if role is None or not _covers(viewer, namespace_id, repo_id):
        return None
    return "read" if viewer.token_role == "read" else role


def namespace_role(session: ReadSession, viewer: Viewer, namespace: Namespace) -> str | None:
    """The caller's role in a namespace (for making and moving repositories), narrowed by their token."""
    role = session.scalar(sa.select(Member.role).where(Member.namespace_id == namespace.id, Member.user_id == viewer.user_id))
    return _narrowed(viewer, role, namespace.id, None)


LOOK_UP = ("credential", "slug", "revision")


def look_up(given: sa.FromClause) -> sa.Select[*tuple[Any, ...]]:
    """The one joined statement behind every request on a repository: who, what, which right, which commit.

    ``given`` holds the columns LOOK_UP. Unknown things come back as NULLs, so there is always one row.
    """
    user = aliased(Namespace)
    return (
        sa.select(
            *(Token.id, Token.role, Token.namespace_id, Token.repo_id, Token.expires_at, Token.revoked_at),
            *(user.id, user.name, user.disabled_at),
            *(Repo.id, Repo.uid, Repo.namespace_id, Repo.full_name, Repo.private, Repo.gated),
            *(Member.role, AccessRequest.status),
            *(Ref.name, Commit.oid, Commit.manifest_id, Commit.created_at),
        )
        .select_from(given)
        .outerjoin(Token, Token.sha256 == given.c.credential)
        .outerjoin(user, user.id == Token.user_id)
        .outerjoin(Repo, (Repo.slug == given.c.slug) & Repo.deleted_at.is_(None))
        .outerjoin(Member, (Member.namespace_id == Repo.namespace_id) & (Member.user_id == user.id))
        .outerjoin(AccessRequest, (AccessRequest.repo_id == Repo.id) & (AccessRequest.user_id == user.id))
        .outerjoin(Ref, (Ref.repo_id == Repo.id) & (Ref.name == given.c.revision))
        .outerjoin(Commit, (Commit.repo_id == Repo.id) & (Commit.oid == sa.func.coalesce(Ref.target, given.c.revision)))
    )


_LOOK_UP_ONE = look_up(sa.select(*(sa.bindparam(column, type_=sa.String).label(column) for column in LOOK_UP)).subquery("given"))


def read_viewer(row: Sequence[Any], credential: str | None) -> Viewer:
    """Who the row's token belongs to. Raises InvalidCredentials for one that is unknown, expired or revoked."""
    if credential is None:
        return Viewer()
    token_id, role, namespace, repo, expires, revoked, user_id, name, disabled = row[:9]
    if token_id is None or revoked is not None or disabled is not None or (expires is not None and expires <= now_ms()):
        raise InvalidCredentials()
    return Viewer(user_id, name, token_id, role, namespace, repo, credential)


def read_place(row: Sequence[Any], viewer: Viewer, revision: str) -> Place | None:
    """The repository of the row as the viewer meets it, or None when there is none of that name."""
    repo_id, uid, namespace_id, full_name, private, gated, role, request, ref, commit, manifest, time = row[9:]
    if repo_id is None:
        return None
    effective = _narrowed(viewer, role, namespace_id, repo_id)
    granted = request == "accepted"
    return Place(
        viewer, repo_id, uid, namespace_id, full_name, bool(private), gated, effective, granted, revision, ref, commit, manifest, time
    )


def key(credential: str | None, namespace: str, name: str, revision: str | None) -> tuple[str | None, str, str]:
    """The values of LOOK_UP for a repository named in a URL; ``HEAD`` is the default branch."""
    if revision in {None, "HEAD"}:
        revision = DEFAULT_BRANCH
    return credential, repo_slug(namespace, name), str(revision).removeprefix("refs/heads/").removeprefix("refs/tags/")


def confirm(session: ReadSession, place: Place, action: Action) -> Place:
    """Read place and rights again inside a transaction that is about to act on them."""
    credential = place.viewer.credential
    namespace, name = place.full_name.split("/")
    now = find(session, credential, namespace, name, place.revision)
    require(now, action)
    if now.repo_id != place.repo_id:
        raise RepoNotFound()
    return now


def viewer_now(session: ReadSession, viewer: Viewer) -> Viewer:
    """The viewer, read again inside a transaction that is about to act on their rights. Raises InvalidCredentials."""
    return read_viewer(_row(session, (viewer.credential, "", DEFAULT_BRANCH)), viewer.credential)


def _row(session: ReadSession, values: tuple[str | None, str, str]) -> Sequence[Any]:
    return session.connection().execute(_LOOK_UP_ONE, dict(zip(LOOK_UP, values, strict=True))).one()


def find(session: ReadSession, credential: str | None, namespace: str, name: str, revision: str | None = None) -> Place:
    """A repository by name, for whoever holds ``credential``. Raises RepoNotFound or InvalidCredentials."""
    values = key(credential, namespace, name, revision)
    row = _row(session, values)
    viewer = read_viewer(row, credential)
    place = read_place(row, viewer, values[2])
    if place is None or not allowed(place, Action.SEE):
        raise RepoNotFound(anonymous=viewer.anonymous)
    return place


def _by_ids() -> sa.Select[*tuple[Any, ...]]:
    wanted = (Token.id == sa.bindparam("token_id")) & (Token.user_id == sa.bindparam("user_id")) & (Repo.id == sa.bindparam("repo_id"))
    values = (Token.sha256.label("credential"), Repo.slug.label("slug"), sa.literal(DEFAULT_BRANCH).label("revision"))
    given = sa.select(*values).select_from(Token).join(Repo, sa.true()).where(wanted).subquery("given")
    return look_up(given).add_columns(given.c.credential)


_LOOK_UP_BY_IDS = _by_ids()


def find_again(session: ReadSession, *, token_id: int, user_id: int, repo_id: int) -> Place:
    """A repository as a token met it before, by their ids. Raises RepoNotFound or InvalidCredentials."""
    row = session.connection().execute(_LOOK_UP_BY_IDS, {"token_id": token_id, "user_id": user_id, "repo_id": repo_id}).one_or_none()
    if row is None:
        raise RepoNotFound()
    *found, credential = row
    place = read_place(found, read_viewer(found, credential), DEFAULT_BRANCH)
    if place is None:
        raise RepoNotFound()
    return place


def moved_to(session: ReadSession, viewer: Viewer, namespace: str, name: str) -> str | None:
    """The present name of a repository that once was ``namespace/name``, if the viewer may see it."""
    statement = sa.select(Repo.full_name).join(Redirect, Redirect.repo_id == Repo.id)
    return session.scalar(statement.where(Redirect.slug == f"{slug(namespace)}/{slug(name)}", visible_to(viewer)))


def redirect(full_name: str, address: str) -> Moved:
    """The answer to a request by an old name or another spelling: the same address under ``full_name``, relative."""
    path, mark, query = address.partition("?")
    segments = path.split("/")
    at = 3 if path.startswith("/api/models/") else 1
    git = ".git" if unquote(segments[at + 1]).endswith(".git") else ""
    return Moved("/".join((*segments[:at], full_name + git, *segments[at + 2 :])) + mark + query)

"""Who someone is: users, organisations, members, passwords and tokens."""

import hashlib
import secrets
import threading
import zlib
from collections.abc import Sequence
from functools import cached_property

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hub.access import ROLES
from hub.db import ReadSession, WriteSession, now_ms
from hub.errors import BadRequest, Busy, Conflict, NotFound
from hub.models import Member, Namespace, Repo, Token
from hub.names import check_namespace, repo_slug, slug

USER, ORG = "user", "org"
MIN_PASSWORD, MAX_PASSWORD = 8, 128
MAX_LABEL = 96
TOKEN_PREFIX = "hf_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Passwords:
    """argon2id (19 MiB, 2 passes: OWASP's choice for small hosts), two at a time, so that a flood of sign-ins cannot take the memory."""

    def __init__(self, *, parallel: int = 2, waiting: int = 20) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._turn = threading.BoundedSemaphore(parallel)
        self._queue = threading.BoundedSemaphore(parallel + waiting)

    @cached_property
    def _nobody(self) -> str:
        """The hash of a password that nobody has."""
        return self.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """The hash to keep."""
        with self._turn:
            return self._hasher.hash(password)

    def matches(self, hashed: str | None, password: str) -> bool:
        """Whether ``password`` is the one of ``hashed``; as slow for an unknown user (None) as for a known one. Raises Busy."""
        if not self._queue.acquire(blocking=False):
            raise Busy("Too many sign-ins at once. Try again in a moment.")
        try:
            kept = hashed or self._nobody
            with self._turn:
                return self._verify(kept, password[:MAX_PASSWORD]) and hashed is not None
        finally:
            self._queue.release()

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


def check_password(name: str, password: str) -> str:
    """The password, if it may be one: 8 to 128 characters and not the user's name. Raises BadRequest."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise BadRequest(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; this one has {len(password)}.")
    if password.casefold() == name.casefold():
        raise BadRequest("The password must not be the user's name.")
    return password


def get(session: ReadSession, name: str, kind: str | None = None) -> Namespace:
    """A user or organisation by name. Raises NotFound."""
    found = session.scalar(sa.select(Namespace).where(Namespace.slug == slug(name)))
    if found is None or (kind and found.kind != kind):
        raise NotFound(f"There is no {_called(kind)} called {name}.")
    return found


def _called(kind: str | None) -> str:
    return {USER: "user", ORG: "organisation"}.get(kind or "", "user or organisation")


def add_user(session: WriteSession, name: str, password_hash: str, *, admin: bool = False) -> Namespace:
    """Make a user, admin of the namespace of their own name. Raises BadName, NameReserved or Conflict."""
    user = _add(session, USER, name)
    user.password_hash, user.is_admin = password_hash, admin
    session.add(Member(namespace_id=user.id, user_id=user.id, role="admin"))
    return user


def add_org(session: WriteSession, name: str, owner: Namespace) -> Namespace:
    """Make an organisation with its first admin. Raises BadName, NameReserved or Conflict."""
    org = _add(session, ORG, name)
    session.add(Member(namespace_id=org.id, user_id=owner.id, role="admin"))
    return org


def _add(session: WriteSession, kind: str, name: str) -> Namespace:
    wanted = slug(check_namespace(name))
    taken = session.scalar(sa.select(Namespace.name).where(Namespace.slug == wanted))
    if taken is not None:
        raise Conflict(f"The name {name} is taken (by {taken}). Users and organisations share one name space; choose another.")
    namespace = Namespace(kind=kind, name=name, slug=wanted)
    session.add(namespace)
    session.flush()
    return namespace


def set_member(session: WriteSession, org: Namespace, user: Namespace, role: str | None) -> None:
    """Give ``user`` a role in ``org``, or take it away (None). Raises BadRequest, or Conflict for the last admin."""
    if role is not None and role not in ROLES:
        raise BadRequest(f"A role is one of {', '.join(ROLES)}; {role!r} is none.")
    member = session.get(Member, (org.id, user.id))
    if member and member.role == "admin" and role != "admin" and _admins(session, org) == 1:
        raise Conflict(f"{user.name} is the last admin of {org.name}. Make somebody else admin first.")
    if role is None:
        if member:
            session.delete(member)
    elif member:
        member.role = role
    else:
        session.add(Member(namespace_id=org.id, user_id=user.id, role=role))


def _admins(session: ReadSession, org: Namespace) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(Member).where(Member.namespace_id == org.id, Member.role == "admin")) or 0


def disable(session: WriteSession, user: Namespace, disabled: bool = True) -> None:
    """Shut a user out at once, tokens included, or let them in again."""
    user.disabled_at = now_ms() if disabled else None


def set_password(session: WriteSession, user: Namespace, password_hash: str) -> None:
    """Replace the password."""
    user.password_hash = password_hash


def authenticate(session: ReadSession, passwords: Passwords, name: str, password: str) -> Namespace | None:
    """The user of that name and password, or None; an unknown name takes as long as a wrong password."""
    user = session.scalar(sa.select(Namespace).where(Namespace.slug == slug(name), Namespace.kind == USER))
    known = user is not None and user.disabled_at is None
    return user if passwords.matches(user.password_hash if user and known else None, password) else None


def new_token() -> str:
    """``hf_`` + 33 characters of base 62 (196 random bits) + a crc32 in 6 more, so that scanners know a real one."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(33))
    return TOKEN_PREFIX + body + _checksum(body)


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def add_token(
    session: WriteSession,
    user: Namespace,
    *,
    role: str,
    name: str = "",
    namespace: str | None = None,
    repo: str | None = None,
    days: float | None = None,
) -> tuple[str, Token]:
    """Make a token and return it once. Its scope is everything of the user, a namespace or a repository. Raises BadRequest, NotFound."""
    if role not in ("read", "write"):
        raise BadRequest(f"The role of a token is read or write; {role!r} is neither.")
    if len(name) > MAX_LABEL:
        raise BadRequest(f"The label of a token has at most {MAX_LABEL} characters.")
    if namespace and repo:
        raise BadRequest("A token is for one namespace or for one repository, not for both.")
    secret = new_token()
    token = Token(user_id=user.id, name=name, sha256=token_hash(secret), role=role)
    token.namespace_id = get(session, namespace).id if namespace else None
    token.repo_id = _repo_id(session, repo) if repo else None
    token.expires_at = now_ms() + int(days * 86_400_000) if days else None
    session.add(token)
    session.flush()
    return secret, token


def _repo_id(session: ReadSession, full_name: str) -> int:
    namespace, _, name = full_name.partition("/")
    found = session.scalar(sa.select(Repo.id).where(Repo.slug == repo_slug(namespace, name), Repo.deleted_at.is_(None)))
    if found is None:
        raise NotFound(f"There is no repository {full_name}. Write it as namespace/name.")
    return found


def tokens(session: ReadSession, user: Namespace | None = None) -> Sequence[Token]:
    """The tokens of a user, or all; newest first."""
    statement = sa.select(Token).options(sa.orm.joinedload(Token.user)).order_by(Token.id.desc())
    return session.scalars(statement.where(Token.user_id == user.id) if user else statement).all()


def revoke_token(session: WriteSession, token_id: int) -> None:
    """End a token at once; twice is as good as once. Raises NotFound."""
    token = session.get(Token, token_id)
    if token is None:
        raise NotFound(f"There is no token {token_id}. `adapterhub token list` shows them.")
    token.revoked_at = token.revoked_at or now_ms()


def organisations(session: ReadSession, user_id: int) -> Sequence[tuple[Namespace, str]]:
    """The organisations of a user, each with the user's role."""
    statement = sa.select(Namespace, Member.role).join(Member, Member.namespace_id == Namespace.id)
    rows = session.execute(statement.where(Member.user_id == user_id, Namespace.kind == ORG).order_by(Namespace.name))
    return [(org, role) for org, role in rows]

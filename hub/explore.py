"""Finding repositories: one ``Query`` says what is asked for, ``find`` answers a page of it."""

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from hub.access import Viewer, visible_to
from hub.db import ReadSession, contains
from hub.errors import BadRequest
from hub.models import Namespace, Repo, RepoTag
from hub.names import slug

MAX_PAGE = 1_000
COMMON_TAG = 1_000
MOST_WORDS, MOST_TAGS = 20, 50
SORTS = {
    "lastModified": Repo.updated_at,
    "createdAt": Repo.created_at,
    "downloads": Repo.downloads,
    "likes": Repo.likes,
    "trendingScore": Repo.trending,
}
ALIASES = {
    "last_modified": "lastModified",
    "created_at": "createdAt",
    "trending_score": "trendingScore",
    "modified": "lastModified",
    "trending": "trendingScore",
}


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: every tag, the author, a part of the name; in which order, from where on."""

    tags: Sequence[str] = ()
    author: str | None = None
    search: str | None = None
    gated: bool | None = None
    pipeline_tag: str | None = None
    sort: str = "trendingScore"
    limit: int = MAX_PAGE
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of repositories and the cursor of the next, None on the last."""

    repos: Sequence[Repo] = field(default_factory=list)
    cursor: str | None = None


def find(session: ReadSession, viewer: Viewer, query: Query) -> Page:
    """A page of the repositories that match and that the viewer may see. Raises BadRequest for an unknown order or a broken cursor."""
    column = SORTS[_sort_name(query.sort)]
    statement = sa.select(Repo).where(visible_to(viewer), *_conditions(session, query))
    if query.cursor:
        value, last = _read_cursor(query.cursor)
        statement = statement.where(sa.tuple_(column, Repo.id) < sa.tuple_(sa.literal(value), sa.literal(last)))
    limit = min(max(query.limit, 1), MAX_PAGE)
    repos = session.scalars(statement.order_by(column.desc(), Repo.id.desc()).limit(limit + 1)).all()
    if len(repos) <= limit:
        return Page(repos)
    return Page(repos[:limit], _write_cursor(getattr(repos[limit - 1], column.key), repos[limit - 1].id))


def _sort_name(sort: str) -> str:
    name = ALIASES.get(sort, sort)
    if name not in SORTS:
        raise BadRequest(f"Cannot sort by {sort!r}. Sort by one of: {', '.join(SORTS)}.")
    return name


def _conditions(session: ReadSession, query: Query) -> list[Any]:
    words = (query.search or "").split()
    if len(words) > MOST_WORDS or len(query.tags) > MOST_TAGS:
        raise BadRequest(f"A search has at most {MOST_WORDS} words and {MOST_TAGS} tags.")
    conditions: list[Any] = [_tagged(session, tag) for tag in query.tags]
    if query.author:
        conditions.append(Repo.namespace_id == sa.select(Namespace.id).where(Namespace.slug == slug(query.author)).scalar_subquery())
    conditions += [contains(sa.func.lower(Repo.full_name), word.lower()) for word in words]
    if query.gated is not None:
        conditions.append(Repo.gated.is_not(None) if query.gated else Repo.gated.is_(None))
    if query.pipeline_tag:
        conditions.append(Repo.pipeline_tag == query.pipeline_tag)
    return conditions


def _tagged(session: ReadSession, tag: str) -> Any:
    """Few repositories have a rare tag: fetch those. Of a common one the first page is found sooner in the list's own order."""
    holders = sa.select(RepoTag.repo_id).where(RepoTag.tag == tag)
    common = session.scalar(sa.select(sa.func.count()).select_from(holders.limit(COMMON_TAG).subquery())) == COMMON_TAG
    return holders.where(RepoTag.repo_id == Repo.id).exists() if common else Repo.id.in_(holders)


def _write_cursor(value: int, last: int) -> str:
    return base64.urlsafe_b64encode(struct.pack(">qq", value, last)).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[int, int]:
    try:
        value, last = struct.unpack(">qq", base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (binascii.Error, ValueError, struct.error) as error:
        raise BadRequest("The cursor is not one of this hub's. Start again without it.") from error
    return value, last


def liked_by(session: ReadSession, viewer: Viewer, likes: sa.Select[int, int]) -> Sequence[tuple[Repo, int]]:
    """The visible repositories of a selection of (repo id, time), newest first."""
    chosen = likes.subquery()
    statement = sa.select(Repo, chosen.c.created_at).join(chosen, chosen.c.repo_id == Repo.id).where(visible_to(viewer))
    return [(repo, moment) for repo, moment in session.execute(statement.order_by(chosen.c.created_at.desc()).limit(MAX_PAGE))]

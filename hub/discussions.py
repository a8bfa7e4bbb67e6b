"""Discussions and pull requests: as much of them as proposing and merging a change needs."""

import sqlalchemy as sa

from hub import revisions
from hub.access import Place
from hub.db import ReadSession, WriteSession
from hub.errors import Conflict, NotFound
from hub.models import Discussion

OPEN, CLOSED, MERGED = "open", "closed", "merged"
MAX_NUMBER = 2**31 - 1


def start(session: WriteSession, place: Place, title: str, description: str, *, base: str | None) -> int:
    """Open a discussion, or a pull request on commit ``base``; returns its number."""
    revisions.lock(session, place.repo_id)
    last = session.scalar(sa.select(sa.func.max(Discussion.num)).where(Discussion.repo_id == place.repo_id))
    number = (last or 0) + 1
    discussion = Discussion(
        repo_id=place.repo_id,
        num=number,
        title=title,
        description=description,
        author=place.viewer.name,
        is_pull=base is not None,
        base=base,
    )
    session.add(discussion)
    session.flush()
    return number


def get(session: ReadSession, place: Place, number: int) -> Discussion:
    """A discussion of a repository. Raises NotFound."""
    found = session.get(Discussion, (place.repo_id, number)) if 0 < number <= MAX_NUMBER else None
    if found is None:
        raise NotFound(f"{place.full_name} has no discussion {number}.")
    return found


def mergeable(session: ReadSession, place: Place, number: int) -> Discussion:
    """A pull request that can still be merged. Raises NotFound or Conflict."""
    found = get(session, place, number)
    if not found.is_pull:
        raise NotFound(f"{number} is a discussion of {place.full_name}, not a pull request.")
    if found.status != OPEN:
        raise Conflict(f"Pull request {number} is {found.status}.")
    return found


def set_status(session: WriteSession, place: Place, number: int, status: str) -> Discussion:
    """Close a discussion, or open it again. Raises NotFound, or Conflict for a merged pull request."""
    found = get(session, place, number)
    if found.status == MERGED:
        raise Conflict(f"Pull request {number} is merged.")
    found.status = status
    return found

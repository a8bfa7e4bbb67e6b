"""What is counted in memory and written in batches: downloads, and when tokens were last used.

Nobody waits for these: a crash loses at most what came in since the last flush (HUB_FLUSH_INTERVAL).
"""

import threading
from collections import Counter

import sqlalchemy as sa

from hub.db import Database, WriteSession, insert_into, now_ms
from hub.models import DownloadDay, Like, Repo, Token

DAY_MS = 86_400_000
TRENDING_DAYS = 7
LIKE_WEIGHT = 10


class Tally:
    """Counts of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._downloads: Counter[int] = Counter()
        self._used: dict[int, int] = {}
        self._lock = threading.Lock()

    def downloaded(self, repo_id: int) -> None:
        """Count one download."""
        with self._lock:
            self._downloads[repo_id] += 1

    def used(self, token_id: int) -> None:
        """Remember that a token was just used."""
        self._used[token_id] = now_ms()

    def flush(self) -> None:
        """Write what was counted since the last time."""
        with self._lock:
            downloads, self._downloads = self._downloads, Counter()
            used, self._used = self._used, {}
        if not downloads and not used:
            return
        with self._database.write() as session:
            for token_id, moment in sorted(used.items()):
                session.execute(sa.update(Token).where(Token.id == token_id).values(last_used_at=moment))
            for repo_id, count in sorted(downloads.items()):
                _add_downloads(session, repo_id, count)


def _add_downloads(session: WriteSession, repo_id: int, count: int) -> None:
    today = now_ms() // DAY_MS
    statement = insert_into(session, DownloadDay).values(repo_id=repo_id, day=today, count=count)
    session.execute(statement.on_conflict_do_update(index_elements=["repo_id", "day"], set_={"count": DownloadDay.count + count}))
    session.execute(sa.update(Repo).where(Repo.id == repo_id).values(downloads=Repo.downloads + count))
    score_trending(session, Repo.id == repo_id)


def score_trending(session: WriteSession, which: sa.ColumnElement[bool]) -> None:
    """Score repositories by the last seven days: a download counts 1, a like 10."""
    since = now_ms() // DAY_MS - TRENDING_DAYS
    downloads = sa.select(sa.func.coalesce(sa.func.sum(DownloadDay.count), 0)).where(
        DownloadDay.repo_id == Repo.id, DownloadDay.day > since
    )
    likes = sa.select(sa.func.count()).select_from(Like).where(Like.repo_id == Repo.id, Like.created_at > since * DAY_MS)
    score = downloads.scalar_subquery() + LIKE_WEIGHT * likes.scalar_subquery()
    session.execute(sa.update(Repo).where(which).values(trending=score).execution_options(synchronize_session=False))

"""Fills a database with many repositories in seconds, by copying one that was pushed for real.

Every row that belongs to the template is inserted again for each number from 1 on, its ids moved by ``number * STRIDE``. So
the copies have what a push gives a repository, and the seeding costs a few statements instead of a push each. Beyond that
each copy gets weights of its own (a row without bytes), an author that ten share, and a tag that fifty share.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from hub.db import Database, WriteSession
from hub.models import Base, Blob, Link, Member, Namespace, Repo, RepoTag

STRIDE = 1_000
AUTHORS_FROM = 1_000_000
BY_AUTHOR = 10
BY_RARE_TAG = 50
SAMPLE = 100
COMMON_TAG = "bench:tenth"
LEFT_OUT = {"receipt", "upload", "xorb", "like", "token", "download_day", "redirect", "access_request", "discussion"}


def author(number: int) -> str:
    """The namespace of a copy."""
    return f"author-{(number - 1) // BY_AUTHOR}"


def rare_tag(number: int) -> str:
    """The tag that a copy shares with forty-nine others, however many copies there are."""
    return f"bench:group-{(number - 1) // BY_RARE_TAG}"


def sample(count: int) -> Sequence[int]:
    """A hundred numbers spread over all copies, no two of one author."""
    return range(1, count + 1, count // SAMPLE)


def repo_id(number: int) -> str:
    """The name of a copy."""
    return f"{author(number)}/adapter-{number}"


def seed(url: str, template: str, count: int, writer: str) -> None:
    """Copy the repository ``template`` ``count`` times in the database ``url``; ``writer`` may write to the ``sample``.

    Raises:
        LookupError: there is no such template.
        ValueError: the template's ids would collide with those of its first copy.
    """
    database = Database(url)
    try:
        with database.write() as session:
            original = session.scalar(sa.select(Repo.id).where(Repo.full_name == template))
            if original is None:
                raise LookupError(f"no repository {template}")
            n = _numbers(count)
            _add_authors(session, count, writer)
            for table in _tables():
                _check_ids(session, table)
                session.execute(_copies(table, original, n))
            _add_weights(session, n)
            _add_tags(session, n)
        _settle(database)
    finally:
        database.close()


def _numbers(count: int) -> sa.ColumnElement[int]:
    numbers = sa.select(sa.literal(1).label("n")).cte("numbers", recursive=True)
    following = sa.select(numbers.c.n + 1).where(numbers.c.n < count)
    column: sa.ColumnElement[int] = numbers.union_all(following).c.n
    return column


def _add_authors(session: WriteSession, count: int, writer: str) -> None:
    numbers = range(1, count + 1, BY_AUTHOR)
    rows = [{"id": _author_id(number), "kind": "org", "name": author(number), "slug": author(number)} for number in numbers]
    session.execute(sa.insert(Namespace), rows)
    user = session.scalars(sa.select(Namespace.id).where(Namespace.name == writer)).one()
    members = [{"namespace_id": _author_id(number), "user_id": user, "role": "write"} for number in sample(count)]
    session.execute(sa.insert(Member), members)


def _author_id(number: Any) -> Any:
    return AUTHORS_FROM + (number - 1) // BY_AUTHOR


def _tables() -> list[sa.Table]:
    belonging = [table for table in Base.metadata.sorted_tables if table.name == "repo" or "repo_id" in table.c]
    return [table for table in belonging if table.name not in LEFT_OUT]


def _check_ids(session: WriteSession, table: sa.Table) -> None:
    highest = session.scalar(sa.select(sa.func.max(table.c.id))) if "id" in table.c else 0
    if (highest or 0) >= STRIDE:
        raise ValueError(f"the ids of {table.name} reach {highest}: seed a database that holds little besides the template")


def _copies(table: sa.Table, original: int, n: sa.ColumnElement[int]) -> sa.Insert:
    mine = table.c.id if table.name == "repo" else table.c.repo_id
    values = [_value(table, column, n) for column in table.c]
    return sa.insert(table).from_select(
        list(table.c.keys()), sa.select(*values).select_from(table.join(n.table, sa.true())).where(mine == original), include_defaults=False
    )


def _value(table: sa.Table, column: sa.Column[Any], n: sa.ColumnElement[int]) -> sa.ColumnElement[Any]:
    if table.name == "repo" and column.name in (made := _repo_values(n)):
        return made[column.name]
    return column + n * STRIDE if column.name in {"id", "repo_id", "manifest_id"} else column


def _repo_values(n: sa.ColumnElement[int]) -> dict[str, sa.ColumnElement[Any]]:
    name = _text("adapter-", n)
    full_name = _text("author-", (n - 1) // BY_AUTHOR) + "/" + name
    return {
        "uid": _digits(n, 24),
        "namespace_id": _author_id(n),
        "name": name,
        "full_name": full_name,
        "slug": full_name,
        "updated_at": Repo.updated_at + n,
        "created_at": Repo.created_at + n,
        "downloads": n * 7919 % 10007,
        "likes": n * 31 % 101,
        "trending": n * 7919 % 1009,
    }


def _add_weights(session: WriteSession, n: sa.ColumnElement[int]) -> None:
    sha256 = _digits(n, 64)
    blobs = sa.select(sha256, sa.literal(8_000_000), sa.literal("live"), sa.literal(0)).add_columns(n.label("n")).subquery()
    columns = list(blobs.c)
    session.execute(sa.insert(Blob).from_select(["sha256", "size", "state", "touched_at"], sa.select(*columns[:4]), include_defaults=False))
    links = sa.select(n * STRIDE + 1, sha256, sa.true(), sa.literal("adapter_model.safetensors"), sa.literal(0))
    session.execute(sa.insert(Link).from_select(["repo_id", "sha256", "lfs", "path", "created_at"], links, include_defaults=False))


def _add_tags(session: WriteSession, n: sa.ColumnElement[int]) -> None:
    into = sa.insert(RepoTag)
    rare = sa.select(_text("bench:group-", (n - 1) // BY_RARE_TAG), n * STRIDE + 1)
    session.execute(into.from_select(["tag", "repo_id"], rare))
    common = sa.select(sa.literal(COMMON_TAG), n * STRIDE + 1).where(n % 10 == 0)
    session.execute(into.from_select(["tag", "repo_id"], common))


def _text(prefix: str, number: sa.ColumnElement[int]) -> sa.ColumnElement[str]:
    return sa.literal(prefix) + sa.cast(number, sa.Text)


def _digits(n: sa.ColumnElement[int], length: int) -> sa.ColumnElement[str]:
    return _text("0" * (length - 8), n + 10_000_000)


def _settle(database: Database) -> None:
    """Let Postgres know its new ids and sizes, as autovacuum would after a while; SQLite needs neither."""
    if database.is_sqlite:
        return
    numbered = [name for name, table in Base.metadata.tables.items() if "id" in table.c]
    with database.writer.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for name in numbered:
            highest = f'SELECT coalesce(max(id), 1) FROM "{name}"'
            connection.execute(sa.text(f"SELECT setval(pg_get_serial_sequence('\"{name}\"', 'id'), ({highest}))"))
        connection.execute(sa.text("VACUUM ANALYZE"))

"""The database on both dialects: tables as the models say, transactions that wait their turn, look-ups that are right."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from hub import access, schema
from hub.db import Collision, Database, HotReads, Unusable, contains, database_now, now_ms
from hub.errors import Busy
from hub.models import Base, Member, Namespace, Repo
from hub.settings import Settings
from tests.support.server import Postgres

DATABASES = ("sqlite", "postgres")


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[str], str]) -> str:
    """An empty database of either kind, as HUB_DATABASE_URL becomes."""
    return Settings(data_dir=tmp_path, database_url=new_database(request.param)).database


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """An empty database, migrated."""
    made = Database(url)
    schema.migrate(made)
    yield made
    made.close()


def add_users(database: Database, *names: str) -> None:
    with database.write() as session:
        session.add_all([Namespace(kind="user", name=name, slug=name) for name in names])


# --- tables --------------------------------------------------------------------------------------------------------


def test_migrations_make_what_the_models_say(database: Database) -> None:
    with database.writer.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_twice_is_migrating_once(url: str) -> None:
    database = Database(url)
    assert schema.current(database) is None
    assert [schema.migrate(database) for _ in range(3)] == [True, False, False]
    assert schema.current(database) == schema.newest()
    database.close()


def test_the_schema_of_a_newer_hub_is_refused(database: Database) -> None:
    with database.write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unusable, match="9999"):
        schema.migrate(database)


def test_a_failed_migration_changes_nothing(url: str) -> None:
    database = Database(url)
    with database.write() as session:
        session.execute(sa.text("CREATE TABLE token (id INTEGER)"))
    with pytest.raises(sa.exc.DatabaseError, match="token"):
        schema.migrate(database)
    with database.writer.connect() as connection:
        assert "namespace" not in sa.inspect(connection).get_table_names()
    with database.write() as session:
        session.execute(sa.text("DROP TABLE token"))
    assert schema.migrate(database)
    database.close()


def test_references_are_held(database: Database) -> None:
    with pytest.raises(Collision), database.write() as session:
        session.add(Member(namespace_id=998, user_id=999, role="read"))


# --- what only one of the two has ----------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_sqlite_is_durable_and_checks_references(database: Database) -> None:
    def pragma(connection: sa.Connection, name: str) -> Any:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

    with database.writer.connect() as writer, database.reader.connect() as reader:
        assert (pragma(writer, "journal_mode"), pragma(reader, "journal_mode")) == ("wal", "wal")
        assert pragma(writer, "synchronous") == 2, "FULL"
        assert pragma(writer, "foreign_keys") == 1
        assert pragma(writer, "busy_timeout") >= 10_000
        assert pragma(reader, "query_only") == 1


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_readers_of_sqlite_cannot_write(database: Database) -> None:
    with database.read() as session, pytest.raises(sa.exc.OperationalError, match="readonly"):
        session.execute(sa.text("DELETE FROM repo"))


def test_postgres_that_is_not_utf8_is_refused(postgres: Postgres) -> None:
    address = postgres.new_database().replace("postgresql://", "postgresql+psycopg://")
    name = sa.make_url(address).database
    maker = sa.create_engine(sa.make_url(address).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with maker.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}_ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    maker.dispose()
    database = Database(sa.make_url(address).set(database=f"{name}_ascii").render_as_string(hide_password=False))
    with pytest.raises(Unusable, match="SQL_ASCII"):
        database.check()
    database.close()


# --- transactions --------------------------------------------------------------------------------------------------


def test_writers_wait_their_turn(database: Database) -> None:
    """Read, change, write: no update is lost and nobody is told that the database is locked."""
    with database.write() as session:
        session.add(Namespace(id=1, kind="user", name="counter", slug="counter"))
        session.add(Repo(id=1, uid="1", namespace_id=1, name="r", full_name="counter/r", slug="counter/r"))

    def count_up(_: int) -> None:
        for _ in range(50):
            with database.write() as session:
                repo = session.execute(sa.select(Repo).where(Repo.id == 1).with_for_update()).scalar_one()
                repo.downloads += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count_up, range(8)))
    with database.read() as reading:
        assert reading.scalar(sa.select(Repo.downloads)) == 400


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    add_users(database, "before")
    with database.write() as writing:
        writing.add(Namespace(kind="user", name="during", slug="during"))
        writing.flush()
        with database.read() as reading:
            assert reading.scalars(sa.select(Namespace.name)).all() == ["before"]
    with database.read() as reading:
        assert len(reading.scalars(sa.select(Namespace.name)).all()) == 2


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    with suppress(ZeroDivisionError), database.write() as session:
        session.add(Namespace(kind="user", name="half", slug="half"))
        session.flush()
        raise ZeroDivisionError
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Namespace)) == 0


def test_the_database_has_a_clock(database: Database) -> None:
    with database.read() as session:
        assert abs(database_now(session) - now_ms()) < 2_000
    with database.write() as session:
        assert abs(database_now(session) - now_ms()) < 2_000


def test_wildcards_are_searched_for_literally(database: Database) -> None:
    add_users(database, "a%b", "a_b", "a\\b", "axb")
    with database.read() as session:
        for text in ("%", "_", "\\"):
            found = session.scalars(sa.select(Namespace.name).where(contains(Namespace.name, text))).all()
            assert found == [f"a{text}b"]


# --- hot reads -----------------------------------------------------------------------------------------------------


@pytest.fixture
def hot(database: Database) -> Iterator[HotReads]:
    """Look-ups of repositories, 20 of which are there."""
    with database.write() as session:
        session.add(Namespace(id=1, kind="user", name="alice", slug="alice"))
        for number in range(20):
            name = f"r{number}"
            session.add(Repo(uid=name, namespace_id=1, name=name, full_name=f"alice/{name}", slug=access.key(None, "alice", name, None)[1]))
    reads = HotReads(database, access.look_up, access.LOOK_UP)
    yield reads
    reads.close()


def found_names(rows: Sequence[Any]) -> list[str | None]:
    return [row[12] for row in rows]


async def look_up(hot: HotReads, numbers: list[int]) -> Sequence[Any]:
    """Many look-ups at once; those of numbers beyond 19 find nothing."""
    rows: Sequence[Any] = await asyncio.gather(*(hot.one(access.key(None, "alice", f"r{number}", "main")) for number in numbers))
    return rows


def test_look_ups_at_once_get_each_its_own_row(hot: HotReads) -> None:
    numbers = [number % 25 for number in range(200)]
    expected = [f"alice/r{number}" if number < 20 else None for number in numbers]
    for _ in range(3):
        assert found_names(asyncio.run(look_up(hot, numbers))) == expected


def test_a_look_up_sees_what_was_just_written(hot: HotReads, database: Database) -> None:
    async def write_and_look(name: str) -> Any:
        with database.write() as session:
            session.execute(sa.update(Repo).where(Repo.uid == "r7").values(full_name=name))
        return await hot.one(access.key(None, "alice", "r7", "main"))

    async def several() -> list[Any]:
        return [await write_and_look(f"alice/new{number}") for number in range(5)]

    assert found_names(asyncio.run(several())) == [f"alice/new{number}" for number in range(5)]


def test_a_look_up_that_is_cancelled_disturbs_no_other(hot: HotReads) -> None:
    async def impatient() -> Sequence[Any]:
        tasks = [asyncio.create_task(look_up(hot, [number])) for number in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes: Sequence[Any] = await asyncio.gather(*tasks, return_exceptions=True)
        return outcomes

    outcomes = asyncio.run(impatient())
    assert found_names([rows[0] for rows in outcomes[1::2]]) == [f"alice/r{number}" for number in range(1, 20, 2)]


def end_connections(database: Database) -> None:
    """As a restart of Postgres does: every connection to this database but ours."""
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with sa.create_engine(database.url, poolclass=sa.NullPool).connect() as connection:
        connection.execute(sa.text(others))


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_look_ups_survive_the_end_of_their_connection(hot: HotReads, database: Database) -> None:
    """Requests that met the end get an error that says so; those after it get their rows."""

    async def end_connections_between() -> tuple[Sequence[Any], Sequence[Any]]:
        await look_up(hot, [1, 2, 3])
        end_connections(database)
        during = await asyncio.gather(*(look_up(hot, [number]) for number in range(5)), return_exceptions=True)
        return during, await look_up(hot, [4, 5, 21])

    during, after = asyncio.run(end_connections_between())
    for number, outcome in enumerate(during):
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, (Busy, sa.exc.OperationalError))
        else:
            assert found_names(outcome) == [f"alice/r{number}"]
    assert found_names(after) == ["alice/r4", "alice/r5", None]


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_writer_whose_connection_ended_is_told_to_try_again(database: Database) -> None:
    with pytest.raises(Busy):
        write_while_connection_ends(database)
    add_users(database, "found")
    with database.read() as session:
        assert session.scalars(sa.select(Namespace.name)).all() == ["found"]


def write_while_connection_ends(database: Database) -> None:
    with database.write() as session:
        pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
        with database.reader.connect() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        session.add(Namespace(kind="user", name="lost", slug="lost"))


def test_the_sqlite_of_this_python_is_new_enough() -> None:
    assert sqlite3.sqlite_version_info >= (3, 35), "RETURNING, and upserts as they are used here"

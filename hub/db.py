"""The database: two dialects behind one face. All that differs between SQLite and Postgres is in this file.

Reading and writing are different types. A write transaction on SQLite begins IMMEDIATE, because a deferred one
that upgrades dies with "database is locked" instead of waiting; the pool of its engine has one connection, so
that writers queue fairly in the process instead of polling the file's lock.

``HotReads`` is the third way in, for the read path that clients hammer: it answers on the event loop for SQLite
(a 0.02 ms read of a local file) and batches concurrent look-ups into one round trip for Postgres.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NewType, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from hub.errors import Busy, HubError, StorageFull

ReadSession = NewType("ReadSession", Session)
WriteSession = NewType("WriteSession", ReadSession)
T = TypeVar("T")

BUSY_TIMEOUT = 30.0


class Unusable(RuntimeError):
    """The database cannot be used as it is; the message says what to change."""


class Database:
    """Engines and sessions of one hub.

    Args:
        url: an SQLAlchemy URL, ``sqlite:///file`` or ``postgresql+psycopg://...``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.writer = _sqlite_engine(url, writer=True) if self.is_sqlite else _postgres_engine(url)
        self.reader = _sqlite_engine(url, writer=False) if self.is_sqlite else self.writer.execution_options(isolation_level="AUTOCOMMIT")

    def check(self) -> None:
        """Raise Unusable when the database is one that would lose or damage text."""
        if self.is_sqlite:
            return
        with self.reader.connect() as connection:
            encoding = connection.scalar(sa.text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise Unusable(
                f"The Postgres database is encoded in {encoding}. Make one with ENCODING 'UTF8' TEMPLATE template0, set HUB_DATABASE_URL."
            )

    @contextmanager
    def read(self) -> Iterator[ReadSession]:
        """A session that only reads."""
        try:
            with Session(self.reader, expire_on_commit=False, autoflush=False) as session:
                yield ReadSession(session)
        except sa.exc.TimeoutError as error:
            raise Busy("Too many readers are waiting. Try again in a moment.") from error

    @contextmanager
    def snapshot(self) -> Iterator[ReadSession]:
        """A session that sees the database as it was when it began, for as long as it reads."""
        engine = self.reader if self.is_sqlite else self.writer.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine, expire_on_commit=False, autoflush=False) as session:
            yield ReadSession(session)

    @contextmanager
    def write(self) -> Iterator[WriteSession]:
        """A transaction: committed and durable when the block ends, rolled back when it raises."""
        try:
            with Session(self.writer, expire_on_commit=False) as session, session.begin():
                yield WriteSession(ReadSession(session))
        except sa.exc.TimeoutError as error:
            raise Busy("Too many writers are waiting. Try again in a moment.") from error
        except IntegrityError as error:
            raise Collision("Another change came at the same moment. Try again.") from error
        except OperationalError as error:
            raise _as_answer(error) from error

    def close(self) -> None:
        """Close every pooled connection."""
        self.writer.dispose()
        self.reader.dispose()


class Collision(Busy):
    """Another transaction did the same, or waited for this one, at the same moment; done again, it will see what the other did."""


def _as_answer(error: OperationalError) -> HubError:
    if getattr(error.orig, "sqlstate", None) == "40P01":
        return Collision("Two changes waited for each other. Try again.")
    if "full" in str(error.orig):
        return StorageFull("The database's disk is full. Nothing was changed; tell the operator, then try again.")
    return Busy("The database is busy or does not answer. Try again in a moment.")


def insert_into(session: ReadSession, table: Any) -> Any:
    """An INSERT with ``on_conflict_do_nothing`` and ``on_conflict_do_update`` for the dialect of ``session``."""
    return _insert(session.get_bind().dialect.name)(table)


def upsert(session: WriteSession, table: Any, row: Mapping[str, Any], *, keys: tuple[str, ...], update: tuple[str, ...]) -> None:
    """Insert ``row``, or set the columns ``update`` of the one that has the same ``keys``."""
    session.connection().execute(_upsert(session.get_bind().dialect.name, table, tuple(row), keys, update), row)


def insert_new(session: WriteSession, table: Any, rows: Sequence[Mapping[str, Any]], returning: str) -> Sequence[Any]:
    """Insert those of ``rows`` that are not there already; returns a column of the inserted ones, in no order."""
    statement = _insert_new(session.get_bind().dialect.name, table, returning)
    return session.connection().execute(statement, list(rows)).scalars().all()


@lru_cache
def _upsert(dialect: str, table: Any, columns: tuple[str, ...], keys: tuple[str, ...], update: tuple[str, ...]) -> sa.Executable:
    statement = _insert(dialect)(table).values({column: sa.bindparam(column) for column in columns})
    changed: sa.Executable = statement.on_conflict_do_update(
        index_elements=keys, set_={column: statement.excluded[column] for column in update}
    )
    return changed


@lru_cache
def _insert_new(dialect: str, table: Any, returning: str) -> sa.Executable:
    fresh: sa.Executable = _insert(dialect)(table).on_conflict_do_nothing().returning(getattr(table, returning))
    return fresh


def _insert(dialect: str) -> Any:
    return sqlite_insert if dialect == "sqlite" else postgres_insert


def now_ms() -> int:
    """This process's clock in milliseconds since 1970; for what is shown, never for what is deleted."""
    return time.time_ns() // 1_000_000


def database_now(session: ReadSession) -> int:
    """The database's clock in milliseconds since 1970: the one clock that all replicas share."""
    sqlite = session.get_bind().dialect.name == "sqlite"
    clock = (
        "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
        if sqlite
        else "CAST(extract(epoch from clock_timestamp()) * 1000 AS BIGINT)"
    )
    return int(session.scalars(sa.text(f"SELECT {clock}")).one())


def contains(column: Any, text: str) -> Any:
    """``column`` holds ``text`` literally, wildcards in it escaped."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(f"%{escaped}%", escape="\\")


def _sqlite_engine(url: str, *, writer: bool) -> sa.Engine:
    engine = sa.create_engine(
        url,
        pool_size=1 if writer else 8,
        max_overflow=0 if writer else 32,
        pool_timeout=BUSY_TIMEOUT,
        poolclass=sa.QueuePool,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT, "autocommit": sqlite3.LEGACY_TRANSACTION_CONTROL}
        if hasattr(sqlite3, "LEGACY_TRANSACTION_CONTROL")
        else {"check_same_thread": False, "timeout": BUSY_TIMEOUT},
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in _pragmas(writer):
            connection.execute(pragma)

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def _pragmas(writer: bool) -> Sequence[str]:
    common = ("PRAGMA busy_timeout = 30000", "PRAGMA foreign_keys = ON", "PRAGMA cache_size = -16000")
    if writer:
        return ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", *common)
    return (*common, "PRAGMA query_only = ON")


def _postgres_engine(url: str) -> sa.Engine:
    return sa.create_engine(
        url,
        pool_size=8,
        max_overflow=24,
        pool_timeout=BUSY_TIMEOUT,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "client_encoding": "utf8"},
    )


class HotReads:
    """One look-up, many times a second, for handlers on the event loop.

    Args:
        database: where to look.
        statement: gives the SELECT over a FROM clause that holds the look-up's ``parameters`` as columns.
        parameters: the names of those columns, all of them text.
    """

    def __init__(self, database: Database, statement: Callable[[sa.FromClause], sa.Select[Any]], parameters: Sequence[str]) -> None:
        self._database = database
        self._look_up = (
            _SqliteLookUp(database, statement, parameters) if database.is_sqlite else _PostgresLookUp(database, statement, parameters)
        )

    async def one(self, values: Sequence[str | None]) -> Sequence[Any]:
        """The row of one look-up, its ``values`` in the order of ``parameters``."""
        return await self._look_up.one(values)

    async def run(self, query: Callable[[ReadSession], T]) -> T:
        """``query`` on the loop for SQLite, in a thread for Postgres: for reads of a few rows by key."""
        if self._database.is_sqlite:
            return self._query(query)
        return await asyncio.to_thread(self._query, query)

    def close(self) -> None:
        """Give the connection back."""
        self._look_up.close()

    def _query(self, query: Callable[[ReadSession], T]) -> T:
        with self._database.read() as session:
            return query(session)


class _SqliteLookUp:
    """Runs on the event loop: a read of a local WAL file by key takes less time than a thread hop."""

    def __init__(self, database: Database, statement: Callable[[sa.FromClause], sa.Select[Any]], parameters: Sequence[str]) -> None:
        given = sa.select(*(sa.bindparam(name, type_=sa.String).label(name) for name in parameters)).subquery("given")
        self._sql = str(statement(given).compile(dialect=database.reader.dialect))
        self._database = database
        self._connection: sqlite3.Connection | None = None

    async def one(self, values: Sequence[str | None]) -> Sequence[Any]:
        if self._connection is None:
            self._connection = _sqlite_connection(self._database)
        row: Sequence[Any] = self._connection.execute(self._sql, values).fetchone()
        return row

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _sqlite_connection(database: Database) -> sqlite3.Connection:
    pooled = database.reader.raw_connection()
    connection = pooled.driver_connection
    pooled.detach()
    if not isinstance(connection, sqlite3.Connection):
        raise TypeError(f"expected an SQLite connection, got {type(connection)}")
    return connection


class _PostgresLookUp:
    """Sends all look-ups that arrived during one round trip with the next one: the busier, the cheaper each."""

    def __init__(self, database: Database, statement: Callable[[sa.FromClause], sa.Select[Any]], parameters: Sequence[str]) -> None:
        arrays = [sa.bindparam(name, type_=sa.ARRAY(sa.String)) for name in parameters]
        given = sa.func.unnest(*arrays).table_valued(*parameters, with_ordinality="number", name="given").render_derived()
        self._statement = statement(given).order_by(given.c.number)
        self._names = parameters
        self._engine = database.reader
        self._waiting: list[tuple[Sequence[str | None], asyncio.Future[Sequence[Any]]]] = []
        self._busy = False
        self._connection: sa.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="look-up")
        self._tasks: set[asyncio.Task[None]] = set()

    async def one(self, values: Sequence[str | None]) -> Sequence[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Any]] = loop.create_future()
        self._waiting.append((values, future))
        if not self._busy:
            self._busy = True
            task = loop.create_task(self._drain())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._drop_connection()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                rows = await loop.run_in_executor(self._thread, self._fetch, [values for values, _ in batch])
            except Exception as error:
                _settle(batch, [error] * len(batch))
            else:
                _settle(batch, rows)
        self._busy = False

    def _fetch(self, batch: Sequence[Sequence[str | None]]) -> Sequence[Sequence[Any]]:
        columns = dict(zip(self._names, map(list, zip(*batch, strict=True)), strict=True))
        try:
            return self._execute(columns)
        except DBAPIError:
            # The server may have been restarted since the last look-up: once more, on a new connection.
            self._drop_connection()
            return self._execute(columns)

    def _execute(self, columns: Mapping[str, Sequence[str | None]]) -> Sequence[Sequence[Any]]:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection.execute(self._statement, columns).all()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def _settle(batch: Sequence[tuple[Any, asyncio.Future[Sequence[Any]]]], results: Sequence[Any]) -> None:
    for (_, future), result in zip(batch, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

"""How Alembic reaches the database and the models.

The hub hands over a connection on which no transaction has begun, as ``config.attributes["connection"]``; a developer's
``alembic`` names a database by ``-x url=...``. All pending migrations run in one transaction: they all happen, or none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context

from hub.models import Base

REPLICA_LOCK = 0x61646170746572  # "adapter": any number will do, as long as every replica takes the same


def migrate(connection: sa.Connection) -> None:
    """Run the pending migrations; replicas that start at the same time do so one after the other."""
    sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        render_as_batch=sqlite,
        render_item=_render,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        if not sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(REPLICA_LOCK)))
        context.run_migrations()
        _check_references(connection)


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A type of our own is written down as the column it makes: a migration must not change when the type does."""
    if kind == "type" and isinstance(item, sa.types.TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


@contextmanager
def _foreign_keys_off(connection: sa.Connection) -> Iterator[None]:
    """On SQLite a batch migration drops and remakes a table: with foreign keys on, that deletes the rows which refer to it.

    The switch has no effect inside a transaction, hence the driver's own connection, which begins none.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    if connection.in_transaction():
        raise RuntimeError("Migrations need a connection on which no transaction has begun.")
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        cursor.execute("PRAGMA foreign_keys = ON")


def _check_references(connection: sa.Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise RuntimeError(f"A migration left table {broken[0]} with rows that refer to missing rows of {broken[2]}; nothing was changed.")


def _connect() -> sa.Connection:
    from hub.db import Database

    return Database(context.get_x_argument(as_dictionary=True)["url"]).writer.connect()


given: sa.Connection | None = context.config.attributes.get("connection")
connection = given if given is not None else _connect()
try:
    with _foreign_keys_off(connection):
        migrate(connection)
finally:
    if given is None:
        connection.close()

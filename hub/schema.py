"""Bringing a database's tables up to date."""

import sqlalchemy as sa

from hub.assets import folder
from hub.db import Database, Unusable


def newest() -> str:
    """The revision that this program expects: migrations are numbered, the last one counts."""
    return max(path.name.split("_")[0] for path in (folder("migrations") / "versions").glob("[0-9]*.py"))


def current(database: Database) -> str | None:
    """The revision that the database is at, None for an empty one."""
    with database.writer.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return found


def migrate(database: Database) -> bool:
    """Run what is missing; returns whether anything was. Raises Unusable for a database of a newer program."""
    before, wanted = current(database), newest()
    if before == wanted:
        return False
    if before is not None and before > wanted:
        raise Unusable(f"The database is at revision {before}, this program knows {wanted}. Install the newer AdapterHub that migrated it.")
    _upgrade(database)
    return True


def _upgrade(database: Database) -> None:
    # Imported here: a hub that is up to date never needs alembic, and starts faster without it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    with database.writer.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

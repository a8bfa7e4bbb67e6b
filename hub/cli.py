"""The ``adapterhub`` command. Exit codes: 0 fine, 1 findings, 2 could not run."""

import json
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from multiprocessing import get_context
from typing import IO, Any

import click
import sqlalchemy as sa
from pydantic import ValidationError

from hub import __version__, access, accounts, repos, schema, services, upkeep
from hub.db import Collision, Database, Unusable
from hub.errors import Conflict, HubError
from hub.models import Namespace
from hub.settings import Settings

FINDINGS, COULD_NOT_RUN = 1, 2
FIRST_USER = "admin"
MOST_CONNECTIONS = 1_000


class Hub(click.Group):
    """Turns what may go wrong into one line on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _plain_errors():
            return super().invoke(ctx)


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        problem = error.errors()[0]
        setting = f"HUB_{'_'.join(str(part) for part in problem['loc']).upper()}"
        _fail(f"{setting}: {problem['msg']}")
    except (HubError, Unusable) as error:
        _fail(str(error))
    except sa.exc.OperationalError as error:
        _fail(f"The database does not answer: {error.orig}. Check HUB_DATABASE_URL.")
    except OSError as error:
        _fail(f"{error.strerror}: {error.filename}. Check HUB_DATA_DIR and HUB_BLOB_STORE.")
    except sa.exc.SQLAlchemyError as error:
        _fail(f"The database refused: {error}")


def _fail(message: str) -> None:
    click.echo(f"adapterhub: {' '.join(message.split())}", err=True)
    sys.exit(COULD_NOT_RUN)


@click.group(cls=Hub, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """A self-hosted hub for fine-tuning adapters. Settings come from HUB_* environment variables."""


@contextmanager
def _database() -> Iterator[Database]:
    """The migrated database of the settings."""
    database = services.open_database(Settings())
    try:
        if schema.current(database) != schema.newest():
            raise Unusable("The database is not up to date. Run `adapterhub migrate` first.")
        yield database
    finally:
        database.close()


# --- serve and migrate ---------------------------------------------------------------------------------------------


@main.command()
def serve() -> None:
    """Run the hub; an empty one is set up first and says how to use it."""
    settings = Settings()
    with _only_hub_here(settings):
        # In a process of its own, so that what migrating and hashing need does not stay in the server's memory.
        setting_up = get_context("fork").Process(target=_set_up, args=(settings,))
        setting_up.start()
        setting_up.join()
        if setting_up.exitcode:
            sys.exit(COULD_NOT_RUN)
        _run(settings)


@contextmanager
def _only_hub_here(settings: Settings) -> Iterator[None]:
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock: IO[str]
    with (settings.data_dir / "lock").open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except OSError:
            raise Unusable(f"Another hub runs on {settings.data_dir}. Stop it first, or use HUB_WORKERS for more processes.") from None
        shutil.rmtree(settings.scratch_folder, ignore_errors=True)
        yield


def _set_up(settings: Settings) -> None:
    """Migrate, and found the hub if this is its first start: then tell the operator how to use it."""
    with _plain_errors():
        database = services.open_database(settings)
        try:
            schema.migrate(database)
            services.found_instance(database)
            services.open_store(settings, services.this_instance(database))
            welcome = _first_user(database, settings)
        finally:
            database.close()
        if welcome:
            click.echo(welcome)


def _first_user(database: Database, settings: Settings) -> str | None:
    with database.read() as session:
        if session.scalar(sa.select(Namespace.id).limit(1)) is not None:
            return None
    password = secrets.token_urlsafe(12)
    hashed = accounts.Passwords().hash(password)
    try:
        with database.write() as session:
            user = accounts.add_user(session, FIRST_USER, hashed, admin=True)
            token, _ = accounts.add_token(session, user, role="write", name="first token")
    except (Collision, Conflict):
        # Another replica that started at the same moment has made, and shown, the first user.
        return None
    return WELCOME.format(url=settings.url, user=FIRST_USER, password=password, token=token)


WELCOME = """\
AdapterHub is at {url}

  user      {user}
  password  {password}
  token     {token}     (role write; both are shown this once)

Push:
  export HF_ENDPOINT={url} HF_TOKEN={token}
  hf upload {user}/my-adapter ./my-adapter

Pull:
  export HF_ENDPOINT={url}
  hf download {user}/my-adapter
"""


def _run(settings: Settings) -> None:
    # uvicorn finishes what is under way at SIGTERM and then raises the signal again: this makes that a clean end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _serve(settings)
    except SystemExit as end:
        # uvicorn has said why; its exit code for "could not start" is not ours.
        sys.exit(COULD_NOT_RUN if end.code else 0)


def _serve(settings: Settings) -> None:
    import uvicorn

    uvicorn.run(
        "hub.app:serving_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        access_log=False,
        log_level="warning",
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )


@main.command()
def migrate() -> None:
    """Bring the database up to date."""
    database = services.open_database(Settings())
    try:
        changed = schema.migrate(database)
        services.found_instance(database)
    finally:
        database.close()
    click.echo(f"The database is {'now ' if changed else ''}at revision {schema.newest()}.")


# --- accounts ------------------------------------------------------------------------------------------------------


@main.group()
def user() -> None:
    """Users."""


def _new_password(name: str, from_stdin: bool) -> str:
    password = sys.stdin.readline().rstrip("\n") if from_stdin else secrets.token_urlsafe(12)
    accounts.check_password(name, password)
    return password


@user.command("add")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
@click.option("--admin", is_flag=True, help="May administer the hub.")
def user_add(name: str, password_stdin: bool, admin: bool) -> None:
    """Add a user and print the password."""
    password = _new_password(name, password_stdin)
    hashed = accounts.Passwords().hash(password)
    with _database() as database, database.write() as session:
        accounts.add_user(session, name, hashed, admin=admin)
    if not password_stdin:
        click.echo(password)


@user.command("list")
def user_list() -> None:
    """Every user: name, rights, since when."""
    with _database() as database, database.read() as session:
        for found in session.scalars(sa.select(Namespace).where(Namespace.kind == accounts.USER).order_by(Namespace.name)):
            marks = [mark for mark, there in (("admin", found.is_admin), ("disabled", found.disabled_at is not None)) if there]
            click.echo("\t".join((found.name, ",".join(marks) or "-", _day(found.created_at))))


@user.command("disable")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let the user in again.")
def user_disable(name: str, undo: bool) -> None:
    """Shut a user out at once, tokens included."""
    with _database() as database, database.write() as session:
        accounts.disable(session, accounts.get(session, name, accounts.USER), not undo)


@user.command("password")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
def user_password(name: str, password_stdin: bool) -> None:
    """Give a user a new password and print it."""
    password = _new_password(name, password_stdin)
    hashed = accounts.Passwords().hash(password)
    with _database() as database, database.write() as session:
        accounts.set_password(session, accounts.get(session, name, accounts.USER), hashed)
    if not password_stdin:
        click.echo(password)


@main.group()
def org() -> None:
    """Organisations."""


@org.command("add")
@click.argument("name")
@click.option("--owner", required=True, help="The user who becomes its first admin.")
def org_add(name: str, owner: str) -> None:
    """Add an organisation."""
    with _database() as database, database.write() as session:
        accounts.add_org(session, name, accounts.get(session, owner, accounts.USER))


@org.command("member")
@click.argument("name")
@click.argument("user")
@click.argument("role", type=click.Choice([*access.ROLES, "none"]))
def org_member(name: str, user: str, role: str) -> None:
    """Give USER a ROLE in the organisation NAME; none takes it away."""
    with _database() as database, database.write() as session:
        org_, member = accounts.get(session, name, accounts.ORG), accounts.get(session, user, accounts.USER)
        accounts.set_member(session, org_, member, None if role == "none" else role)


@main.group()
def token() -> None:
    """Access tokens."""


@token.command("create")
@click.option("--user", "name", required=True)
@click.option("--role", type=click.Choice(["read", "write"]), default="read", show_default=True)
@click.option("--namespace", help="Good for one namespace only.")
@click.option("--repo", help="Good for one repository only, as namespace/name.")
@click.option("--expires-days", type=click.FloatRange(min=0, min_open=True), help="Days until it ends; without it, never.")
@click.option("--name", "label", default="", help="A label to know it by.")
def token_create(*, name: str, role: str, namespace: str | None, repo: str | None, expires_days: float | None, label: str) -> None:
    """Make a token and print it, alone, on standard output."""
    with _database() as database, database.write() as session:
        owner = accounts.get(session, name, accounts.USER)
        secret, _ = accounts.add_token(session, owner, role=role, name=label, namespace=namespace, repo=repo, days=expires_days)
    click.echo(secret)


@token.command("list")
@click.option("--user", "name", help="Only those of one user.")
def token_list(name: str | None) -> None:
    """Every token: id, user, role, label, expiry, last use."""
    with _database() as database, database.read() as session:
        owner = accounts.get(session, name, accounts.USER) if name else None
        for found in accounts.tokens(session, owner):
            state = "revoked" if found.revoked_at else _day(found.expires_at) if found.expires_at else "never"
            click.echo("\t".join((str(found.id), found.user.name, found.role, found.name or "-", state, _day(found.last_used_at))))


@token.command("revoke")
@click.argument("token_id", type=int)
def token_revoke(token_id: int) -> None:
    """End the token with this id at once."""
    with _database() as database, database.write() as session:
        accounts.revoke_token(session, token_id)


def _day(milliseconds: int | None) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M") if milliseconds else "-"


@main.group()
def repo() -> None:
    """Repositories."""


@repo.command("release")
@click.argument("full_name")
def repo_release(full_name: str) -> None:
    """Free the name of a deleted repository, so that it can be used again."""
    with _database() as database, database.write() as session:
        repos.release(session, full_name)


@main.command("new-epoch")
def new_epoch() -> None:
    """After a backup was restored: make every Xet client forget what it has uploaded before. Restart the hub then."""
    with _database() as database:
        epoch = services.raise_epoch(database)
    click.echo(f"The epoch is {epoch} now. Restart the hub.")


# --- looking after the hub -----------------------------------------------------------------------------------------


@main.command()
@click.option("--read-data", is_flag=True, help="Also read and hash every byte.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding, and a summary.")
def fsck(read_data: bool, as_json: bool) -> None:
    """Check refs, commits, manifests, blobs and, if asked, bytes. Exit code 1 when something is wrong."""
    settings = Settings()
    found = 0
    with _database() as database:
        store = services.open_store(settings, services.this_instance(database))
        for finding in upkeep.fsck(database, store, read_data=read_data, progress=_progress):
            found += 1
            click.echo(json.dumps(asdict(finding)) if as_json else f"{finding.kind}: {finding.where}: {finding.message}")
    click.echo(json.dumps({"findings": found}) if as_json else f"{found} findings." if found else "All is well.")
    sys.exit(FINDINGS if found else 0)


@main.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, remove nothing.")
@click.option("--orphans", is_flag=True, help="Also remove old objects of which the database knows nothing. Not after a restore!")
def gc(dry_run: bool, orphans: bool) -> None:
    """Remove what nobody can reach any more."""
    settings = Settings()
    with _database() as database:
        store = services.open_store(settings, services.this_instance(database))
        done = upkeep.gc(database, store, settings, dry_run=dry_run, orphans=orphans, progress=_progress)
    verb = "would go" if dry_run else "gone"
    click.echo(
        f"{done.blobs} blobs {verb} ({done.bytes} bytes), {done.marked} marked; "
        f"{done.repositories} deleted repositories, {done.commits} commits,"
    )
    click.echo(f"{done.grants} expired uploads, {done.xorbs} xorbs, {done.staged} staged files and {done.orphans} orphans {verb}.")


def _progress(what: str, done: int, total: int) -> None:
    """A counter that stays in its line on a terminal, a plain line every thousand elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r{what}: {done} of {total}", nl=done == total, err=True)
    elif done % 1_000 == 0 or done == total:
        click.echo(f"{what}: {done} of {total}", err=True)


if __name__ == "__main__":
    main()

"""Every command in a process of its own: what it prints, how it ends, and what it changes."""

import hashlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from hub import __version__, accounts, schema
from hub.db import Database
from hub.models import Instance, Namespace, Token
from hub.settings import Settings
from tests.support.http import Http
from tests.support.server import ROOT, Account, Hub, HubFailed

DATABASES = ("sqlite", "postgres")
TOKEN = re.compile(r"hf_[0-9A-Za-z]{39}")


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[Hub]:
    """A hub that has never run, on SQLite; ended after the test."""
    yield from not_yet_running(tmp_path / "hub", "")


@pytest.fixture(params=DATABASES)
def either(request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[str], str]) -> Iterator[Hub]:
    """A hub that has never run, on either database; ended after the test."""
    yield from not_yet_running(tmp_path / "hub", new_database(request.param))


def not_yet_running(folder: Path, database_url: str) -> Iterator[Hub]:
    hub = Hub(folder, database_url)
    folder.mkdir()
    yield hub
    if hub.process:
        hub.stop()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a migrated hub with the users alice and bob."""
    hub = Hub(tmp_path_factory.mktemp("template"))
    hub.cli("migrate")
    database = database_of(hub)
    with database.write() as session:
        for name in ("alice", "bob"):
            accounts.add_user(session, name, accounts.Passwords().hash("correct horse"))
    database.close()
    return hub.data_dir


@pytest.fixture
def migrated(cold: Hub, template: Path) -> Hub:
    """A hub with the users alice and bob that does not run."""
    shutil.copytree(template, cold.data_dir)
    return cold


def run(hub: Hub, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hub.cli", *arguments],
        cwd=ROOT,
        env=hub.env,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_could_not_run(done: subprocess.CompletedProcess[str], text: str) -> None:
    """One line that says why, and exit code 2."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("adapterhub: ")
    assert text in line


def database_of(hub: Hub) -> Database:
    return Database(Settings(data_dir=hub.data_dir, database_url=hub.database_url).database)


# --- what needs no hub ---------------------------------------------------------------------------------------------


def test_help_and_version(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    assert __version__ in hub.cli("--version")
    listed = hub.cli("--help")
    for command in ("serve", "migrate", "user", "org", "token", "repo", "fsck", "gc"):
        assert re.search(rf"^  {command} ", listed, re.MULTILINE)
    assert not hub.data_dir.exists(), "looking at the help makes nothing"


@pytest.mark.parametrize("wrong", [["unknown"], ["user", "unknown"], ["user", "add"], ["token", "create"], ["gc", "--wet-run"]])
def test_a_command_that_is_none_ends_with_2(tmp_path: Path, wrong: list[str]) -> None:
    assert run(Hub(tmp_path), *wrong).returncode == 2


# --- migrate -------------------------------------------------------------------------------------------------------


def test_migrate_founds_the_hub_once(either: Hub) -> None:
    assert either.cli("migrate") == f"The database is now at revision {schema.newest()}.\n"
    first = instance(either)
    assert either.cli("migrate") == f"The database is at revision {schema.newest()}.\n"
    assert instance(either) == first


def instance(hub: Hub) -> tuple[str, bytes]:
    database = database_of(hub)
    with database.read() as session:
        found = session.scalars(sa.select(Instance)).one()
    database.close()
    return found.uid, found.secret


def test_replicas_that_migrate_at_once_agree(either: Hub) -> None:
    command = [sys.executable, "-m", "hub.cli", "migrate"]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=either.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    ended = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ended
    instance(either)


def test_other_commands_wait_for_migrate(cold: Hub) -> None:
    for command in (["user", "list"], ["fsck"]):
        assert_could_not_run(run(cold, *command), "adapterhub migrate")


def test_a_database_of_a_newer_hub_is_refused(either: Hub) -> None:
    either.cli("migrate")
    database = database_of(either)
    with database.write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for command in ("serve", "migrate"):
        assert_could_not_run(run(either, command), "newer")


def test_a_database_that_does_not_answer_is_said(tmp_path: Path) -> None:
    hub = Hub(tmp_path, "postgresql://nobody@127.0.0.1:1/none")
    for command in (["serve"], ["user", "list"]):
        assert_could_not_run(run(hub, *command), "HUB_DATABASE_URL")


# --- users, organisations, tokens ----------------------------------------------------------------------------------


def test_users(migrated: Hub) -> None:
    password = migrated.cli("user", "add", "Carol")
    assert re.fullmatch(r"\S{12,}\n", password)
    assert migrated.cli("user", "add", "dave", "--password-stdin", "--admin", text="battery staple\n") == ""
    assert migrated.cli("user", "disable", "carol") == ""
    listed = [line.split("\t") for line in migrated.cli("user", "list").splitlines()]
    assert [line[:2] for line in listed] == [["Carol", "disabled"], ["alice", "-"], ["bob", "-"], ["dave", "admin"]]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", line[2]) for line in listed)
    assert not password_fits(migrated, "carol", password.strip())
    assert migrated.cli("user", "disable", "carol", "--undo") == ""
    assert password_fits(migrated, "carol", password.strip())
    assert password_fits(migrated, "dave", "battery staple")


def test_users_that_are_refused(migrated: Hub) -> None:
    assert_could_not_run(run(migrated, "user", "add", "ALICE"), "taken")
    assert_could_not_run(run(migrated, "user", "add", "a b"), "a b")
    assert_could_not_run(run(migrated, "user", "disable", "carol"), "carol")


def password_fits(hub: Hub, name: str, password: str) -> bool:
    database = database_of(hub)
    with database.read() as session:
        found = accounts.authenticate(session, accounts.Passwords(), name, password)
    database.close()
    return found is not None


def test_a_new_password(migrated: Hub) -> None:
    new = migrated.cli("user", "password", "alice").strip()
    assert [password_fits(migrated, "alice", word) for word in ("correct horse", new)] == [False, True]
    assert migrated.cli("user", "password", "alice", "--password-stdin", text="battery staple") == ""
    assert [password_fits(migrated, "alice", word) for word in (new, "battery staple")] == [False, True]
    assert_could_not_run(run(migrated, "user", "password", "carol"), "carol")


@pytest.mark.parametrize("password", ["", "short", "somebody", "x" * 129])
def test_passwords_that_are_refused(migrated: Hub, password: str) -> None:
    assert_could_not_run(run(migrated, "user", "add", "somebody", "--password-stdin", text=password), "password")


def test_a_token_is_printed_alone_and_kept_as_a_hash(migrated: Hub) -> None:
    printed = migrated.cli("token", "create", "--user", "alice", "--role", "write", "--name", "laptop", "--expires-days", "1")
    token = printed.removesuffix("\n")
    assert TOKEN.fullmatch(token)
    assert re.fullmatch(r"1\talice\twrite\tlaptop\t\d{4}-.*\t-\n", migrated.cli("token", "list", "--user", "alice"))
    database = database_of(migrated)
    with database.read() as session:
        assert session.scalars(sa.select(Token.sha256)).all() == [hashlib.sha256(token.encode()).hexdigest()]
    database.close()
    for path in migrated.data_dir.rglob("*"):
        assert path.is_dir() or token[3:].encode() not in path.read_bytes()


def test_tokens(migrated: Hub) -> None:
    migrated.cli("org", "add", "acme", "--owner", "alice")
    tokens = {migrated.token("alice"), migrated.token("alice", "read"), migrated.token("alice", "write", "--namespace", "acme")}
    assert len(tokens) == 3
    assert migrated.cli("token", "revoke", "1") == ""
    assert migrated.cli("token", "revoke", "1") == ""
    listed = [line.split("\t") for line in migrated.cli("token", "list").splitlines()]
    assert [(line[0], line[2], line[4]) for line in listed] == [("3", "write", "never"), ("2", "read", "never"), ("1", "write", "revoked")]
    assert_could_not_run(run(migrated, "token", "revoke", "99"), "99")
    assert_could_not_run(run(migrated, "token", "create", "--user", "carol"), "carol")
    assert_could_not_run(run(migrated, "token", "create", "--user", "alice", "--repo", "alice/none"), "alice/none")
    assert_could_not_run(run(migrated, "token", "create", "--user", "alice", "--namespace", "none"), "none")
    assert run(migrated, "token", "create", "--user", "alice", "--expires-days", "0").returncode == 2
    assert run(migrated, "token", "create", "--user", "alice", "--role", "admin").returncode == 2


def test_organisations(migrated: Hub) -> None:
    assert migrated.cli("org", "add", "acme", "--owner", "alice") == ""
    assert migrated.cli("org", "member", "acme", "bob", "write") == ""
    assert migrated.cli("org", "member", "acme", "bob", "none") == ""
    assert_could_not_run(run(migrated, "org", "member", "acme", "alice", "read"), "last admin")
    assert_could_not_run(run(migrated, "org", "add", "Alice", "--owner", "bob"), "taken")
    assert_could_not_run(run(migrated, "org", "add", "other", "--owner", "carol"), "carol")
    assert_could_not_run(run(migrated, "org", "member", "alice", "bob", "read"), "alice")


# --- serve ---------------------------------------------------------------------------------------------------------


def test_the_first_start_says_how_to_use_the_hub(either: Hub) -> None:
    began = time.monotonic()
    either.start()
    print(f"first start: ready after {time.monotonic() - began:.2f} s")
    welcome = either.log()
    (token, *more) = set(TOKEN.findall(welcome))
    assert more == []
    password = re.search(r"password +(\S+)", welcome)
    assert password
    assert password_fits(either, "admin", password[1])
    with Http(either, Account("admin", "", token)) as http:
        assert http.get("/api/whoami-v2").json()["name"] == "admin"
        assert http.create_repo("admin/my-adapter").is_success
    began = time.monotonic()
    either.restart()
    print(f"second start: ready after {time.monotonic() - began:.2f} s, stopping included")
    again = either.log().removeprefix(welcome)
    assert "password" not in again
    assert token not in again


def test_no_first_user_where_there_is_one(migrated: Hub) -> None:
    migrated.start()
    assert "password" not in migrated.log()
    database = database_of(migrated)
    with database.read() as session:
        assert session.scalars(sa.select(Namespace.name).order_by(Namespace.name)).all() == ["alice", "bob"]
    database.close()


def test_a_second_hub_on_the_same_data_is_refused(either: Hub) -> None:
    either.start()
    other = Hub(either.folder, either.database_url)
    assert_could_not_run(run(other, "serve"), "Another hub runs on")
    assert either.ready()
    either.stop()
    other.start()
    other.stop()


def test_a_port_in_use_is_said(cold: Hub, tmp_path: Path) -> None:
    cold.start()
    other = Hub(tmp_path / "other", settings={"HUB_PORT": str(cold.port)})
    done = run(other, "serve")
    assert done.returncode == 2
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_ends_at_sigterm_with_0(cold: Hub) -> None:
    cold.start()
    process = cold.process
    assert process is not None
    cold.stop()
    assert process.returncode in {0, -signal.SIGTERM}
    with pytest.raises(HubFailed, match="adapterhub user list ended"):
        Hub(cold.folder / "elsewhere").cli("user", "list")


def test_what_the_hub_makes_is_for_its_user_only(cold: Hub) -> None:
    cold.start()
    for path in (cold.data_dir, cold.data_dir / "store", cold.data_dir / "store" / "staging", cold.data_dir / "tmp"):
        assert path.stat().st_mode & 0o077 == 0, path


# --- repositories --------------------------------------------------------------------------------------------------


def test_a_deleted_name_is_released(cold: Hub) -> None:
    cold.start()
    with Http(cold, cold.add_user("alice")) as http:
        assert http.create_repo("alice/sst2").is_success
        assert_could_not_run(run(cold, "repo", "release", "alice/sst2"), "alice/sst2")
        assert http.request("DELETE", "/api/repos/delete", json={"name": "sst2", "organization": "alice"}).is_success
        assert http.create_repo("alice/sst2").status_code == 403
        assert cold.cli("repo", "release", "alice/sst2") == ""
        assert http.create_repo("alice/sst2").is_success


def test_gc_says_what_it_did(migrated: Hub) -> None:
    done = run(migrated, "gc")
    assert done.returncode == 0
    assert done.stdout.startswith("0 blobs gone (0 bytes)")
    assert "would go" in migrated.cli("gc", "--dry-run")
    assert migrated.cli("fsck") == "All is well.\n"

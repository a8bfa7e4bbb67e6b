"""Fixtures that every test may ask for: a running hub on either database, accounts, names, clients."""

from collections.abc import Callable, Generator, Iterator
from uuid import uuid4

import pytest

from tests.support.clients import Client
from tests.support.http import Http
from tests.support.server import LOG_CHARACTERS, Account, Hub, Postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One Postgres for all the tests of this process."""
    server = Postgres(tmp_path_factory.mktemp("pg"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Makes an empty database: ``new_database("sqlite")`` or ``new_database("postgres")`` is a URL for HUB_DATABASE_URL."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return ""
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_database()

    return make


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]) -> Iterator[Hub]:
    """A running hub, shared by all tests: use names of your own in it."""
    running = Hub(tmp_path_factory.mktemp("hub"), new_database(request.param))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def alice(hub: Hub) -> Account:
    """A user with a token that may write."""
    return hub.add_user("alice")


@pytest.fixture(scope="session")
def bob(hub: Hub) -> Account:
    """Another user, who has no rights in alice's namespace."""
    return hub.add_user("bob")


@pytest.fixture
def repo_id(alice: Account) -> str:
    """A name in alice's namespace that no other test uses; nothing has been made under it."""
    return f"{alice.name}/repo-{uuid4().hex[:12]}"


@pytest.fixture
def http(hub: Hub) -> Iterator[Http]:
    """Raw HTTP to the hub, as nobody."""
    with Http(hub) as client:
        yield client


@pytest.fixture
def alice_http(hub: Hub, alice: Account) -> Iterator[Http]:
    """Raw HTTP to the hub, as alice."""
    with Http(hub, alice) as client:
        yield client


@pytest.fixture(scope="session")
def new_client(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Client]:
    """Makes a client with an empty home: ``new_client("modern", alice)``, ``new_client("middle", None, xet=False)``."""

    def make(generation: str, account: Account | None, *, xet: bool = True) -> Client:
        return Client(generation, hub, account, tmp_path_factory.mktemp(f"home-{generation}"), xet)

    return make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the end of each running hub's log to the report of a failed test."""
    report = yield
    if report.failed:
        report.sections.extend((f"log of {hub.url}", hub.log()[-LOG_CHARACTERS:]) for hub in Hub.running)
    return report

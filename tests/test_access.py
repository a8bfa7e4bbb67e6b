"""Every route of the hub, asked by every kind of caller, of repositories of every kind."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from starlette.routing import BaseRoute, Mount

from hub import access, accounts, schema
from hub.access import Action, Viewer
from hub.app import create_app
from hub.db import Database, ReadSession, WriteSession, now_ms
from hub.errors import RepoNotFound
from hub.models import Namespace, Repo, Token
from hub.settings import Settings
from tests.support.http import Http
from tests.support.server import Hub
from tests.support.table import CALLERS, KINDS, ROUTES, Case, Row, Target, World, expected, outcome

# --- the table -----------------------------------------------------------------------------------------------------


def _routes(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Method and template of every route, those of included routers too; what is mounted serves the same files to everybody."""
    for route in routes:
        if isinstance(route, Mount):
            continue
        if (included := getattr(route, "original_router", None)) is not None:
            yield from _routes(included.routes)
            continue
        yield from ((method, route.path) for method in route.methods)  # type: ignore[attr-defined]


def test_the_table_holds_exactly_the_routes_of_the_application(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    in_table = {(method, row.template) for row in ROUTES for method in row.methods.split()}
    there = set(_routes(app.router.routes))
    assert there - in_table == set(), "routes that nobody has thought about"
    assert in_table - there == set(), "rows of routes that are gone"


@pytest.fixture(scope="module")
def world(hub: Hub) -> World:
    return World(hub)


@pytest.fixture(scope="module")
def targets(world: World) -> dict[str, Target]:
    return {kind: world.make_target(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def clients(world: World, targets: dict[str, Target]) -> Iterator[dict[tuple[str, str], Http]]:
    made = {(caller, kind): world.http(caller, targets[kind]) for caller, kind in itertools.product(CALLERS, KINDS)}
    yield made
    for client in made.values():
        client.close()


@pytest.mark.parametrize("row", ROUTES, ids=str)
def test_every_caller_gets_what_the_table_says(
    row: Row, world: World, targets: dict[str, Target], clients: dict[tuple[str, str], Http]
) -> None:
    wrong = []
    for method, kind, caller in itertools.product(row.methods.split(), row.kinds, CALLERS):
        case = world.case(world.make_target(kind) if row.destroys else targets[kind])
        values = row.prepare(clients["admin", kind], case) if row.prepare else {}
        with ExitStack() as opened:
            asker = opened.enter_context(world.http(caller, case.target)) if row.destroys else clients[caller, kind]
            got, wanted = outcome(row.request(asker, method, case, **values)), expected(row.need, kind, caller)
        if got != wanted:
            wrong.append(f"{method} on a {kind} repository by {caller}: {got}, should be {wanted}")
    assert not wrong, "\n".join(wrong)


# --- nobody learns anything from an error --------------------------------------------------------------------------

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MALFORMED = [(body, JSON) for body in (b"", b"{", b"[]", b'{"unknown": 1}', b'{"name": 1, "files": 1, "objects": 1, "tag": 1}', b"\xff")]
MALFORMED.append((b"name=x", FORM))
STRANGERS = ("anonymous", "outsider", "elsewhere", "expired", "revoked")
QUIET = {"date", "x-request-id"}
WITH_BODY = [row for row in ROUTES if set(row.methods.split()) & {"POST", "PUT", "DELETE"} and row.need not in {"open", "account"}]


class Seen(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    text: str


def _seen(row: Row, http: Http, method: str, case: Case, *, body: bytes, media_type: str) -> Seen:
    url = case.url(row.template, **row.values)
    answer = http.request(method, url, content=body, headers={"Content-Type": media_type})
    text = answer.text.replace(case.target.repo_id, "<repository>")
    return Seen(answer.status_code, [(name, value) for name, value in answer.headers.items() if name not in QUIET], text)


@pytest.mark.parametrize("row", WITH_BODY, ids=str)
def test_a_malformed_body_does_not_tell_private_from_missing(
    row: Row, world: World, targets: dict[str, Target], clients: dict[tuple[str, str], Http]
) -> None:
    private, missing = world.case(targets["private"]), world.case(world.missing())
    for method, caller, (body, media_type) in itertools.product(row.methods.split(), STRANGERS, MALFORMED):
        answers = [_seen(row, clients[caller, "private"], method, case, body=body, media_type=media_type) for case in (private, missing)]
        assert answers[0] == answers[1], (caller, body)
        assert answers[0].status in {400, 401, 403, 404}, (caller, body, answers[0])


# --- the twin ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, new_database: Callable[[str], str], tmp_path: Path) -> Iterator[Database]:
    made = Database(Settings(data_dir=tmp_path, database_url=new_database(request.param)).database)
    schema.migrate(made)
    yield made
    made.close()


def _populate(session: WriteSession) -> None:
    """Two users and two organisations in every relation to each other, repositories of every kind, tokens of every scope."""
    users = [accounts.add_user(session, name, "") for name in ("ann", "ben")]
    session.flush()
    orgs = [accounts.add_org(session, name, users[0]) for name in ("one", "two")]
    session.flush()
    accounts.set_member(session, orgs[0], users[1], "read")
    repos = [
        Repo(
            uid=f"{owner.id}-{private}-{deleted}",
            namespace_id=owner.id,
            name=(name := f"repo-{private}-{deleted}".lower()),
            full_name=f"{owner.name}/{name}",
            slug=f"{owner.name}/{name}",
            private=private,
            deleted_at=now_ms() if deleted else None,
        )
        for owner, private, deleted in itertools.product((*users, *orgs), (False, True), (False, True))
    ]
    session.add_all(repos)
    session.flush()
    scopes = [(None, None), *((owner.id, None) for owner in (*users, *orgs)), *((None, repo.id) for repo in repos)]
    session.add_all(
        Token(user_id=user.id, sha256=f"{user.id}-{role}-{number}", role=role, namespace_id=namespace, repo_id=repo)
        for user, role, (number, (namespace, repo)) in itertools.product(users, ("read", "write"), enumerate(scopes))
    )


def _listed(session: ReadSession, viewer: Viewer) -> set[str]:
    return set(session.scalars(sa.select(Repo.full_name).where(access.visible_to(viewer))))


def _found(session: ReadSession, credential: str | None, names: list[str]) -> set[str]:
    found = set()
    for name in names:
        try:
            place = access.find(session, credential, *name.split("/"))
        except RepoNotFound:
            continue
        assert access.allowed(place, Action.SEE)
        found.add(place.full_name)
    return found


def test_lists_show_exactly_what_can_be_seen_one_by_one(database: Database) -> None:
    with database.write() as session:
        _populate(session)
    with database.read() as session:
        names = list(session.scalars(sa.select(Repo.full_name)))
        assert len(names) == 16
        seen = {}
        for credential in [None, *session.scalars(sa.select(Token.sha256))]:
            viewer = access.viewer_now(session, Viewer(credential=credential))
            seen[credential] = _listed(session, viewer)
            assert seen[credential] == _found(session, credential, names), viewer
    assert len(seen[None]) == 4
    assert len(set(map(frozenset, seen.values()))) > 5, "the population is too simple to tell anything"


def test_the_role_of_a_caller_never_exceeds_that_of_the_token(database: Database) -> None:
    with database.write() as session:
        _populate(session)
    with database.read() as session:
        names = list(session.scalars(sa.select(Repo.full_name).where(Repo.deleted_at.is_(None))))
        owners = {user.id: user for user in session.scalars(sa.select(Namespace))}
        for token, name in itertools.product(session.scalars(sa.select(Token)).all(), names):
            try:
                place = access.find(session, token.sha256, *name.split("/"))
            except RepoNotFound:
                continue
            writes = access.allowed(place, Action.WRITE)
            covered = token.namespace_id in {None, place.namespace_id} and token.repo_id in {None, place.repo_id}
            belongs = owners[token.user_id].name == "ann" and owners[place.namespace_id].name != "ben"
            belongs |= owners[token.user_id].id == place.namespace_id
            assert writes == (token.role == "write" and covered and belongs), (token.sha256, name)

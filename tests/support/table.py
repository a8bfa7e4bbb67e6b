"""The table of every route: what it needs, and how each kind of caller is answered. And the world it is walked in.

``ROUTES`` says which right each route needs and how to call it so that nothing but the right decides. ``OUTCOMES`` says
what each caller gets. Both are written by hand, so that they know nothing of how the hub decides.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2

from hub import accounts
from hub.db import Database
from hub.models import Namespace
from hub.services import open_database
from hub.settings import Settings
from tests.support.http import Http, file, header
from tests.support.server import Account, Hub

WEIGHTS = b"weights that every repository of this world holds"
WEIGHTS_SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
NOBODY = "anonymous"

OUTCOMES = """
    need       where    anonymous  outsider   reader     writer     admin      reading    elsewhere  here

    nothing    any      nothing    nothing    nothing    nothing    nothing    nothing    nothing    nothing
    nowhere    any      hidden     hidden     hidden     hidden     hidden     hidden     hidden     hidden
    open       any      ok         ok         ok         ok         ok         ok         ok         ok
    seal       any      forbidden  forbidden  forbidden  forbidden  forbidden  forbidden  forbidden  forbidden
    asker      any      ok         ok         ok         ok         ok         ok         ok         ok
    account    any      sign-in    ok         ok         ok         ok         ok         ok         ok
    make       any      sign-in    forbidden  forbidden  ok         ok         forbidden  forbidden  forbidden

    see        public   ok         ok         ok         ok         ok         ok         ok         ok
    see        gated    ok         ok         ok         ok         ok         ok         ok         ok
    see        private  hidden     hidden     ok         ok         ok         ok         hidden     ok

    read       public   ok         ok         ok         ok         ok         ok         ok         ok
    read       gated    gated      gated      ok         ok         ok         ok         gated      ok
    read       private  hidden     hidden     ok         ok         ok         ok         hidden     ok

    like       public   sign-in    ok         ok         ok         ok         forbidden  forbidden  ok
    like       gated    sign-in    ok         ok         ok         ok         forbidden  forbidden  ok
    like       private  hidden     hidden     ok         ok         ok         forbidden  hidden     ok

    write      public   sign-in    forbidden  forbidden  ok         ok         forbidden  forbidden  ok
    write      gated    sign-in    forbidden  forbidden  ok         ok         forbidden  forbidden  ok
    write      private  hidden     hidden     forbidden  ok         ok         forbidden  hidden     ok

    admin      public   sign-in    forbidden  forbidden  forbidden  ok         forbidden  forbidden  ok
    admin      gated    sign-in    forbidden  forbidden  forbidden  ok         forbidden  forbidden  ok
    admin      private  hidden     hidden     forbidden  forbidden  ok         forbidden  hidden     ok

    delete     public   sign-in    forbidden  forbidden  forbidden  ok         forbidden  forbidden  ok
    delete     gated    sign-in    forbidden  forbidden  forbidden  ok         forbidden  forbidden  ok
    delete     private  sign-in    hidden     forbidden  forbidden  ok         forbidden  hidden     ok

    move       public   sign-in    forbidden  forbidden  forbidden  ok         forbidden  forbidden  forbidden
    move       gated    sign-in    forbidden  forbidden  forbidden  ok         forbidden  forbidden  forbidden
    move       private  sign-in    hidden     forbidden  forbidden  ok         forbidden  hidden     forbidden
"""
"""reading: an admin's token of the role read. elsewhere, here: an admin's tokens for another repository, and for this one."""

ANSWER_ANY_TOKEN = {"open", "seal", "nothing"}
KINDS = ("public", "gated", "private")


def _parsed(text: str) -> dict[tuple[str, str, str], str]:
    heads, *rows = (line.split() for line in text.strip().splitlines() if line.strip())
    outcomes: dict[tuple[str, str, str], str] = {}
    for need, where, *answers in rows:
        for kind, (caller, answer) in itertools.product(KINDS if where == "any" else (where,), zip(heads[2:], answers, strict=True)):
            outcomes[need, kind, caller] = answer
    return outcomes


_OUTCOMES = _parsed(OUTCOMES)
CALLERS = (*dict.fromkeys(caller for _, _, caller in _OUTCOMES), "expired", "revoked")


def expected(need: str, kind: str, caller: str) -> str:
    """The outcome of a call. An expired or revoked token is refused wherever tokens are read at all, also on public repositories."""
    if caller in {"expired", "revoked"}:
        return _OUTCOMES[need, kind, NOBODY] if need in ANSWER_ANY_TOKEN else "bad-token"
    return _OUTCOMES[need, kind, caller]


def outcome(answer: httpx2.Response) -> str:
    """What an answer means, told by status and headers alone, as clients tell it."""
    code, message = answer.headers.get("X-Error-Code"), answer.headers.get("X-Error-Message")
    match answer.status_code:
        case 401 if message == "Invalid credentials in Authorization header":
            return "bad-token"
        case 401 | 404 if code == "RepoNotFound":
            return "hidden"
        case 401 | 403 if code == "GatedRepo":
            return "gated"
        case 401:
            return "sign-in"
        case 403:
            return "forbidden"
        case 404 if code is None:
            return "nothing"
        case status:
            return "ok" if status < 400 else f"{status} {code}: {message}"


CONSTANTS = {
    "rev": "main",
    "path": "README.md",
    "num": "1",
    "status": "accepted",
    "oid": WEIGHTS_SHA256,
    "capability": "e30.c2VhbA",
    "epoch": "1",
    "prefix": "default",
    "xorb_hash": "0" * 64,
    "rest": "v1/chunks/default/00",
    "topic": "any",
}


@dataclass(frozen=True)
class Target:
    """A repository to call routes on; one that is missing has all of it but existence."""

    repo_id: str
    uid: str

    @property
    def params(self) -> dict[str, str]:
        """Of an URL."""
        namespace, name = self.repo_id.split("/")
        return {"ns": namespace, "org": namespace, "name": name, "uid": self.uid}


@dataclass(frozen=True)
class Case:
    """One call of a route: on which repository, with a name that no other call uses."""

    target: Target
    fresh: str
    bystander: str

    def url(self, template: str, **values: str) -> str:
        """The template with everything filled in, ``values`` before all else."""
        params = CONSTANTS | self.target.params | {"branch": self.fresh, "tag": self.fresh, "user": self.bystander} | values
        return template.replace(":path}", "}").replace(":int}", "}").format_map(params)


Sent = Callable[[Case], dict[str, Any]]
Prepared = Callable[[Http, Case], Mapping[str, str]]


def _nothing(case: Case) -> dict[str, Any]:
    return {}


def _json(**body: Any) -> Sent:
    return lambda case: {"json": body}


@dataclass(frozen=True)
class Row:
    """A route: its methods and template as the application has them, the right it needs, and how it is called.

    ``prepare`` is done by an admin before each call that has to find something, and returns more ``values`` for the template;
    ``destroys`` asks for a repository of its own.
    """

    methods: str
    template: str
    need: str
    send: Sent = _nothing
    prepare: Prepared | None = None
    destroys: bool = False
    kinds: tuple[str, ...] = KINDS
    note: str = ""
    values: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.methods} {self.template}{f' ({self.note})' if self.note else ''}"

    def request(self, http: Http, method: str, case: Case, **values: str) -> httpx2.Response:
        """Call it."""
        return http.request(method, case.url(self.template, **{**self.values, **values}), **self.send(case))


MODEL = "/api/models/{ns}/{name}"
OBJECT = {"oid": WEIGHTS_SHA256, "size": len(WEIGHTS)}


def _commit(case: Case) -> dict[str, Any]:
    lines = "".join(json.dumps(line) + "\n" for line in _lines(case))
    return {"content": lines.encode(), "headers": {"Content-Type": "application/x-ndjson"}}


def _lines(case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    return header("Add a file"), file(f"{case.fresh}.txt", b"x")


def _made(kind: str) -> Prepared:
    def prepare(admin: Http, case: Case) -> Mapping[str, str]:
        url = f"/api/models/{case.target.repo_id}/" + (f"branch/{case.fresh}" if kind == "branch" else "tag/main")
        admin.post(url, json={"tag": case.fresh}).raise_for_status()
        return {}

    return prepare


def _rejected(admin: Http, case: Case) -> Mapping[str, str]:
    """The bystander's request stands rejected, whatever it was before."""
    url = f"/api/models/{case.target.repo_id}/user-access-request"
    admin.post(f"{url}/grant", json={"user": case.bystander})
    admin.post(f"{url}/handle", json={"user": case.bystander, "status": "rejected"})
    return {}


def _pulled(admin: Http, case: Case) -> Mapping[str, str]:
    opened = admin.commit(case.target.repo_id, _lines(case), create_pr="1")
    return {"num": opened.raise_for_status().json()["pullRequestUrl"].rpartition("/")[2]}


def _named(case: Case) -> dict[str, Any]:
    return {"json": {"organization": case.target.params["ns"], "name": case.target.params["name"]}}


def _new(case: Case) -> dict[str, Any]:
    return {"json": {"organization": case.target.params["ns"], "name": case.fresh}}


def _renamed(case: Case) -> dict[str, Any]:
    return {"json": {"fromRepo": case.target.repo_id, "toRepo": f"{case.target.params['ns']}/{case.fresh}"}}


def _bystander(**body: Any) -> Sent:
    return lambda case: {"json": {"user": case.bystander, **body}}


ROUTES = (
    # bytes out
    Row("GET HEAD", "/{ns}/{name}/resolve/{rev}/{path:path}", "read"),
    Row("GET HEAD", "/{ns}/{name}/raw/{rev}/{path:path}", "read"),
    Row("GET", "/{ns}/{name}.git/info/lfs/objects/{oid}", "read"),
    Row("POST", "/{ns}/{name}.git/info/lfs/objects/batch", "read", _json(operation="download", objects=[OBJECT]), note="download"),
    Row("GET", MODEL + "/auth-check", "read"),
    # what is there
    Row("GET", MODEL, "see"),
    Row("GET", MODEL + "/revision/{rev}", "see"),
    Row("GET", MODEL + "/tree/{rev}", "see"),
    Row("GET", MODEL + "/tree/{rev}/{path:path}", "see", values={"path": "docs"}),
    Row("POST", MODEL + "/paths-info/{rev}", "see", _json(paths=["README.md"])),
    Row("GET", MODEL + "/refs", "see"),
    Row("GET", MODEL + "/commits/{rev}", "see"),
    Row("GET", MODEL + "/discussions", "see"),
    Row("GET", MODEL + "/discussions/{num}", "see"),
    Row("GET", MODEL + "/likers", "see"),
    # bytes in
    Row("POST", MODEL + "/preupload/{rev}", "write", _json(files=[{"path": "a.txt", "size": 1}])),
    Row("POST", MODEL + "/commit/{rev}", "write", _commit),
    Row("POST", "/{ns}/{name}.git/info/lfs/objects/batch", "write", _json(operation="upload", objects=[OBJECT]), note="upload"),
    Row("POST", "/{ns}/{name}.git/info/lfs/verify", "write", _json(**OBJECT)),
    Row("GET", MODEL + "/xet-write-token/{rev}", "write"),
    Row("GET", MODEL + "/lfs-files", "write"),
    Row("GET", MODEL + "/auth-check/write", "write"),
    Row("PUT", "/api/lfs/{capability}", "seal"),
    Row("POST", "/cas/{epoch}/{uid}/v1/xorbs/{prefix}/{xorb_hash}", "seal"),
    Row("POST", "/cas/{epoch}/{uid}/v1/shards", "seal"),
    Row("POST", "/cas/{epoch}/{uid}/v2/shards", "seal"),
    Row("GET HEAD POST PUT", "/cas/{epoch}/{uid}/{rest:path}", "nothing"),
    # changes
    Row("POST", MODEL + "/branch/{branch}", "write", _json()),
    Row("DELETE", MODEL + "/branch/{branch}", "write", prepare=_made("branch")),
    Row("POST", MODEL + "/tag/{rev}", "write", lambda case: {"json": {"tag": case.fresh}}),
    Row("DELETE", MODEL + "/tag/{tag}", "write", prepare=_made("tag")),
    Row("POST", MODEL + "/super-squash/{rev}", "write", _json()),
    Row("POST", MODEL + "/discussions", "write", _json(title="A title")),
    Row("POST", MODEL + "/discussions/{num}/status", "write", _json(status="open")),
    Row("POST", MODEL + "/discussions/{num}/merge", "write", prepare=_pulled),
    Row("PUT", MODEL + "/settings", "admin", _json()),
    Row("GET", MODEL + "/user-access-request/{status}", "admin"),
    Row("POST", MODEL + "/user-access-request/grant", "admin", _bystander(), prepare=_rejected, kinds=("gated", "private")),
    Row(
        "POST",
        MODEL + "/user-access-request/handle",
        "admin",
        _bystander(status="accepted"),
        prepare=_rejected,
        kinds=("gated", "private"),
    ),
    Row("POST", MODEL + "/like", "like"),
    Row("DELETE", MODEL + "/like", "like"),
    Row("POST", "/{ns}/{name}/ask-access", "like", kinds=("gated", "private")),
    # life
    Row("POST", "/api/repos/create", "make", _new),
    Row("DELETE", "/api/repos/delete", "delete", _named, destroys=True),
    Row("POST", "/api/repos/move", "move", _renamed, destroys=True),
    # who and what is there
    Row("GET", "/api/models", "asker"),
    Row("GET", "/api/users/{user}/overview", "asker"),
    Row("GET", "/api/users/{user}/likes", "asker"),
    Row("GET", "/api/organizations/{org}/overview", "asker"),
    Row("GET", "/api/organizations/{org}/members", "account"),
    Row("GET", "/api/whoami-v2", "account"),
    Row("GET", "/api/settings/repositories", "account"),
    Row("GET", "/api/organizations/{org}/settings/repositories", "account"),
    # ids without a namespace
    Row("GET HEAD", "/{name}/resolve/{rev}/{path:path}", "nowhere"),
    Row("GET", "/api/models/{name}", "nowhere"),
    Row("GET", "/api/models/{name}/revision/{rev}", "nowhere"),
    Row("GET", "/api/models/{name}/tree/{rev}", "nowhere"),
    Row("GET", "/api/models/{name}/tree/{rev}/{path:path}", "nowhere"),
    # the same for everybody
    Row("GET", "/{ns}/{name}.git/info/refs", "nothing"),
    Row("GET", "/{ns}/{name}/info/refs", "nothing"),
    Row("POST", "/api/validate-yaml", "open", _json(content="")),
    Row("GET", "/api/agent-harnesses", "open"),
    Row("GET HEAD POST", "/api/telemetry/{topic:path}", "open"),
    Row("POST", "/v1/telemetry", "open"),
    Row("GET HEAD", "/api/openapi.json", "open"),
    Row("GET HEAD", "/healthz", "open"),
    Row("GET HEAD", "/readyz", "open"),
    Row("GET", "/metrics", "open"),
    Row("GET", "/", "open"),
)


@dataclass
class World:
    """An organisation with members of every role, strangers, and tokens of every kind, on a running hub."""

    hub: Hub
    accounts: dict[str, Account | None] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.mark = uuid4().hex[:8]
        self.org = f"acme-{self.mark}"
        self.bystander = f"bystander-{self.mark}"
        self.accounts[NOBODY] = None
        with self.changing() as session:
            for role in ("outsider", "reader", "writer", "admin"):
                self.accounts[role] = Account(*self._user(session, f"{role}-{self.mark}"))
            self._user(session, self.bystander)
            owner = accounts.get(session, self._name("admin"))
            org = accounts.add_org(session, self.org, owner)
            for role, right in (("reader", "read"), ("writer", "write")):
                accounts.set_member(session, org, accounts.get(session, self._name(role)), right)
        self.elsewhere = self.make_target("public")
        self.accounts |= {
            "reading": self.token("admin", role="read"),
            "elsewhere": self.token("admin", repo=self.elsewhere.repo_id),
            "expired": self.token("admin", days=-1),
            "revoked": self.token("admin", revoked=True),
        }

    @property
    def database(self) -> Database:
        """The running hub's own database, opened a second time."""
        return open_database(Settings(data_dir=self.hub.data_dir, database_url=self.hub.database_url))

    @contextmanager
    def changing(self) -> Iterator[Any]:
        """A write transaction beside the running hub, as its command line would make one."""
        database = self.database
        try:
            with database.write() as session:
                yield session
        finally:
            database.close()

    def _name(self, caller: str) -> str:
        account = self.accounts[caller]
        assert account is not None
        return account.name

    def _user(self, session: Any, name: str) -> tuple[str, str, str]:
        user = accounts.add_user(session, name, "no password signs in here")
        session.flush()
        secret, _ = accounts.add_token(session, user, role="write")
        return name, "", secret

    def token(self, caller: str, *, revoked: bool = False, role: str = "write", **scope: Any) -> Account:
        """Another token of a caller."""
        with self.changing() as session:
            user: Namespace = accounts.get(session, self._name(caller))
            secret, token = accounts.add_token(session, user, role=role, **scope)
            if revoked:
                accounts.revoke_token(session, token.id)
        return Account(self._name(caller), "", secret)

    def http(self, caller: str, target: Target | None = None) -> Http:
        """A client for a caller; ``here`` holds a token for the target."""
        account = self.token("admin", repo=target.repo_id) if caller == "here" and target else self.accounts[caller]
        return Http(self.hub, account)

    def fresh(self) -> str:
        """A name nobody uses."""
        return f"n{next(self.numbers)}-{uuid4().hex[:8]}"

    def case(self, target: Target) -> Case:
        """A call on a repository."""
        return Case(target, self.fresh(), self.bystander)

    def make_target(self, kind: str) -> Target:
        """A repository of the organisation with the files that the rows name, and a discussion."""
        repo_id = f"{self.org}/{self.fresh()}"
        with self.http("admin") as admin:
            made = admin.create_repo(repo_id, private=kind == "private")
            made.raise_for_status()
            if kind != "public":
                admin.put(f"/api/models/{repo_id}/settings", json={"gated": "manual"}).raise_for_status()
            admin.commit_files(repo_id, {"README.md": b"# A card\n", "docs/guide.md": b"How to\n", "weights.bin": WEIGHTS})
            admin.post(f"/api/models/{repo_id}/discussions", json={"title": "First"}).raise_for_status()
        return Target(repo_id, made.json()["id"])

    def missing(self) -> Target:
        """A repository that is not there, in the same namespace."""
        return Target(f"{self.org}/{self.fresh()}", uuid4().hex[:24])

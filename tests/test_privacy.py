"""What must not be learned: private repositories, other people's bytes, rights that have ended."""

import os
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import httpx2
import pytest

from hub.services import this_instance
from hub.uploads import Signer
from tests.support import lfs
from tests.support.http import Http, file, header, lfs_file
from tests.support.lfs import sha256
from tests.support.server import Account, Hub
from tests.support.table import ROUTES, WEIGHTS, Row, Target, World, outcome
from tests.support.xet_writer import push_of

STRANGERS = ("anonymous", "outsider", "elsewhere")
QUIET = {"date", "x-request-id"}
OF_A_REPOSITORY = [row for row in ROUTES if row.need not in {"open", "asker", "account", "make", "nothing"}]


@pytest.fixture(scope="module")
def world(hub: Hub) -> World:
    return World(hub)


@pytest.fixture(scope="module")
def admin(world: World) -> Iterator[Http]:
    with world.http("admin") as client:
        yield client


@pytest.fixture(scope="module")
def outsider(world: World) -> Iterator[Http]:
    with world.http("outsider") as client:
        yield client


@pytest.fixture(scope="module")
def private(world: World) -> Target:
    """A private repository that no test changes."""
    return world.make_target("private")


@pytest.fixture
def mine(outsider: Http, world: World) -> str:
    """A repository of the outsider's own."""
    account = world.accounts["outsider"]
    assert account is not None
    repo_id = f"{account.name}/{world.fresh()}"
    assert outsider.create_repo(repo_id).is_success
    return repo_id


class Seen(NamedTuple):
    """All that a caller can tell an answer by, the name that they asked for taken out."""

    status: int
    headers: list[tuple[str, str]]
    body: str


def _seen(answer: httpx2.Response, *taken_out: str) -> Seen:
    def cleaned(text: str) -> str:
        for name in taken_out:
            text = text.replace(name, "*" * 8)
        return text

    headers = sorted((key, cleaned(value)) for key, value in answer.headers.items() if key not in QUIET)
    return Seen(answer.status_code, headers, cleaned(answer.text))


# --- private is missing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", OF_A_REPOSITORY, ids=str)
def test_a_private_repository_answers_as_one_that_is_missing(row: Row, world: World, private: Target) -> None:
    for caller in STRANGERS:
        with world.http(caller) as http:
            for method in row.methods.split():
                there, missing = world.case(private), world.case(world.missing())
                answers = [_seen(row.request(http, method, case), case.target.repo_id) for case in (there, missing)]
                assert answers[0] == answers[1], (method, caller)
                assert answers[0].status in {401, 403, 404}


@pytest.mark.parametrize(
    "address",
    [
        "/api/models/{}/revision/no-such",
        "/api/models/{}/tree/main/no/such",
        "/api/models/{}/commits/main?limit=no-number",
        "/api/models/{}/discussions/no-number",
        "/api/models/{}/discussions/7",
        "/{}/resolve/refs%2Fpr%2F1/README.md",
        "/{}/resolve/main/no-such",
        "/{}/raw/HEAD/..%2F..%2Fpasswd",
        "/{}.git/info/lfs/objects/no-hash",
        "/api/models/{}?expand=no-such",
    ],
)
def test_neither_does_an_address_that_is_wrong_in_itself(world: World, private: Target, address: str) -> None:
    missing = world.missing()
    for caller in STRANGERS:
        with world.http(caller) as http:
            answers = [_seen(http.get(address.format(target.repo_id)), target.repo_id) for target in (private, missing)]
            assert answers[0] == answers[1], caller
            assert answers[0].status in {400, 401, 404}


def test_another_spelling_of_a_private_name_redirects_members_only(world: World, admin: Http, outsider: Http, private: Target) -> None:
    spelled = private.repo_id.upper().replace("-", "_")
    assert admin.get(f"/api/models/{spelled}").headers["Location"] == f"/api/models/{private.repo_id}"
    assert outcome(outsider.get(f"/api/models/{spelled}")) == "hidden"


def test_a_moved_private_repository_redirects_members_only(world: World, admin: Http) -> None:
    old, new = world.make_target("private").repo_id, f"{world.org}/{world.fresh()}"
    assert admin.post("/api/repos/move", json={"fromRepo": old, "toRepo": new}).is_success
    for address in (f"/api/models/{old}", f"/{old}/resolve/main/README.md", f"/api/models/{old}/refs"):
        assert admin.get(address).status_code == 307
        for caller in STRANGERS:
            with world.http(caller) as stranger:
                missing = world.missing().repo_id
                answers = [_seen(stranger.get(address.replace(old, name)), name) for name in (old, missing)]
                assert answers[0] == answers[1], caller


def test_an_old_name_does_not_tell_where_a_repository_went_in_secret(world: World, admin: Http) -> None:
    """A member of the old namespace who tries to use the name again learns nothing of the new one."""
    old = world.make_target("private").repo_id
    owner = world.accounts["admin"]
    assert owner is not None
    new = f"{owner.name}/merger-with-{world.fresh()}"
    assert admin.post("/api/repos/move", json={"fromRepo": old, "toRepo": new}).is_success
    with world.http("writer") as writer:
        again = writer.create_repo(old)
    assert again.status_code in {403, 409}
    assert new not in again.text + str(again.headers)
    assert owner.name not in again.text


# --- lists and counts ----------------------------------------------------------------------------------------------


def _ids(answer: httpx2.Response) -> set[str]:
    assert answer.is_success, answer.text
    return {item["id"] for item in answer.json()}


def test_lists_show_private_repositories_to_members_only(world: World, admin: Http) -> None:
    public, private = world.make_target("public").repo_id, world.make_target("private").repo_id
    word = private.split("/")[1]
    addresses = (f"/api/models?author={world.org}", f"/api/models?search={word}", f"/api/models?author={world.org}&full=true&limit=1000")
    with world.http("reader") as reader:
        assert {public, private} <= _ids(reader.get(addresses[0]))
        assert _ids(reader.get(addresses[1])) == {private}
    for caller in STRANGERS:
        with world.http(caller) as stranger:
            assert public in _ids(stranger.get(addresses[0]))
            assert not any(private in _ids(stranger.get(address)) for address in addresses), caller


def test_counts_and_likes_leave_out_what_is_private(world: World, admin: Http, outsider: Http) -> None:
    public, private = world.make_target("public").repo_id, world.make_target("private").repo_id
    owner = world.accounts["admin"]
    assert owner is not None
    for repo_id in (public, private):
        assert admin.post(f"/api/models/{repo_id}/like").is_success

    def liked(http: Http) -> set[str]:
        return {item["repo"]["name"] for item in http.get(f"/api/users/{owner.name}/likes").json()}

    def counted(http: Http) -> int:
        count: int = http.get(f"/api/organizations/{world.org}/overview").json()["numModels"]
        return count

    assert {public, private} <= liked(admin)
    assert public in liked(outsider)
    assert private not in liked(outsider)
    assert counted(outsider) == len(_ids(outsider.get(f"/api/models?author={world.org}")))
    assert counted(admin) == len(_ids(admin.get(f"/api/models?author={world.org}"))) > counted(outsider)


# --- public or private ---------------------------------------------------------------------------------------------

PUBLIC: list[dict[str, Any]] = [
    {},
    {"private": False},
    {"visibility": "public"},
    {"visibility": "public", "private": False},
    {"private": None},
]
PRIVATE: list[dict[str, Any]] = [{"private": True}, {"visibility": "private"}, {"visibility": "private", "private": True}]
UNCLEAR: list[dict[str, Any]] = [
    {"visibility": "private", "private": False},
    {"visibility": "public", "private": True},
    {"visibility": "PRIVATE"},
    {"visibility": ""},
    {"visibility": "internal"},
    {"visibility": True},
    {"visibility": ["private"]},
    {"private": "banana"},
    {"private": 2},
    {"private": []},
]


@pytest.mark.parametrize(("fields", "private"), [*((fields, False) for fields in PUBLIC), *((fields, True) for fields in PRIVATE)])
def test_both_ways_to_say_who_may_see_it(alice_http: Http, repo_id: str, fields: dict[str, Any], private: bool) -> None:
    assert alice_http.create_repo(repo_id, **fields).json()["private"] is private
    assert alice_http.get(f"/api/models/{repo_id}").json()["private"] is private
    if fields:
        other = alice_http.put(f"/api/models/{repo_id}/settings", json={"private": not private}).json()
        assert other["visibility"] == ("public" if private else "private")
        alice_http.put(f"/api/models/{repo_id}/settings", json=fields)
        assert alice_http.get(f"/api/models/{repo_id}").json()["private"] is (private if fields != {"private": None} else not private)


@pytest.mark.parametrize("fields", UNCLEAR, ids=str)
def test_what_is_not_clear_makes_nothing_and_changes_nothing(alice_http: Http, repo_id: str, fields: dict[str, Any]) -> None:
    assert alice_http.create_repo(repo_id, **fields).status_code == 400
    assert alice_http.get(f"/api/models/{repo_id}").status_code == 404
    assert alice_http.create_repo(repo_id, private=True).is_success
    assert alice_http.put(f"/api/models/{repo_id}/settings", json=fields | {"gated": "auto"}).status_code == 400
    now = alice_http.get(f"/api/models/{repo_id}").json()
    assert (now["private"], now["gated"]) == (True, False)


# --- rights that end, end at once ----------------------------------------------------------------------------------


def _reads(http: Http, repo_id: str) -> list[str]:
    addresses = (f"/{repo_id}/resolve/main/README.md", f"/api/models/{repo_id}", f"/api/models/{repo_id}/tree/main", "/api/whoami-v2")
    return [outcome(http.get(address)) for address in addresses]


def test_a_revoked_token_is_worth_nothing_at_once(world: World, hub: Hub, private: Target) -> None:
    account = world.token("reader", role="read")
    with Http(hub, account) as http:
        assert _reads(http, private.repo_id) == ["ok"] * 4
        newest = hub.cli("token", "list", "--user", account.name).splitlines()[0].split("\t")[0]
        hub.cli("token", "revoke", newest)
        assert _reads(http, private.repo_id) == ["bad-token"] * 4


def test_a_disabled_user_is_shut_out_at_once_and_let_in_again(hub: Hub, http: Http) -> None:
    name = f"carol-{uuid4().hex[:8]}"
    carol = hub.add_user(name)
    with Http(hub, carol) as own:
        assert own.create_repo(f"{name}/lora", private=True).is_success
        own.commit_files(f"{name}/lora", {"README.md": b"# Mine\n"})
        assert _reads(own, f"{name}/lora") == ["ok"] * 4
        hub.cli("user", "disable", name)
        assert _reads(own, f"{name}/lora") == ["bad-token"] * 4
        assert outcome(own.create_repo(f"{name}/other")) == "bad-token"
        hub.cli("user", "disable", name, "--undo")
        assert _reads(own, f"{name}/lora") == ["ok"] * 4


def test_a_repository_made_private_is_gone_for_strangers_at_once(world: World, admin: Http, outsider: Http) -> None:
    repo_id = world.make_target("public").repo_id
    commit = admin.get(f"/api/models/{repo_id}").json()["sha"]
    address = f"/{repo_id}/resolve/{commit}/README.md"
    assert outsider.get(address).is_success
    assert admin.put(f"/api/models/{repo_id}/settings", json={"private": True}).is_success
    assert outcome(outsider.get(address)) == "hidden"
    assert admin.put(f"/api/models/{repo_id}/settings", json={"private": False, "gated": "manual"}).is_success
    assert outcome(outsider.get(address)) == "gated"


def test_a_member_who_leaves_takes_no_right_along(world: World, hub: Hub, private: Target) -> None:
    name = f"guest-{uuid4().hex[:8]}"
    guest = hub.add_user(name)
    hub.cli("org", "member", world.org, name, "write")
    with Http(hub, guest) as http:
        data = os.urandom(64)
        address = lfs.href(http, private.repo_id, data)
        assert _reads(http, private.repo_id) == ["ok"] * 4
        hub.cli("org", "member", world.org, name, "none")
        assert _reads(http, private.repo_id) == ["hidden"] * 3 + ["ok"]
        assert lfs.put(http, address, data).status_code in {403, 404}


def test_an_expired_token_is_worth_nothing(hub: Hub, alice: Account, http: Http) -> None:
    token = hub.token(alice.name, "write", "--expires-days", "0.00002")
    headers = {"Authorization": f"Bearer {token}"}
    deadline = time.monotonic() + 10
    while http.get("/api/whoami-v2", headers=headers).is_success:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert outcome(http.get("/api/whoami-v2", headers=headers)) == "bad-token"


@pytest.mark.parametrize("value", ["Bearer", "Bearer hf_nobody", "Basic !!!", "Basic bm9ib2R5", "Token x", "Bearer a b", ""])
def test_a_header_without_a_good_token_is_refused_even_where_nobody_has_to_sign_in(http: Http, value: str) -> None:
    assert outcome(http.get("/api/models", headers={"Authorization": value})) == "bad-token"


def test_a_token_is_a_password_for_git(http: Http, alice: Account) -> None:
    assert http.get("/api/whoami-v2", auth=("anything", alice.token)).json()["name"] == alice.name


# --- bytes of others -----------------------------------------------------------------------------------------------


def _shape(http: Http, repo_id: str, operation: str, oid: str) -> Seen:
    """The answer to a batch of one object without what must differ: the hash, and the signed address, of which the length stays."""
    seen = _seen(lfs.batch(http, repo_id, operation, {oid: len(WEIGHTS)}), oid)
    return seen._replace(body=re.sub(r"/api/lfs/[^\"]*", lambda address: f"<{len(address[0])}>", seen.body))


@pytest.mark.parametrize("kind", ["public", "private"])
def test_a_batch_does_not_tell_what_others_have(world: World, outsider: Http, mine: str, kind: str) -> None:
    world.make_target(kind)
    for operation in ("upload", "download"):
        there, nowhere = (_shape(outsider, mine, operation, oid) for oid in (sha256(WEIGHTS), sha256(os.urandom(32))))
        assert there == nowhere
        assert ("actions" in there.body) == (operation == "upload")
    for data in (WEIGHTS, b"bytes that nobody has"):
        verified = outsider.post(f"/{mine}.git/info/lfs/verify", json={"oid": sha256(data), "size": len(data)})
        assert verified.status_code == 404
        assert outsider.get(f"/{mine}.git/info/lfs/objects/{sha256(data)}").status_code == 404


def test_naming_the_hash_of_others_bytes_does_not_commit_them(outsider: Http, mine: str, world: World) -> None:
    world.make_target("private")
    nowhere = sha256(os.urandom(32))
    before = outsider.get(f"/api/models/{mine}").json()["sha"]
    refusals = []
    for oid in (sha256(WEIGHTS), nowhere):
        for size in (len(WEIGHTS), 7):
            refusals.append(_seen(outsider.commit(mine, [header("Steal"), lfs_file("stolen.bin", oid, size)]), oid))
    assert refusals[0].status == 400
    assert refusals[:2] == refusals[2:]
    assert outsider.get(f"/api/models/{mine}").json()["sha"] == before


def test_bytes_sent_to_one_repository_are_not_at_hand_in_another(alice_http: Http, repo_id: str) -> None:
    other, data = f"{repo_id}-b", os.urandom(100)
    for name in (repo_id, other):
        assert alice_http.create_repo(name).is_success
    lfs.upload(alice_http, repo_id, data)
    line = [header("Add"), lfs_file("a.bin", sha256(data), len(data))]
    assert alice_http.commit(other, line).status_code == 400
    assert alice_http.commit(repo_id, line).is_success
    assert alice_http.commit(other, line).status_code == 400


def test_bytes_that_one_user_sent_are_not_another_users_to_commit(world: World, admin: Http) -> None:
    repo_id, data = world.make_target("private").repo_id, os.urandom(100)
    lfs.upload(admin, repo_id, data)
    with world.http("writer") as writer:
        assert writer.commit(repo_id, [header("Add"), lfs_file("a.bin", sha256(data), len(data))]).status_code == 400
        assert "actions" in lfs.answers(writer, repo_id, "upload", {sha256(data): len(data)})[0]


# --- capabilities --------------------------------------------------------------------------------------------------


def test_an_upload_address_takes_only_the_bytes_it_was_made_for(outsider: Http, mine: str) -> None:
    data = os.urandom(64)
    address = lfs.href(outsider, mine, data)
    assert lfs.put(outsider, address, os.urandom(64)).status_code == 422
    assert lfs.put(outsider, address, data[:-1]).status_code == 422
    assert lfs.put(outsider, address, data + b"x").status_code == 422
    assert "actions" in lfs.answers(outsider, mine, "upload", {sha256(data): len(data)})[0]
    assert lfs.put(outsider, address, data).status_code == 200
    assert lfs.put(outsider, address, data).status_code == 200


def test_forged_tampered_and_expired_addresses_are_refused(world: World, hub: Hub, outsider: Http, mine: str) -> None:
    data = os.urandom(64)
    address = lfs.href(outsider, mine, data)
    base, _, capability = address.rpartition("/")
    claims, _, mac = capability.partition(".")
    database = world.database
    signer = Signer(this_instance(database).secret)
    database.close()
    known = signer.read("lfs-put", capability)
    del known["exp"]
    assert lfs.put(outsider, f"{base}/{signer.sign('lfs-put', known, seconds=60)}", data).status_code == 200, (
        "the test signs as the hub does"
    )
    wrong = [
        f"{claims}.{mac[:-4]}AAAA",
        f"{claims}.",
        claims,
        f".{mac}",
        f"{claims[:-2]}.{mac}",
        f"{claims}é.{mac}",
        "." * 10,
        Signer(os.urandom(32)).sign("lfs-put", known, seconds=60),
        signer.sign("xet", known, seconds=60),
        signer.sign("lfs-put", known, seconds=-1),
    ]
    for one in wrong:
        assert outcome(lfs.put(outsider, f"{base}/{one}", data)) == "forbidden", one


def test_a_xet_token_opens_one_repository_only(alice_http: Http, http: Http, repo_id: str) -> None:
    other = f"{repo_id}-b"
    doors = []
    for name in (repo_id, other):
        assert alice_http.create_repo(name).is_success
        doors.append(alice_http.get(f"/api/models/{name}/xet-write-token/main").json())
    push = push_of(os.urandom(1000))
    (xorb_hash, xorb) = next(iter(push.xorbs.items()))

    def send(url: str, token: str, what: str, body: bytes) -> httpx2.Response:
        return http.post(f"{url}/{what}", content=body, headers={"Authorization": f"Bearer {token}"})

    for what, body in ((f"v1/xorbs/default/{xorb_hash}", xorb), ("v1/shards", push.shard), ("v2/shards", push.shard)):
        assert outcome(send(doors[0]["casUrl"], doors[1]["accessToken"], what, body)) == "forbidden"
        assert outcome(send(doors[1]["casUrl"], alice_http.account.token if alice_http.account else "", what, body)) == "forbidden"
        assert send(doors[0]["casUrl"], doors[0]["accessToken"], what, body).is_success
    shard = send(doors[1]["casUrl"], doors[1]["accessToken"], "v1/shards", push.shard)
    assert shard.status_code == 400, "the xorbs of one repository are at hand in another"
    assert outcome(alice_http.get("/api/whoami-v2", headers={"Authorization": f"Bearer {doors[0]['accessToken']}"})) == "bad-token"


# --- the log -------------------------------------------------------------------------------------------------------


def test_no_token_is_ever_logged_not_even_by_a_request_that_fails(hub: Hub, alice: Account, alice_http: Http, repo_id: str) -> None:
    data, secret = os.urandom(100_000), "a line of a private file"
    assert alice_http.create_repo(repo_id, private=True).is_success
    lfs.upload(alice_http, repo_id, data)
    commit = [header("Add"), lfs_file("a.bin", sha256(data), len(data)), file("secret.txt", secret.encode())]
    assert alice_http.commit(repo_id, commit).is_success
    stored = lfs.stored(hub, sha256(data))
    stored.unlink()
    stored.mkdir()  # nothing that the hub expects to meet where a file was
    failed = alice_http.get(f"/{repo_id}/resolve/main/a.bin")
    assert failed.status_code == 500
    foreign = f"hf_{uuid4().hex}"
    assert outcome(alice_http.get("/api/models", headers={"Authorization": f"Bearer {foreign}"})) == "bad-token"
    log = hub.log()
    assert failed.headers["X-Request-Id"] in log
    for text in (alice.token, alice.password, foreign, secret):
        assert text not in log
    for text in (alice.token, str(hub.data_dir), "Traceback"):
        assert text not in failed.text

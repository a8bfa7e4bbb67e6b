"""The Xet door by raw HTTP, as hf_xet speaks to it: xorbs, shards, and what is refused."""

import dataclasses
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from hub.xet import Scheme, Segment, ShardFile
from tests.support.capabilities import expired
from tests.support.http import Http, header, lfs_file
from tests.support.lfs import sha256, staged
from tests.support.server import Account, Hub
from tests.support.xet_writer import Push, push_of, write_shard, write_xorb

DATA = random.Random(1).randbytes(700_000)


@dataclass(frozen=True)
class Door:
    """The way in for one repository: address and token."""

    cas: str
    token: str

    @classmethod
    def to(cls, http: Http, repo_id: str) -> "Door":
        answer = http.get(f"/api/models/{repo_id}/xet-write-token/main")
        assert answer.status_code == 200, answer.text
        return cls(answer.json()["casUrl"], answer.json()["accessToken"])

    def request(self, method: str, path: str, body: bytes = b"") -> httpx2.Response:
        with httpx2.Client(timeout=30, trust_env=False) as client:
            return client.request(method, f"{self.cas}{path}", content=body, headers={"Authorization": f"Bearer {self.token}"})

    def xorb(self, name: str, data: bytes) -> httpx2.Response:
        return self.request("POST", f"/v1/xorbs/default/{name}", data)

    def shard(self, data: bytes, version: int = 2) -> httpx2.Response:
        return self.request("POST", f"/v{version}/shards", data)

    def xorbs(self, push: Push) -> None:
        for name, data in push.xorbs.items():
            assert self.xorb(name, data).status_code == 200

    def push(self, data: bytes) -> None:
        push = push_of(data)
        self.xorbs(push)
        assert self.shard(push.shard).status_code == 200


@pytest.fixture
def repo(alice_http: Http, repo_id: str) -> str:
    assert alice_http.create_repo(repo_id).is_success
    return repo_id


@pytest.fixture
def door(alice_http: Http, repo: str) -> Door:
    return Door.to(alice_http, repo)


@pytest.fixture(autouse=True)
def _nothing_left_in_staging(hub: Hub) -> Iterator[None]:
    yield
    assert staged(hub) == []


def commit(http: Http, repo_id: str, data: bytes) -> httpx2.Response:
    return http.commit(repo_id, [header("Add weights"), lfs_file("weights.safetensors", sha256(data), len(data))])


def assert_arrived(http: Http, repo_id: str, data: bytes) -> None:
    """The sender may commit the bytes, and everybody reads them."""
    assert commit(http, repo_id, data).status_code == 200
    assert http.get(f"/{repo_id}/resolve/main/weights.safetensors").content == data


def assert_not_arrived(http: Http, repo_id: str, data: bytes) -> None:
    assert commit(http, repo_id, data).status_code == 400


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("scheme", list(Scheme))
def test_a_file_travels_through_the_door(alice_http: Http, repo: str, door: Door, scheme: Scheme, version: int) -> None:
    push = push_of(DATA, scheme, chunk_size=60_000, chunks_per_xorb=4)
    assert len(push.xorbs) == 3
    for name, data in push.xorbs.items():
        assert door.xorb(name, data).json() == {"was_inserted": True}
    answer = door.shard(push.shard, version)
    assert answer.status_code == 200
    assert answer.json() == ({"result": 1} if version == 1 else {"type": "result"})
    assert_arrived(alice_http, repo, DATA)


@pytest.mark.parametrize("size", [0, 1])
def test_the_smallest_files(alice_http: Http, repo: str, door: Door, size: int) -> None:
    data = os.urandom(size)
    push = push_of(data)
    door.xorbs(push)
    if size == 0:  # hf_xet declares no sha256 for it
        push = dataclasses.replace(push, shard=write_shard([dataclasses.replace(push.file, sha256=None)]))
    assert door.shard(push.shard).status_code == 200
    assert_arrived(alice_http, repo, data)


def test_a_file_larger_than_one_xorb_with_repeated_parts(alice_http: Http, repo: str, door: Door) -> None:
    data = DATA * 3
    door.push(data)
    assert_arrived(alice_http, repo, data)


def test_two_files_in_one_shard(alice_http: Http, repo: str, door: Door) -> None:
    pushes = [push_of(DATA), push_of(DATA[::-1])]
    for push in pushes:
        door.xorbs(push)
    assert door.shard(write_shard([push.file for push in pushes])).status_code == 200
    for data in (DATA, DATA[::-1]):
        assert_arrived(alice_http, repo, data)


def test_what_follows_the_sections_of_a_shard_is_ignored(alice_http: Http, repo: str, door: Door) -> None:
    push = push_of(DATA)
    door.xorbs(push)
    assert door.shard(push.shard + b"a footer of older clients" * 10).status_code == 200
    assert_arrived(alice_http, repo, DATA)


def test_everything_sent_twice_has_one_effect(alice_http: Http, repo: str, door: Door) -> None:
    push = push_of(DATA)
    for first in (True, False):
        for name, data in push.xorbs.items():
            assert door.xorb(name, data).json() == {"was_inserted": first}
        assert door.shard(push.shard).status_code == 200
    assert_arrived(alice_http, repo, DATA)
    assert door.shard(push.shard).status_code == 200


def test_the_token_is_in_header_and_body(alice_http: Http, repo: str, hub: Hub) -> None:
    answer = alice_http.get(f"/api/models/{repo}/xet-write-token/main")
    body = answer.json()
    assert answer.headers["x-xet-cas-url"] == body["casUrl"]
    assert answer.headers["x-xet-access-token"] == body["accessToken"]
    assert answer.headers["x-xet-token-expiration"] == str(body["exp"])
    assert body["casUrl"].startswith(f"{hub.url}/cas/1/")


# --- bytes that are not what they are said to be -------------------------------------------------------------------


def test_a_xorb_under_another_name_is_refused(hub: Hub, door: Door) -> None:
    (data,) = push_of(DATA).xorbs.values()
    before = xorb_files(hub)
    assert_refused(door.xorb("0" * 64, data), "hash")
    assert xorb_files(hub) == before


@pytest.mark.parametrize("bad", [b"", b"no xorb at all", write_xorb([b"chunk"])[:-1], write_xorb([b"chunk"]) + b"\0"])
def test_bytes_that_are_no_xorb_are_refused(door: Door, bad: bytes) -> None:
    assert_refused(door.xorb("0" * 64, bad), "xorb")


def test_a_changed_xorb_is_refused(door: Door) -> None:
    ((name, data),) = push_of(DATA).xorbs.items()
    assert_refused(door.xorb(name, data[:-1] + bytes([data[-1] ^ 1])))


WRONG = {
    "file hash": {"hash": "1" * 64},
    "sha256": {"sha256": "2" * 64},
    "verification hash": {"verification": (b"\3" * 32,)},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_shard_that_lies_is_refused(alice_http: Http, repo: str, door: Door, what: str) -> None:
    push = push_of(DATA)
    door.xorbs(push)
    file = dataclasses.replace(push.file, **WRONG[what])  # type: ignore[arg-type]
    assert_refused(door.shard(write_shard([file])), "hash" if what != "sha256" else "sha256")
    assert_not_arrived(alice_http, repo, DATA)


def test_a_shard_with_other_chunks_than_the_xorb_has_is_refused(door: Door) -> None:
    push = push_of(DATA)
    door.xorbs(push)
    (segment,) = push.file.segments
    for bad in (
        dataclasses.replace(segment, last=segment.last + 1),
        dataclasses.replace(segment, first=1),
        dataclasses.replace(segment, size=segment.size - 1),
    ):
        assert_refused(door.shard(write_shard([dataclasses.replace(push.file, segments=(bad,), verification=())])))


def test_a_shard_that_refers_to_a_missing_xorb_says_what_to_do(alice_http: Http, repo: str, door: Door) -> None:
    assert_refused(door.shard(push_of(DATA).shard), "cache ($hf_home/xet)")
    assert_not_arrived(alice_http, repo, DATA)


@pytest.mark.parametrize("bad", [b"", b"no shard", push_of(DATA).shard[:100], b"x" + push_of(DATA).shard[1:]])
def test_bytes_that_are_no_shard_are_refused(door: Door, bad: bytes) -> None:
    assert_refused(door.shard(bad), "shard")


def assert_refused(answer: httpx2.Response, text: str = "") -> None:
    assert answer.status_code == 400, answer.text
    assert text in answer.json()["error"].lower()


# --- who may come in -----------------------------------------------------------------------------------------------


def test_xorbs_of_one_repository_serve_no_other(alice_http: Http, repo: str, door: Door) -> None:
    push, other = push_of(DATA), f"{repo}-2"
    door.xorbs(push)
    assert alice_http.create_repo(other).is_success
    assert_refused(Door.to(alice_http, other).shard(push.shard), "not here")


def test_the_token_of_another_repository_is_refused(alice_http: Http, repo: str, door: Door) -> None:
    other = f"{repo}-2"
    assert alice_http.create_repo(other).is_success
    mixed = Door(door.cas, Door.to(alice_http, other).token)
    push = push_of(DATA)
    assert [mixed.xorb(name, data).status_code for name, data in push.xorbs.items()] == [403]
    assert mixed.shard(push.shard).status_code == 403


def test_an_expired_token_is_refused(hub: Hub, door: Door) -> None:
    answer = Door(door.cas, expired(hub, "xet", door.token)).shard(push_of(DATA).shard)
    assert answer.status_code == 403
    assert "expired" in answer.json()["error"]


@pytest.mark.parametrize("token", [".", "forged", "e30.e30"])
def test_a_token_that_is_none_is_refused(door: Door, token: str) -> None:
    assert Door(door.cas, token).shard(push_of(DATA).shard).status_code == 403


def test_an_access_token_of_the_hub_opens_no_xet_door(alice: Account, door: Door) -> None:
    assert Door(door.cas, alice.token).shard(push_of(DATA).shard).status_code == 403


def test_others_get_no_token(http: Http, bob: Account, alice_http: Http, repo: str) -> None:
    assert http.get(f"/api/models/{repo}/xet-write-token/main").status_code == 401
    with alice_http.signed_as(bob) as bob_http:
        assert bob_http.get(f"/api/models/{repo}/xet-write-token/main").status_code == 403


def test_a_token_revoked_since_opens_nothing(hub: Hub, alice: Account, alice_http: Http, repo: str) -> None:
    with alice_http.signed_as(Account(alice.name, "", hub.token(alice.name))) as client:
        door = Door.to(client, repo)
    hub.cli("token", "revoke", hub.cli("token", "list", "--user", alice.name).split("\t")[0])
    push = push_of(DATA)
    assert [door.xorb(name, data).status_code for name, data in push.xorbs.items()] == [401]
    assert door.shard(push.shard).status_code == 401


def test_another_epoch_is_another_address(door: Door) -> None:
    assert Door(door.cas.replace("/cas/1/", "/cas/2/"), door.token).shard(push_of(DATA).shard).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chunks/default/" + "0" * 64),
        ("GET", "/v1/reconstructions/" + "0" * 64),
        ("GET", "/v1/xorbs/default/" + "0" * 64),
        ("HEAD", "/v1/xorbs/default/" + "0" * 64),
        ("POST", "/v3/shards"),
        ("PUT", "/anything"),
        ("GET", "/"),
    ],
)
def test_there_is_nothing_else_behind_the_door(door: Door, method: str, path: str) -> None:
    assert door.request(method, path).status_code == 404


# --- what happens to xorbs -----------------------------------------------------------------------------------------


def xorb_files(hub: Hub) -> set[Path]:
    return {path for path in (hub.data_dir / "store" / "xorbs").rglob("*") if path.is_file()}


def test_the_xorbs_of_a_deleted_repository_go_with_the_next_gc(hub: Hub, alice_http: Http, repo: str, door: Door) -> None:
    before = xorb_files(hub)
    stays = f"{repo}-stays"
    assert alice_http.create_repo(stays).is_success
    Door.to(alice_http, stays).push(DATA)
    kept = xorb_files(hub)
    door.push(DATA)
    assert len(xorb_files(hub)) == len(before) + 2
    namespace, name = repo.split("/")
    assert alice_http.request("DELETE", "/api/repos/delete", json={"name": name, "organization": namespace}).is_success
    assert door.shard(push_of(DATA).shard).status_code == 404
    hub.cli("gc")
    assert xorb_files(hub) == kept


def test_a_damaged_xorb_is_not_made_a_file(hub: Hub, alice_http: Http, repo: str, door: Door) -> None:
    push, before = push_of(DATA), xorb_files(hub)
    door.xorbs(push)
    (stored,) = xorb_files(hub) - before
    whole = stored.read_bytes()
    stored.write_bytes(whole[:1000] + b"?" + whole[1001:])
    assert_refused(door.shard(push.shard), "damaged")
    assert_not_arrived(alice_http, repo, DATA)
    door.xorbs(push)
    assert door.shard(push.shard).status_code == 200
    assert_arrived(alice_http, repo, DATA)


def test_a_shard_cannot_make_more_of_little_than_the_limit_allows(door: Door) -> None:
    """A few chunks named over and over: the size is refused before a byte is put together."""
    chunk, most = 128 << 10, 50 << 30
    ((name, data),) = push_of(bytes(32 * chunk), chunk_size=chunk).xorbs.items()
    assert door.xorb(name, data).status_code == 200
    segments = (Segment(name, 32 * chunk, 0, 32),) * (most // (32 * chunk) + 1)
    assert_refused(door.shard(write_shard([ShardFile("0" * 64, segments, (), None)])), "hub_max_lfs_bytes")

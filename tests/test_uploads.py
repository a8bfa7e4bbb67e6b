"""The LFS door by raw HTTP: what counts as arrived, who may send it, and what is left when it goes wrong."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from hub.uploads import Signer
from tests.support import lfs
from tests.support.capabilities import expired
from tests.support.http import Http, header, lfs_file
from tests.support.lfs import sha256
from tests.support.server import Account, Hub

MIB = 1 << 20


@pytest.fixture
def repo(alice_http: Http, repo_id: str) -> str:
    """An empty repository of alice's."""
    assert alice_http.create_repo(repo_id).is_success
    return repo_id


@pytest.fixture(autouse=True)
def _nothing_left_in_staging(hub: Hub) -> Iterator[None]:
    """Whatever a test sent, the hub has kept it or thrown it away when the answer is out."""
    yield
    assert settles(lambda: lfs.staged(hub) == [])


def settles(condition: Callable[[], bool], seconds: float = 5) -> bool:
    """Whether a condition becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def commit_pointer(http: Http, repo_id: str, path: str, data: bytes) -> httpx2.Response:
    return http.commit(repo_id, [header(f"Add {path}"), lfs_file(path, sha256(data), len(data))])


def resolved(http: Http, repo_id: str, path: str) -> bytes:
    answer = http.get(f"/{repo_id}/resolve/main/{path}")
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 1])
def test_a_file_travels_through_the_door(hub: Hub, alice_http: Http, repo: str, size: int) -> None:
    data = os.urandom(size)
    assert lfs.put(alice_http, lfs.href(alice_http, repo, data), data).status_code == 200
    assert lfs.stored(hub, sha256(data)).read_bytes() == data
    verified = alice_http.post(f"/{repo}.git/info/lfs/verify", json={"oid": sha256(data), "size": size})
    assert verified.status_code == 200
    assert commit_pointer(alice_http, repo, "weights.bin", data).status_code == 200
    assert resolved(alice_http, repo, "weights.bin") == data


def test_a_batch_answers_each_object_in_the_terms_of_git_lfs(hub: Hub, alice_http: Http, repo: str) -> None:
    wanted = {sha256(bytes([number])): 1 for number in range(3)}
    answer = lfs.batch(alice_http, repo, "upload", wanted)
    assert answer.headers["content-type"].startswith("application/vnd.git-lfs+json")
    assert answer.json()["transfer"] == "basic"
    for item in answer.json()["objects"]:
        upload = item["actions"]["upload"]
        assert upload["href"].startswith(f"{hub.url}/api/lfs/")
        assert upload["expires_in"] > 0
        assert wanted[item["oid"]] == item["size"]


@pytest.mark.parametrize("wrong", [b"x" * 1000, b"right"[:-1] * 200, b"right" * 200 + b"!", b""], ids=["sha256", "short", "long", "none"])
def test_other_bytes_than_announced_are_refused(hub: Hub, alice_http: Http, repo: str, wrong: bytes) -> None:
    data = b"right" * 200
    answer = lfs.put(alice_http, lfs.href(alice_http, repo, data), wrong)
    assert answer.status_code == 422
    assert "again" in answer.json()["error"]
    assert not lfs.stored(hub, sha256(data)).exists()
    assert not lfs.stored(hub, sha256(wrong)).exists() or wrong == b""
    assert alice_http.post(f"/{repo}.git/info/lfs/verify", json={"oid": sha256(data), "size": 1000}).status_code == 404
    assert commit_pointer(alice_http, repo, "weights.bin", data).status_code == 400


def test_too_many_bytes_are_answered_without_waiting_for_the_rest(alice_http: Http, repo: str) -> None:
    data = os.urandom(1000)
    with lfs.stop_half_way(lfs.href(alice_http, repo, data), 200 * MIB, bytes(2 * MIB)) as connection:
        assert connection.recv(12) == b"HTTP/1.1 422"


def test_an_address_used_twice_changes_nothing(alice_http: Http, repo: str) -> None:
    data = os.urandom(100_000)
    address = lfs.href(alice_http, repo, data)
    assert [lfs.put(alice_http, address, data).status_code for _ in range(3)] == [200, 200, 200]
    assert commit_pointer(alice_http, repo, "weights.bin", data).is_success
    assert lfs.put(alice_http, address, data).status_code == 200
    assert resolved(alice_http, repo, "weights.bin") == data


def test_a_used_address_takes_no_other_bytes(alice_http: Http, repo: str) -> None:
    data = os.urandom(100_000)
    address = lfs.href(alice_http, repo, data)
    assert lfs.put(alice_http, address, data).status_code == 200
    assert lfs.put(alice_http, address, os.urandom(100_000)).status_code == 422
    assert commit_pointer(alice_http, repo, "weights.bin", data).is_success
    assert resolved(alice_http, repo, "weights.bin") == data


def test_forged_addresses_are_refused(hub: Hub, alice_http: Http, repo: str) -> None:
    data = b"forged"
    address = lfs.href(alice_http, repo, data)
    capability = address.rsplit("/", 1)[1]
    body, mac = capability.split(".")
    stranger = Signer(b"another hub's secret").sign(
        "lfs-put", {"repo": 1, "user": 1, "token": 1, "oid": sha256(data), "size": 6}, seconds=60
    )
    for bad in (f"{body}.{mac[::-1]}", f"A{body[1:]}.{mac}", body, f"{body}.", ".x", "x", stranger, "%C3%A4.%C3%B6"):
        answer = lfs.put(alice_http, f"{hub.url}/api/lfs/{bad}", data)
        assert answer.status_code == 403, bad
        assert "Start the upload again" in answer.json()["error"]
    assert not lfs.stored(hub, sha256(data)).exists()


def test_an_expired_address_is_refused(hub: Hub, alice_http: Http, repo: str) -> None:
    capability = lfs.href(alice_http, repo, b"late").rsplit("/", 1)[1]
    answer = lfs.put(alice_http, f"{hub.url}/api/lfs/{expired(hub, 'lfs-put', capability)}", b"late")
    assert answer.status_code == 403
    assert "expired" in answer.json()["error"]
    assert not lfs.stored(hub, sha256(b"late")).exists()


def test_a_token_for_xet_is_no_address_for_lfs(hub: Hub, alice_http: Http, repo: str) -> None:
    token = alice_http.get(f"/api/models/{repo}/xet-write-token/main").json()["accessToken"]
    assert lfs.put(alice_http, f"{hub.url}/api/lfs/{token}", b"bytes").status_code == 403


def test_sizes_beyond_the_limit_are_refused_per_object(alice_http: Http, repo: str) -> None:
    huge, small = lfs.answers(alice_http, repo, "upload", {"a" * 64: 1 << 60, "b" * 64: 1})
    assert huge["error"]["code"] == 413
    assert "HUB_MAX_LFS_BYTES" in huge["error"]["message"]
    assert "actions" in small


@pytest.mark.parametrize("bad", [{"oid": "A" * 64}, {"oid": "../" * 21 + "x"}, {"oid": "a" * 63}, {"size": -1}, {"size": None}])
def test_objects_that_are_none_are_refused(alice_http: Http, repo: str, bad: dict[str, object]) -> None:
    body = {"operation": "upload", "objects": [{"oid": "a" * 64, "size": 1} | bad]}
    assert alice_http.post(f"/{repo}.git/info/lfs/objects/batch", json=body).status_code == 400


def test_a_batch_is_for_upload_or_download_by_sha256(alice_http: Http, repo: str) -> None:
    assert lfs.batch(alice_http, repo, "delete", {"a" * 64: 1}).status_code == 400
    body = {"operation": "upload", "objects": [], "hash_algo": "sha1"}
    assert alice_http.post(f"/{repo}.git/info/lfs/objects/batch", json=body).status_code == 400
    too_many = {f"{number:064x}": 1 for number in range(1001)}
    assert lfs.batch(alice_http, repo, "upload", too_many).status_code == 400


# --- rights --------------------------------------------------------------------------------------------------------


def test_others_get_no_address(hub: Hub, http: Http, bob: Account, alice_http: Http, repo: str) -> None:
    assert lfs.batch(http, repo, "upload", {"a" * 64: 1}).status_code == 401
    with alice_http.signed_as(bob) as bob_http:
        assert lfs.batch(bob_http, repo, "upload", {"a" * 64: 1}).status_code == 403
        assert lfs.batch(bob_http, repo, "download", {"a" * 64: 1}).status_code == 200


def test_a_token_revoked_while_the_bytes_arrive_is_refused_at_the_end(hub: Hub, alice: Account, alice_http: Http, repo: str) -> None:
    data = os.urandom(2 * MIB)
    short_lived = Account(alice.name, alice.password, hub.token(alice.name))
    with alice_http.signed_as(short_lived) as client:
        address = lfs.href(client, repo, data)

    def revoking() -> Iterator[bytes]:
        yield data[:MIB]
        hub.cli("token", "revoke", hub.cli("token", "list", "--user", alice.name).split("\t")[0])
        yield data[MIB:]

    assert lfs.put(alice_http, address, revoking()).status_code == 401
    assert lfs.put(alice_http, address, data).status_code == 401
    assert not lfs.stored(hub, sha256(data)).exists()
    assert commit_pointer(alice_http, repo, "weights.bin", data).status_code == 400


def test_a_repository_deleted_while_the_bytes_arrive_takes_none(hub: Hub, alice_http: Http, repo: str) -> None:
    data = os.urandom(2 * MIB)
    address = lfs.href(alice_http, repo, data)

    def deleting() -> Iterator[bytes]:
        yield data[:MIB]
        namespace, name = repo.split("/")
        assert alice_http.request("DELETE", "/api/repos/delete", json={"name": name, "organization": namespace}).is_success
        yield data[MIB:]

    assert lfs.put(alice_http, address, deleting()).status_code == 404
    assert not lfs.stored(hub, sha256(data)).exists()


def test_naming_a_hash_gives_nobody_the_bytes(hub: Hub, bob: Account, alice_http: Http, repo: str) -> None:
    data = os.urandom(1000)
    lfs.upload(alice_http, repo, data)
    assert commit_pointer(alice_http, repo, "weights.bin", data).is_success
    theirs = f"{bob.name}/{repo.split('/')[1]}"
    with alice_http.signed_as(bob) as bob_http:
        assert bob_http.create_repo(theirs).is_success
        (answer,) = lfs.answers(bob_http, theirs, "upload", {sha256(data): len(data)})
        assert "actions" in answer, "the answer for bytes that nobody has ever seen"
        assert commit_pointer(bob_http, theirs, "stolen.bin", data).status_code == 400
        (answer,) = lfs.answers(bob_http, theirs, "download", {sha256(data): len(data)})
        assert answer["error"]["code"] == 404
        assert bob_http.get(f"/{theirs}.git/info/lfs/objects/{sha256(data)}").status_code == 404


def test_bytes_sent_to_one_repository_are_not_there_for_another(alice_http: Http, repo: str) -> None:
    data, other = os.urandom(1000), f"{repo}-2"
    assert alice_http.create_repo(other).is_success
    lfs.upload(alice_http, repo, data)
    assert commit_pointer(alice_http, other, "weights.bin", data).status_code == 400
    lfs.upload(alice_http, other, data)
    assert commit_pointer(alice_http, other, "weights.bin", data).is_success


# --- what is there already -----------------------------------------------------------------------------------------


def test_what_is_there_is_not_asked_for_again(alice_http: Http, repo: str) -> None:
    data = os.urandom(1000)
    lfs.upload(alice_http, repo, data)
    (answer,) = lfs.answers(alice_http, repo, "upload", {sha256(data): len(data)})
    assert "actions" not in answer
    (wrong_size,) = lfs.answers(alice_http, repo, "upload", {sha256(data): len(data) + 1})
    assert "actions" in wrong_size


def test_a_download_by_batch(alice_http: Http, http: Http, repo: str) -> None:
    data = os.urandom(100_000)
    lfs.upload(alice_http, repo, data)
    (early,) = lfs.answers(http, repo, "download", {sha256(data): len(data)})
    assert early["error"]["code"] == 404, "uploaded, but no commit holds it yet"
    assert commit_pointer(alice_http, repo, "weights.bin", data).is_success
    (answer,) = lfs.answers(http, repo, "download", {sha256(data): len(data)})
    address = answer["actions"]["download"]["href"]
    assert http.get(address).content == data
    part = http.get(address, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, data[1000:2000])
    assert part.headers["content-range"] == "bytes 1000-1999/100000"
    assert http.get(address, headers={"Range": "bytes=100000-"}).status_code == 416


def damage(path: Path) -> None:
    """Turn one byte around."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def test_the_same_bytes_sent_to_another_repository_heal_a_damaged_object(hub: Hub, alice_http: Http, repo: str) -> None:
    data, other = os.urandom(100_000), f"{repo}-2"
    lfs.upload(alice_http, repo, data)
    assert commit_pointer(alice_http, repo, "weights.bin", data).is_success
    damage(lfs.stored(hub, sha256(data)))
    assert alice_http.create_repo(other).is_success
    lfs.upload(alice_http, other, data)
    assert resolved(alice_http, repo, "weights.bin") == data


@pytest.mark.parametrize("loss", [Path.unlink, lambda path: os.truncate(path, 10)], ids=["missing", "truncated"])
def test_a_lost_object_is_asked_for_again(hub: Hub, alice_http: Http, repo: str, loss: Callable[[Path], None]) -> None:
    data = os.urandom(100_000)
    lfs.upload(alice_http, repo, data)
    assert commit_pointer(alice_http, repo, "weights.bin", data).is_success
    loss(lfs.stored(hub, sha256(data)))
    lfs.upload(alice_http, repo, data)
    assert resolved(alice_http, repo, "weights.bin") == data


# --- many, and half ones -------------------------------------------------------------------------------------------


def open_files(hub: Hub) -> int:
    assert hub.process is not None
    return len(os.listdir(f"/proc/{hub.process.pid}/fd"))


def test_clients_that_vanish_leave_nothing(hub: Hub, alice_http: Http, repo: str) -> None:
    data = os.urandom(4 * MIB)
    address = lfs.href(alice_http, repo, data)
    vanish_together(hub, address, data)
    before = open_files(hub)
    vanish_together(hub, address, data)
    # Not to the file: a pool of connections to the database may have grown meanwhile.
    assert settles(lambda: open_files(hub) < before + 10), f"{open_files(hub)} open files, {before} before"
    assert lfs.put(alice_http, address, data).status_code == 200


def vanish_together(hub: Hub, address: str, data: bytes) -> None:
    """Twenty clients send half of their bytes and are gone."""
    connections = [lfs.stop_half_way(address, len(data), data[: len(data) // 2]) for _ in range(20)]
    assert settles(lambda: len(lfs.staged(hub)) == 20)
    for connection in connections:
        connection.close()
    assert settles(lambda: lfs.staged(hub) == [])


@pytest.fixture
def narrow_hub(hub: Hub, tmp_path: Path) -> Iterator[Hub]:
    """A hub that takes two uploads at once."""
    running = Hub(tmp_path / "narrow", settings={"HUB_MAX_UPLOADS": "2"}).start()
    yield running
    running.stop()


def test_more_uploads_than_allowed_are_asked_to_wait(narrow_hub: Hub) -> None:
    data = os.urandom(2 * MIB)
    with Http(narrow_hub, narrow_hub.add_user("alice")) as http:
        assert http.create_repo("alice/many").is_success
        address = lfs.href(http, "alice/many", data)
        slow = [lfs.stop_half_way(address, len(data), data[:MIB]) for _ in range(2)]
        assert settles(lambda: len(lfs.staged(narrow_hub)) == 2)
        refused = lfs.put(http, address, data)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "HUB_MAX_UPLOADS" in refused.json()["error"]
        assert [finish(connection, data[MIB:]) for connection in slow] == [b"HTTP/1.1 200", b"HTTP/1.1 200"]
        assert lfs.put(http, address, data).status_code == 200


def finish(connection: socket.socket, rest: bytes) -> bytes:
    """Send the rest of a body; returns the beginning of the answer."""
    with connection:
        connection.sendall(rest)
        return connection.recv(12)

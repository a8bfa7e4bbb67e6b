"""Bugs that a review found, each held down by a test: the docstring says what went wrong."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import sqlalchemy as sa

from hub import access, accounts, revisions, uploads
from hub.api.files import MOST_PATHS
from hub.blobs import blob_key, xorb_key
from hub.db import Database
from hub.errors import BadRequest, Conflict, HubError, StorageFull
from hub.explore import MOST_TAGS, MOST_WORDS
from hub.gitfiles import ignore_rules
from hub.guard import MAX_PATH_BYTES
from hub.models import Blob, Repo
from hub.publish import AddInline, Header, Operation
from hub.settings import Settings
from hub.texts import TEXT_ROW_BYTES
from hub.uploads import Sender, XetDoor
from hub.xet import Segment, ShardFile, read_shard
from tests.support import lfs
from tests.support.http import Http, deleted_file, file, header, lfs_file
from tests.support.lfs import sha256
from tests.support.local_hub import LocalHub
from tests.support.server import ROOT, Account, Hub, HubFailed
from tests.support.xet_writer import write_shard

DATABASES = ("sqlite", "postgres")
MIB = 1 << 20
AT_ONCE = 8
LARGE = bytes(range(256)) * 400
DAY_SECONDS = 86_400


@pytest.fixture
def repo(alice_http: Http, repo_id: str) -> str:
    """An empty repository of alice's in the running hub."""
    assert alice_http.create_repo(repo_id).is_success
    return repo_id


@pytest.fixture(params=DATABASES)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Which database a hub without a server stands on."""
    return str(request.param)


@pytest.fixture
def local(tmp_path: Path, new_database: Callable[[str], str], database_kind: str) -> Iterator[LocalHub]:
    """A hub without a server, with alice's repository sst2."""
    made = LocalHub(tmp_path / "hub", new_database(database_kind))
    made.create("sst2")
    yield made
    made.close()


@pytest.fixture(scope="module", params=DATABASES)
def damageable(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[tuple[Hub, Account]]:
    """A running hub of this file alone, in which nothing but these tests makes findings, and its user."""
    hub = Hub(tmp_path_factory.mktemp("damageable"), new_database(request.param)).start()
    yield hub, hub.add_user("dora")
    hub.stop()


@contextmanager
def database_of(hub: Hub) -> Iterator[Database]:
    """The database of a running hub, opened beside it."""
    database = Database(Settings(data_dir=hub.data_dir, database_url=hub.database_url).database)
    try:
        yield database
    finally:
        database.close()


def at_once(hub: Hub, senders: Sequence[Account], deed: Callable[[Http], httpx2.Response]) -> list[httpx2.Response]:
    """Let each do the same at the same moment, in threads and over connections of their own."""
    together = threading.Barrier(len(senders))

    def start(sender: Account) -> httpx2.Response:
        with Http(hub, sender) as http:
            assert http.get("/healthz").is_success
            together.wait()
            return deed(http)

    with ThreadPoolExecutor(len(senders)) as pool:
        return list(pool.map(start, senders))


def settles(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether a condition becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# --- ids that are used once ------------------------------------------------------------------------------------------


def test_a_deleted_repository_s_files_do_not_come_back_in_a_new_one(hub: Hub, alice_http: Http, http: Http, repo_id: str) -> None:
    """SQLite gave the ids of removed trees out again, and a warm process showed the old tree of a private repository under a new one."""
    assert alice_http.create_repo(repo_id, private=True).is_success
    alice_http.commit_files(repo_id, {"secret.txt": b"the secret"})
    assert alice_http.get(f"/{repo_id}/resolve/main/secret.txt").content == b"the secret"
    namespace, name = repo_id.split("/")
    assert alice_http.request("DELETE", "/api/repos/delete", json={"name": name, "organization": namespace}).is_success
    hub.cli("gc")
    for new in (f"{repo_id}-pub", f"{repo_id}-pub2"):
        assert alice_http.create_repo(new).is_success
        answer = http.get(f"/{new}/resolve/main/secret.txt")
        assert (answer.status_code, answer.headers["x-error-code"]) == (404, "EntryNotFound"), new


# --- a store that knows its hub --------------------------------------------------------------------------------------


def stored_keys(hub: LocalHub) -> set[str]:
    return {item.key for item in hub.store.list("")}


@pytest.mark.parametrize("command", [("serve",), ("gc",), ("gc", "--orphans"), ("fsck",)], ids=" ".join)
def test_a_fresh_database_on_the_data_of_another_hub_is_refused(
    local: LocalHub, tmp_path: Path, new_database: Callable[[str], str], database_kind: str, command: tuple[str, ...]
) -> None:
    """A forgotten HUB_DATABASE_URL made an empty database, for which every object of the store was an orphan to be removed."""
    local.push("alice/sst2", "w.bin", LARGE)
    before = stored_keys(local)
    for item in before:
        age(local, item, 30 * DAY_SECONDS)
    other = {"HUB_DATABASE_URL": new_database(database_kind) or f"sqlite:///{tmp_path / 'other.sqlite3'}", "HUB_PORT": "0"}
    assert local.command("migrate", **other).returncode == 0
    done = local.command(*command, **other)
    assert done.returncode == 2, done.stderr
    assert "HUB_DATABASE_URL" in done.stderr
    assert "HUB_BLOB_STORE" in done.stderr
    assert stored_keys(local) == before
    assert local.command("fsck", "--read-data").returncode == 0


def age(hub: LocalHub, key: str, seconds: float) -> None:
    """Let an object be as old as this."""
    then = time.time() - seconds
    os.utime(hub.settings.blob_folder / key, (then, then))


def test_objects_that_the_database_does_not_know_go_only_when_asked(local: LocalHub) -> None:
    """After a restore, gc removed what had been pushed since the backup, which only the store still had."""
    local.push("alice/sst2", "w.bin", LARGE)
    known = stored_keys(local)
    old = {blob_key(sha256(b"old")), xorb_key(local.place("alice/sst2").uid, "a" * 64)}
    young = blob_key(sha256(b"young"))
    for key in (*old, young):
        with local.store.stage() as staged:
            staged.write(b"unknown")
            staged.seal()
            staged.keep(key)
    for key in old:
        age(local, key, local.settings.upload_ttl + 60)
    assert local.command("gc").returncode == 0
    assert stored_keys(local) == known | old | {young}
    assert local.command("gc", "--orphans").returncode == 0
    assert stored_keys(local) == known | {young}


# --- patterns of strangers -------------------------------------------------------------------------------------------

EVIL = "*a*a*a*a*a*a*a*a*b"
MATCH_EVIL = f"""
from hub.gitfiles import ignore_rules, lfs_rules
for rules in (ignore_rules({EVIL!r}), lfs_rules({EVIL + " filter=lfs"!r})):
    assert not any(rules.match("a" * 200 + str(number)) for number in range(1_000))
    assert rules.match("a" * 200 + "b")
"""


def test_no_pattern_takes_forever() -> None:
    """Patterns were matched by backtracking: a line of .gitattributes with many stars held a thread, and the hub, for hours."""
    subprocess.run([sys.executable, "-c", MATCH_EVIL], cwd=ROOT, check=True, timeout=30)


def test_preupload_answers_whatever_the_client_ignores(alice_http: Http, repo: str) -> None:
    """The gitIgnore of a preupload was matched by backtracking, too."""
    names = [f"{'a' * 200}{number}" for number in range(1_000)]
    listed = [{"path": path, "size": 1, "sample": ""} for path in (*names[1:], "a" * 200 + "b")]
    answer = alice_http.post(f"/api/models/{repo}/preupload/main", json={"files": listed, "gitIgnore": EVIL})
    assert answer.status_code == 200, answer.text
    assert [item["shouldIgnore"] for item in answer.json()["files"]] == [False] * 999 + [True]


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("w.bin", True),
        ("deep/down/w.bin", True),
        ("w.bin.txt", False),
        ("keep.bin", False),
        ("deep/keep.bin", False),
        ("dir/a.pt", True),
        ("dir/sub/sub/a.pt", True),
        ("other/dir/a.pt", False),
        ("build/a.txt", True),
        ("deep/build/sub/a.txt", True),
        ("build", False),
    ],
)
def test_ordinary_patterns_match_as_git_has_it(path: str, ignored: bool) -> None:
    """The engine of linear time must give the answers that git gives."""
    assert ignore_rules("*.bin\n!keep.bin\n# a comment\n\n/dir/**/*.pt\nbuild/\n").match(path) is ignored


# --- merges that race ------------------------------------------------------------------------------------------------


@pytest.fixture
def neighbour(local: LocalHub) -> Iterator[LocalHub]:
    """Another process of the same hub, as far as locks in memory go: it does not wait for the turns of ``local``."""
    other = LocalHub(local.settings.data_dir, local.settings.database_url)
    yield other
    other.close()


def open_pull(hub: LocalHub, *operations: Operation) -> int:
    """Propose a change of sst2."""
    digest = sha256(repr(operations).encode())
    opened = hub.services.publisher.publish(hub.place("alice/sst2"), Header("Propose"), operations, digest=digest, pull=True)
    assert opened.pull is not None
    return opened.pull


def merge_late(hub: LocalHub, pull: int, meanwhile: Callable[[], object]) -> Future[str]:
    """Merge, and do something else while the merge waits for the repository's turn."""
    publisher, place = hub.services.publisher, hub.place("alice/sst2")
    with ThreadPoolExecutor(1) as pool, publisher._turn(place.repo_id):
        merging = pool.submit(publisher.merge, place, pull)
        time.sleep(0.2)
        assert not merging.done()
        meanwhile()
    return merging


def files_of(hub: LocalHub, revision: str = "main") -> dict[str, str]:
    """Path to sha256 of what sst2 holds."""
    with hub.database.read() as session:
        commit = revisions.commit_at(session, hub.place("alice/sst2").repo_id, revision)
        entries = hub.manifests.load(session, commit.manifest_id).entries
    return {path: entry.sha256 for path, entry in entries.items() if path != ".gitattributes"}


def test_a_merge_does_not_overwrite_what_came_while_it_waited(local: LocalHub, neighbour: LocalHub) -> None:
    """The merge looked for clashes before its turn came: a commit to main in between was silently undone."""
    local.write("alice/sst2", "a.txt", b"base")
    pull = open_pull(local, AddInline("a.txt", b"theirs"))
    merging = merge_late(local, pull, lambda: neighbour.write("alice/sst2", "a.txt", b"ours"))
    with pytest.raises(Conflict, match=r"a\.txt") as caught:
        merging.result()
    assert caught.value.status == 409
    assert files_of(local) == {"a.txt": sha256(b"ours")}


def test_a_merge_brings_what_was_pushed_while_it_waited(local: LocalHub, neighbour: LocalHub) -> None:
    """A commit to the pull request that came while the merge waited was left out, and the pull request closed as merged."""
    pull = open_pull(local, AddInline("a.txt", b"first"))
    merging = merge_late(local, pull, lambda: neighbour.publish("alice/sst2", AddInline("b.txt", b"second"), revision=f"refs/pr/{pull}"))
    assert local.place("alice/sst2").at_revision().oid == merging.result()
    assert files_of(local) == {"a.txt": sha256(b"first"), "b.txt": sha256(b"second")}


# --- the same thing at once ------------------------------------------------------------------------------------------


def test_one_of_many_who_create_a_repository_wins(hub: Hub, alice: Account, repo_id: str) -> None:
    """Two requests that both found the name free: the loser got a 500 instead of the 409 that ``exist_ok`` understands."""
    for name in (f"{repo_id}-{number}" for number in range(5)):
        answers = at_once(hub, [alice] * AT_ONCE, partial(Http.create_repo, repo_id=name))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * (AT_ONCE - 1)
        assert {answer.json()["url"] for answer in answers} == {f"{hub.url}/{name}"}


@pytest.fixture(scope="module")
def crowd(hub: Hub) -> list[Account]:
    """Users with tokens, made without hashing passwords."""
    names = [f"fan-{uuid4().hex[:8]}" for _ in range(AT_ONCE)]
    with database_of(hub) as database, database.write() as session:
        users = [accounts.add_user(session, name, "no password") for name in names]
        return [Account(user.name, "", accounts.add_token(session, user, role="write")[0]) for user in users]


def likes(hub: Hub, repo: str, fans: Sequence[Account]) -> int:
    """Let each like the repository at the same moment; returns what the hub counts then."""
    answers = at_once(hub, fans, lambda http: http.post(f"/api/models/{repo}/like"))
    assert [answer.status_code for answer in answers] == [200] * len(fans)
    with Http(hub) as http:
        return int(http.get(f"/api/models/{repo}").json()["likes"])


def test_likes_at_once_are_all_counted(hub: Hub, repo: str, crowd: list[Account]) -> None:
    """Each counted the likes that it saw, and the last to write won: some were lost from the count."""
    assert likes(hub, repo, crowd) == AT_ONCE


def test_one_user_likes_once_however_often_at_once(hub: Hub, repo: str, crowd: list[Account]) -> None:
    """The second of two equal likes met the row of the first and got a 500."""
    assert likes(hub, repo, crowd[:1] * AT_ONCE) == 1


# --- receipts and names ----------------------------------------------------------------------------------------------


def test_a_proposal_that_was_undone_can_be_made_again(alice_http: Http, repo: str) -> None:
    """The receipt of a create_pr commit answered with the merged pull request for good: the change could not be proposed again."""

    def propose() -> str:
        answer = alice_http.commit(repo, [header("Propose"), file("a.txt", b"new")], create_pr="1")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["pullRequestUrl"]).rpartition("/")[2]

    assert [propose(), propose()] == ["1", "1"]
    assert alice_http.post(f"/api/models/{repo}/discussions/1/merge").is_success
    assert alice_http.commit(repo, [header("Undo"), deleted_file("a.txt")]).is_success
    assert [propose(), propose()] == ["2", "2"]
    assert alice_http.get(f"/{repo}/resolve/refs%2Fpr%2F2/a.txt").content == b"new"


def test_the_old_names_of_a_deleted_repository_stay_reserved(hub: Hub, alice_http: Http, repo_id: str) -> None:
    """Only the last name of a deleted repository stayed reserved: under an older one somebody else could answer pinned downloads."""
    old, new = f"{repo_id}-old", f"{repo_id}-new"
    assert alice_http.create_repo(old).is_success
    assert alice_http.post("/api/repos/move", json={"fromRepo": old, "toRepo": new, "type": "model"}).is_success
    namespace, name = new.split("/")
    assert alice_http.request("DELETE", "/api/repos/delete", json={"name": name, "organization": namespace}).is_success
    hub.cli("gc")
    for reserved in (old, new):
        assert alice_http.create_repo(reserved).status_code == 403
    hub.cli("repo", "release", old)
    assert alice_http.create_repo(old).status_code == 200
    assert alice_http.create_repo(new).status_code == 403


# --- readers that leave ----------------------------------------------------------------------------------------------


def plant_zeros(hub: Hub, account: Account, repo: str, size: int) -> str:
    """As if the user had uploaded this many zeros, without writing them: a sparse file. Returns the sha256."""
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(bytes(MIB))
    oid = digest.hexdigest()
    path = lfs.stored(hub, oid)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.truncate(path, size)
    with database_of(hub) as database, database.write() as session:
        uploads.save_blob(session, oid, size)
        place = access.find(session, accounts.token_hash(account.token), *repo.split("/"))
        uploads.grant(session, Sender.of(place), [oid])
    return oid


def meter(http: Http, name: str, *parts: str) -> float:
    """The sum of the samples of a meter whose labels hold all these parts."""
    samples = (line.rsplit(" ", 1) for line in http.get("/metrics").text.splitlines() if line.startswith(name))
    return sum(float(value) for labels, value in samples if all(part in labels for part in parts))


def open_files(hub: Hub) -> set[str]:
    """What the hub's process has open."""
    assert hub.process is not None
    found = set[str]()
    for link in Path(f"/proc/{hub.process.pid}/fd").iterdir():
        try:
            found.add(str(link.readlink()))
        except FileNotFoundError:
            continue
    return found


def read_first(hub: Hub, address: str, size: int) -> None:
    """GET an address, take the first bytes of the answer, and go away."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=30) as connection:
        connection.sendall(f"GET {address} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        taken = 0
        while taken < size:
            piece = connection.recv(64 << 10)
            assert piece
            taken += len(piece)


def test_nothing_is_read_for_a_reader_who_has_left(hub: Hub, alice: Account, alice_http: Http, http: Http, repo: str) -> None:
    """The hub read a large file to its end for somebody who had closed the connection after the first piece."""
    size = 300 * MIB
    oid = plant_zeros(hub, alice, repo, size)
    assert alice_http.commit(repo, [header("Add zeros"), lfs_file("zeros.bin", oid, size)]).is_success
    reads = ("hub_requests_total", 'method="GET"', "/resolve/")
    answered, sent = meter(http, *reads), meter(http, "hub_sent_bytes_total")
    read_first(hub, f"/{repo}/resolve/main/zeros.bin", MIB)
    assert settles(lambda: meter(http, *reads) > answered)
    assert meter(http, "hub_sent_bytes_total") - sent < size / 4
    assert str(lfs.stored(hub, oid)) not in open_files(hub)


# --- shards that promise too much ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "setting"),
    [({"max_lfs_bytes": 4 * MIB}, BadRequest, "HUB_MAX_LFS_BYTES"), ({"min_free_bytes": 1 << 60}, StorageFull, "room")],
    ids=["larger than a file may be", "more than the disk has room for"],
)
def test_a_shard_that_describes_too_much_is_refused_at_once(
    tmp_path: Path, settings: dict[str, Any], error: type[HubError], setting: str
) -> None:
    """A small shard can name one xorb a thousand times; the hub wrote the file until the disk was full.

    The xorb has never been sent: to begin with the file would mean another error.
    """
    hub = LocalHub(tmp_path / "hub", **settings)
    hub.create("sst2")
    place = hub.place("alice/sst2")
    segments = (Segment("1" * 64, 64 << 10, 0, 1),) * 1_000
    shard = read_shard(write_shard([ShardFile("2" * 64, segments, (), "3" * 64)]))
    door = XetDoor(Sender.of(place), place.uid, hub.services.epoch)
    before = stored_keys(hub)
    with pytest.raises(error, match=setting):
        uploads.keep_shard(hub.database, hub.store, door, shard, settings=hub.settings)
    assert stored_keys(hub) == before
    assert list((hub.settings.blob_folder / "staging").iterdir()) == []
    hub.close()


# --- questions that ask too much -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "tags", "status"), [(20, 50, 200), (21, 0, 400), (0, 51, 400)])
def test_how_much_one_search_may_ask(http: Http, words: int, tags: int, status: int) -> None:
    """Each word and each tag is a condition of the statement: thousands of them made the database refuse, which was a 500."""
    assert (MOST_WORDS, MOST_TAGS) == (20, 50)
    given: list[tuple[str, str | int | float | bool | None]] = [
        ("search", " ".join(["a"] * words)),
        *(("filter", f"tag-{number}") for number in range(tags)),
    ]
    answer = http.get("/api/models", params=given)
    assert answer.status_code == status, answer.text
    assert status == 200 or "at most" in answer.json()["error"]


def test_path_and_query_are_bounded_together(http: Http) -> None:
    """Only the path was measured: the query could be as long as the server's parser takes."""
    start = "/api/models?search="
    room = MAX_PATH_BYTES - len(start) + 1
    assert http.get(start + "a" * room).status_code == 200
    assert http.get(start + "a" * (room + 1)).status_code == 414


@pytest.mark.parametrize("number", [MOST_PATHS, MOST_PATHS + 1, MOST_PATHS * 2])
@pytest.mark.parametrize("form", ["json", "data"])
def test_how_many_paths_one_question_may_name(alice_http: Http, repo: str, form: str, number: int) -> None:
    """Any number of names was looked up for one request, each with its last commit."""
    assert MOST_PATHS == 1_000
    body: dict[str, Any] = {form: {"paths": [f"{number}.txt" for number in range(number)]}}
    answer = alice_http.post(f"/api/models/{repo}/paths-info/main", **body)
    assert answer.status_code == (200 if number <= MOST_PATHS else 400), answer.text


# --- damage that heals -----------------------------------------------------------------------------------------------


def assert_found(hub: Hub, damaged: str) -> None:
    """That ``fsck --read-data`` names this blob, and so marks it."""
    with pytest.raises(HubFailed, match=f"ended with 1:\nblob: {damaged}"):
        hub.cli("fsck", "--read-data")


def assert_whole(hub: Hub) -> None:
    """That ``fsck --read-data`` finds nothing."""
    assert hub.cli("fsck", "--read-data") == "All is well.\n"


def known_oid(http: Http, repo: str, path: str, size: int) -> str | None:
    """By what id the hub says, in a preupload, that it has this file already."""
    body = {"files": [{"path": path, "size": size, "sample": ""}]}
    answer = http.post(f"/api/models/{repo}/preupload/main", json=body)
    assert answer.status_code == 200, answer.text
    oid: str | None = answer.json()["files"][0]["oid"]
    return oid


@pytest.fixture
def dora_http(damageable: tuple[Hub, Account]) -> Iterator[Http]:
    """Raw HTTP to the hub that may be damaged, as its user."""
    with Http(*damageable) as http:
        yield http


@pytest.fixture
def dora_repo(dora_http: Http) -> str:
    """An empty repository there."""
    name = f"dora/repo-{uuid4().hex[:12]}"
    assert dora_http.create_repo(name).is_success
    return name


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_damaged_bytes_are_asked_for_again(dora_http: Http, dora_repo: str) -> None:
    """Bytes that had rotted in place were said to be here already: no client ever sent them again."""
    hub, data = dora_http.hub, os.urandom(100_000)
    oid = lfs.upload(dora_http, dora_repo, data)
    assert dora_http.commit(dora_repo, [header("Add"), lfs_file("w.bin", oid, len(data))]).is_success
    assert known_oid(dora_http, dora_repo, "w.bin", len(data)) == oid
    flip(lfs.stored(hub, oid))
    assert_found(hub, oid)
    assert known_oid(dora_http, dora_repo, "w.bin", len(data)) is None
    (answer,) = lfs.answers(dora_http, dora_repo, "upload", {oid: len(data)})
    assert "upload" in answer["actions"]
    lfs.upload(dora_http, dora_repo, data)
    assert_whole(hub)
    assert known_oid(dora_http, dora_repo, "w.bin", len(data)) == oid
    assert dora_http.get(f"/{dora_repo}/resolve/main/w.bin").content == data


def test_a_damaged_text_heals_when_it_is_committed_again(dora_http: Http, dora_repo: str) -> None:
    """A small file's bytes lie in the database: when they were damaged there, the same file again left them as they were."""
    hub, text = dora_http.hub, uuid4().hex.encode()
    dora_http.commit_files(dora_repo, {"a.txt": text})
    assert known_oid(dora_http, dora_repo, "a.txt", len(text)) is not None
    with database_of(hub) as database, database.write() as session:
        session.execute(sa.update(Blob).where(Blob.sha256 == sha256(text)).values(data=text[::-1]))
    assert_found(hub, sha256(text))
    assert known_oid(dora_http, dora_repo, "a.txt", len(text)) is None
    dora_http.commit_files(dora_repo, {"a.txt": text}, "Heal")
    assert_whole(hub)
    assert known_oid(dora_http, dora_repo, "a.txt", len(text)) is not None
    hub.restart()
    assert dora_http.get(f"/{dora_repo}/resolve/main/a.txt").content == text


@pytest.mark.parametrize("path", ["README.md", "adapter_config.json", ".gitattributes"])
def test_a_lost_text_does_not_stop_later_commits(local: LocalHub, neighbour: LocalHub, path: str) -> None:
    """What the hub learns of a repository it reads at every commit; once such a file was lost, no commit went through any more."""
    text = b"# lost\n" * (TEXT_ROW_BYTES // 7 + 1)
    local.write("alice/sst2", path, text)
    local.stored(sha256(text)).unlink()
    oid = neighbour.write("alice/sst2", "a.txt", b"later")
    assert files_of(local)["a.txt"] == sha256(b"later")
    with local.database.read() as session:
        assert session.scalar(sa.select(Repo.head).where(Repo.full_name == "alice/sst2")) == oid
    neighbour.write("alice/sst2", path, text)
    assert local.stored_bytes(text) == text

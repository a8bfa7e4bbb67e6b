"""Bytes out: the right ones, with the right headers, in whole or in part, and never the wrong ones for the whole."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import httpx2
import pytest

from hub.git import blob_oid
from tests.support import lfs
from tests.support.http import Http, header, lfs_file
from tests.support.lfs import sha256
from tests.support.server import Account, Hub

SMALL, LARGE, WEIGHTS = os.urandom(1_000), os.urandom(3 * (1 << 20) + 17), os.urandom((1 << 20) + 1)
FILES = {"small.dat": SMALL, "large.dat": LARGE, "w.safetensors": WEIGHTS, "empty.txt": b""}
UNICODE = 'sub/ä "quoted" 100% \U0001f600 a;b.txt'


@pytest.fixture(scope="module")
def shop(hub: Hub, alice: Account) -> Iterator[tuple[Http, str]]:
    """A public repository with a small text, a large inline file, an LFS file and an empty one; the client is alice's."""
    repo_id = f"{alice.name}/shop-{os.urandom(4).hex()}"
    with Http(hub, alice) as http:
        assert http.create_repo(repo_id).is_success
        http.commit_files(repo_id, {**FILES, UNICODE: b"odd", "page.html": b"<script>alert(1)</script>", "pic.svg": b"<svg/>"})
        yield http, repo_id


def whole(answer: httpx2.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert "Content-Range" not in answer.headers
    return answer.content


# --- ranges --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small.dat", "large.dat", "w.safetensors"])
@pytest.mark.parametrize("door", ["resolve", "raw"])
def test_parts_of_a_file(shop: tuple[Http, str], door: str, name: str) -> None:
    http, repo_id = shop
    url = f"/{repo_id}/{door}/main/{name}"
    data = whole(http.get(url))
    if door == "resolve":
        assert data == FILES[name]
    size = len(data)
    parts = {
        "bytes=0-0": (0, 1),
        "bytes=0-9": (0, 10),
        "bytes=7-99": (7, 100),
        f"bytes={size // 2}-{size // 2 + 50}": (size // 2, size // 2 + 51),
        "bytes=1-": (1, size),
        f"bytes={size - 1}-": (size - 1, size),
        "bytes=-1": (size - 1, size),
        "bytes=-100": (size - 100, size),
        f"bytes=100-{size + 1000}": (100, size),
        f"bytes={size - 1}-{size - 1}": (size - 1, size),
    }
    for asked, (start, end) in parts.items():
        if start < 0 or end > size or start >= end:
            continue
        part = http.get(url, headers={"Range": asked})
        assert part.status_code == 206, asked
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.content == data[start:end]
        assert int(part.headers["Content-Length"]) == end - start
        head = http.head(url, headers={"Range": asked})
        assert (head.status_code, head.content) in {(206, b""), (200, b"")}


def test_the_parts_of_a_broken_download_make_the_whole(shop: tuple[Http, str]) -> None:
    http, repo_id = shop
    url, step = f"/{repo_id}/resolve/main/large.dat", 700_001
    got = b"".join(http.get(url, headers={"Range": f"bytes={at}-{at + step - 1}"}).content for at in range(0, len(LARGE), step))
    assert got == LARGE


@pytest.mark.parametrize("name", ["small.dat", "large.dat", "w.safetensors"])
@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,5-9",
        "bytes=0-1, 1-2",
        "bytes=5-2",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "items=0-1",
        "0-1",
        "bytes=0-1-2",
        "bytes 0-1",
        "x" * 500,
    ],
)
def test_a_range_that_is_none_or_several_gives_the_whole(shop: tuple[Http, str], asked: str, name: str) -> None:
    http, repo_id = shop
    assert whole(http.get(f"/{repo_id}/resolve/main/{name}", headers={"Range": asked})) == FILES[name]


@pytest.mark.parametrize("name", ["small.dat", "large.dat", "w.safetensors"])
def test_a_range_behind_the_end(shop: tuple[Http, str], name: str) -> None:
    http, repo_id = shop
    size = len(FILES[name])
    for asked in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0", f"bytes={'9' * 18}-"):
        answer = http.get(f"/{repo_id}/resolve/main/{name}", headers={"Range": asked})
        assert answer.status_code == 416, asked
        assert answer.headers["Content-Range"] == f"bytes */{size}"
    assert whole(http.get(f"/{repo_id}/resolve/main/{name}", headers={"Range": f"bytes=-{size + 7}"})) == FILES[name]
    assert whole(http.get(f"/{repo_id}/resolve/main/{name}", headers={"Range": f"bytes=0-{size + 7}"})) == FILES[name]


def test_a_part_of_another_version_is_not_given(shop: tuple[Http, str]) -> None:
    """If-Range: a client that resumes says which version it has begun; of any other it gets the whole."""
    http, repo_id = shop
    url = f"/{repo_id}/resolve/main/w.safetensors"
    same = http.get(url, headers={"Range": "bytes=5-9", "If-Range": f'"{sha256(WEIGHTS)}"'})
    assert (same.status_code, same.content) == (206, WEIGHTS[5:10])
    assert whole(http.get(url, headers={"Range": "bytes=5-9", "If-Range": f'"{"0" * 64}"'})) == WEIGHTS


# --- headers -------------------------------------------------------------------------------------------------------


def test_what_clients_read_of_a_file(shop: tuple[Http, str]) -> None:
    http, repo_id = shop
    commit = http.get(f"/api/models/{repo_id}").json()["sha"]
    for name, data in FILES.items():
        pointed = name == "w.safetensors"
        for method in ("HEAD", "GET"):
            headers = http.request(method, f"/{repo_id}/resolve/main/{name}").headers
            assert headers["X-Repo-Commit"] == commit
            assert headers["ETag"] == f'"{sha256(data) if pointed else blob_oid(data)}"'
            assert headers["Accept-Ranges"] == "bytes"
            assert int(headers["Content-Length"]) == len(data)
            assert (headers.get("X-Linked-ETag"), headers.get("X-Linked-Size")) == (
                (headers["ETag"], str(len(data))) if pointed else (None, None)
            )
            assert not {"X-Xet-Hash", "Link", "Set-Cookie", "Content-Encoding", "Server"} & set(headers)


def test_a_file_that_the_client_has_is_not_sent_again(shop: tuple[Http, str]) -> None:
    http, repo_id = shop
    url = f"/{repo_id}/resolve/main/w.safetensors"
    etag = http.head(url).headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        answer = http.get(url, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b""), known
        assert answer.headers["ETag"] == etag
        assert answer.headers["X-Repo-Commit"]
    for other in ('"other"', f'"{etag[1:9]}"', ""):
        assert whole(http.get(url, headers={"If-None-Match": other})) == WEIGHTS


def test_a_file_is_saved_under_its_own_name(shop: tuple[Http, str]) -> None:
    http, repo_id = shop
    for path in (UNICODE, "small.dat"):
        disposition = http.get(f"/{repo_id}/resolve/main/{httpx2.URL('http://x').copy_with(path='/' + path).raw_path.decode()[1:]}")
        said = disposition.headers["Content-Disposition"]
        assert said.startswith("attachment; ")
        assert said.isascii()
        assert unquote(said.partition("filename*=UTF-8''")[2].partition(";")[0]) == path.rsplit("/", 1)[-1]
        plain = said.partition('filename="')[2]
        assert plain.endswith('"')
        assert not {'"', "\\", "\r", "\n"} & set(plain[:-1])


@pytest.mark.parametrize("name", ["page.html", "pic.svg", "small.dat", "w.safetensors", "empty.txt"])
def test_no_file_ever_runs_on_the_hubs_origin(shop: tuple[Http, str], name: str) -> None:
    http, repo_id = shop
    urls = [f"/{repo_id}/resolve/main/{name}", f"/{repo_id}/raw/main/{name}"]
    if name == "w.safetensors":
        urls.append(f"/{repo_id}.git/info/lfs/objects/{sha256(WEIGHTS)}")
    for url in urls:
        answer = http.get(url)
        assert answer.status_code == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["Content-Security-Policy"], url
        assert answer.headers["Content-Type"].split(";")[0] in {"text/plain", "application/octet-stream"}


def test_only_what_can_never_change_and_anybody_may_read_is_kept_by_caches(alice_http: Http, http: Http, repo_id: str) -> None:
    assert alice_http.create_repo(repo_id).is_success
    commit = alice_http.commit_files(repo_id, {"a.txt": b"a", "w.bin": b"w"})
    assert alice_http.post(f"/api/models/{repo_id}/tag/main", json={"tag": "v1"}).is_success

    def kept(revision: str) -> set[str]:
        urls = [f"/{repo_id}/{door}/{revision}/{name}" for door in ("resolve", "raw") for name in ("a.txt", "w.bin")]
        return {alice_http.get(url).headers["Cache-Control"] for url in urls}

    assert kept(commit) == {"public, max-age=31536000, immutable"}
    for moving in ("main", "HEAD", "v1"):
        assert kept(moving) == {"no-cache"}
    oid = sha256(b"w")
    for fields in ({"private": True}, {"private": False, "gated": "manual"}):
        assert alice_http.put(f"/api/models/{repo_id}/settings", json=fields).is_success
        assert {*kept(commit), *kept("main")} == {"private, no-cache"}
        by_hash = alice_http.get(f"/{repo_id}.git/info/lfs/objects/{oid}")
        assert "private" in by_hash.headers.get("Cache-Control", ""), "a cache between may keep it"
    assert http.get(f"/{repo_id}/resolve/{commit}/a.txt").headers["Cache-Control"] == "no-store"


# --- exactly this revision -----------------------------------------------------------------------------------------


def test_every_revision_gives_its_own_bytes_for_good(alice_http: Http, repo_id: str) -> None:
    assert alice_http.create_repo(repo_id).is_success
    made = {}
    for number in range(5):
        files = {"a.txt": b"text %d" % number, "w.bin": os.urandom(70_000), f"only-{number}.txt": b"x"}
        made[alice_http.commit_files(repo_id, files)] = files
    for commit, files in made.items():
        for name, data in files.items():
            answer = alice_http.get(f"/{repo_id}/resolve/{commit}/{name}")
            assert (whole(answer), answer.headers["X-Repo-Commit"]) == (data, commit)
    first, *_, last = made
    assert alice_http.get(f"/{repo_id}/resolve/{first}/only-4.txt").headers["X-Error-Code"] == "EntryNotFound"
    assert alice_http.get(f"/{repo_id}/resolve/main/a.txt").headers["X-Repo-Commit"] == last
    for almost in (first[:-1], first[:7], first.upper() if first.upper() != first else "f" * 40, first + "0"):
        assert alice_http.get(f"/{repo_id}/resolve/{almost}/a.txt").headers["X-Error-Code"] == "RevisionNotFound"


def test_a_commit_belongs_to_one_repository(alice_http: Http, repo_id: str) -> None:
    for name in (repo_id, f"{repo_id}-b"):
        assert alice_http.create_repo(name).is_success
    commit = alice_http.commit_files(repo_id, {"a.txt": b"a"})
    for url in (
        f"/{repo_id}-b/resolve/{commit}/a.txt",
        f"/api/models/{repo_id}-b/revision/{commit}",
        f"/api/models/{repo_id}-b/tree/{commit}",
    ):
        assert alice_http.get(url).headers["X-Error-Code"] == "RevisionNotFound"
    assert (
        alice_http.post(f"/api/models/{repo_id}-b/branch/x", json={"startingPoint": commit}).headers["X-Error-Code"] == "RevisionNotFound"
    )


# --- what is stored ------------------------------------------------------------------------------------------------


def _pushed(http: Http, repo_id: str, size: int) -> bytes:
    data = os.urandom(size)
    assert http.create_repo(repo_id).is_success
    lfs.upload(http, repo_id, data)
    assert http.commit(repo_id, [header("Add"), lfs_file("w.bin", sha256(data), size)]).is_success
    return data


@pytest.mark.parametrize(("size", "left"), [(100_000, 50_000), (100_000, 0), (3_000_000, 2_999_999), (3_000_000, 1 << 20)])
def test_a_stored_file_that_was_cut_is_never_taken_for_whole(hub: Hub, alice_http: Http, repo_id: str, size: int, left: int) -> None:
    data = _pushed(alice_http, repo_id, size)
    os.truncate(lfs.stored(hub, sha256(data)), left)
    for url in (f"/{repo_id}/resolve/main/w.bin", f"/{repo_id}.git/info/lfs/objects/{sha256(data)}"):
        for headers in ({}, {"Range": "bytes=10-"}, {"Range": f"bytes={left}-"}):
            try:
                answer = alice_http.get(url, headers=headers)
            except httpx2.TransportError:
                continue
            assert answer.status_code >= 500
    part = alice_http.get(f"/{repo_id}/resolve/main/w.bin", headers={"Range": "bytes=0-9"}) if left > 10 else None
    assert part is None or part.content == data[:10]


def test_a_stored_file_that_grew_is_sent_as_long_as_it_was(hub: Hub, alice_http: Http, repo_id: str) -> None:
    data = _pushed(alice_http, repo_id, 100_000)
    with lfs.stored(hub, sha256(data)).open("ab") as stored:
        stored.write(b"more")
    assert whole(alice_http.get(f"/{repo_id}/resolve/main/w.bin")) == data


def test_a_stored_file_that_is_gone_is_the_hubs_fault(hub: Hub, alice_http: Http, repo_id: str) -> None:
    data = _pushed(alice_http, repo_id, 100_000)
    lfs.stored(hub, sha256(data)).unlink()
    answer = alice_http.get(f"/{repo_id}/resolve/main/w.bin")
    assert answer.status_code == 410, "not a 500, which clients ask for again and again"
    assert "fsck" in answer.json()["error"]
    assert "X-Error-Code" not in answer.headers, "a client would take EntryNotFound for an answer and remember it"


def test_a_reader_who_leaves_half_way_leaves_no_open_file(hub: Hub, alice_http: Http, repo_id: str) -> None:
    data = _pushed(alice_http, repo_id, 8 << 20)
    for _ in range(5):
        with alice_http.stream("GET", f"/{repo_id}/resolve/main/w.bin") as answer:
            next(answer.iter_bytes(1000))
    process = hub.process
    assert process is not None
    stored = lfs.stored(hub, sha256(data))

    def held() -> list[Path]:
        open_files = []
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            try:
                open_files.append(descriptor.readlink())
            except FileNotFoundError:
                continue
        return [path for path in open_files if path == stored]

    deadline = time.monotonic() + 10
    while held():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert whole(alice_http.get(f"/{repo_id}/resolve/main/w.bin")) == data


# --- counting ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def counting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[str], str]
) -> Iterator[tuple[Hub, Http]]:
    """A hub of its own that may be restarted, and its user."""
    own = Hub(tmp_path_factory.mktemp("counting"), new_database(request.param), {"HUB_FLUSH_INTERVAL": "1"})
    own.start()
    with Http(own, own.add_user("cleo")) as http:
        yield own, http
    own.stop()


def _downloads(http: Http, wanted: int) -> int:
    """The count, as soon as it is ``wanted``, or after three flushes."""
    deadline = time.monotonic() + 3.5
    while True:
        count: int = http.get("/api/models/cleo/counted").json()["downloads"]
        if count == wanted or time.monotonic() > deadline:
            return count
        time.sleep(0.1)


def test_each_get_counts_once_and_the_count_survives_a_restart(counting: tuple[Hub, Http]) -> None:
    hub, http = counting
    assert http.create_repo("cleo/counted").is_success
    commit = http.commit_files("cleo/counted", {"a.txt": b"a", "w.bin": b"w" * 100_000})
    url = "/cleo/counted/resolve/main/w.bin"
    counted = {"x-hf-download-counter": "1"}
    for _ in range(3):
        assert http.head(url, headers=counted).is_success
        assert http.get(url, headers=counted).is_success
    assert _downloads(http, 3) == 3
    uncounted = [
        http.get(f"/cleo/counted/resolve/{commit}/no-such", headers=counted),
        http.get("/cleo/counted/resolve/no-such/w.bin", headers=counted),
        http.get(url, headers={"Range": "bytes=5-"}),
        http.get(url, headers={"If-None-Match": http.head(url).headers["ETag"]}),
        http.get("/cleo/counted/raw/main/w.bin"),
    ]
    assert [answer.status_code for answer in uncounted] == [404, 404, 206, 304, 200]
    with Http(hub) as nobody:
        assert nobody.get("/cleo/counted/resolve/main/a.txt").is_success
    time.sleep(2.2)
    assert _downloads(http, 4) == 4
    http.get(url)
    hub.restart()
    assert _downloads(http, 5) == 5, "what was counted before a clean end is written"
    assert http.get("/api/models", params={"author": "cleo", "sort": "downloads"}).json()[0]["downloads"] == 5
    time.sleep(1.2)
    hub.kill()
    hub.start()
    assert _downloads(http, 5) == 5

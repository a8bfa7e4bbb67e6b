"""Every number that bounds a request, from just below and just above; and what no number lets through."""

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.api.wire import MAX_DESCRIPTION, MAX_LINE, MAX_SUMMARY
from hub.guard import MAX_HEADER_BYTES, MAX_HEADERS_BYTES, MAX_PATH_BYTES, YAML_BODY
from tests.support import lfs
from tests.support.http import Http, deleted_file, deleted_folder, file, header, lfs_file
from tests.support.lfs import sha256
from tests.support.server import Account, Hub

KIB, MIB = 1 << 10, 1 << 20
SMALL = {
    "HUB_MAX_JSON_BYTES": str(64 * KIB),
    "HUB_MAX_COMMIT_BYTES": str(256 * KIB),
    "HUB_MAX_COMMIT_OPERATIONS": "10",
    "HUB_MAX_INLINE_BYTES": str(8 * KIB),
    "HUB_MAX_LFS_BYTES": str(100 * KIB),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Account]]:
    """A hub with small limits, and its user."""
    hub = Hub(tmp_path_factory.mktemp("small"), settings=SMALL).start()
    yield hub, hub.add_user("sue")
    hub.stop()


@pytest.fixture(scope="module")
def sue(small: tuple[Hub, Account]) -> Iterator[Http]:
    """Raw HTTP to the small hub, as its user, who has a repository ``sue/r``."""
    with Http(*small) as http:
        assert http.create_repo("sue/r").is_success
        yield http


@pytest.fixture
def repo(alice_http: Http, repo_id: str) -> str:
    """A repository with a file in a folder."""
    assert alice_http.create_repo(repo_id).is_success
    alice_http.commit_files(repo_id, {"docs/a.txt": b"a"})
    return repo_id


def head(http: Http, repo_id: str) -> str:
    """The commit that main is at."""
    return str(http.get(f"/api/models/{repo_id}").json()["sha"])


# --- bodies --------------------------------------------------------------------------------------------------------


def _padded(body: dict[str, Any], size: int) -> bytes:
    text = json.dumps(body)
    return text.encode() + b" " * (size - len(text))


@pytest.mark.parametrize("chunked", [False, True])
def test_json_bodies(sue: Http, chunked: bool) -> None:
    limit = int(SMALL["HUB_MAX_JSON_BYTES"])
    calls: dict[str, dict[str, Any]] = {
        "/api/models/sue/r/paths-info/main": {"paths": []},
        "/api/models/sue/r/preupload/main": {"files": []},
        "/sue/r.git/info/lfs/objects/batch": {"operation": "upload", "objects": []},
    }
    for url, body in calls.items():
        for size, status in ((limit, 200), (limit + 1, 413)):
            content: Any = _padded(body, size)
            answer = sue.post(url, content=iter([content]) if chunked else content, headers={"Content-Type": "application/json"})
            assert answer.status_code == status, (url, size, answer.text)


def test_a_card_to_be_judged_may_be_larger_than_other_bodies(sue: Http) -> None:
    empty = len(json.dumps({"content": ""}))
    for size, status in ((YAML_BODY, 200), (YAML_BODY + 1, 413)):
        body = json.dumps({"content": "x" * (size - empty)})
        assert sue.post("/api/validate-yaml", content=body, headers={"Content-Type": "application/json"}).status_code == status


@pytest.mark.parametrize("chunked", [False, True])
def test_commit_bodies(sue: Http, chunked: bool) -> None:
    limit, before = int(SMALL["HUB_MAX_COMMIT_BYTES"]), head(sue, "sue/r")
    lines = json.dumps(header("Pad")) + "\n" + json.dumps(file(f"pad-{chunked}.txt", b"x")) + "\n"
    for size, status in ((limit + 1, 413), (limit, 200)):
        body = lines.encode() + b"\n" * (size - len(lines))
        answer = sue.post("/api/models/sue/r/commit/main", content=iter([body]) if chunked else body)
        assert answer.status_code == status, answer.text
        assert (head(sue, "sue/r") != before) == (status == 200)


def test_commits_to_a_bare_ref_have_the_limit_of_commits(sue: Http) -> None:
    """A client that does not quote the revision may send as much as one that does."""
    opened = sue.commit("sue/r", [header("Open"), file("open.txt", b"x")], create_pr="1").json()["pullRequestUrl"]
    number = opened.rpartition("/")[2]
    lines = [header("Much"), *(file(f"much-{index}.txt", b"x" * (8 * KIB)) for index in range(8))]
    for revision in (f"refs%2Fpr%2F{number}", f"refs/pr/{number}"):
        assert sue.commit("sue/r", lines, revision).status_code == 200, revision


def test_operations_of_a_commit(sue: Http) -> None:
    most = int(SMALL["HUB_MAX_COMMIT_OPERATIONS"])
    files = [file(f"op-{index}.txt", b"x") for index in range(most + 1)]
    refused = sue.commit("sue/r", [header("Too many"), *files])
    assert refused.status_code == 413
    assert "HUB_MAX_COMMIT_OPERATIONS" in refused.json()["error"]
    assert sue.get("/sue/r/resolve/main/op-0.txt").status_code == 404
    assert sue.commit("sue/r", [header("Just so many"), *files[:most]]).status_code == 200


def test_inline_files(sue: Http) -> None:
    most = int(SMALL["HUB_MAX_INLINE_BYTES"])
    assert sue.commit("sue/r", [header("Fits"), file("inline.txt", b"x" * most)]).status_code == 200
    refused = sue.commit("sue/r", [header("Does not"), file("more.txt", b"x" * (most + 1))])
    assert refused.status_code == 413
    assert "HUB_MAX_INLINE_BYTES" in refused.json()["error"]
    modes = {size: _mode(sue, "a.txt", size) for size in (0, 1, most, most + 1)}
    assert modes == {0: "regular", 1: "regular", most: "regular", most + 1: "lfs"}
    assert _mode(sue, "a.safetensors", 1) == "lfs"
    assert _mode(sue, "a.safetensors", 0) == "regular"


def _mode(http: Http, path: str, size: int) -> str:
    answer = http.post("/api/models/sue/r/preupload/main", json={"files": [{"path": path, "size": size}]})
    return str(answer.json()["files"][0]["uploadMode"])


def test_lfs_objects(sue: Http) -> None:
    most = int(SMALL["HUB_MAX_LFS_BYTES"])
    data = b"x" * most
    lfs.upload(sue, "sue/r", data)
    assert sue.commit("sue/r", [header("Large"), lfs_file("large.bin", sha256(data), most)]).status_code == 200
    (refused,) = lfs.answers(sue, "sue/r", "upload", {"0" * 64: most + 1})
    assert refused["error"]["code"] == 413
    assert "HUB_MAX_LFS_BYTES" in refused["error"]["message"]
    assert "actions" not in refused


def test_lines_of_a_commit(alice_http: Http, repo: str) -> None:
    before = head(alice_http, repo)
    line = json.dumps(file("long.txt", b"x")).encode()
    url = f"/api/models/{repo}/commit/main"
    first = json.dumps(header("Long line")).encode() + b"\n"
    refused = alice_http.post(url, content=first + line + b" " * (MAX_LINE + 1 - len(line)) + b"\n")
    assert refused.status_code == 413
    assert head(alice_http, repo) == before
    assert alice_http.post(url, content=first + line + b" " * (MAX_LINE - 1 - len(line)) + b"\n").status_code == 200


def test_messages_of_a_commit(alice_http: Http, repo: str) -> None:
    cases = [("s" * MAX_SUMMARY, "d" * MAX_DESCRIPTION, 200), ("s" * (MAX_SUMMARY + 1), "", 400), ("s", "d" * (MAX_DESCRIPTION + 1), 400)]
    for index, (summary, description, status) in enumerate(cases):
        answer = alice_http.commit(repo, [header(summary, description), file(f"message-{index}.txt", b"x")])
        assert answer.status_code == status, answer.text
    newest = alice_http.get(f"/api/models/{repo}/commits/main").json()[0]
    assert (len(newest["title"]), len(newest["message"])) == (MAX_SUMMARY, MAX_DESCRIPTION)


def test_how_many_files_one_question_may_name(alice_http: Http, repo: str) -> None:
    for count, status in ((1_000, 200), (1_001, 400)):
        files = [{"path": f"{index}.txt", "size": 1} for index in range(count)]
        assert alice_http.post(f"/api/models/{repo}/preupload/main", json={"files": files}).status_code == status
        assert lfs.batch(alice_http, repo, "upload", {f"{index:064x}": 1 for index in range(count)}).status_code == status
    sample = {"path": "a", "size": 1, "sample": base64.b64encode(b"x" * 512).decode()}
    assert alice_http.post(f"/api/models/{repo}/preupload/main", json={"files": [sample]}).status_code == 200
    sample["sample"] = "x" * 2_001
    assert alice_http.post(f"/api/models/{repo}/preupload/main", json={"files": [sample]}).status_code == 400


# --- commits that are not understood -------------------------------------------------------------------------------

ONE = file("one.txt", b"1")
NOT_UNDERSTOOD: dict[str, list[Any]] = {
    "an unknown operation": [header("a"), ONE, {"key": "renamedFile", "value": {"path": "x"}}],
    "a second header": [header("a"), ONE, header("b")],
    "no header": [ONE],
    "a header in the end": [ONE, header("a")],
    "nothing": [],
    "one path twice": [header("a"), ONE, file("one.txt", b"2")],
    "one path twice, inline and by pointer": [header("a"), ONE, lfs_file("one.txt", "0" * 64, 1)],
    "no base64": [header("a"), {"key": "file", "value": {"path": "b.txt", "content": "a*b=", "encoding": "base64"}}],
    "half base64": [header("a"), {"key": "file", "value": {"path": "b.txt", "content": "YWJ", "encoding": "base64"}}],
    "another encoding": [header("a"), {"key": "file", "value": {"path": "b.txt", "content": "x", "encoding": "utf-16"}}],
    "a file without content": [header("a"), {"key": "file", "value": {"path": "b.txt"}}],
    "content that is no text": [header("a"), {"key": "file", "value": {"path": "b.txt", "content": 1}}],
    "no path": [header("a"), {"key": "file", "value": {"content": ""}}],
    "another algorithm": [header("a"), {"key": "lfsFile", "value": {"path": "b.bin", "algo": "md5", "oid": "0" * 64, "size": 1}}],
    "a hash too short": [header("a"), lfs_file("b.bin", "0" * 63, 1)],
    "a hash in upper case": [header("a"), lfs_file("b.bin", "A" * 64, 1)],
    "a hash and a line": [header("a"), lfs_file("b.bin", "0" * 64 + "\n", 1)],
    "a negative size": [header("a"), lfs_file("b.bin", "0" * 64, -1)],
    "bytes that never came": [header("a"), ONE, lfs_file("b.bin", "0" * 64, 1)],
    "a parent that is no hash": [header("a", parentCommit="main"), ONE],
    "no object": [header("a"), [1, 2]],
    "a text": [header("a"), "file"],
    "no value": [header("a"), {"key": "file"}],
    "a value of null": [header("a"), {"key": "file", "value": None}],
    "a key of a list": [header("a"), {"key": ["file"], "value": {}}],
    "a summary that is no text": [{"key": "header", "value": {"summary": 1}}, ONE],
    "no summary": [{"key": "header", "value": {}}, ONE],
    "a file in a file": [header("a"), ONE, file("one.txt/two.txt", b"2")],
    "a file that is a folder": [header("a"), ONE, file("docs", b"2")],
    "names that differ in case": [header("a"), ONE, file("ONE.txt", b"2")],
    "a name that differs in case from one that is there": [header("a"), ONE, file("docs/A.txt", b"2")],
}


@pytest.mark.parametrize("lines", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_a_commit_that_is_not_understood_changes_nothing(alice_http: Http, repo: str, lines: list[Any]) -> None:
    before = head(alice_http, repo)
    refused = alice_http.commit(repo, lines)
    assert refused.status_code == 400, refused.text
    assert head(alice_http, repo) == before
    assert alice_http.get(f"/{repo}/resolve/main/one.txt").status_code == 404


@pytest.mark.parametrize("body", [b"", b"\n\n", b"{", b"\xff\xfe", b"[" * 100_000, b'{"key": "header"}', b"null", b"1" * 10_000, b"\0"])
def test_a_commit_that_is_no_ndjson_changes_nothing(alice_http: Http, repo: str, body: bytes) -> None:
    first = json.dumps(header("a")).encode() + b"\n" + json.dumps(ONE).encode() + b"\n"
    before = head(alice_http, repo)
    for content in (body, first + body) if body.strip() else (body,):
        assert alice_http.post(f"/api/models/{repo}/commit/main", content=content).status_code == 400
    assert head(alice_http, repo) == before


def test_a_last_line_may_lack_its_newline(alice_http: Http, repo: str) -> None:
    body = (json.dumps(header("a")) + "\r\n\n" + json.dumps(ONE)).encode()
    assert alice_http.post(f"/api/models/{repo}/commit/main", content=body).status_code == 200
    assert alice_http.get(f"/{repo}/resolve/main/one.txt").text == "1"


@pytest.mark.parametrize(
    "line", [deleted_file("no-such"), deleted_folder("no-such/"), deleted_file("docs"), deleted_folder("docs/a.txt/")], ids=str
)
def test_what_is_not_there_cannot_be_deleted(alice_http: Http, repo: str, line: dict[str, Any]) -> None:
    before = head(alice_http, repo)
    refused = alice_http.commit(repo, [header("a"), ONE, line])
    assert (refused.status_code, refused.headers["X-Error-Code"]) == (404, "EntryNotFound")
    assert head(alice_http, repo) == before


# --- paths ---------------------------------------------------------------------------------------------------------

GOOD_PATHS = [
    "a" * 255,
    "/".join(["d" * 200] * 5),
    "/".join("a" * 32),
    "\u00e9" * 127,
    "with space.txt",
    "\U0001f600.txt",
    ".hidden",
    "a..b",
    "%2e%2e",
]
BAD_PATHS = {
    "too long": "/".join(["d" * 204] * 5 + ["x"]),
    "a segment too long": "a" * 256,
    "a segment too long in bytes": "\u00e9" * 128,
    "too deep": "/".join("a" * 33),
    "empty": "",
    "absolute": "/a",
    "a folder": "a/",
    "double slash": "a//b",
    "dot": "./a",
    "up": "../a",
    "up inside": "a/../b",
    "backslash": "a\\b",
    "colon": "c:a",
    "NUL": "a\0b",
    "control": "a\x1fb",
    "delete": "a\x7fb",
    "C1": "a\x85b",
    "replacement": "a\ufffdb",
    "surrogate": "a\udc80b",
    "bidi": "a\u202eb",
    "zero width": "a\u200bb",
    "byte order mark": "\ufeffa",
    "not NFC": "e\u0301",
    "ends with a dot": "a./b",
    "ends with a space": "a ",
    "starts with a space": " a",
    "git": ".git/config",
    "git in disguise": ".G\u200cIT/config",
    "git in full width": "\uff0egit/config",
    "git by its short name": "git~1/config",
    "cache": ".cache/x",
    "device": "nul.txt",
    "line": "a\nb",
}


@pytest.mark.parametrize("path", GOOD_PATHS, ids=lambda path: ascii(path)[:40])
def test_paths_within_the_rule_go_in_and_come_out(alice_http: Http, repo: str, path: str) -> None:
    alice_http.commit_files(repo, {path: path.encode()})
    assert path in {item["rfilename"] for item in alice_http.get(f"/api/models/{repo}").json()["siblings"]}
    quoted = "/".join("".join(f"%{byte:02x}" for byte in segment.encode()) for segment in path.split("/"))
    assert alice_http.get(f"/{repo}/resolve/main/{quoted}").content == path.encode()


@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS)
def test_paths_out_of_the_rule_go_neither_in_nor_out(alice_http: Http, repo: str, path: str) -> None:
    before = head(alice_http, repo)
    for line in (file(path, b"x"), lfs_file(path, "0" * 64, 1)):
        assert alice_http.commit(repo, [header("a"), line]).status_code == 400
    assert head(alice_http, repo) == before
    quoted = "".join(f"%{byte:02x}" for byte in path.encode("utf-8", "surrogatepass"))
    for url in (f"/{repo}/resolve/main/{quoted}", f"/{repo}/raw/main/{quoted}"):
        assert alice_http.get(url).status_code in {400, 404}


def test_a_path_that_preupload_lets_pass_is_one_that_can_be_committed(alice_http: Http, repo: str) -> None:
    for size in (0, 1):
        for name, path in BAD_PATHS.items():
            body = json.dumps({"files": [{"path": path, "size": size}]})
            answer = alice_http.post(f"/api/models/{repo}/preupload/main", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400, (name, size)


# --- addresses -----------------------------------------------------------------------------------------------------


def _status(hub: Hub, target: bytes) -> int:
    """The status of an answer to a request line exactly like this."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=30) as connection:
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return int(connection.makefile("rb").readline().split()[1])


def test_the_length_of_an_address(hub: Hub, repo: str) -> None:
    start = f"/{repo}/resolve/main/".encode()
    assert _status(hub, start + b"a" * (MAX_PATH_BYTES - len(start))) == 404
    assert _status(hub, start + b"a" * (MAX_PATH_BYTES + 1 - len(start))) == 414


def test_the_length_of_headers(http: Http) -> None:
    name = "X-Long"
    assert http.get("/healthz", headers={name: "x" * (MAX_HEADER_BYTES - len(name))}).status_code == 200
    assert http.get("/healthz", headers={name: "x" * (MAX_HEADER_BYTES + 1 - len(name))}).status_code == 431
    many = {f"X-{number}": "x" * 7_000 for number in range(4)}
    assert http.get("/healthz", headers=many).status_code == 200
    assert http.get("/healthz", headers=many | {"X-Last": "x" * (MAX_HEADERS_BYTES - 4 * 7_000)}).status_code == 431


@pytest.mark.parametrize(
    "part",
    [
        b"%00",
        b"%01",
        b"%0a",
        b"%0d%0a",
        b"%1e",
        b"%1f",
        b"%7f",
        b"%ff",
        b"%c0%af",
        b"%ed%a0%80",
        b"%ef%bf%bd",
        b"%c3%28",
        b"a%1fb",
        b"docs%1fa.txt",
    ],
)
def test_characters_that_no_name_has_are_refused_in_addresses(hub: Hub, repo: str, part: bytes) -> None:
    namespace, name = repo.encode().split(b"/")
    for target in (
        b"/%s/%s/resolve/main/%s" % (namespace, name, part),
        b"/%s/%s/resolve/%s/docs/a.txt" % (namespace, name, part),
        b"/api/models/%s/%s/tree/main/%s" % (namespace, name, part),
        b"/api/models/%s/%s" % (namespace, part),
        b"/api/models/%s/%s" % (part, name),
        b"/api/users/%s/overview" % part,
        b"/%s" % part,
    ):
        assert _status(hub, target) == 400, target


@pytest.mark.parametrize(
    "way",
    [
        *(
            b"../../../../etc/passwd",
            b"..%2f..%2f..%2fetc%2fpasswd",
            b"%2e%2e/%2e%2e/etc/passwd",
            b"..%5c..%5cetc%5cpasswd",
            b"%252e%252e%252fetc",
        ),
        *(b"/etc/passwd", b"%2fetc%2fpasswd", b"docs/../docs/a.txt", b"docs/./a.txt", b"docs//a.txt", b"../../hub.sqlite3", b"..;/a.txt"),
    ],
)
def test_no_way_leads_out_of_a_repository(hub: Hub, repo: str, way: bytes) -> None:
    for door in (b"/%s/resolve/main/", b"/%s/raw/main/", b"/api/models/%s/tree/main/"):
        assert _status(hub, door % repo.encode() + way) in {400, 404}
    for root in (b"/static/", b"/"):
        assert _status(hub, root + way) in {400, 404}


def test_hashes_and_ids_from_addresses_never_name_files(alice_http: Http, repo: str) -> None:
    for oid in ("..%2F..%2Fhub.sqlite3", "%2Fetc%2Fpasswd", "0" * 63, "g" * 64):
        assert alice_http.get(f"/{repo}.git/info/lfs/objects/{oid}").status_code == 404


def test_nothing_that_was_refused_left_anything_behind(small: tuple[Hub, Account], sue: Http) -> None:
    folders = [small[0].data_dir / "tmp", small[0].data_dir / "store" / "staging"]
    assert sue.commit("sue/r", [header("a"), file("big.txt", b"x" * (9 * KIB))]).status_code == 413
    assert [path for folder in folders for path in Path(folder).iterdir()] == []

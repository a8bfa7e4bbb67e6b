"""Commits by raw HTTP: what they make, what they refuse, and that equal requests have one effect."""

import hashlib
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hub.git import lfs_pointer
from tests.support import lfs
from tests.support.http import Http, deleted_file, deleted_folder, file, header, lfs_file
from tests.support.lfs import sha256
from tests.support.server import Account, Hub

Lines = Iterable[Mapping[str, Any]]


@pytest.fixture
def repo(alice_http: Http, repo_id: str) -> str:
    assert alice_http.create_repo(repo_id).is_success
    return repo_id


def head(http: Http, repo: str, revision: str = "main") -> str:
    return str(http.get(f"/api/models/{repo}/revision/{revision}").json()["sha"])


def history(http: Http, repo: str, revision: str = "main") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = http.get(f"/api/models/{repo}/commits/{revision}", params={"limit": 1000}).json()
    return listed


def tree(http: Http, repo: str, revision: str = "main") -> dict[str, dict[str, Any]]:
    listed = http.get(f"/api/models/{repo}/tree/{revision}", params={"recursive": "true"}).json()
    return {item["path"]: item for item in listed}


def files(http: Http, repo: str, revision: str = "main") -> set[str]:
    return {path for path, item in tree(http, repo, revision).items() if item["type"] == "file"}


def content(http: Http, repo: str, path: str, revision: str = "main") -> bytes:
    answer = http.get(f"/{repo}/resolve/{revision}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.content


def info(http: Http, repo: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/api/models/{repo}").json()
    return found


def commit(http: Http, repo: str, *lines: Mapping[str, Any], revision: str = "main", **header_fields: Any) -> str:
    """One commit that must succeed; returns its id."""
    answer = http.commit(repo, [header("A commit", **header_fields), *lines], revision)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["commitOid"])


def assert_refused(answer: httpx2.Response, status: int, text: str = "", code: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert text in answer.json()["error"]
    assert answer.headers.get("x-error-code") == code


# --- what a commit makes -------------------------------------------------------------------------------------------


def test_a_commit_adds_changes_and_deletes(alice_http: Http, repo: str) -> None:
    first = commit(alice_http, repo, file("a.txt", b"a"), file("dir/b.txt", b"b"), file("dir/sub/c.txt", b"c"))
    second = commit(alice_http, repo, file("a.txt", b"A"), deleted_file("dir/b.txt"), file("d.txt", b"d"))
    assert files(alice_http, repo) == {".gitattributes", "a.txt", "d.txt", "dir/sub/c.txt"}
    assert files(alice_http, repo, first) == {".gitattributes", "a.txt", "dir/b.txt", "dir/sub/c.txt"}
    assert content(alice_http, repo, "a.txt") == b"A"
    assert content(alice_http, repo, "a.txt", first) == b"a"
    assert head(alice_http, repo) == second


def test_the_answer_names_the_commit(hub: Hub, alice_http: Http, repo: str) -> None:
    answer = alice_http.commit(repo, [header("Add a"), file("a.txt", b"a")])
    oid = answer.json()["commitOid"]
    assert answer.json()["commitUrl"] == f"{hub.url}/{repo}/commit/{oid}"
    assert answer.headers["x-repo-commit"] == oid == head(alice_http, repo)


def test_a_folder_goes_with_all_in_it(alice_http: Http, repo: str) -> None:
    commit(alice_http, repo, file("dir/a.txt", b"a"), file("dir/sub/b.txt", b"b"), file("dirt.txt", b"stays"))
    commit(alice_http, repo, deleted_folder("dir/"))
    assert files(alice_http, repo) == {".gitattributes", "dirt.txt"}


def test_a_file_may_become_a_folder_in_one_commit(alice_http: Http, repo: str) -> None:
    commit(alice_http, repo, file("x", b"file"))
    commit(alice_http, repo, deleted_file("x"), file("x/y", b"in a folder"))
    assert files(alice_http, repo) == {".gitattributes", "x/y"}


def test_a_large_text_lies_in_the_store(hub: Hub, alice_http: Http, repo: str) -> None:
    text = b"a line of text\n" * 10_000
    commit(alice_http, repo, file("large.txt", text), file("small.txt", b"small"))
    assert content(alice_http, repo, "large.txt") == text
    assert lfs.stored(hub, sha256(text)).read_bytes() == text
    assert not lfs.stored(hub, sha256(b"small")).exists()
    item = tree(alice_http, repo)["large.txt"]
    assert "lfs" not in item
    assert item["oid"] == blob_id(text)


@pytest.mark.parametrize("size", [10, 100_000])
def test_an_inline_file_of_an_lfs_pattern_is_kept_as_lfs(alice_http: Http, repo: str, size: int) -> None:
    data = os.urandom(size)
    commit(alice_http, repo, file("w.safetensors", data))
    item = tree(alice_http, repo)["w.safetensors"]
    pointer = lfs_pointer(sha256(data), size)
    assert item["oid"] == blob_id(pointer)
    assert item["lfs"] == {"oid": sha256(data), "size": size, "pointerSize": len(pointer)}
    assert content(alice_http, repo, "w.safetensors") == data
    assert alice_http.get(f"/{repo}/raw/main/w.safetensors").content == pointer


def test_the_patterns_of_the_repository_decide(alice_http: Http, repo: str) -> None:
    commit(alice_http, repo, file(".gitattributes", b"*.dat filter=lfs diff=lfs merge=lfs -text\n"))
    commit(alice_http, repo, file("a.dat", b"data"), file("w.safetensors", b"inline now"))
    listed = tree(alice_http, repo)
    assert ("lfs" in listed["a.dat"], "lfs" in listed["w.safetensors"]) == (True, False)


def test_an_empty_file_is_never_lfs(alice_http: Http, repo: str) -> None:
    commit(alice_http, repo, file("empty.bin", b""))
    assert "lfs" not in tree(alice_http, repo)["empty.bin"]
    assert content(alice_http, repo, "empty.bin") == b""


def test_an_uploaded_file_may_be_committed_by_its_hash_alone(alice_http: Http, repo: str) -> None:
    data = os.urandom(1000)
    lfs.upload(alice_http, repo, data)
    pointer = {"key": "lfsFile", "value": {"path": "copy.bin", "algo": "sha256", "oid": sha256(data)}}
    commit(alice_http, repo, pointer)
    commit(alice_http, repo, {"key": "lfsFile", "value": {**pointer["value"], "path": "again.bin"}})  # type: ignore[dict-item]
    assert content(alice_http, repo, "again.bin") == data
    wrong = lfs_file("wrong.bin", sha256(data), 999)
    assert_refused(alice_http.commit(repo, [header("Wrong size"), wrong]), 400, "999 bytes")


# --- parents -------------------------------------------------------------------------------------------------------


def test_the_named_parent_must_be_the_head(alice_http: Http, repo: str) -> None:
    old = head(alice_http, repo)
    new = commit(alice_http, repo, file("a.txt", b"a"), parentCommit=old)
    for parent in (old, old[:7], "0" * 40):
        answer = alice_http.commit(repo, [header("Late", parentCommit=parent), file("b.txt", b"b")])
        assert_refused(answer, 412, "A commit has happened since")
    assert head(alice_http, repo) == new
    for count, length in enumerate((7, 39, 40)):
        new = commit(alice_http, repo, file(f"{count}.txt", b"b"), parentCommit=new[:length])


@pytest.mark.parametrize("parent", ["", "main", "0" * 41, "123456", "G" * 40])
def test_a_parent_that_is_no_commit_id_is_refused(alice_http: Http, repo: str, parent: str) -> None:
    assert_refused(alice_http.commit(repo, [header("Bad", parentCommit=parent), file("b.txt", b"b")]), 400, "parentCommit")


def test_one_of_many_with_the_same_parent_wins(alice_http: Http, alice: Account, hub: Hub, repo: str) -> None:
    parent = head(alice_http, repo)

    def race(number: int) -> int:
        with Http(hub, alice) as http:
            lines = [header(f"Racer {number}", parentCommit=parent), file(f"{number}.txt", b"x")]
            return http.commit(repo, lines).status_code

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(race, range(8))) == {200: 1, 412: 7}
    assert len(history(alice_http, repo)) == 2


def test_commits_at_once_make_one_line_of_history(alice_http: Http, alice: Account, hub: Hub, repo: str) -> None:
    def push(thread: int) -> list[str]:
        with Http(hub, alice) as http:
            return [http.commit_files(repo, {f"{thread}/{number}.txt": b"x"}, f"{thread}-{number}") for number in range(10)]

    with ThreadPoolExecutor(8) as pool:
        acknowledged = [oid for oids in pool.map(push, range(8)) for oid in oids]
    line = [item["id"] for item in history(alice_http, repo)]
    assert len(set(acknowledged)) == 80
    assert set(line[:-1]) == set(acknowledged)
    assert len(files(alice_http, repo)) == 81


# --- equal requests, equal trees -----------------------------------------------------------------------------------


def test_a_commit_that_changes_nothing_is_the_head(alice_http: Http, repo: str) -> None:
    first = commit(alice_http, repo, file("a.txt", b"a"))
    assert commit(alice_http, repo, file("a.txt", b"a"), parentCommit=first) == first
    assert alice_http.commit(repo, [header("Nothing at all")]).json()["commitOid"] == first
    assert len(history(alice_http, repo)) == 2


def test_the_same_request_twice_has_one_effect(alice_http: Http, repo: str) -> None:
    parent = head(alice_http, repo)
    add = [header("Add", parentCommit=parent), file("a.txt", b"a")]
    first = alice_http.commit(repo, add).json()["commitOid"]
    assert alice_http.commit(repo, add).json()["commitOid"] == first
    commit(alice_http, repo, file("other.txt", b"o"))
    assert alice_http.commit(repo, add).json()["commitOid"] == first
    delete = [header("Delete"), deleted_file("a.txt")]
    deleted = alice_http.commit(repo, delete).json()["commitOid"]
    assert alice_http.commit(repo, delete).json()["commitOid"] == deleted
    assert len(history(alice_http, repo)) == 4


def test_the_same_request_at_once_has_one_effect(alice_http: Http, alice: Account, hub: Hub, repo: str) -> None:
    def send(_: int) -> str:
        with Http(hub, alice) as http:
            return http.commit_files(repo, {"a.txt": b"a"}, "Sent by impatient clients")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(send, range(8)))) == 1
    assert len(history(alice_http, repo)) == 2


def test_add_delete_and_add_again_are_three_commits(alice_http: Http, repo: str) -> None:
    add, delete = [header("Add"), file("a.txt", b"a")], [header("Delete"), deleted_file("a.txt")]
    oids = [alice_http.commit(repo, lines).json()["commitOid"] for lines in (add, delete, add, delete, add)]
    assert len(set(oids)) == 5
    assert "a.txt" in files(alice_http, repo)


def test_equal_requests_of_two_users_are_two(hub: Hub, alice_http: Http, bob: Account, repo: str) -> None:
    hub.cli("org", "add", f"org-{repo[-12:]}", "--owner", "alice")
    hub.cli("org", "member", f"org-{repo[-12:]}", "bob", "write")
    shared = f"org-{repo[-12:]}/shared"
    assert alice_http.create_repo(shared).is_success
    add = [header("Add"), file("a.txt", b"a")]
    assert alice_http.commit(shared, add, create_pr=1).json()["pullRequestUrl"].endswith("/1")
    with alice_http.signed_as(bob) as bob_http:
        assert bob_http.commit(shared, add, create_pr=1).json()["pullRequestUrl"].endswith("/2")


# --- what is refused -----------------------------------------------------------------------------------------------


def test_what_is_not_there_cannot_be_deleted(alice_http: Http, repo: str) -> None:
    commit(alice_http, repo, file("dir/a.txt", b"a"))
    for line in (deleted_file("missing.txt"), deleted_file("dir"), deleted_folder("missing/"), deleted_folder("dir/a.txt/")):
        assert_refused(alice_http.commit(repo, [header("Delete"), line]), 404, "doesn't exist", "EntryNotFound")
    assert len(history(alice_http, repo)) == 2


@pytest.mark.parametrize(
    "paths",
    [("a.txt", "A.txt"), ("Dir/x", "dir/x"), ("dir", "dir/x"), ("a/b/c", "A/b"), ("straße", "STRASSE")],
)
def test_trees_that_no_file_system_can_hold(alice_http: Http, repo: str, paths: tuple[str, str]) -> None:
    together = [header("Both"), *(file(path, b"x") for path in paths)]
    assert_refused(alice_http.commit(repo, together), 400)
    commit(alice_http, repo, file(paths[0], b"x"))
    assert_refused(alice_http.commit(repo, [header("The other"), file(paths[1], b"x")]), 400)
    assert len(history(alice_http, repo)) == 2


@pytest.mark.parametrize("path", ["../up", "/top", "a//b", "a/./b", ".git/config", "a\\b", "con", "a\u202eb", "", "x" * 256, "a\x00b"])
def test_paths_that_no_repository_may_hold(alice_http: Http, repo: str, path: str) -> None:
    for line in (file(path, b"x"), lfs_file(path, "a" * 64, 1), deleted_file(path)):
        assert_refused(alice_http.commit(repo, [header("Bad"), line]), 400)


def test_one_path_twice_is_refused(alice_http: Http, repo: str) -> None:
    assert_refused(alice_http.commit(repo, [header("Twice"), file("a", b"1"), file("a", b"2")]), 400, "more than once")


HEADER = b'{"key": "header", "value": {"summary": "s"}}\n'
FILE = b'{"key": "file", "value": {"path": "a", "content": "x"}}\n'
BAD_BODIES = {
    "nothing": b"",
    "no header": FILE,
    "two headers": HEADER * 2,
    "no JSON": HEADER + b"not json\n",
    "a list": b"[]\n",
    "no value": b'{"key": "header"}\n',
    "unknown key": HEADER + b'{"key": "symlink", "value": {"path": "a"}}\n',
    "bad base64": HEADER + b'{"key": "file", "value": {"path": "a", "content": "?", "encoding": "base64"}}\n',
    "bad encoding": HEADER + b'{"key": "file", "value": {"path": "a", "content": "", "encoding": "hex"}}\n',
    "bad algo": HEADER + b'{"key": "lfsFile", "value": {"path": "a", "algo": "md5", "oid": "00"}}\n',
    "long summary": HEADER.replace(b'"s"', b'"%s"' % (b"s" * 1025)) + FILE,
    "NUL in the summary": HEADER.replace(b'"s"', b'"a\\u0000b"') + FILE,
    "half a surrogate": HEADER.replace(b'"s"', b'"\\ud800"') + FILE,
    "deep": b'{"key": "header", "value": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001 + b"\n",
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_bodies_that_are_no_commit(alice_http: Http, repo: str, what: str) -> None:
    answer = alice_http.post(f"/api/models/{repo}/commit/main", content=BAD_BODIES[what])
    assert_refused(answer, 400)
    assert len(history(alice_http, repo)) == 1


NUL_BODIES = {
    "tag/main": {"tag": "v1", "message": "a\0b"},
    "super-squash/main": {"message": "a\0b"},
    "discussions": {"title": "a\0b", "description": ""},
    "branch/dev": {"startingPoint": "a\0b"},
    "user-access-request/grant": {"user": "a\0b"},
}


@pytest.mark.parametrize("address", NUL_BODIES)
def test_text_with_a_nul_is_refused(alice_http: Http, repo: str, address: str) -> None:
    """Postgres cannot keep it, so no hub may."""
    answer = alice_http.post(f"/api/models/{repo}/{address}", json=NUL_BODIES[address])
    assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize("parameter", ["search", "author", "filter", "pipeline_tag", "cursor", "sort"])
def test_a_query_with_a_nul_is_no_error_of_the_hub(alice_http: Http, parameter: str) -> None:
    assert alice_http.get("/api/models", params={parameter: "a\0b"}).status_code < 500


def test_a_card_with_a_nul_does_no_harm(alice_http: Http, repo: str) -> None:
    card = b'---\ntags: ["a\\0b", "good"]\nlicense: "m\\0it"\n---\n# Card \0\n'
    commit(alice_http, repo, file("README.md", card))
    assert content(alice_http, repo, "README.md") == card
    assert info(alice_http, repo)["sha"] == head(alice_http, repo)


def test_a_pointer_to_bytes_that_never_came_is_refused(alice_http: Http, repo: str) -> None:
    assert_refused(alice_http.commit(repo, [header("Bluff"), lfs_file("w.bin", "a" * 64, 1)]), 400, "have not been uploaded")


def test_only_branches_take_commits(alice_http: Http, repo: str) -> None:
    first = commit(alice_http, repo, file("a.txt", b"a"))
    assert alice_http.post(f"/api/models/{repo}/tag/main", json={"tag": "v1"}).is_success
    lines = [header("Late"), file("b.txt", b"b")]
    for revision in ("v1", first):
        assert_refused(alice_http.commit(repo, lines, revision), 400, "not a branch")
    assert_refused(alice_http.commit(repo, lines, "missing"), 404, "missing", "RevisionNotFound")
    assert files(alice_http, repo, "v1") == {".gitattributes", "a.txt"}


def test_a_failed_commit_leaves_nothing_visible(alice_http: Http, repo: str) -> None:
    before = (head(alice_http, repo), files(alice_http, repo), info(alice_http, repo)["usedStorage"])
    lines = [header("Fails at its end"), file("a.txt", b"a" * 100_000), file("b.txt", b"b"), deleted_file("missing")]
    assert alice_http.commit(repo, lines).status_code == 404
    assert (head(alice_http, repo), files(alice_http, repo), info(alice_http, repo)["usedStorage"]) == before


# --- branches, pull requests, squash -------------------------------------------------------------------------------


def test_a_branch_goes_its_own_way(alice_http: Http, repo: str) -> None:
    main = commit(alice_http, repo, file("a.txt", b"a"))
    assert alice_http.post(f"/api/models/{repo}/branch/dev%2Fx", json={}).is_success
    commit(alice_http, repo, file("b.txt", b"b"), revision="dev%2Fx")
    assert files(alice_http, repo, "dev%2Fx") == {".gitattributes", "a.txt", "b.txt"}
    assert head(alice_http, repo) == main


def test_a_pull_request_leaves_main_alone(hub: Hub, alice_http: Http, repo: str) -> None:
    main = commit(alice_http, repo, file("a.txt", b"a"))
    lines = [header("Propose b", "Because."), file("b.txt", b"b")]
    answers = [alice_http.commit(repo, lines, create_pr=1).json() for _ in range(2)]
    assert answers[0] == answers[1], "the same request again opens no second one"
    assert answers[0]["pullRequestUrl"] == f"{hub.url}/{repo}/discussions/1"
    assert head(alice_http, repo) == main
    assert files(alice_http, repo, "refs%2Fpr%2F1") == {".gitattributes", "a.txt", "b.txt"}
    more = alice_http.commit(repo, [header("And c"), file("c.txt", b"c")], "refs%2Fpr%2F1")
    assert more.status_code == 200, more.text
    assert len(history(alice_http, repo, "refs%2Fpr%2F1")) == 4
    found = alice_http.get(f"/api/models/{repo}/discussions/1").json()
    assert (found["title"], found["isPullRequest"], found["status"]) == ("Propose b", True, "open")


def test_a_pull_request_may_start_at_an_older_commit(alice_http: Http, repo: str) -> None:
    old = commit(alice_http, repo, file("a.txt", b"a"))
    commit(alice_http, repo, file("b.txt", b"b"))
    lines = [header("Propose", parentCommit=old), file("c.txt", b"c")]
    assert alice_http.commit(repo, lines, create_pr=1).status_code == 200
    assert files(alice_http, repo, "refs%2Fpr%2F1") == {".gitattributes", "a.txt", "c.txt"}


def test_a_squash_leaves_one_commit_and_forgets_the_rest(alice_http: Http, repo: str) -> None:
    secret = os.urandom(100_000)
    old = commit(alice_http, repo, file("secret.txt", secret))
    commit(alice_http, repo, deleted_file("secret.txt"), file("a.txt", b"a"))
    used = info(alice_http, repo)["usedStorage"]
    assert alice_http.post(f"/api/models/{repo}/super-squash/main", json={"message": "All in one"}).is_success
    (only,) = history(alice_http, repo)
    assert only["title"] == "All in one"
    assert files(alice_http, repo) == {".gitattributes", "a.txt"}
    assert alice_http.get(f"/{repo}/resolve/{old}/secret.txt").status_code == 404
    assert alice_http.get(f"/api/models/{repo}/revision/{old}").status_code == 404
    assert info(alice_http, repo)["usedStorage"] == used - len(secret)
    assert_refused(alice_http.commit(repo, [header("Steal back"), lfs_file("s.bin", sha256(secret), len(secret))]), 400)
    commit(alice_http, repo, file("b.txt", b"b"), parentCommit=only["id"])


def test_a_squash_spares_what_others_reach(alice_http: Http, repo: str) -> None:
    tagged = commit(alice_http, repo, file("a.txt", b"a"))
    assert alice_http.post(f"/api/models/{repo}/tag/main", json={"tag": "v1"}).is_success
    gone = commit(alice_http, repo, file("b.txt", b"b"))
    assert alice_http.post(f"/api/models/{repo}/super-squash/main").is_success
    assert content(alice_http, repo, "a.txt", "v1") == b"a"
    assert len(history(alice_http, repo, tagged)) == 2
    assert alice_http.get(f"/api/models/{repo}/revision/{gone}").status_code == 404


# --- facts ---------------------------------------------------------------------------------------------------------


def test_facts_follow_main_only(alice_http: Http, repo: str) -> None:
    def card(tag: str) -> Mapping[str, Any]:
        return file("README.md", f"---\ntags: [{tag}]\nlicense: mit\n---\n# Card\n".encode())

    oid = commit(alice_http, repo, card("one"))
    assert alice_http.post(f"/api/models/{repo}/branch/dev", json={}).is_success
    commit(alice_http, repo, card("two"), revision="dev")
    assert alice_http.commit(repo, [header("Propose"), card("three")], create_pr=1).is_success
    found = info(alice_http, repo)
    assert found["sha"] == oid
    assert {"one", "license:mit"} <= set(found["tags"])
    assert {"two", "three"}.isdisjoint(found["tags"])
    commit(alice_http, repo, card("four"))
    assert "four" in info(alice_http, repo)["tags"]
    assert "one" not in info(alice_http, repo)["tags"]
    named = alice_http.get("/api/models", params={"author": "alice", "filter": "four"}).json()
    assert repo in {item["id"] for item in named}
    commit(alice_http, repo, deleted_file("README.md"))
    assert "four" not in info(alice_http, repo)["tags"]


def test_used_storage_counts_each_blob_once(alice_http: Http, repo: str) -> None:
    start = info(alice_http, repo)["usedStorage"]
    data = os.urandom(200_000)
    lfs.upload(alice_http, repo, data)
    commit(alice_http, repo, lfs_file("w.bin", sha256(data), len(data)), file("a.txt", b"a" * 1000))
    commit(alice_http, repo, lfs_file("copy.bin", sha256(data), len(data)), file("copy.txt", b"a" * 1000))
    commit(alice_http, repo, deleted_file("w.bin"), deleted_file("a.txt"))
    assert info(alice_http, repo)["usedStorage"] - start == 201_000


# --- the same ids as git -------------------------------------------------------------------------------------------


def blob_id(data: bytes) -> str:
    """What ``git hash-object`` says."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Git:
    """A repository of the real git."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        subprocess.run(["git", "init", "--quiet", "--object-format=sha1", folder], check=True, capture_output=True)

    def run(self, *arguments: str, stdin: bytes = b"", **env: str) -> str:
        """What a command of git prints."""
        command = ["git", "-C", str(self._folder), *arguments]
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self._folder)} | env
        return subprocess.run(command, input=stdin, env=environment, check=True, capture_output=True).stdout.decode().strip()

    def tree(self, contents: Mapping[str, bytes]) -> str:
        """The id of a tree of files, made through an index."""
        self.run("read-tree", "--empty")
        for path, data in contents.items():
            oid = self.run("hash-object", "-w", "--stdin", stdin=data)
            self.run("update-index", "--add", "--cacheinfo", f"100644,{oid},{path}")
        return self.run("write-tree")

    def commit(self, item: Mapping[str, Any], tree: str, parent: str | None) -> str:
        """The id of a commit as the hub's API describes it."""
        name, date = item["authors"][0]["user"], item["date"]
        who = {"NAME": name, "EMAIL": f"{name}@users.noreply.adapterhub", "DATE": f"{date[:19]}+0000"}
        env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        message = "\n\n".join(filter(None, (item["title"], item["message"]))) + "\n"
        return self.run("commit-tree", tree, *(("-p", parent) if parent else ()), stdin=message.encode(), **env)


def test_trees_and_commits_have_the_ids_that_git_gives_them(alice_http: Http, repo: str, tmp_path: Path) -> None:
    data = os.urandom(100_000)
    lfs.upload(alice_http, repo, data)
    commit(alice_http, repo, file("a.txt", b"a"), file("dir/sub/deep.txt", b"deep"), lfs_file("dir/w.bin", sha256(data), len(data)))
    described = [header("Ünïcode", "Two\n\nparagraphs"), file("a/b", b"1"), file("a-b", b"2"), file("a.b", b"3"), file("ä/ß.txt", b"4")]
    assert alice_http.commit(repo, described).is_success
    commit(alice_http, repo, deleted_file("a.txt"), file("dir.txt", b"next to dir"))
    git, parent = Git(tmp_path / "git"), None
    for item in reversed(history(alice_http, repo)):
        listed = tree(alice_http, repo, item["id"])
        raw = {path: alice_http.get(f"/{repo}/raw/{item['id']}/{path}").content for path in listed if listed[path]["type"] == "file"}
        root = git.tree(raw)
        for path, entry in listed.items():
            assert git.run("rev-parse", f"{root}:{path}") == entry["oid"], path
        parent = git.commit(item, root, parent)
        assert parent == item["id"]

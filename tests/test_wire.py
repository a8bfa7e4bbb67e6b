"""The shape of what goes over the wire: errors, addresses, paging, names; and what clients of all ages rely on."""

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from uuid import uuid4

import httpx2
import pytest

from hub.git import blob_oid, lfs_pointer
from tests.support.adapters import card, lora
from tests.support.http import Http, deleted_file, file, header
from tests.support.server import Account, Hub, HubFailed

EVIL = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}


@pytest.fixture
def repo(alice_http: Http, repo_id: str) -> str:
    """A repository with text, an LFS file, folders, a branch ``dev/x``, a tag and a pull request."""
    assert alice_http.create_repo(repo_id).is_success
    alice_http.commit_files(repo_id, {"README.md": b"# Hello\n", "docs/a b.md": b"one\n", "docs/deep/c.md": b"two\n", "w.bin": b"weights"})
    assert alice_http.post(f"/api/models/{repo_id}/branch/dev%2Fx", json={}).is_success
    assert alice_http.post(f"/api/models/{repo_id}/tag/main", json={"tag": "v1"}).is_success
    pull = alice_http.commit(repo_id, [header("Propose"), file("new.txt", b"new")], create_pr="1")
    assert pull.json()["pullRequestUrl"].endswith("/discussions/1")
    return repo_id


def get(http: Http, url: str, **query: Any) -> Any:
    """The JSON of an answer that must be a success."""
    answer = http.get(url, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- errors --------------------------------------------------------------------------------------------------------

ERRORS: list[tuple[str, str, int, str | None]] = [
    ("GET", "/api/models/{repo}/revision/no-such", 404, "RevisionNotFound"),
    ("GET", "/api/models/{repo}/tree/main/no/such", 404, "EntryNotFound"),
    ("GET", "/api/models/{repo}-missing", 404, "RepoNotFound"),
    ("GET", "/{repo}/resolve/main/no-such", 404, "EntryNotFound"),
    ("GET", "/{repo}/resolve/no-such/README.md", 404, "RevisionNotFound"),
    ("GET", "/{repo}/raw/main/docs", 404, "EntryNotFound"),
    ("GET", "/api/no-such-address", 404, None),
    ("GET", "/api/models?sort=no-such", 400, None),
    ("GET", "/api/models?limit=0", 400, None),
    ("GET", "/api/models?expand=no-such", 400, None),
    ("GET", "/api/models?cursor=no-such", 400, None),
    ("GET", "/api/models/{repo}/discussions/99", 404, None),
    ("PUT", "/api/models/{repo}", 405, None),
    ("POST", "/api/repos/create", 400, None),
    ("POST", "/api/models/{repo}/branch/main", 409, None),
    ("POST", "/api/models/{repo}/branch/a..b", 400, None),
    ("DELETE", "/api/models/{repo}/branch/no-such", 404, "RevisionNotFound"),
    ("DELETE", "/api/models/{repo}/branch/main", 400, None),
    ("POST", "/api/models/{repo}/commit/main", 400, None),
    ("POST", "/api/models/{repo}/commit/v1", 400, None),
    ("PUT", "/api/lfs/forged", 403, None),
]


@pytest.mark.parametrize(("call", "status", "code"), [((method, url), status, code) for method, url, status, code in ERRORS])
def test_every_error_is_json_with_the_headers_that_clients_read(
    alice_http: Http, repo: str, call: tuple[str, str], status: int, code: str | None
) -> None:
    method, url = call
    answer = alice_http.request(method, url.format(repo=repo))
    assert (answer.status_code, answer.headers.get("X-Error-Code")) == (status, code), answer.text
    error = answer.json()["error"]
    assert error.isprintable()
    assert answer.headers["X-Error-Message"] == error
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-Id"])
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_missing_entry_names_the_commit_for_the_clients_negative_cache(alice_http: Http, repo: str) -> None:
    commit = get(alice_http, f"/api/models/{repo}")["sha"]
    for url in (f"/{repo}/resolve/main/no-such", f"/{repo}/raw/main/no-such", f"/api/models/{repo}/tree/main/no-such"):
        assert alice_http.get(url).headers["X-Repo-Commit"] == commit


def test_a_message_with_strange_characters_reaches_the_client_whole(alice_http: Http, repo: str) -> None:
    answer = alice_http.get(f"/{repo}/resolve/main/" + quote('ä\U0001f600"'))
    assert 'ä\U0001f600"' in answer.json()["error"]
    assert answer.headers["X-Error-Message"].isascii()


TROUBLE = ["a\0b", "a\x01b", "a\x7fb", "line\r\nX-Injected: yes", "a\u2028b", "\udcff", "x" * 5_000, "\U0001f600"]


@pytest.mark.parametrize("text", TROUBLE, ids=ascii)
def test_text_that_no_header_and_no_database_takes_is_answered_all_the_same(alice_http: Http, repo: str, text: str) -> None:
    """Wherever a client may send a text: the hub takes it, or says no in proper form; it never fails and never hangs up."""
    quoted = quote(text, errors="surrogatepass")
    body = {"name": text, "organization": text, "tag": text, "title": text, "message": text, "user": text, "startingPoint": text}
    renamed = {"fromRepo": text, "toRepo": text}
    pointing = {"operation": text, "objects": [], "hash_algo": text}
    calls: list[tuple[str, str, Any]] = [
        *(
            ("GET", f"/api/models?{key}={quoted}", None)
            for key in ("search", "author", "filter", "pipeline_tag", "sort", "cursor", "expand")
        ),
        ("GET", f"/api/models/{repo}/commits/main?cursor={quoted}", None),
        ("GET", f"/api/models/{repo}/tree/main?cursor={quoted}", None),
        ("GET", f"/api/models/{repo}/discussions?author={quoted}", None),
        ("POST", "/api/repos/create", body),
        ("DELETE", "/api/repos/delete", body),
        ("POST", "/api/repos/move", renamed),
        ("POST", "/api/repos/move", {"fromRepo": repo, "toRepo": f"{text}/x"}),
        ("POST", f"/api/models/{repo}/branch/b-{uuid4().hex[:8]}", body),
        ("POST", f"/api/models/{repo}/tag/main", body),
        ("POST", f"/api/models/{repo}/tag/main", body | {"tag": "fine"}),
        ("POST", f"/api/models/{repo}/discussions", body),
        ("POST", f"/api/models/{repo}/user-access-request/grant", body),
        ("POST", f"/api/models/{repo}/super-squash/dev%2Fx", body),
        ("POST", f"/{repo}.git/info/lfs/objects/batch", pointing),
        ("POST", f"/api/models/{repo}/paths-info/main", {"paths": [text]}),
        ("POST", f"/api/models/{repo}/preupload/main", {"files": [{"path": text, "size": 1}], "gitIgnore": text}),
        ("POST", "/api/validate-yaml", {"content": f"---\n{text}\n---\n"}),
    ]
    failed = []
    for method, url, sent in calls:
        try:
            content = None if sent is None else json.dumps(sent)
            status = alice_http.request(method, url, content=content, headers={"Content-Type": "application/json"}).status_code
        except httpx2.TransportError as error:
            failed.append(f"{method} {url[:100]}: {error}")
            continue
        if status >= 500:
            failed.append(f"{method} {url[:100]}: {status}")
    for lines in ([header(text), file("a.txt", b"a")], [header("b", text), file("b.txt", b"b")], [header("c"), deleted_file(text)]):
        if (answer := alice_http.commit(repo, lines)).status_code >= 500:
            failed.append(f"commit {lines}: {answer.status_code}")
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("number", ["9" * 19, "9" * 30, "9" * 5_000, "-1", "0", "1.5", "0x1", "٣"])
def test_numbers_out_of_every_range_are_refused_in_proper_form(alice_http: Http, repo: str, number: str) -> None:
    calls = [
        *(f"/api/models?limit={number}", f"/api/models/{repo}/commits/main?limit={number}", f"/api/models/{repo}/tree/main?limit={number}"),
        *(f"/api/models/{repo}/discussions/{number}", f"/api/models/{repo}/discussions?p={number}", f"/cas/{number}/x/v1/chunks/a/b"),
    ]
    assert [url for url in calls if alice_http.get(url).status_code >= 500] == []
    answer = alice_http.get(f"/{repo}/resolve/main/README.md", headers={"Range": f"bytes=0-{number if number.isascii() else 9}"})
    assert answer.status_code < 500


@pytest.mark.parametrize(
    "value", ["[1e999,1]", f"[{'9' * 30},1]", f"[1,{'9' * 30}]", "[" * 3_000, "[NaN,1]", "{}", "[[1],2]", "[1]", "1", '["a","b"]']
)
def test_a_cursor_that_somebody_made_up_is_refused(http: Http, value: str) -> None:
    cursor = base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")
    assert http.get("/api/models", params={"cursor": cursor}).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"paths": 1}', b"[" * 5_000, b'{"paths": "a"}'])
def test_a_body_that_is_no_json_is_refused(alice_http: Http, repo: str, body: bytes) -> None:
    for url in (f"/api/models/{repo}/paths-info/main", f"/api/models/{repo}/preupload/main", "/api/repos/create", "/api/repos/move"):
        answer = alice_http.post(url, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, (url, answer.text)


# --- addresses -----------------------------------------------------------------------------------------------------


def test_revisions_in_every_spelling(alice_http: Http, repo: str) -> None:
    commit = get(alice_http, f"/api/models/{repo}")["sha"]
    pull = next(ref["targetCommit"] for ref in get(alice_http, f"/api/models/{repo}/refs", include_prs="1")["pullRequests"])
    assert pull != commit
    spelled = dict.fromkeys(("main", "HEAD", "v1", "dev%2Fx", "dev%2fx", "%6Dain", commit), commit)
    spelled |= dict.fromkeys(("refs%2Fpr%2F1", "refs/pr/1", "refs%2fpr%2f1", pull), pull)
    for revision, oid in spelled.items():
        assert get(alice_http, f"/api/models/{repo}/revision/{revision}")["sha"] == oid
        for url in (f"/api/models/{repo}/tree/{revision}", f"/{repo}/resolve/{revision}/README.md", f"/{repo}/raw/{revision}/README.md"):
            assert alice_http.get(url).headers["X-Repo-Commit"] == oid, url
        assert get(alice_http, f"/api/models/{repo}/commits/{revision}")[0]["id"] == oid
        assert len(alice_http.post(f"/api/models/{repo}/paths-info/{revision}", json={"paths": ["README.md"]}).json()) == 1
    assert alice_http.get(f"/{repo}/resolve/refs%2Fpr%2F1/new.txt").text == "new"
    assert alice_http.get(f"/{repo}/resolve/refs/pr/1/docs/deep/c.md").text == "two\n"


def test_a_slash_of_a_path_may_come_encoded(alice_http: Http, repo: str) -> None:
    for path in ("docs/a%20b.md", "docs%2Fa%20b.md", "docs%2fa b.md"):
        assert alice_http.get(f"/{repo}/resolve/main/{path}").text == "one\n"
    for path in ("docs/deep", "docs%2Fdeep"):
        assert [item["path"] for item in get(alice_http, f"/api/models/{repo}/tree/main/{path}")] == ["docs/deep/c.md"]


def test_commits_go_to_branches_with_a_slash_and_to_pull_requests(alice_http: Http, repo: str) -> None:
    alice_http.commit_files(repo, {"on-dev.txt": b"dev"}, revision="dev%2Fx")
    alice_http.commit_files(repo, {"on-pull.txt": b"pull"}, revision="refs%2Fpr%2F1")
    assert alice_http.get(f"/{repo}/resolve/dev%2Fx/on-dev.txt").text == "dev"
    assert alice_http.get(f"/{repo}/resolve/refs%2Fpr%2F1/on-pull.txt").text == "pull"
    assert alice_http.get(f"/{repo}/resolve/main/on-dev.txt").status_code == 404


@pytest.mark.parametrize("path", ["README.md", "w.bin"])
@pytest.mark.parametrize("door", ["resolve", "raw"])
def test_head_says_what_get_sends(alice_http: Http, repo: str, door: str, path: str) -> None:
    url = f"/{repo}/{door}/main/{path}"
    head, got = (alice_http.request(method, url, headers={"Accept-Encoding": "identity"}) for method in ("HEAD", "GET"))
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert int(head.headers["Content-Length"]) == len(got.content) > 0
    quiet = {"date", "x-request-id"}
    assert {key: value for key, value in head.headers.items() if key not in quiet} == {
        key: value for key, value in got.headers.items() if key not in quiet
    }


def test_raw_gives_the_pointer_of_an_lfs_file(alice_http: Http, repo: str) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    raw = alice_http.get(f"/{repo}/raw/main/w.bin")
    assert raw.content == lfs_pointer(digest, 7)
    (item,) = alice_http.post(f"/api/models/{repo}/paths-info/main", json={"paths": ["w.bin"]}).json()
    assert item["oid"] == blob_oid(raw.content)
    assert item["lfs"] == {"oid": digest, "size": 7, "pointerSize": len(raw.content)}
    assert alice_http.get(f"/{repo}/raw/main/README.md").text == "# Hello\n"


def _raw_request(hub: Hub, target: str, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Status line and headers of an answer to exactly this request, whatever it says its host is."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", hub.port), timeout=30) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    first, *rest = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return first, {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}


def test_no_header_moves_the_addresses_that_the_hub_gives_out(hub: Hub, alice: Account, alice_http: Http, repo: str) -> None:
    for target in (
        f"/api/models?author={alice.name}&limit=1",
        f"/api/models/{repo}/tree/main?limit=1",
        f"/api/models/{repo}/commits/main?limit=1",
    ):
        first, headers = _raw_request(hub, target, EVIL)
        assert " 200 " in first
        assert headers["link"].startswith(f"<{hub.url}/api/models")
        assert headers["link"].endswith('>; rel="next"')
    answers = [
        alice_http.post(
            f"/{repo}.git/info/lfs/objects/batch", json={"operation": "upload", "objects": [{"oid": "0" * 64, "size": 1}]}, headers=EVIL
        ),
        alice_http.get(f"/api/models/{repo}/xet-write-token/main", headers=EVIL),
        alice_http.post("/api/repos/create", json={"name": f"x{uuid4().hex[:8]}"}, headers=EVIL),
        alice_http.post(
            f"/api/models/{repo}/commit/main", content=json.dumps(header("a")) + "\n" + json.dumps(file("h.txt", b"h")), headers=EVIL
        ),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert "evil" not in answer.text + str(answer.headers)
        assert hub.url in answer.text


@pytest.mark.parametrize(
    "target", ["/api/models/", "/api/models/?limit=1", "/api/models/{repo}/", "/api/whoami-v2/", "/static", "/static/../api", "//"]
)
def test_no_redirect_leads_where_a_host_header_says(hub: Hub, repo: str, target: str) -> None:
    _, headers = _raw_request(hub, target.format(repo=repo), EVIL)
    assert "evil.example" not in headers.get("location", "")


# --- moved, taken and reserved names -------------------------------------------------------------------------------


def test_an_old_name_redirects_with_path_and_query(alice_http: Http, http: Http, repo: str) -> None:
    new = f"{repo}-new"
    assert alice_http.post("/api/repos/move", json={"fromRepo": repo, "toRepo": new, "type": "model"}).is_success
    for path in (
        "/api/models/{}?expand=sha&blobs=true",
        "/{}/resolve/dev%2Fx/docs/a%20b.md?download=1",
        "/api/models/{}/tree/refs%2Fpr%2F1?limit=1",
    ):
        answer = http.get(path.format(repo))
        assert (answer.status_code, answer.headers["Location"]) == (307, path.format(new))
        assert http.get(answer.headers["Location"]).status_code == 200
    head = http.head(f"/{repo}/resolve/main/README.md")
    assert (head.status_code, head.headers["Location"]) == (307, f"/{new}/resolve/main/README.md")
    posted = alice_http.commit(repo, [header("By the old name"), file("o.txt", b"o")])
    assert (posted.status_code, posted.headers["Location"]) == (307, f"/api/models/{new}/commit/main")
    batch = alice_http.post(f"/{repo}.git/info/lfs/objects/batch", json={"operation": "upload", "objects": []})
    assert batch.headers["Location"] == f"/{new}.git/info/lfs/objects/batch"


def test_a_redirect_never_leads_back_to_itself(alice_http: Http, http: Http, repo: str) -> None:
    assert alice_http.post("/api/repos/move", json={"fromRepo": repo, "toRepo": f"{repo}-new"}).is_success
    namespace, name = repo.split("/")
    for spelled in (
        f"%{ord(namespace[0]):x}{namespace[1:]}/{name}",
        f"{namespace.upper()}/{name}",
        f"{namespace}/{name.replace('-', '%2D')}",
    ):
        location = http.get(f"/api/models/{spelled}").headers["Location"]
        assert location == f"/api/models/{repo}-new", spelled


def test_a_repository_may_go_back_to_its_old_name(alice_http: Http, repo: str) -> None:
    new = f"{repo}-new"
    for source, target in ((repo, new), (new, repo), (repo, new)):
        assert alice_http.post("/api/repos/move", json={"fromRepo": source, "toRepo": target}).is_success
        assert get(alice_http, f"/api/models/{target}")["id"] == target
        assert alice_http.get(f"/api/models/{source}").headers["Location"] == f"/api/models/{target}"


def test_names_that_differ_in_case_and_separators_are_one_name(alice_http: Http, hub: Hub, alice: Account) -> None:
    name = f"My_LoRA.{uuid4().hex[:6]}"
    assert alice_http.create_repo(f"{alice.name}/{name}").is_success
    for other in (name, name.lower(), name.upper(), name.replace("_", "-"), name.replace(".", "_"), name.replace("_", "._")):
        again = alice_http.create_repo(f"{alice.name}/{other}")
        assert again.status_code == 409, other
        assert again.json()["url"] == f"{hub.url}/{alice.name}/{name}"
    assert alice_http.get(f"/api/models/{alice.name}/{name.lower()}").headers["Location"] == f"/api/models/{alice.name}/{name}"
    moved = alice_http.post("/api/repos/move", json={"fromRepo": f"{alice.name}/{name}", "toRepo": f"{alice.name}/{name.lower()}"})
    assert moved.is_success
    assert get(alice_http, f"/api/models/{alice.name}/{name.lower()}")["id"] == f"{alice.name}/{name.lower()}"


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b/c", "a--b", "a..b", ".a", "a.", "-a", "x.git", "x.ipynb", "é", "a\n", "x" * 97, "\u212a", "\u0131"]
)
def test_names_out_of_rule_are_refused(alice_http: Http, name: str) -> None:
    assert alice_http.post("/api/repos/create", json={"name": name}).status_code in {400, 403}


@pytest.mark.parametrize("name", ["api", "datasets", "Models", "static", "cas", "login", "v1", "resolve"])
def test_names_that_the_hub_needs_are_nobodys(hub: Hub, alice_http: Http, name: str) -> None:
    with pytest.raises(HubFailed, match="reserved"):
        hub.cli("user", "add", name)
    with pytest.raises(HubFailed, match="reserved"):
        hub.cli("org", "add", name, "--owner", "alice")
    assert alice_http.create_repo(f"{name}/x").status_code == 403


@pytest.mark.parametrize("kind", ["dataset", "space", "kernel", "bucket"])
def test_this_hub_has_models_only(alice_http: Http, repo_id: str, kind: str) -> None:
    refused = alice_http.create_repo(repo_id, type=kind)
    assert refused.status_code == 400
    assert "adapters" in refused.json()["error"]


def test_a_deleted_name_stays_reserved_until_the_operator_frees_it(hub: Hub, alice: Account, alice_http: Http, repo: str) -> None:
    commit = get(alice_http, f"/api/models/{repo}")["sha"]
    name = repo.split("/")[1]
    assert alice_http.request("DELETE", "/api/repos/delete", json={"name": name, "organization": alice.name}).is_success
    assert alice_http.get(f"/api/models/{repo}").headers["X-Error-Code"] == "RepoNotFound"
    for spelled in (repo, repo.upper().replace(alice.name.upper(), alice.name)):
        reserved = alice_http.create_repo(spelled)
        assert reserved.status_code == 403
        assert "release" in reserved.json()["error"]
    with pytest.raises(HubFailed):
        hub.cli("repo", "release", f"{repo}-never-was")
    hub.cli("repo", "release", repo)
    assert alice_http.create_repo(repo).is_success
    assert alice_http.get(f"/{repo}/resolve/{commit}/README.md").headers["X-Error-Code"] == "RevisionNotFound"
    with pytest.raises(HubFailed):
        hub.cli("repo", "release", repo)


def test_create_again_says_where_it_is(hub: Hub, alice_http: Http, repo: str) -> None:
    again = alice_http.create_repo(repo)
    assert again.status_code == 409
    assert again.json() == {"error": f"You already created this model repo: {repo}", "url": f"{hub.url}/{repo}"}


def test_files_may_come_with_the_creation(alice_http: Http, repo_id: str) -> None:
    files = [{"path": "README.md", "content": "IyBIaQo=", "encoding": "base64"}]
    assert alice_http.create_repo(repo_id, files=files).is_success
    assert alice_http.get(f"/{repo_id}/resolve/main/README.md").text == "# Hi\n"


# --- tree and paths-info -------------------------------------------------------------------------------------------

ODD = [
    "x%7A.txt",
    "x%2Fy.txt",
    "x y.txt",
    "x+y.txt",
    "x&y=z.txt",
    "x#y.txt",
    "xé.txt",
    "x\U0001f600.txt",
    "xé/deep.txt",
    "xA.txt",
    "x'y.txt",
]


def _paged(http: Http, url: str, **query: Any) -> Iterator[dict[str, Any]]:
    """All items, page by page, by following Link as clients do: without looking at it."""
    answer = http.get(url, params=query)
    while True:
        assert answer.status_code == 200, answer.text
        yield from answer.json()
        if "next" not in answer.links:
            return
        answer = http.get(answer.links["next"]["url"])


def test_a_tree_comes_whole_page_by_page_whatever_the_files_are_called(alice_http: Http, repo_id: str) -> None:
    assert alice_http.create_repo(repo_id).is_success
    alice_http.commit_files(repo_id, {path: path.encode() for path in ODD})
    wanted = sorted([*ODD, "xé", ".gitattributes"])
    for limit in (1, 2, 5, 1000):
        paths = [item["path"] for item in _paged(alice_http, f"/api/models/{repo_id}/tree/main", recursive="true", limit=limit)]
        assert paths == wanted, limit
    top = [item["path"] for item in _paged(alice_http, f"/api/models/{repo_id}/tree/main", limit=3)]
    assert top == sorted({path.split("/")[0] for path in wanted})


def test_a_large_tree_is_paged_unasked(alice_http: Http, repo_id: str) -> None:
    assert alice_http.create_repo(repo_id).is_success
    alice_http.commit_files(repo_id, {f"f/{number:04}.txt": b"x" for number in range(1_100)})
    url = f"/api/models/{repo_id}/tree/main/f"
    assert len(get(alice_http, url)) == 1_000
    assert len(get(alice_http, url, limit=5_000)) == 1_000
    assert len(get(alice_http, url, expand="True")) == 50
    paths = [item["path"] for item in _paged(alice_http, url)]
    assert paths == [f"f/{number:04}.txt" for number in range(1_100)]


def test_what_a_tree_says_of_files_and_folders(alice_http: Http, repo: str) -> None:
    second = alice_http.commit_files(repo, {"docs/deep/c.md": b"three\n"}, summary="Change c")
    first = get(alice_http, f"/api/models/{repo}/commits/main")[1]
    items = {item["path"]: item for item in get(alice_http, f"/api/models/{repo}/tree/main", recursive="True", expand="true")}
    assert {path: item["type"] for path, item in items.items()} == {
        ".gitattributes": "file",
        "README.md": "file",
        "docs": "directory",
        "docs/a b.md": "file",
        "docs/deep": "directory",
        "docs/deep/c.md": "file",
        "w.bin": "file",
    }
    assert items["README.md"]["oid"] == blob_oid(b"# Hello\n")
    assert items["README.md"]["size"] == 8
    assert items["docs"]["size"] == 0
    assert re.fullmatch(r"[0-9a-f]{40}", items["docs"]["oid"])
    assert {path for path, item in items.items() if item["lastCommit"]["id"] == second} == {"docs", "docs/deep", "docs/deep/c.md"}
    assert items["docs/deep/c.md"]["lastCommit"]["title"] == "Change c"
    assert items["w.bin"]["lastCommit"] == {"id": first["id"], "title": first["title"], "date": first["date"]}
    assert "lfs" not in items["README.md"]
    assert not any("xetHash" in item for item in items.values())
    assert not any("lastCommit" in item for item in get(alice_http, f"/api/models/{repo}/tree/main", expand="false"))


def test_a_tree_at_a_commit_never_changes(alice_http: Http, repo: str) -> None:
    commit = get(alice_http, f"/api/models/{repo}")["sha"]
    before = get(alice_http, f"/api/models/{repo}/tree/{commit}", recursive="true")
    alice_http.commit_files(repo, {"README.md": b"changed", "more.txt": b"more"})
    assert get(alice_http, f"/api/models/{repo}/tree/{commit}", recursive="true") == before


def test_paths_info_by_form_and_by_json(alice_http: Http, repo: str) -> None:
    url, wanted = f"/api/models/{repo}/paths-info/main", ["README.md", "docs", "w.bin", "no-such"]
    by_form = alice_http.post(url, data={"paths": wanted, "expand": "False"})
    by_json = alice_http.post(url, json={"paths": wanted, "expand": False})
    assert by_form.json() == by_json.json()
    assert [(item["path"], item["type"]) for item in by_json.json()] == [("README.md", "file"), ("docs", "directory"), ("w.bin", "file")]
    assert not any("lastCommit" in item for item in by_json.json())
    for expanded in (
        alice_http.post(url, data={"paths": wanted, "expand": "True"}),
        alice_http.post(url, json={"paths": wanted, "expand": True}),
    ):
        assert [set(item["lastCommit"]) for item in expanded.json()] == [{"id", "title", "date"}] * 3
    assert alice_http.post(url, data={"expand": "false"}).json() == []
    assert alice_http.post(url, data={"paths": "README.md"}).json()[0]["path"] == "README.md"


# --- info and lists ------------------------------------------------------------------------------------------------

ALWAYS = {
    *("_id", "id", "modelId", "author", "sha", "lastModified", "createdAt", "private", "gated", "disabled", "downloads", "likes", "tags"),
    *("pipeline_tag", "library_name", "cardData", "config", "siblings", "spaces", "usedStorage"),
}


@pytest.fixture(scope="module")
def shelf(hub: Hub) -> Iterator[Http]:
    """A user with twelve adapters of two kinds; the client is signed in as the user."""
    owner = hub.add_user(f"shelf-{uuid4().hex[:8]}")
    with Http(hub, owner) as http:
        for number in range(12):
            repo_id = f"{owner.name}/adapter-{number:02}"
            assert http.create_repo(repo_id).is_success
            language = "en" if number % 2 else "de"
            front = card(
                tags=["sentiment"] if number % 3 == 0 else [], language=language, license="mit", pipeline_tag="text-classification"
            )
            http.commit_files(repo_id, {**lora("base/model" if number < 6 else "other/model"), "README.md": front})
            for _ in range(number % 4):
                http.get(f"/{repo_id}/resolve/main/README.md")
        _wait_for_downloads(http, sum(number % 4 for number in range(12)))
        yield http


def _wait_for_downloads(http: Http, expected: int) -> None:
    """Downloads are counted in memory and written in batches: an order by them stands still only when they have arrived."""
    deadline = time.monotonic() + 30
    while sum(item["downloads"] for item in http.get("/api/models", params={"author": _owner(http)}).json()) < expected:
        assert time.monotonic() < deadline, "the counters never arrived"
        time.sleep(0.1)


def _owner(http: Http) -> str:
    assert http.account is not None
    return http.account.name


def _names(http: Http, **query: Any) -> list[str]:
    return [item["id"].split("/")[1] for item in _paged(http, "/api/models", author=_owner(http), **query)]


def test_model_info_holds_what_clients_index(alice_http: Http, shelf: Http) -> None:
    info = get(alice_http, f"/api/models/{_owner(shelf)}/adapter-00")
    assert set(info) >= ALWAYS
    assert info["modelId"] == info["id"] == f"{_owner(shelf)}/adapter-00"
    assert re.fullmatch(r"[0-9a-f]{40}", info["sha"])
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", info[key]) for key in ("createdAt", "lastModified"))
    assert {"peft", "lora", "sentiment", "license:mit", "base_model:adapter:base/model"} <= set(info["tags"])
    assert info["config"]["peft"]["base_model_name_or_path"] == "base/model"
    assert all(set(item) == {"rfilename"} for item in info["siblings"])
    weights = next(item for item in get(alice_http, f"/api/models/{info['id']}", blobs="True")["siblings"] if "lfs" in item)
    assert set(weights) == {"rfilename", "size", "blobId", "lfs"}
    assert set(weights["lfs"]) == {"sha256", "size", "pointerSize"}


@pytest.mark.parametrize("key", ["expand", "expand[]"])
def test_expand_gives_what_was_asked_for_and_the_ids(http: Http, shelf: Http, key: str) -> None:
    query = {key: ["sha", "downloads", "cardData"]}
    for item in (get(http, f"/api/models/{_owner(shelf)}/adapter-00", **query), get(http, "/api/models", author=_owner(shelf), **query)[0]):
        assert set(item) == {"_id", "id", "modelId", "sha", "downloads", "cardData"}


def test_switches_are_understood_in_upper_and_lower_case(http: Http, shelf: Http) -> None:
    for yes in ("true", "True", "TRUE", "1"):
        item = get(http, "/api/models", author=_owner(shelf), full=yes, config=yes, cardData=yes, limit=1)[0]
        assert {"siblings", "config", "cardData"} <= set(item)
        assert "lfs" in str(get(http, f"/api/models/{_owner(shelf)}/adapter-00", blobs=yes)["siblings"])
    for no in ("false", "False", ""):
        item = get(http, "/api/models", author=_owner(shelf), full=no, config=no, cardData=no, limit=1)[0]
        assert not {"siblings", "config", "cardData"} & set(item)


def test_filters_are_anded(shelf: Http) -> None:
    everything = [f"adapter-{number:02}" for number in range(12)]
    assert sorted(_names(shelf)) == everything
    assert sorted(_names(shelf, filter="peft")) == everything
    assert sorted(_names(shelf, filter=["peft", "sentiment"])) == everything[::3]
    assert sorted(_names(shelf, filter=["sentiment", "en"])) == everything[3::6]
    assert sorted(_names(shelf, filter="base_model:adapter:base/model", tags="de")) == everything[0:6:2]
    assert _names(shelf, filter=["peft", "no-such-tag"]) == []
    assert _names(shelf, filter="sentimen") == []
    assert sorted(_names(shelf, search="ADAPTER-0")) == everything[:10]
    assert _names(shelf, search="adapter%") == _names(shelf, search="adapter_0") == []
    assert len(_names(shelf, pipeline_tag="text-classification")) == 12
    assert _names(shelf, gated="true") == []
    assert len(_names(shelf, gated="False")) == 12


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        *((name, name) for name in ("lastModified", "createdAt", "downloads", "likes", "trendingScore")),
        *(("last_modified", "lastModified"), ("created_at", "createdAt"), ("trending_score", "trendingScore")),
    ],
)
def test_lists_are_sorted_and_come_whole_page_by_page(shelf: Http, sort: str, key: str) -> None:
    for limit in (1, 5, 12):
        items = list(_paged(shelf, "/api/models", author=_owner(shelf), sort=sort, direction="-1", limit=limit))
        assert len({item["id"] for item in items}) == len(items) == 12
        values = [item[key] for item in items]
        assert values == sorted(values, reverse=True)


def test_the_next_page_keeps_every_parameter(shelf: Http) -> None:
    query = [
        ("author", _owner(shelf)),
        ("filter", "peft"),
        ("filter", "license:mit"),
        ("expand[]", "sha"),
        ("limit", "2"),
        ("sort", "likes"),
    ]
    link = shelf.get(f"/api/models?{urlencode(query)}").links["next"]["url"]
    again = parse_qs(urlsplit(link).query)
    assert again.pop("cursor")
    assert again == {"author": [_owner(shelf)], "filter": ["peft", "license:mit"], "expand[]": ["sha"], "limit": ["2"], "sort": ["likes"]}


@pytest.mark.parametrize("sort", ["createdAt", "lastModified", "downloads", "likes"])
def test_paging_is_right_while_rows_change(hub: Hub, shelf: Http, sort: str) -> None:
    """Nothing comes twice; and by an order that nobody's update changes, nothing is left out."""
    ends = threading.Event()

    def change() -> None:
        with Http(hub, shelf.account) as other:
            for number in range(1_000):
                if ends.is_set():
                    return
                repo_id = f"{_owner(shelf)}/adapter-{number % 12:02}"
                other.commit_files(repo_id, {"touched.txt": str(number).encode()})
                other.request("POST" if number % 24 < 12 else "DELETE", f"/api/models/{repo_id}/like")

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(3):
            names = _names(shelf, sort=sort, limit=1)
            if sort == "createdAt":
                assert sorted(names) == [f"adapter-{number:02}" for number in range(12)]
            elif sort == "lastModified":
                assert len(names) == len(set(names))
            else:
                assert set(names) <= {f"adapter-{number:02}" for number in range(12)}
    finally:
        ends.set()
        changing.join()


def test_history_comes_whole_page_by_page(alice_http: Http, repo_id: str) -> None:
    assert alice_http.create_repo(repo_id).is_success
    made = [alice_http.commit_files(repo_id, {"n.txt": str(number).encode()}, summary=f"Commit {number}") for number in range(7)]
    for limit in (1, 3, 100):
        items = list(_paged(alice_http, f"/api/models/{repo_id}/commits/main", limit=limit))
        assert [item["id"] for item in items[:-1]] == made[::-1]
        assert items[-1]["title"] == "initial commit"
    assert set(items[0]) >= {"id", "title", "message", "date", "authors"}
    assert "formatted" in next(_paged(alice_http, f"/api/models/{repo_id}/commits/main", **{"expand[]": "formatted"}))


# --- small calls ---------------------------------------------------------------------------------------------------


def test_whoami_has_the_shape_that_clients_index(hub: Hub, alice: Account, alice_http: Http) -> None:
    org = f"team-{uuid4().hex[:8]}"
    hub.cli("org", "add", org, "--owner", alice.name)
    me = get(alice_http, "/api/whoami-v2")
    assert (me["type"], me["name"], me["auth"]["type"]) == ("user", alice.name, "access_token")
    assert {"displayName", "role", "createdAt"} <= set(me["auth"]["accessToken"])
    assert me["auth"]["accessToken"]["role"] == "write"
    mine = next(item for item in me["orgs"] if item["name"] == org)
    assert (mine["type"], mine["roleInOrg"]) == ("org", "admin")
    roles = {}
    for scope in ((), ("--namespace", org)):
        token = hub.token(alice.name, "read", *scope)
        answer = alice_http.get("/api/whoami-v2", headers={"Authorization": f"Bearer {token}"})
        roles[scope] = answer.json()["auth"]["accessToken"]["role"]
    assert roles == {(): "read", ("--namespace", org): "fineGrained"}
    assert alice.token not in json.dumps(me)


def test_somebody_without_organisations_has_an_empty_list(hub: Hub) -> None:
    with Http(hub, hub.add_user(f"loner-{uuid4().hex[:8]}")) as loner:
        assert get(loner, "/api/whoami-v2")["orgs"] == []


@pytest.mark.parametrize("authorization", [None, "Bearer hf_of_another_hub"])
def test_what_clients_ask_unasked(http: Http, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    assert http.get("/api/agent-harnesses", headers=headers).json() == {"standardEnvVars": [], "harnesses": {}}
    for method, url in (
        ("HEAD", "/api/telemetry/ping"),
        ("POST", "/api/telemetry/a/b"),
        ("GET", "/api/telemetry/x"),
        ("POST", "/v1/telemetry"),
    ):
        assert http.request(method, url, headers=headers).status_code == 204


def test_a_card_is_judged_before_it_is_pushed(http: Http) -> None:
    def judge(text: str) -> httpx2.Response:
        return http.post("/api/validate-yaml", json={"content": text, "repoType": "model"})

    fine = judge(card(license="mit", base_model="base/model").decode())
    assert (fine.status_code, fine.json()) == (200, {"errors": [], "warnings": []})
    lean = judge("# No metadata\n")
    assert (lean.status_code, lean.json()["errors"]) == (200, [])
    assert all(item["message"] for item in lean.json()["warnings"])
    broken = judge("---\na: [\n---\n")
    assert broken.status_code == 400
    assert broken.json()["errors"][0]["message"]


def test_long_values_of_a_card_are_no_reason_to_refuse_a_commit(alice_http: Http, repo: str) -> None:
    for key in ("pipeline_tag", "library_name", "license", "language", "base_model", "tags"):
        for length in (64, 65, 200, 300, 5_000):
            front = {key: ["t" * length] if key == "tags" else "v" * length}
            answer = alice_http.commit(repo, [header("Long"), file("README.md", card(f"{key} {length}", **front))])
            assert answer.status_code == 200, (key, length, answer.text)
    get(alice_http, f"/api/models/{repo}")

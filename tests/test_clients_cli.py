"""The ``hf`` program of huggingface_hub 2.4.0."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import Client
from tests.support.server import Account, Hub

pytestmark = pytest.mark.slow

REPO = "alice/by-hf"
WEIGHTS = b"weights " * 1_500_000


@pytest.fixture(scope="session")
def hf(alice: Account, new_client: Callable[..., Client]) -> Callable[..., Any]:
    """Runs ``hf`` as alice; returns the JSON that it prints. Fails the test when hf fails."""
    client = new_client("modern", alice)

    def run(*args: str) -> Any:
        done = client.call("hf", *args, "--format", "json")
        assert done.returncode == 0, f"hf {' '.join(args)}:\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def uploaded(hf: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was uploaded to a repository of its own."""
    folder = tmp_path_factory.mktemp("upload")
    (folder / "sub").mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\ntags: [made-by-hf]\n---\n\n# By hf\n")
    (folder / "sub" / "weights.dat").write_bytes(WEIGHTS)
    hf("repos", "create", REPO)
    hf("upload", REPO, str(folder))
    return folder


def test_auth_whoami(hf: Callable[..., Any], hub: Hub) -> None:
    me = hf("auth", "whoami")
    assert (me["user"], me["endpoint"]) == ("alice", hub.url)


def test_repos_create(hf: Callable[..., Any], hub: Hub) -> None:
    made = hf("repos", "create", "alice/created-by-hf", "--private")
    again = hf("repos", "create", "alice/created-by-hf", "--exist-ok")
    assert made["repo_id"] == again["repo_id"] == "alice/created-by-hf"
    assert made["url"] == f"{hub.url}/alice/created-by-hf"
    assert hf("models", "info", "alice/created-by-hf")["private"] is True


def test_upload_and_download(hf: Callable[..., Any], uploaded: Path, tmp_path: Path) -> None:
    hf("download", REPO, "--local-dir", str(tmp_path))
    for path in ("README.md", "sub/weights.dat"):
        assert (tmp_path / path).read_bytes() == (uploaded / path).read_bytes()


def test_upload_to_a_new_branch(hf: Callable[..., Any], uploaded: Path, tmp_path: Path) -> None:
    hf("upload", REPO, str(uploaded / "README.md"), "copy.md", "--revision", "dev/hf")
    hf("download", REPO, "copy.md", "--revision", "dev/hf", "--local-dir", str(tmp_path))
    assert (tmp_path / "copy.md").read_bytes() == (uploaded / "README.md").read_bytes()


@pytest.mark.usefixtures("uploaded")
def test_models_list(hf: Callable[..., Any]) -> None:
    assert [each["id"] for each in hf("models", "ls", "--author", "alice", "--filter", "made-by-hf")] == [REPO]


@pytest.mark.usefixtures("uploaded")
def test_models_list_files(hf: Callable[..., Any]) -> None:
    assert {".gitattributes", "README.md", "sub/weights.dat"} <= {each.get("path") for each in hf("models", "ls", REPO, "-R")}


@pytest.mark.usefixtures("uploaded")
def test_models_card(hf: Callable[..., Any]) -> None:
    assert hf("models", "card", REPO, "--metadata") == {"license": "mit", "tags": ["made-by-hf"]}


@pytest.mark.usefixtures("uploaded")
def test_tags_and_branches(hf: Callable[..., Any], tmp_path: Path) -> None:
    hf("repos", "tag", "create", REPO, "v1")
    hf("repos", "branch", "create", REPO, "next")
    hf("download", REPO, "README.md", "--revision", "v1", "--local-dir", str(tmp_path))
    assert (tmp_path / "README.md").exists()


def test_settings_and_delete(hf: Callable[..., Any]) -> None:
    hf("repos", "create", "alice/short-lived")
    hf("repos", "settings", "alice/short-lived", "--private")
    assert hf("models", "info", "alice/short-lived")["private"] is True
    hf("repos", "delete", "alice/short-lived", "--yes")
    assert "alice/short-lived" not in [each["id"] for each in hf("models", "ls", "--author", "alice", "--limit", "100")]


def test_an_unknown_token(alice: Account, new_client: Callable[..., Client]) -> None:
    stranger = Account(alice.name, alice.password, "hf_" + "0" * 34)
    done = new_client("modern", stranger).call("hf", "auth", "whoami")
    assert done.returncode != 0
    assert "HF_TOKEN environment variable is invalid" in done.stdout + done.stderr


def test_login_and_logout(alice: Account, new_client: Callable[..., Client]) -> None:
    client = new_client("modern", None)
    assert client.call("hf", "auth", "login", "--token", alice.token).returncode == 0
    assert "alice" in client.call("hf", "auth", "whoami").stdout
    assert client.call("hf", "auth", "logout").returncode == 0
    assert client.call("hf", "auth", "whoami").returncode != 0

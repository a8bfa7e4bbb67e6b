"""huggingface_hub 2.4.0 on the life of a repository: made, hidden, liked, moved, deleted."""

from collections.abc import Callable

import pytest

from tests.support.clients import Client, Facts
from tests.support.refusals import assert_refused
from tests.support.server import Account, Hub

pytestmark = pytest.mark.slow

REPO, ORG = "alice/life", "life-org"


@pytest.fixture(scope="session")
def facts(hub: Hub, alice: Account, bob: Account, new_client: Callable[..., Client]) -> Facts:
    """What one run of the scenario has seen; alice owns an organisation."""
    hub.cli("org", "add", ORG, "--owner", alice.name)
    return new_client("modern", alice).run("repos", repo_id=REPO, org=ORG, other_token=bob.token)


def test_whoami(facts: Facts) -> None:
    me = facts["whoami"]
    assert (me["name"], me["type"]) == ("alice", "user")
    assert me["orgs"][ORG] == "admin"
    assert me["auth"]["accessToken"]["role"] == "write"


def test_create(facts: Facts, hub: Hub) -> None:
    made = facts["create"]
    assert (made["repo_id"], made["url"]) == (REPO, f"{hub.url}/{REPO}")
    assert made["short"] == f"{REPO}-short"
    assert (made["org"], made["org_private"]) == (f"{ORG}/of-the-org", True)
    assert made["files"] == [".gitattributes"]
    assert_refused(made["exists"], "HfHubHTTPError", 409, "You already created this model repo")
    assert_refused(made["not_mine"], "HfHubHTTPError", 403)
    assert_refused(made["nowhere"], "HfHubHTTPError", 403)
    assert_refused(made["anonymous"], "HfHubHTTPError", 401)
    assert_refused(made["dataset"], "HfHubHTTPError", 400)


def test_exists(facts: Facts) -> None:
    assert facts["exists"] == {
        "repo": True,
        "no_repo": False,
        "revision": True,
        "no_revision": False,
        "file": True,
        "no_file": False,
        "folder_is_no_file": False,
    }


@pytest.mark.parametrize(("who", "status"), [("other", 404), ("nobody", 401)])
def test_a_private_repository_is_like_a_missing_one(facts: Facts, who: str, status: int) -> None:
    private = facts["private"]
    assert private["mine"] is True
    assert private["public_again"] is False
    seen = private["seen"][who]
    for call in ("info", "missing", "file", "write"):
        assert_refused(seen[call], "RepositoryNotFoundError", status)
    assert seen["listed"] == []
    assert _without_names(seen["info"]["message"]) == _without_names(seen["missing"]["message"])


def _without_names(message: str) -> str:
    """The message without what differs from request to request: the name asked for, and the request's id."""
    lines = message.replace("-nowhere", "").splitlines()
    return "\n".join(line.split("(Request ID")[0] for line in lines)


def test_auth_check(facts: Facts) -> None:
    check = facts["auth_check"]
    assert_refused(check["other_write"], "HfHubHTTPError", 403)
    assert_refused(check["missing"], "RepositoryNotFoundError", 404)


def test_likes(facts: Facts) -> None:
    likes = facts["likes"]
    assert REPO in likes["liked"]
    assert likes["of_user"] == likes["liked"]
    assert likes["likers"] == ["alice"]
    assert likes["count"] == 1
    assert REPO not in likes["after"]
    assert likes["count_after"] == 0


def test_a_moved_repository_answers_to_both_names(facts: Facts) -> None:
    move = facts["move"]
    assert move["info_by_old"] == move["info_by_new"] == f"{ORG}/moved"
    assert move["read_by_old"] == "text"
    assert move["tree_by_old"] == [".gitattributes", "sub/file.txt"]
    assert move["exists_by_old"] is True
    assert move["write_by_new"] is True
    assert_refused(move["missing_by_old"], "EntryNotFoundError", 404)
    assert_refused(move["onto_itself"], "HfHubHTTPError", 409)
    assert_refused(move["missing"], "RepositoryNotFoundError", 404)


def test_delete(facts: Facts) -> None:
    delete = facts["delete"]
    assert_refused(delete["not_mine"], "HfHubHTTPError", 403)
    assert delete["exists"] is False
    assert delete["old_name"] is False
    for call in ("again", "download"):
        assert_refused(delete[call], "RepositoryNotFoundError", 404)

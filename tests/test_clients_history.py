"""huggingface_hub 2.4.0 on the history of a repository: revisions, branches, tags, commits, pull requests."""

from collections.abc import Callable

import pytest

from tests.support.clients import Client, Facts
from tests.support.refusals import assert_refused
from tests.support.server import Account, Hub

pytestmark = pytest.mark.slow

REPO = "alice/history"


@pytest.fixture(scope="session")
def facts(alice: Account, new_client: Callable[..., Client]) -> Facts:
    """What one run of the scenario has seen."""
    return new_client("modern", alice).run("history", repo_id=REPO)


def test_a_revision_is_exactly_what_it_names(facts: Facts) -> None:
    assert facts["revisions"] == {
        "before": "old",
        "main": "new",
        "tag": "old",
        "old_commit": "old",
        "new_commit": "new",
        "head": True,
        "tag_info": True,
    }


def test_commits(facts: Facts) -> None:
    commits = facts["commits"]
    assert commits["ids"]
    assert commits["titles"][:2] == ["The new state", "The old state"]
    assert commits["message"] == "With a reason."
    assert commits["authors"][0] == ["alice"]
    assert commits["newest_first"]
    assert commits["at_tag"][0] == "The old state"
    assert "The new state" not in commits["at_tag"]


def test_branches(facts: Facts) -> None:
    branches = facts["branches"]
    assert branches["names"] == ["dev/x", "from-old", "main"]
    assert branches["ref"] == "refs/heads/dev/x"
    assert branches["from_old"]
    assert branches["on_dev"] == "dev"
    assert branches["on_main"] is False
    assert branches["revision_exists"] is True
    assert branches["gone"] is False
    assert branches["main_is_there"] is True
    assert_refused(branches["exists"], "HfHubHTTPError", 409)
    assert_refused(branches["delete_again"], "RevisionNotFoundError", 404)
    assert_refused(branches["delete_main"], "HfHubHTTPError", text="main")
    assert_refused(branches["start_nowhere"], "RevisionNotFoundError", 404)


def test_tags(facts: Facts) -> None:
    tags = facts["tags"]
    assert tags["listed"] == {"v0": ["refs/tags/v0", True], "v1": ["refs/tags/v1", True]}
    assert tags["gone"] is False
    assert_refused(tags["exists"], "HfHubHTTPError", 409)
    assert_refused(tags["delete_again"], "RevisionNotFoundError", 404)
    assert_refused(tags["tag_nowhere"], "RevisionNotFoundError", 404)


def test_deletions(facts: Facts) -> None:
    deletions = facts["deletions"]
    assert deletions["left"] == ["keep.txt"]
    assert_refused(deletions["file"], "EntryNotFoundError", 404, "A file with this name doesn't exist")
    assert_refused(deletions["folder"], "EntryNotFoundError", 404, "doesn't exist")
    assert_refused(deletions["download"], "EntryNotFoundError", 404)


def test_add_copy_and_delete_in_one_commit(facts: Facts) -> None:
    commit = facts["one_commit_of_many_operations"]
    assert commit == {"commits": 1, "copy": "keep.txt", "large": True, "gone": False, "gone_before": True}


def test_parent_commit(facts: Facts) -> None:
    parent = facts["parent_commit"]
    assert_refused(parent["late"], "HfHubHTTPError", 412, "A commit has happened since. Please refresh and try again.")
    assert parent["head_is_good"]
    assert parent["text"] == "1"


def test_pull_request_of_a_file(facts: Facts, hub: Hub) -> None:
    pull = facts["pull_request_of_a_file"]
    number = pull["revision"].removeprefix("refs/pr/")
    assert pull["url"] == f"{hub.url}/{REPO}/discussions/{number}"
    assert pull["on_main"] is False
    assert pull["main_untouched"]
    assert pull["on_pr"] == "proposed"
    assert pull["rest_on_pr"] == "keep.txt"
    assert pull["title"] == "A proposal"
    assert pull["author"] == "alice"
    assert pull["status"] in {"open", "draft"}
    assert pull["is_pull_request"] is True
    assert pull["target"] in {"main", "refs/heads/main"}


def test_pull_request_of_a_folder(facts: Facts) -> None:
    pull = facts["pull_request_of_a_folder"]
    assert pull["numbers"] == 1
    assert pull["on_pr"] == ["proposed/a.txt", "proposed/large.txt", "proposed/more.txt"]
    assert pull["on_main"] == []
    assert pull["large"]
    assert pull["more_is_head"]


def test_discussions(facts: Facts) -> None:
    discussions = facts["discussions"]
    assert discussions["numbers"]
    assert discussions["titles"] == ["A folder", "A proposal"]
    assert discussions["authors"] == ["alice"]
    assert discussions["repo"] == [REPO]
    assert discussions["refs"]
    assert discussions["nobody"] == []
    assert discussions["plain"] == []


def test_squash(facts: Facts) -> None:
    squash = facts["squash"]
    assert squash["titles"] == ["One commit"]
    assert squash["same_files"]
    assert squash["text"] == "new"
    assert squash["tag"] == "old"
    assert_refused(squash["nowhere"], "RevisionNotFoundError", 404)

"""huggingface_hub 2.4.0 raises what its users expect."""

from collections.abc import Callable

import pytest

from tests.support.clients import Client, Facts
from tests.support.refusals import assert_refused
from tests.support.server import Account, Hub

pytestmark = pytest.mark.slow

REPO = "alice/errors"
INVALID = "Invalid credentials in Authorization header"


@pytest.fixture(scope="session")
def facts(hub: Hub, alice: Account, bob: Account, new_client: Callable[..., Client]) -> Facts:
    """What one run of the scenario has seen."""
    revoked = hub.token(alice.name)
    newest = max(_token_ids(hub), key=int)
    hub.cli("token", "revoke", newest)
    return new_client("modern", alice).run("errors", repo_id=REPO, other_token=bob.token, revoked_token=revoked)


def _token_ids(hub: Hub) -> list[str]:
    """The ids in the first column of ``token list``."""
    return [line.split()[0] for line in hub.cli("token", "list").splitlines() if line.split() and line.split()[0].isdigit()]


@pytest.mark.parametrize("call", ["info", "refs", "tree", "commits", "paths", "download", "snapshot", "upload", "delete"])
def test_repository_not_found(facts: Facts, call: str) -> None:
    seen = facts["repository_not_found"]
    assert_refused(seen["user"][call], "RepositoryNotFoundError", 404)
    assert_refused(seen["nobody"][call], "HfHubHTTPError" if call == "delete" else "RepositoryNotFoundError", 401)


@pytest.mark.parametrize("call", ["info", "tree", "download", "snapshot", "upload", "commits"])
def test_revision_not_found(facts: Facts, call: str) -> None:
    assert_refused(facts["revision_not_found"][call], "RevisionNotFoundError", 404, "Invalid rev id")


@pytest.mark.parametrize("call", ["download", "folder", "metadata", "tree", "delete"])
def test_entry_not_found(facts: Facts, call: str) -> None:
    seen = facts["entry_not_found"]
    assert_refused(seen[call], "EntryNotFoundError", 404)
    assert seen["commit_header"]
    assert seen["metadata_found"] == len("text")


@pytest.mark.parametrize("call", ["path", "branch", "tag"])
def test_bad_request(facts: Facts, call: str) -> None:
    assert_refused(facts["bad_request"][call], "BadRequestError", 400)


def test_conflicts(facts: Facts) -> None:
    conflict = facts["conflict"]
    assert_refused(conflict["exists"], "HfHubHTTPError", 409, "You already created this model repo")
    assert_refused(conflict["case"], "HfHubHTTPError", 409)
    assert_refused(conflict["late"], "HfHubHTTPError", 412, "A commit has happened since. Please refresh and try again.")
    assert_refused(conflict["too_large"], "HfHubHTTPError", 413)
    assert_refused(conflict["file_as_folder"], "HfHubHTTPError")
    assert conflict["file_as_folder"]["status"] in {400, 409, 422}
    assert conflict["moved"] is False


@pytest.mark.parametrize("call", ["upload", "branch", "tag", "delete", "settings", "move", "squash"])
def test_forbidden(facts: Facts, call: str) -> None:
    assert_refused(facts["forbidden"][call], "HfHubHTTPError", 403, "403 Forbidden: ")


def test_anonymous_cannot_write(facts: Facts) -> None:
    assert_refused(facts["forbidden"]["anonymous"], "HfHubHTTPError", 401)


@pytest.mark.parametrize("token", ["unknown", "revoked", "foreign"])
@pytest.mark.parametrize("call", ["info", "download", "list", "create"])
def test_invalid_token(facts: Facts, token: str, call: str) -> None:
    refusal = facts["invalid_token"]["seen"][token][call]
    assert_refused(refusal, "HfHubHTTPError", 401, INVALID)
    assert "RepositoryNotFoundError" not in refusal["is_a"]


def test_whoami_with_an_invalid_token(facts: Facts) -> None:
    assert_refused(facts["invalid_token"]["whoami"], "HfHubHTTPError", 401, "Invalid user token.")


def test_answers_outside_the_contract_are_json_too(facts: Facts) -> None:
    raw = facts["raw_answers"]
    assert raw["unknown"]["status"] == 404
    assert raw["unknown"]["error"]
    assert raw["garbled"]["status"] == 400
    assert raw["garbled"]["error"]
    assert_refused(raw["garbled_raises"], "BadRequestError", 400)

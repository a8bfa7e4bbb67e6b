"""huggingface_hub 2.4.0 on gated repositories, access requests and tokens that may only read."""

from collections.abc import Callable

import pytest

from tests.support.clients import Client, Facts
from tests.support.refusals import assert_allowed, assert_refused
from tests.support.server import Account, Hub

pytestmark = pytest.mark.slow

REPO = "alice/gated"


@pytest.fixture(scope="session")
def facts(hub: Hub, alice: Account, bob: Account, new_client: Callable[..., Client]) -> Facts:
    """What one run of the scenario has seen."""
    reader = hub.token(alice.name, "read")
    return new_client("modern", alice).run("access", repo_id=REPO, other=bob.name, other_token=bob.token, reader_token=reader)


def test_a_gated_repository_shows_itself_but_not_its_files(facts: Facts) -> None:
    gated = facts["gated"]
    assert_allowed(gated["before"])
    assert_allowed(gated["owner"])
    assert_refused(gated["other"], "GatedRepoError", 403)
    assert_refused(gated["nobody"], "GatedRepoError", 401)
    assert_refused(gated["auth_check"], "GatedRepoError", 403)
    assert_refused(gated["file_exists"], "GatedRepoError", 403)
    assert gated["info"] == "manual"
    assert gated["tree"] == [".gitattributes", "text.txt"]
    assert gated["exists"] is True
    assert gated["listed"] == [REPO]


def test_a_request_goes_through_its_states(facts: Facts) -> None:
    asked = facts["asked"]
    nobody: dict[str, list[str]] = {"pending": [], "accepted": [], "rejected": []}
    assert asked["asked"] == nobody | {"pending": ["bob"]}
    assert asked["status"] == "pending"
    assert asked["by_id"]
    assert asked["accepted"] == nobody | {"accepted": ["bob"]}
    assert asked["cancelled"] == nobody | {"pending": ["bob"]}
    assert asked["rejected"] == nobody | {"rejected": ["bob"]}
    assert_allowed(asked["reads"])
    for state in ("still", "reads_no_more", "rejected_reads"):
        assert_refused(asked[state], "GatedRepoError", 403)
    assert_refused(asked["accept_again"], "HfHubHTTPError", 404)


def test_access_granted_unasked(facts: Facts) -> None:
    granted = facts["granted"]
    assert_allowed(granted["reads"])
    assert_refused(granted["not_gated"], "BadRequestError", 400)
    assert_refused(granted["again"], "BadRequestError", 400)
    assert_refused(granted["stranger"], "HfHubHTTPError", 404)
    assert_refused(granted["not_the_owner"], "HfHubHTTPError", 403)
    assert_refused(granted["list_by_other"], "HfHubHTTPError", 403)
    assert_refused(granted["unknown_request"], "HfHubHTTPError", 404)


def test_an_automatic_gate_opens_to_who_asks(facts: Facts) -> None:
    automatic = facts["automatic"]
    assert_refused(automatic["before"], "GatedRepoError", 403)
    assert_allowed(automatic["after"])
    assert automatic["requests"]["accepted"] == ["bob"]
    assert_allowed(automatic["open"])


@pytest.mark.parametrize("call", ["upload", "create", "delete", "settings"])
def test_a_read_token_cannot_write(facts: Facts, call: str) -> None:
    reader = facts["reader_token"]
    assert reader["role"] == "read"
    assert_allowed(reader["reads"])
    assert_refused(reader[call], "HfHubHTTPError", 403)

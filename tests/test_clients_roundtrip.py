"""Every generation of huggingface_hub pushes and pulls: bytes, paths, streams, folders; small, 12 MB, 300 MB."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.support.clients import Client, Facts
from tests.support.refusals import assert_refused
from tests.support.server import Account, Hub

pytestmark = pytest.mark.slow

MODERN, NO_XET, MIDDLE, LEGACY = ("modern", True), ("modern", False), ("middle", True), ("legacy", True)
NAMES = {MODERN: "2.4.0", NO_XET: "2.4.0-without-xet", MIDDLE: "1.15.0", LEGACY: "0.36.2"}
FILES = 600
SIZE = 300_000_000
ATTRIBUTES = [".gitattributes"]


@pytest.fixture(scope="session", params=NAMES, ids=NAMES.get)
def generation(request: pytest.FixtureRequest) -> Any:
    """A generation of the client, and whether it may use Xet."""
    return request.param


@pytest.fixture(scope="session")
def facts(generation: tuple[str, bool], alice: Account, new_client: Callable[..., Client]) -> Facts:
    """What one run of the round trip has seen."""
    name, xet = generation
    return new_client(name, alice, xet=xet).run("roundtrip", repo_id=f"alice/{_repo_name(generation)}", files=FILES)


def _repo_name(generation: tuple[str, bool]) -> str:
    return "round-" + NAMES[generation]


def test_create(facts: Facts, hub: Hub, generation: tuple[str, bool]) -> None:
    repo_id = f"alice/{_repo_name(generation)}"
    made = facts["create"]
    assert made["url"] == made["again"] == f"{hub.url}/{repo_id}"
    assert made["repo_id"] == repo_id
    assert made["files"] == ATTRIBUTES
    assert_refused(made["refusal"], "HfHubHTTPError", 409, "You already created this model repo")


def test_files_come_back_as_they_went(facts: Facts) -> None:
    sent = facts["upload_files"]
    assert len(sent) == 6
    assert facts["download_files"] == sent
    assert facts["download_to_a_folder"] == sent


def test_the_same_file_again_makes_no_commit(facts: Facts) -> None:
    commits = facts["upload_the_same_again"]
    assert commits["after"] == commits["before"]


def test_a_folder_arrives_whole(facts: Facts) -> None:
    pushed = facts["upload_a_folder"]
    assert len(pushed["local"]) == FILES
    assert pushed["listed"] == sorted(f"folder/{name}" for name in pushed["local"])
    assert pushed["oid"] == pushed["head"]
    assert 1 <= pushed["commits"] <= 5


def test_the_same_folder_again_makes_no_commit(facts: Facts) -> None:
    again = facts["upload_the_same_folder_again"]
    assert again["commits"] == 0
    assert again["oid"] == again["head"]


def test_snapshot_cold_and_warm(facts: Facts) -> None:
    taken = facts["snapshot"]
    assert taken["got"] == facts["upload_a_folder"]["local"]
    assert taken["revision"] == facts["upload_a_folder"]["head"]
    assert taken["same_folder"]
    assert taken["nothing_written"]


def test_what_is_missing_is_said_to_be_missing(facts: Facts) -> None:
    missing = facts["missing"]
    assert_refused(missing["file"], "EntryNotFoundError", 404)
    assert_refused(missing["revision"], "RevisionNotFoundError", 404, "Invalid rev id: not-there")
    assert_refused(missing["repo"], "RepositoryNotFoundError", 404)
    assert missing["remembered"] == ["not-there.txt"]


def test_bytes_take_the_door_of_the_generation(
    generation: tuple[str, bool], hub: Hub, alice: Account, new_client: Callable[..., Client]
) -> None:
    """2.4.0 insists on Xet; everybody else falls back to LFS because the hub's batch answers so."""
    name, xet = generation
    log = hub.log()
    trip = new_client(name, alice, xet=xet).run("large", repo_id=f"alice/door-{NAMES[generation]}", size=12_000_000)["there_and_back"]
    new = hub.log().removeprefix(log)
    assert trip["got"] == trip["sent"]
    assert ("xet-write-token" in new) == (generation == MODERN)
    assert ("objects/batch" in new) == (generation != MODERN)


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])
def test_300_megabytes(xet: bool, alice: Account, new_client: Callable[..., Client]) -> None:
    trip = new_client("modern", alice, xet=xet).run("large", repo_id=f"alice/large-{uuid4().hex[:8]}", size=SIZE)["there_and_back"]
    assert trip["size"] == SIZE
    assert trip["got"] == trip["sent"]

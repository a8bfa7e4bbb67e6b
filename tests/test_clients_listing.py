"""huggingface_hub 2.4.0 on what is there: lists of repositories, facts of one, its files."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.clients import Client, Facts
from tests.support.refusals import assert_refused
from tests.support.server import Account, Hub

pytestmark = pytest.mark.slow

ORG = "list-org"
LARGE = len("large file ") * 1_200_000
APPLE_FILES = [".gitattributes", "README.md", "sub/dir/large.dat"]
APPLE_CARD = {
    "language": "en",
    "license": "apache-2.0",
    "tags": ["fruit", "red"],
    "pipeline_tag": "text-classification",
    "datasets": ["imdb"],
}


@pytest.fixture(scope="session")
def facts(hub: Hub, alice: Account, bob: Account, new_client: Callable[..., Client]) -> Facts:
    """What one run of the scenario has seen, in an organisation of its own."""
    hub.cli("org", "add", ORG, "--owner", alice.name)
    return new_client("modern", alice).run("listing", org=ORG, other_token=bob.token)


def test_all(facts: Facts) -> None:
    assert facts["make"] == ["apple", "banana", "cherry", "dill", "secret"]


def test_filters_are_anded(facts: Facts) -> None:
    assert facts["by_tags"] == {
        "one": ["apple", "banana", "cherry", "secret"],
        "two": ["apple", "cherry", "secret"],
        "contradiction": [],
        "license": ["apple", "cherry"],
        "language": ["cherry", "dill"],
        "dataset": ["apple"],
        "trained": ["apple"],
        "base": ["banana"],
        "library": ["cherry"],
        "task": ["apple"],
        "gated": ["dill"],
        "open": ["apple", "banana", "cherry", "secret"],
        "case": [],
        "unknown": [],
    }


def test_search(facts: Facts) -> None:
    assert facts["by_words"] == {
        "part": ["banana"],
        "case": ["banana"],
        "full_name": ["dill"],
        "nothing": [],
        "wildcards": [],
        "nobody": [],
    }


def test_private_repositories_are_listed_to_their_owner_alone(facts: Facts) -> None:
    public = ["apple", "banana", "cherry", "dill"]
    assert facts["by_viewer"] == {"other": public, "nobody": public}


def test_sort(facts: Facts) -> None:
    order = facts["in_order"]
    assert order["created_at"] == ["secret", "dill", "cherry", "banana", "apple"]
    assert order["last_modified"][0] in {"apple", "dill"}
    assert order["likes"][0] == "cherry"
    assert order["downloads"][0] == "banana"
    assert order["trending_score"][0] in {"cherry", "banana"}
    assert all(sorted(names) == facts["make"] for names in order.values())


@pytest.mark.parametrize("sort", ["createdAt", "lastModified", "likes", "downloads", "trendingScore"])
def test_pages(facts: Facts, sort: str) -> None:
    pages = facts["in_pages"]["pages"][sort]
    assert pages["walked"] == pages["whole"]
    assert sorted(pages["walked"]) == facts["make"]


def test_the_link_to_the_next_page(facts: Facts, hub: Hub) -> None:
    pages = facts["in_pages"]
    url, relation = pages["link"].split(">; ")
    query = parse_qs(urlsplit(url.removeprefix("<")).query)
    assert relation == 'rel="next"'
    assert url.startswith(f"<{hub.url}/api/models?")
    assert (query["author"], query["limit"], query["filter"]) == ([ORG], ["2"], ["fruit", "red"])
    assert pages["limited"] == 3


def test_how_much_a_list_says(facts: Facts) -> None:
    more = facts["with_more"]
    assert more["plain"]["private"] is False
    assert {"fruit", "red", "license:apache-2.0", "dataset:imdb", "en"} <= set(more["plain"]["tags"])
    assert more["plain"]["task"] == "text-classification"
    assert more["full"]["siblings"] == APPLE_FILES
    assert more["full"]["author"] == ORG
    assert len(more["full"]["sha"]) == 40
    assert more["card"] == APPLE_CARD
    assert more["few"]["likes"] == 0
    assert "fruit" in more["few"]["tags"]
    assert (more["few"]["author"], more["few"]["sha"]) == (None, None)
    assert more["dates"]


def test_model_info(facts: Facts) -> None:
    info = facts["info"]
    assert (info["id"], info["author"]) == (f"{ORG}/apple", ORG)
    assert (info["private"], info["gated"], info["disabled"]) == (False, False, False)
    assert info["task"] == "text-classification"
    assert info["card"] == APPLE_CARD
    assert info["siblings"] == info["secure"] == APPLE_FILES
    assert info["by_sha"] == info["id"]
    assert_refused(info["by_short_sha"], "RevisionNotFoundError", 404)
    assert info["gated_info"] == "manual"
    assert info["many"] == [".gitattributes", "README.md"]


def test_model_info_with_files_metadata(facts: Facts) -> None:
    info = facts["info"]
    assert info["readme"]["size"] > 0
    assert len(info["readme"]["blob_id"]) == 40
    assert info["readme"]["lfs"] is None
    assert info["large"]["size"] == info["large"]["lfs"]["size"] == LARGE
    assert len(info["large"]["lfs"]["sha256"]) == 64
    assert info["large"]["lfs"]["pointer_size"] > 100


def test_model_info_with_expand(facts: Facts) -> None:
    few = facts["info"]["few"]
    assert few["author"] is None
    assert few["siblings"] == len(APPLE_FILES)
    assert few["stored"] >= LARGE
    assert few["card"]


def test_tree(facts: Facts) -> None:
    tree = facts["tree"]
    assert tree["top"] == [[".gitattributes", "RepoFile"], ["README.md", "RepoFile"], ["sub", "RepoFolder"]]
    assert tree["below"] == [["sub/dir/large.dat", "RepoFile"]]
    assert tree["below_recursive"] == [["sub/dir", "RepoFolder"], ["sub/dir/large.dat", "RepoFile"]]
    assert tree["recursive"] == sorted([*tree["top"], *tree["below_recursive"]])
    assert_refused(tree["missing"], "EntryNotFoundError", 404)
    assert_refused(tree["missing_revision"], "RevisionNotFoundError", 404)


def test_expanded_tree(facts: Facts) -> None:
    tree = facts["tree"]
    assert tree["lfs"]["size"] == LARGE
    assert tree["last_commit"] == tree["folder_commit"] == "Upload sub/dir/large.dat with huggingface_hub"
    assert len(tree["readme_commit"]) == len(tree["blob_id"]) == len(tree["tree_id"]) == 40


def test_tree_in_pages(facts: Facts) -> None:
    assert facts["tree_in_pages"] == {"files": 1100, "different": 1100, "expanded": 158}


def test_paths_info(facts: Facts) -> None:
    paths = facts["paths_info"]
    assert paths["found"] == [["README.md", "RepoFile"], ["sub", "RepoFolder"], ["sub/dir/large.dat", "RepoFile"]]
    assert paths["sizes"]["sub/dir/large.dat"] == LARGE
    assert paths["last_commit"] == "Upload README.md with huggingface_hub"
    assert paths["nothing"] == []
    assert_refused(paths["missing_revision"], "RevisionNotFoundError", 404)

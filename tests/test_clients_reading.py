"""huggingface_hub 2.4.0 reading parts: the file system, tensor headers, the list of large files."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.support.clients import Client, Facts
from tests.support.refusals import assert_refused
from tests.support.server import Account

pytestmark = pytest.mark.slow

LARGE = 12_000_000


@pytest.fixture(scope="session")
def facts(alice: Account, new_client: Callable[..., Client]) -> Facts:
    """What one run of the scenario has seen."""
    return new_client("modern", alice).run("reading", repo_id="alice/reading")


def test_file_system(facts: Facts) -> None:
    seen = facts["file_system"]
    assert seen["ls"] == [".gitattributes", "data", "model.safetensors", "text.txt"]
    assert sorted(seen["glob"]) == ["data/empty.txt", "text.txt"]
    assert seen["find"] == [".gitattributes", "data/empty.txt", "data/large.dat", "model.safetensors", "text.txt"]
    assert seen["text"] == "first line\nsecond line\n"
    assert seen["branch"] == "on the branch"
    assert seen["empty"] == ""
    assert seen["size"] == LARGE
    assert seen["exists"] == [True, False, False]
    assert seen["isdir"] == [True, False]
    assert_refused(seen["missing"], "FileNotFoundError")


@pytest.mark.parametrize("part", ["middle", "tail", "whole"])
def test_parts_of_a_large_file(facts: Facts, part: str) -> None:
    assert facts["file_system"][part] is True


def test_write_through_the_file_system(facts: Facts) -> None:
    assert facts["write_through_the_file_system"] == {"text": "written by fsspec", "left": False}


def test_safetensors_metadata(facts: Facts) -> None:
    assert facts["safetensors_metadata"] == {
        "sharded": False,
        "tensors": {"layer.0.lora_A.weight": ["F32", [4, 64]], "layer.0.lora_B.weight": ["F16", [64, 4]]},
        "parameters": {"F32": 256, "F16": 256},
    }


def test_large_files(facts: Facts) -> None:
    files = facts["large_files"]
    assert "data/large.dat" in files["names"]
    assert "text.txt" not in files["names"]
    assert (files["size"], files["oid"]) == (LARGE, 64)
    age = datetime.now(UTC) - datetime.fromisoformat(files["date"])
    assert 0 <= age.total_seconds() < 3600

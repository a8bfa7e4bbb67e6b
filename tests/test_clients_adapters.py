"""peft, transformers, adapters: adapters on a real model, trained here, pushed, loaded on another machine, bit by bit the same."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.support.clients import Client, Facts
from tests.support.server import Account

pytestmark = pytest.mark.slow

PEFT = {"base_repo": "alice/minilm", "lora_repo": "alice/minilm-lora", "ia3_repo": "alice/minilm-ia3"}
ADAPTERS = {"bottleneck_repo": "alice/minilm-bottleneck", "lora_repo": "alice/minilm-adapters-lora"}
ABSENT_BASE = "sentence-transformers/all-MiniLM-L6-v2"
QUICK = 20.0


@dataclass(frozen=True)
class Trip:
    """What the machine that pushed has seen, and what the machine that loaded has seen."""

    pushed: Facts
    loaded: Facts


@pytest.fixture(scope="session")
def peft(alice: Account, bob: Account, new_client: Callable[..., Client]) -> Trip:
    """alice trains and pushes with peft, bob loads; alice tags the release."""
    pushed = new_client("modern", alice).run("peft_push", **PEFT, absent_base=ABSENT_BASE)
    new_client("modern", alice).call("hf", "repos", "tag", "create", PEFT["lora_repo"], "v1")
    return Trip(pushed, new_client("modern", bob).run("peft_load", **PEFT))


@pytest.fixture(scope="session")
def adapters(alice: Account, bob: Account, new_client: Callable[..., Client]) -> Trip:
    """alice trains and pushes with adapters 1.3.0, bob loads."""
    pushed = new_client("legacy", alice).run("adapters_push", **ADAPTERS)
    return Trip(pushed, new_client("legacy", bob).run("adapters_load", **ADAPTERS))


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_peft_adapter_is_the_same_on_the_other_machine(peft: Trip, method: str) -> None:
    pushed = peft.pushed[method]
    assert pushed["losses"][-1] < pushed["losses"][0]
    assert pushed["output"] != peft.pushed["base"]["output"]
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors"} <= set(pushed["files"])
    assert peft.loaded[method] == pushed["output"]


def test_a_base_that_the_hub_does_not_hold_costs_no_time(peft: Trip) -> None:
    assert peft.pushed["ia3"]["push_seconds"] < QUICK


@pytest.mark.parametrize("way", ["lora_by_tag", "base_and_lora", "lora_by_transformers"])
def test_other_ways_to_load_the_lora(peft: Trip, way: str) -> None:
    assert peft.loaded[way] == peft.pushed["lora"]["output"]


def test_the_base_model_is_the_same_too(peft: Trip) -> None:
    assert peft.loaded["base"] == peft.pushed["base"]["output"]
    assert peft.loaded["tokenizer"] is True


def test_peft_config(peft: Trip) -> None:
    assert peft.loaded["config"] == {"type": "LORA", "base": PEFT["base_repo"], "rank": 4}


def test_the_hub_knows_an_adapter_when_it_gets_one(peft: Trip) -> None:
    facts = peft.loaded["hub_facts"]
    base = PEFT["base_repo"]
    assert {"peft", "lora", "safetensors", f"base_model:{base}", f"base_model:adapter:{base}"} <= set(facts["tags"])
    assert facts["library"] == "peft"
    assert facts["config"]["peft"]["base_model_name_or_path"] == base
    assert facts["of_base"] == [PEFT["lora_repo"]]


@pytest.mark.parametrize("method", ["bottleneck", "lora"])
def test_adapters_library(adapters: Trip, method: str) -> None:
    pushed = adapters.pushed[method]
    assert pushed["losses"][-1] < pushed["losses"][0]
    assert {"README.md", "adapter_config.json", "head_config.json", "pytorch_adapter.bin", "pytorch_model_head.bin"} <= set(pushed["files"])
    assert adapters.loaded[method] == pushed["output"]


def test_adapters_library_finds_its_adapters(adapters: Trip) -> None:
    assert adapters.loaded["listed"] == {"bottleneck": True, "lora": True}
    assert adapters.loaded["info"] == {"id": ADAPTERS["bottleneck_repo"], "model": ABSENT_BASE, "source": "hf"}

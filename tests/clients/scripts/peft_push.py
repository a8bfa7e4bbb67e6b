"""Train a LoRA and an (IA)3 on a real model and push them. Input: ``base_repo``, ``lora_repo``, ``ia3_repo``, ``absent_base``."""

import time
from types import SimpleNamespace
from typing import Any

from _minilm import BASE, contrast, embedding_of, train
from _scenario import play, step
from huggingface_hub import HfApi
from peft import IA3Config, LoraConfig, PeftConfig, TaskType, get_peft_model
from transformers import AutoModel, AutoTokenizer

LORA = LoraConfig(task_type=TaskType.FEATURE_EXTRACTION, r=4, lora_alpha=8, target_modules=["query", "value"])
IA3 = IA3Config(
    task_type=TaskType.FEATURE_EXTRACTION,
    target_modules=["key", "value", "output.dense"],
    feedforward_modules=["output.dense"],
)


@step
def base(given: SimpleNamespace) -> dict[str, Any]:
    """The base model is a repository like any other."""
    model = AutoModel.from_pretrained(BASE)
    model.push_to_hub(given.base_repo)
    AutoTokenizer.from_pretrained(BASE).push_to_hub(given.base_repo)
    return {"output": embedding_of(model), "files": sorted(HfApi().list_repo_files(given.base_repo))}


@step
def lora(given: SimpleNamespace) -> dict[str, Any]:
    """A base that the hub holds."""
    return _train_and_push(LORA, base=given.base_repo, repo_id=given.lora_repo)


@step
def ia3(given: SimpleNamespace) -> dict[str, Any]:
    """A base that the hub has never heard of: peft asks for it, and must learn soon that it is not there."""
    return _train_and_push(IA3, base=given.absent_base, repo_id=given.ia3_repo)


def _train_and_push(config: PeftConfig, base: str, repo_id: str) -> dict[str, Any]:
    model = get_peft_model(AutoModel.from_pretrained(BASE), config)
    model.peft_config["default"].base_model_name_or_path = base
    losses = train(model, contrast)
    output = embedding_of(model)
    start = time.monotonic()
    model.push_to_hub(repo_id)
    return {
        "losses": losses,
        "output": output,
        "push_seconds": time.monotonic() - start,
        "files": sorted(HfApi().list_repo_files(repo_id)),
    }


if __name__ == "__main__":
    play()

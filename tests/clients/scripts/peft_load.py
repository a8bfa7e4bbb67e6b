"""Another machine: load what was pushed, in every way there is. Input: ``base_repo``, ``lora_repo``, ``ia3_repo``."""

from types import SimpleNamespace
from typing import Any

from _minilm import BASE, embedding_of
from _scenario import play, step
from huggingface_hub import HfApi
from peft import AutoPeftModelForFeatureExtraction, PeftConfig, PeftModel
from transformers import AutoModel, AutoTokenizer


@step
def config(given: SimpleNamespace) -> dict[str, Any]:
    found = PeftConfig.from_pretrained(given.lora_repo)
    return {"type": str(found.peft_type.value), "base": found.base_model_name_or_path, "rank": found.r}


@step
def lora(given: SimpleNamespace) -> str:
    return embedding_of(PeftModel.from_pretrained(AutoModel.from_pretrained(BASE), given.lora_repo))


@step
def ia3(given: SimpleNamespace) -> str:
    return embedding_of(PeftModel.from_pretrained(AutoModel.from_pretrained(BASE), given.ia3_repo))


@step
def lora_by_tag(given: SimpleNamespace) -> str:
    return embedding_of(PeftModel.from_pretrained(AutoModel.from_pretrained(BASE), given.lora_repo, revision="v1"))


@step
def base(given: SimpleNamespace) -> str:
    return embedding_of(AutoModel.from_pretrained(given.base_repo))


@step
def base_and_lora(given: SimpleNamespace) -> str:
    """peft finds the base on the hub by itself."""
    return embedding_of(AutoPeftModelForFeatureExtraction.from_pretrained(given.lora_repo))


@step
def lora_by_transformers(given: SimpleNamespace) -> str:
    """transformers sees an adapter_config.json and loads both."""
    return embedding_of(AutoModel.from_pretrained(given.lora_repo))


@step
def tokenizer(given: SimpleNamespace) -> bool:
    text = "The film was a delight."
    return AutoTokenizer.from_pretrained(given.base_repo)(text)["input_ids"] == AutoTokenizer.from_pretrained(BASE)(text)["input_ids"]


@step
def hub_facts(given: SimpleNamespace) -> dict[str, Any]:
    """What the hub made of the adapters by itself."""
    info = HfApi().model_info(given.lora_repo)
    listed = HfApi().list_models(filter=f"base_model:adapter:{given.base_repo}")
    return {"tags": info.tags, "library": info.library_name, "config": info.config, "of_base": [each.id for each in listed]}


if __name__ == "__main__":
    play()

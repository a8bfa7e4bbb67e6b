"""Train two adapters with the adapters library on a real model and push them. Input: ``bottleneck_repo``, ``lora_repo``."""

from types import SimpleNamespace
from typing import Any

import torch
from _minilm import BASE, LABELS, NAME, batch, fingerprint, train
from _scenario import play, step
from adapters import AutoAdapterModel
from huggingface_hub import HfApi


def logits(model: Any) -> torch.Tensor:
    """What the classification head says."""
    return model(**batch()).logits


def _loss(model: Any) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits(model), LABELS)


@step
def bottleneck(given: SimpleNamespace) -> dict[str, Any]:
    return _train_and_push("seq_bn", given.bottleneck_repo)


@step
def lora(given: SimpleNamespace) -> dict[str, Any]:
    return _train_and_push("lora", given.lora_repo)


def _train_and_push(method: str, repo_id: str) -> dict[str, Any]:
    model = AutoAdapterModel.from_pretrained(BASE)
    model.config.name_or_path = NAME
    model.add_adapter("opinion", config=method)
    model.add_classification_head("opinion", num_labels=2)
    model.train_adapter("opinion")
    losses = train(model, _loss)
    model.eval()
    with torch.no_grad():
        output = fingerprint(logits(model))
    model.push_adapter_to_hub(repo_id, "opinion", datasets_tag="imdb")
    return {"losses": losses, "output": output, "files": sorted(HfApi().list_repo_files(repo_id))}


if __name__ == "__main__":
    play()

"""Another machine: load what the adapters library has pushed. Input: ``bottleneck_repo``, ``lora_repo``."""

from types import SimpleNamespace
from typing import Any

import torch
from _minilm import BASE, batch, fingerprint
from _scenario import play, step
from adapters import AutoAdapterModel
from adapters.utils import get_adapter_info, list_adapters


@torch.no_grad()
def _output(repo_id: str, **options: Any) -> str:
    model = AutoAdapterModel.from_pretrained(BASE)
    model.load_adapter(repo_id, set_active=True, **options)
    return fingerprint(model.eval()(**batch()).logits)


@step
def bottleneck(given: SimpleNamespace) -> str:
    return _output(given.bottleneck_repo)


@step
def lora(given: SimpleNamespace) -> str:
    return _output(given.lora_repo, load_as="another_name")


@step
def info(given: SimpleNamespace) -> dict[str, Any]:
    found = get_adapter_info(given.bottleneck_repo)
    return {"id": found.adapter_id, "model": found.model_name, "source": found.source}


@step
def listed(given: SimpleNamespace) -> dict[str, Any]:
    names = [each.adapter_id for each in list_adapters()]
    return {"bottleneck": given.bottleneck_repo in names, "lora": given.lora_repo in names}


if __name__ == "__main__":
    play()

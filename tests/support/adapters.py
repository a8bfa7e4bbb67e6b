"""Adapters as files, without torch: what peft writes, with random numbers in the tensors.

For tests of the wire and of inspection. The client tests push adapters that the real libraries have trained.
The tensor file follows the safetensors format: the header's length as a little-endian u64, the header as JSON, the data.
"""

import json
import random
import struct
from collections.abc import Mapping, Sequence
from typing import Any

F32 = 4


def lora(
    base: str = "bert-base-uncased",
    *,
    rank: int = 4,
    layers: int = 2,
    width: int = 64,
    targets: Sequence[str] = ("query", "value"),
    **config: Any,
) -> dict[str, bytes]:
    """The files of a LoRA adapter on a BERT: config and weights, ``2 * rank * width`` numbers for each target of each layer."""
    shapes = {
        f"base_model.model.bert.encoder.layer.{layer}.attention.self.{target}.lora_{side}.weight": shape
        for layer in range(layers)
        for target in targets
        for side, shape in (("A", (rank, width)), ("B", (width, rank)))
    }
    return {
        "adapter_config.json": json.dumps(lora_config(base, rank, targets) | config, indent=2, sort_keys=True).encode(),
        "adapter_model.safetensors": safetensors(shapes),
    }


def lora_config(base: str, rank: int, targets: Sequence[str]) -> dict[str, Any]:
    """The adapter_config.json of peft's LoraConfig, with the fields that a reader cares for."""
    return {
        "auto_mapping": None,
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": rank,
        "target_modules": list(targets),
        "task_type": "SEQ_CLS",
        "use_dora": False,
        "use_rslora": False,
    }


def safetensors(shapes: Mapping[str, Sequence[int]], *, metadata: Mapping[str, str] | None = None, seed: int = 0) -> bytes:
    """A safetensors file of float32 tensors with these shapes, filled with small random numbers."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + F32 * _count(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + _numbers(end // F32, seed)


def card(body: str = "An adapter.", **front: Any) -> bytes:
    """A README.md with front matter; JSON is YAML, so no YAML writer is needed."""
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in front.items())
    return f"---\n{lines}---\n\n{body}\n".encode()


def _count(shape: Sequence[int]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _numbers(count: int, seed: int) -> bytes:
    numbers = random.Random(seed)
    return struct.pack(f"<{count}f", *(numbers.gauss(0, 0.02) for _ in range(count)))

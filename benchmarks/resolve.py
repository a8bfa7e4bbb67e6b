"""Row ``resolve``: requests a second for the head and the bytes of a file, against a constant answer of the same framework."""

import os
from collections.abc import Iterator
from functools import partial

from benchmarks.load import measure, request
from benchmarks.measure import alternate
from benchmarks.report import Figure, Target
from benchmarks.servers import OWNER, Bed, Served, app
from tests.torture_wire import safetensors

CONNECTIONS = 32
TARGETS = {"sqlite": Target(0.45), "postgres": Target(0.35)}
REQUESTS = (("GET", "adapter_config.json"), ("HEAD", "adapter_config.json"), ("HEAD", "adapter_model.safetensors"))
TEXT = b'{"peft_type": "LORA", "r": 8, "base_model_name_or_path": "bert-base-uncased", "target_modules": ["query", "value"]}\n'
WEIGHTS = 1_000_000


def resolve(bed: Bed) -> Iterator[Figure]:
    """HEAD and GET of a text file, HEAD of a weights file."""
    with app("benchmarks.constant_app:app") as (port, _):
        for database in bed.databases:
            with bed.hub(database) as served:
                repo = adapter(served, "resolve")
                for method, path in REQUESTS:
                    ours = partial(_rate, bed, served.hub.port, method, f"/{repo}/resolve/main/{path}")
                    rates = alternate(ours, partial(_rate, bed, port, method, "/constant"), bed.rounds(5))
                    yield Figure("resolve", f"{method} {path}, {CONNECTIONS} connections", database, *rates, "req/s", TARGETS[database])


def adapter(served: Served, name: str) -> str:
    """A repository with a config and 1 MB of weights; returns its id."""
    repo = served.wire.create(OWNER, name)
    weights = {"adapter_model.safetensors": safetensors(os.urandom(WEIGHTS))}
    served.wire.upload(repo, list(weights.values()))
    served.wire.commit(repo, "Add an adapter", inline={"adapter_config.json": TEXT}, weights=weights)
    return repo


def _rate(bed: Bed, port: int, method: str, target: str) -> float:
    return measure(port, [request(method, target)], connections=CONNECTIONS, seconds=bed.seconds(3)).rate

"""One real client: pushes or pulls adapters with huggingface_hub. Run by ``benchmarks.clients`` in the clients' own environment.

Input, one JSON line: ``{"deed": "push" | "pull", "repos": [...], "folder": ...}``. It prints ``ready`` after a warm-up, waits
for a line, does the deed for every repository, and prints ``{"began", "ended", "files"}`` on the clock that all processes share.
"""

import json
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download  # type: ignore[import-not-found,unused-ignore]

WEIGHTS = 8_000_000
CARD = "---\nlibrary_name: peft\nbase_model: bert-base-uncased\ntags:\n- lora\n---\n# An adapter\n"
CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "base_model_name_or_path": "bert-base-uncased", "target_modules": ["query"]}


def write_adapter(folder: Path) -> None:
    """Three files, 8 MB of weights in them that nobody has seen before."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))
    tensor = {"dtype": "F32", "shape": [WEIGHTS // 4, 1], "data_offsets": [0, WEIGHTS]}
    header = json.dumps({"base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight": tensor}).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + os.urandom(WEIGHTS))


def push(repo: str, folder: Path) -> int:
    """Make the repository and push the adapter that lies in ``folder``."""
    api = HfApi()
    api.create_repo(repo, exist_ok=True)
    api.upload_folder(repo_id=repo, folder_path=folder)
    return len(list(folder.iterdir()))


def pull(repo: str, folder: Path) -> int:
    """Download the repository into an empty cache."""
    return len(list(Path(snapshot_download(repo, cache_dir=folder)).iterdir()))


def main() -> None:
    """Warm up, wait, work."""
    plan = json.loads(sys.stdin.readline())
    folder = Path(plan["folder"])
    deed: Callable[[str, Path], int] = {"push": push, "pull": pull}[plan["deed"]]
    warm_up, *repos = plan["repos"]
    folders = [folder / str(number) for number in range(len(plan["repos"]))]
    if deed is push:
        for one in folders:
            write_adapter(one)
    deed(warm_up, folders[0])
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    files = sum(deed(repo, one) for repo, one in zip(repos, folders[1:], strict=True))
    print(json.dumps({"began": began, "ended": time.monotonic(), "files": files}), flush=True)


if __name__ == "__main__":
    main()

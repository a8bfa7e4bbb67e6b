"""Reading without downloading whole files: the file system, tensor headers, lists of large files. Input: ``repo_id``."""

import json
import os
import struct
from types import SimpleNamespace
from typing import Any

from _scenario import play, refusal, step
from huggingface_hub import HfApi, HfFileSystem, get_safetensors_metadata

LARGE = os.urandom(12_000_000)
TENSORS = {
    "layer.0.lora_A.weight": {"dtype": "F32", "shape": [4, 64], "data_offsets": [0, 1024]},
    "layer.0.lora_B.weight": {"dtype": "F16", "shape": [64, 4], "data_offsets": [1024, 1536]},
}
api = HfApi()


def _safetensors() -> bytes:
    head = json.dumps({"__metadata__": {"format": "pt"}, **TENSORS}).encode()
    return struct.pack("<Q", len(head)) + head + os.urandom(1536)


@step
def make(given: SimpleNamespace) -> str:
    api.create_repo(given.repo_id)
    files = {"text.txt": b"first line\nsecond line\n", "data/large.dat": LARGE, "model.safetensors": _safetensors(), "data/empty.txt": b""}
    for name, data in files.items():
        api.upload_file(repo_id=given.repo_id, path_in_repo=name, path_or_fileobj=data)
    api.create_branch(given.repo_id, branch="dev/x")
    api.upload_file(repo_id=given.repo_id, path_in_repo="text.txt", path_or_fileobj=b"on the branch", revision="dev/x")
    return api.model_info(given.repo_id).sha


@step
def file_system(given: SimpleNamespace) -> dict[str, Any]:
    fs, root = HfFileSystem(), given.repo_id
    with fs.open(f"{root}/data/large.dat", "rb", block_size=1 << 20) as file:
        file.seek(7_000_000)
        middle = file.read(1000) == LARGE[7_000_000:7_001_000]
        file.seek(-10, os.SEEK_END)
        tail = file.read() == LARGE[-10:]
    fs.get_file(f"{root}/data/large.dat", "large.dat")
    return {
        "ls": sorted(name.removeprefix(root + "/") for name in fs.ls(root, detail=False)),
        "glob": [name.removeprefix(root + "/") for name in fs.glob(f"{root}/**/*.txt")],
        "find": sorted(name.removeprefix(root + "/") for name in fs.find(root)),
        "text": fs.read_text(f"{root}/text.txt"),
        "branch": fs.read_text(f"{root}@dev%2Fx/text.txt"),
        "empty": fs.cat_file(f"{root}/data/empty.txt").decode(),
        "middle": middle,
        "tail": tail,
        "whole": open("large.dat", "rb").read() == LARGE,
        "size": fs.info(f"{root}/data/large.dat")["size"],
        "exists": [fs.exists(f"{root}/text.txt"), fs.exists(f"{root}/nowhere.txt"), fs.exists(f"{root}-nowhere/text.txt")],
        "isdir": [fs.isdir(f"{root}/data"), fs.isdir(f"{root}/text.txt")],
        "missing": refusal(lambda: fs.read_text(f"{root}/nowhere.txt")),
    }


@step
def write_through_the_file_system(given: SimpleNamespace) -> dict[str, Any]:
    fs = HfFileSystem()
    with fs.open(f"{given.repo_id}/written.txt", "w") as file:
        file.write("written by fsspec")
    text = fs.read_text(f"{given.repo_id}/written.txt")
    fs.rm(f"{given.repo_id}/written.txt")
    return {"text": text, "left": api.file_exists(given.repo_id, "written.txt")}


@step
def safetensors_metadata(given: SimpleNamespace) -> dict[str, Any]:
    found = get_safetensors_metadata(given.repo_id)
    tensors = found.files_metadata["model.safetensors"].tensors
    return {
        "sharded": found.sharded,
        "tensors": {name: [tensor.dtype, list(tensor.shape)] for name, tensor in tensors.items()},
        "parameters": dict(found.parameter_count),
    }


@step
def large_files(given: SimpleNamespace) -> dict[str, Any]:
    listed = {each.filename: each for each in api.list_lfs_files(given.repo_id)}
    large = listed["data/large.dat"]
    return {"names": sorted(listed), "size": large.size, "oid": len(large.file_oid), "date": large.pushed_at.isoformat()}


if __name__ == "__main__":
    play()

"""Push and pull: every way to hand bytes to the client, small and large, and whole folders.

Written in the dialect that every generation from 0.36 on understands. Input: ``repo_id``, ``files`` (how many the folder has).
"""

import io
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from _scenario import digests, play, refusal, sha256, step
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE

SIZES = {"small": 1_000, "large": 12_000_000}
ODD_NAMES = [
    "empty.txt",
    "ünïcode/日本語.txt",
    "odd/number#1.txt",
    "odd/what?.txt",
    "odd/100%.txt",
    "odd/100%25.txt",
    "odd/space and + and & and =.txt",
    "odd/[brackets] (and) 'quotes'.txt",
]
api = HfApi()


@step
def create(given: SimpleNamespace) -> dict[str, Any]:
    first = api.create_repo(given.repo_id)
    again = api.create_repo(given.repo_id, exist_ok=True)
    return {
        "url": str(first),
        "repo_id": first.repo_id,
        "again": str(again),
        "refusal": refusal(lambda: api.create_repo(given.repo_id)),
        "files": api.list_repo_files(given.repo_id),
    }


@step
def upload_files(given: SimpleNamespace) -> dict[str, str]:
    given.sent = {}
    for size, length in SIZES.items():
        for kind in ("bytes", "path", "stream"):
            name = f"{kind}/{size}.dat"
            source = Path(f"{kind}-{size}.dat")
            source.write_bytes(random.Random(f"{given.repo_id} {name}").randbytes(length))
            given.sent[name] = sha256(source)
            _upload(given.repo_id, kind, source, name)
    return dict(given.sent)


def _upload(repo_id: str, kind: str, source: Path, name: str) -> None:
    data: bytes | str | io.BufferedIOBase = source.read_bytes() if kind == "bytes" else str(source)
    if kind != "stream":
        api.upload_file(repo_id=repo_id, path_or_fileobj=data, path_in_repo=name)
        return
    with source.open("rb") as stream:
        api.upload_file(repo_id=repo_id, path_or_fileobj=stream, path_in_repo=name)


@step
def download_files(given: SimpleNamespace) -> dict[str, str]:
    return {name: sha256(hf_hub_download(given.repo_id, name)) for name in given.sent}


@step
def download_to_a_folder(given: SimpleNamespace) -> dict[str, str]:
    return {name: sha256(hf_hub_download(given.repo_id, name, local_dir="local")) for name in given.sent}


@step
def upload_the_same_again(given: SimpleNamespace) -> dict[str, int]:
    before = len(api.list_repo_commits(given.repo_id))
    for name in ("path/small.dat", "path/large.dat"):
        _upload(given.repo_id, "path", Path(name.replace("/", "-")), name)
    return {"before": before, "after": len(api.list_repo_commits(given.repo_id))}


@step
def upload_a_folder(given: SimpleNamespace) -> dict[str, Any]:
    given.folder = _folder(given.files, seed=given.repo_id)
    before = len(api.list_repo_commits(given.repo_id))
    done = api.upload_folder(repo_id=given.repo_id, folder_path=given.folder, path_in_repo="folder")
    given.head = api.model_info(given.repo_id).sha
    listed = [name for name in api.list_repo_files(given.repo_id) if name.startswith("folder/")]
    commits = len(api.list_repo_commits(given.repo_id)) - before
    return {"oid": done.oid, "head": given.head, "commits": commits, "listed": sorted(listed), "local": digests(given.folder)}


def _folder(count: int, seed: str) -> Path:
    folder = Path("folder")
    names = ODD_NAMES + [f"part-{i % 20}/deep/file-{i}.txt" for i in range(count - len(ODD_NAMES) - 1)]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name == "empty.txt" else f"this is {name}".encode())
    (folder / "weights.dat").write_bytes(random.Random(seed).randbytes(SIZES["large"]))
    return folder


@step
def upload_the_same_folder_again(given: SimpleNamespace) -> dict[str, Any]:
    before = len(api.list_repo_commits(given.repo_id))
    done = api.upload_folder(repo_id=given.repo_id, folder_path=given.folder, path_in_repo="folder")
    return {"oid": done.oid, "head": given.head, "commits": len(api.list_repo_commits(given.repo_id)) - before}


@step
def snapshot(given: SimpleNamespace) -> dict[str, Any]:
    cold = snapshot_download(given.repo_id, cache_dir="snapshots", allow_patterns="folder/*")
    blobs = Path(cold).parents[1] / "blobs"
    written = {blob.name: blob.stat().st_mtime_ns for blob in blobs.iterdir()}
    warm = snapshot_download(given.repo_id, cache_dir="snapshots", allow_patterns="folder/*")
    kept = {blob.name: blob.stat().st_mtime_ns for blob in blobs.iterdir()} == written
    return {"revision": Path(cold).name, "same_folder": cold == warm, "nothing_written": kept, "got": digests(Path(cold) / "folder")}


@step
def missing(given: SimpleNamespace) -> dict[str, Any]:
    nowhere = given.repo_id + "-nowhere"
    return {
        "file": refusal(lambda: hf_hub_download(given.repo_id, "not-there.txt")),
        "revision": refusal(lambda: hf_hub_download(given.repo_id, "empty.txt", revision="not-there")),
        "repo": refusal(lambda: hf_hub_download(nowhere, "config.json")),
        "remembered": [path.name for path in Path(HF_HUB_CACHE).rglob(".no_exist/*/not-there.txt")],
    }


if __name__ == "__main__":
    play()

"""One large file of random bytes, there and back. Input: ``repo_id``, ``size``."""

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from _scenario import play, sha256, step
from huggingface_hub import HfApi, hf_hub_download

BLOCK = 1 << 20
api = HfApi()


@step
def there_and_back(given: SimpleNamespace) -> dict[str, Any]:
    source = Path("large.dat")
    with source.open("wb") as file:
        for start in range(0, given.size, BLOCK):
            file.write(os.urandom(min(BLOCK, given.size - start)))
    api.create_repo(given.repo_id)
    start = time.monotonic()
    api.upload_file(repo_id=given.repo_id, path_or_fileobj=str(source), path_in_repo="large.dat")
    sent = time.monotonic()
    path = hf_hub_download(given.repo_id, "large.dat")
    got = time.monotonic()
    return {
        "sent": sha256(source),
        "got": sha256(path),
        "size": Path(path).stat().st_size,
        "upload_seconds": sent - start,
        "download_seconds": got - sent,
    }


if __name__ == "__main__":
    play()

"""A raw HTTP client for tests of the wire: what goes out is what the test says, what comes back is not interpreted."""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

import httpx2

from tests.support.server import Account, Hub


class Http(httpx2.Client):
    """Speaks to one hub, as one account or as nobody. Follows no redirect and reads no proxy from the environment."""

    def __init__(self, hub: Hub, account: Account | None = None, **options: Any) -> None:
        self.hub, self.account = hub, account
        headers = dict(account.auth) if account else {}
        super().__init__(base_url=hub.url, headers=headers, timeout=30, trust_env=False, **options)

    def signed_as(self, account: Account | None) -> "Http":
        """The same hub, for somebody else."""
        return Http(self.hub, account)

    def create_repo(self, repo_id: str, **fields: Any) -> httpx2.Response:
        """POST /api/repos/create, as huggingface_hub 2 sends it."""
        namespace, name = repo_id.split("/")
        return self.post("/api/repos/create", json={"name": name, "organization": namespace, **fields})

    def commit(self, repo_id: str, lines: Iterable[Mapping[str, Any]], revision: str = "main", **query: Any) -> httpx2.Response:
        """POST a commit of ready-made NDJSON lines (see ``header``, ``file``, ``lfs_file``, ``deleted_file``)."""
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        url = f"/api/models/{repo_id}/commit/{revision}"
        return self.post(url, content=body, params=query, headers={"Content-Type": "application/x-ndjson"})

    def commit_files(self, repo_id: str, files: Mapping[str, bytes], summary: str = "Add files", revision: str = "main") -> str:
        """Commit small files inline; returns the id of the commit. Fails the test when the hub refuses."""
        answer = self.commit(repo_id, [header(summary), *(file(path, data) for path, data in files.items())], revision)
        assert answer.is_success, answer.text
        return str(answer.json()["commitOid"])


def header(summary: str, description: str = "", **fields: Any) -> dict[str, Any]:
    """The first line of a commit; ``parentCommit`` is one of the fields."""
    return {"key": "header", "value": {"summary": summary, "description": description, **fields}}


def file(path: str, data: bytes) -> dict[str, Any]:
    """A file whose bytes travel in the commit."""
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}}


def lfs_file(path: str, sha256: str, size: int) -> dict[str, Any]:
    """A file whose bytes the hub holds already."""
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": sha256, "size": size}}


def deleted_file(path: str) -> dict[str, Any]:
    """A file to remove."""
    return {"key": "deletedFile", "value": {"path": path}}


def deleted_folder(path: str) -> dict[str, Any]:
    """A folder to remove; ``path`` ends with a slash."""
    return {"key": "deletedFolder", "value": {"path": path}}

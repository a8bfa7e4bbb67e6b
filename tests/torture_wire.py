"""The wire as a client that records what was promised: create, LFS upload, commit, history and files, over raw HTTP.

Used by the torture test and by the benchmarks. One ``Wire`` is one keep-alive connection and belongs to one thread.
Formats: docs/WIRE.md.
"""

import base64
import hashlib
import http.client
import json
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

Files = Mapping[str, bytes]

IDLE_SECONDS = 2.0  # a server may close an idle connection just as the next request goes out


class Disconnected(Exception):
    """The connection broke before the answer was complete: whether the request took effect is unknown."""


class Refused(Exception):
    """An answer with a status that was not asked for."""

    def __init__(self, status: int, what: str, retry_after: str | None = None) -> None:
        super().__init__(f"{status} to {what}")
        self.status = status
        self.retry_after = float(retry_after or 1)


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Wire:
    """One connection to a hub.

    Args:
        url: the address of the hub, ``http://host:port``.
        token: a write token.
        timeout: seconds after which a silent server counts as gone.
    """

    def __init__(self, url: str, token: str, timeout: float = 60) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        self._used = time.monotonic()
        self._authorization = {"authorization": f"Bearer {token}"}

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        self._connection.close()

    def call(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        accept: Sequence[int] = (200,),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request and its whole answer.

        Raises:
            Disconnected: no complete answer came.
            Refused: an answer came, its status not in ``accept``.
        """
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._connection.close()
        try:
            self._connection.request(method, target, body, {**self._authorization, **(headers or {})})
            response = self._connection.getresponse()
            answer = Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Disconnected(f"{method} {target}: {error!r}") from error
        self._used = time.monotonic()
        if answer.status not in accept:
            raise Refused(answer.status, f"{method} {target}: {answer.body[:300]!r}", answer.headers.get("retry-after"))
        return answer

    def post(self, target: str, payload: Any, *, accept: Sequence[int] = (200,)) -> Answer:
        """POST of JSON."""
        return self.call("POST", target, json.dumps(payload).encode(), accept=accept, headers={"content-type": "application/json"})

    def create(self, owner: str, name: str) -> str:
        """Make a model repository unless it is there; returns its id ``owner/name``."""
        self.post("/api/repos/create", {"name": name, "organization": owner}, accept=(200, 409))
        return f"{owner}/{name}"

    def offer(self, repo: str, objects: Mapping[str, int]) -> list[dict[str, Any]]:
        """LFS batch for an upload of ``objects`` (sha256 to size); the answer's objects, with or without ``actions``."""
        wanted = [{"oid": oid, "size": size} for oid, size in objects.items()]
        offered: list[dict[str, Any]] = self.post(
            f"/{repo}.git/info/lfs/objects/batch",
            {"operation": "upload", "transfers": ["basic"], "objects": wanted, "hash_algo": "sha256", "ref": {"name": "main"}},
        ).json()["objects"]
        return offered

    def upload(self, repo: str, contents: Sequence[bytes]) -> None:
        """Bring ``contents`` to the store by LFS: batch, PUT and verify."""
        by_oid = {sha256(content): content for content in contents}
        for offered in self.offer(repo, {oid: len(content) for oid, content in by_oid.items()}):
            actions = offered.get("actions", {})
            if "upload" in actions:
                self.call("PUT", path_of(actions["upload"]["href"]), by_oid[offered["oid"]], accept=(200, 201, 204))
            if "verify" in actions:
                self.post(path_of(actions["verify"]["href"]), {"oid": offered["oid"], "size": offered["size"]})

    def commit(self, repo: str, title: str, *, inline: Files, weights: Files | None = None, branch: str = "main") -> str:
        """Commit files, those of ``weights`` by their uploaded sha256; returns the commit id."""
        body = commit_body(title, inline=inline, weights=weights or {})
        target = f"/api/models/{repo}/commit/{quote(branch, safe='')}"
        answer = self.call("POST", target, body, headers={"content-type": "application/x-ndjson"})
        return str(answer.json()["commitOid"])

    def file(self, repo: str, revision: str, path: str) -> bytes:
        """The bytes of a file at a revision."""
        return self.call("GET", f"/{repo}/resolve/{quote(revision, safe='')}/{quote(path)}").body

    def history(self, repo: str, branch: str = "main") -> Iterator[tuple[str, str]]:
        """Id and title of every commit of a branch, the newest first."""
        target: str | None = f"/api/models/{repo}/commits/{quote(branch, safe='')}?limit=100"
        while target:
            answer = self.call("GET", target)
            yield from ((item["id"], item["title"]) for item in answer.json())
            target = next_page(answer.headers.get("link", ""))


def commit_body(title: str, *, inline: Files, weights: Files) -> bytes:
    """The NDJSON of a commit."""
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": title, "description": ""}}]
    lines += [{"key": "file", "value": _inlined(path, content)} for path, content in inline.items()]
    lines += [{"key": "lfsFile", "value": _pointer(path, content)} for path, content in weights.items()]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _inlined(path: str, content: bytes) -> dict[str, Any]:
    return {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}


def _pointer(path: str, content: bytes) -> dict[str, Any]:
    return {"path": path, "algo": "sha256", "oid": sha256(content), "size": len(content)}


def next_page(link: str) -> str | None:
    """The path and query of ``<url>; rel="next"`` in a Link header."""
    url, _, relation = link.partition(";")
    return path_of(url.strip("<> ")) if 'rel="next"' in relation else None


def path_of(url: str) -> str:
    """Path and query of a URL: the tests reach the hub by the address they know, whatever it calls itself."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def sha256(content: bytes) -> str:
    """The sha256 in hex."""
    return hashlib.sha256(content).hexdigest()


def safetensors(data: bytes) -> bytes:
    """A valid safetensors file of one LoRA-like tensor whose bytes are ``data`` (cut to whole float32).

    Format: length of the header as a little-endian u64, the header in JSON, the tensors' bytes.
    """
    count = len(data) // 4
    name = "base_model.model.encoder.layer.0.attention.self.query.lora_A.weight"
    header = json.dumps({name: {"dtype": "F32", "shape": [count, 1], "data_offsets": [0, 4 * count]}}).encode()
    return struct.pack("<Q", len(header)) + header + data[: 4 * count]

"""Uploads through the LFS door by raw HTTP: batch, PUT, verify; and uploads that stop half-way."""

import hashlib
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from hub.blobs import blob_key
from tests.support.http import Http
from tests.support.server import Hub


def sha256(data: bytes) -> str:
    """The sha256 in hex."""
    return hashlib.sha256(data).hexdigest()


def batch(http: Http, repo_id: str, operation: str, objects: Mapping[str, int]) -> httpx2.Response:
    """POST .../objects/batch for objects (sha256 to size)."""
    listed = [{"oid": oid, "size": size} for oid, size in objects.items()]
    body = {"operation": operation, "transfers": ["basic", "multipart"], "objects": listed, "hash_algo": "sha256"}
    return http.post(f"/{repo_id}.git/info/lfs/objects/batch", json=body, headers={"Accept": "application/vnd.git-lfs+json"})


def answers(http: Http, repo_id: str, operation: str, objects: Mapping[str, int]) -> list[dict[str, Any]]:
    """The objects of a batch that must succeed as a whole."""
    answer = batch(http, repo_id, operation, objects)
    assert answer.status_code == 200, answer.text
    listed: list[dict[str, Any]] = answer.json()["objects"]
    return listed


def href(http: Http, repo_id: str, data: bytes) -> str:
    """Where to PUT ``data``."""
    (answer,) = answers(http, repo_id, "upload", {sha256(data): len(data)})
    return str(answer["actions"]["upload"]["href"])


def put(http: Http, address: str, data: bytes | Iterable[bytes]) -> httpx2.Response:
    """PUT without Authorization, as clients do."""
    with httpx2.Client(timeout=30, trust_env=False) as anonymous:
        return anonymous.put(address, content=data)


def upload(http: Http, repo_id: str, data: bytes) -> str:
    """Bring bytes to the hub by LFS unless they are there; returns their sha256."""
    (answer,) = answers(http, repo_id, "upload", {sha256(data): len(data)})
    if "actions" in answer:
        done = put(http, answer["actions"]["upload"]["href"], data)
        assert done.status_code == 200, done.text
    return sha256(data)


def stop_half_way(address: str, announced: int, sent: bytes) -> socket.socket:
    """Begin a PUT of ``announced`` bytes, send only ``sent`` of them, and return the open connection."""
    parts = urlsplit(address)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
    head = f"PUT {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {announced}\r\n\r\n"
    connection.sendall(head.encode() + sent)
    return connection


def staged(hub: Hub) -> list[Path]:
    """What lies in staging."""
    return list((hub.data_dir / "store" / "staging").iterdir())


def stored(hub: Hub, digest: str) -> Path:
    """The file of a blob in the store."""
    return hub.data_dir / "store" / blob_key(digest)

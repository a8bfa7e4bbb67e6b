"""A hub that costs nothing: it answers huggingface_hub from a dict and leaves the bytes of weights to nginx.

What the real client reaches against it is the ceiling that the client itself sets on this machine. It checks nothing, keeps
nothing and knows no rights. Set ``NULL_HUB_URL`` and ``NULL_HUB_STORE`` (an nginx that takes PUT) and run it with uvicorn.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Headers = dict[str, str]
Reply = tuple[int, Headers, bytes]

URL = os.environ.get("NULL_HUB_URL", "")
STORE = os.environ.get("NULL_HUB_STORE", "")
COMMIT = "a" * 40
GIT_ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.bin filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True)
class Entry:
    """A file: its git id or, for weights, its sha256; text with its bytes."""

    oid: str
    size: int
    text: bytes | None = None

    def listed(self, path: str) -> dict[str, Any]:
        """The file as an item of a tree."""
        lfs = {} if self.text is not None else {"lfs": {"oid": self.oid, "size": self.size, "pointerSize": 130}}
        return {"type": "file", "path": path, "size": self.size, "oid": self.oid[:40], **lfs}


REPOS: dict[str, dict[str, Entry]] = {}


def text(content: bytes) -> Entry:
    """A text file under the id that git gives it."""
    return Entry(hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(), len(content), content)


def answer(payload: Any) -> Reply:
    """A 200 of JSON."""
    return 200, {"content-type": "application/json"}, json.dumps(payload).encode()


def create(body: bytes) -> Reply:
    """POST /api/repos/create"""
    asked = json.loads(body)
    repo = f"{asked['organization']}/{asked['name']}"
    REPOS.setdefault(repo, {".gitattributes": text(GIT_ATTRIBUTES)})
    return answer({"url": f"{URL}/{repo}", "name": repo, "id": repo})


def validate(_body: bytes) -> Reply:
    """POST /api/validate-yaml"""
    return answer({"errors": [], "warnings": []})


def preupload(_repo: str, body: bytes) -> Reply:
    """Weights by LFS, the rest in the commit."""
    files = json.loads(body)["files"]
    modes = {file["path"]: "lfs" if file["path"].endswith(".safetensors") else "regular" for file in files}
    return answer({"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None} for path, mode in modes.items()]})


def commit(repo: str, body: bytes) -> Reply:
    """Take the lines of a commit as they are."""
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        if line["key"] == "file":
            REPOS[repo][value["path"]] = text(base64.b64decode(value["content"]))
        elif line["key"] == "lfsFile":
            REPOS[repo][value["path"]] = Entry(value["oid"], value["size"])
    return answer({"success": True, "commitUrl": f"{URL}/{repo}/commit/{COMMIT}", "commitOid": COMMIT})


def revision(repo: str, _body: bytes) -> Reply:
    """The info of a model at a revision."""
    siblings = [{"rfilename": path} for path in REPOS[repo]]
    return answer({"id": repo, "modelId": repo, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings})


def tree(repo: str, _body: bytes) -> Reply:
    """The whole tree."""
    return answer([entry.listed(path) for path, entry in REPOS[repo].items()])


def batch(_repo: str, body: bytes) -> Reply:
    """An LFS batch: every object goes to the store."""
    objects = json.loads(body)["objects"]
    offers = [{**one, "authenticated": True, "actions": {"upload": {"href": f"{STORE}/{one['oid']}"}}} for one in objects]
    return answer({"transfer": "basic", "objects": offers})


def resolve(repo: str, path: str) -> Reply:
    """A file: text at once, weights by a redirect to the store."""
    entry = REPOS[repo].get(path)
    if entry is None:
        return 404, {"x-error-code": "EntryNotFound", "x-repo-commit": COMMIT}, b""
    headers = {"etag": f'"{entry.oid}"', "x-repo-commit": COMMIT}
    if entry.text is not None:
        return 200, {**headers, "content-type": "text/plain"}, entry.text
    linked = {"x-linked-etag": f'"{entry.oid}"', "x-linked-size": str(entry.size)}
    return 302, {**headers, **linked, "location": f"{STORE}/{entry.oid}"}, b""


API: dict[str, Callable[[bytes], Reply]] = {"/api/repos/create": create, "/api/validate-yaml": validate}
VERBS: dict[str, Callable[[str, bytes], Reply]] = {"preupload": preupload, "commit": commit, "revision": revision, "tree": tree}
MODEL = re.compile(r"/api/models/([^/]+/[^/]+)/(preupload|commit|revision|tree)/")
BATCH = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")
RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)")


def route(path: str, body: bytes) -> Reply:
    """The answer to a request."""
    if path in API:
        return API[path](body)
    if found := MODEL.match(path):
        return VERBS[found[2]](found[1], body)
    if found := BATCH.match(path):
        return batch(found[1], body)
    if found := RESOLVE.match(path):
        return resolve(found[1], found[2])
    return 404, {}, b""


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        return await _live(receive, send)
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    status, headers, content = route(scope["path"], body)
    sent = [(name.encode(), value.encode()) for name, value in {**headers, "content-length": str(len(content))}.items()]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    return await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})


async def _live(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

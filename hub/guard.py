"""What every request passes before a handler sees it: clean paths, bounded bodies, a request id, and the meters.

Paths are taken from ``raw_path``: clients send ``refs%2Fpr%2F1`` or ``dev%2Fx`` as one segment, and the server's decoded
path has lost the difference. Here each segment is decoded once, and a slash inside a segment becomes MARK, a control
character that no name may hold; ``unmark`` turns it back.
"""

import re
import secrets
import time
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.errors import AddressTooLong, BadRequest, HeadersTooLarge, TooLarge
from hub.metrics import Metrics
from hub.settings import MIB, Settings

MARK = "\x1f"
MAX_PATH_BYTES, MAX_HEADER_BYTES, MAX_HEADERS_BYTES = 8 << 10, 8 << 10, 32 << 10
YAML_BODY = 2 * MIB
XORB_BODY = 66 * MIB
CLIENT_WENT_AWAY = 499
_BAD = re.compile(r"[\x00-\x1f\x7f\ufffd]")
_REVISION = r"(?:resolve|raw|tree|revision|commits|preupload|commit|paths-info|xet-write-token|super-squash)"
_BARE_REF = re.compile(rf"((?:/api/models)?/[^/]+/[^/]+/{_REVISION})/(refs)/(pr|heads|tags|convert)/([^/]+)(.*)")
_COMMIT = re.compile(r"/api/models/[^/]+/[^/]+/commit/[^/]+")

log = structlog.get_logger()


def unmark(segment: str) -> str:
    """A path parameter with the slashes that were sent as %2F."""
    return segment.replace(MARK, "/")


def clean_path(raw: bytes) -> str:
    """The path to route by. Raises BadRequest for bytes that are no path."""
    if len(raw) > MAX_PATH_BYTES:
        raise AddressTooLong(f"The address is longer than {MAX_PATH_BYTES} bytes.")
    try:
        segments = [unquote(segment, errors="strict") for segment in raw.decode("ascii").split("/")]
    except UnicodeDecodeError as error:
        raise BadRequest("The address is not percent-encoded UTF-8.") from error
    if any(map(_BAD.search, segments)):
        raise BadRequest("The address holds control characters.")
    path = "/".join(segment.replace("/", MARK) for segment in segments)
    return _join_bare_ref(path) if "/refs/" in path else path


def _join_bare_ref(path: str) -> str:
    match = _BARE_REF.fullmatch(path)
    if match is None:
        return path
    start, *ref, rest = match.groups()
    return f"{start}/{MARK.join(ref)}{rest}"


class Guard:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, dress: Callable[[Scope, Exception], ASGIApp]) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._dress = dress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            scope["path"] = clean_path(scope["raw_path"])
            exchange.check(self._body_limit(scope))
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = CLIENT_WENT_AWAY
        except Exception as error:
            if exchange.answering:
                raise
            refusal, exchange.refusal = exchange.refusal, None
            await self._dress(scope, refusal or error)(scope, exchange.receive, exchange.send)
        finally:
            self._record(scope, exchange)

    def _body_limit(self, scope: Scope) -> int:
        path, method = scope["path"], scope["method"]
        if method == "PUT" and path.startswith("/api/lfs/"):
            return self._settings.max_lfs_bytes
        if path.startswith("/cas/"):
            return XORB_BODY
        if method == "POST" and _COMMIT.fullmatch(path):
            return self._settings.max_commit_bytes
        if path == "/api/validate-yaml":
            return YAML_BODY
        return self._settings.max_json_bytes

    def _record(self, scope: Scope, exchange: "_Exchange") -> None:
        seconds = time.perf_counter() - exchange.started
        route = getattr(scope.get("route"), "path", "unknown")
        self._metrics.request(
            scope["method"], route, exchange.status, seconds=seconds, bytes_in=exchange.bytes_in, bytes_out=exchange.bytes_out
        )
        if self._settings.access_log:
            fields = {"method": scope["method"], "route": route, "status": exchange.status, "ms": round(seconds * 1000, 1)}
            log.info("request", **fields, bytes_in=exchange.bytes_in, bytes_out=exchange.bytes_out, request_id=exchange.request_id)


class _Exchange:
    """One request and its answer: counts, the limit of the body, the headers that every answer has."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send, self._scope = receive, send, scope
        self._limit = 0
        self.refusal: TooLarge | None = None
        self.started = time.perf_counter()
        self.bytes_in = self.bytes_out = 0
        self.status = 500
        self.answering = False
        self.request_id = scope.setdefault("state", {})["request_id"] = secrets.token_hex(8)

    def check(self, limit: int) -> None:
        """Refuse what the head of a request shows already: too many headers, a body over ``limit`` bytes, NUL in the query."""
        self._limit = limit
        headers = self._scope["headers"]
        if len(self._scope["raw_path"]) + len(self._scope["query_string"]) > MAX_PATH_BYTES:
            raise AddressTooLong(f"The address is longer than {MAX_PATH_BYTES} bytes.")
        if b"%00" in self._scope["query_string"]:
            raise BadRequest("The query holds a NUL character.")
        sizes = [len(name) + len(value) for name, value in headers]
        if sum(sizes) > MAX_HEADERS_BYTES or max(sizes, default=0) > MAX_HEADER_BYTES:
            raise HeadersTooLarge(f"The headers are larger than {MAX_HEADERS_BYTES} bytes, or one is larger than {MAX_HEADER_BYTES}.")
        for name, value in headers:
            if name == b"content-length" and value.isdigit() and int(value) > self._limit:
                raise self._too_large()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The request's body is larger than {self._limit} bytes, which is as much as this address takes.")

    async def receive(self) -> Message:
        """The next message of the body, counted."""
        message = await self._receive()
        self.bytes_in += len(message.get("body", b""))
        if self.bytes_in > self._limit:
            self.refusal = self._too_large()
            raise self.refusal
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """The next message of the answer, counted; the first one gets our headers."""
        if message["type"] == "http.response.start":
            if self.refusal is not None:
                # FastAPI takes any error while it reads a body for a malformed one: the guard answers in its place.
                raise self.refusal
            self.status, self.answering = message["status"], True
            message["headers"] = [*message["headers"], (b"x-request-id", self.request_id.encode()), (b"x-content-type-options", b"nosniff")]
        else:
            self.bytes_out += len(message.get("body", b""))
        await self._send(message)

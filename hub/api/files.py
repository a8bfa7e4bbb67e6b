"""Bytes out: ``resolve`` and ``raw``, and what is where: tree and paths-info."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, BinaryIO
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from hub import models, revisions
from hub.access import Action, Commitish, Place
from hub.api import wire
from hub.blobs import blob_key
from hub.deps import Hub, SeenRepo, locate, services, viewer
from hub.errors import BadRequest, BytesLost, EntryNotFound, RangeNotSatisfiable, RepoNotFound
from hub.git import Entry, lfs_pointer
from hub.guard import unmark
from hub.revisions import Tree
from hub.services import Services
from hub.texts import TEXT_ROW_BYTES

router = APIRouter()
MODEL = "/api/models/{ns}/{name}"
TREE_PAGE, TREE_PAGE_EXPANDED = 1_000, 50
PIECE = 1 << 20
LARGE_TREE = 2_000
MOST_PATHS = 1_000
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
SANDBOX = "default-src 'none'; sandbox"
TEXT_SUFFIXES = {"md", "txt", "json", "yaml", "yml", "py", "cfg", "toml", "csv", "jinja", "gitattributes", "gitignore"}


# --- resolve and raw -----------------------------------------------------------------------------------------------


async def resolve(request: Request) -> Response:
    """The bytes of a file at a revision; GET counts as a download, HEAD tells the same without bytes."""
    hub = services(request)
    place = await locate(request, Action.READ)
    commit = place.at_revision()
    tree = await tree_at(hub, commit)
    path = unmark(request.path_params["path"])
    entry = revisions.file_at(tree, path, commit)
    headers = _file_headers(place, commit, path, entry, pinned=place.ref is None)
    if _known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if request.method == "GET" and "range" not in request.headers:
        hub.tally.downloaded(place.repo_id)
    url = hub.store.redirect_url(blob_key(entry.sha256), filename=path.rsplit("/", 1)[-1], private=place.private) if entry.lfs else None
    if url is not None:
        return RedirectResponse(url, 302, headers | {"Cache-Control": "no-store"})
    return await send_blob(hub, request, entry.sha256, entry.size, headers)


@router.get("/api/models/{name}")
@router.get("/api/models/{name}/revision/{rev}")
@router.get("/api/models/{name}/tree/{rev}")
@router.get("/api/models/{name}/tree/{rev}/{path:path}")
async def single_segment(request: Request) -> Response:
    """An id without a namespace, such as ``gpt2``: only other hubs have such repositories."""
    raise RepoNotFound(anonymous=(await viewer(request)).anonymous)


def _known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has the file already, by the validators it sends."""
    return if_none_match is not None and etag in {given.strip().removeprefix("W/") for given in if_none_match.split(",")}


async def raw(request: Request) -> Response:
    """A file as git keeps it: of an LFS file, the pointer."""
    hub = services(request)
    place = await locate(request, Action.READ)
    commit = place.at_revision()
    path = unmark(request.path_params["path"])
    entry = revisions.file_at(await tree_at(hub, commit), path, commit)
    headers = _file_headers(place, commit, path, entry, pinned=place.ref is None)
    if not entry.lfs:
        return await send_blob(hub, request, entry.sha256, entry.size, headers | {"Content-Type": "text/plain; charset=utf-8"})
    return _part(
        lfs_pointer(entry.sha256, entry.size), request, headers | {"ETag": f'"{entry.oid}"', "Content-Type": "text/plain; charset=utf-8"}
    )


async def tree_at(hub: Services, commit: Commitish) -> Tree:
    """The tree of a commit, from memory where it is there."""
    cached = hub.manifests.cached(commit.manifest_id)
    return cached if cached is not None else await asyncio.to_thread(_load_tree, hub, commit)


def _load_tree(hub: Services, commit: Commitish) -> Tree:
    """In a thread: a tree may have 100,000 files, and its folders are hashed the first time."""
    with hub.database.read() as session:
        tree = hub.manifests.load(session, commit.manifest_id)
    if len(tree.entries) > LARGE_TREE:
        tree.folders  # noqa: B018 - computed here, kept for the event loop
    return tree


def _file_headers(place: Place, commit: Commitish, path: str, entry: Entry, *, pinned: bool) -> dict[str, str]:
    etag = f'"{entry.sha256 if entry.lfs else entry.oid}"'
    headers = {
        "ETag": etag,
        "X-Repo-Commit": commit.oid,
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition(path.rsplit("/", 1)[-1]),
        "Content-Security-Policy": SANDBOX,
        "Content-Type": _media_type(path, entry),
        "Cache-Control": _cache_control(place, pinned=pinned),
    }
    if entry.lfs:
        headers |= {"X-Linked-ETag": etag, "X-Linked-Size": str(entry.size)}
    return headers


def _cache_control(place: Place, *, pinned: bool) -> str:
    if place.private or place.gated:
        return "private, no-cache"
    return "public, max-age=31536000, immutable" if pinned else "no-cache"


def _media_type(path: str, entry: Entry) -> str:
    readable = not entry.lfs and path.rsplit(".", 1)[-1].lower() in TEXT_SUFFIXES
    return "text/plain; charset=utf-8" if readable else "application/octet-stream"


def disposition(filename: str) -> str:
    """A Content-Disposition that makes browsers save a file under its own name, whatever characters it has."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", filename)
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}; filename=\"{plain}\""


async def send_blob(hub: Services, request: Request, sha256: str, size: int, headers: Mapping[str, str]) -> Response:
    """The bytes of a blob that the caller has reached through a repository, or the part that a Range header asks for."""
    start, end = _range(_asked_range(request, headers), size)
    if request.method == "HEAD":
        return _without_body(start, end, size, headers)
    text = await _text(hub, sha256) if size <= TEXT_ROW_BYTES else None
    if text is not None:
        return _part(text, request, headers)
    file = await asyncio.to_thread(_open, hub, sha256, start)
    return _FileResponse(file, start, end, size, headers)


async def _text(hub: Services, sha256: str) -> bytes | None:
    """The bytes of a small file that the database holds."""
    cached = hub.texts.cached(sha256)
    return cached if cached is not None else await hub.hot.run(lambda session: hub.texts.row(session, sha256))


def _without_body(start: int, end: int, size: int, headers: Mapping[str, str]) -> Response:
    response = Response(None, 200 if (start, end) == (0, size) else 206, _with_range(headers, start, end, size))
    response.headers["content-length"] = str(end - start)
    return response


def _with_range(headers: Mapping[str, str], start: int, end: int, size: int) -> dict[str, str]:
    whole = (start, end) == (0, size)
    return dict(headers) if whole else {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}


def _open(hub: Services, sha256: str, start: int) -> BinaryIO:
    try:
        file = hub.store.open(blob_key(sha256))
    except FileNotFoundError:
        raise BytesLost() from None
    file.seek(start)
    return file


def _part(content: bytes, request: Request, headers: Mapping[str, str]) -> Response:
    start, end = _range(_asked_range(request, headers), len(content))
    whole = (start, end) == (0, len(content))
    return Response(content[start:end], 200 if whole else 206, _with_range(headers, start, end, len(content)))


def _asked_range(request: Request, headers: Mapping[str, str]) -> str | None:
    """The Range header, unless the client wants the part only of a file that is another by now (If-Range)."""
    validator = request.headers.get("if-range")
    return request.headers.get("range") if validator in {None, headers["ETag"]} else None


def _range(header: str | None, size: int) -> tuple[int, int]:
    """The part [start, end) that a Range header asks for; several ranges or none mean the whole. Raises RangeNotSatisfiable."""
    match = _RANGE.fullmatch(header) if header else None
    if match is None or match.groups() == ("", ""):
        return 0, size
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if last and first and int(last) < int(first):
        return 0, size
    if start >= size:
        raise RangeNotSatisfiable(size)
    return start, end


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _FileResponse(Response):
    """A part of a stored file, sent in pieces of 1 MiB; the file is closed at the end, come what may."""

    def __init__(self, file: BinaryIO, start: int, end: int, size: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, 200 if (start, end) == (0, size) else 206, _with_range(headers, start, end, size))
        self.headers["content-length"] = str(end - start)
        self._file, self._left = file, end - start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send headers, then the bytes, for as long as somebody takes them."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with aclosing(self._pieces()) as pieces:
                async for piece in pieces:
                    if gone.done():
                        return
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            self._file.close()

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes; one piece is read while the one before it is sent."""
        reading = self._read()
        try:
            while self._left > 0:
                piece = await reading
                if not piece:
                    raise OSError("a stored file is shorter than its row says; the connection is cut so that nobody takes it for whole")
                self._left -= len(piece)
                reading = self._read()
                yield piece
        finally:
            await reading

    def _read(self) -> asyncio.Future[bytes]:
        return asyncio.ensure_future(asyncio.to_thread(self._file.read, min(PIECE, self._left)))


# --- tree and paths-info -------------------------------------------------------------------------------------------


@router.get(MODEL + "/tree/{rev}")
@router.get(MODEL + "/tree/{rev}/{path:path}")
async def tree(
    *,
    request: Request,
    hub: Hub,
    path: str = "",
    recursive: str = "",
    expand: str = "",
    cursor: str = "",
    limit: Annotated[int | None, Query(ge=1)] = None,
) -> JSONResponse:
    """The files and folders of a revision, or of a folder in it."""
    place = await locate(request, Action.SEE)
    commit = place.at_revision()
    listing = await tree_at(hub, commit)
    expanded = _true(expand)
    most = TREE_PAGE_EXPANDED if expanded else TREE_PAGE
    paths = _below(listing, unmark(path).strip("/"), commit, recursive=_true(recursive))
    page, rest = _page(paths, cursor, min(limit or most, most))
    last = await _last_commits(hub, commit, page) if expanded else {}
    headers = dict(wire.commit_headers(commit))
    if rest:
        address = f"{hub.settings.url}{request.scope['raw_path'].decode()}"
        given = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
        headers |= wire.next_link(f"{address}?{urlencode([*given, ('cursor', page[-1])])}")
    return JSONResponse([wire.tree_item(item, listing, last.get(item), expand=expanded) for item in page], headers=headers)


def _true(value: str) -> bool:
    return value.lower() in {"true", "1"}


def _below(listing: Tree, folder: str, commit: Commitish, *, recursive: bool) -> list[str]:
    try:
        return listing.below(folder, recursive=recursive)
    except KeyError:
        raise EntryNotFound(f"There is no folder {folder!r} at revision {commit.oid}.", commit=commit.oid) from None


def _page(paths: list[str], after: str, size: int) -> tuple[list[str], bool]:
    rest = [path for path in paths if path > after] if after else paths
    return rest[:size], len(rest) > size


async def _last_commits(hub: Services, commit: Commitish, paths: list[str]) -> Mapping[str, models.Commit]:
    def read() -> Mapping[str, models.Commit]:
        with hub.database.read() as session:
            return revisions.last_commits(session, commit, paths)

    return await asyncio.to_thread(read)


@router.post(MODEL + "/paths-info/{rev}")
async def paths_info(request: Request, hub: Hub, place: SeenRepo) -> JSONResponse:
    """The files and folders of the given names; names that are not there are left out. Form-encoded and JSON bodies."""
    commit = place.at_revision()
    wanted, expanded = await _wanted(request)
    if len(wanted) > MOST_PATHS:
        raise BadRequest(f"More than {MOST_PATHS} paths are asked for at once. Ask in parts.")
    listing = await tree_at(hub, commit)
    present = [path for path in wanted if path in listing.entries or (path and path in listing.folders)]
    last = await _last_commits(hub, commit, present) if expanded else {}
    items = [wire.tree_item(path, listing, last.get(path), expand=expanded) for path in present]
    return JSONResponse(items, headers=dict(wire.commit_headers(commit)))


async def _json(request: Request) -> object:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON.") from error


async def _wanted(request: Request) -> tuple[list[str], bool]:
    if request.headers.get("content-type", "").startswith("application/json"):
        body = await _json(request)
        if not isinstance(body, dict) or not isinstance(body.get("paths", []), list):
            raise BadRequest('The body must be an object with a list: {"paths": ["a.txt"]}.')
        return [str(path).strip("/") for path in body.get("paths", [])], bool(body.get("expand"))
    form = await request.form(max_fields=MOST_PATHS + 10)
    return [str(path).strip("/") for path in form.getlist("paths")], _true(str(form.get("expand", "")))

"""Git LFS: the batch, the PUT that its addresses lead to, and verify.

The addresses are capabilities: signed, for one object of one user in one repository, until they expire. They need no
Authorization, because the clients send none there; whether the user may still write is read again when the bytes are in.
Used twice, an address changes nothing.
"""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from hub import uploads
from hub.access import Action, Place
from hub.api import wire
from hub.api.files import SANDBOX, disposition, send_blob
from hub.blobs import Staged
from hub.deps import Hub, locate, services
from hub.errors import BadRequest, Busy, EntryNotFound, NotFound, Unprocessable
from hub.services import Services
from hub.uploads import Sender

router = APIRouter()
PURPOSE = "lfs-put"
PIECE = 256 << 10
MEDIA_TYPE = "application/vnd.git-lfs+json"


@router.post("/{ns}/{name}.git/info/lfs/objects/batch")
async def batch(body: wire.LfsBatchBody, request: Request, hub: Hub) -> JSONResponse:
    """Where to put, or where to get, each of some objects."""
    if body.hash_algo not in {"sha256", "sha_256"}:
        raise BadRequest(f"This hub knows objects by sha256 only, not by {body.hash_algo}.")
    if body.operation == "upload":
        place = await locate(request, Action.WRITE)
        objects = await asyncio.to_thread(_upload_answers, hub, place, body.objects)
    elif body.operation == "download":
        place = await locate(request, Action.READ)
        objects = await asyncio.to_thread(_download_answers, hub, place, body.objects)
    else:
        raise BadRequest(f"An LFS batch is for upload or download, not for {body.operation!r}.")
    return JSONResponse({"transfer": "basic", "objects": objects}, media_type=MEDIA_TYPE)


def _upload_answers(hub: Services, place: Place, objects: list[wire.LfsObject]) -> list[wire.JSON]:
    with hub.database.read() as session:
        present = uploads.whole_blobs(session, hub.store, place, [item.oid for item in objects])
    sender = Sender.of(place)
    return [_upload_answer(hub, place, sender, item, present.get(item.oid)) for item in objects]


def _upload_answer(hub: Services, place: Place, sender: Sender, item: wire.LfsObject, present: int | None) -> wire.JSON:
    answer: wire.JSON = {"oid": item.oid, "size": item.size}
    if present == item.size:
        return answer
    limit, base = hub.settings.max_lfs_bytes, hub.settings.url
    if item.size > limit:
        return answer | {"error": {"code": 413, "message": f"The file has {item.size} bytes; this hub takes {limit} (HUB_MAX_LFS_BYTES)."}}
    claims = {**sender.claims(), "oid": item.oid, "size": item.size}
    seconds = int(hub.settings.upload_ttl)
    put = {"href": f"{base}/api/lfs/{hub.signer.sign(PURPOSE, claims, seconds=seconds)}", "expires_in": seconds}
    # No verify: the PUT answers only when the bytes are hashed and kept, so there is nothing left to ask.
    return answer | {"authenticated": True, "actions": {"upload": put}}


def _download_answers(hub: Services, place: Place, objects: list[wire.LfsObject]) -> list[wire.JSON]:
    with hub.database.read() as session:
        held = uploads.held_blobs(session, place.repo_id, [item.oid for item in objects])
    return [_download_answer(hub, place, item, held) for item in objects]


def _download_answer(hub: Services, place: Place, item: wire.LfsObject, held: dict[str, int]) -> wire.JSON:
    answer: wire.JSON = {"oid": item.oid, "size": held.get(item.oid, item.size)}
    if item.oid not in held:
        return answer | {"error": {"code": 404, "message": f"{place.full_name} holds no object {item.oid}."}}
    return answer | {
        "authenticated": True,
        "actions": {"download": {"href": f"{hub.settings.url}/{place.full_name}.git/info/lfs/objects/{item.oid}"}},
    }


@router.get("/{ns}/{name}.git/info/refs")
@router.get("/{ns}/{name}/info/refs")
def no_git() -> Response:
    """What git asks first; histories are git's own, but this hub does not speak git yet."""
    raise NotFound("This hub does not serve git yet. Use `hf download` instead.")


@router.put("/api/lfs/{capability}")
async def put(capability: str, request: Request, hub: Hub) -> Response:
    """Take the bytes of one object, hash them on the way, keep them if they are what was announced."""
    claims = hub.signer.read(PURPOSE, capability)
    sender = Sender.read(claims)
    await asyncio.to_thread(_check_sender, hub, sender)
    with arriving(request), await asyncio.to_thread(hub.store.stage) as staged:
        await take(request, staged, most=int(claims["size"]))
        claims = hub.signer.read(PURPOSE, capability)
        await asyncio.to_thread(_keep, hub, staged, claims, sender)
    count_uploads(request, "lfs", 1, staged.size)
    return Response(status_code=200)


def _check_sender(hub: Services, sender: Sender) -> None:
    with hub.database.read() as session:
        sender.place(session)


def _keep(hub: Services, staged: Staged, claims: dict[str, Any], sender: Sender) -> None:
    uploads.check_arrived(staged, sha256=claims["oid"], size=claims["size"])
    uploads.keep_blob(hub.database, staged, sender)


async def take(request: Request, staged: Staged, *, most: int) -> None:
    """Write a request's body to ``staged``; one piece is hashed and written while the next one arrives.

    Raises Unprocessable as soon as there are more than ``most`` bytes.
    """
    arrived, piece = 0, bytearray()
    writing = asyncio.ensure_future(asyncio.sleep(0))
    try:
        async for data in request.stream():
            piece += data
            arrived += len(data)
            if arrived > most:
                raise Unprocessable(f"More than the announced {most} bytes arrived. Send the file again.", headers={"Connection": "close"})
            if len(piece) >= PIECE:
                await writing
                writing, piece = asyncio.ensure_future(asyncio.to_thread(staged.write, piece)), bytearray()
    finally:
        await writing
    await asyncio.to_thread(staged.write, piece)


class arriving:
    """Counts the uploads under way; more than HUB_MAX_UPLOADS at once are asked to wait. Raises Busy."""

    def __init__(self, request: Request) -> None:
        self._state, self._most = request.app.state, services(request).settings.max_uploads

    def __enter__(self) -> None:
        if self._state.uploads >= self._most:
            raise Busy(f"{self._most} uploads are under way, which is as many as this hub takes at once (HUB_MAX_UPLOADS).", retry_after=3)
        self._state.uploads += 1

    def __exit__(self, *error: object) -> None:
        self._state.uploads -= 1


def count_uploads(request: Request, door: str, files: int, size: int) -> None:
    """Count what arrived, for the meters."""
    metrics = request.app.state.metrics
    metrics.uploads.labels(door).inc(files)
    metrics.upload_bytes.labels(door).inc(size)


@router.post("/{ns}/{name}.git/info/lfs/verify")
async def verify(body: wire.LfsObject, request: Request, hub: Hub) -> JSONResponse:
    """Whether an object has arrived for this repository."""
    place = await locate(request, Action.WRITE)

    def present() -> int | None:
        with hub.database.read() as session:
            return uploads.usable_blobs(session, place, [body.oid]).get(body.oid)

    if await asyncio.to_thread(present) != body.size:
        raise EntryNotFound(f"The object {body.oid} has not arrived here. Upload it again.")
    return JSONResponse({"oid": body.oid, "size": body.size}, media_type=MEDIA_TYPE)


@router.get("/{ns}/{name}.git/info/lfs/objects/{oid}")
async def get(oid: str, request: Request, hub: Hub) -> Response:
    """The bytes of an object that commits of this repository hold."""
    place = await locate(request, Action.READ)

    def held() -> int | None:
        with hub.database.read() as session:
            return uploads.held_blobs(session, place.repo_id, [oid]).get(oid)

    size = await asyncio.to_thread(held)
    if size is None:
        raise EntryNotFound(f"{place.full_name} holds no object {oid}.")
    headers = {
        "ETag": f'"{oid}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition(oid),
        "Content-Security-Policy": SANDBOX,
        "Content-Type": "application/octet-stream",
    }
    return await send_blob(hub, request, oid, size, headers)

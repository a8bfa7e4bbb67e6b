"""The Xet ingest gateway: as much of a content-addressed store as ``hf_xet`` needs to upload.

``huggingface_hub`` 1.20 and later sends weights this way and no other. Xorbs are verified and kept per repository, a
shard makes files of them; downloads stay plain HTTP, so nothing here is ever read back. The address carries the hub's
epoch and the repository's id, which is what the client keys its cache by: nothing is shared across repositories.
"""

import asyncio
import time

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from hub import uploads, xet
from hub.api.lfs import arriving, count_uploads, take
from hub.blobs import Staged
from hub.deps import Hub, WritableRepo
from hub.errors import NotFound
from hub.guard import XORB_BODY
from hub.services import Services
from hub.uploads import Sender, XetDoor

router = APIRouter()
PURPOSE = "xet"
TOKEN_SECONDS = 3_600
SHARDS_AT_ONCE = 4
CAS = "/cas/{epoch}/{uid}"


@router.get("/api/models/{ns}/{name}/xet-write-token/{rev}")
def write_token(hub: Hub, place: WritableRepo) -> JSONResponse:
    """Where to send xorbs and shards, and the token to do so."""
    place.at_revision()
    door = XetDoor(Sender.of(place), place.uid, hub.epoch)
    token = hub.signer.sign(PURPOSE, door.claims(), seconds=TOKEN_SECONDS)
    url, expires = f"{hub.settings.url}/cas/{hub.epoch}/{place.uid}", int(time.time()) + TOKEN_SECONDS
    headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expires), "Cache-Control": "no-store"}
    return JSONResponse({"casUrl": url, "exp": expires, "accessToken": token}, headers=headers)


def _door(request: Request, hub: Services) -> XetDoor:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    claims = hub.signer.read(PURPOSE, token if scheme.lower() == "bearer" else "")
    return XetDoor.read(claims, request.path_params["uid"], request.path_params["epoch"])


@router.post(CAS + "/v1/xorbs/{prefix}/{xorb_hash}")
async def xorb(prefix: str, xorb_hash: str, request: Request, hub: Hub) -> JSONResponse:
    """Take one xorb: every chunk is unpacked and hashed, and the hash of all must be the one it is sent under."""
    door = _door(request, hub)
    with arriving(request), await asyncio.to_thread(hub.store.stage) as staged:
        await take(request, staged, most=XORB_BODY)
        inserted = await asyncio.to_thread(_keep_xorb, hub, door, staged, xorb_hash)
    count_uploads(request, "xet", 1, staged.size)
    return JSONResponse({"was_inserted": inserted})


def _keep_xorb(hub: Services, door: XetDoor, staged: Staged, xorb_hash: str) -> bool:
    with staged.reader() as file:
        found = xet.read_xorb(file)
    if found.hash != xorb_hash:
        raise xet.XetError(f"The xorb's bytes have hash {found.hash}, it was sent as {xorb_hash}. Upload the file again.")
    return uploads.keep_xorb(hub.database, door, staged, found)


@router.post(CAS + "/v1/shards")
async def shard_v1(request: Request, hub: Hub) -> JSONResponse:
    """Make files of xorbs; the answer of older clients."""
    await _keep_shard(request, hub)
    return JSONResponse({"result": 1})


@router.post(CAS + "/v2/shards")
async def shard_v2(request: Request, hub: Hub) -> Response:
    """Make files of xorbs; the answer is a line of JSON."""
    await _keep_shard(request, hub)
    return Response('{"type":"result"}\n', media_type="application/x-ndjson")


async def _keep_shard(request: Request, hub: Services) -> None:
    door = _door(request, hub)
    with arriving(request):
        body = await request.body()
        async with request.app.state.shards:
            await asyncio.to_thread(_make_files, hub, door, body)


def _make_files(hub: Services, door: XetDoor, body: bytes) -> None:
    uploads.keep_shard(hub.database, hub.store, door, xet.read_shard(body), settings=hub.settings)


@router.api_route(CAS + "/{rest:path}", methods=["GET", "HEAD", "POST", "PUT"])
def nothing_else(rest: str) -> Response:
    """Everything else a content-addressed store may have: clients fall back on 404."""
    raise NotFound("This hub takes xorbs and shards; files are downloaded through /resolve.")

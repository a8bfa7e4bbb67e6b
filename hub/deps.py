"""What a handler may ask for: the hub, the viewer, a repository with the right to do something there, a transaction."""

import base64
import binascii
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request

from hub import access, accounts
from hub.access import Action, Place, Viewer
from hub.db import WriteSession
from hub.errors import InvalidCredentials, RepoNotFound, SignInRequired
from hub.guard import unmark
from hub.services import Services

ANYWHERE = ("", access.DEFAULT_BRANCH)


def services(request: Request) -> Services:
    """The hub that this request came to."""
    hub: Services = request.app.state.hub
    return hub


Hub = Annotated[Services, Depends(services)]


def credential(request: Request) -> str | None:
    """The sha256 of the token in the Authorization header (Bearer, or Basic with the token as password), None without one.

    Raises InvalidCredentials for a header that holds no token.
    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, value = header.partition(" ")
    token = value.strip() if scheme.lower() == "bearer" else _basic_password(value) if scheme.lower() == "basic" else ""
    if not token:
        raise InvalidCredentials()
    return accounts.token_hash(token)


def _basic_password(value: str) -> str:
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


async def viewer(request: Request) -> Viewer:
    """Who asks. Raises InvalidCredentials."""
    hub, given = services(request), credential(request)
    if given is None:
        return Viewer()
    found = access.read_viewer(await hub.hot.one((given, *ANYWHERE)), given)
    _note_use(hub, found)
    return found


def _note_use(hub: Services, found: Viewer) -> None:
    if found.token_id is not None:
        hub.tally.used(found.token_id)


async def signed_in(request: Request) -> Viewer:
    """Who asks, which must be somebody. Raises SignInRequired, InvalidCredentials."""
    found = await viewer(request)
    if found.anonymous:
        raise SignInRequired("This needs a token. Make one and set HF_TOKEN, or run `hf auth login`.")
    return found


Asker = Annotated[Viewer, Depends(viewer)]
SignedIn = Annotated[Viewer, Depends(signed_in)]


async def locate(request: Request, action: Action) -> Place:
    """The repository and revision of the request's path, if the caller may do ``action`` there.

    Raises RepoNotFound, Moved, Gated, Forbidden, SignInRequired or InvalidCredentials; whether the revision exists is
    the place's own affair (``Place.at_revision``).
    """
    hub, given, path = services(request), credential(request), request.path_params
    namespace, name = path["ns"], path["name"]
    values = access.key(given, namespace, name, unmark(path["rev"]) if "rev" in path else None)
    row = await hub.hot.one(values)
    asker = access.read_viewer(row, given)
    _note_use(hub, asker)
    place = access.read_place(row, asker, values[2])
    if place is None or not access.allowed(place, Action.SEE):
        # Looked up for both, so that a private repository takes as long to deny as a missing one.
        await _follow(hub, request, asker, namespace, name)
        raise RepoNotFound(anonymous=asker.anonymous)
    access.require(place, action)
    if place.full_name != f"{namespace}/{name}":
        raise access.redirect(place.full_name, _address(request))
    return place


async def _follow(hub: Services, request: Request, asker: Viewer, namespace: str, name: str) -> None:
    target = await hub.hot.run(lambda session: access.moved_to(session, asker, namespace, name))
    if target is not None:
        raise access.redirect(target, _address(request))


def _address(request: Request) -> str:
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope["raw_path"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _place_for(action: Action) -> Callable[[Request], Coroutine[Any, Any, Place]]:
    async def place(request: Request) -> Place:
        return await locate(request, action)

    place.action = action  # type: ignore[attr-defined]  # the route table of the tests reads it
    return place


SeenRepo = Annotated[Place, Depends(_place_for(Action.SEE))]
ReadableRepo = Annotated[Place, Depends(_place_for(Action.READ))]
SharedRepo = Annotated[Place, Depends(_place_for(Action.TAKE_PART))]
WritableRepo = Annotated[Place, Depends(_place_for(Action.WRITE))]
AdministeredRepo = Annotated[Place, Depends(_place_for(Action.ADMIN))]


@contextmanager
def changing(hub: Services, place: Place, action: Action = Action.WRITE) -> Iterator[tuple[WriteSession, Place]]:
    """A write transaction in which place and rights were read again; committed when the block ends."""
    with hub.database.write() as session:
        yield session, access.confirm(session, place, action)

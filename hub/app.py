"""The application: parts put together, errors dressed, health told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import anyio
import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from hub import __version__, assets, pages
from hub.api import accounts, commits, files, lfs, repos, xet
from hub.errors import BadRequest, Busy, HubError, NotFound
from hub.guard import Guard
from hub.metrics import Metrics
from hub.services import Services, open_services
from hub.settings import Settings

log = structlog.get_logger()
THREADS = 64


class FilesFirst:
    """Answers the addresses that are asked most before FastAPI sees them: its layers cost more than the answer does.

    The guard around it dresses errors, as it does for everything else.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[Route]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI call."""
        if scope["type"] == "http":
            for route in self._routes:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found, route=route)
                    await route.handle(scope, receive, send)
                    return
        await self._app(scope, receive, send)


FILE_ROUTES = (
    Route("/{ns}/{name}/resolve/{rev}/{path:path}", files.resolve, methods=["GET", "HEAD"]),
    Route("/{ns}/{name}/raw/{rev}/{path:path}", files.raw, methods=["GET", "HEAD"]),
    Route("/{name}/resolve/{rev}/{path:path}", files.single_segment, methods=["GET", "HEAD"]),
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """An application of its own: no state is shared with another one in the same process."""
    settings = settings or Settings()
    metrics = Metrics()
    app = FastAPI(
        title="AdapterHub",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
    )
    app.state.settings, app.state.metrics, app.state.uploads = settings, metrics, 0
    app.router.routes.extend(FILE_ROUTES)
    for module in (repos, files, commits, lfs, xet, accounts):
        app.include_router(module.router)
    app.add_api_route("/healthz", alive, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/readyz", ready, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/metrics", meters, methods=["GET"], include_in_schema=False)
    app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=assets.folder("static")), name="static")
    for kind in (HubError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, dress_error)
    app.add_middleware(FilesFirst, routes=FILE_ROUTES)
    app.add_middleware(Guard, settings=settings, metrics=metrics, dress=_dress)
    return app


def serving_app() -> FastAPI:
    """What a worker process serves: settings from the environment."""
    from hub.logs import configure

    settings = Settings()
    configure(settings)
    return create_app(settings)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # More threads than cores: most of them wait, for the disk or for their turn to write.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="hub"))
    hub = await asyncio.to_thread(open_services, app.state.settings)
    app.state.hub, app.state.commit_threads = hub, anyio.CapacityLimiter(commits.COMMIT_THREADS)
    app.state.shards = asyncio.Semaphore(xet.SHARDS_AT_ONCE)
    hub.settings.scratch_folder.mkdir(exist_ok=True, mode=0o700)
    flusher = asyncio.create_task(_flush_now_and_then(hub))
    try:
        yield
    finally:
        flusher.cancel()
        with suppress(asyncio.CancelledError):
            await flusher
        await asyncio.to_thread(hub.close)


async def _flush_now_and_then(hub: Services) -> None:
    while True:
        await asyncio.sleep(hub.settings.flush_interval)
        try:
            await asyncio.to_thread(hub.tally.flush)
        except Exception:
            log.exception("could not write counters; they are lost")


# --- errors --------------------------------------------------------------------------------------------------------


def dress_error(request: Request, error: Exception) -> Response:
    """Any error as an answer: Hugging Face headers and JSON, or a page for a browser."""
    known = _as_hub_error(error)
    if known.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error(
            "request failed",
            route=getattr(request.scope.get("route"), "path", "unknown"),
            request_id=request.state.request_id,
            exc_info=error,
        )
    if _wants_page(request):
        return pages.error_page(request, known)
    headers = {**known.headers, "X-Error-Message": header_text(known.message), "Cache-Control": "no-store"}
    if known.code:
        headers["X-Error-Code"] = known.code
    if known.status == HTTPStatus.UNAUTHORIZED and ".git/" in request.scope["path"]:
        headers["WWW-Authenticate"] = 'Basic realm="AdapterHub"'
    return JSONResponse({"error": known.message, **known.extra}, known.status, headers)


def _as_hub_error(error: Exception) -> HubError:
    if isinstance(error, HubError):
        return error
    if isinstance(error, (RequestValidationError, ValidationError)):
        return BadRequest(f"The request does not fit: {_problem(error)}.")
    if isinstance(error, HTTPException):
        return _as_hub_http_error(error)
    if isinstance(error, sa.exc.OperationalError):
        return Busy("The database does not answer. Try again in a moment.")
    return HubError("Something went wrong in the hub. The operator finds it in the log under this request's id (X-Request-Id).")


def _problem(error: Any) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _as_hub_http_error(error: HTTPException) -> HubError:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NotFound("There is nothing at this address.")
    known = HubError(str(error.detail), headers=error.headers)
    known.status = error.status_code
    return known


def header_text(message: str) -> str:
    """A message that may stand in a header: one line, ASCII."""
    line = "".join(character if character.isprintable() else " " for character in message)
    return line.encode("ascii", "backslashreplace").decode()[:1_000]


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith(("/api/", "/cas/"))


def _dress(scope: Scope, error: Exception) -> ASGIApp:
    return dress_error(Request(scope), error)


# --- health --------------------------------------------------------------------------------------------------------


async def alive() -> Response:
    """The process runs."""
    return PlainTextResponse("ok\n")


async def ready(request: Request) -> Response:
    """Database, store and room on the disk are as they should be; says what is not."""
    hub: Services = request.app.state.hub
    checks: dict[str, Callable[[], str | None]] = {
        "database": lambda: _check_database(hub),
        "store": lambda: _check_store(hub),
        "disk": lambda: _check_room(hub),
    }
    results = {name: await asyncio.to_thread(_tried, check) for name, check in checks.items()}
    fine = all(result is None for result in results.values())
    return JSONResponse({name: result or "ok" for name, result in results.items()}, 200 if fine else 503, {"Cache-Control": "no-store"})


def _tried(check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except Exception as error:
        return f"{type(error).__name__}: see the log"


def _check_database(hub: Services) -> None:
    with hub.database.read() as session:
        session.execute(sa.text("SELECT 1"))


def _check_store(hub: Services) -> None:
    with hub.store.stage() as staged:
        staged.write(b"ready?")


def _check_room(hub: Services) -> str | None:
    free, least = hub.store.free_bytes(), hub.settings.min_free_bytes
    return f"only {free} bytes free, {least} are wanted (HUB_MIN_FREE_BYTES)" if free is not None and free < least else None


async def meters(request: Request) -> Response:
    """Prometheus."""
    return Response(request.app.state.metrics.text(request.app.state.hub.publisher.conflicts), media_type="text/plain; version=0.0.4")

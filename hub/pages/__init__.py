"""The pages: HTML over the same verbs as the API."""

from functools import cache
from http import HTTPStatus

import sqlalchemy as sa
from fastapi import APIRouter, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from hub import __version__, assets
from hub.access import Viewer, visible_to
from hub.deps import Hub
from hub.errors import HubError
from hub.models import Repo

router = APIRouter()
POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src 'self' data:",
        "style-src 'self'",
        "script-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
ADVICE = {
    401: "Sign in with a token: set HF_TOKEN, or run `hf auth login --token ...` against this hub.",
    403: "Ask an admin of the namespace for the right, or use another token.",
    404: "Check the address for typing errors, or start again from the first page.",
    503: "Try again in a moment.",
}


@cache
def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(assets.folder("templates")), autoescape=True, undefined=StrictUndefined)
    environment.globals |= {"asset": assets.static_url, "version": __version__}
    return environment


def render(template: str, code: int = 200, **context: object) -> HTMLResponse:
    """A page from a template, with the policy that lets nothing foreign in."""
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
    return HTMLResponse(_environment().get_template(template).render(**context), code, headers)


def error_page(request: Request, error: HubError) -> Response:
    """An error for somebody in front of a browser."""
    advice = ADVICE.get(error.status, f"If it happens again, tell the operator the request's id: {request.state.request_id}.")
    page = render(
        "error.html", error.status, status=error.status, title=HTTPStatus(error.status).phrase, message=error.message, advice=advice
    )
    page.headers.update(error.headers)
    return page


@router.get("/")
def home(hub: Hub) -> Response:
    """What this hub is, and how to push to it and pull from it."""
    with hub.database.read() as session:
        repositories = session.scalar(sa.select(sa.func.count()).select_from(Repo).where(visible_to(Viewer())))
    return render("home.html", public_url=hub.settings.url, repositories=repositories)

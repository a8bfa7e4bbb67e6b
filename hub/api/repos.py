"""Repositories: info and lists, and their life from create to delete."""

import hashlib
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from hub import access, accounts, explore, repos, revisions
from hub.access import Action, Place, Viewer
from hub.api import files, wire
from hub.db import Collision, ReadSession
from hub.deps import AdministeredRepo, Asker, Hub, ReadableRepo, SeenRepo, SharedRepo, SignedIn, WritableRepo, changing, locate
from hub.errors import BadRequest, NotFound
from hub.models import Blob, Like, Link, Namespace, Repo
from hub.publish import AddInline, Header
from hub.services import Services

router = APIRouter()
MODEL = "/api/models/{ns}/{name}"


# --- info and lists ------------------------------------------------------------------------------------------------


@router.get(MODEL)
@router.get(MODEL + "/revision/{rev}")
async def info(request: Request, hub: Hub) -> JSONResponse:
    """Model info, of the default branch or of a revision."""
    place = await locate(request, Action.SEE)
    commit = place.at_revision()
    options = _Options(request)
    tree = await files.tree_at(hub, commit)

    def read(session: ReadSession) -> wire.JSON:
        repo = session.get_one(Repo, place.repo_id)
        full = wire.summary(repo) | wire.details(repo) | {"siblings": wire.siblings(tree, blobs=options.flag("blobs"))}
        full |= {"sha": commit.oid, "lastModified": wire.iso(commit.time)}
        return full | {"securityRepoStatus": None} if options.flag("securityStatus") else full

    full = await hub.hot.run(read)
    return JSONResponse(wire.expanded(full, options.expand) if options.expand else full, headers=wire.commit_headers(commit))


class _Options:
    """The query of a listing or of model info: repeated keys, ``expand[]``, ``True`` as well as ``true``."""

    def __init__(self, request: Request) -> None:
        self._query = request.query_params
        self.expand = [value for key in ("expand", "expand[]") for value in self._query.getlist(key)]

    def flag(self, name: str) -> bool:
        """Whether a switch is on."""
        return self._query.get(name, "").lower() in {"true", "1"}

    def all(self, *names: str) -> list[str]:
        """Every non-empty value of a repeated key."""
        return [value for name in names for value in self._query.getlist(name) if value]

    def one(self, name: str) -> str | None:
        """The value of a key, None when it is absent or empty."""
        return self._query.get(name) or None


@router.get("/api/models")
def list_models(request: Request, hub: Hub, viewer: Asker, limit: Annotated[int, Query(ge=1)] = explore.MAX_PAGE) -> JSONResponse:
    """Repositories that match, a page at a time; the next page's address is in the Link header."""
    options = _Options(request)
    gated = {"true": True, "false": False}.get((options.one("gated") or "").lower())
    query = explore.Query(
        tags=[_tag(tag) for tag in options.all("filter", "tags", "other", "library", "language", "license", "dataset")],
        author=options.one("author"),
        search=options.one("search"),
        gated=gated,
        pipeline_tag=options.one("pipeline_tag"),
        sort=options.one("sort") or "trendingScore",
        limit=limit,
        cursor=options.one("cursor"),
    )
    with hub.database.read() as session:
        page = explore.find(session, viewer, query)
        items = [_listed(session, hub, repo, options) for repo in page.repos]
    return JSONResponse(items, headers=_next_page(hub, request, page.cursor))


def _tag(tag: str) -> str:
    return "adapter-transformers" if tag == "adapters" else tag


def _listed(session: ReadSession, hub: Services, repo: Repo, options: _Options) -> wire.JSON:
    item = wire.summary(repo)
    if options.expand:
        item |= wire.details(repo)
    if options.flag("cardData"):
        item["cardData"] = repo.card_data
    if options.flag("config"):
        item["config"] = repo.config
    if options.flag("full") or "siblings" in options.expand:
        item["siblings"] = _siblings_of_head(session, hub, repo)
    return wire.expanded(item, options.expand) if options.expand else item


def _siblings_of_head(session: ReadSession, hub: Services, repo: Repo) -> list[wire.JSON]:
    return wire.siblings(hub.manifests.load(session, revisions.commit_at(session, repo.id, "main").manifest_id))


def _next_page(hub: Services, request: Request, cursor: str | None) -> dict[str, str]:
    if cursor is None:
        return {}
    parameters = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    return dict(wire.next_link(f"{hub.settings.url}/api/models?{urlencode([*parameters, ('cursor', cursor)])}"))


# --- life ----------------------------------------------------------------------------------------------------------


@router.post("/api/repos/create")
def create(body: wire.CreateBody, hub: Hub, viewer: SignedIn) -> JSONResponse:
    """Make a repository; 409 carries the URL of the one that is there."""
    operations = [wire.inline(file, hub.settings.max_inline_bytes) for file in body.files]
    try:
        answer = _create(hub, viewer, body)
    except Collision:
        # Somebody made it at the same moment: the second look finds it.
        answer = _create(hub, viewer, body)
    if operations:
        _first_files(hub, viewer, answer["name"], operations)
    return JSONResponse(answer)


def _create(hub: Services, viewer: Viewer, body: wire.CreateBody) -> wire.JSON:
    namespace, name = body.namespace_and_name(viewer)
    with hub.database.write() as session:
        asker = access.viewer_now(session, viewer)
        repo = repos.create(session, asker, namespace, name, private=bool(body.is_private()), url=hub.settings.url)
        return {"url": f"{hub.settings.url}/{repo.full_name}", "name": repo.full_name, "id": repo.uid, "private": repo.private}


def _first_files(hub: Services, viewer: Viewer, full_name: str, operations: Sequence[AddInline]) -> None:
    """The files that the JavaScript client sends along with a new repository."""
    with hub.database.read() as session:
        place = access.find(session, viewer.credential, *full_name.split("/"))
    digest = hashlib.sha256(f"first files of {place.uid}".encode()).hexdigest()
    hub.publisher.publish(place, Header("Add first files"), operations, digest=digest)


@router.delete("/api/repos/delete")
def delete(body: wire.RepoBody, hub: Hub, viewer: SignedIn) -> Response:
    """Take a repository away; its name stays reserved."""
    with hub.database.write() as session:
        repos.delete(session, _administered(session, viewer, *body.namespace_and_name(viewer)))
    return wire.ok()


@router.post("/api/repos/move")
def move(body: wire.MoveBody, hub: Hub, viewer: SignedIn) -> Response:
    """Give a repository another name; the old one redirects."""
    wire.check_type(body.type)
    namespace, _, name = body.from_repo.partition("/")
    with hub.database.write() as session:
        repos.move(session, _administered(session, viewer, namespace, name), body.to_repo, hub.settings.url)
    return wire.ok()


def _administered(session: ReadSession, viewer: Viewer, namespace: str, name: str) -> Place:
    place = access.find(session, viewer.credential, namespace, name)
    access.require(place, Action.ADMIN)
    return place


@router.put(MODEL + "/settings")
def settings(body: wire.SettingsBody, hub: Hub, place: AdministeredRepo) -> JSONResponse:
    """Change visibility and gating."""
    private = body.is_private()
    with changing(hub, place, Action.ADMIN) as (session, now):
        repo = repos.change_settings(session, now, private=private, gated=body.gated)
        return JSONResponse({"private": repo.private, "visibility": "private" if repo.private else "public", "gated": repo.gated or False})


@router.get(MODEL + "/auth-check")
def auth_check(place: ReadableRepo) -> Response:
    """Whether the caller may read."""
    return wire.ok()


@router.get(MODEL + "/auth-check/write")
def auth_check_write(place: WritableRepo) -> Response:
    """Whether the caller may write."""
    return wire.ok()


# --- likes ---------------------------------------------------------------------------------------------------------


@router.post(MODEL + "/like")
def like(hub: Hub, place: SharedRepo) -> Response:
    """Like a repository."""
    return _like(hub, place, liked=True)


@router.delete(MODEL + "/like")
def unlike(hub: Hub, place: SharedRepo) -> Response:
    """Take a like back."""
    return _like(hub, place, liked=False)


def _like(hub: Services, place: Place, *, liked: bool) -> Response:
    with changing(hub, place, Action.TAKE_PART) as (session, now):
        repos.like(session, now, liked)
    return wire.ok()


@router.get(MODEL + "/likers")
def likers(hub: Hub, place: SeenRepo) -> JSONResponse:
    """Who likes a repository."""
    statement = sa.select(Namespace).join(Like, Like.user_id == Namespace.id).where(Like.repo_id == place.repo_id)
    with hub.database.read() as session:
        return JSONResponse(
            [wire.user_item(user) for user in session.scalars(statement.order_by(Like.created_at.desc()).limit(explore.MAX_PAGE))]
        )


@router.get("/api/users/{user}/likes")
def liked(user: str, hub: Hub, viewer: Asker) -> JSONResponse:
    """What a user likes, as far as the caller may see it."""
    with hub.database.read() as session:
        likes = sa.select(Like.repo_id, Like.created_at).where(Like.user_id == accounts.get(session, user, accounts.USER).id)
        found = explore.liked_by(session, viewer, likes)
        return JSONResponse([{"createdAt": wire.iso(moment), "repo": {"name": repo.full_name, "type": "model"}} for repo, moment in found])


# --- gated repositories --------------------------------------------------------------------------------------------


@router.post("/{ns}/{name}/ask-access")
def ask_access(hub: Hub, place: SharedRepo) -> JSONResponse:
    """Ask for the files of a gated repository."""
    with changing(hub, place, Action.TAKE_PART) as (session, now):
        return JSONResponse({"status": repos.ask_access(session, now)})


@router.get(MODEL + "/user-access-request/{status}")
def access_requests(status: str, hub: Hub, place: AdministeredRepo) -> JSONResponse:
    """Requests that are pending, accepted or rejected."""
    with hub.database.read() as session:
        return JSONResponse([wire.access_request_item(*row) for row in repos.access_requests(session, place, status)])


@router.post(MODEL + "/user-access-request/handle")
def handle_access(body: wire.AccessBody, hub: Hub, place: AdministeredRepo) -> Response:
    """Accept, reject or reopen a request."""
    with changing(hub, place, Action.ADMIN) as (session, now):
        repos.decide_access(session, now, _user_meant(session, body), body.status)
    return wire.ok()


@router.post(MODEL + "/user-access-request/grant")
def grant_access(body: wire.AccessBody, hub: Hub, place: AdministeredRepo) -> Response:
    """Grant access to somebody who has not asked."""
    with changing(hub, place, Action.ADMIN) as (session, now):
        repos.grant_access(session, now, _user_meant(session, body))
    return wire.ok()


def _user_meant(session: ReadSession, body: wire.AccessBody) -> Namespace:
    if body.user:
        return accounts.get(session, body.user, accounts.USER)
    if not body.request_id:
        raise BadRequest('The body must name a user, {"user": "alice"}, or a request, {"requestId": "..."}.')
    found = session.get(Namespace, wire.user_of_request(body.request_id))
    if found is None:
        raise NotFound(f"There is no request for access {body.request_id}.")
    return found


# --- LFS files -----------------------------------------------------------------------------------------------------


@router.get(MODEL + "/lfs-files")
def lfs_files(hub: Hub, place: WritableRepo) -> JSONResponse:
    """Every LFS file that commits of the repository hold, newest first."""
    statement = sa.select(Link.sha256, Blob.size, Link.path, Link.created_at).join(Blob, Blob.sha256 == Link.sha256)
    with hub.database.read() as session:
        rows = session.execute(statement.where(Link.repo_id == place.repo_id, Link.lfs).order_by(Link.created_at.desc(), Link.sha256)).all()
    return JSONResponse([wire.lfs_file_item(*row) for row in rows])

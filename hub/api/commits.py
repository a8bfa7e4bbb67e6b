"""Changing what a repository holds: preupload, commit, branches, tags, history, pull requests."""

import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Annotated
from urllib.parse import urlencode

import anyio.to_thread
import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from hub import discussions as talks
from hub import inspection, publish, revisions, uploads
from hub.access import DEFAULT_BRANCH, Place
from hub.api import wire
from hub.api.lfs import count_uploads
from hub.deps import Hub, SeenRepo, WritableRepo, changing, services
from hub.errors import BadRequest, Busy, StorageFull
from hub.gitfiles import ignore_rules
from hub.guard import unmark
from hub.models import BRANCH, TAG, Discussion, Ref
from hub.names import check_path
from hub.publish import AddInline, Header, Operation, Published
from hub.services import Services

router = APIRouter()
MODEL = "/api/models/{ns}/{name}"
SPOOL_IN_MEMORY = 1 << 20
COMMIT_THREADS = 16
HISTORY_PAGE = 100


def _true(value: str) -> bool:
    return value.lower() in {"true", "1"}


# --- preupload and commit ------------------------------------------------------------------------------------------


@router.post("/api/validate-yaml")
def validate_yaml(body: wire.YamlBody) -> JSONResponse:
    """Look at a model card before it is pushed: errors stop the push, warnings are shown to whoever pushes."""
    errors, warnings = inspection.validate(body.content)
    answer = {"errors": [{"message": error} for error in errors], "warnings": [{"message": warning} for warning in warnings]}
    return JSONResponse(answer, 400 if errors else 200)


@router.post(MODEL + "/preupload/{rev}")
def preupload(body: wire.PreuploadBody, hub: Hub, place: WritableRepo) -> JSONResponse:
    """Which files go inline and which through LFS or Xet, and which are there already."""
    commit = place.at_revision()
    with hub.database.read() as session:
        lfs = publish.lfs_rules_at(session, hub.manifests, hub.texts, commit)
        entries = hub.manifests.load(session, commit.manifest_id).entries
        present = {path: entries[path] for path in (file.path for file in body.files) if path in entries}
        whole = uploads.whole_blobs(session, hub.store, place, {entry.sha256 for entry in present.values()})
    ignored = ignore_rules(body.git_ignore or "")
    files = []
    for file in body.files:
        check_path(file.path)
        pointed = file.size > 0 and (lfs.match(file.path) or file.size > hub.settings.max_inline_bytes)
        entry = present.get(file.path)
        known = entry if entry and entry.lfs == pointed and entry.sha256 in whole else None
        files.append(
            {
                "path": file.path,
                "uploadMode": "lfs" if pointed else "regular",
                "shouldIgnore": ignored.match(file.path),
                "oid": (known.sha256 if pointed else known.oid) if known else None,
            }
        )
    return JSONResponse({"files": files, "commitOid": commit.oid})


@router.post(MODEL + "/commit/{rev}")
async def commit(request: Request, hub: Hub, place: WritableRepo, create_pr: str = "") -> JSONResponse:
    """Publish a commit. The body is spooled, never held, and read a line at a time."""
    place.at_revision()
    pull = _true(create_pr)
    async with _spooled(request, hub) as (body, digest):
        digest.update(f"{place.viewer.user_id} {place.revision} {pull}".encode())
        inline = Inline()
        published = await _in_commit_thread(request, lambda: _publish(hub, place, inline.counted(body, hub), digest.hexdigest(), pull=pull))
    count_uploads(request, "inline", inline.files, inline.size)
    return JSONResponse(
        wire.committed(hub.settings.url, place.full_name, published.commit, published.pull), headers={"X-Repo-Commit": published.commit}
    )


@asynccontextmanager
async def _spooled(request: Request, hub: Services) -> "AsyncIterator[tuple[IO[bytes], hashlib._Hash]]":
    digest = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(SPOOL_IN_MEMORY, dir=str(hub.settings.scratch_folder)) as spool:
        async for piece in request.stream():
            digest.update(piece)
            try:
                spool.write(piece)
            except OSError as error:
                raise StorageFull("The hub has no room for this commit. Tell the operator, then commit again.") from error
        spool.seek(0)
        yield spool, digest


async def _in_commit_thread(request: Request, work: Callable[[], Published]) -> Published:
    """In one of a few threads of their own, so that commits waiting for a turn do not starve everybody else."""
    limiter: anyio.CapacityLimiter = request.app.state.commit_threads
    if limiter.statistics().tasks_waiting >= services(request).settings.max_waiting_commits:
        raise Busy("Too many commits are waiting. Try again in a moment.")
    return await anyio.to_thread.run_sync(work, limiter=limiter)


@dataclass(slots=True)
class Inline:
    """What came with a commit itself: files and their bytes."""

    files: int = 0
    size: int = 0

    def counted(self, body: IO[bytes], hub: Services) -> Iterator[Header | Operation]:
        """The lines of a commit, counted as they pass."""
        for line in wire.read_commit(body, hub.settings):
            if isinstance(line, AddInline):
                self.files, self.size = self.files + 1, self.size + len(line.content)
            yield line


def _publish(hub: Services, place: Place, lines: Iterator[Header | Operation], digest: str, *, pull: bool) -> Published:
    header = next(lines)
    if not isinstance(header, Header):
        raise BadRequest("The first line of a commit must be its header.")
    operations = (line for line in lines if not isinstance(line, Header))
    return hub.publisher.publish(place, header, operations, digest=digest, pull=pull)


# --- branches, tags, history ---------------------------------------------------------------------------------------


@router.get(MODEL + "/refs")
def refs(hub: Hub, place: SeenRepo, include_prs: str = "") -> JSONResponse:
    """Branches, tags and, when asked, pull requests."""
    with hub.database.read() as session:
        return JSONResponse(wire.refs(revisions.refs(session, place.repo_id), pulls=_true(include_prs)))


@router.post(MODEL + "/branch/{branch}")
def create_branch(branch: str, hub: Hub, place: WritableRepo, body: wire.BranchBody | None = None) -> Response:
    """Make a branch, at the head of main or at a starting point."""
    start = (body.starting_point if body else None) or DEFAULT_BRANCH
    with changing(hub, place) as (session, now):
        target = revisions.commit_at(session, now.repo_id, start).oid
        revisions.create_ref(session, now, BRANCH, unmark(branch), target=target)
    return wire.ok()


@router.delete(MODEL + "/branch/{branch}")
def delete_branch(branch: str, hub: Hub, place: WritableRepo) -> Response:
    """Remove a branch."""
    with changing(hub, place) as (session, now):
        revisions.delete_ref(session, now, BRANCH, unmark(branch))
    return wire.ok()


@router.post(MODEL + "/tag/{rev}")
def create_tag(body: wire.TagBody, hub: Hub, place: WritableRepo) -> Response:
    """Tag a revision."""
    commit = place.at_revision()
    with changing(hub, place) as (session, now):
        revisions.create_ref(session, now, TAG, body.tag, target=commit.oid, message=body.message)
    return wire.ok()


@router.delete(MODEL + "/tag/{tag}")
def delete_tag(tag: str, hub: Hub, place: WritableRepo) -> Response:
    """Remove a tag."""
    with changing(hub, place) as (session, now):
        revisions.delete_ref(session, now, TAG, unmark(tag))
    return wire.ok()


@router.get(MODEL + "/commits/{rev}")
def commits(
    request: Request, hub: Hub, place: SeenRepo, limit: Annotated[int, Query(ge=1)] = HISTORY_PAGE, cursor: str = ""
) -> JSONResponse:
    """A revision's history, newest first. The cursor is the commit that the page begins with."""
    formatted = "formatted" in {*request.query_params.getlist("expand"), *request.query_params.getlist("expand[]")}
    size = min(limit, 1_000)
    with hub.database.read() as session:
        start = revisions.commit_at(session, place.repo_id, cursor) if cursor else place.at_revision()
        found = revisions.history(session, start, size + 1)
    headers = {}
    if len(found) > size:
        given = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
        address = f"{hub.settings.url}{request.scope['raw_path'].decode()}?{urlencode([*given, ('cursor', found[size].oid)])}"
        headers = dict(wire.next_link(address))
    return JSONResponse([wire.commit_item(item, formatted=formatted) for item in found[:size]], headers=headers)


@router.post(MODEL + "/super-squash/{rev}")
def super_squash(hub: Hub, place: WritableRepo, body: wire.SquashBody | None = None) -> Response:
    """Replace a branch's history by one commit."""
    message = (body or wire.SquashBody()).message or wire.SquashBody().message
    with changing(hub, place) as (session, now):
        revisions.super_squash(session, now, place.revision, message, hub.manifests)
    return wire.ok()


# --- discussions: as much as pull requests need --------------------------------------------------------------------


@router.get(MODEL + "/discussions")
def discussions(
    *, hub: Hub, place: SeenRepo, p: Annotated[int, Query(ge=0, le=1_000_000)] = 0, status: str = "", type: str = "", author: str = ""
) -> JSONResponse:
    """Discussions and pull requests, newest first."""
    owner = place.full_name.split("/")[0]
    statement = sa.select(Discussion).where(Discussion.repo_id == place.repo_id).order_by(Discussion.num.desc())
    if status in {"open", "closed"}:
        statement = statement.where(Discussion.status.in_(("open", "draft")) == (status == "open"))
    if type in {"pull_request", "discussion"}:
        statement = statement.where(Discussion.is_pull == (type == "pull_request"))
    if author:
        statement = statement.where(Discussion.author == author)
    count = sa.select(sa.func.count()).select_from(statement.order_by(None).subquery())
    with hub.database.read() as session:
        total = session.scalar(count) or 0
        found = session.scalars(statement.limit(HISTORY_PAGE).offset(p * HISTORY_PAGE)).all()
    items = [wire.discussion_item(item, place.full_name, owner=item.author == owner) for item in found]
    return JSONResponse({"count": total, "start": p * HISTORY_PAGE, "discussions": items})


@router.post(MODEL + "/discussions")
def open_discussion(body: wire.DiscussionBody, hub: Hub, place: WritableRepo) -> JSONResponse:
    """Open a discussion, or an empty pull request on main that commits are then pushed to."""
    with changing(hub, place) as (session, now):
        base = revisions.commit_at(session, now.repo_id, DEFAULT_BRANCH).oid if body.pull_request else None
        number = talks.start(session, now, body.title, body.description, base=base)
        if base is not None:
            session.add(Ref(repo_id=now.repo_id, name=f"refs/pr/{number}", kind="pull", target=base))
    return JSONResponse(
        {
            "num": number,
            "title": body.title,
            "pullRequest": body.pull_request,
            "url": f"{hub.settings.url}/{place.full_name}/discussions/{number}",
        }
    )


@router.get(MODEL + "/discussions/{num}")
def discussion(num: int, hub: Hub, place: SeenRepo) -> JSONResponse:
    """One discussion with its events."""
    with hub.database.read() as session:
        return JSONResponse(wire.discussion_details(talks.get(session, place, num), place.full_name))


@router.post(MODEL + "/discussions/{num}/merge")
async def merge(request: Request, num: int, hub: Hub, place: WritableRepo) -> JSONResponse:
    """Bring a pull request's changes to main."""
    commit = await _in_commit_thread(request, lambda: Published(hub.publisher.merge(place, num), num))
    return JSONResponse(wire.committed(hub.settings.url, place.full_name, commit.commit, num))


@router.post(MODEL + "/discussions/{num}/status")
def discussion_status(body: wire.StatusBody, num: int, hub: Hub, place: WritableRepo) -> JSONResponse:
    """Close a discussion, or open it again; a merged pull request stays merged."""
    with changing(hub, place) as (session, now):
        found = talks.set_status(session, now, num, body.status)
        return JSONResponse({"newStatus": wire.status_event(found, place.viewer)})

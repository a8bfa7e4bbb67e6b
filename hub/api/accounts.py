"""Who is there: whoami, users and organisations, and the small calls that clients make without being asked."""

import sqlalchemy as sa
from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from hub import access, accounts, explore
from hub.access import Viewer
from hub.api import wire
from hub.deps import Asker, Hub, SignedIn
from hub.models import Member, Namespace, Repo, Token
from hub.services import Services

router = APIRouter()


@router.get("/api/whoami-v2")
def whoami(hub: Hub, viewer: SignedIn) -> JSONResponse:
    """The caller, their organisations and their token."""
    with hub.database.read() as session:
        user, token = session.get_one(Namespace, viewer.user_id), session.get_one(Token, viewer.token_id)
        orgs = accounts.organisations(session, user.id)
    return JSONResponse(
        {
            "type": "user",
            "id": str(user.id),
            "name": user.name,
            "fullname": user.fullname or user.name,
            "email": None,
            "emailVerified": True,
            "canPay": False,
            "isPro": False,
            "periodEnd": None,
            "avatarUrl": "",
            "orgs": [_org_item(org, role) for org, role in orgs],
            "auth": {"type": "access_token", "accessToken": _token_item(token)},
        }
    )


def _org_item(org: Namespace, role: str) -> wire.JSON:
    return {
        "type": "org",
        "id": str(org.id),
        "name": org.name,
        "fullname": org.fullname or org.name,
        "email": None,
        "avatarUrl": "",
        "roleInOrg": role,
        "isEnterprise": False,
        "canPay": False,
    }


def _token_item(token: Token) -> wire.JSON:
    narrow = token.namespace_id is not None or token.repo_id is not None
    return {
        "displayName": token.name or f"token {token.id}",
        "role": "fineGrained" if narrow else token.role,
        "createdAt": wire.iso(token.created_at),
    }


@router.get("/api/users/{user}/overview")
def user_overview(user: str, hub: Hub, viewer: Asker) -> JSONResponse:
    """A user as others see them."""
    return _overview(hub, viewer, user, accounts.USER)


@router.get("/api/organizations/{org}/overview")
def org_overview(org: str, hub: Hub, viewer: Asker) -> JSONResponse:
    """An organisation as others see it."""
    return _overview(hub, viewer, org, accounts.ORG)


def _overview(hub: Services, viewer: Viewer, name: str, kind: str) -> JSONResponse:
    with hub.database.read() as session:
        namespace = accounts.get(session, name, kind)
        models = session.scalar(
            sa.select(sa.func.count()).select_from(Repo).where(Repo.namespace_id == namespace.id, access.visible_to(viewer))
        )
        members = session.scalar(sa.select(sa.func.count()).select_from(Member).where(Member.namespace_id == namespace.id))
    item = wire.user_item(namespace) | {"numModels": models, "numDatasets": 0, "numSpaces": 0, "createdAt": wire.iso(namespace.created_at)}
    return JSONResponse(item | ({"name": namespace.name, "numUsers": members} if kind == accounts.ORG else {}))


@router.get("/api/organizations/{org}/members")
def org_members(org: str, hub: Hub, viewer: SignedIn) -> JSONResponse:
    """Who belongs to an organisation; shown to people with an account."""
    statement = sa.select(Namespace).join(Member, Member.user_id == Namespace.id)
    with hub.database.read() as session:
        found = session.scalars(
            statement.where(Member.namespace_id == accounts.get(session, org, accounts.ORG).id).order_by(Namespace.name)
        )
        return JSONResponse([wire.user_item(user) for user in found])


@router.get("/api/settings/repositories")
def my_repositories(hub: Hub, viewer: SignedIn) -> JSONResponse:
    """The caller's own repositories and what they take."""
    return _repositories(hub, viewer, viewer.name)


@router.get("/api/organizations/{org}/settings/repositories")
def org_repositories(org: str, hub: Hub, viewer: SignedIn) -> JSONResponse:
    """An organisation's repositories, as far as the caller may see them, and what they take."""
    return _repositories(hub, viewer, org)


def _repositories(hub: Services, viewer: Viewer, name: str) -> JSONResponse:
    with hub.database.read() as session:
        page = explore.find(session, viewer, explore.Query(author=name, sort="lastModified"))
    return JSONResponse([wire.storage_item(repo) for repo in page.repos])


@router.get("/api/agent-harnesses")
def agent_harnesses() -> JSONResponse:
    """What new clients ask once a day; this hub has no such registry."""
    return JSONResponse({"standardEnvVars": [], "harnesses": {}})


@router.api_route("/api/telemetry/{topic:path}", methods=["GET", "HEAD", "POST"])
@router.post("/v1/telemetry")
def telemetry(topic: str = "") -> Response:
    """What clients would tell; nobody listens, nothing is kept."""
    return Response(status_code=204)

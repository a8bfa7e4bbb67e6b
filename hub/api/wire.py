"""The Hugging Face dialect: the one place that knows the names on the wire.

Builders turn what the domain gives into the JSON that clients index; models describe the JSON that clients send.
"""

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.responses import JSONResponse, Response

from hub.access import Commitish, Viewer
from hub.db import now_ms
from hub.errors import BadRequest, TooLarge
from hub.git import Entry, lfs_pointer
from hub.models import AccessRequest, Commit, Discussion, Namespace, Ref, Repo
from hub.publish import AddInline, AddPointer, Delete, Header, Operation
from hub.revisions import Tree
from hub.settings import Settings

MAX_LINE = 16 << 20
MAX_SUMMARY, MAX_DESCRIPTION = 1 << 10, 64 << 10
JSON = dict[str, Any]
_SURROGATE = re.compile("[\ud800-\udfff]")


def iso(milliseconds: int) -> str:
    """A time as the clients parse it: 2026-11-23T12:00:00.000Z."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


class Body(BaseModel):
    """A request body: unknown keys are ignored, since new clients send new ones; text that no database keeps is refused."""

    model_config = ConfigDict(populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        texts = value.values() if isinstance(value, dict) else ()
        if any(isinstance(text, str) and ("\0" in text or _SURROGATE.search(text)) for text in texts):
            raise ValueError("the text holds a NUL character or half of a surrogate pair")
        return value


class WithVisibility(Body):
    """``visibility`` of new clients and ``private`` of old ones; a contradiction or an unknown value is refused."""

    visibility: str | None = None
    private: bool | None = None

    def is_private(self) -> bool | None:
        """What was asked for, None when neither key was sent. Raises BadRequest."""
        if self.visibility not in {None, "public", "private"}:
            raise BadRequest(f"visibility must be public or private; {self.visibility!r} is neither. Nothing was changed.")
        if self.visibility is None:
            return self.private
        if self.private is not None and self.private != (self.visibility == "private"):
            raise BadRequest("visibility and private contradict each other. Send one of them. Nothing was changed.")
        return self.visibility == "private"


class RepoBody(Body):
    """Names a repository, as create and delete do."""

    name: str
    organization: str | None = None
    type: str | None = None

    def namespace_and_name(self, viewer: Viewer) -> tuple[str, str]:
        """Of the repository meant; a bare name is in the caller's own namespace. Raises BadRequest for other kinds than models."""
        check_type(self.type)
        namespace, slash, name = self.name.partition("/")
        if slash:
            return namespace, name
        return self.organization or viewer.name, self.name


def check_type(kind: str | None) -> None:
    """Raise BadRequest for a repository that is no model."""
    if kind not in {None, "model"}:
        raise BadRequest(f"This hub keeps adapters, which are repositories of type model; it has none of type {kind}.")


class CreateBody(RepoBody, WithVisibility):
    """POST /api/repos/create."""

    files: list["FileValue"] = []


class MoveBody(Body):
    """POST /api/repos/move."""

    from_repo: str = Field(alias="fromRepo")
    to_repo: str = Field(alias="toRepo")
    type: str | None = None


class SettingsBody(WithVisibility):
    """PUT .../settings."""

    gated: Literal["auto", "manual", False] | None = None


class BranchBody(Body):
    """POST .../branch/{name}."""

    starting_point: str | None = Field(None, alias="startingPoint")


class TagBody(Body):
    """POST .../tag/{revision}."""

    tag: str
    message: str = ""


class SquashBody(Body):
    """POST .../super-squash/{branch}."""

    message: str = "Super-squash history"


class PreuploadFile(Body):
    """One file of a preupload."""

    path: str
    size: int = Field(ge=0)
    sample: str = Field("", max_length=2_000)


class PreuploadBody(Body):
    """POST .../preupload/{revision}."""

    files: list[PreuploadFile] = Field(max_length=1_000)
    git_ignore: str | None = Field(None, alias="gitIgnore", max_length=64 << 10)


class LfsObject(Body):
    """One object of an LFS batch."""

    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class LfsBatchBody(Body):
    """POST .../info/lfs/objects/batch."""

    operation: str
    transfers: list[str] = []
    objects: list[LfsObject] = Field(max_length=1_000)
    hash_algo: str = "sha256"


class YamlBody(Body):
    """POST /api/validate-yaml."""

    content: str
    repo_type: str | None = Field(None, alias="repoType")


class DiscussionBody(Body):
    """POST .../discussions."""

    title: str = Field(max_length=MAX_SUMMARY)
    description: str = Field("", max_length=MAX_DESCRIPTION)
    pull_request: bool = Field(False, alias="pullRequest")


class StatusBody(Body):
    """POST .../discussions/{n}/status."""

    status: Literal["open", "closed"]


class AccessBody(Body):
    """POST .../user-access-request/handle and /grant: the user by name, or the request by its id."""

    status: str | None = None
    user: str | None = None
    request_id: str | None = Field(None, alias="requestId")


# --- commits, one line at a time -----------------------------------------------------------------------------------


class _HeaderValue(Body):
    summary: str = Field(max_length=MAX_SUMMARY)
    description: str = Field("", max_length=MAX_DESCRIPTION)
    parent: Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")] | None = Field(None, alias="parentCommit")


class FileValue(Body):
    """A file sent inline."""

    path: str
    content: str
    encoding: Literal["base64", "utf-8"] = "utf-8"


class _LfsValue(Body):
    path: str
    algo: Literal["sha256"] = "sha256"
    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int | None = Field(None, ge=0)


class _PathValue(Body):
    path: str


def read_commit(body: IO[bytes], settings: Settings) -> Iterator[Header | Operation]:
    """The header and then the operations of a commit, read from NDJSON a line at a time. Raises BadRequest or TooLarge."""
    number = 0
    while line := body.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise TooLarge(f"Line {number + 1} of the commit is longer than {MAX_LINE} bytes. Send large files through LFS or Xet.")
        if not line.strip():
            continue
        number += 1
        if number > settings.max_commit_operations + 1:
            raise TooLarge(
                f"The commit has more than {settings.max_commit_operations} operations (HUB_MAX_COMMIT_OPERATIONS). Send it in parts."
            )
        yield _read_line(line, number, settings)
    if number == 0:
        raise BadRequest("The commit is empty. Its first line must be the header.")


def _read_line(line: bytes, number: int, settings: Settings) -> Header | Operation:
    try:
        item = json.loads(line)
        key, value = item["key"], item["value"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadRequest(f"Line {number} of the commit is not an object with key and value.") from error
    if (key == "header") != (number == 1):
        raise BadRequest(
            "The first line of a commit must be its header, and only the first." if number == 1 else f"Line {number} is a second header."
        )
    try:
        return _read_value(key, value, settings)
    except ValidationError as error:
        raise BadRequest(f"Line {number} of the commit ({key}): {first_problem(error)}") from error


def _read_value(key: str, value: Any, settings: Settings) -> Header | Operation:
    match key:
        case "header":
            header = _HeaderValue.model_validate(value)
            return Header(header.summary, header.description, header.parent)
        case "file":
            return inline(FileValue.model_validate(value), settings.max_inline_bytes)
        case "lfsFile":
            lfs = _LfsValue.model_validate(value)
            return AddPointer(lfs.path, lfs.oid, lfs.size)
        case "deletedFile":
            return Delete(_PathValue.model_validate(value).path)
        case "deletedFolder":
            return Delete(_PathValue.model_validate(value).path, folder=True)
        case _:
            raise BadRequest(f"This hub knows no commit operation {key!r}. It knows file, lfsFile, deletedFile and deletedFolder.")


def inline(file: FileValue, limit: int) -> AddInline:
    """The operation that adds a file sent inline. Raises BadRequest, or TooLarge for more than ``limit`` bytes."""
    return AddInline(file.path, _content(file, limit))


def _content(file: FileValue, limit: int) -> bytes:
    try:
        content = base64.b64decode(file.content, validate=True) if file.encoding == "base64" else file.content.encode()
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"The content of {file.path!r} is not what its encoding ({file.encoding}) says.") from error
    if len(content) > limit:
        raise TooLarge(
            f"{file.path!r} has {len(content)} bytes; inline files may have {limit} (HUB_MAX_INLINE_BYTES). Send it through LFS or Xet."
        )
    return content


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong with a body, as one sentence."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else problem["msg"]


# --- answers -------------------------------------------------------------------------------------------------------


def lfs_info(entry: Entry) -> JSON:
    """The ``lfs`` object of a file in a tree: all three keys are indexed by clients."""
    return {"oid": entry.sha256, "size": entry.size, "pointerSize": pointer_size(entry)}


def pointer_size(entry: Entry) -> int:
    """Bytes of the LFS pointer that git keeps in place of a file."""
    return len(lfs_pointer(entry.sha256, entry.size))


def tree_item(path: str, tree: Tree, last: Commit | None = None, *, expand: bool = False) -> JSON:
    """A file or folder in a tree."""
    entry = tree.entries.get(path)
    if entry is None:
        item: JSON = {"type": "directory", "oid": tree.folders[path], "size": 0, "path": path}
    else:
        item = {"type": "file", "oid": entry.oid, "size": entry.size, "path": path}
        if entry.lfs:
            item["lfs"] = lfs_info(entry)
    if expand and last is not None:
        item["lastCommit"] = {"id": last.oid, "title": last.title, "date": iso(last.created_at)}
    return item


def sibling(path: str, entry: Entry, *, blobs: bool) -> JSON:
    """A file in model info."""
    if not blobs:
        return {"rfilename": path}
    item: JSON = {"rfilename": path, "size": entry.size, "blobId": entry.oid}
    if entry.lfs:
        item["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": pointer_size(entry)}
    return item


def summary(repo: Repo) -> JSON:
    """A repository as every listing shows it."""
    return {
        "_id": repo.uid,
        "id": repo.full_name,
        "modelId": repo.full_name,
        "author": repo.full_name.split("/")[0],
        "sha": repo.head,
        "createdAt": iso(repo.created_at),
        "lastModified": iso(repo.updated_at),
        "private": repo.private,
        "gated": repo.gated or False,
        "disabled": False,
        "downloads": repo.downloads,
        "likes": repo.likes,
        "trendingScore": repo.trending,
        "tags": repo.tags,
        "pipeline_tag": repo.pipeline_tag,
        "library_name": repo.library_name,
    }


def storage_item(repo: Repo) -> JSON:
    """A repository as its owner's settings list it."""
    return {
        "id": repo.full_name,
        "type": "model",
        "updatedAt": iso(repo.updated_at),
        "visibility": "private" if repo.private else "public",
        "storage": repo.used_storage,
    }


def details(repo: Repo) -> JSON:
    """What model info adds to the summary."""
    return {
        "cardData": repo.card_data,
        "config": repo.config,
        "spaces": [],
        "usedStorage": repo.used_storage,
        "downloadsAllTime": repo.downloads,
    }


def siblings(tree: Tree, *, blobs: bool = False) -> list[JSON]:
    """The files of a commit, as model info shows them."""
    return [sibling(path, tree.entries[path], blobs=blobs) for path in tree.sorted_paths]


EXPANDABLE = {
    *(
        "author",
        "baseModels",
        "cardData",
        "childrenModelCount",
        "config",
        "createdAt",
        "disabled",
        "downloads",
        "downloadsAllTime",
        "evalResults",
    ),
    *(
        "gated",
        "gguf",
        "inference",
        "inferenceProviderMapping",
        "lastModified",
        "library_name",
        "likes",
        "mask_token",
        "model-index",
        "pipeline_tag",
    ),
    *("private", "resourceGroup", "safetensors", "sha", "siblings", "spaces", "tags", "transformersInfo", "trendingScore", "usedStorage"),
    *("widgetData", "xetEnabled", "securityRepoStatus", "resourceGroup"),
}


def expanded(full: JSON, expand: Collection[str]) -> JSON:
    """Only what was asked for, besides the ids. Raises BadRequest for a property that no hub has."""
    unknown = sorted(set(expand) - EXPANDABLE)
    if unknown:
        raise BadRequest(f"Cannot expand {', '.join(unknown)}. Expand any of: {', '.join(sorted(EXPANDABLE))}.")
    return {key: full[key] for key in ("_id", "id", "modelId", *expand) if key in full}


def refs(found: Sequence[Ref], *, pulls: bool) -> JSON:
    """Branches, tags and pull requests."""

    def of(kind: str, prefix: str) -> list[JSON]:
        return [{"name": ref.name, "ref": f"{prefix}{ref.name}", "targetCommit": ref.target} for ref in found if ref.kind == kind]

    listed = {"branches": of("branch", "refs/heads/"), "converts": [], "tags": of("tag", "refs/tags/")}
    if pulls:
        listed["pullRequests"] = [
            {"name": ref.name.removeprefix("refs/"), "ref": ref.name, "targetCommit": ref.target} for ref in found if ref.kind == "pull"
        ]
    return listed


def commit_item(commit: Commit, *, formatted: bool) -> JSON:
    """A commit in a list."""
    item: JSON = {
        "id": commit.oid,
        "title": commit.title,
        "message": commit.description,
        "date": iso(commit.created_at),
        "authors": [{"user": commit.author, "avatar": ""}],
    }
    if formatted:
        item["formatted"] = {"title": commit.title, "message": commit.description}
    return item


def committed(base: str, full_name: str, commit: str, pull: int | None) -> JSON:
    """The answer to a commit."""
    answer: JSON = {"success": True, "commitOid": commit, "commitUrl": f"{base}/{full_name}/commit/{commit}", "hookOutput": ""}
    if pull is not None:
        answer["pullRequestUrl"] = f"{base}/{full_name}/discussions/{pull}"
    return answer


def discussion_item(discussion: Discussion, repo_id: str, *, owner: bool) -> JSON:
    """A discussion in a list."""
    return {
        "num": discussion.num,
        "title": discussion.title,
        "status": discussion.status,
        "isPullRequest": discussion.is_pull,
        "author": {"name": discussion.author, "type": "user", "isOwner": owner, "avatarUrl": ""},
        "createdAt": iso(discussion.created_at),
        "numComments": 1 if discussion.description else 0,
        "numReactionUsers": 0,
        "pinned": False,
        "repo": {"name": repo_id, "type": "model"},
        "repoOwner": {"name": repo_id.split("/", maxsplit=1)[0], "type": "user"},
    }


def discussion_details(discussion: Discussion, repo_id: str) -> JSON:
    """A discussion with its events; a pull request with what it is based on."""
    event: JSON = {
        "id": f"{discussion.num:024x}",
        "author": {"name": discussion.author, "type": "user", "avatarUrl": ""},
        "createdAt": iso(discussion.created_at),
        "type": "comment",
        "data": {
            "edited": False,
            "hidden": False,
            "latest": {
                "raw": discussion.description,
                "html": "",
                "updatedAt": iso(discussion.created_at),
                "author": {"name": discussion.author},
            },
        },
    }
    item = discussion_item(discussion, repo_id, owner=False) | {"events": [event]}
    if discussion.is_pull:
        item |= {"changes": {"base": "refs/heads/main", "mergeCommitId": None}, "filesWithConflicts": [], "diff": ""}
    return item


def status_event(discussion: Discussion, viewer: Viewer) -> JSON:
    """The event that a change of status makes."""
    return {
        "id": f"{discussion.num:024x}",
        "type": "status-change",
        "author": {"name": viewer.name, "type": "user", "avatarUrl": ""},
        "createdAt": iso(now_ms()),
        "data": {"status": discussion.status},
    }


def request_of_user(user_id: int) -> str:
    """The id of a user's request for access to one repository."""
    return f"{user_id:024x}"


def user_of_request(request_id: str) -> int:
    """The user whose request has this id; -1 when it is no such id."""
    return int(request_id, 16) if re.fullmatch("0{9}[0-9a-f]{15}", request_id) else -1


def access_request_item(user: Namespace, request: AccessRequest) -> JSON:
    """A user's request for access."""
    return {
        "user": {
            "_id": str(user.id),
            "user": user.name,
            "fullname": user.fullname or user.name,
            "email": None,
            "isPro": False,
            "type": "user",
        },
        "requestId": request_of_user(user.id),
        "status": request.status,
        "timestamp": iso(request.created_at),
        "fields": {},
    }


def user_item(user: Namespace) -> JSON:
    """A user as likers and members show them."""
    return {
        "_id": str(user.id),
        "user": user.name,
        "fullname": user.fullname or user.name,
        "type": user.kind,
        "isPro": False,
        "avatarUrl": "",
    }


def lfs_file_item(sha256: str, size: int, path: str, pushed_at: int) -> JSON:
    """An LFS file of a repository."""
    return {"fileOid": sha256, "filename": path, "oid": sha256, "pushedAt": iso(pushed_at), "ref": "main", "size": size}


def commit_headers(commit: Commitish) -> Mapping[str, str]:
    """What every answer about a revision carries."""
    return {"X-Repo-Commit": commit.oid}


def next_link(url: str) -> Mapping[str, str]:
    """The header that points to the next page; ``url`` is absolute and the hub's own."""
    return {"Link": f'<{url}>; rel="next"'}


def ok(**extra: Any) -> Response:
    """The answer to a deed that has nothing to report."""
    return JSONResponse({"success": True, **extra})

"""Every error the hub answers with.

HubError                        500
  BadRequest                    400  malformed input
    BadPath                     400  a file path that no repository may hold
    BadName                     400  a namespace or repository name out of rule
  InvalidCredentials            401  a token or password that is unknown, expired or revoked
  SignInRequired                401  anonymous, and the deed needs an account
  RepoNotFound                  404  missing, or not for this caller (401 for anonymous callers)
    Gated                       403  readable as metadata, its files only by leave
  RevisionNotFound              404
  EntryNotFound                 404
  NotFound                      404  anything else that is not there
  Moved                         307  the repository lives under another name now
  Forbidden                     403
  NameReserved                  403
  Conflict                      409
    AlreadyExists               409  carries the URL of what exists
  ParentMismatch                412  the named parent commit is not the head
  BytesLost                     410  the file is known, its bytes are gone from the store
  TooLarge                      413
  AddressTooLong                414
  RangeNotSatisfiable           416
  HeadersTooLarge               431
  Unprocessable                 422  bytes that are not what they were said to be
  Busy                          503  try again; carries Retry-After
  StorageFull                   507

The status and the code are the contract of huggingface_hub's ``hf_raise_for_status``; one handler in
``app.py`` dresses an error as Hugging Face headers and JSON, or as a page.
"""

from collections.abc import Mapping
from typing import Any


class HubError(Exception):
    """An answer that is not a success: status, wire code and a message that says what to do."""

    status = 500
    code: str | None = None

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})
        self.extra = extra


class BadRequest(HubError):
    """The request cannot be understood or breaks a rule; the message names which."""

    status = 400


class BadPath(BadRequest):
    """A file path that no repository may hold."""


class BadName(BadRequest):
    """A namespace or repository name that breaks the naming rule."""


class InvalidCredentials(HubError):
    """Unknown, expired or revoked credentials. The client matches this very text."""

    status = 401

    def __init__(self) -> None:
        super().__init__("Invalid credentials in Authorization header")


class SignInRequired(HubError):
    """The deed needs an account and the caller named none."""

    status = 401


class RepoNotFound(HubError):
    """No such repository, or none that this caller may know of: the two answers are the same."""

    status = 404
    code = "RepoNotFound"

    def __init__(self, *, anonymous: bool = False) -> None:
        super().__init__("Repository not found, or you have no access to it. Check the name, and that your token may read it.")
        if anonymous:
            self.status = 401


class Gated(HubError):
    """The repository is visible, its files are given out only to those who were granted access."""

    status = 403
    code = "GatedRepo"

    def __init__(self, repo_id: str, *, anonymous: bool = False) -> None:
        super().__init__(f"Access to the files of {repo_id} is restricted. Sign in and ask for access: POST /{repo_id}/ask-access.")
        if anonymous:
            self.status = 401


class RevisionNotFound(HubError):
    """No branch, tag or commit of that name in this repository."""

    status = 404
    code = "RevisionNotFound"

    def __init__(self, revision: str) -> None:
        super().__init__(f"Invalid rev id: {revision}")


class EntryNotFound(HubError):
    """No file or folder of that name at this revision; ``commit`` feeds the client's negative cache."""

    status = 404
    code = "EntryNotFound"

    def __init__(self, message: str, *, commit: str | None = None) -> None:
        super().__init__(message, headers={"X-Repo-Commit": commit} if commit else None)


class NotFound(HubError):
    """Something other than a repository, revision or file is not there."""

    status = 404


class Moved(HubError):
    """The repository answers to another name; ``location`` is relative, so that every client follows it."""

    status = 307

    def __init__(self, location: str) -> None:
        super().__init__(f"Temporary Redirect. Redirecting to {location}", headers={"Location": location})


class Forbidden(HubError):
    """The caller is known and may not do this."""

    status = 403


class NameReserved(Forbidden):
    """A name that was used before, or that the hub keeps for itself."""


class Conflict(HubError):
    """The state of the repository does not allow it."""

    status = 409


class AlreadyExists(Conflict):
    """What was to be made is there already; clients with ``exist_ok`` read ``url``."""

    def __init__(self, message: str, url: str | None = None) -> None:
        super().__init__(message)
        if url is not None:
            self.extra["url"] = url


class ParentMismatch(HubError):
    """The commit named as parent is not the head of the branch any more."""

    status = 412

    def __init__(self) -> None:
        super().__init__("A commit has happened since. Please refresh and try again.")


class BytesLost(HubError):
    """A file's bytes are not in the store any more. Not a 404, which clients remember; not a 500, which they repeat for minutes."""

    status = 410

    def __init__(self) -> None:
        super().__init__("The hub has lost the bytes of this file. Upload it again to heal it; the operator runs `adapterhub fsck`.")


class TooLarge(HubError):
    """Something is larger than the hub takes; the message names the limit and its setting."""

    status = 413


class AddressTooLong(HubError):
    """The path is longer than the hub takes."""

    status = 414


class HeadersTooLarge(HubError):
    """The request's headers are larger than the hub takes."""

    status = 431


class RangeNotSatisfiable(HubError):
    """The asked range starts behind the end of the file."""

    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"The range starts behind the end of the file ({size} bytes).", headers={"Content-Range": f"bytes */{size}"})


class Unprocessable(HubError):
    """Bytes arrived that are not what they were said to be."""

    status = 422


class Busy(HubError):
    """The hub cannot take this now; the client may send it again."""

    status = 503

    def __init__(self, message: str, *, retry_after: int = 2) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


class StorageFull(HubError):
    """There is no room left for what was sent."""

    status = 507

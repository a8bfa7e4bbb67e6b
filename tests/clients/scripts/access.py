"""Who may read and write: gated repositories, access requests, tokens. Input: ``repo_id``, ``other``, ``other_token``, ``reader_token``."""

from types import SimpleNamespace
from typing import Any

from _scenario import play, refusal, step
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.utils import get_session, hf_raise_for_status

api = HfApi()


def _read(repo_id: str, token: Any, cache: str) -> dict[str, Any]:
    return refusal(lambda: hf_hub_download(repo_id, "text.txt", token=token, cache_dir=cache))


def _ask(given: SimpleNamespace, repo_id: str) -> None:
    """On a web page one presses a button; this is what the button sends."""
    headers = HfApi(token=given.other_token)._build_hf_headers()
    hf_raise_for_status(get_session().post(f"{api.endpoint}/{repo_id}/ask-access", headers=headers))


def _requests(repo_id: str) -> dict[str, list[str]]:
    lists = {
        "pending": api.list_pending_access_requests,
        "accepted": api.list_accepted_access_requests,
        "rejected": api.list_rejected_access_requests,
    }
    return {status: [each.username for each in listed(repo_id)] for status, listed in lists.items()}


@step
def gated(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    other = HfApi(token=given.other_token)
    api.create_repo(repo)
    api.upload_file(repo_id=repo, path_in_repo="text.txt", path_or_fileobj=b"text")
    open_to_other = _read(repo, given.other_token, "before")
    api.update_repo_settings(repo, gated="manual")
    return {
        "before": open_to_other,
        "other": _read(repo, given.other_token, "gated"),
        "nobody": _read(repo, False, "gated"),
        "owner": _read(repo, given.reader_token, "gated"),
        "info": other.model_info(repo).gated,
        "tree": sorted(other.list_repo_files(repo)),
        "exists": other.repo_exists(repo),
        "auth_check": refusal(lambda: other.auth_check(repo)),
        "listed": [each.id for each in other.list_models(search=repo)],
        "file_exists": refusal(lambda: other.file_exists(repo, "text.txt")),
    }


@step
def asked(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    _ask(given, repo)
    request = next(iter(api.list_pending_access_requests(repo)))
    facts = {
        "asked": _requests(repo),
        "status": request.status,
        "by_id": bool(request.request_id),
        "still": _read(repo, given.other_token, "a"),
    }
    api.accept_access_request(repo, given.other)
    facts |= {"accepted": _requests(repo), "reads": _read(repo, given.other_token, "b")}
    facts["accept_again"] = refusal(lambda: api.accept_access_request(repo, given.other))
    api.cancel_access_request(repo, given.other)
    facts |= {"cancelled": _requests(repo), "reads_no_more": _read(repo, given.other_token, "c")}
    api.reject_access_request(repo, request_id=request.request_id, rejection_reason="Not for you")
    facts |= {"rejected": _requests(repo), "rejected_reads": _read(repo, given.other_token, "d")}
    return facts


@step
def granted(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id + "-granted"
    api.create_repo(repo)
    api.upload_file(repo_id=repo, path_in_repo="text.txt", path_or_fileobj=b"text")
    not_gated = refusal(lambda: api.grant_access(repo, given.other))
    api.update_repo_settings(repo, gated="auto")
    api.grant_access(repo, given.other)
    return {
        "not_gated": not_gated,
        "reads": _read(repo, given.other_token, "e"),
        "again": refusal(lambda: api.grant_access(repo, given.other)),
        "stranger": refusal(lambda: api.grant_access(repo, "no-such-user")),
        "not_the_owner": refusal(lambda: HfApi(token=given.other_token).grant_access(repo, given.other)),
        "list_by_other": refusal(lambda: list(HfApi(token=given.other_token).list_pending_access_requests(repo))),
        "unknown_request": refusal(lambda: api.accept_access_request(repo, request_id="0" * 24)),
    }


@step
def automatic(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id + "-auto"
    api.create_repo(repo)
    api.upload_file(repo_id=repo, path_in_repo="text.txt", path_or_fileobj=b"text")
    api.update_repo_settings(repo, gated="auto")
    before = _read(repo, given.other_token, "f")
    _ask(given, repo)
    facts = {"before": before, "after": _read(repo, given.other_token, "f"), "requests": _requests(repo)}
    api.update_repo_settings(repo, gated=False)
    return facts | {"open": _read(repo, False, "g")}


@step
def reader_token(given: SimpleNamespace) -> dict[str, Any]:
    """A token that may only read, of the owner."""
    reader = HfApi(token=given.reader_token)
    return {
        "role": reader.whoami()["auth"]["accessToken"]["role"],
        "reads": _read(given.repo_id, given.reader_token, "h"),
        "upload": refusal(lambda: reader.upload_file(repo_id=given.repo_id, path_in_repo="x.txt", path_or_fileobj=b"x")),
        "create": refusal(lambda: reader.create_repo(given.repo_id + "-reader")),
        "delete": refusal(lambda: reader.delete_repo(given.repo_id)),
        "settings": refusal(lambda: reader.update_repo_settings(given.repo_id, gated=False)),
    }


if __name__ == "__main__":
    play()

"""Every way to be refused, as the user's code meets it. Input: ``repo_id``, ``other_token``, ``revoked_token``."""

from types import SimpleNamespace
from typing import Any

from _scenario import play, refusal, step
from huggingface_hub import HfApi, get_token, hf_hub_download, list_repo_tree, snapshot_download
from huggingface_hub.file_download import get_hf_file_metadata, hf_hub_url
from huggingface_hub.utils import get_session, hf_raise_for_status

TOO_LONG = "x" * (2 << 20)
api = HfApi()


@step
def repository_not_found(given: SimpleNamespace) -> dict[str, Any]:
    missing = "no-such-user/no-such-repo"
    calls = {
        "info": lambda api: api.model_info(missing),
        "refs": lambda api: api.list_repo_refs(missing),
        "tree": lambda api: list(api.list_repo_tree(missing)),
        "commits": lambda api: api.list_repo_commits(missing),
        "paths": lambda api: api.get_paths_info(missing, ["x"]),
        "download": lambda api: api.hf_hub_download(missing, "config.json"),
        "snapshot": lambda api: api.snapshot_download(missing),
        "upload": lambda api: api.upload_file(repo_id=missing, path_in_repo="x", path_or_fileobj=b"x"),
        "delete": lambda api: api.delete_repo(missing),
    }
    viewers = {"user": api, "nobody": HfApi(token=False)}
    return {who: {name: refusal(lambda call=call, view=view: call(view)) for name, call in calls.items()} for who, view in viewers.items()}


@step
def revision_not_found(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    api.create_repo(repo)
    api.upload_file(repo_id=repo, path_in_repo="folder/text.txt", path_or_fileobj=b"text")
    return {
        "info": refusal(lambda: api.model_info(repo, revision="nowhere")),
        "tree": refusal(lambda: list(list_repo_tree(repo, revision="no/where"))),
        "download": refusal(lambda: hf_hub_download(repo, "folder/text.txt", revision="nowhere")),
        "snapshot": refusal(lambda: snapshot_download(repo, revision="0" * 40)),
        "upload": refusal(lambda: api.upload_file(repo_id=repo, path_in_repo="x", path_or_fileobj=b"x", revision="nowhere")),
        "commits": refusal(lambda: api.list_repo_commits(repo, revision="nowhere")),
    }


@step
def entry_not_found(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    head = api.model_info(repo).sha
    missing = get_session().head(hf_hub_url(repo, "nowhere.txt"), headers=api._build_hf_headers())
    return {
        "download": refusal(lambda: hf_hub_download(repo, "nowhere.txt")),
        "folder": refusal(lambda: hf_hub_download(repo, "folder")),
        "metadata": refusal(lambda: get_hf_file_metadata(hf_hub_url(repo, "nowhere.txt"))),
        "tree": refusal(lambda: list(list_repo_tree(repo, "nowhere"))),
        "delete": refusal(lambda: api.delete_file("nowhere.txt", repo)),
        "commit_header": missing.headers["x-repo-commit"] == head,
        "metadata_found": get_hf_file_metadata(hf_hub_url(repo, "folder/text.txt")).size,
    }


@step
def bad_request(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    return {
        "path": refusal(lambda: api.upload_file(repo_id=repo, path_in_repo="folder//text.txt", path_or_fileobj=b"x")),
        "branch": refusal(lambda: api.create_branch(repo, branch="two..dots")),
        "tag": refusal(lambda: api.create_tag(repo, tag="with space")),
    }


@step
def conflict(given: SimpleNamespace) -> dict[str, Any]:
    head = api.model_info(given.repo_id).sha
    first = api.list_repo_commits(given.repo_id)[-1].commit_id
    return {
        "exists": refusal(lambda: api.create_repo(given.repo_id)),
        "case": refusal(lambda: api.create_repo(given.repo_id.upper().replace("ALICE", "alice"))),
        "late": refusal(lambda: api.upload_file(repo_id=given.repo_id, path_in_repo="x", path_or_fileobj=b"x", parent_commit=first)),
        "moved": api.model_info(given.repo_id).sha != head,
        "too_large": refusal(lambda: api.super_squash_history(given.repo_id, commit_message=TOO_LONG)),
        "file_as_folder": refusal(lambda: api.upload_file(repo_id=given.repo_id, path_in_repo="folder/text.txt/x", path_or_fileobj=b"x")),
    }


@step
def forbidden(given: SimpleNamespace) -> dict[str, Any]:
    repo, other = given.repo_id, HfApi(token=given.other_token)
    return {
        "upload": refusal(lambda: other.upload_file(repo_id=repo, path_in_repo="x", path_or_fileobj=b"x")),
        "branch": refusal(lambda: other.create_branch(repo, branch="x")),
        "tag": refusal(lambda: other.create_tag(repo, tag="x")),
        "delete": refusal(lambda: other.delete_repo(repo)),
        "settings": refusal(lambda: other.update_repo_settings(repo, private=True)),
        "move": refusal(lambda: other.move_repo(repo, repo + "-x")),
        "squash": refusal(lambda: other.super_squash_history(repo)),
        "anonymous": refusal(lambda: HfApi(token=False).upload_file(repo_id=repo, path_in_repo="x", path_or_fileobj=b"x")),
    }


@step
def invalid_token(given: SimpleNamespace) -> dict[str, Any]:
    """An unknown token is refused even where nobody would be let in."""
    seen = {}
    for name, token in {"unknown": "hf_" + "x" * 34, "revoked": given.revoked_token, "foreign": "not-a-token"}.items():
        wrong = HfApi(token=token)
        seen[name] = {
            "info": refusal(lambda wrong=wrong: wrong.model_info(given.repo_id)),
            "download": refusal(lambda token=token: hf_hub_download(given.repo_id, "folder/text.txt", token=token, cache_dir="x")),
            "list": refusal(lambda wrong=wrong: list(wrong.list_models(limit=1))),
            "create": refusal(lambda wrong=wrong: wrong.create_repo(given.repo_id + "-x")),
        }
    return {"seen": seen, "whoami": refusal(lambda: HfApi(token="hf_" + "x" * 34).whoami()), "own": get_token() is not None}


@step
def raw_answers(given: SimpleNamespace) -> dict[str, Any]:
    """An unknown route and a wrong method are errors too, in JSON."""
    headers = api._build_hf_headers()
    unknown = get_session().get(f"{api.endpoint}/api/no-such-route", headers=headers)
    garbled = get_session().post(f"{api.endpoint}/api/repos/create", content=b"{not json", headers=headers)
    return {
        "unknown": {"status": unknown.status_code, "error": unknown.json().get("error")},
        "garbled": {"status": garbled.status_code, "error": garbled.json().get("error")},
        "garbled_raises": refusal(lambda: hf_raise_for_status(garbled)),
    }


if __name__ == "__main__":
    play()

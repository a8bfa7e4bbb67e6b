"""The life of a repository: made, shown, hidden, moved, liked, deleted. Input: ``repo_id``, ``org``, ``other_token``."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from _scenario import play, refusal, step
from huggingface_hub import HfApi, hf_hub_download, list_liked_repos, list_repo_likers
from huggingface_hub.utils import get_session, hf_raise_for_status

api = HfApi()
nobody = HfApi(token=False)


@step
def whoami(given: SimpleNamespace) -> dict[str, Any]:
    me = api.whoami()
    return {"name": me["name"], "type": me["type"], "orgs": {org["name"]: org["roleInOrg"] for org in me["orgs"]}, "auth": me["auth"]}


@step
def create(given: SimpleNamespace) -> dict[str, Any]:
    made = api.create_repo(given.repo_id)
    short = api.create_repo(given.repo_id.split("/")[1] + "-short")
    of_org = api.create_repo(f"{given.org}/of-the-org", private=True)
    return {
        "repo_id": made.repo_id,
        "url": str(made),
        "short": short.repo_id,
        "org": of_org.repo_id,
        "org_private": api.model_info(of_org.repo_id).private,
        "files": api.list_repo_files(given.repo_id),
        "exists": refusal(lambda: api.create_repo(given.repo_id)),
        "not_mine": refusal(lambda: api.create_repo("admin/not-mine")),
        "nowhere": refusal(lambda: api.create_repo("no-such-namespace/model")),
        "anonymous": refusal(lambda: nobody.create_repo(given.repo_id + "-x")),
        "dataset": refusal(lambda: api.create_repo(given.repo_id + "-data", repo_type="dataset")),
    }


@step
def exists(given: SimpleNamespace) -> dict[str, Any]:
    api.upload_file(repo_id=given.repo_id, path_in_repo="sub/file.txt", path_or_fileobj=b"text")
    return {
        "repo": api.repo_exists(given.repo_id),
        "no_repo": api.repo_exists(given.repo_id + "-nowhere"),
        "revision": api.revision_exists(given.repo_id, "main"),
        "no_revision": api.revision_exists(given.repo_id, "nowhere"),
        "file": api.file_exists(given.repo_id, "sub/file.txt"),
        "no_file": api.file_exists(given.repo_id, "sub/nowhere.txt"),
        "folder_is_no_file": api.file_exists(given.repo_id, "sub"),
    }


@step
def private(given: SimpleNamespace) -> dict[str, Any]:
    """For those who may not see it, a private repository is exactly like one that does not exist."""
    repo = given.repo_id
    other = HfApi(token=given.other_token)
    api.update_repo_settings(repo, private=True)
    mine = api.model_info(repo).private
    seen = {}
    for name, who in {"other": other, "nobody": nobody}.items():
        seen[name] = {
            "info": refusal(lambda who=who: who.model_info(repo)),
            "missing": refusal(lambda who=who: who.model_info(repo + "-nowhere")),
            "file": refusal(lambda who=who: who.hf_hub_download(repo, "sub/file.txt", cache_dir="elsewhere")),
            "listed": [info.id for info in who.list_models(author=repo.split("/")[0]) if info.id == repo],
            "write": refusal(lambda who=who: who.upload_file(repo_id=repo, path_in_repo="x", path_or_fileobj=b"x")),
        }
    api.update_repo_settings(repo, private=False)
    return {"mine": mine, "seen": seen, "public_again": other.model_info(repo).private}


@step
def auth_check(given: SimpleNamespace) -> dict[str, Any]:
    other = HfApi(token=given.other_token)
    api.auth_check(given.repo_id)
    api.auth_check(given.repo_id, write=True)
    other.auth_check(given.repo_id)
    return {
        "other_write": refusal(lambda: other.auth_check(given.repo_id, write=True)),
        "missing": refusal(lambda: api.auth_check(given.repo_id + "-nowhere")),
    }


@step
def likes(given: SimpleNamespace) -> dict[str, Any]:
    """The library can take a like back but not give one, so the giving is a bare request."""
    answer = get_session().post(f"{api.endpoint}/api/models/{given.repo_id}/like", headers=api._build_hf_headers())
    hf_raise_for_status(answer)
    facts = {
        "liked": list_liked_repos().models,
        "likers": [user.username for user in list_repo_likers(given.repo_id)],
        "count": api.model_info(given.repo_id).likes,
        "of_user": list_liked_repos(given.repo_id.split("/")[0]).models,
    }
    api.unlike(given.repo_id)
    return facts | {"after": list_liked_repos().models, "count_after": api.model_info(given.repo_id).likes}


@step
def move(given: SimpleNamespace) -> dict[str, Any]:
    """Everything that knew the old name goes on to work."""
    old, new = given.repo_id, f"{given.org}/moved"
    api.move_repo(old, new)
    given.new = new
    path = hf_hub_download(old, "sub/file.txt", cache_dir="moved")
    facts = {
        "info_by_old": api.model_info(old).id,
        "info_by_new": api.model_info(new).id,
        "read_by_old": Path(path).read_text(),
        "missing_by_old": refusal(lambda: hf_hub_download(old, "nowhere.txt", cache_dir="moved")),
        "tree_by_old": sorted(api.list_repo_files(old)),
        "exists_by_old": api.repo_exists(old),
        "onto_itself": refusal(lambda: api.move_repo(new, f"{given.org}/of-the-org")),
        "missing": refusal(lambda: api.move_repo(old + "-nowhere", new + "-x")),
    }
    api.upload_file(repo_id=new, path_in_repo="after.txt", path_or_fileobj=b"after")
    return facts | {"write_by_new": api.file_exists(old, "after.txt")}


@step
def delete(given: SimpleNamespace) -> dict[str, Any]:
    other = HfApi(token=given.other_token)
    not_mine = refusal(lambda: other.delete_repo(given.new))
    api.delete_repo(given.new)
    api.delete_repo(given.new, missing_ok=True)
    return {
        "not_mine": not_mine,
        "exists": api.repo_exists(given.new),
        "again": refusal(lambda: api.delete_repo(given.new)),
        "download": refusal(lambda: hf_hub_download(given.new, "sub/file.txt", cache_dir="deleted")),
        "old_name": api.repo_exists(given.repo_id),
    }


if __name__ == "__main__":
    play()

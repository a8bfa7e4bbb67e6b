"""The history of a repository: revisions, branches, tags, commits, pull requests. Input: ``repo_id``."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from _scenario import play, refusal, step
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, hf_hub_download

LARGE = b"large file " * 1_200_000
api = HfApi()


def _put(repo_id: str, name: str, data: bytes, **options: Any) -> Any:
    return api.upload_file(repo_id=repo_id, path_in_repo=name, path_or_fileobj=data, **options)


def _read(repo_id: str, name: str, revision: str | None = None) -> str:
    return Path(hf_hub_download(repo_id, name, revision=revision)).read_text()


@step
def revisions(given: SimpleNamespace) -> dict[str, Any]:
    """The client's own cache must not hide a change."""
    repo = given.repo_id
    api.create_repo(repo)
    given.old = _put(repo, "state.txt", b"old", commit_message="The old state").oid
    api.create_tag(repo, tag="v1", tag_message="The first release")
    seen = {"before": _read(repo, "state.txt")}
    given.new = _put(repo, "state.txt", b"new", commit_message="The new state", commit_description="With a reason.").oid
    return seen | {
        "main": _read(repo, "state.txt"),
        "tag": _read(repo, "state.txt", "v1"),
        "old_commit": _read(repo, "state.txt", given.old),
        "new_commit": _read(repo, "state.txt", given.new),
        "head": api.model_info(repo).sha == given.new,
        "tag_info": api.model_info(repo, revision="v1").sha == given.old,
    }


@step
def commits(given: SimpleNamespace) -> dict[str, Any]:
    listed = api.list_repo_commits(given.repo_id, formatted=True)
    return {
        "ids": [each.commit_id for each in listed][:2] == [given.new, given.old],
        "titles": [each.title for each in listed],
        "message": listed[0].message,
        "authors": [each.authors for each in listed],
        "newest_first": [each.created_at for each in listed] == sorted((each.created_at for each in listed), reverse=True),
        "at_tag": [each.title for each in api.list_repo_commits(given.repo_id, revision="v1")],
    }


@step
def branches(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    api.create_branch(repo, branch="dev/x")
    api.create_branch(repo, branch="from-old", revision=given.old)
    api.create_branch(repo, branch="dev/x", exist_ok=True)
    exists = refusal(lambda: api.create_branch(repo, branch="dev/x"))
    _put(repo, "only-dev.txt", b"dev", revision="dev/x")
    refs = {ref.name: (ref.ref, ref.target_commit) for ref in api.list_repo_refs(repo).branches}
    facts = {
        "exists": exists,
        "names": sorted(refs),
        "ref": refs["dev/x"][0],
        "from_old": refs["from-old"][1] == given.old,
        "on_dev": _read(repo, "only-dev.txt", "dev/x"),
        "on_main": api.file_exists(repo, "only-dev.txt"),
        "revision_exists": api.revision_exists(repo, "dev/x"),
    }
    api.delete_branch(repo, branch="dev/x")
    return facts | {
        "gone": api.revision_exists(repo, "dev/x"),
        "delete_again": refusal(lambda: api.delete_branch(repo, branch="dev/x")),
        "delete_main": refusal(lambda: api.delete_branch(repo, branch="main")),
        "main_is_there": api.revision_exists(repo, "main"),
        "start_nowhere": refusal(lambda: api.create_branch(repo, branch="y", revision="nowhere")),
    }


@step
def tags(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    api.create_tag(repo, tag="v0", revision=given.old)
    exists = refusal(lambda: api.create_tag(repo, tag="v0"))
    api.create_tag(repo, tag="v0", exist_ok=True)
    listed = {tag.name: (tag.ref, tag.target_commit == given.old) for tag in api.list_repo_refs(repo).tags}
    api.delete_tag(repo, tag="v0")
    return {
        "exists": exists,
        "listed": listed,
        "gone": api.revision_exists(repo, "v0"),
        "delete_again": refusal(lambda: api.delete_tag(repo, tag="v0")),
        "tag_nowhere": refusal(lambda: api.create_tag(repo, tag="v9", revision="nowhere")),
    }


@step
def deletions(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    names = ["keep.txt", "gone.txt", "folder/a.txt", "folder/sub/b.txt", "logs/1.log", "logs/2.log"]
    adds = [CommitOperationAdd(name, name.encode()) for name in names]
    api.create_commit(repo, adds, commit_message="Things to delete")
    api.delete_file("gone.txt", repo)
    api.delete_folder("folder", repo)
    api.delete_files(repo, ["logs/*.log"])
    return {
        "left": [name for name in api.list_repo_files(repo) if name in names],
        "file": refusal(lambda: api.delete_file("never.txt", repo)),
        "folder": refusal(lambda: api.delete_folder("never", repo)),
        "download": refusal(lambda: hf_hub_download(repo, "gone.txt")),
    }


@step
def one_commit_of_many_operations(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    given.large = _put(repo, "large.txt", LARGE).oid
    operations = [
        CommitOperationAdd("new/small.txt", b"small"),
        CommitOperationCopy(src_path_in_repo="keep.txt", path_in_repo="new/copy.txt"),
        CommitOperationCopy(src_path_in_repo="large.txt", path_in_repo="new/large.txt"),
        CommitOperationDelete("large.txt"),
    ]
    before = len(api.list_repo_commits(repo))
    api.create_commit(repo, operations, commit_message="Add, copy and delete")
    return {
        "commits": len(api.list_repo_commits(repo)) - before,
        "copy": _read(repo, "new/copy.txt"),
        "large": Path(hf_hub_download(repo, "new/large.txt")).read_bytes() == LARGE,
        "gone": api.file_exists(repo, "large.txt"),
        "gone_before": api.file_exists(repo, "large.txt", revision=given.large),
    }


@step
def parent_commit(given: SimpleNamespace) -> dict[str, Any]:
    head = api.model_info(given.repo_id).sha
    good = _put(given.repo_id, "parent.txt", b"1", parent_commit=head).oid
    late = refusal(lambda: _put(given.repo_id, "parent.txt", b"2", parent_commit=head))
    return {"late": late, "head_is_good": api.model_info(given.repo_id).sha == good, "text": _read(given.repo_id, "parent.txt")}


@step
def pull_request_of_a_file(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    head = api.model_info(repo).sha
    done = _put(repo, "proposal.txt", b"proposed", create_pr=True, commit_message="A proposal", commit_description="Because.")
    given.first = done.pr_num
    details = api.get_discussion_details(repo, done.pr_num)
    return {
        "url": done.pr_url,
        "revision": done.pr_revision,
        "on_main": api.file_exists(repo, "proposal.txt"),
        "main_untouched": api.model_info(repo).sha == head,
        "on_pr": _read(repo, "proposal.txt", done.pr_revision),
        "rest_on_pr": _read(repo, "keep.txt", done.pr_revision),
        "title": details.title,
        "author": details.author,
        "status": details.status,
        "is_pull_request": details.is_pull_request,
        "target": details.target_branch,
        "events": [event.type for event in details.events],
    }


@step
def pull_request_of_a_folder(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    folder = Path("proposal")
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "large.txt").write_bytes(LARGE + b"changed")
    done = api.upload_folder(repo_id=repo, folder_path=folder, path_in_repo="proposed", create_pr=True, commit_message="A folder")
    given.second = done.pr_num
    revision = f"refs/pr/{done.pr_num}"
    more = _put(repo, "proposed/more.txt", b"more", revision=revision)
    return {
        "numbers": done.pr_num - given.first,
        "on_pr": sorted(name for name in api.list_repo_files(repo, revision=revision) if name.startswith("proposed/")),
        "on_main": [name for name in api.list_repo_files(repo) if name.startswith("proposed/")],
        "large": Path(hf_hub_download(repo, "proposed/large.txt", revision=revision)).stat().st_size == len(LARGE) + len(b"changed"),
        "more_is_head": api.model_info(repo, revision=revision).sha == more.oid,
    }


@step
def discussions(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    listed = list(api.get_repo_discussions(repo, discussion_type="pull_request"))
    refs = api.list_repo_refs(repo, include_pull_requests=True).pull_requests
    return {
        "numbers": sorted(each.num for each in listed) == [given.first, given.second],
        "titles": sorted(each.title for each in listed),
        "authors": sorted({each.author for each in listed}),
        "repo": sorted({each.repo_id for each in listed}),
        "refs": sorted(ref.ref for ref in refs) == sorted(f"refs/pr/{number}" for number in (given.first, given.second)),
        "nobody": [each.num for each in api.get_repo_discussions(repo, author="nobody-of-that-name")],
        "plain": [each.num for each in api.get_repo_discussions(repo, discussion_type="discussion")],
    }


@step
def squash(given: SimpleNamespace) -> dict[str, Any]:
    repo = given.repo_id
    before = sorted(api.list_repo_files(repo))
    api.super_squash_history(repo, commit_message="One commit")
    return {
        "titles": [each.title for each in api.list_repo_commits(repo)],
        "same_files": sorted(api.list_repo_files(repo)) == before,
        "text": _read(repo, "state.txt"),
        "tag": _read(repo, "state.txt", "v1"),
        "nowhere": refusal(lambda: api.super_squash_history(repo, branch="nowhere")),
    }


if __name__ == "__main__":
    play()

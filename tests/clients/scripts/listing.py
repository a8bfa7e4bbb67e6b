"""What is there: lists of repositories, facts of one, its files. Input: ``org`` (a namespace of its own), ``other_token``."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from _scenario import play, refusal, step
from huggingface_hub import HfApi, RepoFile, hf_hub_download
from huggingface_hub.utils import get_session, hf_raise_for_status
from huggingface_hub.utils._pagination import paginate

LARGE = b"large file " * 1_200_000
COUNTED_WITHIN = 20.0
api = HfApi()

CARDS = {
    "apple": "language: en\nlicense: apache-2.0\ntags: [fruit, red]\npipeline_tag: text-classification\ndatasets: [imdb]",
    "banana": "language: en\nlicense: mit\ntags: [fruit, yellow]\nbase_model: org/base",
    "cherry": "language: de\nlicense: apache-2.0\ntags: [fruit, red]\nlibrary_name: peft",
    "dill": "language: [de, en]\ntags: [herb]",
    "secret": "tags: [fruit, red]",
}


def _names(infos: Any) -> list[str]:
    return [info.id.split("/")[1] for info in infos]


@step
def make(given: SimpleNamespace) -> list[str]:
    """Five repositories, one after the other; the last is private, and the first is changed once more at the end."""
    for name, front in CARDS.items():
        repo = f"{given.org}/{name}"
        api.create_repo(repo, private=name == "secret")
        api.upload_file(repo_id=repo, path_in_repo="README.md", path_or_fileobj=f"---\n{front}\n---\n\n# {name}\n".encode())
    api.upload_file(repo_id=f"{given.org}/apple", path_in_repo="sub/dir/large.dat", path_or_fileobj=LARGE)
    api.update_repo_settings(f"{given.org}/dill", gated="manual")
    return sorted(_names(api.list_models(author=given.org)))


@step
def by_tags(given: SimpleNamespace) -> dict[str, list[str]]:
    def found(**query: Any) -> list[str]:
        return sorted(_names(api.list_models(author=given.org, **query)))

    return {
        "one": found(filter="fruit"),
        "two": found(filter=["fruit", "red"]),
        "contradiction": found(filter=["red", "yellow"]),
        "license": found(filter="license:apache-2.0"),
        "language": found(filter="de"),
        "dataset": found(filter="dataset:imdb"),
        "trained": found(trained_dataset="imdb"),
        "base": found(filter="base_model:org/base"),
        "library": found(filter="peft"),
        "task": found(pipeline_tag="text-classification"),
        "gated": found(gated=True),
        "open": found(gated=False),
        "case": found(filter="FRUIT"),
        "unknown": found(filter="no-such-tag"),
    }


@step
def by_words(given: SimpleNamespace) -> dict[str, list[str]]:
    return {
        "part": _names(api.list_models(search="anan", author=given.org)),
        "case": _names(api.list_models(search="BANANA", author=given.org)),
        "full_name": _names(api.list_models(search=f"{given.org}/dill")),
        "nothing": _names(api.list_models(search="no-such-word-anywhere")),
        "wildcards": _names(api.list_models(search="%", author=given.org)),
        "nobody": _names(api.list_models(author="no-such-author")),
    }


@step
def by_viewer(given: SimpleNamespace) -> dict[str, list[str]]:
    other, nobody = HfApi(token=given.other_token), HfApi(token=False)
    return {
        "other": sorted(_names(other.list_models(author=given.org))),
        "nobody": sorted(_names(nobody.list_models(author=given.org))),
    }


@step
def in_order(given: SimpleNamespace) -> dict[str, list[str]]:
    _like(given, "cherry")
    _download(given, "banana")
    keys = ["created_at", "last_modified", "likes", "downloads", "trending_score"]
    return {key: _names(api.list_models(author=given.org, sort=key)) for key in keys} | {
        "default": _names(api.list_models(author=given.org))
    }


def _like(given: SimpleNamespace, name: str) -> None:
    hf_raise_for_status(get_session().post(f"{api.endpoint}/api/models/{given.org}/{name}/like", headers=api._build_hf_headers()))


def _download(given: SimpleNamespace, name: str) -> None:
    """Downloads are counted in memory and written a little later."""
    hf_hub_download(f"{given.org}/{name}", "README.md")
    deadline = time.monotonic() + COUNTED_WITHIN
    while not api.model_info(f"{given.org}/{name}").downloads and time.monotonic() < deadline:
        time.sleep(0.2)


@step
def in_pages(given: SimpleNamespace) -> dict[str, Any]:
    """``paginate`` is what list_models walks with; a small ``limit`` makes the hub's pages small."""
    url, headers = f"{api.endpoint}/api/models", api._build_hf_headers()
    pages = {}
    for sort in ("createdAt", "lastModified", "likes", "downloads", "trendingScore"):
        query = {"author": given.org, "limit": 2, "sort": sort}
        walked = [item["id"].split("/")[1] for item in paginate(url, params=query, headers=headers)]
        whole = _names(api.list_models(author=given.org, sort={"createdAt": "created_at"}.get(sort, sort)))
        pages[sort] = {"walked": walked, "whole": whole}
    link = get_session().get(url, params={"author": given.org, "limit": 2, "filter": ["fruit", "red"]}, headers=headers).headers["link"]
    return {"pages": pages, "link": link, "limited": len(list(api.list_models(author=given.org, limit=3)))}


@step
def with_more(given: SimpleNamespace) -> dict[str, Any]:
    def apple(**options: Any) -> Any:
        return next(info for info in api.list_models(author=given.org, **options) if info.id.endswith("/apple"))

    plain, full, card, few = apple(), apple(full=True), apple(cardData=True), apple(expand=["downloads", "likes", "tags"])
    return {
        "plain": {"private": plain.private, "tags": plain.tags, "task": plain.pipeline_tag, "likes": plain.likes},
        "full": {"siblings": sorted(each.rfilename for each in full.siblings), "author": full.author, "sha": full.sha},
        "card": card.card_data.to_dict(),
        "few": {"downloads": few.downloads, "likes": few.likes, "tags": few.tags, "author": few.author, "sha": few.sha},
        "dates": full.created_at < full.last_modified,
    }


@step
def info(given: SimpleNamespace) -> dict[str, Any]:
    repo = f"{given.org}/apple"
    plain = api.model_info(repo)
    files = {each.rfilename: each for each in api.model_info(repo, files_metadata=True).siblings}
    few = api.model_info(repo, expand=["likes", "siblings", "cardData", "usedStorage"])
    readme, large = files["README.md"], files["sub/dir/large.dat"]
    return {
        "id": plain.id,
        "author": plain.author,
        "sha": plain.sha,
        "private": plain.private,
        "gated": plain.gated,
        "disabled": plain.disabled,
        "tags": plain.tags,
        "task": plain.pipeline_tag,
        "card": plain.card_data.to_dict(),
        "siblings": sorted(each.rfilename for each in plain.siblings),
        "by_sha": api.model_info(repo, revision=plain.sha).id,
        "by_short_sha": refusal(lambda: api.model_info(repo, revision=plain.sha[:3])),
        "secure": sorted(each.rfilename for each in api.model_info(repo, securityStatus=True).siblings),
        "readme": {"size": readme.size, "blob_id": readme.blob_id, "lfs": readme.lfs},
        "large": {"size": large.size, "lfs": large.lfs and dict(large.lfs)},
        "few": {
            "likes": few.likes,
            "author": few.author,
            "siblings": len(few.siblings),
            "stored": few.used_storage,
            "card": bool(few.card_data),
        },
        "gated_info": api.model_info(f"{given.org}/dill").gated,
        "many": [each.rfilename for each in api.model_info(f"{given.org}/secret").siblings],
    }


@step
def tree(given: SimpleNamespace) -> dict[str, Any]:
    repo = f"{given.org}/apple"

    def listed(*args: Any, **options: Any) -> list[list[Any]]:
        found = api.list_repo_tree(repo, *args, **options)
        return sorted([each.path, type(each).__name__] for each in found)

    expanded = {each.path: each for each in api.list_repo_tree(repo, recursive=True, expand=True)}
    large = expanded["sub/dir/large.dat"]
    return {
        "top": listed(),
        "recursive": listed(recursive=True),
        "below": listed("sub/dir"),
        "below_recursive": listed("sub", recursive=True),
        "missing": refusal(lambda: listed("nowhere")),
        "missing_revision": refusal(lambda: listed(revision="nowhere")),
        "lfs": dict(large.lfs),
        "blob_id": large.blob_id,
        "last_commit": large.last_commit.title,
        "folder_commit": expanded["sub"].last_commit.title,
        "readme_commit": expanded["README.md"].last_commit.oid,
        "security": large.security and {"safe": large.security.safe, "status": large.security.status},
        "tree_id": expanded["sub"].tree_id,
    }


@step
def tree_in_pages(given: SimpleNamespace) -> dict[str, Any]:
    """Enough files for several pages; the client follows the links and keeps the listing of a commit on its disk."""
    repo = f"{given.org}/many"
    folder = Path("many")
    for number in range(1100):
        path = folder / f"d{number % 7}" / f"{number:04}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    api.create_repo(repo)
    api.upload_folder(repo_id=repo, folder_path=folder)
    files = [each for each in api.list_repo_tree(repo, recursive=True) if isinstance(each, RepoFile) and each.path.startswith("d")]
    expanded = [each for each in api.list_repo_tree(repo, "d0", expand=True) if each.last_commit]
    return {"files": len(files), "different": len({each.path for each in files}), "expanded": len(expanded)}


@step
def paths_info(given: SimpleNamespace) -> dict[str, Any]:
    repo = f"{given.org}/apple"
    plain = api.get_paths_info(repo, ["README.md", "sub", "nowhere.txt", "sub/dir/large.dat"])
    expanded = api.get_paths_info(repo, "README.md", expand=True)
    return {
        "found": sorted([each.path, type(each).__name__] for each in plain),
        "sizes": {each.path: each.size for each in plain if isinstance(each, RepoFile)},
        "last_commit": expanded[0].last_commit.title,
        "nothing": api.get_paths_info(repo, ["nowhere.txt"]),
        "missing_revision": refusal(lambda: api.get_paths_info(repo, ["README.md"], revision="nowhere")),
    }


if __name__ == "__main__":
    play()

"""Object ids: compared with those the real git program gives."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hub import git, names
from hub.errors import BadRequest

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

Git = Callable[..., bytes]


@pytest.fixture(scope="module")
def run_git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    """Runs git in a new repository, away from the configuration of whoever runs the tests: ``run_git("mktree", stdin=b"")``."""
    folder = tmp_path_factory.mktemp("git")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}

    def run(*arguments: str, stdin: bytes = b"", **extra: str) -> bytes:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=folder, env=environment | extra, input=stdin, check=True, capture_output=True).stdout.rstrip(
            b"\n"
        )

    run("init", "-q")
    return run


def entry(content: bytes) -> git.Entry:
    return git.Entry(git.blob_oid(content), len(content), "0" * 64, False)


@pytest.mark.parametrize("data", [b"", b"hello\n", bytes(range(256)) * 300])
def test_blob_oid_is_that_of_git(run_git: Git, data: bytes) -> None:
    assert git.blob_oid(data) == run_git("hash-object", "--stdin", stdin=data).decode()


def test_blob_id_of_a_known_file() -> None:
    assert git.blob_oid(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_lfs_pointer_is_that_of_the_specification() -> None:
    oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
    assert git.lfs_pointer(oid, 12345) == f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n".encode()


def test_empty_tree() -> None:
    assert git.tree_oids({}) == {"": EMPTY_TREE}


def git_tree_oids(run_git: Git, entries: dict[str, git.Entry], index: Path) -> dict[str, str]:
    """The ids of all folders as git's own index and ``write-tree`` make them."""
    index.unlink(missing_ok=True)
    where = {"GIT_INDEX_FILE": str(index)}
    lines = b"".join(f"100644 {entry.oid}\t{path}\0".encode() for path, entry in entries.items())
    run_git("update-index", "-z", "--index-info", stdin=lines, **where)
    root = run_git("write-tree", "--missing-ok", **where).decode()
    listed = run_git("ls-tree", "-r", "-t", "-d", "-z", root).split(b"\0")
    folders = (line.split(b"\t") for line in listed if line)
    return {"": root} | {path.decode(): head.split()[2].decode() for head, path in folders}


def test_tree_sorts_folders_as_git_does(run_git: Git, tmp_path: Path) -> None:
    paths = ["foo/a", "foo.txt", "foo-bar", "foo0", "fo", "foo/b/c", "\u00fc/\u6570.bin", "Z", "z/y/x/w", "\U0001f600", "\uffee"]
    entries = {path: entry(path.encode()) for path in paths}
    ours = git.tree_oids(entries)
    assert ours == git_tree_oids(run_git, entries, tmp_path / "index")
    assert set(ours) == {"", "foo", "foo/b", "\u00fc", "z", "z/y", "z/y/x"}


def is_tree(paths: list[str]) -> bool:
    try:
        names.check_tree(map(names.check_path, paths))
    except BadRequest:
        return False
    return True


segments = st.text(st.one_of(st.sampled_from("ab.-_0Z\u00fc\uffee\U0001f600"), st.characters(codec="utf-8")), min_size=1, max_size=6)
trees = st.lists(st.lists(segments, min_size=1, max_size=3).map("/".join).filter(lambda path: is_tree([path])), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(trees)
def test_any_tree_is_that_of_git(run_git: Git, tmp_path_factory: pytest.TempPathFactory, paths: list[str]) -> None:
    assume(is_tree(paths))
    entries = {path: entry(path.encode()) for path in paths}
    assert git.tree_oids(entries) == git_tree_oids(run_git, entries, tmp_path_factory.getbasetemp() / "index")


def git_commit(run_git: Git, parents: list[str], author: str, email: str, message: str) -> str:
    person = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (("NAME", author), ("EMAIL", email))}
    dates = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    arguments = [argument for parent in parents for argument in ("-p", parent)]
    return run_git("commit-tree", EMPTY_TREE, *arguments, stdin=message.encode(), **person, **dates).decode()


@pytest.mark.parametrize(
    ("author", "email"),
    [
        ("Ada", "ada@example.org"),
        ("  Ada Lovelace, ", " <ada@example.org> "),
        ("<A<d>a\n Lovelace>", "a<d>a\n@example.org"),
        ("\u00c5sa \u65e5\u672c", "\u00e5sa@example.org"),
        ('"Quoted"; ', "x"),
    ],
)
@pytest.mark.parametrize("message", ["Upload model", "Title\n\nBody with \u00fc and \u65e5\n", "", "\n  kept as it is \n\n"])
def test_commit_is_that_of_git(run_git: Git, author: str, email: str, message: str) -> None:
    run_git("mktree")  # git commits only trees that it holds
    first = git_commit(run_git, [], author, email, message)
    assert git.commit_oid(tree=EMPTY_TREE, parents=[], author=author, email=email, when=1_700_000_000, message=message) == first
    second = git_commit(run_git, [first], author, email, "other")
    merge = git_commit(run_git, [first, second], author, email, message)
    ours = git.commit_oid(tree=EMPTY_TREE, parents=[first, second], author=author, email=email, when=1_700_000_000, message=message)
    assert ours == merge


def test_commit_body_is_what_git_stores(run_git: Git) -> None:
    run_git("mktree")
    oid = git_commit(run_git, [], "Ada", "ada@example.org", "Title\n\nBody")
    body = git.commit_body(tree=EMPTY_TREE, parents=[], author="Ada", email="ada@example.org", when=1_700_000_000, message="Title\n\nBody")
    assert body == run_git("cat-file", "commit", oid)


def test_name_cannot_forge_a_header_line() -> None:
    body = git.commit_body(tree=EMPTY_TREE, parents=[], author="x\nparent 1", email="y>\0 0 +0000\n", when=0, message="m")
    assert body.split(b"\n")[1] == b"author xparent 1 <y 0 +0000> 0 +0000"
    assert body.count(b"\n") == 4

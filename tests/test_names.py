"""The naming rules: what they refuse, and that what they accept is safe on a disk, in a URL and in git."""

import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hub import names
from hub.errors import BadName, BadPath, BadRequest, NameReserved

GOOD_PATHS = [
    "README.md",
    ".gitattributes",
    "a/b/c.safetensors",
    "dir with space/f\u00fcr #1?.json",
    "\u6570\u636e/\u043f\u0440\u0438\u0432\u0435\u0442.bin",
    "x,y,z/adapter_config.json",
    "100%/+/&.txt",
    ".github/x",
    "console.json",
    "com10.txt",
    "git~2",
    "emoji \U0001f600.md",
    "a" * 255,
    "/".join(["d"] * 32),
]

BAD_PATHS = {
    "empty": "",
    "absolute": "/etc/passwd",
    "parent": "a/../b",
    "dot": "./a",
    "double slash": "a//b",
    "folder": "a/",
    "NUL": "a\0b",
    "C0": "a\nb",
    "DEL": "a\x7f",
    "C1": "a\x85b",
    "line separator": "a\u2028b",
    "replacement": "a\ufffdb",
    "surrogate": "a\ud800b",
    "bidi override": "a\u202egnp.exe",
    "bidi isolate": "a\u2066b",
    "arabic letter mark": "a\u061cb",
    "zero width space": "a\u200bb",
    "joiner": "a\u200db",
    "word joiner": "a\u2060b",
    "byte order mark": "\ufeffa",
    "not NFC": "e\u0301",
    "backslash": "a\\b",
    "drive": "C:x",
    "stream": "a.txt:b",
    "trailing dot": "a./b",
    "trailing space": "a /b",
    "leading space": " a",
    "no-break space": "a\u00a0/b",
    "git": ".git/config",
    "git in a folder": "a/.GIT/x",
    "git with a soft hyphen": ".gi\u00adt",
    "git in full width": "\uff0e\uff27\uff29\uff34",
    "git short name": "GIT~1",
    "cache": ".cache/x",
    "device": "aux",
    "device with an extension": "CON.tar.gz",
    "device with a number": "com1.json",
    "device with a superscript": "LPT\u00b9",
    "device before a space": "nul .txt",
    "long segment": "a" * 256,
    "long segment in bytes": "\u00fc" * 128,
    "long path": "/".join(["a" * 200] * 6),
    "deep": "/".join(["d"] * 33),
}


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_path_is_returned_unchanged(path: str) -> None:
    assert names.check_path(path) == path


@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS.keys())
def test_path_is_refused_with_advice(path: str) -> None:
    with pytest.raises(BadPath) as caught:
        names.check_path(path)
    assert caught.value.message.encode().decode().isprintable()
    assert caught.value.message.endswith(".")


odd_text = st.text(st.one_of(st.characters(), st.sampled_from("./\\:~ \u202e\u200b\ufffd\u00adgitGIT\uff0eK\u212a")), max_size=12)
paths = st.lists(odd_text, min_size=1, max_size=4).map("/".join)


def accepted(check: Callable[[str], str], text: str) -> bool:
    try:
        return bool(check(text))
    except BadRequest:
        return False


@given(paths)
def test_any_text_is_a_path_or_a_bad_path(path: str) -> None:
    if accepted(names.check_path, path):
        assert path.encode().decode() == path


likely_segments = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Zs"], exclude_characters="/\\:"), min_size=1, max_size=12
)
likely_paths = st.lists(likely_segments, min_size=1, max_size=4).map(lambda segments: unicodedata.normalize("NFC", "/".join(segments)))


@given(likely_paths)
def test_accepted_path_survives_disk_and_url(path: str) -> None:
    assume(accepted(names.check_path, path))
    with TemporaryDirectory() as folder:
        file = Path(folder, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
        assert [found.relative_to(folder).as_posix() for found in Path(folder).rglob("*") if found.is_file()] == [path]
    assert unquote(quote(path), errors="strict") == path
    assert unquote(quote(path, safe=""), errors="strict") == path


def test_tree_of_different_files_is_accepted() -> None:
    different = ["README.md", "a/b", "a/c", "ab", "a.b", "A2/x"]
    names.check_tree(different)
    with pytest.raises(BadPath):
        names.check_tree([*different, "readme.md"])


@pytest.mark.parametrize(
    "tree",
    [
        ["README.md", "readme.MD"],
        ["a/x", "A/X"],
        ["stra\u00dfe", "STRASSE"],
        ["\u00c9t\u00e9", "\u00e9t\u00e9"],
        ["a", "a/b"],
        ["x/y/z", "X"],
        ["x/y/z", "x/Y"],
        ["same", "same"[:2] + "me"],
    ],
)
def test_tree_with_clash_is_refused_in_any_order(tree: list[str]) -> None:
    for paths_in_order in (tree, tree[::-1]):
        with pytest.raises(BadPath, match="Rename or delete"):
            names.check_tree(paths_in_order)


def test_tree_holds_exactly_the_limit() -> None:
    names.check_tree(f"d{n % 97}/{n}" for n in range(names.MAX_FILES))
    with pytest.raises(BadRequest, match="100,000"):
        names.check_tree(str(n) for n in range(names.MAX_FILES + 1))


GOOD_NAMES = ["a", "gpt2", "Llama-3.1-8B", "_private_", "bert_base.v2", "a" * 96, "0", "a-b-c", "x._-y"]
BAD_NAMES = [
    "",
    "a" * 97,
    "-a",
    "a-",
    ".a",
    "a.",
    "a--b",
    "a..b",
    "a/b",
    "a b",
    "a\n",
    "caf\u00e9",
    "\u212a",
    "\u0661",
    "x.git",
    "x.GIT",
    "x.ipynb",
    "a\0",
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_name_is_accepted(name: str) -> None:
    assert names.check_repo_name(name) == name
    assert names.check_namespace(name) == name


@pytest.mark.parametrize("name", BAD_NAMES)
def test_name_is_refused(name: str) -> None:
    for check in (names.check_repo_name, names.check_namespace):
        with pytest.raises(BadName):
            check(name)


@pytest.mark.parametrize(
    "name", ["api", "API", "models", "settings", "favicon.ico", "favicon-ico", "Robots_txt", "v1", "healthz", "compare"]
)
def test_reserved_namespace_is_refused_but_may_name_a_repository(name: str) -> None:
    with pytest.raises(NameReserved, match="reserved"):
        names.check_namespace(name)
    assert names.check_repo_name(name) == name


@given(odd_text)
def test_any_text_is_a_name_or_a_bad_name(name: str) -> None:
    if accepted(names.check_repo_name, name):
        assert name.isascii()
        assert quote(name, safe="") == name


@pytest.mark.parametrize(
    ("name", "expected"), [("Foo.Bar", "foo-bar"), ("foo-_.bar", "foo-bar"), ("foo_bar", "foo-bar"), ("foobar", "foobar"), ("_x", "-x")]
)
def test_slug(name: str, expected: str) -> None:
    assert names.slug(name) == expected
    assert names.repo_slug(name, name) == f"{expected}/{expected}"


@pytest.mark.parametrize("text", ["gpt2", "meta-llama/Llama-3.1-8B", "facebook/bart_large"])
def test_repo_id(text: str) -> None:
    assert names.is_repo_id(text)


@pytest.mark.parametrize(
    "text",
    ["", "/", "a/b/c", "/data/llama", "./llama", "../llama", "~/llama", "C:\\llama", "out/checkpoint-500", "a/", "a/b\n", "\u00e9/x"],
)
def test_no_repo_id(text: str) -> None:
    assert not names.is_repo_id(text)


GOOD_REVISIONS = ["main", "dev/x", "v1.0", "refs", "feature/refs/x", "\u00fcber", "a" * 255, "abc123", "a@b", "{x}", "head", "dead" * 9]
BAD_REVISIONS = [
    *("", "HEAD", "@", "refs/heads/main", "refs/pr/1", "dead" * 10, "DEAD" * 10, "a" * 256, "-x", "a.", "a..b", "a.lock", "a.lock/b"),
    *(".a", "a/.b", "/a", "a/", "a//b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[1]", "a\\b", "a@{1}", "a\tb", "a\x7f", "a\0"),
    *("e\u0301", "a\u202eb", "a\u200bb", "a\ud800", "a\ufffd"),
]


@pytest.mark.parametrize("name", GOOD_REVISIONS)
def test_revision_is_accepted(name: str) -> None:
    assert names.check_revision_name(name) == name


@pytest.mark.parametrize("name", BAD_REVISIONS)
def test_revision_is_refused_with_advice(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        names.check_revision_name(name)
    assert caught.value.message.encode().decode().isprintable()


@settings(max_examples=60, deadline=None)
@given(st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("./@{}~^:?*[-k")), min_size=1, max_size=10))
def test_accepted_revision_is_a_git_ref(name: str) -> None:
    assume(accepted(names.check_revision_name, name))
    assert subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False).returncode == 0

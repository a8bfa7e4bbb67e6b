"""What things may be called: file paths, namespaces, repositories, branches and tags.

Pure checks, used by every door a name comes in through (commit, resolve, tree, upstream, command line). A check
returns the name unchanged or raises the error that says which rule is broken and how to mend it; nothing is ever
rewritten behind the caller's back, since a name that is silently changed is a second name for the same thing.
"""

import re
import unicodedata
from collections.abc import Iterable

from hub.errors import BadName, BadPath, BadRequest, NameReserved

MAX_PATH_BYTES = 1024
MAX_SEGMENT_BYTES = 255
MAX_DEPTH = 32
MAX_FILES = 100_000
MAX_NAME_LENGTH = 96
MAX_REVISION_BYTES = 255

RESERVED_NAMESPACES = frozenset(
    """
    api datasets spaces kernels models buckets collections papers oauth cas v1 v2 resolve resolve-cache raw tree blob blobs
    commit commits lfs xet git dist zips info

    login logout join signup register settings account profile new about help docs blog terms privacy security contact
    support search explore tasks languages base coverage compare results requests trending discussions notifications
    webhooks tokens people users user me organizations orgs teams whoami hub home index status news feed upload uploads
    download downloads import export

    static assets media public favicon.ico robots.txt sitemap.xml manifest.json openapi.json redoc healthz readyz livez
    metrics root system null none undefined anonymous
    """.split()  # noqa: SIM905 - a list of words reads best as words
)

_SURROGATES = re.compile(r"[\ud800-\udfff]")
_FORBIDDEN_CHARACTERS = (
    (re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]"), "a control character"),
    (re.compile(r"\ufffd"), "the replacement character U+FFFD, the trace of broken text"),
    (re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"), "a character that turns the writing direction"),
    (re.compile(r"[\u200b-\u200d\u2060\ufeff]"), "an invisible zero-width character"),
)
# Default_Ignorable_Code_Point of the Unicode database: some file systems drop these when they compare names.
_IGNORABLE = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_CLIENT_FOLDERS = frozenset({".git", "git~1", ".cache"})
_DOS_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9]|lpt[0-9])")

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_SEPARATORS = re.compile(r"[._-]+")
_COMMIT_ID = re.compile(r"[0-9a-fA-F]{40}")
_CHECKPOINT = re.compile(r"checkpoint-[0-9]+")


def check_path(path: str) -> str:
    """Return a file path that every client and file system can hold; raise BadPath for any other.

    Relative, ``/`` between segments, at most 1,024 bytes of UTF-8, 255 per segment and 32 segments deep.
    """
    if problem := _text_problem(path, MAX_PATH_BYTES):
        raise BadPath(f"The path {_shown(path)} {problem}.")
    segments = path.split("/")
    if len(segments) > MAX_DEPTH:
        raise BadPath(f"The path {_shown(path)} is {len(segments)} folders deep, the limit is {MAX_DEPTH}. Use fewer folders.")
    for segment in segments:
        if problem := _segment_problem(segment):
            raise BadPath(f"The path {_shown(path)} {problem}.")
    return path


def check_tree(paths: Iterable[str]) -> None:
    """Refuse a set of paths that a case-insensitive file system could not hold, or that is larger than MAX_FILES.

    The paths have passed ``check_path``. Raises BadPath for two files that differ only in case and for a name that is
    both a file and a folder, BadRequest for too many files.
    """
    files: dict[str, str] = {}
    for path in paths:
        if (other := files.setdefault(_caseless(path), path)) is not path:
            raise BadPath(f"{_shown(other)} and {_shown(path)} are one file where case does not count. Rename or delete one of them.")
        if len(files) > MAX_FILES:
            raise BadRequest(f"A repository holds at most {MAX_FILES:,} files. Pack small files together or split the repository.")
    _check_no_file_is_folder(files)


def check_repo_name(name: str) -> str:
    """Return a repository name that the clients accept (huggingface_hub's ``validate_repo_id``); raise BadName for any other."""
    return _check_name(name, "repository name")


def check_namespace(name: str) -> str:
    """Return a user or organization name; raise BadName for one out of rule, NameReserved for one the hub's own URLs use."""
    _check_name(name, "user or organization name")
    if slug(name) in _RESERVED_SLUGS:
        raise NameReserved(f"The name {name!r} is reserved by the hub. Choose another one.")
    return name


def is_repo_id(text: str) -> bool:
    """Whether a text can be the id of a model, here or upstream: ``name`` or ``namespace/name``, and not a local path.

    A trainer's ``checkpoint-500`` has the form of a name, but is always a folder of somebody's disk.
    """
    segments = text.split("/")
    return len(segments) in (1, 2) and not any(map(_name_problem, segments)) and not _CHECKPOINT.fullmatch(segments[-1])


def slug(name: str) -> str:
    """The form of a checked name that must be unique: lower case, every run of ``.``, ``_`` and ``-`` one ``-``."""
    return _SEPARATORS.sub("-", name.lower())


def repo_slug(namespace: str, name: str) -> str:
    """The form of a repository id that must be unique: ``namespace/name``, both as slugs."""
    return f"{slug(namespace)}/{slug(name)}"


def check_revision_name(name: str) -> str:
    """Return a name fit for a branch or tag; raise BadRequest for any other.

    The rules of ``git check-ref-format``, and nothing that could be taken for a commit id or a full ref.
    """
    if problem := _text_problem(name, MAX_REVISION_BYTES) or _ref_problem(name):
        raise BadRequest(f"The branch or tag name {_shown(name)} {problem}.")
    return name


_RESERVED_SLUGS = frozenset(map(slug, RESERVED_NAMESPACES))


def _text_problem(text: str, max_bytes: int) -> str | None:
    """What makes a text unfit for any name; length first, so that the costlier checks see only short texts."""
    if not text:
        return "is empty. Give it a name"
    if _SURROGATES.search(text):
        return "is not valid Unicode. Send it as UTF-8"
    if (size := len(text.encode())) > max_bytes:
        return f"is {size} bytes long, the limit is {max_bytes}. Shorten it"
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode normal form C. Normalize it, in Python: unicodedata.normalize('NFC', name)"
    return next((f"holds {what}. Remove it" for pattern, what in _FORBIDDEN_CHARACTERS if pattern.search(text)), None)


def _segment_problem(segment: str) -> str | None:
    """What makes one segment of a path unfit."""
    if segment in ("", ".", ".."):
        return "has an empty, '.' or '..' segment. Write it relative to the repository, with single slashes"
    if (size := len(segment.encode())) > MAX_SEGMENT_BYTES:
        return f"has a segment of {size} bytes, the limit is {MAX_SEGMENT_BYTES}. Shorten it"
    if "\\" in segment:
        return "holds a backslash. Separate folders by '/'"
    if ":" in segment:
        return "holds a colon, which Windows cannot store. Replace it"
    if segment != segment.strip() or segment.endswith("."):
        return f"has a segment ({_shown(segment)}) with a space at an end or a dot at its end. Remove it"
    return _reserved_segment_problem(segment)


def _reserved_segment_problem(segment: str) -> str | None:
    """What makes a segment dangerous to check out: a name that git, a client or Windows keeps for itself, in any disguise."""
    folded = _folded(segment).rstrip(" .")
    if folded in _CLIENT_FOLDERS:
        return f"has a segment ({_shown(segment)}) that stands for the private folder {folded} of git or a client. Rename it"
    if _DOS_DEVICE.fullmatch(folded.partition(".")[0].rstrip()):
        return f"has a segment ({_shown(segment)}) that is a device name on Windows. Rename it"
    return None


def _folded(segment: str) -> str:
    """The loosest reading of a name that some file system may apply: no ignorable characters, compatibility form, no case."""
    if segment.isascii():
        return segment.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _IGNORABLE.sub("", segment)).casefold())


def _caseless(path: str) -> str:
    """The form in which the paths of a tree must be unique."""
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path.casefold())


def _check_no_file_is_folder(files: dict[str, str]) -> None:
    """Raise BadPath if a file (caseless form -> path) lies inside another file. Each folder is looked at once."""
    folders: set[str] = set()
    for key, path in files.items():
        folder = key.rpartition("/")[0]
        while folder and folder not in folders:
            if folder in files:
                raise BadPath(f"{_shown(files[folder])} is a file and cannot hold {_shown(path)}. Rename or delete one of them.")
            folders.add(folder)
            folder = folder.rpartition("/")[0]


def _check_name(name: str, kind: str) -> str:
    if problem := _name_problem(name):
        raise BadName(f"The {kind} {_shown(name)} {problem}.")
    return name


def _name_problem(name: str) -> str | None:
    """What makes a namespace or repository name unfit. ASCII and whole-string on purpose: ``\\w`` and ``$`` let more through."""
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        return f"has {len(name)} characters. Use 1 to {MAX_NAME_LENGTH}"
    if not _NAME.fullmatch(name):
        return "may hold only letters a-z, digits, '-', '_' and '.', and may not start or end with '-' or '.'. Rename it"
    if "--" in name or ".." in name:
        return "may not hold '--' or '..'. Use one"
    if name.lower().endswith((".git", ".ipynb")):
        return "may not end with '.git' or '.ipynb'. Rename it"
    return None


def _ref_problem(name: str) -> str | None:
    """What makes a text unfit as a git branch or tag name."""
    if bad := re.search(r"[ ~^:?*\[\\]|\.\.|@\{", name):
        return f"may not hold {bad[0]!r}. Remove it"
    if name.startswith("-") or name.endswith(".") or name in ("@", "HEAD"):
        return "may not start with '-', end with '.', or be '@' or 'HEAD'. Rename it"
    if any(part.startswith(".") or part.endswith(".lock") or not part for part in name.split("/")):
        return "may not have a part that is empty, starts with '.' or ends with '.lock'. Rename it"
    if name.startswith("refs/"):
        return "is a full ref. Leave out 'refs/heads/' or 'refs/tags/'"
    if _COMMIT_ID.fullmatch(name):
        return "looks like a commit id. Choose another one"
    return None


def _shown(name: str) -> str:
    """A name as an error message may carry it: quoted, short, and with everything invisible escaped."""
    return repr(name if len(name) <= MAX_NAME_LENGTH else name[:MAX_NAME_LENGTH] + "...")

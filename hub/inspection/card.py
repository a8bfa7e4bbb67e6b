"""Model cards: the README.md of a repository and the YAML metadata between the ``---`` lines at its head.

The metadata is written by strangers, so it is read event by event, never by a YAML loader: aliases, anchors and tags
are refused before they can mean anything, and size, depth and number of nodes are bounded. Scalars are typed here:
``language: no`` is Norwegian, not false. Nothing here raises on a bad card; a bad card has no data and says why.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from hub.names import is_repo_id

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

MAX_METADATA_BYTES = 64 * 1024
MAX_DEPTH = 20
MAX_NODES = 5_000
MAX_INTEGER_DIGITS = 18

# Keys whose plain values are names or codes, wherever they stand: `license: 1e3` and `tags: [2024]` keep their text.
TEXT_KEYS = frozenset(
    """
    license license_name license_link language tags datasets base_model base_model_relation metrics pipeline_tag library_name
    model_name new_version thumbnail name type revision config split task_name dataset_name
    """.split()  # noqa: SIM905 - a list of words reads best as words
)

_OPENING = re.compile(r"\ufeff?\s*---[ \t]*(?:\r\n|\r|\n)")
_CLOSING = re.compile(r"(?:\A|\r\n|\r|\n)---[ \t]*(?:\r\n|\r|\n|\Z)")
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")
_INTEGER = re.compile(rf"-?(?:0|[1-9][0-9]{{0,{MAX_INTEGER_DIGITS - 1}}})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Card:
    """The metadata of a model card, and a sentence for each reason why there is none."""

    data: dict[str, JSON]
    problems: tuple[str, ...] = ()


class _Refused(ValueError):
    """Metadata that is YAML, but none the hub takes."""


def split_front_matter(text: str) -> tuple[str | None, str]:
    """Split a card into the YAML between its ``---`` lines (None when it has none) and the Markdown below."""
    if not (opening := _OPENING.match(text)):
        return None, text
    rest = text[opening.end() :]
    if not (closing := _CLOSING.search(rest)):
        return None, text
    return rest[: closing.start()], rest[closing.end() :]


def read_card(text: str) -> Card:
    """Read the metadata of a card; never raises, bad metadata gives an empty Card with a problem."""
    front_matter, _ = split_front_matter(text)
    try:
        return Card(_load(front_matter or ""))
    except yaml.YAMLError as error:
        return Card({}, (_yaml_problem(error),))
    except _Refused as error:
        return Card({}, (f"The metadata of README.md is ignored: {error}.",))


def validate(content: str) -> tuple[list[str], list[str]]:
    """Judge a card about to be pushed: errors (only YAML that cannot be parsed) and warnings, each saying how to mend it."""
    front_matter, _ = split_front_matter(content)
    if front_matter is None:
        return [], ["README.md has no metadata. Begin it with a YAML block between two lines of '---' that names license and base_model."]
    try:
        data = _load(front_matter)
    except yaml.YAMLError as error:
        return [_yaml_problem(error)], []
    except _Refused as error:
        return [], [f"The metadata of README.md will be ignored: {error}."]
    return [], list(_warnings(data))


def _warnings(data: dict[str, JSON]) -> Iterator[str]:
    if not data.get("license"):
        yield "license is missing. Add a line such as 'license: apache-2.0', or nobody knows whether they may use the adapter."
    yield from _base_model_warnings(data.get("base_model"))
    for key in ("tags", "datasets", "metrics"):
        if (value := data.get(key)) is not None and not _is_texts(value):
            yield f"{key} is not a list of texts. Write '{key}:' and below it one line '- value' for each."
    if (value := data.get("language")) is not None and not isinstance(value, str) and not _is_texts(value):
        yield "language is neither a code nor a list of codes. Write 'language: en', or one line '- en' for each."
    for key in ("library_name", "pipeline_tag", "model_name"):
        if not isinstance(data.get(key), str | None):
            yield f"{key} is not a text. Write a single value, '{key}: value'."
    if not isinstance(data.get("model-index"), list | None):
        yield "model-index is not a list. Begin its entry with '- name:'."


def _base_model_warnings(value: JSON) -> Iterator[str]:
    if not value:
        yield "base_model is missing. Add 'base_model: owner/name', or the adapter is found only by what its configuration says."
        return
    bases = value if isinstance(value, list) else [value]
    wrong = [str(base)[:100] for base in bases if not isinstance(base, str) or not is_repo_id(base)]
    if wrong:
        yield f"base_model {wrong[0]!r} is not the id of a model (a local path?). Write 'base_model: owner/name'."


def _is_texts(value: JSON) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _yaml_problem(error: yaml.YAMLError) -> str:
    problem, mark = getattr(error, "problem", None) or "unreadable", getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1} of the metadata: " if mark else ""
    return f"The metadata of README.md is not valid YAML ({where}{problem}). Check the indentation, and quote texts that hold ': ' or ' #'."


def _load(front_matter: str) -> dict[str, JSON]:
    """The mapping written in the YAML text. Raises yaml.YAMLError when it is no YAML, _Refused when it is more than plain data."""
    _check_text(front_matter)
    if len(front_matter.encode()) > MAX_METADATA_BYTES:
        raise _Refused(f"it is larger than {MAX_METADATA_BYTES // 1024} KiB. Move long texts below the second '---'")
    parser = _Parser(front_matter)
    try:
        return _Reader(parser).document()
    finally:
        parser.dispose()


def _check_text(text: str) -> None:
    if _UNSTORABLE.search(text):
        raise _Refused("it holds a NUL or a lone surrogate. Save the file as UTF-8 text")


class _Reader:
    """Builds plain data from the events of a YAML parser, as long as they describe nothing but plain data."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._nodes = 0

    def document(self) -> dict[str, JSON]:
        self._next()  # start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            return {}
        data = self._node(self._next(), depth=1, as_text=False)
        self._next()  # end of the document
        if not isinstance(self._next(), yaml.StreamEndEvent):
            raise _Refused("it holds a second YAML document. Keep one")
        if data is None:
            return {}
        if not isinstance(data, dict):
            raise _Refused("it is not a list of 'key: value' lines. Write it as one")
        return data

    def _next(self) -> Any:
        return self._parser.get_event()

    def _node(self, event: Any, depth: int, as_text: bool) -> JSON:
        self._check_node(event, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth, as_text)
        _check_text(event.value)
        return _typed(event.value, as_text) if event.implicit[0] else str(event.value)

    def _check_node(self, event: Any, depth: int) -> None:
        self._nodes += 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _Refused("it holds an anchor (&) or alias (*). Write the value out, or quote a text that begins with & or *")
        if event.tag is not None:
            raise _Refused(f"it holds the YAML tag {event.tag[:100]!r}. Remove it, or quote a text that begins with !")
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise _Refused(f"it is nested deeper than {MAX_DEPTH} levels or has more than {MAX_NODES:,} values. Simplify it")

    def _mapping(self, depth: int) -> dict[str, JSON]:
        data: dict[str, JSON] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            self._check_node(event, depth)
            if not isinstance(event, yaml.ScalarEvent):
                raise _Refused("it has a list or mapping as a key. Quote texts that begin with [ or {")
            key = event.value
            _check_text(key)
            if key in data:
                raise _Refused(f"it has the key {key[:100]!r} twice. Keep one")
            data[key] = self._node(self._next(), depth + 1, as_text=key in TEXT_KEYS)
        return data

    def _sequence(self, depth: int, as_text: bool) -> list[JSON]:
        items: list[JSON] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1, as_text))
        return items


def _typed(text: str, as_text: bool) -> JSON:
    """The value of an unquoted scalar. Numbers that JSON readers would not give back unchanged stay text."""
    if text in _NULLS:
        return None
    if as_text:
        return text
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if not text.lstrip("-").isdigit() and _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text

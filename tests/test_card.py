"""Reading model cards: what real ones say, what hostile ones do not achieve."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.inspection import JSON, read_card, split_front_matter, validate

PEFT_CARD = """---
base_model: meta-llama/Llama-3.1-8B
library_name: peft
pipeline_tag: text-generation
tags:
- base_model:adapter:meta-llama/Llama-3.1-8B
- lora
- transformers
---

# Model Card for Model ID
"""

PEFT_PUSH_CARD = """---
library_name: transformers
tags: []
---

# Model Card for Model ID
"""

ADAPTERS_CARD = """---
tags:
- adapter-transformers
- bert
- adapterhub:sentiment/sst-2
datasets:
- sst2
language:
- en
license: "apache-2.0"
metrics:
- accuracy
---

# Adapter `me/sst` for bert-base-uncased
"""


def data(front_matter: str) -> dict[str, JSON]:
    card = read_card(f"---\n{front_matter}\n---\nbody")
    assert card.problems == ()
    return card.data


def problem(front_matter: str) -> str:
    card = read_card(f"---\n{front_matter}\n---\nbody")
    assert card.data == {}
    [sentence] = card.problems
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\na: 1\n---\nbody", ("a: 1", "body")),
        ("---\r\na: 1\r\n---\r\nbody", ("a: 1", "body")),
        ("\n\n---\na: 1\n---", ("a: 1", "")),
        ("\ufeff---\na: 1\n--- \nbody\n---\n", ("a: 1", "body\n---\n")),
        ("---\n---\nbody", ("", "body")),
        ("---\na: --- b\n ---\n---\nbody", ("a: --- b\n ---", "body")),
        ("# Title\n---\na: 1\n---\n", (None, "# Title\n---\na: 1\n---\n")),
        ("---\nnever closed", (None, "---\nnever closed")),
        ("", (None, "")),
    ],
)
def test_split(text: str, expected: tuple[str | None, str]) -> None:
    assert split_front_matter(text) == expected


def test_card_of_peft() -> None:
    assert read_card(PEFT_CARD).data == {
        "base_model": "meta-llama/Llama-3.1-8B",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["base_model:adapter:meta-llama/Llama-3.1-8B", "lora", "transformers"],
    }
    assert read_card(PEFT_PUSH_CARD).data == {"library_name": "transformers", "tags": []}


def test_card_of_adapters() -> None:
    assert read_card(ADAPTERS_CARD).data == {
        "tags": ["adapter-transformers", "bert", "adapterhub:sentiment/sst-2"],
        "datasets": ["sst2"],
        "language": ["en"],
        "license": "apache-2.0",
        "metrics": ["accuracy"],
    }


@pytest.mark.parametrize("text", ["", "# No metadata", "---\n---\n", "---\n# only a comment\n---\n", "---\nnull\n---\n"])
def test_card_without_metadata_is_no_problem(text: str) -> None:
    card = read_card(text)
    assert (card.data, card.problems) == ({}, ())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("language: no", "no"),
        ("language: [no, en, 5]", ["no", "en", "5"]),
        ("license: 1e3", "1e3"),
        ("tags: [2024, true, 1.0, yes]", ["2024", "true", "1.0", "yes"]),
        ("base_model: 007", "007"),
        ("tags: null", None),
        ("base_model:", None),
        ("license: ~", None),
        ("x: 12", 12),
        ("x: -3", -3),
        ("x: 0.25", 0.25),
        ("x: 5e-5", 5e-5),
        ("x: true", True),
        ("x: False", False),
        ("x: null", None),
        ("x:", None),
        ("x: yes", "yes"),
        ("x: 007", "007"),
        ("x: 0x10", "0x10"),
        ("x: .inf", ".inf"),
        ("x: nan", "nan"),
        ("x: 1e400", "1e400"),
        ("x: 12345678901234567890", "12345678901234567890"),
        ("x: 2024-99-99", "2024-99-99"),
        ("x: 12:30:00", "12:30:00"),
        ("x: '12'", "12"),
        ('x: "true"', "true"),
        ("x: ''", ""),
        ("x: |\n  12", "12"),
        ("x: \u0661", "\u0661"),
        ("<<: x", "x"),
    ],
)
def test_value(line: str, expected: JSON) -> None:
    [value] = data(line).values()
    assert value == expected
    assert type(value) is type(expected)


def test_model_index_keeps_numbers_and_names_apart() -> None:
    front_matter = "model-index:\n- name: 1\n  results:\n  - metrics:\n    - type: f1\n      value: 0.9\n      name: 1.0"
    assert data(front_matter) == {"model-index": [{"name": "1", "results": [{"metrics": [{"type": "f1", "value": 0.9, "name": "1.0"}]}]}]}


def laughs(levels: int, merge: bool) -> str:
    rows = ["a0: &a0 {x: y}" if merge else "a0: &a0 [x, x]"]
    for level in range(1, levels):
        twice = f"{{<<: [*a{level - 1}, *a{level - 1}]}}" if merge else f"[*a{level - 1}, *a{level - 1}]"
        rows.append(f"a{level}: &a{level} {twice}")
    return "\n".join(rows)


HOSTILE = {
    "merge bomb": (laughs(25, merge=True), "anchor"),
    "alias laughs": (laughs(30, merge=False), "anchor"),
    "recursive alias": ("a: &a [*a]", "anchor"),
    "alias as key": ("*a : 1", "anchor"),
    "anchored key": ("&a x: 1", "anchor"),
    "timestamp tag": ("x: !!timestamp 2024-99-99", "tag"),
    "python tag": ("x: !!python/object/apply:os.system [ls]", "tag"),
    "tagged key": ("!!str x: 1", "tag"),
    "tagged root": ("!!map\nx: 1", "tag"),
    "duplicate key": ("license: mit\nlicense: gpl", "twice"),
    "duplicate nested key": ("x: {a: 1, 'a': 2}", "twice"),
    "list as key": ("? [a]\n: 1", "as a key"),
    "deep flow": ("x: " + "[" * 30_000, "nested deeper"),
    "deep block": ("x:\n" + "\n".join(" " * n + "-" for n in range(1, 200)), "nested deeper"),
    "compact block": ("- " * 30_000 + "x", "nested deeper"),
    "deep mapping": ("{a: " * 15_000, "nested deeper"),
    "many nodes": ("x: [" + "1," * 6_000 + "]", "5,000"),
    "large": ("x: " + "a" * 70_000, "64 KiB"),
    "NUL": ("x: a\0b", "NUL"),
    "escaped NUL": ('x: "a\\0b"', "NUL"),
    "escaped NUL in a key": ('"a\\0b": 1', "NUL"),
    "surrogate": ("x: \ud800", "surrogate"),
    "list": ("- a\n- b", "key: value"),
    "text": ("just text", "key: value"),
    "two documents": ("a: 1\n--- {b: 2}", "second"),
    "unclosed": ("x: [1, 2", "not valid YAML"),
    "tab": ("x:\n\t- y", "not valid YAML"),
    "colons": ("x: y: z", "not valid YAML (line 1 of"),
    "control character": ("x: \x07", "not valid YAML"),
    "unknown alias": ("x: *nothing", "anchor"),
    "keys without end": ("? " * 30_000, "as a key"),
    "unclosed quote": ('x: "' + "a\\" * 20_000, "not valid YAML"),
}


@pytest.mark.parametrize(("front_matter", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_metadata_is_refused_at_once(front_matter: str, reason: str) -> None:
    started = time.perf_counter()
    assert reason in problem(front_matter)
    assert time.perf_counter() - started < 1


def test_limits_are_exact() -> None:
    assert data("x: " + "[" * 18 + "1" + "]" * 18)
    assert "nested deeper" in problem("x: " + "[" * 19 + "1" + "]" * 19)
    assert data("x: " + "a" * (64 * 1024 - 3))
    assert "64 KiB" in problem("x: " + "a" * (64 * 1024 - 2))
    assert len(str(data("x: [" + "1," * 4_997 + "]"))) > 10_000
    assert "5,000" in problem("x: [" + "1," * 4_998 + "]")


def test_splitting_is_linear() -> None:
    started = time.perf_counter()
    for text in ("---\n" + "\n---x" * 200_000, "\n" * 1_000_000, "---\n" + "---" + " " * 1_000_000 + "x", "---\n" * 250_000):
        read_card(text)
    assert time.perf_counter() - started < 2


yaml_like = st.text(st.one_of(st.sampled_from("ab:-?[]{},&*!|>'\"%@`#\n\t .~<1e0"), st.characters()), max_size=80)


@given(yaml_like)
def test_no_card_raises_and_what_is_read_is_json(front_matter: str) -> None:
    text = f"---\n{front_matter}\n---\n"
    card = read_card(text)
    assert json.loads(json.dumps(card.data, allow_nan=False)) == card.data
    assert json.dumps(card.data, ensure_ascii=False).encode()
    errors, warnings = validate(text)
    assert all(sentence.endswith(".") for sentence in [*errors, *warnings])
    assert not (card.problems and not errors and not warnings)


plain_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**17), 10**17),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text("ab: #", max_size=5),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("xyz", min_size=1, max_size=3), inner, max_size=3)),
    max_leaves=12,
)


@given(st.dictionaries(st.text("xyz", min_size=1, max_size=4), plain_json, max_size=4))
def test_json_reads_back_as_itself(value: dict[str, JSON]) -> None:
    front_matter = json.dumps(value)
    read = read_card(f"---\n{front_matter}\n---\n").data
    assert read == value


def test_validate_is_content_with_a_good_card() -> None:
    assert validate(PEFT_CARD.replace("library_name", "license: mit\nlibrary_name")) == ([], [])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# Hello", "no metadata"),
        ("---\nnever closed", "no metadata"),
        (PEFT_CARD, "license is missing"),
        (ADAPTERS_CARD, "base_model is missing"),
        ("---\nlicense: mit\nbase_model: /data/llama\n---\n", "'/data/llama' is not the id of a model"),
        ("---\nlicense: mit\nbase_model: [gpt2, ./x]\n---\n", "'./x' is not the id of a model"),
        ("---\nlicense: mit\nbase_model: {a: b}\n---\n", "is not the id of a model"),
        ("---\nlicense: mit\nbase_model: gpt2\ntags: lora\n---\n", "tags is not a list"),
        ("---\nlicense: mit\nbase_model: gpt2\ndatasets: {a: b}\n---\n", "datasets is not a list"),
        ("---\nlicense: mit\nbase_model: gpt2\nlanguage: {a: b}\n---\n", "language is neither"),
        ("---\nlicense: mit\nbase_model: gpt2\nlibrary_name: [peft]\n---\n", "library_name is not a text"),
        ("---\nlicense: mit\nbase_model: gpt2\nmodel-index: x\n---\n", "model-index is not a list"),
        ("---\nlicense: mit\nlicense: mit\n---\n", "twice"),
        ("---\na: &x 1\nb: *x\n---\n", "will be ignored"),
    ],
)
def test_validate_warns_once_and_never_blocks(content: str, words: str) -> None:
    errors, warnings = validate(content)
    assert errors == []
    [warning] = warnings
    assert words in warning


def test_broken_yaml_is_the_only_error() -> None:
    errors, warnings = validate("---\nlicense: mit\nbase_model: [gpt2\n---\n")
    assert warnings == []
    [error] = errors
    assert "not valid YAML" in error

"""Adapter configurations, and the facts and tags derived from files, card and configuration."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.inspection import JSON, AdapterConfig, Card, ConfigError, Facts, learn, read_adapter_config, read_card, read_json
from tests.test_card import ADAPTERS_CARD, PEFT_CARD, PEFT_PUSH_CARD

LLAMA = "meta-llama/Llama-3.1-8B"
PEFT_CONFIG = {
    "base_model_name_or_path": LLAMA,
    "peft_type": "LORA",
    "peft_version": "0.21.2",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj", "v_proj"],
    "task_type": "CAUSAL_LM",
}
ADAPTERS_CONFIG = {
    "config": {"architecture": None, "mh_adapter": False, "reduction_factor": 16},
    "hidden_size": 768,
    "model_class": "BertAdapterModel",
    "model_name": "bert-base-uncased",
    "model_type": "bert",
    "name": "sst",
    "version": "adapters.1.3.0",
}
PEFT_FILES = ["README.md", "adapter_config.json", "adapter_model.safetensors"]
ADAPTERS_FILES = ["README.md", "adapter_config.json", "pytorch_adapter.bin"]


def config(content: object) -> AdapterConfig | None:
    return read_adapter_config(json.dumps(content).encode())


def learned(card_text: str, content: object = None, paths: list[str] | None = None) -> Facts:
    return learn(paths or [], read_card(card_text), card_text, config(content) if content else None)


def tags_of(data: dict[str, JSON], paths: list[str] | None = None) -> tuple[str, ...]:
    return learn(paths or [], Card(data), "", None).tags


# --- adapter_config.json


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"x": {"a": 1, "a": 1}}', "'a' stands twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e400}', "out of range"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "digits"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'{"a": ["\\ud800"]}', "surrogate"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON"),
        (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "nested deeper"),
        (b'{"a": ' + b"[" * 500_000, "nested deeper"),
        (b" " * (1024 * 1024 + 1), "too large"),
    ],
)
def test_json_that_readers_could_differ_on_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_json(data)


def test_json_just_inside_the_limits() -> None:
    assert read_json(b'{"a": ' + b"[" * 62 + b"1" + b"]" * 62 + b"}")
    assert read_json(b'{"a": 123456789012345678, "b": 1e308, "c": "\\ud83d\\ude00"}') == {
        "a": 123456789012345678,
        "b": 1e308,
        "c": "\U0001f600",
    }
    assert read_json(b"{}".ljust(1024 * 1024)) == {}
    with pytest.raises(ConfigError, match="too large"):
        read_json(b"{}   ", limit=4)


@given(st.one_of(st.binary(max_size=40), st.text('{}[]":,\\u0d81eE+-NaIft ', max_size=40).map(str.encode)))
def test_bytes_are_json_or_a_config_error(data: bytes) -> None:
    with suppress(ConfigError):
        assert json.loads(json.dumps(read_json(data), allow_nan=False)) == read_json(data)


@pytest.mark.parametrize(
    ("peft_type", "method"),
    [
        ("LORA", "lora"),
        ("IA3", "ia3"),
        ("PROMPT_TUNING", "prompt-tuning"),
        ("PREFIX_TUNING", "prefix-tuning"),
        ("P_TUNING", "p-tuning"),
        ("ADALORA", "adalora"),
        ("NEW_METHOD_2030", "new-method-2030"),
        ("<script>", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_peft_method(peft_type: object, method: str | None) -> None:
    read = config(PEFT_CONFIG | {"peft_type": peft_type})
    assert read is not None
    assert (read.library, read.method) == ("peft", method)


@pytest.mark.parametrize(
    ("task_type", "pipeline_tag"),
    [
        ("CAUSAL_LM", "text-generation"),
        ("SEQ_CLS", "text-classification"),
        ("TOKEN_CLS", "token-classification"),
        ("SEQ_2_SEQ_LM", "text2text-generation"),
        ("QUESTION_ANS", "question-answering"),
        ("FEATURE_EXTRACTION", "feature-extraction"),
        ("OTHER", None),
        (None, None),
        (["CAUSAL_LM"], None),
    ],
)
def test_peft_task(task_type: object, pipeline_tag: str | None) -> None:
    read = config(PEFT_CONFIG | {"task_type": task_type})
    assert read is not None
    assert read.pipeline_tag == pipeline_tag


@pytest.mark.parametrize("base", ["/data/llama", "./llama", "out/checkpoint-500", "C:\\llama", "", None, 5, "a/b/c", "x" * 600])
def test_local_path_is_no_base_model(base: object) -> None:
    for content in (PEFT_CONFIG | {"base_model_name_or_path": base}, ADAPTERS_CONFIG | {"model_name": base}):
        read = config(content)
        assert read is not None
        assert read.base_model is None


def test_summaries_are_what_the_clients_read() -> None:
    peft, adapters = config(PEFT_CONFIG), config(ADAPTERS_CONFIG)
    assert peft is not None
    assert peft.summary == {"peft": {"base_model_name_or_path": LLAMA, "task_type": "CAUSAL_LM"}}
    assert adapters is not None
    shown = {"model_name": "bert-base-uncased", "model_class": "BertAdapterModel"}
    assert adapters.summary == {"adapters": shown, "adapter_transformers": shown}
    assert (adapters.library, adapters.method, adapters.base_model) == ("adapters", None, "bert-base-uncased")


@pytest.mark.parametrize(
    "content", [{}, {"fine_tune_type": "lora", "num_layers": 4}, {"config": {}}, {"model_type": "bert", "hidden_size": 768}]
)
def test_other_dialects_are_not_understood(content: object) -> None:
    assert config(content) is None


# --- facts and tags


def test_peft_repository() -> None:
    facts = learned(PEFT_CARD, PEFT_CONFIG, PEFT_FILES)
    assert facts.tags == (
        "peft",
        "safetensors",
        f"base_model:adapter:{LLAMA}",
        "lora",
        "transformers",
        "text-generation",
        f"base_model:{LLAMA}",
    )
    assert (facts.library_name, facts.pipeline_tag, facts.base_models) == ("peft", "text-generation", (LLAMA,))
    assert facts.card_data["library_name"] == "peft"
    assert facts.config == {"peft": {"base_model_name_or_path": LLAMA, "task_type": "CAUSAL_LM"}}


def test_configuration_says_what_the_pushed_card_of_peft_does_not() -> None:
    facts = learned(PEFT_PUSH_CARD, PEFT_CONFIG, PEFT_FILES)
    assert facts.tags == ("peft", "safetensors", "lora", "text-generation", f"base_model:{LLAMA}", f"base_model:adapter:{LLAMA}")
    assert (facts.library_name, facts.pipeline_tag, facts.base_models) == ("peft", "text-generation", (LLAMA,))
    assert facts.card_data == {"library_name": "transformers", "tags": []}


def test_adapters_repository_is_found_under_both_names_of_its_library() -> None:
    facts = learned(ADAPTERS_CARD, ADAPTERS_CONFIG, ADAPTERS_FILES)
    assert facts.tags == (
        *("adapter-transformers", "adapters", "bert", "adapterhub:sentiment/sst-2", "en", "dataset:sst2", "license:apache-2.0"),
        *("base_model:bert-base-uncased", "base_model:adapter:bert-base-uncased"),
    )
    assert (facts.library_name, facts.base_models) == ("adapter-transformers", ("bert-base-uncased",))


@pytest.mark.parametrize("library", ["adapters", "adapter-transformers"])
def test_either_name_of_the_adapters_library_means_the_same(library: str) -> None:
    facts = learn([], Card({"library_name": library}), "", None)
    assert (facts.library_name, facts.tags) == ("adapter-transformers", ("adapter-transformers", "adapters"))


def test_library_from_tags_and_files_when_nothing_else_says() -> None:
    assert learn([], Card({"tags": ["x", "adapter-transformers"]}), "", None).library_name == "adapter-transformers"
    assert learn(["sub/pytorch_lora_weights.safetensors"], Card({}), "", None).library_name == "diffusers"
    assert learn([], Card({"library_name": "transformers"}), "", None).library_name == "transformers"
    assert learn([], Card({}), "", None).library_name is None


def test_card_beats_configuration_where_it_claims_something() -> None:
    facts = learned("---\nbase_model: gpt2\nlibrary_name: diffusers\npipeline_tag: x\n---\n", PEFT_CONFIG)
    assert (facts.library_name, facts.base_models, facts.pipeline_tag) == ("diffusers", ("gpt2",), "x")


def test_local_paths_of_the_card_are_nowhere_but_in_its_data() -> None:
    card = "---\nbase_model: /data/llama\ntags:\n- base_model:adapter:/data/llama\n- lora\n---\n"
    facts = learned(card, PEFT_CONFIG, PEFT_FILES)
    assert facts.base_models == (LLAMA,)
    assert not any("/data" in tag for tag in facts.tags)
    assert facts.card_data["base_model"] == "/data/llama"


@pytest.mark.parametrize(
    ("data", "paths", "relation"),
    [
        ({}, ["adapter_config.json"], "adapter"),
        ({}, ["sub/adapter_model.safetensors"], "adapter"),
        ({}, ["model.gguf"], "quantized"),
        ({}, ["model.safetensors"], "finetune"),
        ({"base_model": ["gpt2", "a/b"]}, [], "merge"),
        ({"base_model_relation": "merge"}, ["adapter_config.json"], "merge"),
        ({"base_model_relation": "nonsense"}, ["adapter_config.json"], "adapter"),
        ({"base_model_relation": None}, [], "finetune"),
    ],
)
def test_relation_to_the_base_model(data: dict[str, JSON], paths: list[str], relation: str) -> None:
    found = tags_of({"base_model": "gpt2", **data}, paths)
    assert [tag for tag in found if tag.endswith(":gpt2")] == ["base_model:gpt2", f"base_model:{relation}:gpt2"]


def test_order_of_all_sources() -> None:
    card: dict[str, JSON] = {
        "model-index": [{"name": "x"}],
        "base_model": "gpt2",
        "license": "mit",
        "datasets": ["imdb", "sst2"],
        "language": ["en", "de"],
        "pipeline_tag": "text-classification",
        "tags": ["my-tag", "peft", "my-tag"],
        "library_name": "peft",
    }
    text = "see https://arxiv.org/abs/2106.09685 and https://arxiv.org/pdf/2106.09685v2, arXiv:2005.00247; not arxiv.org/abs/9999.12345"
    facts = learn(["a/model.safetensors", "m.gguf", "adapter_config.json"], Card(card), text, AdapterConfig("peft", method="lora"))
    assert facts.tags == (
        *("peft", "safetensors", "gguf", "my-tag", "lora", "text-classification", "en", "de", "dataset:imdb", "dataset:sst2"),
        *("license:mit", "arxiv:2106.09685", "arxiv:2005.00247", "base_model:gpt2", "base_model:adapter:gpt2", "model-index"),
    )


@pytest.mark.parametrize(
    "data",
    [
        {"tags": None, "language": 5, "base_model": "", "license": {"a": "b"}, "datasets": False, "pipeline_tag": [1]},
        {"tags": {"a": 1}, "language": [None, ["en"]], "base_model": [None, 3], "model-index": {}, "library_name": {}},
        {"tags": ["", "  ", "a\nb", "\u202e", "\ud800", "x" * 201]},
    ],
)
def test_odd_shapes_give_no_tags(data: dict[str, JSON]) -> None:
    assert tags_of(data) == ()


def test_no_source_crowds_out_another() -> None:
    many: list[JSON] = [f"{n}x" for n in range(500)]
    bases: list[JSON] = [f"org/base{n}" for n in range(500)]
    data: dict[str, JSON] = {
        "tags": many,
        "language": many,
        "datasets": many,
        "license": many,
        "base_model": bases,
        "library_name": "adapters",
    }
    found = learn(["a.safetensors", "a.gguf"], Card(data), "", AdapterConfig("adapters")).tags
    assert len(found) <= 200
    assert {"safetensors", "79x", "dataset:0x", "license:0x", "base_model:org/base0", "base_model:quantized:org/base9"} <= set(found)


odd_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)
odd_cards = st.dictionaries(
    st.sampled_from(
        ["tags", "language", "license", "datasets", "base_model", "base_model_relation", "library_name", "pipeline_tag", "model-index"]
    ),
    odd_json,
)


@given(odd_cards, st.text(st.characters(), max_size=40), st.lists(st.text(max_size=20), max_size=4))
def test_no_card_raises_and_tags_are_clean(data: dict[str, JSON], text: str, paths: list[str]) -> None:
    facts = learn(paths, Card(data), text, None)
    assert len(facts.tags) == len(set(facts.tags)) <= 200
    assert all(0 < len(tag) <= 200 and tag.isprintable() for tag in facts.tags)

"""What a repository is about: the facts and tags that listings filter by, from its files, its card and its configuration.

The derivations are those of Hugging Face's model listings, so that ``list_models(filter=...)`` finds the same things
here. The configuration fills in what the card does not say: pushing a PEFT model writes a card without any of it.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hub.inspection.adapters import AdapterConfig
from hub.inspection.card import JSON, Card
from hub.names import is_repo_id

MAX_TAG_LENGTH = 200
# Most tags taken from each source, so that none crowds out another; with the few single tags they make 200.
MAX_CARD_TAGS = 80
MAX_LANGUAGES = 60
MAX_DATASETS = 20
MAX_PAPERS = 10
MAX_BASE_MODELS = 10
MAX_LICENSES = 3

# Hugging Face kept the library's old name for the new one, while the library's own client filters by the new.
ADAPTERS_LIBRARY = "adapter-transformers"
ADAPTERS_NAMES = (ADAPTERS_LIBRARY, "adapters")
KNOWN_LIBRARIES = ("peft", *ADAPTERS_NAMES, "diffusers", "transformers")
FORMATS = ("safetensors", "gguf")
RELATIONS = frozenset({"adapter", "finetune", "merge", "quantized"})
DIFFUSERS_WEIGHTS = "pytorch_lora_weights.safetensors"
ADAPTER_FILES = frozenset(
    {
        DIFFUSERS_WEIGHTS,
        "adapter_config.json",
        "adapter_model.safetensors",
        "adapter_model.bin",
        "adapter.safetensors",
        "adapters.safetensors",
        "pytorch_adapter.bin",
        "adapter_setup.json",
        "adapter_fusion_config.json",
    }
)

_ARXIV = re.compile(r"arxiv(?:\.org/(?:abs|pdf|html)/|[:.] ?)([0-9]{2}(?:0[1-9]|1[0-2])\.[0-9]{4,5})(?![0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class Facts:
    """What model info and listings show of a repository; ``base_models`` holds only ids, never local paths."""

    tags: tuple[str, ...]
    pipeline_tag: str | None
    library_name: str | None
    base_models: tuple[str, ...]
    card_data: dict[str, JSON]
    config: dict[str, JSON]


def learn(paths: Collection[str], card: Card, card_text: str, config: AdapterConfig | None) -> Facts:
    """Derive the facts of a revision from its file paths, its card and its adapter configuration. Never raises, however odd the card."""
    data = card.data
    names = {path.rpartition("/")[2] for path in paths}
    library = _library(data, names, config)
    pipeline_tag = _text(data.get("pipeline_tag")) or (config.pipeline_tag if config else None)
    bases = _base_models(data, config)
    tags = [
        *_library_tags(library),
        *(name for name in FORMATS if any(file.endswith(f".{name}") for file in names)),
        *_card_tags(data),
        *([config.method] if config and config.method else []),
        *([pipeline_tag] if pipeline_tag else []),
        *_texts(data.get("language"), MAX_LANGUAGES),
        *(f"dataset:{name}" for name in _texts(data.get("datasets"), MAX_DATASETS)),
        *(f"license:{name}" for name in _texts(data.get("license"), MAX_LICENSES)),
        *(f"arxiv:{paper}" for paper in _papers(card_text)),
        *_base_model_tags(bases, _relation(data, names, bases)),
        *(["model-index"] if isinstance(index := data.get("model-index"), list) and index else []),
    ]
    fitting = (tag for tag in dict.fromkeys(tags) if len(tag) <= MAX_TAG_LENGTH)
    return Facts(tuple(fitting), pipeline_tag, library, tuple(bases), data, config.summary if config else {})


def _library(data: dict[str, JSON], names: Collection[str], config: AdapterConfig | None) -> str | None:
    """The library an adapter is for. A card's plain ``transformers`` is what PEFT's push leaves there, not a claim."""
    library = _text(data.get("library_name"))
    if config and library in (None, "transformers"):
        library = config.library
    if not library and DIFFUSERS_WEIGHTS in names:
        library = "diffusers"
    if not library:
        tags = _texts(data.get("tags"), MAX_CARD_TAGS)
        library = next((name for name in KNOWN_LIBRARIES if name in tags), None)
    return ADAPTERS_LIBRARY if library in ADAPTERS_NAMES else library


def _library_tags(library: str | None) -> tuple[str, ...]:
    if library == ADAPTERS_LIBRARY:
        return ADAPTERS_NAMES
    return (library,) if library else ()


def _card_tags(data: dict[str, JSON]) -> Iterator[str]:
    """The card's own tags; PEFT also writes ``base_model:adapter:<local path>``, which would say nothing to anybody else."""
    for tag in _texts(data.get("tags"), MAX_CARD_TAGS):
        if not tag.startswith("base_model:") or is_repo_id(tag.rpartition(":")[2]):
            yield tag


def _base_models(data: dict[str, JSON], config: AdapterConfig | None) -> list[str]:
    named = [base for base in _texts(data.get("base_model"), MAX_BASE_MODELS) if is_repo_id(base)]
    return list(dict.fromkeys(named)) or ([config.base_model] if config and config.base_model else [])


def _relation(data: dict[str, JSON], names: Collection[str], bases: list[str]) -> str:
    """How the repository relates to its base models: what the card says, else what its files are."""
    if (relation := _text(data.get("base_model_relation"))) in RELATIONS and relation:
        return relation
    if not ADAPTER_FILES.isdisjoint(names):
        return "adapter"
    if any(name.endswith(".gguf") for name in names):
        return "quantized"
    return "merge" if len(bases) > 1 else "finetune"


def _base_model_tags(bases: list[str], relation: str) -> Iterator[str]:
    for base in bases:
        yield f"base_model:{base}"
        yield f"base_model:{relation}:{base}"


def _papers(card_text: str) -> list[str]:
    return list(dict.fromkeys(_ARXIV.findall(card_text)))[:MAX_PAPERS]


def _texts(value: JSON, limit: int) -> list[str]:
    """The usable texts of a value that should be a text or a list of texts, but may be anything."""
    items = value if isinstance(value, list) else [value]
    return [text for item in items if (text := _text(item))][:limit]


def _text(value: JSON) -> str | None:
    """A value as a tag may hold it: a short, printable text without blanks at its ends; None for anything else."""
    text = value.strip() if isinstance(value, str) else ""
    return text if text and len(text) <= MAX_TAG_LENGTH and text.isprintable() else None

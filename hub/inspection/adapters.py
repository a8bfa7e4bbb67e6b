"""What an ``adapter_config.json`` says about its adapter: the library it is for, its method, its base model, its task.

Two dialects are known: PEFT's (``peft_type``) and that of AdapterHub's ``adapters`` (before: ``adapter-transformers``)
library (``config`` with ``model_type`` and ``model_name``). The bytes are a stranger's: JSON is read strictly, and what
is taken from it is text to show, never a path or a URL to follow.
"""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from hub.inspection.card import JSON
from hub.names import is_repo_id

MAX_CONFIG_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_INTEGER_DIGITS = 18
MAX_SHOWN_TEXT = 500

# PEFT's TaskType -> the hub's name of the task.
PIPELINE_TAGS = {
    "CAUSAL_LM": "text-generation",
    "SEQ_CLS": "text-classification",
    "TOKEN_CLS": "token-classification",
    "SEQ_2_SEQ_LM": "text2text-generation",
    "QUESTION_ANS": "question-answering",
    "FEATURE_EXTRACTION": "feature-extraction",
}

_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")
_PEFT_TYPE = re.compile(r"[A-Za-z0-9_]{1,64}")


class ConfigError(ValueError):
    """A configuration file that is not the JSON it should be; the message is the reason."""


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter's configuration says of it.

    ``method`` is a tag such as ``lora`` or ``prefix-tuning`` (None for ``adapters``), ``base_model`` a model id (None when
    the configuration names none, or a local path), ``summary`` what model info shows as ``config``.
    """

    library: Literal["peft", "adapters"]
    method: str | None = None
    base_model: str | None = None
    pipeline_tag: str | None = None
    summary: dict[str, JSON] = field(default_factory=dict)


def read_json(data: bytes, *, limit: int = MAX_CONFIG_BYTES) -> dict[str, JSON]:
    """Read a JSON object as every consumer would read it; raises ConfigError where they could differ.

    Refused: more than ``limit`` bytes, invalid UTF-8, duplicate keys, NaN and infinities (also as ``1e400``), whole
    numbers of more than 18 digits, NUL and lone surrogates in texts, nesting deeper than 64, anything but an object at the top.
    """
    if len(data) > limit:
        raise ConfigError(f"too large to inspect ({len(data):,} bytes, the limit is {limit:,})")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_not_a_number)
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"not valid JSON (line {error.lineno}: {error.msg})") from None
    except RecursionError:
        raise ConfigError(f"nested deeper than {MAX_DEPTH} levels") from None
    if not isinstance(value, dict):
        raise ConfigError("not a JSON object")
    _check_value(value, depth=1)
    return value


def read_adapter_config(data: bytes) -> AdapterConfig | None:
    """Read an ``adapter_config.json``; None when it is in no known dialect. Raises ConfigError when it is no strict JSON."""
    config = read_json(data)
    if "peft_type" in config:
        return _read_peft(config)
    if "config" in config and ("model_name" in config or "model_type" in config):
        return _read_adapters(config)
    return None


def _read_peft(config: dict[str, JSON]) -> AdapterConfig:
    base, task, peft_type = (_text(config.get(key)) for key in ("base_model_name_or_path", "task_type", "peft_type"))
    return AdapterConfig(
        library="peft",
        method=peft_type.lower().replace("_", "-") if peft_type and _PEFT_TYPE.fullmatch(peft_type) else None,
        base_model=base if base and is_repo_id(base) else None,
        pipeline_tag=PIPELINE_TAGS.get(task or ""),
        summary={"peft": {"base_model_name_or_path": base, "task_type": task}},
    )


def _read_adapters(config: dict[str, JSON]) -> AdapterConfig:
    base = _text(config.get("model_name"))
    shown: dict[str, JSON] = {"model_name": base, "model_class": _text(config.get("model_class"))}
    return AdapterConfig(
        library="adapters",
        base_model=base if base and is_repo_id(base) else None,
        # The library changed its name; its clients of both ages look here for theirs.
        summary={"adapters": shown, "adapter_transformers": shown},
    )


def _text(value: JSON) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_SHOWN_TEXT else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ConfigError(f"the key {key[:100]!r} stands twice in one object")
        found[key] = value
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise ConfigError(f"a whole number of more than {MAX_INTEGER_DIGITS} digits")
    return int(digits)


def _number(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ConfigError(f"the number {digits[:100]} is out of range")
    return number


def _not_a_number(name: str) -> NoReturn:
    raise ConfigError(f"{name} is not a JSON number")


def _check_value(value: JSON, depth: int) -> None:
    """Refuse what JSON can spell but a database or a client cannot hold."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise ConfigError("a text holds NUL or a lone surrogate")
    if isinstance(value, dict):
        for key in value:
            _check_value(key, depth)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_value(item, depth + 1)

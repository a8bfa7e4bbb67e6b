"""Reading what strangers upload: model cards, adapter configurations, and the facts and tags they yield.

Pure functions over bytes and text: no database, no network, no file system, nothing executed.
"""

from hub.inspection.adapters import AdapterConfig, ConfigError, read_adapter_config, read_json
from hub.inspection.card import JSON, Card, read_card, split_front_matter, validate
from hub.inspection.tags import Facts, learn

__all__ = [
    "JSON",
    "AdapterConfig",
    "Card",
    "ConfigError",
    "Facts",
    "learn",
    "read_adapter_config",
    "read_card",
    "read_json",
    "split_front_matter",
    "validate",
]

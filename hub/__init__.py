"""AdapterHub: a self-hosted hub for fine-tuning adapters."""

__version__ = "0.1.0"

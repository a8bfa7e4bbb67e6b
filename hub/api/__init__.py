"""The Hugging Face dialect: one router a noun; the names on the wire are in ``wire``."""

"""Asserts on what a client scenario reports about a refused call (see ``refusal`` in tests/clients/scripts/_scenario.py)."""

from collections.abc import Mapping
from typing import Any

Refusal = Mapping[str, Any]


def assert_refused(refusal: Refusal, is_a: str, status: int | None = None, text: str = "") -> None:
    """The call raised ``is_a`` (or a subclass of it), with this HTTP status and this text in the message."""
    assert refusal, f"the call succeeded, but should have raised {is_a}"
    assert is_a in refusal["is_a"], refusal
    assert status in {None, refusal["status"]}, refusal
    assert text in refusal["message"], refusal


def assert_allowed(refusal: Refusal) -> None:
    """The call succeeded."""
    assert refusal == {}, refusal

"""The frame of every scenario: steps in order, one JSON object out.

A scenario runs inside a client's environment, so it uses nothing but the standard library and the client. Its steps are
functions marked with ``@step``; each gets the input (and may leave values on it for the steps after it) and returns what
a user sees, as JSON. A step that fails does not stop those after it.
"""

import hashlib
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Step = Callable[[SimpleNamespace], Any]
STEPS: list[Step] = []


def step(function: Step) -> Step:
    """Mark a function as the next step of the scenario."""
    STEPS.append(function)
    return function


def play() -> None:
    """Run the steps: input from stdin, outcomes to the last line of stdout, what the client prints to stderr."""
    given = SimpleNamespace(**json.load(sys.stdin))
    answer, sys.stdout = sys.stdout, sys.stderr
    outcomes = {each.__name__: _outcome(each, given) for each in STEPS}
    print(json.dumps(outcomes), file=answer, flush=True)


def _outcome(each: Step, given: SimpleNamespace) -> dict[str, Any]:
    try:
        return {"value": each(given)}
    except Exception:
        return {"traceback": traceback.format_exc()}


def refusal(call: Callable[[], Any]) -> dict[str, Any]:
    """How a call failed, as the user's code sees it: the exception's classes, the HTTP status, the message. Empty if it did not."""
    try:
        call()
    except Exception as error:
        response = getattr(error, "response", None)
        status = None if response is None else response.status_code
        return {"is_a": [each.__name__ for each in type(error).__mro__], "status": status, "message": str(error)}
    return {}


def sha256(path: str | Path) -> str:
    """The sha256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: str | Path) -> dict[str, str]:
    """The sha256 of every file below a folder, by relative path."""
    root = Path(folder)
    return {path.relative_to(root).as_posix(): sha256(path) for path in sorted(root.rglob("*")) if path.is_file()}

"""Builds the environments of the real clients: ``python -m tests.clients.build [--only NAME]``.

Each file of ``requirements/`` is one generation, locked to the last package, in ``.venvs/<name>`` of the checkout. An
environment that was built from the same file is left alone.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
VENVS = Path(__file__).resolve().parents[2] / ".venvs"
STAMP = "requirements.sha256"


class NotBuilt(Exception):
    """The environment of a client generation is missing or older than its requirements."""


def generations() -> list[str]:
    """The names of all generations."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def python_of(name: str) -> Path:
    """The interpreter of a generation. Raises NotBuilt."""
    if not is_built(name):
        raise NotBuilt(f"The clients of the generation {name!r} are not installed. Run: python -m tests.clients.build --only {name}")
    return VENVS / name / "bin" / "python"


def is_built(name: str) -> bool:
    """Whether the environment was built to its end from the requirements as they are now."""
    stamp = VENVS / name / STAMP
    return stamp.exists() and stamp.read_text() == _stamp_of(name)


def build(name: str) -> None:
    """Make the environment of one generation anew. Raises subprocess.CalledProcessError when pip fails."""
    folder = VENVS / name
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    for step in _install_steps(name):
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *step], check=True)
    (folder / STAMP).write_text(_stamp_of(name))


def _install_steps(name: str) -> list[list[str]]:
    """torch comes first and with what it needs on this kind of machine; the lock is complete, so the rest needs no resolver."""
    lock = REQUIREMENTS / f"{name}.txt"
    torch = [line for line in lock.read_text().splitlines() if line.startswith("torch==")]
    first = [[*torch, "--constraint", str(lock)]] if torch else []
    return [*first, ["--no-deps", "--requirement", str(lock)]]


def _stamp_of(name: str) -> str:
    return hashlib.sha256((REQUIREMENTS / f"{name}.txt").read_bytes()).hexdigest()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.build", description="Install the real clients that the tests run.")
    parser.add_argument("--only", choices=generations(), help="build this generation alone")
    only = parser.parse_args().only
    for name in [only] if only else generations():
        if is_built(name):
            print(f"{name}: up to date", flush=True)
            continue
        print(f"{name}: installing ...", flush=True)
        start = time.monotonic()
        build(name)
        print(f"{name}: done in {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()

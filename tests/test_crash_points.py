"""A fault at every step of an upload with its commit, and of gc: nothing acknowledged is lost, nothing is half.

The steps are the calls that change files (write, fsync, rename, unlink, mkdir, truncate) of the store and of SQLite alike.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import faults
from tests.support.server import ROOT

pytestmark = pytest.mark.slow

Steps = list[dict[str, Any]]


def sweep(folder: Path, deed: str, act: str, *, every: int = 1, **environment: str) -> Steps:
    """Every step at which a fault was met; the deed without any fault comes last and is checked here."""
    env = {**os.environ, "LD_PRELOAD": str(faults.build(folder)), "FAULTS_ACT": act, **environment}
    command = [sys.executable, "-m", "tests.support.crash_sweep", str(folder), deed, "--every", str(every)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    *steps, undisturbed = map(json.loads, done.stdout.splitlines())
    assert undisturbed["acknowledged"]
    assert_unhurt([undisturbed])
    return steps


def assert_unhurt(steps: Steps) -> None:
    """The hub that starts again finds everything right, holds what was acknowledged, and can do the deed again."""
    assert [step for step in steps if not step["kept"]] == [], "acknowledged and lost"
    assert [step for step in steps if step["findings"]] == [], "findings of fsck"
    assert [step for step in steps if step["findings_after"]] == [], "findings of fsck after the deed was done again"
    assert [step for step in steps if not step["whole"]] == [], "bytes lost, damaged, or left by gc"


@pytest.mark.parametrize(("deed", "least"), [("push", 30), ("collect", 20)])
def test_killed_at_any_step(tmp_path: Path, deed: str, least: int) -> None:
    steps = sweep(tmp_path, deed, "kill")
    assert len(steps) > least
    assert_unhurt(steps)


def test_a_full_disk_at_any_step(tmp_path: Path) -> None:
    steps = sweep(tmp_path, "push", "enospc", every=3)
    assert len(steps) > 20
    assert_unhurt(steps)


def test_nothing_is_acknowledged_after_a_failed_fsync(tmp_path: Path) -> None:
    steps = sweep(tmp_path, "push", "eio", FAULTS_ONLY="sync")
    assert len(steps) > 5
    assert [step for step in steps if step["acknowledged"] and step["early"]] == []
    assert_unhurt(steps)

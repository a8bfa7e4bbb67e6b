"""Short forms of the torture test; the long ones are ``python -m tests.torture``."""

from pathlib import Path

import pytest

from tests.torture import DATABASES, commit_at_once, kill_often

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("database", DATABASES)
def test_what_was_acknowledged_survives_five_kills(database: str, tmp_path: Path) -> None:
    verdict = kill_often(database, tmp_path, kills=5, seconds=60)
    assert verdict.kills == 5
    assert verdict.complaints == []


@pytest.mark.parametrize("database", DATABASES)
def test_32_clients_on_one_branch_make_one_line_of_history(database: str, tmp_path: Path) -> None:
    verdict = commit_at_once(database, tmp_path, threads=32, commits=20)
    assert verdict.acknowledged == 32 * 20
    assert verdict.complaints == []

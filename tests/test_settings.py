"""Every setting is documented, used and checked."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from hub.settings import Settings
from tests.support.server import ROOT

FIELDS = sorted(Settings.model_fields)


@pytest.mark.parametrize("field", FIELDS)
def test_every_setting_is_documented(field: str) -> None:
    assert f"HUB_{field.upper()}" in (ROOT / "docs" / "OPERATIONS.md").read_text()


def test_every_documented_setting_is_there() -> None:
    """So that nobody sets what has no effect."""
    texts = [*(ROOT / "docs").glob("*.md"), *(ROOT / "hub").rglob("*.py"), *ROOT.glob("*.md")]
    named = {name for text in texts for name in re.findall(r"(?<!HF_)HUB_[A-Z_]*[A-Z]", text.read_text())}
    assert {name.removeprefix("HUB_").lower() for name in named} <= set(FIELDS)


@pytest.mark.parametrize("field", FIELDS)
def test_every_setting_is_used(field: str) -> None:
    derived = {"public_url": "url", "database_url": "database", "blob_store": "blob_folder"}
    use = re.compile(rf"settings(\(\w+\))?\.{derived.get(field, field)}\b")
    sources = [path.read_text() for path in (ROOT / "hub").rglob("*.py") if path.name != "settings.py"]
    assert any(use.search(source) for source in sources)


BAD = {
    "HUB_PORT": "70000",
    "HUB_WORKERS": "0",
    "HUB_MAX_LFS_BYTES": "much",
    "HUB_MAX_UPLOADS": "-1",
    "HUB_GC_GRACE": "0",
    "HUB_UPLOAD_TTL": "a day",
    "HUB_PUBLIC_URL": "hub.example.org",
    "HUB_DATABASE_URL": "mysql://localhost/hub",
    "HUB_BLOB_STORE": "s4://bucket",
    "HUB_ACCESS_LOG": "perhaps",
}


def run(tmp_path: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HUB_DATA_DIR": str(tmp_path / "data"), "PYTHONDONTWRITEBYTECODE": "1"} | settings
    return subprocess.run(
        [sys.executable, "-m", "hub.cli", *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, BAD[name])
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert refused.value.errors()[0]["loc"] == (name.removeprefix("HUB_").lower(),)


@pytest.mark.parametrize("name", ["HUB_PORT", "HUB_PUBLIC_URL"])
def test_a_bad_value_ends_the_program_with_one_line(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, "serve", **{name: BAD[name]})
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"adapterhub: {name}: ")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_a_data_folder_that_cannot_be_made_ends_the_program_with_one_line(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" if where == "a file" else tmp_path / "file" / "data"
    for command in (("serve",), ("migrate",), ("user", "list")):
        done = run(tmp_path, *command, HUB_DATA_DIR=str(folder))
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr


def test_addresses_follow_from_the_settings(tmp_path: Path) -> None:
    assert Settings(host="0.0.0.0", port=1234).url == "http://127.0.0.1:1234"
    assert Settings(public_url="https://hub.example.org/").url == "https://hub.example.org"
    assert Settings(database_url="postgresql://u:p@h/d").database == "postgresql+psycopg://u:p@h/d"
    assert Settings(data_dir=tmp_path).database == f"sqlite:///{tmp_path}/hub.sqlite3"
    assert Settings(data_dir=tmp_path).blob_folder == tmp_path / "store"
    assert Settings(data_dir=tmp_path, blob_store="elsewhere").blob_folder == Path("elsewhere")


def test_an_ipv6_address_is_an_address() -> None:
    assert Settings(host="::1", port=8000).url == "http://[::1]:8000"

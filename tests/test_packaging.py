"""What is installed: the wheel holds all that the hub needs at run time, and the pinned versions name packages only."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hub import assets

CHECKOUT = Path(__file__).resolve().parents[1]
FOLDERS = ("templates", "static", "migrations")
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([0-9][A-Za-z0-9.]*)")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel of this checkout was unpacked."""
    dist, site = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, CHECKOUT],
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = dist.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def run_installed(site: Path, code: str, *arguments: str) -> str:
    """What a program that sees the installed hub prints; the checkout is not its working folder."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_of(folder: Path) -> dict[str, bytes]:
    """The content of every file below ``folder``, by relative path."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", FOLDERS)
def test_an_installed_hub_has_its_files(installed: Path, name: str) -> None:
    printed = run_installed(installed, "import sys, hub.assets; print(hub.assets.folder(sys.argv[1]))", name)
    found = Path(printed.strip())
    assert found == installed / "hub" / name
    assert files_of(found) == files_of(CHECKOUT / name)


def test_an_installed_hub_has_its_command(installed: Path) -> None:
    (declared,) = installed.glob("*.dist-info/entry_points.txt")
    assert "adapterhub = hub.cli:main" in declared.read_text()
    printed = run_installed(installed, "import sys; sys.argv[0] = 'adapterhub'; from hub.cli import main; main()", "--help")
    assert "serve" in printed


@pytest.mark.parametrize("name", FOLDERS)
def test_a_checkout_has_its_files_at_the_top(name: str) -> None:
    assert assets.folder(name) == CHECKOUT / name


def test_a_damaged_installation_says_so() -> None:
    with pytest.raises(FileNotFoundError, match="Install AdapterHub again"):
        assets.folder("no-such-folder")


def test_the_address_of_a_static_file_follows_its_bytes() -> None:
    first, second = assets.static_url("hub.css"), assets.static_url("mark.svg")
    assert re.fullmatch(r"/static/hub\.css\?v=[0-9a-f]{12}", first)
    assert first.partition("?")[2] != second.partition("?")[2]


def pins() -> dict[str, str]:
    """The pinned version of every package in constraints.txt."""
    lines = (line for line in (CHECKOUT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#"))
    matches = [(line, PIN.fullmatch(line)) for line in lines]
    assert [line for line, match in matches if match is None] == [], "constraints.txt holds name==version only, no address and no option"
    return {canonicalize_name(match[1]): match[2] for _, match in matches if match}


def test_every_dependency_is_pinned_to_a_version_it_allows() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(line) for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]]
    pinned = pins()
    unmet = [str(each) for each in asked if not each.specifier.contains(pinned.get(canonicalize_name(each.name), "0"))]
    assert unmet == []

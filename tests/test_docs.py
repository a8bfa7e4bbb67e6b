"""The documents say what the program does: settings, commands, metrics, routes, modules, tables, links."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from hub.app import create_app
from hub.cli import main
from hub.metrics import Metrics
from hub.models import Base
from hub.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
OPERATIONS, WIRE, ARCHITECTURE = (ROOT / "docs" / f"{name}.md" for name in ("OPERATIONS", "WIRE", "ARCHITECTURE"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CELL = re.compile(r"(?<!\\)\|")


def rows(document: Path, heading: str) -> Iterator[list[str]]:
    """The rows of every table in ``document`` whose first column is called ``heading``: their cells."""
    wanted = False
    for line in document.read_text().splitlines():
        cells = [cell.strip() for cell in CELL.split(line)[1:-1]]
        if not cells:
            wanted = False
        elif not wanted:
            wanted = cells[0] == heading
        elif set(cells[0]) != {"-"}:
            yield cells


def code(cell: str) -> str:
    """The first piece of code in a cell."""
    found = re.search(r"`([^`]+)`", cell)
    assert found, f"no code in {cell!r}"
    return found[1].replace("\\|", "|")


# --- OPERATIONS.md -------------------------------------------------------------------------------------------------


def test_every_setting_is_documented() -> None:
    documented = [code(cells[0]) for cells in rows(OPERATIONS, "setting")]
    assert sorted(documented) == sorted(f"HUB_{name.upper()}" for name in Settings.model_fields)


def test_documented_defaults_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {}
    for name, default, *_ in rows(OPERATIONS, "setting"):
        variable, value = code(name), "" if default == "empty" else code(default)
        field = variable.removeprefix("HUB_").lower()
        monkeypatch.setenv(variable, value)
        if getattr(Settings(), field) != Settings.model_fields[field].default:
            wrong[variable] = value
    assert wrong == {}


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words one types."""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, *path, name)
    else:
        yield " ".join(path), command


def documented_commands() -> dict[str, str]:
    """What OPERATIONS.md writes for each command, by the command's words."""
    usages = [code(cells[0]) for cells in rows(OPERATIONS, "command")]
    return {" ".join(re.findall(r"^[a-z]+(?: [a-z][a-z-]*)*", usage)): usage for usage in usages}


def test_every_command_is_documented() -> None:
    assert sorted(documented_commands()) == sorted(words for words, _ in commands(main, "adapterhub"))


def test_every_option_is_documented() -> None:
    documented = documented_commands()
    for words, command in commands(main, "adapterhub"):
        options = {option for parameter in command.params if isinstance(parameter, click.Option) for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", documented[words])) == options, words


def test_every_metric_is_documented() -> None:
    metrics = {metric.name + ("_total" if metric.type == "counter" else "") for metric in Metrics().registry.collect()}
    assert {code(cells[0]) for cells in rows(OPERATIONS, "metric")} == metrics


# --- WIRE.md and ARCHITECTURE.md -----------------------------------------------------------------------------------


def routes() -> Iterator[tuple[str, str]]:
    """Method and path of every route of the application; a mounted folder is ``/{file}`` below its path."""
    for route in iter_route_contexts(create_app(Settings()).routes):
        mounted = isinstance(route.original_route, Mount)
        path = f"{route.path}/{{file}}" if mounted else re.sub(r":\w+}", "}", route.path or "")
        for method in ("GET", "HEAD") if mounted else route.methods or ():
            yield method, path


def test_every_route_is_documented() -> None:
    documented = [(method, code(cells[1])) for cells in rows(WIRE, "method") for method in cells[0].split()]
    assert sorted(documented) == sorted(set(routes()))


def test_every_client_test_is_documented() -> None:
    documented = {code(cells[3]) for cells in rows(WIRE, "client")}
    assert documented == {path.name for path in (ROOT / "tests").glob("test_clients_*.py")}


def test_documented_versions_of_clients_are_those_that_run() -> None:
    pins = {line.strip() for path in (ROOT / "tests/clients/requirements").glob("*.txt") for line in path.read_text().splitlines()}
    for name, version, *_ in rows(WIRE, "client"):
        package = "huggingface_hub" if name == "hf" else name
        assert f"{package}=={version.split()[0]}" in pins


def test_every_module_has_its_line() -> None:
    modules = {path.stem if path.is_file() else path.name for path in (ROOT / "hub").iterdir() if not path.name.startswith("__")}
    assert {code(cells[1]) for cells in rows(ARCHITECTURE, "layer")} == modules


def test_every_table_has_its_line() -> None:
    assert {code(cells[0]) for cells in rows(ARCHITECTURE, "table")} == set(Base.metadata.tables)


# --- all documents -------------------------------------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """The fragments that lead to the headings of a document, as code forges make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(FENCE.sub("", document.read_text())):
        name, _, anchor = link.partition("#")
        if name.startswith("https://"):
            continue
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{link}: there is no such file"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_commands_in_documents_exist(document: Path) -> None:
    text = document.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets
    known = {words for words, _ in commands(main, "adapterhub")}
    used = {" ".join(words) for words in re.findall(r"(?:^|`)(adapterhub)(?: ([a-z-]+))(?: ([a-z-]+))?", text, re.MULTILINE)}
    assert [words for words in used if not any(f"{words} ".startswith(f"{command} ") for command in known)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_variables_in_documents_are_settings(document: Path) -> None:
    settings = {f"HUB_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bHUB_[A-Z_]+[A-Z]\b", document.read_text())) <= settings

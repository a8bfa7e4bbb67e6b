"""What a benchmark says: figures, each with its reference and its target, as a table for people and as JSON."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

HEADINGS = ("row", "what", "database", "ours", "reference", "unit", "ratio", "target", "met")


@dataclass(frozen=True)
class Target:
    """A bound on the ratio ours/reference, or on our own number when ``of`` is "ours"."""

    bound: float
    at_least: bool = True
    of: str = "ratio"

    def __str__(self) -> str:
        return f"{'' if self.of == 'ratio' else 'ours '}{'>=' if self.at_least else '<='} {self.bound:g}"


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    row: str
    what: str
    database: str
    ours: float
    reference: float
    unit: str
    target: Target | None = None

    @property
    def ratio(self) -> float:
        """Ours over the reference."""
        return self.ours / self.reference

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        value = self.ratio if self.target.of == "ratio" else self.ours
        return value >= self.target.bound if self.target.at_least else value <= self.target.bound

    def cells(self) -> tuple[str, ...]:
        """The line as text, in the order of ``HEADINGS``."""
        met = {True: "yes", False: "NO", None: "-"}[self.met]
        numbers = (_short(self.ours), _short(self.reference), self.unit, f"{self.ratio:.2f}", str(self.target or "-"), met)
        return (self.row, self.what, self.database, *numbers)


def table(figures: Iterable[Figure]) -> str:
    """A Markdown table."""
    lines = [HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    drawn = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([drawn[0], rule, *drawn[1:]])


def save(figures: Iterable[Figure], folder: Path) -> Path:
    """Write the figures as JSON into a new file of ``folder``; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    file.write_text(json.dumps([{**asdict(figure), "ratio": figure.ratio, "met": figure.met} for figure in figures], indent=1) + "\n")
    return file


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"

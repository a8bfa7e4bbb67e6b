"""``python -m benchmarks [--only ROW] [--quick] [--database sqlite|postgres|both]``: prints the table, keeps it as JSON."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.clients import push_and_pull
from benchmarks.commits import commits
from benchmarks.download import download
from benchmarks.memory import memory
from benchmarks.report import Figure, save, table
from benchmarks.resolve import resolve
from benchmarks.scale import scale
from benchmarks.servers import Bed, NotInstalled
from tests.support.server import HubFailed

RESULTS = Path(__file__).with_name("results")
DATABASES = ("sqlite", "postgres")
ROWS: dict[str, Callable[[Bed], Iterator[Figure]]] = {
    "resolve": resolve,
    "download": download,
    "clients": push_and_pull,
    "memory": memory,
    "commits": commits,
    "scale": scale,
}


def main() -> int:
    """The command; returns 2 when a row could not be measured."""
    options = _options()
    databases = DATABASES if options.database == "both" else (options.database,)
    figures: list[Figure] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bed = Bed(Path(folder), databases, options.quick)
        try:
            for row in options.only or ROWS:
                failed |= _measure(row, bed, figures)
        finally:
            bed.close()
    print(table(figures))
    if figures:
        print(f"\nkept in benchmarks/results/{save(figures, RESULTS).name}")
    return 2 if failed else 0


def _measure(row: str, bed: Bed, figures: list[Figure]) -> bool:
    print(f"{row} ...", file=sys.stderr, flush=True)
    try:
        for figure in ROWS[row](bed):
            figures.append(figure)
            print("  ", " | ".join(figure.cells()), file=sys.stderr, flush=True)
    except (NotInstalled, HubFailed, RuntimeError) as error:
        print(f"{row} could not be measured: {error}", file=sys.stderr)
        return True
    return False


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the hub beside its references.")
    parser.add_argument("--only", action="append", choices=ROWS, metavar="ROW", help=f"one of {', '.join(ROWS)}; may be given again")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer measurements, smaller uploads, 10,000 repositories")
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

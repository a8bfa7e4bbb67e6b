"""Rows ``push`` and ``pull``: adapters a second through the unmodified huggingface_hub, against a hub that costs nothing."""

import json
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from subprocess import PIPE
from uuid import uuid4

from benchmarks.report import Figure, Target
from benchmarks.servers import OWNER, Bed, NotInstalled, app, nginx
from tests.clients.build import is_built, python_of
from tests.support.server import free_port

GENERATION = "modern"
WORKER = Path(__file__).with_name("client_worker.py")
CROWDS = ((1, 6), (4, 4))
FILES = {"push": 3, "pull": 4}
TARGET = Target(0.8)


@dataclass(frozen=True)
class Side:
    """A hub as the client sees it."""

    name: str
    url: str
    token: str
    xet: bool = False

    def env(self, home: Path) -> dict[str, str]:
        """The whole environment of a client."""
        xet = {} if self.xet else {"HF_HUB_DISABLE_XET": "1"}
        quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        own = {"HOME": str(home), "HF_HOME": str(home / "hf"), "HF_ENDPOINT": self.url, "HF_TOKEN": self.token}
        return {"PATH": os.environ["PATH"], **own, **quiet, **xet}


def push_and_pull(bed: Bed) -> Iterator[Figure]:
    """Adapters of three files and 8 MB, by one client and by four; by LFS on both sides, and by Xet, the client's default, on ours."""
    if not is_built(GENERATION):
        raise NotInstalled(f"The real client is missing. Build it with: python -m tests.clients.build --only {GENERATION}")
    with null_side(bed) as null:
        for database in bed.databases:
            with bed.hub(database) as served:
                ours = [Side("LFS", served.hub.url, served.token), Side("Xet", served.hub.url, served.token, xet=True)]
                for clients, adapters in CROWDS:
                    for deed, side, rate, ceiling in _compare(bed, ours, null, clients, adapters):
                        what = f"{clients} client{'s' * (clients > 1)}, {side.name}"
                        yield Figure(deed, what, database, rate, ceiling, "adapters/s", TARGET)


@contextmanager
def null_side(bed: Bed) -> Iterator[Side]:
    """The null hub, its weights on nginx."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with nginx(bed.new_folder("nginx")) as (store, _):
        env = {"NULL_HUB_URL": url, "NULL_HUB_STORE": f"http://127.0.0.1:{store}"}
        with app("benchmarks.null_hub:app", env, port):
            yield Side("null", url, "hf_none")


def _compare(bed: Bed, ours: Sequence[Side], null: Side, clients: int, adapters: int) -> Iterator[tuple[str, Side, float, float]]:
    """Deed, side, its rate and that of the null hub: medians of rounds in which every side has its turn."""
    rates: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(bed.rounds(3)):
        for side in (null, *ours):
            repos = [[f"{OWNER}/a-{uuid4().hex[:12]}" for _ in range(adapters + 1)] for _ in range(clients)]
            for deed in FILES:
                rates[deed, side.name].append(crowd(bed, side, deed, repos))
    for deed, side in product(FILES, ours):
        yield deed, side, median(rates[deed, side.name]), median(rates[deed, null.name])


def crowd(bed: Bed, side: Side, deed: str, repos: Sequence[Sequence[str]]) -> float:
    """Adapters a second of one client for each list of repositories, all at once; the first of each list is a warm-up.

    Raises:
        RuntimeError: a client failed, or did not see all files.
    """
    folder = bed.new_folder(f"{deed}-{side.name}")
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(side, folder / str(number), deed, mine)) for number, mine in enumerate(repos)]
        for worker in workers:
            worker.read()
        for worker in workers:
            worker.write("go")
        seen = [json.loads(worker.read()) for worker in workers]
    shutil.rmtree(folder)
    adapters = sum(len(mine) - 1 for mine in repos)
    files = sum(one["files"] for one in seen)
    if files != adapters * FILES[deed]:
        raise RuntimeError(f"{deed} against {side.name}: {files} files instead of {adapters * FILES[deed]}")
    return float(adapters / (max(one["ended"] for one in seen) - min(one["began"] for one in seen)))


class Worker:
    """A process of ``benchmarks/client_worker.py``, spoken to in lines."""

    def __init__(self, side: Side, home: Path, deed: str, repos: Sequence[str]) -> None:
        home.mkdir()
        self._errors = home / "stderr"
        command = [str(python_of(GENERATION)), str(WORKER)]
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(command, env=side.env(home), stdin=PIPE, stdout=PIPE, stderr=errors, text=True)
        self.write(json.dumps({"deed": deed, "repos": repos, "folder": str(home / "work")}))

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def write(self, line: str) -> None:
        """Say a line."""
        print(line, file=self._process.stdin, flush=True)

    def read(self) -> str:
        """Hear a line. Raises RuntimeError with the client's own words when it has ended instead."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the client failed:\n{self._errors.read_text()[-3000:]}")
        return line

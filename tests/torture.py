"""The torture test: what was acknowledged survives whatever happens to the process.

``python -m tests.torture --kills 100`` ends the hub with SIGKILL again and again while eight clients push to it, and then
looks for every commit that a client was told is safe. ``python -m tests.torture --concurrency`` lets 32 clients commit to one
branch at once and looks for a history with all of them, one after the other. Both are bounded in time and in count.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support.server import Hub, HubFailed, Postgres
from tests.torture_load import BUSY, SHARED, Ledger, Promise, Pusher
from tests.torture_wire import Disconnected, Refused, Wire, sha256

OWNER = "torture"
DATABASES = ("sqlite", "postgres")
READY_SECONDS = 5.0
CALM_SECONDS = 120.0
PAUSE = (0.0, 2.0)
BUSY_ATTEMPTS = 60
SHOWN = 50
HEADINGS = ("database", "kills", "acknowledged", "lost", "doubled", "failures", "dangling", "slowest ready", "cut off", "503", "time")


@dataclass
class Verdict:
    """What a run found. Each list names what is wrong, in words; ``dangling`` is what fsck found."""

    database: str
    kills: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    slowest_ready: float = 0.0
    broken: int = 0
    busy: int = 0
    seconds: float = 0.0

    @property
    def complaints(self) -> list[str]:
        """Every broken promise."""
        idle = [] if self.acknowledged else ["nothing was acknowledged, so nothing was shown"]
        return [*self.lost, *self.doubled, *self.failures, *self.dangling, *idle]

    @property
    def slow(self) -> list[str]:
        """A start that took too long: true of a machine that does nothing else, so the tests leave it alone."""
        return [f"ready only after {self.slowest_ready:.1f} s"] if self.slowest_ready >= READY_SECONDS else []


@contextmanager
def running_hub(database: str, folder: Path, *, workers: int = 1) -> Iterator[tuple[Hub, str]]:
    """A started hub on either database, and a token of ``OWNER``; both end with the block."""
    postgres = Postgres(folder / "postgres") if database == "postgres" else None
    hub = Hub(folder / "hub", postgres.new_database() if postgres else "", {"HUB_WORKERS": str(workers)})
    try:
        hub.start()
        yield hub, hub.add_user(OWNER).token
    finally:
        kill(hub)
        if postgres:
            postgres.stop()


class Torture:
    """Clients that push to a hub, and what it takes to kill the hub and to hold it to its promises."""

    def __init__(self, hub: Hub, token: str, clients: int) -> None:
        self._hub = hub
        self._wire = Wire(hub.url, token)
        self._may_run = threading.Event()
        self.ledger = Ledger()
        self._wire.create(OWNER, SHARED)
        self._pushers = [Pusher(number, Wire(hub.url, token), OWNER, self.ledger, self._may_run) for number in range(clients)]

    def kill_under_load(self) -> float:
        """Let the clients push for a random while, kill the hub, start it; returns the seconds until it was ready."""
        self._may_run.set()
        time.sleep(random.uniform(*PAUSE))
        kill(self._hub)
        began = time.monotonic()
        self._hub.start()
        return time.monotonic() - began

    def calm(self) -> None:
        """Let every client finish its commit and rest."""
        self._may_run.clear()
        deadline = time.monotonic() + CALM_SECONDS
        for pusher in self._pushers:
            if not pusher.resting.wait(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"{pusher.name} is still waiting for an answer after {CALM_SECONDS:.0f} s")

    def __enter__(self) -> "Torture":
        for pusher in self._pushers:
            pusher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._wire.close()
        for pusher in self._pushers:
            pusher.finish()
        deadline = time.monotonic() + CALM_SECONDS
        for pusher in self._pushers:
            pusher.join(max(0.0, deadline - time.monotonic()))

    def lost(self, promises: Iterable[Promise]) -> list[str]:
        """What is missing of the promised commits and of their files."""
        return [complaint for promise in promises for complaint in _broken_promises(self._wire, promise)]

    def lost_history(self) -> tuple[list[str], list[str]]:
        """Promised commits that their branch does not reach, and commits that took effect more than once."""
        by_repo: dict[str, list[Promise]] = defaultdict(list)
        for promise in self.ledger.promises:
            by_repo[promise.repo].append(promise)
        lost, doubled = [], []
        for repo, promises in by_repo.items():
            history = list(self._wire.history(repo))
            titles = Counter(title for _, title in history)
            lost += _unreached(promises, history)
            doubled += [f"{repo}: {title!r} is in the history {times} times" for title, times in titles.items() if times > 1]
        return lost, doubled


def kill_often(
    database: str, folder: Path, *, kills: int, clients: int = 8, seconds: float = 3600, verify_every: int = 25, workers: int = 1
) -> Verdict:
    """Kill the hub ``kills`` times under load, for at most ``seconds``, then look for everything that it promised."""
    verdict = Verdict(database)
    began = time.monotonic()
    with running_hub(database, folder, workers=workers) as (hub, token), Torture(hub, token, clients) as torture:
        verified = 0
        while verdict.kills < kills and time.monotonic() - began < seconds:
            verdict.slowest_ready = max(verdict.slowest_ready, torture.kill_under_load())
            verdict.kills += 1
            if verdict.kills % verify_every == 0:
                torture.calm()
                verdict.lost += torture.lost(torture.ledger.promises[verified:])
                verified = len(torture.ledger.promises)
        torture.calm()
        _judge(torture, hub, verdict)
    verdict.seconds = time.monotonic() - began
    return verdict


def _judge(torture: Torture, hub: Hub, verdict: Verdict) -> None:
    ledger = torture.ledger
    unreached, verdict.doubled = torture.lost_history()
    verdict.lost = sorted({*verdict.lost, *torture.lost(ledger.promises), *unreached})
    verdict.dangling = fsck(hub)
    verdict.acknowledged, verdict.failures = len(ledger.promises), ledger.failures
    verdict.broken, verdict.busy = ledger.broken, ledger.busy


def _unreached(promises: Iterable[Promise], history: Iterable[tuple[str, str]]) -> list[str]:
    reached = {commit for commit, _ in history}
    return [f"{one.repo}: commit {one.commit} ({one.title}) is not in the history" for one in promises if one.commit not in reached]


def _broken_promises(wire: Wire, promise: Promise) -> Iterator[str]:
    for path, expected in promise.files.items():
        try:
            found = sha256(wire.file(promise.repo, promise.commit, path))
        except (Refused, Disconnected) as error:
            yield f"{promise.repo}@{promise.commit} {path}: {error}"
        else:
            if found != expected:
                yield f"{promise.repo}@{promise.commit} {path}: sha256 {found} instead of {expected}"


def commit_at_once(database: str, folder: Path, *, threads: int = 32, commits: int = 20, workers: int = 1) -> Verdict:
    """``threads`` clients make ``commits`` each on one branch, all at once; every one must be in one linear history."""
    verdict = Verdict(database)
    began = time.monotonic()
    with running_hub(database, folder, workers=workers) as (hub, token), Wire(hub.url, token) as wire:
        repo = wire.create(OWNER, "crowded")
        before = len(list(wire.history(repo)))
        ledger = Ledger()
        _crowd(lambda: Wire(hub.url, token), repo, ledger, threads=threads, commits=commits)
        verdict.failures, verdict.busy, verdict.acknowledged = ledger.failures, ledger.busy, len(ledger.promises)
        verdict.lost = _missing_in_line(wire, repo, ledger.promises, before)
        verdict.dangling = fsck(hub)
    verdict.seconds = time.monotonic() - began
    return verdict


def _crowd(connect: Callable[[], Wire], repo: str, ledger: Ledger, *, threads: int, commits: int) -> None:
    start = threading.Barrier(threads)

    def one_client(number: int) -> None:
        with connect() as wire:
            start.wait()
            for serial in range(commits):
                _commit_patiently(wire, repo, f"{number}/{serial}", ledger)

    crowd = [threading.Thread(target=one_client, args=(number,), daemon=True) for number in range(threads)]
    for client in crowd:
        client.start()
    for client in crowd:
        client.join(CALM_SECONDS)
        if client.is_alive():
            raise TimeoutError(f"a client is still waiting for an answer after {CALM_SECONDS:.0f} s")


def _commit_patiently(wire: Wire, repo: str, title: str, ledger: Ledger) -> None:
    files = {f"notes/{title}.txt": f"written by {title}\n".encode()}
    for _ in range(BUSY_ATTEMPTS):
        try:
            commit = wire.commit(repo, title, inline=files)
        except Disconnected as error:
            return ledger.fail(str(error))
        except Refused as error:
            if error.status != BUSY:
                return ledger.fail(str(error))
            ledger.count_busy()
            time.sleep(min(error.retry_after, 2))
        else:
            return ledger.keep(Promise(repo, commit, title, {path: sha256(content) for path, content in files.items()}))
    return ledger.fail(f"{title}: still 503 after {BUSY_ATTEMPTS} attempts")


def _missing_in_line(wire: Wire, repo: str, promises: Sequence[Promise], before: int) -> list[str]:
    history = list(wire.history(repo))
    expected = before + len({promise.commit for promise in promises})
    uneven = [] if len(history) == expected else [f"the history has {len(history)} commits instead of {expected}"]
    at_head = [replace(promise, commit=history[0][0]) for promise in promises]
    absent = [broken for promise in at_head for broken in _broken_promises(wire, promise)]
    return _unreached(promises, history) + uneven + absent


def fsck(hub: Hub) -> list[str]:
    """What ``fsck --read-data`` finds, one line each; its whole output when it could not run."""
    try:
        hub.cli("fsck", "--read-data", "--json")
    except HubFailed as error:
        found = [line for line in str(error).splitlines() if line.startswith('{"kind"')]
        return found or [str(error)[-1000:]]
    return []


def kill(hub: Hub) -> None:
    """End every process of the hub at once, as a power cut would; a hub that does not run is left alone."""
    if hub.process is None:
        return
    for worker in children(hub.process.pid):
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    hub.kill()


def children(pid: int) -> list[int]:
    """The processes below ``pid``, from Linux' /proc."""
    try:
        direct = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [*direct, *(below for child in direct for below in children(child))]


def table(verdicts: Iterable[Verdict]) -> str:
    """A Markdown table, one line a run."""
    lines = [_line(HEADINGS), _line(["---"] * len(HEADINGS))]
    for one in verdicts:
        wrong = map(len, (one.lost, one.doubled, one.failures, one.dangling))
        cells = (
            one.database,
            one.kills,
            one.acknowledged,
            *wrong,
            f"{one.slowest_ready:.2f} s",
            one.broken,
            one.busy,
            f"{one.seconds:.0f} s",
        )
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    """The command; returns 1 when a promise was broken."""
    options = _options()
    verdicts = []
    for database in DATABASES if options.database == "both" else (options.database,):
        with tempfile.TemporaryDirectory(prefix="torture-") as folder:
            verdicts.append(_run(options, database, Path(folder)))
    print(table(verdicts))
    complaints = [f"{verdict.database}: {complaint}" for verdict in verdicts for complaint in (*verdict.complaints, *verdict.slow)]
    print("\n".join(complaints[:SHOWN]) or "Every promise was kept.")
    return 1 if complaints else 0


def _run(options: argparse.Namespace, database: str, folder: Path) -> Verdict:
    if options.concurrency:
        return commit_at_once(database, folder, threads=options.threads, commits=options.commits, workers=options.workers)
    return kill_often(database, folder, kills=options.kills, clients=options.clients, seconds=options.seconds, workers=options.workers)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how often the hub is killed (100)")
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    parser.add_argument("--clients", type=int, default=8, help="clients that push at once (8)")
    parser.add_argument("--seconds", type=float, default=3600, help="stop killing after this time (3600)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the hub (1)")
    parser.add_argument("--concurrency", action="store_true", help="no kills: many clients commit to one branch at once")
    parser.add_argument("--threads", type=int, default=32, help="clients of --concurrency (32)")
    parser.add_argument("--commits", type=int, default=20, help="commits of each client of --concurrency (20)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

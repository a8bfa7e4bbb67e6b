"""The load of the torture test: clients that push without pause and remember every promise they were given."""

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from tests.torture_wire import Disconnected, Refused, Wire, safetensors, sha256

T = TypeVar("T")

SHARED = "shared"  # the repository that all clients push to
REPO_EVERY = 12
SHARED_SHARE = 0.25
ATTEMPTS = 40
GIVE_UP_SHARE = 0.2
BUSY = 503


@dataclass(frozen=True)
class Promise:
    """A commit that the hub has acknowledged: its files, by their sha256, must be there for good."""

    repo: str
    commit: str
    title: str
    files: Mapping[str, str]


@dataclass
class Ledger:
    """What all clients saw; shared by their threads."""

    promises: list[Promise] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    broken: int = 0
    busy: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, promise: Promise) -> None:
        """Write down an acknowledged commit."""
        with self._lock:
            self.promises.append(promise)

    def fail(self, what: str) -> None:
        """Write down an answer that a client should never get."""
        with self._lock:
            self.failures.append(what)

    def count_broken(self) -> None:
        """A connection broke in the middle of a request."""
        with self._lock:
            self.broken += 1

    def count_busy(self) -> None:
        """The hub said 503."""
        with self._lock:
            self.busy += 1


class GaveUp(Exception):
    """The client dropped a request whose outcome it does not know."""


class Pusher(threading.Thread):
    """One client: commits text and weights, one after the other, into repositories of its own and into a shared one.

    A request whose connection broke is sent again, as real clients do, or dropped now and then. While ``may_run`` is
    clear the client rests between two commits, and ``resting`` is set.
    """

    def __init__(self, number: int, wire: Wire, owner: str, ledger: Ledger, may_run: threading.Event) -> None:
        super().__init__(name=f"pusher-{number}", daemon=True)
        self._number = number
        self._wire = wire
        self._owner = owner
        self._ledger = ledger
        self._may_run = may_run
        self._over = threading.Event()
        self._random = random.Random(number)
        self.resting = threading.Event()

    def finish(self) -> None:
        """Ask the client to end after its current commit."""
        self._over.set()

    def run(self) -> None:
        """Push until asked to end."""
        own = ""
        for serial in count():
            self._rest()
            if self._over.is_set():
                break
            try:
                if serial % REPO_EVERY == 0:
                    own = self._own_repo(serial)
                self._push(self._pick(own), serial)
            except GaveUp:
                continue
            except (Refused, ValueError, KeyError) as error:
                self._ledger.fail(repr(error))
        self._wire.close()

    def _rest(self) -> None:
        while not self._may_run.is_set() and not self._over.is_set():
            self.resting.set()
            self._may_run.wait(0.2)
        self.resting.clear()

    def _own_repo(self, serial: int) -> str:
        name = f"own-{self._number}-{serial}"
        return self._persist(lambda: self._wire.create(self._owner, name), give_up=False)

    def _pick(self, own: str) -> str:
        return f"{self._owner}/{SHARED}" if self._random.random() < SHARED_SHARE else own

    def _push(self, repo: str, serial: int) -> None:
        inline, weights = self._some_text(serial), self._some_weights(serial)
        title = f"{self._number}/{serial}"
        self._persist(lambda: self._wire.upload(repo, list(weights.values())))
        commit = self._persist(lambda: self._wire.commit(repo, title, inline=inline, weights=weights))
        hashes = {path: sha256(content) for path, content in {**inline, **weights}.items()}
        self._ledger.keep(Promise(repo, commit, title, hashes))

    def _some_text(self, serial: int) -> dict[str, bytes]:
        names = [f"notes/{self._number}-{serial % 5}.txt", f"runs/{self._number}/{serial % 7}/log.txt"][: self._random.randint(1, 2)]
        return {name: f"{self._number} {serial} {name}\n".encode() * self._random.randint(1, 200) for name in names}

    def _some_weights(self, serial: int) -> dict[str, bytes]:
        size = 1 << self._random.randint(8, 20)
        return {f"client-{self._number}/adapter_model_{serial % 3}.safetensors": safetensors(os.urandom(size))}

    def _persist(self, step: Callable[[], T], *, give_up: bool = True) -> T:
        for _ in range(ATTEMPTS):
            try:
                return step()
            except Disconnected:
                self._ledger.count_broken()
                if give_up and self._random.random() < GIVE_UP_SHARE:
                    raise GaveUp from None
                time.sleep(0.25)
            except Refused as error:
                if error.status != BUSY:
                    raise
                self._ledger.count_busy()
                time.sleep(min(error.retry_after, 2))
        raise Refused(0, f"{ATTEMPTS} attempts without an answer")

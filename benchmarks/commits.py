"""Row ``commits``: small commits a second, against the least the same database can do durably: one insert a transaction."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import psycopg

from benchmarks.load import SERIAL, measure, request
from benchmarks.measure import alternate
from benchmarks.report import Figure
from benchmarks.servers import OWNER, Bed, Served

CONNECTIONS = (1, 8)
ROW = "x" * 200
Inserter = Callable[[], AbstractContextManager[Callable[[], None]]]


def commits(bed: Bed) -> Iterator[Figure]:
    """Commits of one small text file over raw HTTP, to a repository for each connection."""
    for database in bed.databases:
        with bed.hub(database) as served:
            insert = raw_inserts(bed, database)
            for connections in CONNECTIONS:
                repos = [served.wire.create(OWNER, f"commits-{connections}-{number}") for number in range(connections)]
                requests = [commit_request(served, repo) for repo in repos]
                ours = partial(_commit_rate, served, requests, bed.seconds(4))
                rates = alternate(ours, partial(insert, connections, bed.seconds(4)), bed.rounds(3))
                what = f"one text file, {connections} connection{'s' * (connections > 1)}; reference: bare inserts"
                yield Figure("commits", what, database, *rates, "commits/s")


def _commit_rate(served: Served, requests: Sequence[bytes], seconds: float) -> float:
    return measure(served.hub.port, requests, connections=len(requests), seconds=seconds).rate


def commit_request(served: Served, repo: str) -> bytes:
    """A commit that writes notes.txt anew each time it is sent: eight hexadecimal digits happen to be valid base64."""
    header = {"key": "header", "value": {"summary": f"note {SERIAL.decode()}", "description": ""}}
    file = {"key": "file", "value": {"path": "notes.txt", "content": SERIAL.decode(), "encoding": "base64"}}
    headers = {"authorization": f"Bearer {served.token}", "content-type": "application/x-ndjson"}
    return request("POST", f"/api/models/{repo}/commit/main", headers, f"{json.dumps(header)}\n{json.dumps(file)}\n".encode())


def raw_inserts(bed: Bed, database: str) -> Callable[[int, float], float]:
    """A measurement of bare transactions, ``(connections, seconds) -> rate``, on the disk and the server that the hub uses."""
    if database == "sqlite":
        file, turn = bed.new_folder("raw") / "raw.sqlite3", threading.Lock()
        return lambda connections, seconds: _rate(lambda: _sqlite_inserter(file, turn), connections, seconds)
    url = bed.new_database(database)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE raw (id BIGSERIAL PRIMARY KEY, data TEXT)")
    return lambda connections, seconds: _rate(lambda: _postgres_inserter(url), connections, seconds)


@contextmanager
def _sqlite_inserter(file: Path, turn: threading.Lock) -> Iterator[Callable[[], None]]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        with turn:
            connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
            connection.execute("CREATE TABLE IF NOT EXISTS raw (id INTEGER PRIMARY KEY, data TEXT)")

        def insert() -> None:
            with turn:
                connection.execute("INSERT INTO raw (data) VALUES (?)", (ROW,))

        yield insert


@contextmanager
def _postgres_inserter(url: str) -> Iterator[Callable[[], None]]:
    with psycopg.connect(url, autocommit=True) as connection:

        def insert() -> None:
            connection.execute("INSERT INTO raw (data) VALUES (%s)", (ROW,))

        yield insert


def _rate(inserter: Inserter, connections: int, seconds: float) -> float:
    deadline = time.monotonic() + seconds

    def one(_: int) -> int:
        done = 0
        with inserter() as insert:
            while time.monotonic() < deadline:
                insert()
                done += 1
        return done

    with ThreadPoolExecutor(connections) as pool:
        return sum(pool.map(one, range(connections))) / seconds

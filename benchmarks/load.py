"""The load generator: keep-alive HTTP/1.1 connections that send prepared requests, each as soon as the last was answered.

It stands in for wrk, which waits for a body after a HEAD and so cannot measure one; on GETs the two agree.
It runs in a process of its own, so that it never shares an interpreter with what it measures.
"""

import asyncio
import itertools
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

ROOT = Path(__file__).resolve().parents[1]
SERIAL = b"@SERIAL@"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WARM_UP = 0.3


@dataclass(frozen=True)
class Load:
    """What one run saw: requests a second, the mean and the 99th percentile of their times in milliseconds, and answers ≥ 400."""

    rate: float
    mean_ms: float
    p99_ms: float
    failures: Mapping[str, int]


def request(method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """A prepared request. ``SERIAL`` in the body becomes eight hexadecimal digits that differ in every request sent."""
    lines = [f"{method} {target} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def measure(port: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Load:
    """Send ``requests`` in turn to 127.0.0.1:``port`` over ``connections`` for ``seconds``.

    Raises:
        RuntimeError: an answer was a failure, or the server went away: such a rate means nothing.
    """
    plan = {"port": port, "requests": [item.decode("latin-1") for item in requests], "connections": connections, "seconds": seconds}
    command = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(plan), capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-800:]}")
    load = Load(**json.loads(done.stdout))
    if load.failures:
        raise RuntimeError(f"answers that were failures (status: count): {dict(load.failures)}; first request: {requests[0][:120]!r}")
    return load


class Connection(asyncio.Protocol):
    """One connection: sends the next request when the last answer is complete, and notes how long that took."""

    def __init__(self, requests: Iterator[bytes], times: list[float], failures: Counter[str]) -> None:
        self._requests = requests
        self._times = times
        self._failures = failures
        self._buffer = b""
        self._left: int | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        if self._left is None:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._left = self._body_length(self._buffer[:end]) - (len(self._buffer) - end - 4)
        else:
            self._left -= len(data)
        if self._left == 0:
            self._times.append(time.perf_counter() - self._sent)
            self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_exception(ConnectionError("the server closed a connection"))

    def _body_length(self, head: bytes) -> int:
        if head[9:10] in b"45":
            self._failures[head[9:12].decode()] += 1
        if self._is_head or head[9:12] == b"304":
            return 0
        found = _LENGTH.search(head)
        if not found:
            raise ValueError(f"no Content-Length in {head!r}")
        return int(found[1])

    def _send(self) -> None:
        self._buffer, self._left = b"", None
        content = next(self._requests)
        self._is_head = content.startswith(b"HEAD")
        self._sent = time.perf_counter()
        self._transport.write(content)


def numbered(requests: Sequence[bytes]) -> Iterator[bytes]:
    """The requests in turn for ever, ``SERIAL`` in each replaced by a number not used before, not even by an earlier run."""
    start = time.time_ns() >> 16
    for number, content in zip(itertools.count(start), itertools.cycle(requests), strict=False):
        yield content.replace(SERIAL, b"%08x" % (number & 0xFFFFFFFF)) if SERIAL in content else content


async def run(port: int, requests: Sequence[str], connections: int, seconds: float) -> Load:
    """Drive the load in this process; the first 0.3 s are not counted."""
    times: list[float] = []
    failures: Counter[str] = Counter()
    stream = numbered([item.encode("latin-1") for item in requests])
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(stream, times, failures), "127.0.0.1", port) for _ in range(connections)]
    closed = [protocol.closed for _, protocol in made]
    await asyncio.wait(closed, timeout=_WARM_UP, return_when=asyncio.FIRST_EXCEPTION)
    times.clear()
    began = time.perf_counter()
    done, _ = await asyncio.wait(closed, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    elapsed = time.perf_counter() - began
    for future in done:
        future.result()
    counted = sorted(times)
    for transport, protocol in made:
        protocol.closed.cancel()
        transport.close()
    if not counted:
        raise RuntimeError(f"no answer within {seconds} s")
    return Load(len(counted) / elapsed, 1000 * sum(counted) / len(counted), 1000 * counted[len(counted) * 99 // 100], failures)


def main() -> None:
    """Read a plan on stdin, write what was seen on stdout."""
    load = uvloop.run(run(**json.load(sys.stdin)))
    json.dump({"rate": load.rate, "mean_ms": load.mean_ms, "p99_ms": load.p99_ms, "failures": load.failures}, sys.stdout)


if __name__ == "__main__":
    main()

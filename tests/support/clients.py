"""Runs the real clients: programs in the locked environments of tests/clients, as subprocesses with an environment of their own.

A scenario is a program in tests/clients/scripts. It gets JSON on its input; its last line of output is one JSON object: for each
of its steps what a user sees, or the traceback. Several tests read the answer of one run, because a start of torch costs seconds.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.build import python_of
from tests.support.server import Account, Hub

SCRIPTS = Path(__file__).resolve().parents[1] / "clients" / "scripts"
SECONDS = 300


class Facts(dict[str, Any]):
    """What the steps of a scenario have seen, by the name of the step."""

    def __getitem__(self, step: str) -> Any:
        """What the step returned. Fails the test with the client's own traceback when the step did not end well."""
        outcome = super().__getitem__(step)
        if "traceback" in outcome:
            raise AssertionError(f"{step} failed in the client:\n{outcome['traceback']}")
        return outcome["value"]


@dataclass(frozen=True)
class Client:
    """One generation of the clients, on one machine of one user: an environment, a hub, a token, a home."""

    generation: str
    hub: Hub
    account: Account | None
    home: Path
    xet: bool = True

    @property
    def env(self) -> dict[str, str]:
        """The whole environment of a client; nothing is inherited but PATH."""
        env = {
            "PATH": f"{python_of(self.generation).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "HF_HOME": str(self.home / "hf"),
            "HF_ENDPOINT": self.hub.url,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if self.account:
            env["HF_TOKEN"] = self.account.token
        if not self.xet:
            env["HF_HUB_DISABLE_XET"] = "1"
        return env

    def run(self, scenario: str, **given: Any) -> Facts:
        """Run ``scripts/<scenario>.py`` with ``given`` as its input. Fails the test when the program itself fails."""
        done = self.call(str(python_of(self.generation)), str(SCRIPTS / f"{scenario}.py"), text=json.dumps(given))
        assert done.returncode == 0, f"{scenario} ended with {done.returncode}:\n{done.stderr[-4000:]}"
        return Facts(json.loads(done.stdout.splitlines()[-1]))

    def call(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run any program as this client, for example ``hf``."""
        self.home.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            command, cwd=self.home, env=self.env, input=text, capture_output=True, text=True, timeout=SECONDS, check=False
        )

"""A hub without a server: its services in this process, for tests of what lies below the wire."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hub import access, accounts, repos, schema, services, uploads
from hub.access import Place, Viewer
from hub.blobs import blob_key
from hub.publish import AddInline, AddPointer, Delete, Header, Operation, Published
from hub.settings import Settings
from hub.uploads import Sender
from tests.support.server import ROOT

OWNER = "alice"


class LocalHub:
    """One hub on ``folder``, founded when it is new, with the user alice. Close it after use.

    Args:
        folder: the data folder.
        database_url: as HUB_DATABASE_URL; empty for SQLite in the folder.
        settings: fields of ``Settings``, such as ``gc_grace=0.1``.
    """

    def __init__(self, folder: Path, database_url: str = "", **settings: Any) -> None:
        self.settings = Settings(data_dir=folder, database_url=database_url, **settings)
        database = services.open_database(self.settings)
        if schema.migrate(database):
            services.found_instance(database)
            with database.write() as session:
                accounts.add_user(session, OWNER, "no password")
        database.close()
        self.services = services.open_services(self.settings)
        self.database, self.store, self.manifests = self.services.database, self.services.store, self.services.manifests
        self.credential = self._new_credential()
        self._commits = 0

    def _new_credential(self) -> str:
        with self.database.write() as session:
            secret, _ = accounts.add_token(session, accounts.get(session, OWNER), role="write")
        return accounts.token_hash(secret)

    def close(self) -> None:
        """Give everything back."""
        self.services.close()

    def create(self, name: str) -> str:
        """Make a repository of alice's; returns its full name."""
        with self.database.write() as session:
            viewer = access.viewer_now(session, Viewer(credential=self.credential))
            return repos.create(session, viewer, OWNER, name, private=False, url="").full_name

    def place(self, full_name: str, revision: str = "main") -> Place:
        """A repository as alice meets it."""
        with self.database.read() as session:
            namespace, name = full_name.split("/")
            return access.find(session, self.credential, namespace, name, revision)

    def delete(self, full_name: str) -> None:
        """Delete a repository."""
        with self.database.write() as session:
            repos.delete(session, self.place(full_name))

    def upload(self, full_name: str, data: bytes) -> str:
        """Let bytes arrive for a repository, as the LFS door does; returns their sha256."""
        with self.store.stage() as staged:
            staged.write(data)
            return uploads.keep_blob(self.database, staged, Sender.of(self.place(full_name)))

    def publish(self, full_name: str, *operations: Operation, revision: str = "main") -> Published:
        """One commit that no other request is equal to."""
        self._commits += 1
        digest = f"{os.getpid()}-{id(self)}-{self._commits}"
        place = self.place(full_name, revision)
        return self.services.publisher.publish(place, Header(f"commit {self._commits}"), operations, digest=digest)

    def push(self, full_name: str, path: str, data: bytes, revision: str = "main") -> str:
        """Upload bytes and commit them under ``path``; returns the commit's id."""
        return self.publish(full_name, AddPointer(path, self.upload(full_name, data)), revision=revision).commit

    def write(self, full_name: str, path: str, data: bytes) -> str:
        """Commit a file inline; returns the commit's id."""
        return self.publish(full_name, AddInline(path, data)).commit

    def remove(self, full_name: str, path: str) -> str:
        """Commit a deletion; returns the commit's id."""
        return self.publish(full_name, Delete(path)).commit

    def stored(self, sha256: str) -> Path:
        """The file of a blob in the store."""
        return self.settings.blob_folder / blob_key(sha256)

    def stored_bytes(self, data: bytes) -> bytes | None:
        """What the store holds under the sha256 of ``data``."""
        file = self.stored(hashlib.sha256(data).hexdigest())
        return file.read_bytes() if file.exists() else None

    def command(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the hub in a process of its own; ``settings`` are environment variables."""
        own = {"HUB_DATA_DIR": str(self.settings.data_dir), "HUB_DATABASE_URL": self.settings.database_url}
        env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"} | own | settings
        command: Sequence[str] = [sys.executable, "-m", "hub.cli", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)

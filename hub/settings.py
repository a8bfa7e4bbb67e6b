"""What an operator may set, by environment variables with the prefix ``HUB_``.

Every setting is documented in docs/OPERATIONS.md; a test fails when one is not.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
Bytes = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """The settings of one hub. Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="HUB_", extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    public_url: str = ""
    data_dir: Path = Path("adapterhub-data")
    database_url: str = ""
    blob_store: str = ""
    workers: Annotated[int, Field(ge=1, le=64)] = 1

    access_log: bool = False
    log_json: bool = False

    max_json_bytes: Bytes = 1 * MIB
    max_commit_bytes: Bytes = 192 * MIB
    max_commit_operations: Annotated[int, Field(ge=1)] = 10_000
    max_inline_bytes: Bytes = 10 * MIB
    max_lfs_bytes: Bytes = 50 * GIB
    max_uploads: Annotated[int, Field(ge=1)] = 64
    max_waiting_commits: Annotated[int, Field(ge=1)] = 256
    min_free_bytes: Annotated[int, Field(ge=0)] = 256 * MIB

    upload_ttl: Seconds = 24 * 3600
    xorb_ttl: Seconds = 22 * 24 * 3600
    gc_grace: Seconds = 24 * 3600
    flush_interval: Seconds = 15

    @field_validator("public_url")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://, for example http://hub.example.org:8000")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql://")):
            raise ValueError("must be postgresql://user:password@host/database or sqlite:///path/to/file")
        return value

    @field_validator("blob_store")
    @classmethod
    def _known_store(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("must be a folder; this release keeps blobs in folders only")
        return value

    @cached_property
    def url(self) -> str:
        """The address that clients use (their HF_ENDPOINT), without a trailing slash."""
        if self.public_url:
            return self.public_url
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @cached_property
    def database(self) -> str:
        """The SQLAlchemy URL of the metadata database."""
        if not self.database_url:
            return f"sqlite:///{self.data_dir.absolute() / 'hub.sqlite3'}"
        return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)

    @cached_property
    def blob_folder(self) -> Path:
        """The folder of the blob store."""
        return Path(self.blob_store) if self.blob_store else self.data_dir / "store"

    @cached_property
    def scratch_folder(self) -> Path:
        """Where request bodies are spooled: ours alone, emptied at every start."""
        return self.data_dir / "tmp"

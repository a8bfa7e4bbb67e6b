"""Every table, on one page.

Times are milliseconds since 1970 (UTC) in BIGINT columns: the same on both databases, cheap to compare and to page by.
Names are stored as given, and their unique form beside them (``slug``).
"""

import json
import zlib
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import LargeBinary, TypeDecorator

from hub.db import now_ms

BRANCH, TAG, PULL = "branch", "tag", "pull"
LIVE, CANDIDATE, DAMAGED = "live", "candidate", "damaged"


class Packed(TypeDecorator[Any]):
    """JSON, deflated: for lists that are read whole and never searched."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> bytes | None:
        """Python value to bytes."""
        return None if value is None else zlib.compress(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), 1)

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> Any:
        """Bytes to Python value."""
        return None if value is None else json.loads(zlib.decompress(value))


class Base(DeclarativeBase):
    """The declarative base; constraint names are fixed so that migrations can name them."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {int: sa.BigInteger().with_variant(sa.Integer, "sqlite"), dict[str, Any]: sa.JSON, list[Any]: sa.JSON}


def _time(**options: Any) -> Any:
    return mapped_column(default=now_ms, **options)


def _to(column: str, **options: Any) -> Any:
    return mapped_column(sa.ForeignKey(column, ondelete="CASCADE"), **options)


class Instance(Base):
    """This hub: one row. The secret signs upload capabilities; the epoch is part of every Xet CAS address."""

    __tablename__ = "instance"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(sa.String(36))
    secret: Mapped[bytes]
    epoch: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[int] = _time()


class Namespace(Base):
    """A user or an organisation. Deleted names stay, so that nobody takes them over."""

    __tablename__ = "namespace"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(8))
    name: Mapped[str] = mapped_column(sa.String(96))
    slug: Mapped[str] = mapped_column(sa.String(96), unique=True)
    fullname: Mapped[str] = mapped_column(sa.String(200), default="")
    password_hash: Mapped[str | None] = mapped_column(sa.String(200))
    is_admin: Mapped[bool] = mapped_column(default=False)
    disabled_at: Mapped[int | None]
    created_at: Mapped[int] = _time()


class Member(Base):
    """Who may do what in a namespace: read, write or admin. A user is admin of the namespace of their own name."""

    __tablename__ = "member"
    namespace_id: Mapped[int] = _to("namespace.id", primary_key=True)
    user_id: Mapped[int] = _to("namespace.id", primary_key=True, index=True)
    role: Mapped[str] = mapped_column(sa.String(8))


class Token(Base):
    """An access token; only the sha256 of it is kept. Its scope is everything of its user, one namespace, or one repository."""

    __tablename__ = "token"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = _to("namespace.id", index=True)
    name: Mapped[str] = mapped_column(sa.String(96), default="")
    sha256: Mapped[str] = mapped_column(sa.String(64), unique=True)
    role: Mapped[str] = mapped_column(sa.String(8))
    namespace_id: Mapped[int | None] = _to("namespace.id")
    repo_id: Mapped[int | None] = _to("repo.id")
    created_at: Mapped[int] = _time()
    expires_at: Mapped[int | None]
    revoked_at: Mapped[int | None]
    last_used_at: Mapped[int | None]
    user: Mapped[Namespace] = relationship(foreign_keys=[user_id], lazy="raise")


class Repo(Base):
    """A repository of one adapter. A deleted one keeps its row as a tombstone until its bytes are collected, and its name for good."""

    __tablename__ = "repo"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(sa.String(24), unique=True)
    namespace_id: Mapped[int] = _to("namespace.id")
    name: Mapped[str] = mapped_column(sa.String(96))
    full_name: Mapped[str] = mapped_column(sa.String(193))
    slug: Mapped[str] = mapped_column(sa.String(193), unique=True)
    private: Mapped[bool] = mapped_column(default=False)
    gated: Mapped[str | None] = mapped_column(sa.String(8))
    created_at: Mapped[int] = _time()
    updated_at: Mapped[int] = _time()
    deleted_at: Mapped[int | None]
    downloads: Mapped[int] = mapped_column(default=0)
    likes: Mapped[int] = mapped_column(default=0)
    trending: Mapped[int] = mapped_column(default=0)
    head: Mapped[str | None] = mapped_column(sa.String(40))
    pipeline_tag: Mapped[str | None] = mapped_column(sa.String(200))
    library_name: Mapped[str | None] = mapped_column(sa.String(200))
    tags: Mapped[list[Any]] = mapped_column(default=list)
    card_data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    used_storage: Mapped[int] = mapped_column(default=0)
    __table_args__ = (
        *(sa.Index(f"ix_repo_{column}_id", column, "id") for column in ("updated_at", "created_at", "downloads", "likes", "trending")),
        sa.Index("ix_repo_namespace_id_updated_at", "namespace_id", "updated_at", "id"),
    )


class Redirect(Base):
    """An old name of a moved repository."""

    __tablename__ = "redirect"
    slug: Mapped[str] = mapped_column(sa.String(193), primary_key=True)
    repo_id: Mapped[int] = _to("repo.id", index=True)


class RepoTag(Base):
    """One tag of a repository's default branch; what lists filter by."""

    __tablename__ = "repo_tag"
    tag: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    repo_id: Mapped[int] = _to("repo.id", primary_key=True, index=True)


class Manifest(Base):
    """A tree: its entries as rows ``[path, git id, size, sha256, is LFS]``. Equal trees of a repository share one."""

    __tablename__ = "manifest"
    id: Mapped[int] = mapped_column(primary_key=True)
    repo_id: Mapped[int] = _to("repo.id")
    tree: Mapped[str] = mapped_column(sa.String(40))
    entries: Mapped[Any] = mapped_column(Packed, nullable=False)
    # Ids are never used twice: trees are remembered by them.
    __table_args__ = (sa.UniqueConstraint("repo_id", "tree"), {"sqlite_autoincrement": True})


class Commit(Base):
    """A commit: ``oid`` is the id that git computes. ``changes`` are the paths it touched."""

    __tablename__ = "commit"
    id: Mapped[int] = mapped_column(primary_key=True)
    repo_id: Mapped[int] = _to("repo.id")
    oid: Mapped[str] = mapped_column(sa.String(40))
    parent: Mapped[str | None] = mapped_column(sa.String(40))
    manifest_id: Mapped[int] = mapped_column(sa.ForeignKey("manifest.id"), index=True)
    author_id: Mapped[int | None] = mapped_column(sa.ForeignKey("namespace.id", ondelete="SET NULL"))
    author: Mapped[str] = mapped_column(sa.String(96))
    title: Mapped[str] = mapped_column(sa.Text)
    description: Mapped[str] = mapped_column(sa.Text, default="")
    created_at: Mapped[int] = _time()
    changes: Mapped[Any] = mapped_column(Packed, nullable=False)
    __table_args__ = (sa.UniqueConstraint("repo_id", "oid"),)


class Ref(Base):
    """A branch, a tag or a pull request's head. One name means one thing: a tag cannot be called like a branch."""

    __tablename__ = "ref"
    repo_id: Mapped[int] = _to("repo.id", primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(8))
    target: Mapped[str] = mapped_column(sa.String(40))
    message: Mapped[str] = mapped_column(sa.Text, default="")
    created_at: Mapped[int] = _time()
    __table_args__ = (sa.ForeignKeyConstraint(["repo_id", "target"], ["commit.repo_id", "commit.oid"]),)


class Receipt(Base):
    """That a commit request was carried out, so that the same request sent again has no second effect."""

    __tablename__ = "receipt"
    repo_id: Mapped[int] = _to("repo.id", primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    commit: Mapped[str] = mapped_column(sa.String(40))
    pull: Mapped[int | None]
    created_at: Mapped[int] = _time(index=True)


class Blob(Base):
    """Bytes by their sha256. Small text has its bytes here, everything else lies in the store.

    ``live``; ``candidate`` for gc to remove; ``damaged``, as fsck found it: clients are asked to send it again.
    """

    __tablename__ = "blob"
    sha256: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    size: Mapped[int]
    data: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    state: Mapped[str] = mapped_column(sa.String(9), default=LIVE)
    touched_at: Mapped[int] = _time()
    __table_args__ = (sa.Index("ix_blob_state_touched_at", "state", "touched_at"),)


class Link(Base):
    """That commits of a repository hold a blob. A blob is reached through its repository only, never by its hash alone."""

    __tablename__ = "link"
    repo_id: Mapped[int] = _to("repo.id", primary_key=True)
    sha256: Mapped[str] = mapped_column(sa.ForeignKey("blob.sha256"), primary_key=True, index=True)
    lfs: Mapped[bool]
    path: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[int] = _time()


class Upload(Base):
    """That the hub has seen these bytes arrive for this repository from this user, who may now commit them there."""

    __tablename__ = "upload"
    repo_id: Mapped[int] = _to("repo.id", primary_key=True)
    user_id: Mapped[int] = _to("namespace.id", primary_key=True)
    sha256: Mapped[str] = mapped_column(sa.ForeignKey("blob.sha256"), primary_key=True, index=True)
    created_at: Mapped[int] = _time(index=True)


class Xorb(Base):
    """A Xet xorb kept for one repository; ``chunks`` is the index of ``hub.xet.pack_chunks``."""

    __tablename__ = "xorb"
    repo_id: Mapped[int] = _to("repo.id", primary_key=True)
    hash: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    size: Mapped[int]
    chunks: Mapped[bytes] = mapped_column(LargeBinary)
    used_at: Mapped[int] = _time(index=True)


class Like(Base):
    """That a user likes a repository."""

    __tablename__ = "like"
    repo_id: Mapped[int] = _to("repo.id", primary_key=True)
    user_id: Mapped[int] = _to("namespace.id", primary_key=True, index=True)
    created_at: Mapped[int] = _time()


class DownloadDay(Base):
    """Downloads of a repository on one day (days since 1970, UTC)."""

    __tablename__ = "download_day"
    repo_id: Mapped[int] = _to("repo.id", primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, index=True)
    count: Mapped[int]


class AccessRequest(Base):
    """A user's request for the files of a gated repository: pending, accepted or rejected."""

    __tablename__ = "access_request"
    repo_id: Mapped[int] = _to("repo.id", primary_key=True)
    user_id: Mapped[int] = _to("namespace.id", primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(8))
    created_at: Mapped[int] = _time()


class Discussion(Base):
    """A discussion or a pull request; the changes of a pull request are the branch ``refs/pr/<num>``."""

    __tablename__ = "discussion"
    repo_id: Mapped[int] = _to("repo.id", primary_key=True)
    num: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(sa.Text)
    description: Mapped[str] = mapped_column(sa.Text, default="")
    author: Mapped[str] = mapped_column(sa.String(96))
    status: Mapped[str] = mapped_column(sa.String(8), default="open")
    is_pull: Mapped[bool]
    base: Mapped[str | None] = mapped_column(sa.String(40))
    created_at: Mapped[int] = _time()

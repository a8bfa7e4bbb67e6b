"""Small files: their bytes by sha256, from memory, the database or the store."""

import sqlalchemy as sa

from hub.blobs import BlobStore, blob_key
from hub.cache import Cache
from hub.db import ReadSession
from hub.errors import BytesLost
from hub.models import Blob

TEXT_ROW_BYTES = 64 << 10
CACHED_BYTES = 16 << 20


class Texts:
    """Reads small blobs, which the caller has reached through a repository, and remembers them."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._kept: Cache[str, bytes] = Cache(CACHED_BYTES)

    def cached(self, sha256: str) -> bytes | None:
        """The bytes, if they are in memory."""
        return self._kept.get(sha256)

    def row(self, session: ReadSession, sha256: str) -> bytes | None:
        """The bytes, if the database holds them; None when they lie in the store."""
        data = self._kept.get(sha256)
        if data is None:
            data = session.scalar(sa.select(Blob.data).where(Blob.sha256 == sha256))
            if data is not None:
                self._kept.keep(sha256, data, len(data))
        return data

    def read(self, session: ReadSession, sha256: str) -> bytes:
        """All bytes, wherever they are. Raises BytesLost."""
        data = self.row(session, sha256)
        if data is not None:
            return data
        try:
            with self._store.open(blob_key(sha256)) as file:
                return file.read()
        except FileNotFoundError:
            raise BytesLost() from None

"""Capabilities as only the hub itself can sign them."""

import base64
import json

from hub.db import Database
from hub.services import this_instance
from hub.settings import Settings
from hub.uploads import Signer
from tests.support.server import Hub


def expired(hub: Hub, purpose: str, capability: str) -> str:
    """The same capability, its time over."""
    body = capability.partition(".")[0]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return Signer(_secret(hub)).sign(purpose, claims, seconds=-1)


def _secret(hub: Hub) -> bytes:
    database = Database(Settings(data_dir=hub.data_dir, database_url=hub.database_url).database)
    try:
        return this_instance(database).secret
    finally:
        database.close()

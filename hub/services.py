"""What a running hub consists of, built once from its settings and handed to the app, the handlers and the command line."""

import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from hub.access import LOOK_UP, look_up
from hub.accounts import Passwords
from hub.blobs import OWNER_KEY, BlobStore
from hub.blobs.local import LocalStore
from hub.db import Database, HotReads, Unusable, insert_new
from hub.models import Instance
from hub.publish import Publisher
from hub.revisions import Manifests
from hub.settings import Settings
from hub.tally import Tally
from hub.texts import Texts
from hub.uploads import Signer


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one hub. ``epoch`` is the generation of its Xet address, ``uid`` tells this hub from every other."""

    settings: Settings
    database: Database
    store: BlobStore
    manifests: Manifests
    texts: Texts
    publisher: Publisher
    tally: Tally
    hot: HotReads
    signer: Signer
    passwords: Passwords
    uid: str
    epoch: int

    def close(self) -> None:
        """Write what is still counted in memory and give every connection back."""
        self.tally.flush()
        self.hot.close()
        self.database.close()


def open_database(settings: Settings) -> Database:
    """The database of the settings, its folder made. Raises Unusable."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.database)
    database.check()
    return database


def open_store(settings: Settings, instance: Instance) -> BlobStore:
    """The blob store of the settings. Raises Unusable when it belongs to another hub than the database."""
    store = LocalStore(Path(settings.blob_folder))
    owner = _owner(store)
    if owner is None:
        _claim(store, instance.uid)
    elif owner != instance.uid:
        raise Unusable(
            f"The store {settings.blob_folder} belongs to hub {owner}, the database to hub {instance.uid}. "
            "Set HUB_DATABASE_URL and HUB_BLOB_STORE (or HUB_DATA_DIR) to the two that belong together."
        )
    return store


def _owner(store: BlobStore) -> str | None:
    if store.size(OWNER_KEY) is None:
        return None
    with store.open(OWNER_KEY) as file:
        return file.read().decode()


def _claim(store: BlobStore, uid: str) -> None:
    with store.stage() as staged:
        staged.write(uid.encode())
        staged.seal()
        staged.keep(OWNER_KEY)


def open_services(settings: Settings) -> Services:
    """Everything a hub needs to answer requests. The database must be migrated. Raises Unusable."""
    database, manifests = open_database(settings), Manifests()
    instance = this_instance(database)
    store = open_store(settings, instance)
    texts = Texts(store)
    return Services(
        settings=settings,
        database=database,
        store=store,
        manifests=manifests,
        texts=texts,
        publisher=Publisher(database, store, manifests, texts),
        tally=Tally(database),
        hot=HotReads(database, look_up, LOOK_UP),
        signer=Signer(instance.secret),
        passwords=Passwords(),
        uid=instance.uid,
        epoch=instance.epoch,
    )


def this_instance(database: Database) -> Instance:
    """The hub's own row. Raises Unusable when the database has none."""
    with database.read() as session:
        found: Instance | None = session.scalar(sa.select(Instance))
    if found is None:
        raise Unusable("The database has no hub in it yet. Run `adapterhub migrate`.")
    return found


def raise_epoch(database: Database) -> int:
    """Begin a new generation of the Xet address, which clients key their upload caches by; returns its number."""
    with database.write() as session:
        instance = session.scalars(sa.select(Instance)).one()
        instance.epoch += 1
        return instance.epoch


def found_instance(database: Database) -> None:
    """Make the hub's own row in a database that has none; replicas that start at once agree on the first."""
    with database.write() as session:
        insert_new(session, Instance, [{"id": 1, "uid": str(uuid.uuid4()), "secret": secrets.token_bytes(32)}], "id")

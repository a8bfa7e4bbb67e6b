"""fsck finds each kind of damage by its name; gc removes what nobody can reach and nothing else."""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from hub import revisions, upkeep
from hub.blobs import blob_key, xorb_key
from hub.db import insert_into
from hub.errors import BadRequest
from hub.models import LIVE, Blob, Commit, Link, Manifest, Ref, Repo, Upload, Xorb
from hub.publish import AddInline, AddPointer, Delete
from hub.upkeep import Collected, GcRefused
from tests.support.lfs import sha256
from tests.support.local_hub import LocalHub

DATABASES = ("sqlite", "postgres")


@pytest.fixture(params=DATABASES)
def new_hub(request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[str], str]) -> Iterator[Callable[..., LocalHub]]:
    """Makes a hub of its own; keyword arguments are settings."""
    made: list[LocalHub] = []

    def make(**settings: float) -> LocalHub:
        made.append(LocalHub(tmp_path / f"hub{len(made)}", new_database(request.param), **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def hub(new_hub: Callable[..., LocalHub]) -> LocalHub:
    """A hub whose gc waits for nothing, with one repository that holds a large and a small file."""
    made = new_hub(gc_grace=1e-6)
    made.create("sst2")
    made.publish("alice/sst2", AddPointer("w.bin", made.upload("alice/sst2", LARGE)), AddInline("a.txt", b"small"))
    return made


LARGE = random.Random(1).randbytes(100_000)


def fsck(hub: LocalHub, *, read_data: bool = True) -> list[str]:
    return [finding.kind for finding in upkeep.fsck(hub.database, hub.store, read_data=read_data)]


def gc(hub: LocalHub, *, dry_run: bool = False, orphans: bool = False) -> Collected:
    return upkeep.gc(hub.database, hub.store, hub.settings, dry_run=dry_run, orphans=orphans)


def gc_twice(hub: LocalHub) -> Collected:
    """Mark, wait, remove."""
    gc(hub)
    time.sleep(0.01)
    return gc(hub)


def rows(hub: LocalHub, table: type) -> int:
    with hub.database.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def damage_rows(hub: LocalHub, statement: sa.Executable) -> None:
    """Change rows as nothing but a broken database would: without the references being checked."""
    off = "PRAGMA foreign_keys = OFF" if hub.database.is_sqlite else "SET session_replication_role = replica"
    on = "PRAGMA foreign_keys = ON" if hub.database.is_sqlite else "SET session_replication_role = origin"
    with hub.database.writer.connect() as connection:
        driver = connection.connection.cursor()
        driver.execute(off)
        connection.execute(statement)
        connection.commit()
        driver = connection.connection.cursor()
        driver.execute(on)
        connection.commit()


# --- fsck ----------------------------------------------------------------------------------------------------------


def test_a_healthy_hub_has_no_findings(hub: LocalHub) -> None:
    hub.create("empty")
    hub.remove("alice/sst2", "w.bin")
    hub.create("gone")
    hub.delete("alice/gone")
    assert fsck(hub) == []
    gc_twice(hub)
    assert fsck(hub) == []


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(flip, "damaged"), (lambda path: os.truncate(path, 99), "99 bytes instead of 100000"), (Path.unlink, "not in the store")],
    ids=["a flipped bit", "truncated", "missing"],
)
def test_fsck_finds_a_damaged_object(hub: LocalHub, damage: Callable[[Path], None], message: str) -> None:
    hub.push("alice/sst2", "other.bin", LARGE[::-1])
    damage(hub.stored(sha256(LARGE)))
    (finding,) = upkeep.fsck(hub.database, hub.store, read_data=True)
    assert (finding.kind, finding.where) == ("blob", sha256(LARGE))
    assert message in finding.message
    assert "alice/sst2" in finding.message
    assert fsck(hub, read_data=False) == ([] if damage is flip else ["blob"])


DAMAGED_ROWS: dict[str, Callable[[int], sa.Executable]] = {
    "dangling-ref": lambda repo: sa.update(Ref).where(Ref.repo_id == repo).values(target="0" * 40),
    "no-main": lambda repo: sa.delete(Ref).where(Ref.repo_id == repo),
    "no-manifest": lambda repo: sa.update(Commit).where(Commit.repo_id == repo, Commit.parent.is_(None)).values(manifest_id=999),
    "commit-id": lambda repo: sa.update(Commit).where(Commit.repo_id == repo, Commit.parent.is_(None)).values(title="forged"),
    "no-parent": lambda repo: sa.delete(Commit).where(Commit.repo_id == repo, Commit.parent.is_(None)),
    "no-link": lambda repo: sa.delete(Link).where(Link.repo_id == repo, Link.sha256 == sha256(LARGE)),
    "blob": lambda _: sa.update(Blob).where(Blob.sha256 == sha256(b"small")).values(data=b"Small"),
}


@pytest.mark.parametrize("kind", DAMAGED_ROWS)
def test_fsck_finds_damaged_rows(hub: LocalHub, kind: str) -> None:
    hub.create("healthy")
    damage_rows(hub, DAMAGED_ROWS[kind](hub.place("alice/sst2").repo_id))
    (finding,) = upkeep.fsck(hub.database, hub.store)
    assert finding.kind == kind
    if kind != "blob":
        assert "alice/sst2" in finding.where


def test_fsck_finds_a_damaged_manifest(hub: LocalHub) -> None:
    with hub.database.read() as session:
        manifest, entries = session.execute(sa.select(Manifest.id, Manifest.entries).order_by(Manifest.id.desc())).first() or (0, [])
    entries[0][1] = "0" * 40
    damage_rows(hub, sa.update(Manifest).where(Manifest.id == manifest).values(entries=entries))
    assert fsck(hub) == ["tree-id"]


def test_fsck_finds_a_missing_blob_row(hub: LocalHub) -> None:
    damage_rows(hub, sa.delete(Blob).where(Blob.sha256 == sha256(LARGE)))
    assert fsck(hub) != []


def test_fsck_as_a_command(hub: LocalHub) -> None:
    clean = hub.command("fsck", "--read-data")
    assert (clean.returncode, clean.stdout) == (0, "All is well.\n")
    assert json.loads(hub.command("fsck", "--json").stdout) == {"findings": 0}
    flip(hub.stored(sha256(LARGE)))
    assert hub.command("fsck").returncode == 0
    found = hub.command("fsck", "--read-data", "--json")
    assert found.returncode == 1
    first, last = map(json.loads, found.stdout.splitlines())
    assert (first["kind"], first["where"], last) == ("blob", sha256(LARGE), {"findings": 1})
    plain = hub.command("fsck", "--read-data")
    assert plain.stdout.startswith(f"blob: {sha256(LARGE)}: its bytes are damaged")
    assert plain.stdout.endswith("1 findings.\n")
    lost = hub.command("fsck", HUB_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (lost.returncode, lost.stdout) == (2, "")
    assert "HUB_DATABASE_URL" in lost.stderr


# --- gc ------------------------------------------------------------------------------------------------------------


def test_gc_of_a_hub_without_garbage_removes_nothing(hub: LocalHub) -> None:
    before = [rows(hub, table) for table in (Blob, Link, Commit, Manifest, Ref, Repo)]
    for _ in range(3):
        assert gc(hub).blobs == 0
    assert [rows(hub, table) for table in (Blob, Link, Commit, Manifest, Ref, Repo)] == before
    assert fsck(hub) == []


def drop_grants(hub: LocalHub) -> None:
    """As if every upload's time were over."""
    with hub.database.write() as session:
        session.execute(sa.delete(Upload))


def test_a_blob_goes_in_two_steps(new_hub: Callable[..., LocalHub]) -> None:
    hub = new_hub(gc_grace=0.5)
    hub.create("sst2")
    garbage = hub.upload("alice/sst2", LARGE)
    drop_grants(hub)
    assert gc(hub).marked == 0, "too young"
    time.sleep(0.6)
    assert (gc(hub).marked, gc(hub).blobs) == (1, 0)
    time.sleep(0.6)
    done = gc(hub)
    assert (done.blobs, done.bytes) == (1, len(LARGE))
    assert not hub.stored(garbage).exists()
    assert fsck(hub) == []


def marked_garbage(new_hub: Callable[..., LocalHub]) -> LocalHub:
    """A hub whose gc has marked the one blob that nobody holds, and not yet removed it."""
    hub = new_hub(gc_grace=0.2)
    hub.create("sst2")
    hub.upload("alice/sst2", LARGE)
    drop_grants(hub)
    time.sleep(0.3)
    assert (gc(hub).marked, rows(hub, Blob)) == (1, 2)
    return hub


@pytest.mark.parametrize("use", ["upload", "commit"])
def test_a_mark_is_taken_off_by_use(new_hub: Callable[..., LocalHub], use: str) -> None:
    hub = marked_garbage(new_hub)
    if use == "upload":
        hub.upload("alice/sst2", LARGE)
    else:
        hub.write("alice/sst2", "inline.txt", LARGE)
    with hub.database.read() as session:
        assert set(session.scalars(sa.select(Blob.state))) == {LIVE}
    time.sleep(0.3)
    assert gc(hub).blobs == 0
    assert hub.stored(sha256(LARGE)).read_bytes() == LARGE
    assert fsck(hub) == []


def test_what_an_upload_awaits_stays(hub: LocalHub) -> None:
    awaited = hub.upload("alice/sst2", b"to be committed soon")
    gc_twice(hub)
    hub.publish("alice/sst2", AddPointer("soon.bin", awaited))
    assert fsck(hub) == []


def test_an_upload_that_nobody_commits_expires(new_hub: Callable[..., LocalHub]) -> None:
    hub = new_hub(gc_grace=1e-6, upload_ttl=0.2)
    hub.create("sst2")
    late = hub.upload("alice/sst2", LARGE)
    time.sleep(0.3)
    assert gc(hub).grants == 1
    gc_twice(hub)
    assert not hub.stored(late).exists()
    with pytest.raises(BadRequest, match="Upload"):
        hub.publish("alice/sst2", AddPointer("late.bin", late))


def test_a_dry_run_changes_nothing(hub: LocalHub) -> None:
    hub.upload("alice/sst2", b"garbage")
    drop_grants(hub)
    hub.create("gone")
    hub.push("alice/gone", "w.bin", b"deleted")
    hub.delete("alice/gone")
    tables = (Blob, Link, Commit, Manifest, Ref, Upload)
    before = [rows(hub, table) for table in tables]
    for _ in range(2):
        done = gc(hub, dry_run=True)
        assert (done.repositories, done.marked) == (1, 1)
    assert [rows(hub, table) for table in tables] == before
    assert hub.stored(sha256(b"deleted")).exists()
    assert "would go" in hub.command("gc", "--dry-run", HUB_GC_GRACE="0.000001").stdout
    assert [rows(hub, table) for table in tables] == before


def test_the_bytes_of_a_deleted_repository_go_unless_others_hold_them(hub: LocalHub) -> None:
    hub.create("gone")
    hub.push("alice/gone", "own.bin", b"its own")
    hub.push("alice/gone", "shared.bin", LARGE)
    hub.delete("alice/gone")
    assert gc(hub).repositories == 1
    assert gc_twice(hub).repositories == 0
    gc_twice(hub)
    assert not hub.stored(sha256(b"its own")).exists()
    assert hub.stored(sha256(LARGE)).exists()
    assert fsck(hub) == []


def test_commits_that_nothing_reaches_go(hub: LocalHub) -> None:
    with hub.database.write() as session:
        place = hub.place("alice/sst2")
        revisions.create_ref(session, place, "branch", "dev", target=place.at_revision().oid)
    hub.push("alice/sst2", "dev.bin", b"on dev only", revision="dev")
    with hub.database.write() as session:
        revisions.delete_ref(session, hub.place("alice/sst2"), "branch", "dev")
    used = used_storage(hub)
    assert gc(hub).commits == 1
    assert used_storage(hub) == used - len(b"on dev only")
    drop_grants(hub)
    gc_twice(hub)
    assert not hub.stored(sha256(b"on dev only")).exists()
    assert fsck(hub) == []


def used_storage(hub: LocalHub) -> int:
    with hub.database.read() as session:
        return session.scalar(sa.select(Repo.used_storage).where(Repo.full_name == "alice/sst2")) or 0


def test_young_commits_that_nothing_reaches_stay(new_hub: Callable[..., LocalHub]) -> None:
    hub = new_hub()
    hub.create("sst2")
    with hub.database.write() as session:
        place = hub.place("alice/sst2")
        revisions.create_ref(session, place, "branch", "dev", target=place.at_revision().oid)
    oid = hub.push("alice/sst2", "dev.bin", b"on dev only", revision="dev")
    with hub.database.write() as session:
        revisions.delete_ref(session, hub.place("alice/sst2"), "branch", "dev")
    assert gc(hub).commits == 0
    assert hub.place("alice/sst2", oid).at_revision().oid == oid


def test_gc_refuses_a_store_that_is_not_the_database_s(hub: LocalHub, tmp_path: Path) -> None:
    other = hub.command("gc", HUB_BLOB_STORE=str(tmp_path / "another"))
    assert other.returncode == 2
    assert "HUB_BLOB_STORE" in other.stderr
    hub.upload("alice/sst2", b"garbage")
    drop_grants(hub)
    hub.settings.blob_folder.rename(tmp_path / "moved away")
    hub.settings.blob_folder.mkdir()
    with pytest.raises(GcRefused):
        gc(hub)
    assert rows(hub, Blob) == 4


def test_objects_that_no_row_knows_go_when_they_are_old(new_hub: Callable[..., LocalHub]) -> None:
    """A kill between the bytes and their row leaves such objects."""
    hub = new_hub(upload_ttl=0.3)
    hub.create("sst2")
    hub.push("alice/sst2", "w.bin", LARGE)
    stays = {item.key for item in hub.store.list("")}
    for key in (blob_key(sha256(b"lost")), xorb_key(hub.place("alice/sst2").uid, "a" * 64)):
        with hub.store.stage() as staged:
            staged.write(b"lost")
            staged.seal()
            staged.keep(key)
    gc(hub, orphans=True)
    assert len(list(hub.store.list(""))) == len(stays) + 2, "they may belong to an upload that is not finished"
    time.sleep(0.4)
    gc(hub)
    assert len(list(hub.store.list(""))) == len(stays) + 2, "they may be what was pushed since a backup"
    assert gc(hub, orphans=True).orphans == 2
    assert {item.key for item in hub.store.list("")} == stays
    assert fsck(hub) == []


def test_a_removal_that_was_interrupted_leaves_no_finding(new_hub: Callable[..., LocalHub]) -> None:
    """A kill between the removal of the bytes and the commit of the row's removal: nobody misses the bytes."""
    hub = marked_garbage(new_hub)
    hub.stored(sha256(LARGE)).unlink()
    assert fsck(hub) == []
    time.sleep(0.3)
    assert gc(hub).blobs == 1


def test_old_xorbs_go_and_used_ones_stay(hub: LocalHub) -> None:
    place = hub.place("alice/sst2")
    for name in ("a" * 64, "b" * 64):
        with hub.store.stage() as staged, hub.database.write() as session:
            staged.write(b"xorb")
            staged.seal()
            staged.keep(f"xorbs/{place.uid}/{name}")
            age = 30 * 86_400_000 if name[0] == "a" else 0
            used = int(time.time() * 1000) - age
            session.execute(insert_into(session, Xorb).values(repo_id=place.repo_id, hash=name, size=4, chunks=b"", used_at=used))
    assert gc(hub).xorbs == 1
    assert [item.key for item in hub.store.list("xorbs")] == [f"xorbs/{place.uid}/{'b' * 64}"]


# --- gc against those who write --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_gc_racing_uploaders_loses_nothing(new_hub: Callable[..., LocalHub]) -> None:
    hub = new_hub(gc_grace=0.05, upload_ttl=0.3)
    repos = [hub.create(f"repo-{number}") for number in range(4)]
    contents = [random.Random(number).randbytes(70_000) for number in range(8)]
    stop = threading.Event()

    def push_and_remove(repo: str) -> tuple[int, int]:
        chance, done, refused = random.Random(repo), 0, 0
        while not stop.is_set():
            data = chance.choice(contents)
            try:
                sha = hub.upload(repo, data)
                time.sleep(chance.uniform(0, 0.4))
                path = f"{chance.randrange(3)}.bin"
                oid = hub.publish(repo, AddPointer(path, sha), AddInline("note.txt", str(done).encode())).commit
                assert hub.place(repo, oid).commit == oid
                assert hub.stored(sha).read_bytes() == data
                hub.publish(repo, Delete(path))
                squash(hub, repo)
                done += 1
            except BadRequest:  # "upload again": the grant's time was over
                refused += 1
        return done, refused

    with ThreadPoolExecutor(len(repos)) as pool:
        pushers = [pool.submit(push_and_remove, repo) for repo in repos]
        removed, deadline = 0, time.monotonic() + 5
        while time.monotonic() < deadline and not any(pusher.done() for pusher in pushers):
            removed += gc(hub).blobs
        stop.set()
        done = [pusher.result() for pusher in pushers]
    assert removed > 3, "gc had something to do"
    assert min(commits for commits, _ in done) > 1, done
    assert fsck(hub) == []


def squash(hub: LocalHub, repo: str) -> None:
    with hub.database.write() as session:
        revisions.super_squash(session, hub.place(repo), "main", "squashed", hub.manifests)


@pytest.mark.parametrize("new_hub", ["postgres"], indirect=True)
@pytest.mark.parametrize("moment", ["FROM ref", "FROM link"])
def test_a_commit_between_two_looks_of_gc_is_not_lost(new_hub: Callable[..., LocalHub], moment: str) -> None:
    """Postgres lets a commit through while gc has read one table and not yet the next."""
    hub = new_hub(gc_grace=1e-6)
    repo = hub.create("sst2")
    hub.push(repo, "old.bin", b"the old file")
    hub.push(repo, "other.bin", b"the other file")
    make_unreachable(hub, repo)
    time.sleep(0.01)
    pushed = push_when_gc_says(hub, repo, moment)
    gc(hub)
    oid = pushed()
    with hub.database.read() as session:
        head = revisions.commit_at(session, repo_id := hub.place(repo).repo_id, "main")
        assert head.oid == oid
        assert len(list(revisions.walk(session, head))) == 4
        linked = set(session.scalars(sa.select(Link.sha256).where(Link.repo_id == repo_id)))
    assert {sha256(b"the old file"), sha256(b"the other file"), sha256(b"the new file")} <= linked
    assert fsck(hub) == []


def make_unreachable(hub: LocalHub, repo: str) -> None:
    """Leave a commit that no branch reaches, so that gc has something to look for."""
    with hub.database.write() as session:
        place = hub.place(repo)
        revisions.create_ref(session, place, "branch", "dev", target=place.at_revision().oid)
    hub.push(repo, "dev.bin", b"on dev only", revision="dev")
    with hub.database.write() as session:
        revisions.delete_ref(session, hub.place(repo), "branch", "dev")


def push_when_gc_says(hub: LocalHub, repo: str, moment: str) -> Callable[[], str]:
    """Push in a thread as soon as this one has read what comes before ``moment``; returns how to wait for the push.

    A gc that holds the repository makes the push wait instead: then it goes on after half a second.
    """
    pool, here = ThreadPoolExecutor(1), threading.get_ident()
    result: list[Future[str]] = []

    def interfere(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        flat = " ".join(statement.split())
        if threading.get_ident() == here and not result and flat.startswith("SELECT") and moment in flat and "EXISTS" not in flat:
            result.append(pool.submit(hub.push, repo, "new.bin", b"the new file"))
            threading.Event().wait(0.5)

    sa.event.listen(hub.database.writer, "before_cursor_execute", interfere)

    def wait() -> str:
        sa.event.remove(hub.database.writer, "before_cursor_execute", interfere)
        with pool:
            return result[0].result(30)

    return wait

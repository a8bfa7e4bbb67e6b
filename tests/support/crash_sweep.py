"""Meet a fault at every step of one deed, and look at what is left: ``python -m tests.support.crash_sweep``.

Run with the library of faults.c in LD_PRELOAD. For N = 1, 2, ... the template of a hub is copied, a child forks, arms the
fault at its N-th step and does the deed; then this process looks at the copy. Prints one JSON object a step.
"""

import argparse
import ctypes
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hub import upkeep
from hub.publish import AddInline, AddPointer
from tests.support.local_hub import LocalHub

REPO = "alice/sst2"
WEIGHTS, GARBAGE, NOTE = bytes(range(256)) * 400, b"garbage" * 1000, b"a note"
MOST_STEPS = 2_000


def make_template(folder: Path) -> None:
    """A hub with one repository, one commit in it, and something for gc to remove."""
    hub = LocalHub(folder)
    hub.create("sst2")
    hub.push(REPO, "first.bin", WEIGHTS[::-1])
    hub.create("gone")
    hub.push("alice/gone", "garbage.bin", GARBAGE)
    hub.delete("alice/gone")
    hub.close()


def push(hub: LocalHub) -> str:
    """Upload and commit; returns the commit's id."""
    return hub.publish(REPO, AddPointer("second.bin", hub.upload(REPO, WEIGHTS)), AddInline("note.txt", NOTE)).commit


def collect(hub: LocalHub) -> str:
    """Two runs of gc, the second of which removes what the first has marked."""
    for _ in range(2):
        upkeep.gc(hub.database, hub.store, hub.settings)
    return "collected"


DEEDS: dict[str, Callable[[LocalHub], str]] = {"push": push, "collect": collect}


def open_hub(folder: Path) -> LocalHub:
    """The hub of a copy, whose gc waits for nothing."""
    return LocalHub(folder, gc_grace=1e-6)


def meet_fault(folder: Path, deed: str, at: int) -> tuple[str | None, bool, bool]:
    """Do the deed in a child; returns what it acknowledged, whether a fault had happened by then, and whether it happened at all."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(_do(folder, deed, at, writing))
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read().split()
    _, status = os.waitpid(child, 0)
    fired = os.waitstatus_to_exitcode(status) != 0
    return (said[0], said[1] == "1", fired) if said else (None, fired, fired)


def _do(folder: Path, deed: str, at: int, writing: int) -> int:
    """In the child: the exit code says whether a fault has happened."""
    fired = ctypes.CDLL(os.environ["LD_PRELOAD"]).faults_fired
    hub = open_hub(folder)
    os.environ.update(FAULTS_AT=str(at), FAULTS_UNDER=f"{folder}/")
    try:
        done = DEEDS[deed](hub)
        os.write(writing, f"{done} {fired()}".encode())
        hub.close()
    except Exception as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    return int(fired())


def look(folder: Path, deed: str, acknowledged: str | None) -> dict[str, Any]:
    """What a hub finds that starts on the copy again, and whether the deed can be done again."""
    hub = open_hub(folder)
    before = [finding.kind for finding in upkeep.fsck(hub.database, hub.store, read_data=True)]
    head = hub.place(REPO).commit
    kept = acknowledged in {head, "collected", None}
    DEEDS[deed](hub)
    after = [finding.kind for finding in upkeep.fsck(hub.database, hub.store, read_data=True)]
    whole = {data: hub.stored_bytes(data) == data for data in (WEIGHTS[::-1], WEIGHTS, GARBAGE)}
    expected = {WEIGHTS[::-1]: True, WEIGHTS: deed == "push", GARBAGE: deed == "push"}
    hub.close()
    return {"kept": kept, "findings": before, "findings_after": after, "whole": whole == expected}


def main() -> None:
    """Sweep over all steps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("deed", choices=DEEDS)
    parser.add_argument("--every", type=int, default=1, help="look at every so manyth step only")
    options = parser.parse_args()
    template = options.folder / "template"
    make_template(template)
    for at in range(1, MOST_STEPS, options.every):
        copy = options.folder / "copy"
        shutil.copytree(template, copy)
        acknowledged, early, fired = meet_fault(copy, options.deed, at)
        result = {
            "at": at,
            "acknowledged": acknowledged is not None,
            "early": early,
            "fired": fired,
            **look(copy, options.deed, acknowledged),
        }
        print(json.dumps(result), flush=True)
        shutil.rmtree(copy)
        if not fired:
            sys.exit(0)
    sys.exit(f"still faults after {MOST_STEPS} steps")


if __name__ == "__main__":
    main()

"""Where the files that are not code lie: at the top of a source checkout, inside the package once installed."""

import hashlib
from functools import cache
from pathlib import Path


def folder(name: str) -> Path:
    """The folder ``templates``, ``static`` or ``migrations`` of this installation.

    Raises:
        FileNotFoundError: it is in neither place, so the installation is damaged.
    """
    package = Path(__file__).resolve().parent
    for parent in (package, package.parent):
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(f"The folder {name} of AdapterHub is missing beside and inside {package}. Install AdapterHub again.")


@cache
def static_url(name: str) -> str:
    """The address of a file in ``static``, with a hash of its bytes, so that browsers may keep it for ever."""
    digest = hashlib.sha256((folder("static") / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"

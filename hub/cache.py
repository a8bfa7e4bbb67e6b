"""Memory for what never changes."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """What never changes, the recently used part of it: bounded by the sum of the sizes it is given."""

    def __init__(self, room: int) -> None:
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._room = room
        self._used = 0
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value, if it is in memory."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def keep(self, key: K, value: V, size: int) -> None:
        """Remember a value, and forget those not used for longest when there is no room."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = value, size
            self._used += size
            while self._used > self._room and len(self._kept) > 1:
                _, (_, freed) = self._kept.popitem(last=False)
                self._used -= freed

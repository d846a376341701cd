"""What was made last is kept within a number of bytes, for many threads; what several want at once is made by one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any


class Kept:
    """What was made last, by key, up to a number of bytes; for many threads."""

    def __init__(self, most: int, size: Callable[[Any], int]) -> None:
        self.most, self.size, self.bytes = most, size, 0
        self.entries: OrderedDict[Any, Any] = OrderedDict()
        self.lock = threading.Lock()
        self.making: dict[Any, threading.Lock] = {}

    def get(self, key: Any) -> Any:
        """What is kept under a key, or None."""
        with self.lock:
            if key in self.entries:
                self.entries.move_to_end(key)
            return self.entries.get(key)

    def put(self, key: Any, value: Any) -> None:
        """Keep a value; the oldest ones go."""
        with self.lock:
            if key not in self.entries:
                self.entries[key] = value
                self.bytes += self.size(value)
            while self.bytes > self.most and len(self.entries) > 1:
                self.bytes -= self.size(self.entries.popitem(last=False)[1])

    def made(self, key: Any, make: Callable[[], Any]) -> Any:
        """What is kept under a key; where it is not, one thread makes it, and others that want the same wait."""
        with self.lock:
            making = self.making.setdefault(key, threading.Lock())
        try:
            with making:
                found = self.get(key)
                if found is None:
                    found = make()
                    self.put(key, found)
        finally:
            with self.lock:
                self.making.pop(key, None)
        return found

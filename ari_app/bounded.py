"""A cache of the latest values, bounded so that strangers can't exhaust the memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def keep(cache: OrderedDict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Store a value as the latest; drop the oldest if there are then more than `most`."""
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > most:
        cache.popitem(last=False)

"""Finds free ports."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

from taxiphone.errors import SetupError

# This range is below the one from which the kernel assigns ports.
_FIRST, _LAST = 20000, 32000
_TRIES = 200
# Not the shared generator, which test tools seed with the same value in every process.
_chance = random.SystemRandom()
_given: set[tuple[str, int]] = set()


def free_port(address: str) -> int:
    """Return a port that is free for UDP and TCP, and that was not returned before.

    Raises:
        SetupError: no free port was found.
    """
    for _ in range(_TRIES):
        port = _chance.randrange(_FIRST, _LAST)
        if (address, port) not in _given and _free(address, port):
            _given.add((address, port))
            return port
    raise SetupError(f"no free port found on {address} between {_FIRST} and {_LAST}.")


def free_range(size: int) -> tuple[int, int]:
    """Return the first and last of `size` free UDP ports for RTP; the first is even (RFC 3550, section 11)."""
    for _ in range(_TRIES):
        start = _chance.randrange(33000, 60000 - size, 2)
        with ExitStack() as stack:
            try:
                for port in range(start, start + size):
                    stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("", port))
            except OSError:
                continue
        return start, start + size - 1
    raise SetupError("no free range of UDP ports found for RTP.")


def _free(address: str, port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as tried:
            try:
                tried.bind((address, port))
            except OSError:
                return False
    return True

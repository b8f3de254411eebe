"""Ports that nobody uses at the moment, for a set that must not get in the way of anything."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

from taxiphone.errors import SetupError

_FIRST, _LAST = 20000, 32000  # below the range from which the kernel gives out ports by itself
_TRIES = 200
_chance = (
    random.SystemRandom()
)  # and not the shared one, which test tools set to the same start in every process
_given: set[tuple[str, int]] = set()


def free_port(address: str) -> int:
    """A port that is free for UDP and TCP on an address of this machine, and was given to nobody by this process.

    Raises:
        SetupError: none was found.
    """
    for _ in range(_TRIES):
        port = _chance.randrange(_FIRST, _LAST)
        if (address, port) not in _given and _free(address, port):
            _given.add((address, port))
            return port
    raise SetupError(f"no free port was found on {address} between {_FIRST} and {_LAST}.")


def free_range(size: int) -> tuple[int, int]:
    """The first and last of `size` UDP ports for RTP, the first one even (RFC 3550, section 11)."""
    for _ in range(_TRIES):
        start = _chance.randrange(33000, 60000 - size, 2)
        with ExitStack() as stack:
            try:
                for port in range(start, start + size):
                    stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("", port))
            except OSError:
                continue
        return start, start + size - 1
    raise SetupError("no free range of UDP ports was found for RTP.")


def _free(address: str, port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as tried:
            try:
                tried.bind((address, port))
            except OSError:
                return False
    return True

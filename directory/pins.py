"""Generates, validates and hashes PINs. Only an Argon2id hash is stored (docs/adr/0012).

No message, exception or log line of this module contains a PIN.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import secrets
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError, VerifyMismatchError

from taxiphone.errors import TaxiphoneError, UsageError

SHORTEST, LONGEST = 4, 8
_GENERATED = 6
_FORM = re.compile(rf"[0-9]{{{SHORTEST},{LONGEST}}}", re.ASCII)
# Consecutive digits, wrapping around once.
_IN_A_ROW = "01234567890123456789"

# RFC 9106's second recommended option with one lane instead of four. With more, the library starts threads of its own,
# and a correct PIN would be rejected on a machine that can't start any more.
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
# Each hash takes 64 MiB and a core for a tenth of a second, so the number of concurrent ones is limited.
_AT_ONCE = threading.BoundedSemaphore(2)


def generate_pin(known: Iterable[str] = ()) -> str:
    """Generate a random PIN of six digits that is not easy to guess.

    Args:
        known: what others may know of the client (code, numbers). The PIN is not a part of it.
    """
    known = tuple(known)
    while True:
        generated = f"{secrets.randbelow(10**_GENERATED):0{_GENERATED}}"
        if not _trivial(generated, known):
            return generated


def checked(pin: str, known: Iterable[str] = ()) -> str:
    """Validate a PIN chosen by a person.

    Args:
        pin: the PIN as entered.
        known: what others may know of the client (code, numbers). The PIN must not be a part of it.

    Raises:
        UsageError: it does not have 4 to 8 digits, or is easy to guess.
    """
    if not well_formed(pin):
        raise UsageError(f"a PIN must have {SHORTEST} to {LONGEST} digits. Nothing was changed.")
    if _trivial(pin, known):
        raise UsageError(
            "this PIN is too easy to guess: repeated or consecutive digits, or a part of the client's code or number. "
            "Nothing was changed. Choose another one, or have one generated."
        )
    return pin


def well_formed(pin: str) -> bool:
    """Tell whether a text can be a PIN: 4 to 8 digits."""
    return _FORM.fullmatch(pin) is not None


def hash_pin(pin: str) -> str:
    """Hash a PIN, with salt and parameters. Takes about a tenth of a second.

    Raises:
        TaxiphoneError: there is not enough memory.
    """
    with _AT_ONCE:
        try:
            return _HASHER.hash(pin)
        except Argon2Error as error:
            raise TaxiphoneError(
                f"the PIN can't be hashed: {error}. Check that enough memory is free."
            ) from None


def verify(pin_hash: str | None, pin: str) -> bool:
    """Tell whether a PIN matches a hash. Without a hash, it takes the same time and returns False.

    Raises:
        TaxiphoneError: the hash is invalid, or there is not enough memory, so the result is not known.
    """
    with _AT_ONCE:
        try:
            return _HASHER.verify(pin_hash or _dummy_hash(), pin) and pin_hash is not None
        except VerifyMismatchError:
            return False
        except (Argon2Error, InvalidHashError) as error:
            raise TaxiphoneError(
                f"the PIN can't be verified: {error}. Check that enough memory is free; otherwise give the client a new PIN."
            ) from None


async def verify_in_turn(pin_hash: str | None, pin: str, *, hidden: bool) -> bool:
    """Run `verify` in a thread with a low priority, so that callers who guess PINs delay no other call.

    Args:
        pin_hash: None if there is no such client.
        pin: the PIN as entered.
        hidden: whether the caller's number is hidden. Hidden callers have a queue of their own.
    """
    pool = _HIDDEN_POOL if hidden else _POOL
    return await asyncio.get_running_loop().run_in_executor(pool, verify, pin_hash, pin)


def _give_way() -> None:
    """Lower the priority of the current thread below that of Asterisk, the event loop and the database."""
    os.setpriority(
        os.PRIO_PROCESS, threading.get_native_id(), max(_PRIORITY, os.getpriority(os.PRIO_PROCESS, 0))
    )


# The nice value: under load, a thread gets a third of the time of others.
_PRIORITY = 5
# One thread each, so that at most two PINs are verified at once.
_POOL = ThreadPoolExecutor(1, "pins", _give_way)
_HIDDEN_POOL = ThreadPoolExecutor(1, "hidden pins", _give_way)


@functools.cache
def _dummy_hash() -> str:
    return _HASHER.hash(secrets.token_hex())


def _trivial(pin: str, known: Iterable[str]) -> bool:
    repeated = any(
        pin == (pin[:length] * len(pin))[: len(pin)] for length in (1, 2, 3) if length < len(pin) - 1
    )
    in_a_row = pin in _IN_A_ROW or pin[::-1] in _IN_A_ROW
    return repeated or in_a_row or any(pin in text for text in known)

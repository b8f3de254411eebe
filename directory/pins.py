"""PINs: which ones are good, and how they are kept: as an Argon2id hash, never in clear (docs/adr/0012).

No sentence, no exception and no log line of this module has a PIN in it.
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
_DRAWN = 6
_FORM = re.compile(rf"[0-9]{{{SHORTEST},{LONGEST}}}", re.ASCII)
_IN_A_ROW = "01234567890123456789"  # keys in their order, going round once

# RFC 9106's second recommended option with one lane instead of four: with more, the library starts threads of its own,
# and a right PIN would be refused on a machine that gives no more of them.
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
# Each hash takes 64 MiB and a core for a tenth of a second: many callers at once wait here, not in the swap.
_AT_ONCE = threading.BoundedSemaphore(2)


def new_pin(known: Iterable[str] = ()) -> str:
    """A PIN of six digits from the system's random source, not one that anybody tries first.

    Args:
        known: what others know of the client (code, numbers); the PIN is no part of it.
    """
    known = tuple(known)
    while True:
        drawn = f"{secrets.randbelow(10**_DRAWN):0{_DRAWN}}"
        if not _trivial(drawn, known):
            return drawn


def checked(pin: str, known: Iterable[str] = ()) -> str:
    """A PIN that a person chose, where it is good enough.

    Args:
        pin: as it was keyed in.
        known: what others know of the client (code, numbers); the PIN is no part of it.

    Raises:
        UsageError: it is not 4 to 8 digits, or one of the first that somebody else would try.
    """
    if not well_formed(pin):
        raise UsageError(f"a PIN is {SHORTEST} to {LONGEST} digits. Nothing was changed.")
    if _trivial(pin, known):
        raise UsageError(
            "this PIN is too easy to guess: repeated digits, digits in a row, or a part of the client's code or "
            "number. Nothing was changed; choose another, or let one be drawn."
        )
    return pin


def well_formed(pin: str) -> bool:
    """Whether this can be anybody's PIN: 4 to 8 digits."""
    return _FORM.fullmatch(pin) is not None


def hash_pin(pin: str) -> str:
    """The hash that is kept of a PIN, with its salt and parameters. Takes about a tenth of a second.

    Raises:
        TaxiphoneError: the machine has no memory for it.
    """
    with _AT_ONCE:
        try:
            return _HASHER.hash(pin)
        except Argon2Error as error:
            raise TaxiphoneError(f"the PIN can't be hashed: {error}. See whether memory is left.") from None


def verify(pin_hash: str | None, pin: str) -> bool:
    """Whether a PIN is the one that was hashed. Takes as long where there is no hash, and is then False.

    Raises:
        TaxiphoneError: the hash can't be read, or the machine has no memory for it: nobody knows.
    """
    with _AT_ONCE:
        try:
            return _HASHER.verify(pin_hash or _nobodys(), pin) and pin_hash is not None
        except VerifyMismatchError:
            return False
        except (Argon2Error, InvalidHashError) as error:
            raise TaxiphoneError(
                f"the PIN can't be checked: {error}. See whether memory is left; else give the client another PIN."
            ) from None


async def verify_in_turn(pin_hash: str | None, pin: str, *, hidden: bool) -> bool:
    """Like `verify`, in a thread of its own that gives way to all others: callers who guess hold up no other call.

    Args:
        pin_hash: None where there is no such client.
        pin: as it was keyed in.
        hidden: whether the caller hides their number. Hidden callers wait for each other only, and so do all others.
    """
    pool = _HIDDEN_POOL if hidden else _POOL
    return await asyncio.get_running_loop().run_in_executor(pool, verify, pin_hash, pin)


def _give_way() -> None:
    """Let every other thread of the machine go first: Asterisk's, the event loop's, the database's."""
    os.setpriority(
        os.PRIO_PROCESS, threading.get_native_id(), max(_PRIORITY, os.getpriority(os.PRIO_PROCESS, 0))
    )


# One thread each, so that two PINs at most are looked at at once, whatever the number of calls.
_PRIORITY = 5  # the nice value: a third of the time of others, where there is not enough for all
_POOL = ThreadPoolExecutor(1, "pins", _give_way)
_HIDDEN_POOL = ThreadPoolExecutor(1, "hidden pins", _give_way)


@functools.cache
def _nobodys() -> str:
    return _HASHER.hash(secrets.token_hex())


def _trivial(pin: str, known: Iterable[str]) -> bool:
    repeated = any(
        pin == (pin[:length] * len(pin))[: len(pin)] for length in (1, 2, 3) if length < len(pin) - 1
    )
    in_a_row = pin in _IN_A_ROW or pin[::-1] in _IN_A_ROW
    return repeated or in_a_row or any(pin in each for each in known)

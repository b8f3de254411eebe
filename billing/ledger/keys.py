"""The keys of postings. A key says what a posting is for, so that it is made at most once."""

from __future__ import annotations

import enum
import secrets
from dataclasses import dataclass

from taxiphone.errors import UsageError

_LONGEST_GIVEN = 50


class Purpose(enum.StrEnum):
    """What a posting of a call is for."""

    HOLD = "hold"
    EXTENSION = "extension"  # held for credit that arrived during the talk
    TALK = "talk"
    RECORDING = "recording"
    RELEASE = "release"
    LEFT = "left"  # the remainder of a hold whose call will never be priced
    REFUND = "refund"
    TAX = "tax"  # the tax included in older charges, posted by migration 0003


def new_key() -> str:
    """Return a random key for a top-up, refund or run of payouts. Keep it and use it again when you retry the same request."""
    return secrets.token_hex(8)


def check_given(key: str) -> None:
    """Check the key of a request, which its caller has chosen.

    Raises:
        UsageError: it is not one line of 1 to 50 characters.
    """
    if not (0 < len(key.strip()) <= len(key) <= _LONGEST_GIVEN and key.isprintable()):
        raise UsageError(f"a key is one line of 1 to {_LONGEST_GIVEN} characters.")


def top_up_key(client_id: int, key: str) -> str:
    """Return the key of a top-up's posting, from the key that was given for it."""
    return f"top_up:{client_id}:{key}"


def payout_key(consultant_id: int, key: str) -> str:
    """Return the key of a payout's posting, from the key of the run. Earlier ones ended in the last entry that they covered."""
    return f"payout:{consultant_id}:run:{key}"


def reversal_key(key: str) -> str:
    """The key of the posting that reverses the one of `key`."""
    return f"{key}:reversed"


@dataclass(frozen=True, slots=True)
class CallKey:
    """The key of a posting of a call, such as `call:261122-7gq4mk:talk:2`. Keys are built and compared, never parsed.

    Attributes:
        call_id: the call.
        purpose: what the posting is for.
        version: the version of the receipt; omitted from the key if it is 1.
        name: the name of a refund, or the longest talk after an extension, in seconds.
    """

    call_id: str
    purpose: Purpose
    version: int = 1
    name: str = ""

    def __str__(self) -> str:
        text = "call:" + self.call_id + ":" + self.purpose
        if self.name:
            text += ":" + self.name
        return text if self.version == 1 else f"{text}:{self.version}"


def charge_keys(call_id: str, versions: int) -> dict[str, CallKey]:
    """Return the keys of all charges that a call can have, and of their reversals, each with the key of the charge.

    Args:
        call_id: the call.
        versions: how many versions its receipt has.
    """
    charges = [
        CallKey(call_id, purpose, version)
        for purpose in (Purpose.TALK, Purpose.RECORDING, Purpose.TAX)
        for version in range(1, versions + 1)
    ]
    return {text: key for key in charges for text in (str(key), reversal_key(str(key)))}

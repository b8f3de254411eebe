"""The keys of a call's postings. A key says what a posting is for, so that it is made at most once."""

from __future__ import annotations

import enum
from dataclasses import dataclass

_CALL, _REVERSED = "call", "reversed"


class Purpose(enum.StrEnum):
    """What a posting of a call is for."""

    HOLD = "hold"
    TALK = "talk"
    RECORDING = "recording"
    RELEASE = "release"
    LEFT = "left"  # the remainder of a hold whose call will never be priced
    REFUND = "refund"
    TAX = "tax"  # the tax included in older charges, posted by migration 0003


def reversal_key(key: str) -> str:
    """The key of the posting that reverses the one of `key`."""
    return f"{key}:{_REVERSED}"


@dataclass(frozen=True, slots=True)
class CallKey:
    """The key of a posting of a call, such as `call:261122-7gq4mk:talk:2:reversed`.

    Attributes:
        call_id: the call.
        purpose: what the posting is for.
        version: the version of the receipt; omitted from the key if it is 1.
        reversed: whether the posting reverses the one with this key.
        name: the name of a refund.
    """

    call_id: str
    purpose: Purpose
    version: int = 1
    reversed: bool = False
    name: str = ""

    def __str__(self) -> str:
        parts = [_CALL, self.call_id, self.purpose]
        parts += [self.name] if self.name else []
        parts += [str(self.version)] if self.version > 1 else []
        parts += [_REVERSED] if self.reversed else []
        return ":".join(parts)

    @classmethod
    def parse(cls, text: str) -> CallKey | None:
        """Parse a key; None if it isn't the key of a call's posting."""
        kind, _, rest = text.partition(":")
        call_id, _, rest = rest.partition(":")
        purpose, _, rest = rest.partition(":")
        if kind != _CALL or purpose not in set(Purpose):
            return None
        if purpose == Purpose.REFUND:
            return cls(call_id, Purpose.REFUND, name=rest)
        more = rest.split(":") if rest else []
        is_reversed = bool(more) and more[-1] == _REVERSED
        versions = more[:-1] if is_reversed else more
        if len(versions) > 1 or not all(version.isdecimal() for version in versions):
            return None
        return cls(call_id, Purpose(purpose), int(versions[0]) if versions else 1, is_reversed)

"""Counts each key press once, dropping the copies that a carrier sends of it.

A carrier may send a press twice, as RTP events (RFC 4733) and as SIP INFO, or with several end packets whose timestamps
differ. Asterisk makes an event of each copy, and plays some of them out later: at least 45 ms after the one before, for as
long as the press took. The copies of one press are therefore spread over some 300 ms, but they overlap, or nearly do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

_MILLISECOND = timedelta(milliseconds=1)
# Between the end of a key and the beginning of its copy. Asterisk keeps two keys of one method at least 45 ms apart.
_GAP = 44 * _MILLISECOND
# The same if the two have different lengths: then they come by different methods.
_OTHER_METHOD_GAP = 60 * _MILLISECOND
# From the first event to the last copy, once a leg is known to send copies.
_COPIES_WITHIN = 300 * _MILLISECOND


@dataclass
class Keypad:
    """The keys of one leg.

    Attributes:
        sends_copies: a copy has come from this leg before.
    """

    sends_copies: bool = False
    _digit: str = ""
    _length: timedelta = timedelta(0)
    _first: datetime | None = None  # event of this press
    _last: datetime | None = None  # event of it, a copy perhaps

    def presses(self, digit: str, ended: datetime | None, milliseconds: int) -> bool:
        """Whether an event is a new press, and not a copy of the one before.

        Args:
            digit: the key.
            ended: the event's time by Asterisk's clock; None if the event has none, which makes it a press.
            milliseconds: how long the key was pressed, by the event.
        """
        length = milliseconds * _MILLISECOND
        copy = digit == self._digit and ended is not None and self._is_copy(ended, length)
        if copy:
            self.sends_copies = True
        else:
            self._digit, self._length, self._first = digit, length, ended
        self._last = ended
        return not copy

    def _is_copy(self, ended: datetime, length: timedelta) -> bool:
        if self._first is None or self._last is None or ended < self._last:
            return False
        if self.sends_copies and ended - self._first <= _COPIES_WITHIN:
            return True
        gap = ended - length - self._last
        return gap < (_GAP if length == self._length else _OTHER_METHOD_GAP)

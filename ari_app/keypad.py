"""Counts each key press once, ignoring the copies that a carrier sends.

A carrier may send a press twice, as RTP events (RFC 4733) and as SIP INFO, or with several end packets whose timestamps
differ. Asterisk makes an event of each copy, and delays some of them: each starts at least 45 ms after the one before and
lasts as long as the press did. The copies of one press are therefore spread over about 300 ms, but they overlap or nearly
do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

_MILLISECOND = timedelta(milliseconds=1)
# The longest gap between the end of a key and the beginning of its copy. Asterisk keeps two keys sent by the same method at
# least 45 ms apart.
_GAP = 44 * _MILLISECOND
# The same for two of different lengths, which were sent by different methods.
_OTHER_METHOD_GAP = 60 * _MILLISECOND
# The longest time from the first event to the last copy, once a leg is known to send copies.
_COPIES_WITHIN = 300 * _MILLISECOND


@dataclass
class Keypad:
    """The keys of one leg.

    Attributes:
        sends_copies: whether this leg has sent a copy before.
    """

    sends_copies: bool = False
    _digit: str = ""
    _length: timedelta = timedelta(0)
    _first: datetime | None = None  # the time of the first event of the current press
    _last: datetime | None = None  # the time of its last event, which may be a copy

    def is_new_press(self, digit: str, ended: datetime | None, milliseconds: int) -> bool:
        """Whether an event is a new press rather than a copy of the one before.

        Args:
            digit: the key.
            ended: the event's time by Asterisk's clock; an event without a time (None) counts as a press.
            milliseconds: how long the key was pressed, according to the event.
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

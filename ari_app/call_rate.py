"""Limits how often one number may call: a number that redials in a loop is refused before the call is answered."""

from __future__ import annotations

from collections import OrderedDict, deque

from taxiphone.ari_app.bounded import keep

_SECONDS = 60.0
# Maximum number of numbers that are remembered.
_NUMBERS = 10_000


class CallRate:
    """Counts the calls of each number.

    Args:
        most: calls of one number in a minute.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: OrderedDict[str, deque[float]] = OrderedDict()

    def takes(self, number: str, at: float) -> bool:
        """Whether a call from this number is taken; counts it if so. Callers with a withheld number are always taken.

        Args:
            number: the caller's; empty if it is withheld.
            at: the time, in seconds of a clock that never steps.
        """
        if not number:
            return True
        times = self._calls.get(number) or deque()
        keep(self._calls, number, times, _NUMBERS)
        while times and at - times[0] >= _SECONDS:
            times.popleft()
        if len(times) >= self._most:
            return False
        times.append(at)
        return True

"""Limits how often one number may call. A number that redials in a loop is refused before the call is answered."""

from __future__ import annotations

from collections import OrderedDict, deque

from taxiphone.ari_app.bounded import keep

_SECONDS = 60.0
# Maximum number of callers remembered.
_NUMBERS = 10_000


class CallRate:
    """Counts the calls of each number.

    Args:
        most: maximum number of calls from one number per minute.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, number: str, at: float) -> bool:
        """Whether to take a call from this number; counts it if so. Calls with a withheld number are always taken.

        Args:
            number: the caller's number; empty if withheld.
            at: the time in seconds, by a monotonic clock.
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

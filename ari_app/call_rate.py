"""How often one number may call: whoever redials in a loop is refused before the call is answered."""

from __future__ import annotations

from collections import OrderedDict, deque

from taxiphone.ari_app.bounded import keep

_SECONDS = 60.0
_NUMBERS = 10_000  # remembered at most; of those, the one that has not called for longest is forgotten first


class CallRate:
    """Counts the calls of each number.

    Args:
        most: calls of one number in a minute.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: OrderedDict[str, deque[float]] = OrderedDict()

    def takes(self, number: str, at: float) -> bool:
        """Whether a call from this number is taken, and count it if so. Hidden callers are not told apart: always.

        Args:
            number: the caller's; empty where it is withheld.
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

"""An event loop with virtual time: when every task waits, time jumps to the next timer instead of passing.

An hour of talk takes milliseconds, and every time-out keeps its length. Time stands still while a thread works (the
database, a person at the terminal): how long that takes has no effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import selectors
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple, Unpack

from taxiphone.store import types

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

_THREADS = 4
_RESOLUTION = time.get_clock_info("monotonic").resolution  # asyncio counts timers as due so much earlier


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, counted in seconds from 0.

    Attributes:
        before_jump: called before time jumps. If it returns True, it has started something, and time must stand still.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._working = 0
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="simulated")
        self.before_jump: Callable[[], bool] = _no
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._seconds

    @property
    def working(self) -> bool:
        """Whether a thread is working; time stands still until it is done."""
        return self._working > 0

    def jump(self, seconds: float) -> None:
        """Advance time."""
        self._seconds += seconds
        if self._seconds + _RESOLUTION == self._seconds:
            # After some months a float can't represent such small steps: the timer's time must have passed.
            self._seconds = math.nextafter(self._seconds, math.inf)

    def stand_still(self, task: asyncio.Future[Any]) -> None:
        """Stop time until this is done, even if nothing else is running, while a person is asked."""
        self._working += 1
        task.add_done_callback(lambda _: self._worked())

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[Arguments]], Result],
        *args: *Arguments,
    ) -> asyncio.Future[Result]:
        """Run a function in a thread as asyncio does (also for `asyncio.to_thread`); time stands still until it is done."""
        self._working += 1
        work = (executor or self._pool).submit(func, *args)
        waiting: asyncio.Future[Result] = asyncio.wrap_future(work, loop=self)
        # After asyncio's own callback: when time continues, the waiting task has been notified.
        work.add_done_callback(lambda _: self._from_thread(self._worked))
        return waiting

    def close(self) -> None:
        """Close the loop and end its threads."""
        if not self.is_closed():
            self._pool.shutdown(wait=True, cancel_futures=True)
        super().close()

    def _from_thread(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed, so nothing waits for the result.
            self.call_soon_threadsafe(callback)

    def _worked(self) -> None:
        self._working -= 1


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for real events (a thread, a file), and jumps if only timers are left."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if not self._loop.working and self._loop.before_jump():
            return []
        if timeout is None or self._loop.working:
            return super().select(None)
        self._loop.jump(timeout)
        return []


@contextlib.contextmanager
def wall_clock(loop: VirtualTimeLoop, begin: datetime | None = None) -> Iterator[Callable[[], datetime]]:
    """Let the program's wall clock follow the loop's virtual time in the block, from `begin` (default: now).

    Only one at a time in a process, since the program has one wall clock.
    """
    zero = (begin or datetime.now(UTC)) - timedelta(seconds=loop.time())

    def reading() -> datetime:
        return zero + timedelta(seconds=loop.time())

    with types.using_clocks(reading, lambda: round(loop.time() * 1_000_000)):
        yield reading


def run(main: Callable[[VirtualTimeLoop], Any]) -> Any:
    """Run the coroutine function `main(loop)` in virtual time, with the wall clock following it."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        if not isinstance(loop, VirtualTimeLoop):
            raise TypeError("the runner made another loop than it was told to")
        with wall_clock(loop):
            return runner.run(main(loop))


def _no() -> bool:
    return False

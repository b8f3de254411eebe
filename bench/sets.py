"""Starts the test set of a benchmark and removes it afterwards, whatever happens."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from taxiphone.bench.postgres import PostgresServer
from taxiphone.bench.rig import BenchSet
from taxiphone.commands import console
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.errors import TaxiphoneError

Found = TypeVar("Found")


def with_bench_set(
    asterisk: Asterisk,
    measure: Callable[[BenchSet], Awaitable[Found]],
    *,
    lines: int,
    recorded: bool = False,
    postgres: bool = False,
) -> Found:
    """Run a measurement on a test set in a temporary folder. The folder is kept if the measurement fails.

    Args:
        asterisk: the Asterisk that all three run.
        measure: the measurement; everything is started when it is called.
        lines: the number of clients, each with a consultant.
        recorded: whether the consultants allow recordings.
        postgres: whether Taxiphone's database is PostgreSQL, on a server of its own.

    Raises:
        TaxiphoneError: the measurement took too long, or something could not be started.
        SystemExit: it was interrupted; all processes have been stopped.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    place = Path(tempfile.mkdtemp(prefix="taxiphone-bench-"))
    try:
        with ExitStack() as stack:
            server = stack.enter_context(PostgresServer()) if postgres else None
            both = BenchSet(place, asterisk, lines, recorded=recorded, postgres=server)
            found = asyncio.run(_started(both, measure))
    except TimeoutError as error:
        raise TaxiphoneError(
            f"the benchmark took too long: {error or 'it was stopped'}. All files are in {place}"
        ) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(place)
        raise SystemExit(130) from None
    except BaseException:
        console.note(f"The benchmark has failed. All files are in {place}")
        raise
    shutil.rmtree(place)
    return found


async def _started(both: BenchSet, measure: Callable[[BenchSet], Awaitable[Found]]) -> Found:
    this = asyncio.current_task()
    if this is not None:
        # A plain kill must not leave three Asterisks running.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    try:
        console.note(f"starting three Asterisks and Taxiphone, with {len(both.lines)} lines")
        await both.start()
        return await measure(both)
    finally:
        await both.stop()

"""`make bench-pins`: how long another call's write takes while a hundred callers enter PINs at the same time.

Verifying a PIN takes a tenth of a second of CPU time on purpose (argon2). The program verifies them one after the other, on
threads of low priority, so that calls go on meanwhile. This is measured in one process, on both databases.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

import click
from sqlalchemy.orm import Session

from taxiphone.bench import raw
from taxiphone.bench.figures import markdown, number, percentile
from taxiphone.bench.postgres import PostgresServer
from taxiphone.bench.report import Report, report_options
from taxiphone.bench.storm import Storm
from taxiphone.commands import console
from taxiphone.directory import pins
from taxiphone.directory.sign_in import Authenticator
from taxiphone.errors import TaxiphoneError
from taxiphone.store.calls import add_event
from taxiphone.store.database import Database
from taxiphone.store.models import Client

_RAW_SECONDS = 2.0
_ALONE_SECONDS = 3.0
# Another call does something every 10 ms.
_PAUSE_SECONDS = 0.01
_FIRST_CODE = 20_000
_PIN, _WRONG = "907134", "907135"


@click.command()
@click.option(
    "--callers",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="Callers who enter a wrong PIN at the same time; every second one has a hidden number.",
)
@report_options
def bench(callers: int, append: Path | None, note: str | None) -> None:
    """Measure how long a call's write takes while other callers enter PINs."""
    logging.disable(logging.INFO)
    report = Report("PINs: `make bench-pins`", f'make bench-pins BENCH="--callers {callers}"', append, note)
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taxiphone-bench-")))
        server = stack.enter_context(PostgresServer())
        for name, url in (("SQLite", None), ("PostgreSQL", server.url())):
            console.note(f"{callers} callers enter PINs, {name}")
            place = folder / name
            place.mkdir()
            storm = Storm(place, url)
            with closing(storm.open()) as database:
                database.create_if_new()
                if database.version() is None:
                    database.upgrade()
                rows += [(name, *row) for row in asyncio.run(_measure(storm, database, callers))]
    head = ("database, ms", "what", "number", "p50", "p99", "max")
    cells = [
        (
            *(name, what, str(len(seconds))),
            *(number(percentile([each * 1000 for each in seconds], share)) for share in (50, 99, 100)),
        )
        for name, what, seconds in rows
    ]
    report.publish([markdown(head, cells)], f"PostgreSQL {server.binaries.major}")


async def _measure(storm: Storm, database: Database, callers: int) -> list[tuple[str, list[float]]]:
    """Seconds of each write: bare ones, a call's, and a call's while PINs are entered."""
    raw.prepare(database)
    bare = await asyncio.to_thread(raw.commits, database, _RAW_SECONDS)
    call_id = await asyncio.to_thread(_prepare, storm, database, callers)
    alone = await _writes(database, call_id, asyncio.create_task(asyncio.sleep(_ALONE_SECONDS)))
    desk = Authenticator()

    async def enter() -> None:
        await asyncio.gather(
            *(
                desk.check(
                    database,
                    storm.settings,
                    code=str(_FIRST_CODE + caller),
                    pin=_WRONG,
                    caller=None if caller % 2 else f"+33639981{caller:03d}",
                )
                for caller in range(callers)
            )
        )

    busy = await _writes(database, call_id, asyncio.create_task(enter()))
    return [
        ("a transaction of one row, bare driver", bare),
        ("a call's write, nobody enters a PIN", alone),
        (f"a call's write, {callers} enter PINs", busy),
    ]


async def _writes(database: Database, call_id: str, until: asyncio.Task[None]) -> list[float]:
    """Write a call event every 10 ms until a task is done; returns the seconds that each write took."""
    took = []
    while not until.done():
        begin = time.perf_counter()
        await database.run(lambda session: add_event(session.connection(), call_id, "price told", "1.55"))
        took.append(time.perf_counter() - begin)
        await asyncio.sleep(_PAUSE_SECONDS)
    await until
    return took


def _prepare(storm: Storm, database: Database, callers: int) -> str:
    """Create the clients, all with the same PIN, and another client's call that rings; returns its id."""
    pin_hash = pins.hash_pin(_PIN)

    def work(session: Session) -> None:
        session.add_all(
            Client(code=str(_FIRST_CODE + caller), name=f"Client {caller}", language="fr", pin_hash=pin_hash)
            for caller in range(callers)
        )

    database.do(work)
    people = storm.people(database, consultants=1, credit=10_000)
    return storm.ring(database, people, 1)[0]


if __name__ == "__main__":
    try:
        bench(prog_name="python -m taxiphone.bench.pins")
    except TaxiphoneError as error:
        console.say(f"bench: {error}")
        raise SystemExit(error.exit_code) from None

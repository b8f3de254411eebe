"""`make bench-billing`: prices and complete billed calls per second, compared with the raw speed of the database.

A call takes two durable transactions: the consultant accepts (the wallet is locked, the tariff copied, the credit held),
and the call is priced (charge, release, receipt). The raw rate is measured on the same database in the same minute, with the same
number of processes: transactions that insert one row with the bare driver. Both databases run as in production: SQLite
with synchronous=FULL, PostgreSQL with fsync.
"""

from __future__ import annotations

import functools
import gc
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from decimal import Decimal
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import click

from taxiphone.bench import billed_calls, raw
from taxiphone.bench.figures import markdown
from taxiphone.bench.postgres import PostgresServer
from taxiphone.bench.report import Report, report_options
from taxiphone.bench.storm import PROCESSES, People, Storm, accept, talk_lines
from taxiphone.billing.ledger_check import check
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.pricing.tariff import Tariff, Terms, package, per_minute
from taxiphone.billing.pricing.tariff_price import longest_talk, price
from taxiphone.commands import console
from taxiphone.errors import TaxiphoneError
from taxiphone.store.database import Database

# Number of calls in the log that the meter prices.
_METERED = 500
_CREDIT = 10**9


@dataclass(frozen=True)
class Rates:
    """Raw transactions and complete calls a second, for one database and a number of processes.

    Attributes:
        database: its name.
        workers: number of processes.
        raw: transactions per second with the bare driver, all processes together.
        chains: calls per second, all processes together.
        at_once: calls that each process has at the same time.
    """

    database: str
    workers: int
    raw: float
    chains: float
    at_once: int = 1

    @property
    def share(self) -> float:
        """The transactions of the calls, two each, as a share of the raw ones."""
        return 2 * self.chains / self.raw


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0.2, 60),
    default=3.0,
    show_default=True,
    help="Duration of each measurement.",
)
@report_options
def bench_billing(seconds: float, append: Path | None, note: str | None) -> None:
    """Measure prices and postings a second on SQLite and PostgreSQL, compared with their raw commit rates."""
    logging.disable(logging.INFO)
    command = f'make bench-billing BENCH="--seconds {seconds:g}"'
    report = Report("Prices and postings: `make bench-billing`", command, append, note)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taxiphone-bench-")))
        server = stack.enter_context(PostgresServer())
        prices = list(_prices(seconds / 3))
        found, metered = [], {}
        for name, url in (("SQLite", None), ("PostgreSQL", server.url())):
            place = folder / name
            place.mkdir()
            storm = Storm(place, url)
            console.note(f"{name}: raw transactions and calls, with 1, 2 and 4 processes, and 32 at once")
            with closing(storm.open()) as database:
                _made(database)
                found += [_rates(storm, database, name, workers, seconds) for workers in (1, 2, 4)]
                found.append(_rates(storm, database, name, 1, seconds, billed_calls.AT_ONCE))
                metered[name] = _metered(storm, database)
                if problems := database.read(check):
                    raise TaxiphoneError(f"the ledger is wrong after the benchmark: {problems[0]}")
    report.publish(_lines(prices, found, metered), f"PostgreSQL {server.binaries.major}")


# -- the arithmetic -----------------------------------------------------------------------------------------------


def _prices(seconds: float) -> Iterator[tuple[str, float]]:
    """Computations a second, for talks of all durations up to three hours."""
    terms = Terms("EUR", 2, Decimal("0.30"), recording_fee=Decimal(5), vat=Decimal("0.20"))
    free = per_minute(terms, Decimal("1.55"), free_minutes=10)
    hour = package(terms, Decimal(60), 60, then_per_minute=Decimal("1.55"), short_call_seconds=30)
    lengths = [Decimal(number * 7919 % 10_800_000) / 1000 for number in range(1000)]
    by_minute = per_minute(terms, Decimal("1.55"))
    for name, tariff in (
        ("price, per minute", by_minute),
        ("price, ten free minutes", free),
        ("price, package of an hour, recorded", hour),
    ):
        yield name, _a_second(functools.partial(_priced, tariff), lengths, seconds)
    yield (
        "longest talk that a credit pays for",
        _a_second(functools.partial(_longest, hour), lengths, seconds),
    )


def _priced(tariff: Tariff, length: Decimal) -> Any:
    return price(tariff, length, recorded=bool(tariff.fee))


def _longest(tariff: Tariff, credit: Decimal) -> Any:
    return longest_talk(tariff, int(credit), recorded=True)


def _a_second(work: Callable[[Decimal], Any], values: list[Decimal], seconds: float) -> float:
    done, begin = 0, time.perf_counter()
    while (used := time.perf_counter() - begin) < seconds:
        for value in values:
            work(value)
        done += len(values)
    return done / used


# -- the databases ------------------------------------------------------------------------------------------------


def _made(database: Database) -> None:
    database.create_if_new()
    if database.version() is None:
        database.upgrade()
    raw.prepare(database)


def _rates(
    storm: Storm, database: Database, name: str, workers: int, seconds: float, at_once: int = 1
) -> Rates:
    bare = _together(billed_calls.raw_commits, storm, [[]] * workers, seconds)
    first = 10_000 * workers + 100_000 * at_once
    groups = [
        [
            storm.people(database, consultants=5, credit=_CREDIT, code=first + 1000 * number + 10 * client)
            for client in range(at_once)
        ]
        for number in range(workers)
    ]
    work = billed_calls.one_at_a_time if at_once == 1 else billed_calls.at_once
    return Rates(name, workers, bare, _together(work, storm, groups, seconds), at_once)


def _together(work: billed_calls.Work, storm: Storm, groups: list[list[People]], seconds: float) -> float:
    """Return the total rate of all processes, per second."""
    gate = PROCESSES.Barrier(len(groups))
    pipes, processes = [], []
    for group in groups:
        ours, theirs = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=_measured, args=(work, storm, group, seconds, gate, theirs))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        rates: list[float] = [pipe.recv() for pipe in pipes]
        return sum(rates)
    except EOFError:
        raise TaxiphoneError("a process of the benchmark has died; its output is above.") from None
    finally:
        for process in processes:
            process.join()


def _measured(
    work: billed_calls.Work,
    storm: Storm,
    group: list[People],
    seconds: float,
    gate: Barrier,
    told: Connection,
) -> None:
    logging.disable(logging.INFO)
    gc.freeze()  # as in `taxiphone serve`
    gate.wait(60)
    watch = work(storm, group, seconds)
    told.send(watch.done / watch.seconds)


def _metered(storm: Storm, database: Database) -> float:
    """Calls a second that the meter prices if its log has many."""
    people = storm.people(database, consultants=5, credit=_CREDIT, code=90_000)
    calls = storm.ring(database, people, _METERED)
    for call_id in calls:
        accept(storm, database, call_id)
    log = storm.settings.cel_file
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(talk_lines(call_id) for call_id in calls), encoding="utf-8")
    begin = time.perf_counter()
    Meter(storm.settings, database).read_once()
    return _METERED / (time.perf_counter() - begin)


# -- the report ---------------------------------------------------------------------------------------------------


def _lines(prices: list[tuple[str, float]], found: list[Rates], metered: dict[str, float]) -> list[str]:
    return [
        markdown(
            ("one process, no database", "per second"), [(name, f"{rate:,.0f}") for name, rate in prices]
        ),
        "",
        markdown(
            (
                *("database", "processes", "calls at once in each"),
                *("raw transactions per second", "calls per second"),
                "share of the raw rate, at two transactions per call",
            ),
            [
                (
                    *(each.database, str(each.workers), str(each.at_once)),
                    *(f"{each.raw:,.0f}", f"{each.chains:,.0f}", f"{each.share:.0%}"),
                )
                for each in found
            ],
        ),
        "",
        "Priced by the meter from its log: "
        + ", ".join(f"{name} {rate:,.0f} calls a second" for name, rate in metered.items())
        + ".",
    ]


if __name__ == "__main__":
    # Its functions are named in other processes, where this module is not __main__.
    from taxiphone.bench.billing import bench_billing as command

    command(prog_name="python -m taxiphone.bench.billing")

"""The speed of the database itself: transactions that insert one row with the bare driver, as durable as in production.

Figures of the program that depend on commits are compared with it, because disks differ by a factor of a hundred.
"""

from __future__ import annotations

import time
from contextlib import closing

from sqlalchemy import text

from taxiphone.store.database import Database


def prepare(database: Database) -> None:
    """Create the table that `commits` writes to, if there is none."""
    database.do(
        lambda session: session.execute(text("CREATE TABLE IF NOT EXISTS bench_raw (worker INTEGER)"))
    )


def commits(database: Database, seconds: float) -> list[float]:
    """Write for a while; returns the seconds that each transaction took."""
    took = []
    with closing(database.engine.raw_connection()) as connection:
        cursor = connection.cursor()
        if database.sqlite:
            cursor.execute("PRAGMA busy_timeout = 10000")  # the driver waits for the lock by itself
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            if database.sqlite:
                cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("INSERT INTO bench_raw (worker) VALUES (1)")
            connection.commit()
            took.append(time.perf_counter() - begin)
    return took

"""When the price of each call is committed, as another connection to the database sees it."""

from __future__ import annotations

import threading
import time
from typing import Self

from sqlalchemy import Connection

from taxiphone.store.database import Database

POLL_SECONDS = 0.005
# Transactions on PostgreSQL may be committed in another order than their receipts are numbered.
_OUT_OF_ORDER = 50


class PricesSeen:
    """Polls for new receipts every 5 ms, on a thread: `with PricesSeen(url) as seen: ...; seen.at`.

    A receipt is written in the transaction that prices the call, so once another connection can read it, the price is
    committed. The clock is the machine's wall clock, like that of Asterisk's event logs.

    Args:
        url: the database.

    Attributes:
        at: seconds since 1970 by call id.
    """

    def __init__(self, url: str) -> None:
        self.at: dict[str, float] = {}
        self._database = Database(url)
        self._newest, self._earlier = 0, set[str]()
        self._overlap = 0 if self._database.sqlite else _OUT_OF_ORDER
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="prices seen")

    def __enter__(self) -> Self:
        with self._database.connection() as connection:
            # Earlier receipts are not timed.
            for number, call_id in self._receipts(connection):
                self._newest = max(self._newest, number)
                self._earlier.add(call_id)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._database.close()

    def _poll(self) -> None:
        with self._database.connection() as connection:
            while not self._stop.wait(POLL_SECONDS):
                rows = self._receipts(connection)
                connection.rollback()  # the next query must see what was committed since
                seen = time.time()
                for number, call_id in rows:
                    self._newest = max(self._newest, number)
                    if call_id not in self._earlier:
                        self.at.setdefault(call_id, seen)

    def _receipts(self, connection: Connection) -> list[tuple[int, str]]:
        query = f"SELECT number, call_id FROM receipt WHERE number > {self._newest - self._overlap:d}"  # noqa: S608 - a number
        return [(number, call_id) for number, call_id in connection.exec_driver_sql(query)]

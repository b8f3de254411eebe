"""Counts a process's transactions, for operators and benchmarks (server/activity.py)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Totals:
    """How many transactions there have been.

    Attributes:
        transactions: units of work that write.
        commits: their commits. On SQLite, units that wait at the same time share one (store/writer.py).
        reads: transactions that only read.
    """

    transactions: int = 0
    commits: int = 0
    reads: int = 0


class Counters:
    """The totals since the process started. Can be called from any thread."""

    def __init__(self) -> None:
        self._totals = Totals()
        self._lock = threading.Lock()

    @property
    def totals(self) -> Totals:
        """The totals so far."""
        return self._totals

    def committed(self, transactions: int = 1) -> None:
        """Count a commit of one or more units of work."""
        with self._lock:
            old = self._totals
            self._totals = replace(old, transactions=old.transactions + transactions, commits=old.commits + 1)

    def read(self) -> None:
        """Count a transaction that only reads."""
        with self._lock:
            self._totals = replace(self._totals, reads=self._totals.reads + 1)

"""The keys that failures to sign in are counted for, and when a lockout is in force.

This module doesn't import the tables, so that `client list` needn't import SQLAlchemy's ORM.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

NUMBER, CODE = "number:", "code:"
"""The beginnings of the keys of table `sign_in`."""

CLOCK_TOLERANCE = timedelta(seconds=5)
"""Maximum difference between the clocks of two machines.

A lockout that seems to start later than this was made before the wall clock was set back, and would last longer by that
much. It is treated as over. Its failures still count, so the next failure starts the same lockout again.
"""


def client_keys(code: str, numbers: Iterable[str]) -> dict[str, str]:
    """Return the keys of a client with this code and these numbers (E.164), each with the code or number that it is for."""
    return {CODE + code: code} | {NUMBER + number: number for number in numbers}

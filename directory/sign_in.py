"""Signs clients in by client code and PIN, with lockouts that grow after each failure.

An attempt is counted as a failure *before* its PIN is verified, and reset if the PIN was correct. Concurrent calls therefore
can't try more PINs than consecutive ones, and a program that dies in between has counted too many failures rather than too
few. PINs are hashed outside of transactions, so that no other transaction waits.

Failures are counted for two keys:

- The caller's number, if it is known. Its lockout grows to a day, because it affects only the caller who failed.
- The client's code, because numbers can be hidden or forged. Its lockout grows to an hour, because anybody can enter
  another client's code and must not lock its owner out for long. (Calls from the owner's numbers need no PIN, so they
  are never locked out.) An hour allows about 24 attempts a day among a million generated PINs.

Unknown codes are counted in the same way; otherwise a lockout would reveal which codes exist. Such a row is deleted after
30 days without a failure.
"""

from __future__ import annotations

import asyncio
import enum
import re
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import ColumnElement, Table, and_, delete, or_, select
from sqlalchemy.orm import Session

from taxiphone.directory import numbers, ownership, pins
from taxiphone.directory.lockouts import CLOCK_TOLERANCE, CODE, NUMBER, client_keys
from taxiphone.settings import Settings
from taxiphone.store.database import Database
from taxiphone.store.idempotent import insert_if_new, insert_of
from taxiphone.store.models import Client, ClientNumber, SignIn
from taxiphone.store.types import now

_LONGEST = {NUMBER: timedelta(days=1), CODE: timedelta(hours=1)}
_FORGOTTEN_AFTER = timedelta(days=30)
# Maximum number of old rows deleted at once, so that no caller waits for it.
_FORGOTTEN_AT_ONCE = 100
# Hidden callers: how long a wrong PIN counts, how many are taken for mistakes, and the delay for each further one.
_REMEMBERED_SECONDS = 60.0
_NOT_DELAYED = 10
_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 0.1, 3.0
# Doubling a second 20 times gives 12 days, more than any lockout.
_MOST_DOUBLINGS = 20

_E164 = re.compile(r"\+[0-9]{1,15}", re.ASCII)
_KEYED_CODE = re.compile(r"[0-9]{1,8}", re.ASCII)


class SignInResult(enum.Enum):
    """The result of an attempt to sign in."""

    RIGHT = "right"
    # The code or the PIN is wrong. The caller is not told which.
    WRONG = "wrong"
    # There were too many failures. Nothing was verified.
    LOCKED_OUT = "locked out"


class Authenticator:
    """Signs clients in for all calls of this process.

    Hidden callers can't be locked out, because they can't be told apart. Instead, wrong PINs from hidden callers delay all
    of them: by a tenth of a second for each wrong PIN of the last minute beyond the first ten, up to three seconds.
    """

    def __init__(self) -> None:
        # Times of wrong PINs from hidden callers, by the clock of the event loop.
        self._wrong_hidden: deque[float] = deque()
        self._turn, self._hidden_turn = asyncio.Lock(), asyncio.Lock()

    async def check(
        self, database: Database, settings: Settings, *, code: str, pin: str, caller: str | None
    ) -> tuple[SignInResult, Client | None]:
        """Check a client code and PIN. Takes a tenth of a second, or longer under load.

        Args:
            database: the database; transactions are made here.
            settings: settings with `call.code_tries` and `call.pin_pause_seconds`.
            code: the code as entered; any text.
            pin: the PIN as entered; any text.
            caller: the caller's number in E.164; None or any other text if it is not known.

        Returns:
            the result, and with RIGHT the client, whose numbers are loaded. The client may be blocked or closed.
        """
        hidden = caller is None or _E164.fullmatch(caller) is None
        if hidden:
            await asyncio.sleep(self.delay())
        # One attempt at a time, including its writes, so that other calls can write in between.
        async with self._hidden_turn if hidden else self._turn:
            checked, client = await self._checked(database, settings, code, pin, caller, hidden=hidden)
        if hidden and checked is SignInResult.WRONG:
            self._wrong_hidden.append(asyncio.get_running_loop().time())
        return checked, client

    async def _checked(
        self, database: Database, settings: Settings, code: str, pin: str, caller: str | None, *, hidden: bool
    ) -> tuple[SignInResult, Client | None]:
        keys = _keys(code, caller)
        stored = await database.query(lambda session: _stored_pin(session, keys, code))
        if stored is None or not await database.run(lambda session: _count_failure(session, settings, keys)):
            return SignInResult.LOCKED_OUT, None
        client_id, pin_hash = stored
        valid = pins.well_formed(pin)
        right = await pins.verify_in_turn(pin_hash if valid else None, pin if valid else "", hidden=hidden)
        if right and client_id is not None:
            client = await database.run(lambda session: _succeed(session, keys, client_id, pin_hash))
            if client is not None:
                return SignInResult.RIGHT, client
        return SignInResult.WRONG, None

    def delay(self) -> float:
        """Return how many seconds a hidden caller waits before the PIN is verified."""
        since = asyncio.get_running_loop().time() - _REMEMBERED_SECONDS
        while self._wrong_hidden and self._wrong_hidden[0] < since:
            self._wrong_hidden.popleft()
        return min(_LONGEST_DELAY_SECONDS, max(0, len(self._wrong_hidden) - _NOT_DELAYED) * _DELAY_SECONDS)


def locked_out(session: Session, caller: str | None, at: datetime) -> bool:
    """Tell whether a caller (E.164) is locked out at that time. A hidden caller never is."""
    return _locked_out(session, _keys("", caller), at)


def lockout_seconds(settings: Settings, failures: int, longest: timedelta) -> int:
    """Return the length of the lockout after a number of consecutive failures; 0 while attempts are left."""
    beyond = failures - settings.call.code_tries
    if beyond < 0:
        return 0
    doubled = settings.call.pin_pause_seconds << min(beyond, _MOST_DOUBLINGS)
    return min(doubled, int(longest.total_seconds()))


def may_add(number: str) -> bool:
    """Tell whether callers may add this number (E.164) to their account.

    Unassigned numbers are excluded: a carrier may send the same placeholder for every hidden caller, and all of them would
    be recognized as the client. An operator can add a number from a range that is too new to be known.
    """
    return (
        _E164.fullmatch(number) is not None and not numbers.keypad_word(number) and numbers.assigned(number)
    )


def add_number(session: Session, settings: Settings, client_id: int, number: str) -> bool:
    """Add the number (E.164) that a client called from to their account, in the caller's transaction.

    Returns:
        whether it belongs to the client now; False if it belongs to another client, the platform or a consultant, or is
        unassigned.
    """
    ownership.lock(session)
    if (
        not may_add(number)
        or session.get(Client, client_id) is None
        or ownership.is_platforms(session, settings, number)
        or ownership.consultant_with(session, number) is not None
    ):
        return False
    # Another call may be adding it at the same time. The first one gets it.
    insert_if_new(session.connection(), ClientNumber, [{"number": number, "client_id": client_id}])
    owner = session.scalar(select(ClientNumber.client_id).where(ClientNumber.number == number))
    return owner == client_id


def reset_failures(session: Session, client: Client) -> None:
    """Reset the failures and lockouts of a client's code and numbers."""
    _forget(session, keys_of(client))


def lockouts(session: Session, client: Client, at: datetime) -> list[SignIn]:
    """Return the rows of a client's keys that are locked out at that time, sorted by key."""
    rows = select(SignIn).where(_in_force(at), SignIn.key.in_(keys_of(client))).order_by(SignIn.key)
    return list(session.scalars(rows))


def keys_of(client: Client) -> list[str]:
    """Return the keys of a client: the code and each number."""
    return [*client_keys(client.code, (entry.number for entry in client.numbers))]


def _keys(code: str, caller: str | None) -> list[str]:
    """Return the keys in alphabetical order. All transactions lock them in this order, so there is no deadlock."""
    keys = [CODE + code] if _KEYED_CODE.fullmatch(code) else []
    return [*keys, NUMBER + caller] if caller is not None and _E164.fullmatch(caller) else keys


def _stored_pin(session: Session, keys: list[str], code: str) -> tuple[int | None, str | None] | None:
    """Return the client's id and the hash of the PIN; None if one of the keys is locked out."""
    if _locked_out(session, keys, now()):
        return None
    row = None
    if _KEYED_CODE.fullmatch(code):
        row = session.execute(select(Client.id, Client.pin_hash).where(Client.code == code)).first()
    return (None, None) if row is None else (row.id, row.pin_hash)


def _locked_out(session: Session, keys: list[str], at: datetime) -> bool:
    until = select(SignIn.key).where(SignIn.key.in_(keys), _in_force(at))
    return session.scalar(until.limit(1)) is not None


def _in_force(at: datetime) -> ColumnElement[bool]:
    """Return the condition that a row's lockout is in force at that time; `client list` has it in SQL."""
    return and_(SignIn.paused_until > at, SignIn.last_at <= at + CLOCK_TOLERANCE)


def _count_failure(session: Session, settings: Settings, keys: list[str]) -> bool:
    """Count a failure for each key; return False without counting if one of them is locked out by now."""
    # This locks the rows until the end of the transaction, including existing ones.
    for key in keys:
        insert = insert_of(session.connection())(cast(Table, SignIn.__table__)).values(
            key=key, failures=0, last_at=now()
        )
        session.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"key": key}))
    at = now()
    if _locked_out(session, keys, at):
        return False
    for row in session.scalars(select(SignIn).where(SignIn.key.in_(keys))):
        row.failures, row.last_at = row.failures + 1, at
        longest = next(limit for prefix, limit in _LONGEST.items() if row.key.startswith(prefix))
        wait = lockout_seconds(settings, row.failures, longest)
        row.paused_until = at + timedelta(seconds=wait) if wait else None
    _forget_old(session, at)
    return True


def _succeed(session: Session, keys: list[str], client_id: int, pin_hash: str | None) -> Client | None:
    """Reset the failures and return the client; None if the PIN has been changed in the meantime."""
    client = session.get(Client, client_id)
    if client is None or client.pin_hash != pin_hash:
        return None
    _forget(session, keys)
    _ = client.numbers
    return client


def _forget(session: Session, keys: Iterable[str]) -> None:
    for key in sorted(keys):
        session.execute(delete(SignIn).where(SignIn.key == key))


def _forget_old(session: Session, at: datetime) -> None:
    old = (
        select(SignIn.key)
        .where(
            SignIn.last_at < at - _FORGOTTEN_AFTER,
            or_(SignIn.paused_until.is_(None), SignIn.paused_until < at),
        )
        .limit(_FORGOTTEN_AT_ONCE)
        # A row that is locked is being updated, so it is not old.
        .with_for_update(skip_locked=True)
    )
    keys = session.scalars(old).all()
    if keys:
        session.execute(delete(SignIn).where(SignIn.key.in_(keys)))

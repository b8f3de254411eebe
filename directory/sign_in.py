"""Signing in by client code and PIN: checked slowly, counted before, and paused for longer after each failure.

An attempt is counted as a failure *before* its PIN is looked at and taken back when it was right: so many calls at the
same moment can't try more PINs than one after the other, and a program that dies in between has counted too much rather
than too little. The hashing is done outside every transaction, so that it holds nobody up.

Two keys are counted for each attempt:

- the caller's number, where it is known. Its pause grows to a day: who is paused is who keyed in wrong.
- the client's code, for numbers can be hidden or made up. Its pause ends at an hour: anybody can key in somebody else's
  code, and must not be able to shut its owner out for long. (The owner's own numbers need no PIN, so they are never
  paused.) An hour still leaves about 24 tries a day among a million drawn PINs.

Codes that do not exist are counted in the same way: else a pause would tell which codes do. Each such row costs its maker
a call, whose own row is larger, and goes after 30 days without a failure.
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
from taxiphone.settings import Settings
from taxiphone.store.database import Database
from taxiphone.store.idempotent import insert_if_new, insert_of
from taxiphone.store.models import Client, ClientNumber, SignIn
from taxiphone.store.types import now

_NUMBER, _CODE = "number:", "code:"
_LONGEST = {_NUMBER: timedelta(days=1), _CODE: timedelta(hours=1)}
_FORGOTTEN_AFTER = timedelta(days=30)
_FORGOTTEN_AT_ONCE = 100  # rows in one go, so that no caller waits for it
_REMEMBERED_SECONDS = 60.0  # a wrong PIN of a hidden caller
_NOT_SLOWED = 10  # so many of them are mistakes
_SLOWER_SECONDS, _SLOWEST_SECONDS = 0.1, 3.0
# Two machines' clocks, of which one counts and the other looks, may differ by that.
_TOGETHER = timedelta(seconds=5)
_MOST_DOUBLINGS = 20  # of a second, that is 12 days: beyond every longest pause

_E164 = re.compile(r"\+[0-9]{1,15}", re.ASCII)
_KEYED_CODE = re.compile(r"[0-9]{1,8}", re.ASCII)


class Checked(enum.Enum):
    """What came of a code and a PIN."""

    RIGHT = "right"
    WRONG = "wrong"  # one of the two, nobody is told which
    PIN_PAUSED = "paused"  # too many were wrong: nothing was looked at


class Desk:
    """Where all calls of this program sign in.

    Hidden callers can't be paused, for nobody can tell one from another. So wrong PINs from hidden callers slow all of
    them down: by a tenth of a second for each within the last minute beyond the first ten, by three seconds at most.
    Nobody is locked out.
    """

    def __init__(self) -> None:
        self._wrong_hidden: deque[float] = deque()  # the times of the event loop
        self._turn, self._hidden_turn = asyncio.Lock(), asyncio.Lock()

    async def check(
        self, database: Database, settings: Settings, *, code: str, pin: str, caller: str | None
    ) -> tuple[Checked, Client | None]:
        """Check a client's code and PIN as they were keyed in. Takes a tenth of a second, and longer where many do it.

        Args:
            database: where it makes its own transactions.
            settings: whose `call.code_tries` failures in a row begin a pause of `call.pin_pause_seconds`.
            code: the client's, as keyed in; anything.
            pin: as keyed in; anything.
            caller: the caller's number in E.164; None, or anything else, where it is not known.

        Returns:
            RIGHT with the client, its numbers loaded; they may be blocked or closed. Else None.
        """
        hidden = caller is None or _E164.fullmatch(caller) is None
        if hidden:
            await asyncio.sleep(self.slowed())
        # One after the other, what the database writes of it included: other calls write in between.
        async with self._hidden_turn if hidden else self._turn:
            checked, client = await self._checked(database, settings, code, pin, caller, hidden=hidden)
        if hidden and checked is Checked.WRONG:
            self._wrong_hidden.append(asyncio.get_running_loop().time())
        return checked, client

    async def _checked(
        self, database: Database, settings: Settings, code: str, pin: str, caller: str | None, *, hidden: bool
    ) -> tuple[Checked, Client | None]:
        keys = _keys(code, caller)
        found = await database.query(lambda session: _look(session, keys, code))
        if found is None or not await database.run(lambda session: _counted(session, settings, keys)):
            return Checked.PIN_PAUSED, None
        client_id, pin_hash = found
        good = pins.well_formed(pin)
        right = await pins.verify_in_turn(pin_hash if good else None, pin if good else "", hidden=hidden)
        if right and client_id is not None:
            client = await database.run(lambda session: _cleared(session, keys, client_id, pin_hash))
            if client is not None:
                return Checked.RIGHT, client
        return Checked.WRONG, None

    def slowed(self) -> float:
        """How long a hidden caller waits before the PIN is checked, in seconds."""
        since = asyncio.get_running_loop().time() - _REMEMBERED_SECONDS
        while self._wrong_hidden and self._wrong_hidden[0] < since:
            self._wrong_hidden.popleft()
        return min(_SLOWEST_SECONDS, max(0, len(self._wrong_hidden) - _NOT_SLOWED) * _SLOWER_SECONDS)


def pin_paused(session: Session, caller: str | None, at: datetime) -> bool:
    """Whether no PIN is taken from this caller (E.164) at that time; a hidden number is never paused itself."""
    return _paused(session, _keys("", caller), at)


def pause_seconds(settings: Settings, failures: int, longest: timedelta) -> int:
    """How long to wait after so many failures in a row, in seconds; 0 while there are fewer than the tries."""
    beyond = failures - settings.call.code_tries
    if beyond < 0:
        return 0
    doubled = settings.call.pin_pause_seconds << min(beyond, _MOST_DOUBLINGS)
    return min(doubled, int(longest.total_seconds()))


def may_add(number: str) -> bool:
    """Whether a caller may have this number (E.164) added to their account.

    Not one that nobody can have: a carrier's placeholder comes with every hidden caller, who would all be recognised.
    An operator can add a number of a range that is too new to be known.
    """
    return (
        _E164.fullmatch(number) is not None and not numbers.keypad_word(number) and numbers.assigned(number)
    )


def add_number(session: Session, settings: Settings, client_id: int, number: str) -> bool:
    """Add the number (E.164) that a client signed in from to their account, in the caller's transaction.

    Returns:
        Whether it is theirs now; False where it is somebody else's, the platform's, a consultant's phone, or not
        assigned to anybody.
    """
    if (
        not may_add(number)
        or session.get(Client, client_id) is None
        or ownership.is_platforms(session, settings, number)
        or ownership.consultant_with(session, number) is not None
    ):
        return False
    # Another call may be adding it at the same moment: whoever is first has it, and both are told.
    insert_if_new(session, ClientNumber, [{"number": number, "client_id": client_id}])
    owner = session.scalar(select(ClientNumber.client_id).where(ClientNumber.number == number))
    return owner == client_id


def forgive(session: Session, client: Client) -> None:
    """Count from nothing again for a client's code and their numbers; their pauses are over."""
    _forget(session, keys_of(client))


def pins_paused_now(session: Session, at: datetime, of: Client | None = None) -> dict[str, SignIn]:
    """Every key that is paused at that time, or those of one client only; in their order."""
    found = select(SignIn).where(_in_force(at)).order_by(SignIn.key)
    if of is not None:
        found = found.where(SignIn.key.in_(keys_of(of)))
    return {row.key: row for row in session.scalars(found)}


def keys_of(client: Client) -> list[str]:
    """What is counted for a client: their code, and each of their numbers."""
    return [_CODE + client.code, *(_NUMBER + entry.number for entry in client.numbers)]


def _keys(code: str, caller: str | None) -> list[str]:
    """In the order of the alphabet, in which all lock them: so none waits for another in a circle."""
    keys = [_CODE + code] if _KEYED_CODE.fullmatch(code) else []
    return [*keys, _NUMBER + caller] if caller is not None and _E164.fullmatch(caller) else keys


def _look(session: Session, keys: list[str], code: str) -> tuple[int | None, str | None] | None:
    """The client with this code and the PIN's hash; None where one of the keys is paused."""
    if _paused(session, keys, now()):
        return None
    row = None
    if _KEYED_CODE.fullmatch(code):
        row = session.execute(select(Client.id, Client.pin_hash).where(Client.code == code)).first()
    return (None, None) if row is None else (row.id, row.pin_hash)


def _paused(session: Session, keys: list[str], at: datetime) -> bool:
    until = select(SignIn.key).where(SignIn.key.in_(keys), _in_force(at))
    return session.scalar(until.limit(1)) is not None


def _in_force(at: datetime) -> ColumnElement[bool]:
    """Whether a row's pause holds at that time.

    One that seems to begin later was made before the wall clock was set back. It would last longer by as much, so it is
    over; the failures still count, and the next one begins the same pause anew.
    """
    return and_(SignIn.paused_until > at, SignIn.last_at <= at + _TOGETHER)


def _counted(session: Session, settings: Settings, keys: list[str]) -> bool:
    """Count a failure for each key; False, and nothing counted, where one of them is paused by now."""
    for key in keys:  # now the rows are ours until the end, those that were there before too
        insert = insert_of(session)(cast(Table, SignIn.__table__)).values(key=key, failures=0, last_at=now())
        session.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"key": key}))
    at = now()
    if _paused(session, keys, at):
        return False
    for row in session.scalars(select(SignIn).where(SignIn.key.in_(keys))):
        row.failures, row.last_at = row.failures + 1, at
        longest = next(limit for prefix, limit in _LONGEST.items() if row.key.startswith(prefix))
        wait = pause_seconds(settings, row.failures, longest)
        row.paused_until = at + timedelta(seconds=wait) if wait else None
    _forget_old(session, at)
    return True


def _cleared(session: Session, keys: list[str], client_id: int, pin_hash: str | None) -> Client | None:
    """The client, with nothing counted any more; None where the PIN was changed in this very moment."""
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
        .with_for_update(skip_locked=True)  # one that somebody is counting on now is not old
    )
    keys = session.scalars(old).all()
    if keys:
        session.execute(delete(SignIn).where(SignIn.key.in_(keys)))

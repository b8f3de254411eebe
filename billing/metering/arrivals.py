"""Calls that the program never saw, found in Asterisk's event log.

Before Asterisk passes a call to the application, it writes a note to column 9 of the log
(dialplan/templates/extensions.conf.j2): `in:DIALLED:CALLER`; `away:DIALLED:CALLER` once the caller hears the apology;
`full:DIALLED:CALLER` once the caller hears that all lines are busy; `full` alone if the call was refused without a word
because too many callers were hearing that already; `often` if its number called too often. With it, the meter creates a row
for a call that arrived while the program was dead or stopping, or had no database, or while all lines were busy, as soon as
it reads the call's end.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.orm import Session

from taxiphone.directory import callers, dids, lookup
from taxiphone.settings import Settings
from taxiphone.store import calls
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.idempotent import insert_if_new
from taxiphone.store.models import Call, CelRow
from taxiphone.store.prepared import Prepared, scalar
from taxiphone.store.sessions import in_session
from taxiphone.store.tables import CALL
from taxiphone.store.types import Moment, monotonic_us, now

log = logging.getLogger(__name__)

_REFUSED = {
    "full": "%d calls were refused because all lines were busy ([call] most_calls)",
    "often": "%d calls were refused with 486 because their numbers called too often ([call] most_calls_per_minute)",
}
_WHY: dict[str, tuple[Outcome, str | None]] = {
    "away": (Outcome.APOLOGY, "the program was away when this call came: call back"),
    "full": (Outcome.ALL_LINES_BUSY, None),
    "in": (Outcome.FAILED, "this call came, but the program could not note it: call back"),
}
_KNOWN: Prepared[str] = Prepared(
    select(CALL.c.id).where(CALL.c.client_channel == bindparam("channel")), scalar
)
_LONGEST = 24  # characters of a number, to which the dialplan truncates it
_SECONDS = 60  # between two log lines about refused calls


def note_of(kind: str, dialled: str, caller: str) -> str:
    """Return a call's note as the dialplan writes it: with digits only, and at most as many as a number has."""
    return ":".join([kind, *(re.sub(r"[^+0-9]", "", number)[:_LONGEST] for number in (dialled, caller))])


def without_refused(rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Drop the rows of refused calls, which aren't needed for any price; return the others, and the calls by reason.

    Args:
        rows: the rows of one chunk of the log, each with its `note`.
    """
    refused = {row["linked"]: row["note"] for row in rows if row["note"] in _REFUSED}
    return [row for row in rows if row["linked"] not in refused], Counter(refused.values())


def note(connection: Connection, settings: Settings, rows: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Create a row for each call that has ended and has none; return the calls by the kind of their note.

    Args:
        connection: a connection on which the log's rows have been inserted.
        settings: the settings.
        rows: the new rows of the log, each with its `note`.
    """
    ended = {
        row["channel"]: row
        for row in rows
        # Only the call's first channel, because a consultant's leg has the same note.
        if row["event"] == "CHAN_END"
        and row["note"].partition(":")[0] in _WHY
        and row["channel"] == row["linked"]
    }
    if not ended:
        return Counter()
    unknown = [
        row for channel, row in ended.items() if _KNOWN.first(connection, {"channel": channel}) is None
    ]
    if unknown:
        in_session(lambda session: _insert_all(session, settings, unknown))(connection)
    return Counter(row["note"].partition(":")[0] for row in unknown)


def _insert_all(session: Session, settings: Settings, rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        kind, _, numbers = row["note"].partition(":")
        _insert(session, settings, row, kind, *numbers.split(":"))


def _insert(
    session: Session, settings: Settings, row: Mapping[str, Any], kind: str, dialled: str, caller: str
) -> None:
    outcome, review = _WHY[kind]
    if kind == "in" and _caller_hung_up_at_once(session, row):
        outcome, review = Outcome.CALLER_GONE, None
    number, did = dids.did_dialled(session.connection(), settings, dialled)
    calling = callers.identify(settings, caller).number
    client = lookup.client_calling(session.connection(), calling)
    begin = session.scalar(
        select(CelRow.at).where(CelRow.channel == row["channel"], CelRow.event == "CHAN_START").limit(1)
    )
    call = {
        "id": calls.new_id(row["at"]),
        "status": Status.ENDED,
        "outcome": outcome,
        "client_channel": row["channel"],
        "dialled": number[:40] or "?",
        "caller": calling,
        "language": lookup.language(settings, client, did),
        "client_id": client.id if client else None,
        "consultant_id": did.consultant_id if did else None,
        "arrived_at": begin or row["at"],
        "ended_at": row["at"],
        "review": review,
    }
    # The application may be inserting the same call (CallRecord.received). The first one succeeds.
    insert_if_new(session.connection(), Call, [call])
    if session.get(Call, call["id"]) is not None:
        logged = Moment(row["at"], monotonic_us(), None)  # the log has no monotonic clock
        calls.add_event(session.connection(), str(call["id"]), "noted from Asterisk's log", kind, when=logged)


def _caller_hung_up_at_once(session: Session, row: Mapping[str, Any]) -> bool:
    """Whether the caller hung up before the call was answered, and so before the application had taken it."""
    own = select(CelRow).where(CelRow.channel == row["channel"])
    if session.scalars(own.where(CelRow.event == "ANSWER").limit(1)).first() is not None:
        return False
    hung_up = session.scalars(own.where(CelRow.event == "HANGUP").limit(1)).first()
    return hung_up is not None and hung_up.extra.get("hangupsource") == hung_up.name


class Summary:
    """Logs how many calls were refused or heard an apology, at most once a minute."""

    def __init__(self) -> None:
        self._refused: Counter[str] = Counter()
        self._apologised = 0
        self._logged_at = now().timestamp() - _SECONDS

    def add(self, refused: Counter[str], apologised: int) -> None:
        """Add the counts of one chunk of the log."""
        self._refused += refused
        self._apologised += apologised

    def tell(self) -> None:
        """Log the counts, unless that was done less than a minute ago."""
        at = now().timestamp()
        if abs(at - self._logged_at) < _SECONDS or not (self._refused or self._apologised):
            return
        for why, number in self._refused.items():
            log.warning(_REFUSED[why], number)
        if self._apologised:
            log.warning(
                "%d calls arrived while the program was not available; their callers heard an apology. "
                "`taxiphone call list` lists them with the outcome apology",
                self._apologised,
            )
        self._refused.clear()
        self._apologised = 0
        self._logged_at = at

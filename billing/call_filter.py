"""Selects calls by people, by days in the platform's time zone, and by status or outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, joinedload

from taxiphone.billing import days
from taxiphone.directory.clients import the_client
from taxiphone.directory.consultants import the_consultant
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.store.models import Call


@dataclass(frozen=True, slots=True)
class CallFilter:
    """The conditions that the calls must meet; None for any.

    Attributes:
        client: a client's code or one of their numbers.
        consultant: a consultant's code.
        first, last: days in the platform's time zone, both included. A call belongs to the day on which its talk began, or
            on which it arrived if there was no talk.
        status, outcome: the stored values.
        review: only calls that are marked for review.
    """

    client: str | None = None
    consultant: str | None = None
    first: date | None = None
    last: date | None = None
    status: str | None = None
    outcome: str | None = None
    review: bool = False

    def __post_init__(self) -> None:
        """Refuse days in the wrong order."""
        if self.first and self.last and self.last < self.first:
            raise UsageError(f"the last day, {self.last}, is before the first, {self.first}.")


def query(session: Session, settings: Settings, wanted: CallFilter) -> Select[Any]:
    """Return the query for the calls, newest first, with their people and receipts.

    Raises:
        UsageError: there is no such client or consultant.
    """
    calls = (
        select(Call)
        .options(joinedload(Call.client), joinedload(Call.consultant), joinedload(Call.receipt))
        .order_by(Call.arrived_at.desc(), Call.id)
    )
    begun = func.coalesce(Call.talk_from, Call.arrived_at)
    if wanted.client is not None:
        calls = calls.where(Call.client_id == the_client(session, settings, wanted.client).id)
    if wanted.consultant is not None:
        calls = calls.where(Call.consultant_id == the_consultant(session, wanted.consultant).id)
    zone = days.zone_of(settings)
    if wanted.first is not None:
        calls = calls.where(begun >= days.begin_of(wanted.first, zone))
    if wanted.last is not None:
        calls = calls.where(begun < days.end_of(wanted.last, zone))
    if wanted.status is not None:
        calls = calls.where(Call.status == wanted.status)
    if wanted.outcome is not None:
        calls = calls.where(Call.outcome == wanted.outcome)
    if wanted.review:
        calls = calls.where(Call.review.is_not(None))
    return calls

"""Holds the most that a call may cost when the consultant accepts, and fixes its tariff and its longest talk."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sqlalchemy.orm import Session, joinedload

from taxiphone.billing import continuation
from taxiphone.billing.ledger import balances, daily_limit, free_minutes, postings
from taxiphone.billing.pricing.money import amount_in
from taxiphone.billing.pricing.parts import highest_cost, longest_part, needed_to_begin
from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.pricing.tariff_json import from_json, to_json
from taxiphone.billing.pricing.tariff_price import whole_seconds
from taxiphone.billing.tariffs_in_force import tariff_for
from taxiphone.errors import InsufficientFundsError, LedgerError, LimitReachedError
from taxiphone.settings import Settings
from taxiphone.store.calls import FINAL, Status
from taxiphone.store.models import Call

_MINUTE = 60
WITH_PEOPLE = (joinedload(Call.client), joinedload(Call.consultant))
"""Query options for a call that will be accepted: load its client and consultant too."""


class EndsBy(enum.StrEnum):
    """What ends a talk if neither side does."""

    CREDIT = "credit"
    LIMIT = "limit"  # the client's own daily limit
    LONGEST = "longest"  # the longest talk that the settings allow


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was fixed when the consultant accepted.

    Attributes:
        tariff: the call's tariff, whatever changes later.
        max_seconds: the longest talk allowed.
        ends_by: what ends the talk then.
        talked_seconds: seconds talked earlier in the consultation, rounded up, if the call continues one.
    """

    tariff: Tariff
    max_seconds: int
    ends_by: EndsBy
    talked_seconds: int = 0


def accept(session: Session, settings: Settings, call: Call) -> Accepted:
    """Copy the tariff into the call and hold the most that the call can cost, when the consultant has accepted.

    Call this in one transaction. It doesn't change the call's status. The recording fee is held too if the client asked for
    a recording. Calling it again for the same call returns the same result and holds nothing more. A call that continues
    another (`continues_id`) uses that call's tariff and mode, and what was already paid is taken into account.

    Raises:
        InsufficientFundsError: the wallet does not cover the first minute, or the package.
        LimitReachedError: the wallet does, but the client's own daily limit does not.
        LedgerError: the call is already over, has no client or consultant, or can't continue the other one.
    """
    if Status(call.status) in FINAL:
        raise LedgerError(f"call {call.id} is over already. Nothing was held.")
    if call.tariff is not None and call.max_seconds is not None:
        talked = whole_seconds(continuation.before(session, call).seconds)
        # Whether the credit or the limit ends the talk isn't stored. It ends at the same second either way.
        is_longest = call.max_seconds == settings.call.longest_minutes * _MINUTE
        ends_by = EndsBy.LONGEST if is_longest else EndsBy.CREDIT
        return Accepted(from_json(call.tariff), call.max_seconds, ends_by, talked)
    if call.client is None or call.consultant is None:
        raise LedgerError(f"call {call.id} has no client or no consultant yet. Nothing was held.")

    currency, recorded = settings.platform.currency, call.recording_asked
    # The wallet must be locked before the limit and the free minutes are read.
    wallet = balances.lock_wallet(session, call.client.id, currency)
    limit = daily_limit.left_today(session, settings, call.client, call.arrived_at)
    tariff, before = _tariff(session, settings, call), continuation.before(session, call)
    needed = needed_to_begin(tariff, recorded=recorded, earlier=before)
    if wallet < needed:
        raise InsufficientFundsError(
            f"the wallet of client {call.client.code} has {amount_in(wallet, currency)}, but "
            f"{amount_in(needed, currency)} are needed to begin. Nothing was held."
        )
    if limit is not None and limit < needed:
        raise LimitReachedError(
            f"client {call.client.code} may spend only {amount_in(limit, currency)} more today, by the client's own "
            f"limit, but {amount_in(needed, currency)} are needed to begin. Nothing was held."
        )
    longest = settings.call.longest_minutes * _MINUTE
    credit = wallet if limit is None else min(wallet, limit)
    affordable = longest_part(tariff, before, credit, recorded=recorded)
    max_seconds = longest if affordable is None else min(longest, affordable)
    held = highest_cost(tariff, max_seconds, recorded=recorded, earlier=before)
    call.tariff = to_json(tariff)
    call.max_seconds = max_seconds
    postings.hold(session, call.id, call.client.id, held, currency)
    session.flush()
    ends_by = EndsBy.CREDIT if limit is None or wallet <= limit else EndsBy.LIMIT
    if max_seconds == longest:
        ends_by = EndsBy.LONGEST
    return Accepted(tariff, max_seconds, ends_by, whole_seconds(before.seconds))


def _tariff(session: Session, settings: Settings, call: Call) -> Tariff:
    """Return the tariff to copy into the call, and claim its free minutes."""
    if call.continues_id is not None:
        return continuation.terms(session, settings, call)
    if call.client is None or call.consultant is None:
        raise LedgerError(f"call {call.id} has no client or no consultant yet. Nothing was held.")
    tariff = tariff_for(session, settings, call.consultant, call.client, call.mode)
    if tariff.free_seconds and not free_minutes.claim(session, settings, call):
        return tariff_for(
            session, settings, call.consultant, call.client, call.mode, free_minutes_allowed=False
        )
    return tariff

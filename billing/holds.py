"""Holds the most that a call may cost when the consultant accepts, and fixes its tariff and its longest talk."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.exc import NoResultFound

from taxiphone.billing import continuation
from taxiphone.billing.ledger import balances, daily_limit, free_minutes, postings
from taxiphone.billing.ledger.keys import CallKey, Purpose
from taxiphone.billing.pricing.money import amount_in
from taxiphone.billing.pricing.parts import highest_cost, longest_part, needed_to_begin, without_free
from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.pricing.tariff_json import from_json, to_json
from taxiphone.billing.pricing.tariff_price import whole_seconds
from taxiphone.billing.tariffs_in_force import Prices, tariff_for
from taxiphone.errors import AccountClosedError, InsufficientFundsError, LedgerError, LimitReachedError
from taxiphone.settings import Settings
from taxiphone.store.calls import FINAL, Status
from taxiphone.store.prepared import Prepared
from taxiphone.store.tables import CALL, CLIENT, CONSULTANT

_MINUTE = 60


class _Ringing(NamedTuple):
    """A call that is about to be accepted; followed by its consultant's `Prices`."""

    status: str
    client_id: int | None
    consultant_id: int | None
    mode: str
    tariff: dict[str, Any] | None
    max_seconds: int | None
    recording_asked: bool
    continues_id: str | None
    arrived_at: datetime


_RINGING = Prepared(
    select(
        *(CALL.c[name] for name in _Ringing._fields),
        *(CONSULTANT.c[name] for name in Prices._fields),
    )
    .select_from(CALL)
    .outerjoin(CONSULTANT, CONSULTANT.c.id == CALL.c.consultant_id)
    .where(CALL.c.id == bindparam("call"))
    # The meter may be finishing this very call.
    .with_for_update(of=CALL, key_share=True),
    lambda row: (
        _Ringing._make(row[: len(_Ringing._fields)]),
        Prices._make(row[len(_Ringing._fields) :]),
    ),
)
_ACCEPTED: Prepared[Any] = Prepared(
    update(CALL)
    .where(CALL.c.id == bindparam("call"))
    .values({name: bindparam(f"new_{name}") for name in ("tariff", "max_seconds", "mode")}),
    tuple,
)
# Locked against `accounts.close`, which looks for calls: one of the two sees the other. Calls don't wait for each other.
_CLIENT = Prepared(
    select(CLIENT.c.code, CLIENT.c.closed_at, CLIENT.c.daily_limit)
    .where(CLIENT.c.id == bindparam("client"))
    .with_for_update(read=True),
    tuple,
)
_EXTENDED: Prepared[Any] = Prepared(
    update(CALL).where(CALL.c.id == bindparam("call")).values(max_seconds=bindparam("new_max_seconds")), tuple
)
_TALKING = frozenset({Status.ACCEPTED, Status.TALKING})


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


def accept(connection: Connection, settings: Settings, call_id: str) -> Accepted:
    """Copy the tariff into the call and hold the most that the call can cost, when the consultant has accepted.

    Call this in one transaction. It doesn't change the call's status. The recording fee is held too if the client asked for
    a recording. Calling it again for the same call returns the same result and holds nothing more. A call that continues
    another (`continues_id`) uses that call's tariff and mode, and what was already paid is taken into account.

    Raises:
        InsufficientFundsError: the wallet does not cover the first minute, or the package.
        LimitReachedError: the wallet does, but the client's own daily limit does not.
        AccountClosedError: the client's account was closed while the phone rang.
        LedgerError: the call is already over, has no client or consultant, or can't continue the other one.
        sqlalchemy.exc.NoResultFound: there is no such call.
    """
    found = _RINGING.first(connection, {"call": call_id})
    if found is None:
        raise NoResultFound(f"there is no call {call_id}")
    call, prices = found
    if Status(call.status) in FINAL:
        raise LedgerError(f"call {call_id} is over already. Nothing was held.")
    if call.tariff is not None and call.max_seconds is not None:
        talked = whole_seconds(continuation.before(connection, call.continues_id).seconds)
        # Whether the credit or the limit ends the talk isn't stored. It ends at the same second either way.
        is_longest = call.max_seconds == settings.call.longest_minutes * _MINUTE
        ends_by = EndsBy.LONGEST if is_longest else EndsBy.CREDIT
        return Accepted(from_json(call.tariff), call.max_seconds, ends_by, talked)
    if call.client_id is None or call.consultant_id is None:
        raise LedgerError(f"call {call_id} has no client or no consultant yet. Nothing was held.")
    code, closed_at, own_limit = _CLIENT.all(connection, {"client": call.client_id})[0]
    if closed_at is not None:
        raise AccountClosedError(f"the account of client {code} is closed. Nothing was held.")

    currency, recorded = settings.platform.currency, call.recording_asked
    # The wallet must be locked before what is left of the limit, and the free minutes, are read.
    wallet = balances.lock_wallet(connection, call.client_id, currency)
    limit = None
    if own_limit is not None:
        limit = daily_limit.left_of(connection, settings, own_limit, call.client_id, call.arrived_at)
    tariff, mode = _terms(connection, settings, call_id, call, prices)
    before = continuation.before(connection, call.continues_id)
    needed = needed_to_begin(tariff, recorded=recorded, earlier=before)
    if wallet < needed:
        raise InsufficientFundsError(
            f"the wallet of client {code} has {amount_in(wallet, currency)}, but "
            f"{amount_in(needed, currency)} are needed to begin. Nothing was held."
        )
    if limit is not None and limit < needed:
        raise LimitReachedError(
            f"client {code} may spend only {amount_in(limit, currency)} more today, by the client's own "
            f"limit, but {amount_in(needed, currency)} are needed to begin. Nothing was held."
        )
    longest = settings.call.longest_minutes * _MINUTE
    credit = wallet if limit is None else min(wallet, limit)
    affordable = longest_part(tariff, before, credit, recorded=recorded)
    max_seconds = longest if affordable is None else min(longest, affordable)
    held = highest_cost(tariff, max_seconds, recorded=recorded, earlier=before)
    _ACCEPTED.run(
        connection,
        {"call": call_id, "new_tariff": to_json(tariff), "new_max_seconds": max_seconds, "new_mode": mode},
    )
    postings.hold(connection, CallKey(call_id, Purpose.HOLD), call.client_id, held, currency)
    return Accepted(
        tariff, max_seconds, _ends_by(max_seconds, longest, wallet, limit), whole_seconds(before.seconds)
    )


def extend(connection: Connection, settings: Settings, call_id: str) -> Accepted | None:
    """Hold more for a talk in progress, if the client can pay for more since it was accepted or last extended.

    That is so after a top-up, after a refund, or if the client has raised the daily limit. Call this in one transaction.

    Returns:
        what holds for the talk now, whether or not it can last longer than before; None if it is over.
    """
    found = _RINGING.first(connection, {"call": call_id})
    if found is None:
        return None
    call, _ = found
    if Status(call.status) not in _TALKING or call.tariff is None or call.max_seconds is None:
        return None
    tariff, client_id = from_json(call.tariff), call.client_id or 0
    wallet = balances.lock_wallet(connection, client_id, tariff.currency)
    limit = daily_limit.left_today(connection, settings, client_id, call.arrived_at)
    before = continuation.before(connection, call.continues_id)
    held, _ = balances.held(connection, call_id)
    longest = settings.call.longest_minutes * _MINUTE
    credit = held + (wallet if limit is None else min(wallet, limit))
    affordable = longest_part(tariff, before, credit, recorded=call.recording_asked)
    max_seconds = max(call.max_seconds, longest if affordable is None else min(longest, affordable))
    if max_seconds > call.max_seconds:
        cost = highest_cost(tariff, max_seconds, recorded=call.recording_asked, earlier=before)
        _EXTENDED.run(connection, {"call": call_id, "new_max_seconds": max_seconds})
        key = CallKey(call_id, Purpose.EXTENSION, name=str(max_seconds))
        postings.hold(connection, key, client_id, max(0, cost - held), tariff.currency)
    return Accepted(
        tariff, max_seconds, _ends_by(max_seconds, longest, wallet, limit), whole_seconds(before.seconds)
    )


def _ends_by(max_seconds: int, longest: int, wallet: int, limit: int | None) -> EndsBy:
    """Return what ends a talk of `max_seconds`, given what the wallet and the daily limit had."""
    if max_seconds == longest:
        return EndsBy.LONGEST
    return EndsBy.CREDIT if limit is None or wallet <= limit else EndsBy.LIMIT


def _terms(
    connection: Connection, settings: Settings, call_id: str, call: _Ringing, prices: Prices
) -> tuple[Tariff, str]:
    """Return the tariff to copy into the call, whose free minutes are claimed now, and the call's mode."""
    client_id, consultant_id = call.client_id or 0, call.consultant_id or 0
    if call.continues_id is not None:
        return continuation.terms(
            connection,
            settings,
            call_id,
            call.continues_id,
            client_id=client_id,
            consultant_id=consultant_id,
        )
    tariff = tariff_for(connection, settings, prices, client_id, call.mode)
    if tariff.free_seconds and not free_minutes.claim(
        connection, settings, call_id, consultant_id=consultant_id, client_id=client_id
    ):
        tariff = without_free(tariff)
    return tariff, call.mode

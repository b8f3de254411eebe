"""What is said of the price before a call, and what is set aside for it when the consultant accepts."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.orm import Session, joinedload

from taxiphone.billing import continuation
from taxiphone.billing.ledger import daily_limit, free_minutes, postings
from taxiphone.billing.pricing.money import amount_in
from taxiphone.billing.pricing.parts import NOTHING, Sum, fee_of, longest_part, price_part
from taxiphone.billing.pricing.tariff import Tariff, longest_talk, whole_seconds
from taxiphone.billing.pricing.tariff_json import from_json, to_json
from taxiphone.billing.tariffs_in_force import PACKAGE, PER_MINUTE, tariff_for
from taxiphone.errors import InsufficientFundsError, LedgerError, LimitReachedError
from taxiphone.settings import Settings
from taxiphone.store.calls import FINAL, Status
from taxiphone.store.models import Call, Client, Consultant

_MINUTE = 60
CREDIT, LIMIT, LONGEST = "credit", "limit", "longest"
WITH_PEOPLE = (joinedload(Call.client), joinedload(Call.consultant))
"""Options of the query for a call that will be accepted: client and consultant come with it."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was fixed when the consultant accepted.

    Attributes:
        tariff: in force for this call, whatever changes later.
        held_minor: set aside in the call's hold, in minor units.
        max_seconds: the talk is cut here: the end of the credit, or the longest call that the settings allow.
        ends_by: what ends the talk then: CREDIT, LIMIT (the client's own, of the day) or LONGEST (of the settings).
        talked_seconds: of the consultation before this call, rounded up, where it goes on with one whose line was cut.
    """

    tariff: Tariff
    held_minor: int
    max_seconds: int
    talked_seconds: int = 0
    ends_by: str = CREDIT


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client is told before anything is charged; prices include the tax.

    Attributes:
        currency: ISO 4217.
        price_per_minute: in whole units of the currency.
        free_minutes: those that this client still has; 0 once they are used.
        package_price: None where the consultant offers none.
        package_minutes: the duration that it pays for.
        recording_fee: None where the consultant does not allow a recording.
        wallet_minor: the client's credit, in minor units.
        lasts_seconds: the longest talk by the minute that credit and limit allow; None: without end.
        affordable: the modes whose first minute, or whose package, credit and limit allow.
        limit_left_minor: what the client's own limit leaves for today, in minor units; None: there is none.
    """

    currency: str
    price_per_minute: Decimal
    free_minutes: int
    package_price: Decimal | None
    package_minutes: int | None
    recording_fee: Decimal | None
    wallet_minor: int
    lasts_seconds: int | None
    affordable: frozenset[str]
    limit_left_minor: int | None = None


@dataclass(frozen=True, slots=True)
class GoOn:
    """What a client is told who may go on with a consultation whose line was cut.

    Attributes:
        mode: of the consultation.
        seconds: talked so far, rounded up.
        wallet_minor: the client's credit, in minor units.
        limit_left_minor: what the client's own limit leaves for today, in minor units; None: there is none.
        lasts_seconds: the longest talk more that credit and limit allow; None: without end.
        affordable: credit and limit allow the next minute.
    """

    mode: str
    seconds: int
    wallet_minor: int
    limit_left_minor: int | None
    lasts_seconds: int | None
    affordable: bool


def offer(session: Session, settings: Settings, client: Client, consultant: Consultant) -> Offer:
    """What to tell this client of this consultant's prices."""
    wallet, limit = _means(session, settings, client)
    credit = _least(wallet, limit)
    by_minute = tariff_for(session, settings, consultant, client, PER_MINUTE)
    modes = [PER_MINUTE] if consultant.package_price is None else [PER_MINUTE, PACKAGE]
    return Offer(
        currency=settings.platform.currency,
        price_per_minute=consultant.price_per_minute,
        free_minutes=by_minute.free_seconds // _MINUTE,
        package_price=consultant.package_price,
        package_minutes=consultant.package_minutes,
        recording_fee=settings.billing.recording_fee if consultant.recording_allowed else None,
        wallet_minor=wallet,
        limit_left_minor=limit,
        lasts_seconds=longest_talk(by_minute, credit),
        affordable=frozenset(
            mode
            for mode in modes
            if first_minute(tariff_for(session, settings, consultant, client, mode)) <= credit
        ),
    )


def go_on(session: Session, settings: Settings, client: Client, cut: Call) -> GoOn:
    """What to tell this client of going on with `cut` (`continuation.interrupted`)."""
    wallet, limit = _means(session, settings, client)
    credit = _least(wallet, limit)
    tariff, before = continuation.preview(session, settings, cut), continuation.so_far(session, cut)
    return GoOn(
        mode=cut.mode,
        seconds=whole_seconds(before.seconds),
        wallet_minor=wallet,
        limit_left_minor=limit,
        lasts_seconds=longest_part(tariff, before, credit),
        affordable=first_minute(tariff, before=before) <= credit,
    )


def can_afford_first_minute(
    session: Session, settings: Settings, client: Client, consultant: Consultant, mode: str
) -> bool:
    """Whether credit and limit allow the first minute, or the package. Asked early; `accept` asks again."""
    tariff = tariff_for(session, settings, consultant, client, mode)
    return first_minute(tariff) <= _least(*_means(session, settings, client))


def can_afford_recording(
    session: Session, settings: Settings, client: Client, consultant: Consultant, mode: str
) -> bool:
    """Whether credit and limit allow the fee of a recording beside the first minute, or beside the package."""
    tariff = tariff_for(session, settings, consultant, client, mode)
    return first_minute(tariff, recorded=True) <= _least(*_means(session, settings, client))


def first_minute(tariff: Tariff, *, recorded: bool = False, before: Sum = NOTHING) -> int:
    """What must be there before a call begins, in minor units: its first minute, or the package."""
    return _most(tariff, _MINUTE, recorded=recorded, before=before)


def _most(tariff: Tariff, seconds: int, *, recorded: bool, before: Sum) -> int:
    """What a part of a consultation of up to so many seconds can cost."""
    # Never below the short-call threshold: a talk is not begun in the hope that it fails.
    cost = price_part(tariff, before, max(seconds, tariff.short_call_seconds))
    return cost.total + (fee_of(tariff) if recorded else 0)


def _means(session: Session, settings: Settings, client: Client) -> tuple[int, int | None]:
    """The client's credit, and what the client's own limit leaves for today."""
    left = daily_limit.left_today(session, settings, client)
    return postings.balance(session, postings.WALLET, client.id), left


def _least(wallet: int, limit: int | None) -> int:
    return wallet if limit is None else min(wallet, limit)


def accept(session: Session, settings: Settings, call: Call) -> Accepted:
    """Fix the call's tariff and hold what the call can cost. In one transaction, when the consultant has accepted.

    The recording's fee is held too where the client asked for one. The call's status is the caller's to move. Called
    again for the same call, it answers the same and holds nothing more. A call that goes on with another
    (`continues_id`) has that one's tariff and mode, and what was paid there counts.

    Raises:
        InsufficientFundsError: the wallet does not pay for the first minute, or for the package.
        LimitReachedError: the wallet does, the client's own limit of the day does not.
        LedgerError: the call is over already, has no client or consultant, or can't go on with the other one.
    """
    if Status(call.status) in FINAL:
        raise LedgerError(f"call {call.id} is over already. Nothing was held.")
    if call.tariff is not None and call.max_seconds is not None:
        held = postings.balance(session, postings.HOLD, call.id)
        talked = whole_seconds(continuation.before(session, call).seconds)
        # Which of credit and limit it was, is not kept; the talk ends at the same second.
        ends_by = LONGEST if call.max_seconds == settings.call.longest_minutes * _MINUTE else CREDIT
        return Accepted(from_json(call.tariff), held, call.max_seconds, talked, ends_by)
    if call.client is None or call.consultant is None:
        raise LedgerError(f"call {call.id} has no client or no consultant yet. Nothing was held.")

    currency, recorded = settings.platform.currency, call.recording_asked
    wallet = postings.lock_wallet(
        session, call.client.id, currency
    )  # before it is asked what this client has used
    limit = daily_limit.left_today(session, settings, call.client, call.arrived_at)
    tariff, before = _tariff(session, settings, call), continuation.before(session, call)
    needed = first_minute(tariff, recorded=recorded, before=before)
    if wallet < needed:
        raise InsufficientFundsError(
            f"the wallet of client {call.client.code} holds {amount_in(wallet, currency)}, and "
            f"{amount_in(needed, currency)} are needed to begin. Nothing was held."
        )
    if limit is not None and limit < needed:
        raise LimitReachedError(
            f"client {call.client.code} may spend {amount_in(limit, currency)} more today, by the client's own "
            f"limit, and {amount_in(needed, currency)} are needed to begin. Nothing was held."
        )
    longest = settings.call.longest_minutes * _MINUTE
    affordable = longest_part(tariff, before, _least(wallet, limit), recorded=recorded)
    max_seconds = longest if affordable is None else min(longest, affordable)
    held = _most(tariff, max_seconds, recorded=recorded, before=before)
    call.tariff = to_json(tariff)
    call.max_seconds = max_seconds
    postings.hold(session, call.id, call.client.id, held, currency)
    session.flush()
    ends_by = CREDIT if limit is None or wallet <= limit else LIMIT
    if max_seconds == longest:
        ends_by = LONGEST
    return Accepted(tariff, held, max_seconds, whole_seconds(before.seconds), ends_by)


def _tariff(session: Session, settings: Settings, call: Call) -> Tariff:
    """The tariff to freeze, its free minutes claimed."""
    if call.continues_id is not None:
        return continuation.terms(session, settings, call)
    if call.client is None or call.consultant is None:
        raise LedgerError(f"call {call.id} has no client or no consultant yet. Nothing was held.")
    tariff = tariff_for(session, settings, call.consultant, call.client, call.mode)
    if tariff.free_seconds and not free_minutes.claim(session, settings, call):
        return tariff_for(session, settings, call.consultant, call.client, call.mode, new_to_it=False)
    return tariff


def recording_fee(settings: Settings) -> Decimal:
    """The fee of a recording for a call that begins now, in whole units of the currency."""
    return settings.billing.recording_fee

"""What is said of the price before a call, and what is set aside for it when the consultant accepts."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.orm import Session, joinedload

from taxiphone.billing import free_minutes, ledger
from taxiphone.billing.money import format_money
from taxiphone.billing.tariff import Tariff, longest_talk, most
from taxiphone.billing.tariff_json import from_json, to_json
from taxiphone.billing.tariffs_in_force import PACKAGE, PER_MINUTE, tariff_for
from taxiphone.errors import InsufficientFundsError, LedgerError
from taxiphone.settings import Settings
from taxiphone.store.calls import FINAL, Status
from taxiphone.store.models import Call, Client, Consultant

_MINUTE = 60
WITH_PEOPLE = (joinedload(Call.client), joinedload(Call.consultant))
"""Options of the query for a call that will be accepted: client and consultant come with it."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was fixed when the consultant accepted.

    Attributes:
        tariff: in force for this call, whatever changes later.
        held_minor: set aside in the call's hold, in minor units.
        max_seconds: the talk is cut here: the end of the credit, or the longest call that the settings allow.
        talked_seconds: of the consultation before this call, where it goes on with one whose line was cut.
    """

    tariff: Tariff
    held_minor: int
    max_seconds: int
    talked_seconds: int = 0


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
        lasts_seconds: the longest talk by the minute that the credit pays for; None: without end.
        affordable: the modes whose first minute, or whose package, the credit pays for.
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


def offer(session: Session, settings: Settings, client: Client, consultant: Consultant) -> Offer:
    """What to tell this client of this consultant's prices."""
    wallet = ledger.balance(session, ledger.WALLET, client.id)
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
        lasts_seconds=longest_talk(by_minute, wallet),
        affordable=frozenset(
            mode
            for mode in modes
            if first_minute(tariff_for(session, settings, consultant, client, mode)) <= wallet
        ),
    )


def can_afford_first_minute(
    session: Session, settings: Settings, client: Client, consultant: Consultant, mode: str
) -> bool:
    """Whether the wallet pays for the first minute, or for the package. Asked early; `accept` asks again."""
    tariff = tariff_for(session, settings, consultant, client, mode)
    return first_minute(tariff) <= ledger.balance(session, ledger.WALLET, client.id)


def can_afford_recording(
    session: Session, settings: Settings, client: Client, consultant: Consultant, mode: str
) -> bool:
    """Whether the wallet pays for the fee of a recording beside the first minute, or beside the package."""
    tariff = tariff_for(session, settings, consultant, client, mode)
    return first_minute(tariff, recorded=True) <= ledger.balance(session, ledger.WALLET, client.id)


def first_minute(tariff: Tariff, *, recorded: bool = False) -> int:
    """What must be there before a call begins, in minor units: the first minute, or the package."""
    # Never below the short-call threshold: a talk is not begun in the hope that it fails.
    return most(tariff, max(_MINUTE, tariff.short_call_seconds), recorded=recorded)


def accept(session: Session, settings: Settings, call: Call) -> Accepted:
    """Fix the call's tariff and hold what the call can cost. In one transaction, when the consultant has accepted.

    The recording's fee is held too where the client asked for one. The call's status is the caller's to move. Called
    again for the same call, it answers the same and holds nothing more.

    Raises:
        InsufficientFundsError: the wallet does not pay for the first minute, or for the package.
        LedgerError: the call is over already, or has no client or consultant.
    """
    if Status(call.status) in FINAL:
        raise LedgerError(f"call {call.id} is over already. Nothing was held.")
    if call.tariff is not None and call.max_seconds is not None:
        held = ledger.balance(session, ledger.HOLD, call.id)
        return Accepted(from_json(call.tariff), held, call.max_seconds)
    if call.client is None or call.consultant is None:
        raise LedgerError(f"call {call.id} has no client or no consultant yet. Nothing was held.")

    currency, recorded = settings.platform.currency, call.recording_asked
    wallet = ledger.lock_wallet(
        session, call.client.id, currency
    )  # before it is asked what this client has used
    tariff = tariff_for(session, settings, call.consultant, call.client, call.mode)
    if tariff.free_seconds and not free_minutes.claim(session, settings, call):
        tariff = tariff_for(session, settings, call.consultant, call.client, call.mode, new_to_it=False)
    needed = first_minute(tariff, recorded=recorded)
    if wallet < needed:
        raise InsufficientFundsError(
            f"the wallet of client {call.client.code} holds {format_money(wallet, currency, 'en')}, and "
            f"{format_money(needed, currency, 'en')} are needed to begin. Nothing was held."
        )
    longest = settings.call.longest_minutes * _MINUTE
    affordable = longest_talk(tariff, wallet, recorded=recorded)
    max_seconds = longest if affordable is None else min(longest, affordable)
    # A talk below the short-call threshold costs nothing; what is held must not depend on that.
    held = most(tariff, max(max_seconds, tariff.short_call_seconds), recorded=recorded)
    call.tariff = to_json(tariff)
    call.max_seconds = max_seconds
    ledger.hold(session, call.id, call.client.id, held, currency)
    session.flush()
    return Accepted(tariff, held, max_seconds)


def recording_fee(settings: Settings) -> Decimal:
    """The fee of a recording for a call that begins now, in whole units of the currency."""
    return settings.billing.recording_fee

"""The tariff of a call that begins now: from the consultant's prices, the platform's rules and the client's past."""

from __future__ import annotations

from sqlalchemy.orm import Session

from taxiphone.billing.ledger import free_minutes
from taxiphone.billing.pricing import tariff as tariffs
from taxiphone.billing.pricing.tariff import Tariff, Terms
from taxiphone.errors import LedgerError, NoPackageError
from taxiphone.settings import Settings
from taxiphone.store.models import Client, Consultant

PER_MINUTE, PACKAGE = "per_minute", "package"
MODES = (PER_MINUTE, PACKAGE)


def terms(settings: Settings, consultant: Consultant) -> Terms:
    """What holds for every tariff of this consultant."""
    billing = settings.billing
    return Terms(
        currency=settings.platform.currency,
        digits=settings.currency_digits,
        commission=billing.commission if consultant.commission is None else consultant.commission,
        commission_on_recording=billing.commission_on_recording,
        recording_fee=billing.recording_fee,
        vat=billing.vat,
        first=billing.first_seconds,
        step=billing.step_seconds,
    )


def tariff_for(
    session: Session,
    settings: Settings,
    consultant: Consultant,
    client: Client,
    mode: str,
    *,
    new_to_it: bool = True,
) -> Tariff:
    """The tariff that is in force for a call of this client with this consultant.

    Args:
        session: where it is looked up whether the free minutes are used.
        settings: the platform's rules.
        consultant: whose prices.
        client: who calls.
        mode: PER_MINUTE or PACKAGE.
        new_to_it: False: without free minutes, whether they are used or not.

    Raises:
        NoPackageError: the mode is a package and the consultant offers none.
    """
    if mode == PACKAGE:
        if consultant.package_price is None or consultant.package_minutes is None:
            raise NoPackageError(
                f"consultant {consultant.code} offers no package. The call can't be priced as one."
            )
        return tariffs.package(
            terms(settings, consultant),
            consultant.package_price,
            consultant.package_minutes,
            then_per_minute=consultant.price_per_minute,
            short_call_seconds=settings.billing.short_call_seconds,
        )
    if mode != PER_MINUTE:
        raise LedgerError(f"{mode} is no mode of a consultation; there are {' and '.join(MODES)}.")
    free = consultant.free_minutes if new_to_it else 0
    if free and free_minutes.used(session, settings, consultant, client):
        free = 0
    return tariffs.per_minute(terms(settings, consultant), consultant.price_per_minute, free_minutes=free)

"""The tariff of a new call, from the consultant's prices, the platform's settings and the client's earlier calls."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection

from taxiphone.billing.ledger import free_minutes
from taxiphone.billing.pricing import tariff as tariffs
from taxiphone.billing.pricing.tariff import Tariff, Terms
from taxiphone.errors import LedgerError, NoPackageError
from taxiphone.settings import Settings
from taxiphone.store.models import Consultant

PER_MINUTE, PACKAGE = "per_minute", "package"
MODES = (PER_MINUTE, PACKAGE)


class Prices(NamedTuple):
    """The columns of a consultant (`store.models.Consultant`) that a tariff is made of."""

    id: int
    code: str
    price_per_minute: Decimal
    free_minutes: int
    package_price: Decimal | None
    package_minutes: int | None
    commission: Decimal | None


def terms(settings: Settings, consultant: Consultant | Prices) -> Terms:
    """Return the terms shared by all tariffs of this consultant."""
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
    connection: Connection,
    settings: Settings,
    consultant: Consultant | Prices,
    client_id: int,
    mode: str,
) -> Tariff:
    """Return the tariff in force for a call of this client with this consultant.

    Args:
        connection: a connection, for whether the free minutes are used up.
        settings: the settings.
        consultant: the consultant, whose prices apply.
        client_id: the client's id.
        mode: PER_MINUTE or PACKAGE.

    Raises:
        NoPackageError: the mode is PACKAGE, and the consultant offers none.
        LedgerError: there is no such mode.
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
        raise LedgerError(f"{mode} is not a mode of a consultation; the modes are {' and '.join(MODES)}.")
    free = consultant.free_minutes
    if free and free_minutes.used(connection, settings, consultant.id, client_id):
        free = 0
    return tariffs.per_minute(terms(settings, consultant), consultant.price_per_minute, free_minutes=free)

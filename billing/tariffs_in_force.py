"""The tariff of a call that begins now: from the consultant's prices, the platform's rules and the client's past."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from taxiphone.billing import tariff as tariffs
from taxiphone.billing.tariff import Tariff, Terms
from taxiphone.billing.tariff_json import from_json
from taxiphone.errors import LedgerError
from taxiphone.settings import Settings
from taxiphone.store.calls import Status
from taxiphone.store.models import Call, Client, Consultant

PER_MINUTE, PACKAGE = "per_minute", "package"
MODES = (PER_MINUTE, PACKAGE)
_IN_PROGRESS = (Status.ACCEPTED, Status.TALKING, Status.ENDED)


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
    session: Session, settings: Settings, consultant: Consultant, client: Client, mode: str
) -> Tariff:
    """The tariff that is in force for a call of this client with this consultant.

    Raises:
        LedgerError: the mode is a package and the consultant offers none.
    """
    if mode == PACKAGE:
        if consultant.package_price is None or consultant.package_minutes is None:
            raise LedgerError(
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
    free = consultant.free_minutes
    if free and has_used_free_minutes(session, settings, consultant, client):
        free = 0
    return tariffs.per_minute(terms(settings, consultant), consultant.price_per_minute, free_minutes=free)


def has_used_free_minutes(
    session: Session, settings: Settings, consultant: Consultant, client: Client
) -> bool:
    """Whether this client had free minutes in an earlier talk, or has them in one that goes on now.

    With the consultant or with anyone, as the setting has it. A talk that came to nothing used none.
    """
    talked = and_(Call.status == Status.RATED, Call.billed_seconds > 0)
    where: list[ColumnElement[bool]] = [
        Call.client_id == client.id,
        Call.mode == PER_MINUTE,
        or_(talked, Call.status.in_(_IN_PROGRESS)),
        Call.tariff.is_not(None),
    ]
    if settings.billing.free_minutes_scope == "consultant":
        where.append(Call.consultant_id == consultant.id)
    # The oldest first: it is the likeliest to have had them, and one is enough.
    earlier = session.execute(select(Call.tariff).where(*where).order_by(Call.arrived_at)).yield_per(50)
    with earlier:
        return any(frozen and from_json(frozen).free_seconds for (frozen,) in earlier)

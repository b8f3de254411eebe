"""The price that is announced to a client before anything is charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from sqlalchemy.orm import Session

from taxiphone.billing import continuation
from taxiphone.billing.ledger import daily_limit, postings
from taxiphone.billing.pricing.parts import NOTHING, Subtotal, fee_of, longest_part, needed_to_begin
from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.tariffs_in_force import PACKAGE, PER_MINUTE, tariff_for
from taxiphone.settings import Settings
from taxiphone.store.models import Call, Client, Consultant

_MINUTE = 60


@dataclass(frozen=True, slots=True)
class AnnouncedQuote:
    """What a client is told of the price, and all that later steps need to know of it; prices include the tax.

    It is computed once, when the consultant is known, and passed on. Nothing is held for it: `holds.accept` looks at
    credit, limit and prices again when the consultant accepts.

    Attributes:
        currency: ISO 4217.
        tariffs: by mode, in the order in which they are offered. A continued consultation has only its own.
        wallet: the client's credit, in minor units.
        limit_left: what the client's own limit leaves for today, in minor units; None: there is none.
        recording_allowed: the consultant allows a recording.
        earlier: what the consultation came to before its line dropped.
    """

    currency: str
    tariffs: Mapping[str, Tariff]
    wallet: int
    limit_left: int | None
    recording_allowed: bool
    earlier: Subtotal = NOTHING

    @property
    def credit(self) -> int:
        """What the client can spend now: the wallet, or what the limit leaves of it; in minor units."""
        return self.wallet if self.limit_left is None else min(self.wallet, self.limit_left)

    @property
    def limited(self) -> bool:
        """Whether the client's own limit, and not the wallet, is what the credit ends at."""
        return self.limit_left is not None and self.limit_left < self.wallet

    @property
    def affordable(self) -> frozenset[str]:
        """The modes whose first minute, or whose package, the credit pays for."""
        return frozenset(mode for mode in self.tariffs if self._pays_for(mode, recorded=False))

    @property
    def price_per_minute(self) -> Decimal:
        """The price per minute after free minutes or the package, in whole units of the currency."""
        return next(iter(self.tariffs.values())).segments[-1].price_per_minute

    @property
    def free_minutes(self) -> int:
        """The free minutes that this client still has."""
        by_minute = self.tariffs.get(PER_MINUTE)
        return 0 if by_minute is None else by_minute.free_seconds // _MINUTE

    @property
    def package_price(self) -> Decimal | None:
        """In whole units of the currency; None where there is no package to choose."""
        package = self.tariffs.get(PACKAGE)
        return None if package is None else package.fee

    @property
    def package_minutes(self) -> int | None:
        """The duration that the package pays for."""
        package = self.tariffs.get(PACKAGE)
        return None if package is None else package.segments[-1].start // _MINUTE

    @property
    def recording_fee(self) -> int | None:
        """In minor units; None where the consultant does not allow a recording."""
        return fee_of(next(iter(self.tariffs.values()))) if self.recording_allowed else None

    @property
    def lasts_seconds(self) -> int | None:
        """The longest talk that the credit pays for, by the minute where there is a choice; None: without end."""
        return longest_part(next(iter(self.tariffs.values())), self.earlier, self.credit)

    def pays_for_recording(self, mode: str) -> bool:
        """Whether the credit pays for a recording beside the first minute, or beside the package."""
        return self._pays_for(mode, recorded=True)

    def is_exceeded_by(self, tariff: Tariff, mode: str) -> bool:
        """Whether a talk under `tariff` costs more, at any length, than was announced for this mode."""
        announced = self.tariffs.get(mode)
        if announced is None:
            return True
        ours, theirs = tariff.segments[-1], announced.segments[-1]
        if ours.price_per_minute > theirs.price_per_minute:
            return True
        if mode == PACKAGE:
            return tariff.fee > announced.fee or ours.start < theirs.start
        return tariff.free_seconds < announced.free_seconds

    def _pays_for(self, mode: str, *, recorded: bool) -> bool:
        return needed_to_begin(self.tariffs[mode], recorded=recorded, earlier=self.earlier) <= self.credit


def quote_consultation(
    session: Session, settings: Settings, client: Client, consultant: Consultant
) -> AnnouncedQuote:
    """The quote for a new consultation of this client with this consultant."""
    modes = [PER_MINUTE] if consultant.package_price is None else [PER_MINUTE, PACKAGE]
    tariffs = {mode: tariff_for(session, settings, consultant, client, mode) for mode in modes}
    return _quote(session, settings, client, tariffs, recording_allowed=consultant.recording_allowed)


def quote_continuation(session: Session, settings: Settings, client: Client, dropped: Call) -> AnnouncedQuote:
    """The quote for continuing the consultation of `dropped` (`continuation.interrupted`)."""
    return _quote(
        session,
        settings,
        client,
        {dropped.mode: continuation.preview(session, settings, dropped)},
        recording_allowed=dropped.consultant is not None and dropped.consultant.recording_allowed,
        earlier=continuation.so_far(session, dropped),
    )


def _quote(
    session: Session,
    settings: Settings,
    client: Client,
    tariffs: dict[str, Tariff],
    *,
    recording_allowed: bool,
    earlier: Subtotal = NOTHING,
) -> AnnouncedQuote:
    return AnnouncedQuote(
        currency=settings.platform.currency,
        tariffs=MappingProxyType(tariffs),
        wallet=postings.balance(session, postings.WALLET, client.id),
        limit_left=daily_limit.left_today(session, settings, client),
        recording_allowed=recording_allowed,
        earlier=earlier,
    )

"""The price that is announced to a client before anything is charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from sqlalchemy import Connection

from taxiphone.billing import continuation
from taxiphone.billing.ledger import balances, daily_limit
from taxiphone.billing.pricing.parts import NOTHING, Subtotal, fee_of, longest_part, needed_to_begin
from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.tariffs_in_force import PACKAGE, PER_MINUTE, tariff_for
from taxiphone.settings import Settings
from taxiphone.store.models import Call, Client, Consultant

_MINUTE = 60


@dataclass(frozen=True, slots=True)
class AnnouncedQuote:
    """The prices announced to a client, and what later steps need to know about them. Prices include the tax.

    A quote is computed once, when the consultant is known, and passed on. Nothing is held: `holds.accept` checks credit,
    limit and prices again when the consultant accepts.

    Attributes:
        currency: ISO 4217.
        tariffs: the tariffs by mode, in the order in which they are offered; for a continued consultation, only its own.
        wallet: the client's credit, in minor units.
        limit_left: what the client may still spend today by their own limit, in minor units; None without a limit.
        recording_allowed: whether the consultant allows a recording.
        earlier: the sums of the consultation before its line dropped.
    """

    currency: str
    tariffs: Mapping[str, Tariff]
    wallet: int
    limit_left: int | None
    recording_allowed: bool
    earlier: Subtotal = NOTHING

    @property
    def credit(self) -> int:
        """What the client can spend now: the wallet, or less if the limit is lower; in minor units."""
        return self.wallet if self.limit_left is None else min(self.wallet, self.limit_left)

    @property
    def limited(self) -> bool:
        """Whether the client's own limit is lower than the wallet."""
        return self.limit_left is not None and self.limit_left < self.wallet

    @property
    def affordable(self) -> frozenset[str]:
        """The modes that the credit pays for: at least the first minute, or the package."""
        return frozenset(mode for mode in self.tariffs if self._pays_for(mode, recorded=False))

    @property
    def price_per_minute(self) -> Decimal:
        """The price per minute after any free minutes or the package, in whole units of the currency."""
        return next(iter(self.tariffs.values())).segments[-1].price_per_minute

    @property
    def free_minutes(self) -> int:
        """The free minutes that this client still has."""
        by_minute = self.tariffs.get(PER_MINUTE)
        return 0 if by_minute is None else by_minute.free_seconds // _MINUTE

    @property
    def package_price(self) -> Decimal | None:
        """The price of the package in whole units of the currency; None if no package is offered."""
        package = self.tariffs.get(PACKAGE)
        return None if package is None else package.fee

    @property
    def package_minutes(self) -> int | None:
        """The minutes included in the package; None if no package is offered."""
        package = self.tariffs.get(PACKAGE)
        return None if package is None else package.segments[-1].start // _MINUTE

    @property
    def recording_fee(self) -> int | None:
        """The recording fee in minor units; None if the consultant does not allow a recording."""
        return fee_of(next(iter(self.tariffs.values()))) if self.recording_allowed else None

    @property
    def lasts_seconds(self) -> int | None:
        """The longest talk that the credit pays for, per minute if there is a choice; None if it never runs out."""
        return longest_part(next(iter(self.tariffs.values())), self.earlier, self.credit)

    def pays_for_recording(self, mode: str) -> bool:
        """Whether the credit pays for a recording in addition to the first minute, or to the package."""
        return self._pays_for(mode, recorded=True)

    def is_exceeded_by(self, tariff: Tariff, mode: str) -> bool:
        """Whether a talk of any duration under `tariff` could cost more than was announced for this mode."""
        announced = self.tariffs.get(mode)
        if announced is None:
            return True
        last, announced_last = tariff.segments[-1], announced.segments[-1]
        if last.price_per_minute > announced_last.price_per_minute:
            return True
        if mode == PACKAGE:
            return tariff.fee > announced.fee or last.start < announced_last.start
        return tariff.free_seconds < announced.free_seconds

    def _pays_for(self, mode: str, *, recorded: bool) -> bool:
        return needed_to_begin(self.tariffs[mode], recorded=recorded, earlier=self.earlier) <= self.credit


def quote_consultation(
    connection: Connection,
    settings: Settings,
    client: Client,
    consultant: Consultant,
    arrived_at: datetime | None = None,
) -> AnnouncedQuote:
    """Return the quote for a new consultation of this client with this consultant.

    Args:
        connection: a connection.
        settings: the settings.
        client: the client.
        consultant: the consultant.
        arrived_at: when the call arrived, whose day decides about the client's limit; now by default.
    """
    modes = [PER_MINUTE] if consultant.package_price is None else [PER_MINUTE, PACKAGE]
    tariffs = {mode: tariff_for(connection, settings, consultant, client.id, mode) for mode in modes}
    return _quote(
        connection,
        settings,
        client,
        tariffs,
        recording_allowed=consultant.recording_allowed,
        arrived_at=arrived_at,
    )


def quote_continuation(
    connection: Connection,
    settings: Settings,
    client: Client,
    dropped: Call,
    arrived_at: datetime | None = None,
) -> AnnouncedQuote:
    """Return the quote for continuing the consultation of `dropped` (`continuation.interrupted`).

    See `quote_consultation` for `arrived_at`.
    """
    return _quote(
        connection,
        settings,
        client,
        {dropped.mode: continuation.preview(connection, settings, dropped.id)},
        recording_allowed=dropped.consultant is not None and dropped.consultant.recording_allowed,
        earlier=continuation.so_far(connection, dropped.id),
        arrived_at=arrived_at,
    )


def _quote(
    connection: Connection,
    settings: Settings,
    client: Client,
    tariffs: dict[str, Tariff],
    *,
    recording_allowed: bool,
    earlier: Subtotal = NOTHING,
    arrived_at: datetime | None,
) -> AnnouncedQuote:
    return AnnouncedQuote(
        currency=settings.platform.currency,
        tariffs=MappingProxyType(tariffs),
        wallet=balances.credit(connection, client.id),
        limit_left=daily_limit.left_today(connection, settings, client.id, arrived_at),
        recording_allowed=recording_allowed,
        earlier=earlier,
    )

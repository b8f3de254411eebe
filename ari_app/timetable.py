"""When the warnings, the end of the package and the end of the credit are due in a talk. Pure: no clock."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from taxiphone.billing.holds import Accepted, EndsBy
from taxiphone.settings import Settings

# The program ends a talk a little before the last paid second is over, so that both can be told, and so that the delay of
# the commands does not start another second. Asterisk's own time-out, at that second, is for when the program is dead.
_EARLY = 0.5
# If fewer seconds than this can be paid after the package, the credit counts as ending with the package.
_WORTH_IT = 5


@dataclass(frozen=True)
class Timetable:
    """Seconds of the talk, from the moment both are in the bridge.

    Attributes:
        longest: Asterisk itself ends the talk here.
        end: the program ends it here, and tells both.
        ends_by: what ends it there: the credit, the client's own limit, or the longest talk (billing.holds).
        warning: both are told that it ends soon; None if it is too late for that when the talk begins.
        warned_seconds: how much is left at a warning.
        package: where the package ends; None if there is none, or nothing comes after it.
        package_warning: both are told that the package ends soon.
        then_per_minute: the price after the package.
        patience: a warning that was due this long before the talk was taken over is not played.
    """

    longest: float
    end: float
    ends_by: EndsBy
    warning: float | None
    warned_seconds: int
    package: float | None = None
    package_warning: float | None = None
    then_per_minute: Decimal = Decimal(0)
    patience: float = 5.0

    @property
    def package_end(self) -> float:
        """Where a talk that ends with the package is ended: before its last paid second is over."""
        return (self.package or 0.0) - _EARLY


def timetable(accepted: Accepted, settings: Settings) -> Timetable:
    """The timetable of a talk, from what was fixed when the consultant accepted."""
    longest, before = float(accepted.max_seconds), settings.call.warning_seconds
    package, then = _package(accepted)
    if package is not None and longest - package < _WORTH_IT:
        package = None
    return Timetable(
        longest=longest,
        end=max(0.0, longest - _EARLY),
        ends_by=accepted.ends_by,
        warning=longest - before if longest > before else None,
        warned_seconds=before,
        package=package,
        package_warning=package - before if package is not None and package > before else None,
        then_per_minute=then,
    )


def _package(accepted: Accepted) -> tuple[float | None, Decimal]:
    """The second of this talk at which the package ends, and the price per minute after it."""
    tariff = accepted.tariff
    if not tariff.fee or len(tariff.segments) == 1:
        return None, Decimal(0)
    beyond = tariff.segments[1]
    left = beyond.start - accepted.talked_seconds
    return (float(left) if left > 0 else None), beyond.price_per_minute

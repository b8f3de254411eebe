"""When the warnings, the end of the package and the end of the credit come in a talk. Pure functions, without a clock."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from taxiphone.billing.holds import Accepted, EndsBy
from taxiphone.settings import Settings

# The program ends a talk a little before the last paid second is over, so that both can be told why, and so that the delay
# of the commands does not start another second. Asterisk's own time-out, at that second, is for when the program has died.
_EARLY = 0.5
# If the credit lasts for fewer seconds than this after the package, it counts as ending with the package.
_SHORTEST_AFTER_PACKAGE = 5


@dataclass(frozen=True)
class Timetable:
    """Times in seconds from the moment both are in the bridge.

    Attributes:
        longest: when Asterisk's own time-out ends the talk.
        end: when the program ends the talk and tells both sides.
        ends_by: what ends it then: the credit, the client's own limit, or the longest talk (billing.holds).
        warning: when both are warned of the end; None if the whole talk is shorter than that.
        warned_seconds: how many seconds before an end the warning comes.
        package: when the package ends; None if there is none, or the talk ends with it.
        package_warning: when both are warned of the end of the package.
        then_per_minute: the price per minute after the package.
        patience: a warning that is overdue by more than this when the talk is taken over is skipped.
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
        """When to end a talk that ends with the package: before its last paid second is over."""
        return (self.package or 0.0) - _EARLY


def timetable(accepted: Accepted, settings: Settings) -> Timetable:
    """The timetable of a talk, from what was fixed when the consultant accepted."""
    longest, before = float(accepted.max_seconds), settings.call.warning_seconds
    package, then = _package(accepted)
    if package is not None and longest - package < _SHORTEST_AFTER_PACKAGE:
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

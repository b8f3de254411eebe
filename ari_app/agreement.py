"""The values passed between the steps of a call: who calls, what they ask for, and what was agreed."""

from __future__ import annotations

from dataclasses import dataclass

from taxiphone.ari_app.router import Leg
from taxiphone.billing.announcement import AnnouncedQuote
from taxiphone.billing.holds import Accepted
from taxiphone.store.models import Call, Client, Consultant


@dataclass(frozen=True)
class Identified:
    """Who calls.

    Attributes:
        client: the client.
        own_consultant: the consultant whose own number was dialled; None if the number is a general one.
        quote: the price of a new consultation with that consultant, as read when the call arrived; None if it was not, or if
            the client may have a consultation to continue.
    """

    client: Client
    own_consultant: Consultant | None
    quote: AnnouncedQuote | None


@dataclass(frozen=True)
class Request:
    """What the client asks for.

    Attributes:
        client: who calls.
        consultant: the consultant.
        mode: per minute, or the package (billing.tariffs_in_force).
        recorded: whether the client wants the talk recorded.
        quote: the price as announced.
        continues: the dropped call whose consultation is continued; None for a new consultation.
    """

    client: Client
    consultant: Consultant
    mode: str
    recorded: bool
    quote: AnnouncedQuote
    continues: Call | None = None


@dataclass(frozen=True)
class Reached:
    """The consultant has accepted.

    Attributes:
        leg: the leg of the phone that accepted.
        recorded: whether both want the talk recorded.
    """

    leg: Leg
    recorded: bool


@dataclass(frozen=True)
class Agreement:
    """What a talk is held under.

    Attributes:
        client: who pays.
        consultant: who is paid.
        leg: the consultant's leg.
        recorded: whether the talk is recorded.
        accepted: the tariff, and how long the talk may last.
    """

    client: Client
    consultant: Consultant
    leg: Leg
    recorded: bool
    accepted: Accepted

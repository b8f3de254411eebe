"""The values that the steps of a call pass on: who calls, what they ask for, and what was agreed."""

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
        client: who.
        own_consultant: the consultant whose own number was dialled; None if it is everybody's.
    """

    client: Client
    own_consultant: Consultant | None


@dataclass(frozen=True)
class Request:
    """What the client asks for.

    Attributes:
        client: who calls.
        consultant: whom.
        mode: per minute, or the package (billing.tariffs_in_force).
        recorded: the client wants the talk to be recorded.
        quote: the price, as it was announced.
        continues: the call whose line was cut and whose consultation goes on; None for a new consultation.
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
        leg: the phone on which they did.
        recorded: both want the talk to be recorded.
    """

    leg: Leg
    recorded: bool


@dataclass(frozen=True)
class Agreement:
    """What a talk is held under.

    Attributes:
        client: who pays.
        consultant: who is paid.
        leg: the consultant's.
        recorded: the talk is recorded.
        accepted: the tariff, and how long the talk may last.
    """

    client: Client
    consultant: Consultant
    leg: Leg
    recorded: bool
    accepted: Accepted

"""The sections about the service: how it appears to callers, how calls run, what they cost, and how long recordings are kept."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from taxiphone.settings_sections.base import Needs, Section
from taxiphone.settings_types import (
    E164,
    Amount,
    Currency,
    DisplayName,
    Key,
    NumberKind,
    OneLine,
    Prefix,
    Region,
    Share,
    Timezone,
)


class Platform(Section):
    """How the platform appears to clients and consultants, and which numbers it may dial."""

    name: DisplayName = "Taxiphone"
    """The name that a consultant's phone shows next to the number, and the name on receipts unless `[invoice] name` is set."""
    cli: Annotated[E164, Needs.RELOAD]
    """The number that every consultant's phone shows, in E.164. It must be one of yours at the carrier."""
    currency: Currency = "EUR"
    """The currency of all prices and accounts (ISO 4217). Choose it before the first call: amounts are not converted."""
    language: Annotated[str, Needs.ASTERISK, Field(examples=["en"])] = "fr"
    """The language for unknown callers: `fr`, `en`, or one that you have added (docs/prompts.md)."""
    timezone: Annotated[Timezone, Field(examples=["Europe/Paris"])] = "UTC"
    """The time zone (IANA) that determines when days and months begin, for statements, daily limits and retention."""
    dial_regions: tuple[Region, ...] = ()
    """Countries (ISO 3166) whose numbers may be dialled. If empty, the country of `cli`. See docs/numbers.md."""
    dial_prefixes: tuple[Prefix, ...] = ()
    """If set, only numbers that begin with one of these prefixes may be dialled, within the regions and types allowed."""
    dial_types: tuple[NumberKind, ...] = ("fixed", "mobile")
    """Types of numbers that may be dialled. Consultants' phones of any other type are refused."""


# How long a call can last without a question to the client. Tests compare these values, in seconds and keys, with the
# prompts. _MOST_KEYS includes the key that ends a number. _BETWEEN_QUESTIONS allows for an announcement without a question
# and a slow database.
_LONGEST_ANNOUNCEMENT = 30
_MOST_KEYS = 9
_BETWEEN_QUESTIONS = 120


class Call(Section):
    """Time-outs and tries in each step of a call, and limits on the number of calls. Times are in seconds unless the name says otherwise."""

    ring_seconds: Annotated[int, Field(ge=1, le=300)] = 30
    """How long one of the consultant's phones rings."""
    accept_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    """How long the consultant has to press a key after each of two announcements."""
    key_seconds: Annotated[int, Needs.RELOAD, Field(ge=1, le=60)] = 5
    """How long a client has for each key."""
    code_tries: Annotated[int, Field(ge=1, le=10)] = 3
    """How many times a client may enter a code or PIN in one call."""
    longest_minutes: Annotated[int, Field(ge=1, le=1440)] = 180
    """The longest talk, in minutes."""
    warning_seconds: Annotated[int, Field(ge=5, le=600)] = 60
    """How long before the credit or the package runs out both sides are warned."""
    tell_after: bool = True
    """Whether the side that is still on the line hears duration and amount after the talk."""
    resume_minutes: Annotated[int, Field(ge=0, le=60)] = 5
    """How long after a dropped line the same consultation can be continued, in minutes; 0 turns this off."""
    pause_minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    """How long a consultant who pressed `*` isn't rung, in minutes."""
    pin_pause_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """The pause after `code_tries` wrong PINs. It doubles with each further wrong PIN."""
    rtp_timeout_seconds: Annotated[int, Field(ge=2, le=300)] = 30
    """If a side that has been heard sends no packets for this long, the talk ends and is billed up to the last packet."""
    one_way_seconds: Annotated[int, Field(ge=2, le=60)] = 10
    """If one side still hasn't been heard this long after the talk began, the talk ends and isn't billed."""
    most_calls: Annotated[int | None, Needs.RELOAD, Field(ge=1, le=10_000, examples=[60])] = None
    """Maximum number of concurrent calls, menus included. If not set: 30 for each core of this machine, but at most a quarter of the RTP ports. Further callers hear, unanswered and free of charge, that all lines are busy (docs/network.md)."""
    # At least 2: a client whose call was cut off may call back before the old call has ended.
    most_calls_per_client: Annotated[int, Field(ge=2, le=1000)] = 3
    """Maximum number of concurrent calls of one client."""
    most_ringing_per_client: Annotated[int, Field(ge=1, le=1000)] = 2
    """Maximum number of consultants who are being rung for one client."""
    most_calls_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Maximum number of calls per minute from one number. Further calls are refused with SIP 486. Calls without a number aren't counted."""
    end_key: Key = "9"
    """The key with which the client, after the warning, chooses to end the talk when the package ends."""
    pause_key: Key = "0"
    """The key with which either side pauses and resumes the recording."""

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        if self.end_key == self.pause_key:
            raise ValueError("end_key and pause_key must differ")
        return self

    @property
    def menu_seconds(self) -> int:
        """Maximum number of seconds from one question to the next.

        Asterisk hangs up a call that lasts longer without its application. The timeout is set when a call arrives and
        again with each question.
        """
        return _LONGEST_ANNOUNCEMENT + _MOST_KEYS * self.key_seconds + _BETWEEN_QUESTIONS

    @property
    def phone_seconds(self) -> int:
        """Maximum number of seconds for ringing one phone and asking whoever answers."""
        return self.ring_seconds + 2 * (_LONGEST_ANNOUNCEMENT + self.accept_seconds) + _LONGEST_ANNOUNCEMENT


class Billing(Section):
    """Pricing rules that apply to every consultant. Amounts are in the platform's currency."""

    first_seconds: Annotated[int, Field(ge=1, le=3600, examples=[60])] = 1
    """The first billing increment, in seconds. A shorter talk is billed for this duration."""
    step_seconds: Annotated[int, Field(ge=1, le=3600, examples=[60])] = 1
    """The following billing increments, in seconds. 60/60, 60/1 and 1/1 are common."""
    short_call_seconds: Annotated[int, Field(ge=0, le=3600)] = 30
    """A package talk shorter than this counts as a network fault and isn't charged. A per-minute talk shorter than this doesn't use up the free minutes (twice at most)."""
    commission: Annotated[Share, Field(examples=["0.25"])] = Decimal("0.30")
    """The platform's share of the price. A consultant can have a different one (`taxiphone consultant set --commission`)."""
    commission_on_recording: bool = True
    """Whether the commission applies to the recording fee. If false, the consultant gets the whole fee."""
    recording_fee: Amount = Decimal("5.00")
    """The price of a recording."""
    vat: Annotated[Share, Field(examples=["0.20"])] = Decimal(0)
    """The rate of the tax that is included in all prices."""
    free_minutes_scope: Literal["consultant", "platform"] = "consultant"
    """Whether clients get free minutes if they are new to the consultant, or only if they are new to the platform."""
    payout_minimum: Annotated[Amount, Needs.NOTHING] = Decimal("10.00")
    """The smallest payout. Consultants who have earned less are paid by a later `taxiphone payout run`."""


class Recording(Section):
    """Retention and quality of recordings."""

    keep_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """How many days an MP3 is kept, through the end of the last day. A change doesn't affect existing recordings."""
    bitrate: Annotated[int, Field(ge=16, le=128)] = 32
    """The MP3's bit rate, in kbit/s (mono speech at 8 kHz)."""


class Invoice(Section):
    """Your details on receipts and statements. A change also applies to earlier receipts when they are shown again."""

    needs: ClassVar[Needs] = Needs.NOTHING

    name: Annotated[OneLine | None, Field(examples=["Taxiphone SAS"])] = None
    """Your legal name. If not set, `[platform] name`."""
    address: Annotated[
        tuple[OneLine, ...], Field(examples=[["12 rue de la Paix", "75002 Paris", "France"]])
    ] = ()
    """Your address, one item for each line."""
    vat_id: Annotated[OneLine | None, Field(examples=["FR12345678901"])] = None
    """Your VAT number."""
    footer: Annotated[
        tuple[OneLine, ...],
        Field(examples=[["SAS au capital de 10 000 €, RCS Paris 123 456 789"]]),
    ] = ()
    """Lines at the foot of the page: legal form, capital, register, bank."""

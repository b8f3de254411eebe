"""The sections of taxiphone.toml: every setting with its type, its default, what it means, and what a change of it needs.

docs/settings.md (`make docs`) and the file that `taxiphone init` writes are generated from this module: a string below a
setting is its meaning there, and the examples of its type are its example. Where nothing else is said, a section's `needs`
holds for its settings.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from taxiphone.settings_types import (
    E164,
    Amount,
    Currency,
    DisplayName,
    FilePath,
    Key,
    Network,
    NumberFormat,
    NumberKind,
    OneLine,
    PlainName,
    Port,
    Prefix,
    Region,
    Share,
    Timezone,
)


class Needs(Enum):
    """What a changed setting needs before it takes effect; docs/settings.md says how each is done.

    `serve` reads the file once, when it starts, and then writes the files of an embedded Asterisk. The files of an
    Asterisk of the operator's own are written by `taxiphone asterisk config`.
    """

    NOTHING = "nothing"
    SERVE = "restart `serve`"
    RELOAD = "restart `serve`, reload Asterisk"
    ASTERISK = "restart `serve` and Asterisk"


class Section(BaseModel):
    """A table of the file. It is frozen and rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, defer_build=True)

    needs: ClassVar[Needs] = Needs.SERVE


class Platform(Section):
    """How the platform appears to clients and consultants, and which numbers it may ring."""

    name: DisplayName = "Taxiphone"
    """The name that a consultant's phone shows beside the number, and the name on receipts unless `[invoice] name` is set."""
    cli: Annotated[E164, Needs.RELOAD]
    """The number that every consultant's phone shows, in E.164. It must be one of yours at the carrier."""
    currency: Currency = "EUR"
    """The currency of all prices and accounts (ISO 4217). Choose it before the first call: amounts are not converted."""
    language: Annotated[str, Needs.ASTERISK, Field(examples=["en"])] = "fr"
    """The language for callers who are not known: `fr`, `en`, or one that you have added (docs/prompts.md)."""
    timezone: Annotated[Timezone, Field(examples=["Europe/Paris"])] = "UTC"
    """The time zone (IANA) in which days and months begin, for statements, daily limits and retention."""
    dial_regions: tuple[Region, ...] = ()
    """Countries (ISO 3166) whose numbers may be rung. If empty, the country of `cli`. See docs/numbers.md."""
    dial_prefixes: tuple[Prefix, ...] = ()
    """If set, only numbers that begin with one of these prefixes may be rung, within the regions and types allowed."""
    dial_types: tuple[NumberKind, ...] = ("fixed", "mobile")
    """Types of numbers that may be rung. Consultants' phones of any other type are refused."""


class Paths(Section):
    """Where files are kept."""

    needs: ClassVar[Needs] = Needs.ASTERISK

    state: Annotated[FilePath, Field(examples=["/var/lib/taxiphone"])] = Path("var")
    """The state folder: database, recordings, prompts, secrets and Asterisk's files. Only its owner can read it."""


class DatabaseSection(Section):
    """The database; without a URL, SQLite in the state folder."""

    url: Annotated[
        str | None,
        Field(repr=False, examples=["postgresql+psycopg://taxiphone@db.example.org/taxiphone"]),
    ] = None
    """SQLAlchemy URL: `sqlite:///` and an absolute path, or `postgresql+psycopg://`. If it contains a password, the settings file must have mode 0600."""
    password_file: Annotated[FilePath | None, Field(examples=["database.password"])] = None
    """A file of mode 0600 that holds the database password, instead of a password in `url`."""


class AsteriskSection(Section):
    """Asterisk: which one is used, and where it listens."""

    needs: ClassVar[Needs] = Needs.RELOAD

    embedded: Annotated[bool, Needs.ASTERISK] = True
    """Whether `serve` starts Asterisk and watches it. If false, you run Asterisk yourself (docs/deploy.md)."""
    group: Annotated[PlainName | None, Needs.ASTERISK, Field(examples=["asterisk"])] = None
    """The group that your own Asterisk runs as, if it runs as another user. Only with `embedded = false`."""
    binary: Annotated[FilePath | None, Needs.ASTERISK, Field(examples=["/usr/sbin/asterisk"])] = None
    """The Asterisk program. If not set: the one on the PATH if it is recent enough, else the one from `taxiphone asterisk install`."""
    # The trunk's SIP comes from outside; who may call is decided by [trunk] match.
    sip_address: Annotated[PlainName, Needs.ASTERISK, Field(examples=["198.51.100.7"])] = "0.0.0.0"  # noqa: S104
    """The local address for SIP. The default is all IPv4 addresses."""
    sip_port: Annotated[Port, Needs.ASTERISK] = 5060
    """The UDP port for SIP."""
    external_address: Annotated[PlainName | None, Needs.ASTERISK, Field(examples=["198.51.100.7"])] = None
    """Behind a NAT: the public address that the carrier sees."""
    rtp_start: Port = 10000
    """The first UDP port for RTP. A talk uses four ports."""
    rtp_end: Port = 10999
    """The last UDP port for RTP."""
    http_port: Port = 8088
    """The TCP port for ARI, on loopback only."""
    agi_port: Port = 4573
    """The TCP port for FastAGI, on loopback only."""
    ami_port: Port = 5038
    """The TCP port for AMI, on loopback only. It is used to pause recordings."""
    hep_port: Port = 9060
    """The UDP port for HEP, on loopback only. Asterisk sends copies of SIP messages and RTCP reports to `serve` there."""
    log_megabytes: Annotated[int, Needs.SERVE, Field(ge=1, le=1000)] = 10
    """The size at which each of Asterisk's logs is rotated; four rotated files of each are kept (docs/logs.md)."""

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.rtp_end <= self.rtp_start:
            raise ValueError("rtp_end must be greater than rtp_start")
        tcp_ports = [self.http_port, self.agi_port, self.ami_port]
        if len(set(tcp_ports)) < len(tcp_ports):
            raise ValueError("http_port, agi_port and ami_port must differ")
        if self.group is not None and self.embedded:
            raise ValueError("group requires embedded = false: an embedded Asterisk runs as this user")
        return self


class Trunk(Section):
    """The SIP trunk to the carrier (RFC 3261)."""

    needs: ClassVar[Needs] = Needs.RELOAD

    mode: Literal["address", "registration"] = "address"
    """`address`: you and the carrier know each other by IP address. `registration`: Asterisk registers with name and password."""
    host: Annotated[PlainName, Field(examples=["sip.carrier.example"])]
    """The carrier's host name or IP address."""
    port: Port = 5060
    """The carrier's UDP port for SIP."""
    match: tuple[Network, ...] = ()
    """Addresses and networks that the carrier's calls come from. If empty, `host`. Requests from anywhere else are refused."""
    username: Annotated[PlainName | None, Field(examples=["account"])] = None
    """The account name, with `mode = "registration"`."""
    password_file: Annotated[FilePath | None, Field(examples=["trunk.password"])] = None
    """A file of mode 0600 that holds the trunk's password, with `mode = "registration"`."""
    did_from: Annotated[Literal["request-uri", "to", "p-called-party-id"] | None, Field(examples=["to"])] = (
        None
    )
    """Where an INVITE names the dialled number. If not set: `to` with `mode = "registration"`, else `request-uri`. See docs/sip.md."""
    codecs: tuple[Literal["alaw", "ulaw", "g722"], ...] = ("alaw", "ulaw")
    """Codecs, in order of preference."""
    number_format: Annotated[NumberFormat, Needs.SERVE, Field(examples=["e164"])] = "auto"
    """How the carrier writes numbers that begin with neither `+` nor `00`. `e164`: with country code. `national`: as numbers of `cli`'s country. `auto`: either, where only one reading is possible; otherwise the caller is asked for code and PIN (docs/numbers.md)."""
    qualify_seconds: Annotated[int, Field(ge=0, le=3600, examples=[60])] = 0
    """Seconds between OPTIONS requests to the carrier; 0 sends none. A carrier that doesn't answer them is treated as down and gets no calls."""

    @model_validator(mode="after")
    def _registration(self) -> Self:
        if self.mode == "registration" and not (self.username and self.password_file):
            raise ValueError('mode = "registration" requires username and password_file')
        return self

    @property
    def dids_from(self) -> str:
        """Where an INVITE has the dialled number.

        With a registration, the request URI has the contact, which is the account's name, so the default is `to`.
        """
        return self.did_from or ("to" if self.mode == "registration" else "request-uri")


# How long a call can last without a question to the client. Tests compare these values, in seconds and keys, with the
# prompts. _MOST_KEYS includes the key that ends a number. _BETWEEN_QUESTIONS allows for an announcement without a question
# and a slow database.
_LONGEST_ANNOUNCEMENT = 30
_MOST_KEYS = 9
_BETWEEN_QUESTIONS = 120


class Call(Section):
    """How long each step of a call waits, how often it asks, and how many calls are taken; times in seconds, unless a name says otherwise."""

    ring_seconds: Annotated[int, Field(ge=1, le=300)] = 30
    """How long one of the consultant's phones rings."""
    accept_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    """How long the consultant has to press a key after each of two announcements."""
    key_seconds: Annotated[int, Needs.RELOAD, Field(ge=1, le=60)] = 5
    """How long a client has for each key."""
    code_tries: Annotated[int, Field(ge=1, le=10)] = 3
    """How often a client may key in a code or PIN in one call."""
    longest_minutes: Annotated[int, Field(ge=1, le=1440)] = 180
    """The longest talk, in minutes."""
    warning_seconds: Annotated[int, Field(ge=5, le=600)] = 60
    """How long before the credit or the package ends both sides are told."""
    tell_after: bool = True
    """Whether the side that is still on the line hears duration and amount after the talk."""
    resume_minutes: Annotated[int, Field(ge=0, le=60)] = 5
    """How long after a dropped line the same consultation can be continued, in minutes; 0 turns this off."""
    pause_minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    """How long a consultant who pressed `*` isn't rung, in minutes."""
    pin_pause_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """The pause after `code_tries` wrong PINs. It doubles with each further wrong PIN."""
    rtp_timeout_seconds: Annotated[int, Field(ge=2, le=300)] = 30
    """If one side that has been heard sends no packet for this long, the talk ends, billed to its last packet."""
    one_way_seconds: Annotated[int, Field(ge=2, le=60)] = 10
    """If one side has never been heard this long after the talk began, the talk ends and isn't billed."""
    most_calls: Annotated[int, Needs.RELOAD, Field(ge=1, le=10_000)] = 100
    """Maximum number of concurrent calls, menus included. Further calls are refused with SIP 503."""
    # At least 2: a client whose call was cut off may call back before the old call has ended.
    most_calls_per_client: Annotated[int, Field(ge=2, le=1000)] = 3
    """Maximum number of concurrent calls of one client."""
    most_ringing_per_client: Annotated[int, Field(ge=1, le=1000)] = 2
    """Maximum number of consultants who are being rung for one client."""
    most_calls_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Maximum number of calls a minute from one number. Further calls are refused with SIP 486. Calls without a number aren't counted."""
    end_key: Key = "9"
    """The key by which the client, warned that the package is about to end, ends the talk with it."""
    pause_key: Key = "0"
    """The key by which either side pauses and resumes the recording."""

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
    """The rules of the price that are the same for every consultant; amounts are in the platform's currency."""

    first_seconds: Annotated[int, Field(ge=1, le=3600, examples=[60])] = 1
    """The first billing increment, in seconds: a shorter talk is billed as this long."""
    step_seconds: Annotated[int, Field(ge=1, le=3600, examples=[60])] = 1
    """The billing increment after the first, in seconds. 60/60, 60/1 and 1/1 are usual."""
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
    """To whom a client must be new to get free minutes: to the consultant, or to the platform."""
    payout_minimum: Annotated[Amount, Needs.NOTHING] = Decimal("10.00")
    """Consultants who have earned less than this are left to a later `taxiphone payout run`."""


class Invoice(Section):
    """What receipts and statements say about you beside the amounts. A change also shows on earlier receipts."""

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


class Recording(Section):
    """What becomes of a talk that both sides agreed to record."""

    keep_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """How many days an MP3 is kept, through the end of the last one. Recordings that exist keep the date they have."""
    bitrate: Annotated[int, Field(ge=16, le=128)] = 32
    """The MP3's bit rate, in kbit/s (mono speech at 8 kHz)."""

"""taxiphone.toml, read into one frozen and checked object; nothing else reads the file or the environment.

Every section below is a table of the file. An unknown key, a wrong type or an impossible value is refused
with one sentence that names the key. Relative paths are relative to the file's own folder.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, quote, urlsplit

import babel.numbers
import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from taxiphone import settings_faults
from taxiphone.errors import SettingsError
from taxiphone.exact import finer_than
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

FILE_NAME = "taxiphone.toml"


class Section(BaseModel):
    """A table of the file: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Platform(Section):
    """Who the platform is to those who call and are called."""

    name: DisplayName = "Taxiphone"
    cli: E164  # the one number that every consultant's phone shows
    currency: Currency = "EUR"
    language: str = "fr"
    timezone: Timezone = "UTC"  # in which days begin and end, such as Europe/Paris
    # Which numbers may be rung (directory/dialling.py): of these regions, the CLI's own if nothing is given; beginning
    # with one of these prefixes, where there are any; and of these types.
    dial_regions: tuple[Region, ...] = ()
    dial_prefixes: tuple[Prefix, ...] = ()
    dial_types: tuple[NumberKind, ...] = ("fixed", "mobile")


class Paths(Section):
    """Where the state lies: database, recordings, Asterisk's folders, secrets. Owner only."""

    state: FilePath = Path("var")


class DatabaseSection(Section):
    """Where the calls and the money are kept; without an URL, SQLite in the state folder."""

    # SQLAlchemy's; with a password in it, this file must be 0600
    url: Annotated[str | None, Field(repr=False)] = None
    password_file: FilePath | None = None  # else a file of its own, 0600


class AsteriskSection(Section):
    """The Asterisk that answers."""

    embedded: bool = True  # started and watched by `taxiphone serve`; false: somebody else runs it
    # embedded = false: the group that your Asterisk runs as, where that isn't this user; it gets what Asterisk needs
    group: PlainName | None = None
    binary: FilePath | None = None  # else the PATH, else the cache folder
    sip_address: PlainName = "0.0.0.0"  # noqa: S104 - the trunk's SIP comes from outside; who may call is [trunk] match
    sip_port: Port = 5060
    external_address: PlainName | None = None  # what the carrier sees of us behind a NAT
    rtp_start: Port = 10000
    rtp_end: Port = 10999
    http_port: Port = 8088  # ARI; always on loopback
    agi_port: Port = 4573  # FastAGI; always on loopback
    ami_port: Port = 5038  # AMI, for pausing a recording; always on loopback
    hep_port: Port = 9060  # HEP (UDP): Asterisk's copies of SIP messages for `serve`; always on loopback
    # The size at which each of Asterisk's logs is put aside; four former ones of each are kept.
    log_megabytes: Annotated[int, Field(ge=1, le=1000)] = 10

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.rtp_end <= self.rtp_start:
            raise ValueError("rtp_end must be above rtp_start")
        if len({self.http_port, self.agi_port, self.ami_port}) < 3:  # noqa: PLR2004 - so many are listed
            raise ValueError("http_port, agi_port and ami_port must differ")
        if self.group is not None and self.embedded:
            raise ValueError("group is for embedded = false: an embedded Asterisk runs as this user")
        return self


class Trunk(Section):
    """The carrier's end of the SIP trunk (RFC 3261)."""

    mode: Literal["address", "registration"] = "address"
    host: PlainName
    port: Port = 5060
    match: tuple[Network, ...] = ()  # whence the carrier's INVITEs come; empty: `host`
    username: PlainName | None = None
    password_file: FilePath | None = None  # a file of its own, 0600; never in this one
    # Where an INVITE names the number that was dialled; by default "to" with mode = "registration", else "request-uri".
    did_from: Literal["request-uri", "to", "p-called-party-id"] | None = None
    codecs: tuple[Literal["alaw", "ulaw", "g722"], ...] = ("alaw", "ulaw")
    # How the carrier writes numbers that have neither + nor 00 before them. "e164": with the country code. "national": as
    # numbers of the CLI's region. "auto": as either, where only one is possible; a client whose number could be
    # somebody else's too is asked for code and PIN.
    number_format: NumberFormat = "auto"
    # Seconds between OPTIONS to the carrier; 0: none. One who does not answer them can't be called any more.
    qualify_seconds: Annotated[int, Field(ge=0, le=3600)] = 0

    @model_validator(mode="after")
    def _registration(self) -> Self:
        if self.mode == "registration" and not (self.username and self.password_file):
            raise ValueError('mode = "registration" needs username and password_file')
        return self

    @property
    def dids_from(self) -> str:
        """Where the number dialled stands: a registrar calls the contact, the account's name, in the request URI."""
        return self.did_from or ("to" if self.mode == "registration" else "request-uri")


# How long a call can go without a question to the client; tests hold these against the questions.
_LONGEST_ANNOUNCEMENT = 30  # seconds
_MOST_KEYS = 9  # of a number, with the key that ends it
_BETWEEN_QUESTIONS = 120  # seconds: of an announcement that asks nothing, and for a slow database


class Call(Section):
    """How long each step of a call waits, in seconds, and how often it asks."""

    ring_seconds: Annotated[int, Field(ge=1, le=300)] = 30
    accept_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    key_seconds: Annotated[int, Field(ge=1, le=60)] = 5
    code_tries: Annotated[int, Field(ge=1, le=10)] = 3
    longest_minutes: Annotated[int, Field(ge=1, le=1440)] = 180
    warning_seconds: Annotated[int, Field(ge=5, le=600)] = (
        60  # so long before credit or package end both are told
    )
    tell_after: bool = True  # who is left on the line hears duration and amount
    resume_minutes: Annotated[int, Field(ge=0, le=60)] = 5  # a cut line may be taken up again so long
    pause_minutes: Annotated[int, Field(ge=1, le=1440)] = 60  # a consultant who pressed * is not rung so long
    pin_pause_seconds: Annotated[int, Field(ge=1, le=3600)] = (
        60  # after `code_tries` wrong PINs; then doubled each
    )
    rtp_timeout_seconds: Annotated[int, Field(ge=2, le=300)] = 30  # one side without a packet: the talk ends
    one_way_seconds: Annotated[int, Field(ge=2, le=60)] = (
        10  # ... from the talk's beginning: it is not billed
    )
    # Calls at once, those without a consultant yet included. Further ones are refused with SIP 503.
    most_calls: Annotated[int, Field(ge=1, le=10_000)] = 100
    # Of one client, at once. At least 2: a client whose line was cut calls again while the dead call still stands.
    most_calls_per_client: Annotated[int, Field(ge=2, le=1000)] = 3
    most_ringing_per_client: Annotated[int, Field(ge=1, le=1000)] = 2  # consultants who are rung at once
    # From one number. Further ones are refused with SIP 486. Callers with a hidden number are not counted.
    most_calls_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 10
    end_key: Key = "9"  # by the client, in the last minute of the package: no more than the package
    pause_key: Key = "0"  # by either, in a recorded talk: pauses the recording and resumes it

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        if self.end_key == self.pause_key:
            raise ValueError("end_key and pause_key must differ")
        return self

    @property
    def menu_seconds(self) -> int:
        """Seconds from one question to the next, however slow the client: Asterisk then ends a call left alone.

        The time-out is set when a call arrives, and again with each question.
        """
        return _LONGEST_ANNOUNCEMENT + _MOST_KEYS * self.key_seconds + _BETWEEN_QUESTIONS

    @property
    def phone_seconds(self) -> int:
        """One phone of a consultant's is rung, and whoever answers is asked, for no longer than this."""
        return self.ring_seconds + 2 * (_LONGEST_ANNOUNCEMENT + self.accept_seconds) + _LONGEST_ANNOUNCEMENT


class Billing(Section):
    """The rules of the price that are the same for every consultant (amounts in the platform's currency)."""

    first_seconds: Annotated[int, Field(ge=1, le=3600)] = 1  # increments: the first block ...
    step_seconds: Annotated[int, Field(ge=1, le=3600)] = 1  # ... and every one after it
    short_call_seconds: Annotated[int, Field(ge=0, le=3600)] = (
        30  # a package shorter than this: a network fault
    )
    commission: Share = Decimal("0.30")
    commission_on_recording: bool = True
    recording_fee: Amount = Decimal("5.00")
    vat: Share = Decimal(0)  # inside the price
    free_minutes_scope: Literal["consultant", "platform"] = "consultant"
    payout_minimum: Amount = Decimal("10.00")  # less than this waits for the next run


class Invoice(Section):
    """What stands on receipts and statements beside the sums: who the operator is to the law and the tax office."""

    name: OneLine | None = None  # the operator's; else the platform's
    address: tuple[OneLine, ...] = ()
    vat_id: OneLine | None = None
    footer: tuple[OneLine, ...] = ()  # legal form, capital, register, bank


class Recording(Section):
    """What becomes of a talk that both agreed to record."""

    keep_days: Annotated[int, Field(ge=1, le=3650)] = 90  # through the end of that day, in platform.timezone
    bitrate: Annotated[int, Field(ge=16, le=128)] = 32  # kbit/s of the MP3; speech at 8 kHz


class Settings(Section):
    """All of taxiphone.toml.

    Raises:
        SettingsError: from `load`, naming the file, the key and what it may be.
    """

    platform: Platform
    trunk: Trunk
    paths: Paths = Paths()
    database: DatabaseSection = DatabaseSection()
    asterisk: AsteriskSection = AsteriskSection()
    call: Call = Call()
    billing: Billing = Billing()
    recording: Recording = Recording()
    invoice: Invoice = Invoice()

    file: Path = Field(default=Path(FILE_NAME), exclude=True)

    @model_validator(mode="after")
    def _as_fine_as_the_currency(self) -> Self:
        """An amount that nobody can pay is refused at the start, not in the middle of a call."""
        currency, digits = self.platform.currency, self.currency_digits
        for key in ("recording_fee", "payout_minimum"):
            amount = getattr(self.billing, key)
            if finer_than(amount, digits):
                raise ValueError(
                    f"billing.{key}: {amount} is finer than the currency; an amount in {currency} has {digits} decimals"
                )
        return self

    @property
    def state(self) -> Path:
        """The state folder, absolute."""
        return (self.file.parent / self.paths.state).resolve()

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL of the database, the password in it: not for people and logs (`Database.name` is).

        Raises:
            SettingsError: the password's file can't be used.
        """
        url = self.database.url
        if url is None:
            return f"sqlite:///{self.state / 'taxiphone.db'}"
        if self.database.password_file is None:
            return url
        named = re.fullmatch(r"([a-z0-9+]+://[^:/@?]+)(@.*)", url)
        if named is None:
            raise SettingsError(
                "database.password_file: database.url must then name the user and no password, such as "
                "postgresql+psycopg://taxiphone@db.example.org/taxiphone."
            )
        secret = self._secret(self.database.password_file, "database")
        return f"{named[1]}:{quote(secret, safe='')}{named[2]}"

    @property
    def asterisk_home(self) -> Path:
        """The folder of the embedded Asterisk: etc, log, spool, run."""
        return self.state / "asterisk"

    @property
    def cel_file(self) -> Path:
        """Asterisk's channel event log, which the meter follows."""
        return self.asterisk_home / "log" / "cel-custom" / "taxiphone.csv"

    @property
    def captured(self) -> Path:
        """Where MixMonitor writes its WAVs."""
        return self.asterisk_home / "spool" / "captured"

    @property
    def recordings(self) -> Path:
        """Where the finished MP3s lie."""
        return self.state / "recordings"

    @property
    def currency_digits(self) -> int:
        """Decimals of the currency: 2 for EUR, 0 for JPY, 3 for TND (ISO 4217)."""
        return int(babel.numbers.get_currency_precision(self.platform.currency))

    def trunk_password(self) -> str | None:
        """The trunk's password from its own file.

        Raises:
            SettingsError: the file is missing, readable by others, or holds more than one line.
        """
        if self.trunk.password_file is None:
            return None
        return self._secret(self.trunk.password_file, "trunk")

    def _secret(self, file: Path, whose: str) -> str:
        path = self.file.parent / file
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            secret = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(
                f"the {whose}'s password can't be read from {path}: {error.strerror}. "
                "Write it there and run: chmod 600 on that file."
            ) from None
        except UnicodeDecodeError:
            secret = ""
        if mode & 0o077:
            raise SettingsError(f"others can read the {whose}'s password in {path}. Run: chmod 600 {path}")
        if not secret or not secret.isprintable():
            raise SettingsError(f"the {whose}'s password in {path} must be one line of printable characters.")
        return secret


def find(given: Path | None) -> Path:
    """The settings file to use: the one given, else $TAXIPHONE_CONFIG, else ./taxiphone.toml, else /etc/taxiphone/.

    Raises:
        SettingsError: there is none.
    """
    if given is not None or "TAXIPHONE_CONFIG" in os.environ:
        path = given or Path(os.environ["TAXIPHONE_CONFIG"])
        if not path.is_file():
            raise SettingsError(f"there is no settings file {path}. `taxiphone init` writes one.")
        return path
    for path in (Path(FILE_NAME), Path("/etc/taxiphone") / FILE_NAME):
        if path.is_file():
            return path
    raise SettingsError(
        f"there is no {FILE_NAME} here. `taxiphone init` writes one; `taxiphone --config FILE` names another."
    )


def load(path: Path) -> Settings:
    """Read and check a settings file.

    Raises:
        SettingsError: naming the file, the key and what it may be.
    """
    data = _toml(path)
    fault = settings_faults.date_in(data, Settings)
    if "file" in data:
        fault = "file: there is no such setting."
    if fault:
        raise SettingsError(f"{path}: {fault}")
    try:
        # JSON has TOML's types, and strict JSON is how pydantic takes a list for a tuple but never true for the number 1.
        found = Settings.model_validate_json(json.dumps(data | {"file": str(path.resolve())}), strict=True)
    except ValidationError as error:
        raise SettingsError(f"{path}: {settings_faults.sentence(error, Settings)}") from None
    if _has_password(found.database.url or "") and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SettingsError(
            f"{path}: database.url has a password, and others can read this file. Run: chmod 600 {path}; "
            "or keep it in a file of its own, database.password_file."
        )
    return found


def _toml(path: Path) -> dict[str, Any]:
    """The data of a TOML file, with or without a byte order mark.

    Raises:
        SettingsError: it can't be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 at byte {error.start}. Save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, a thousand brackets
        raise SettingsError(f"{path} is not TOML: {error}.") from None


def _has_password(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.password) or "password" in parse_qs(parts.query)


def cache_folder() -> Path:
    """Where the unpacked Asterisk is kept between projects (XDG_CACHE_HOME)."""
    return platformdirs.user_cache_path("taxiphone")

"""Loads taxiphone.toml into one frozen, validated object. Nothing else reads the file or the environment.

A file with an unknown key, a wrong type or an impossible value is rejected with a sentence that names the key. Relative
paths are relative to the file's folder. The settings themselves are in settings_sections/.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlsplit

import babel.numbers
from pydantic import Field, ValidationError, model_validator

from taxiphone import settings_faults
from taxiphone.errors import SettingsError
from taxiphone.exact import finer_than
from taxiphone.settings_sections import (
    AsteriskSection,
    Billing,
    Call,
    DatabaseSection,
    Invoice,
    Paths,
    Platform,
    Recording,
    Section,
    Trunk,
)

FILE_NAME = "taxiphone.toml"
PORTS_OF_A_CALL = 4
"""RTP ports that a call needs: one for RTP and one for RTCP on each of two channels (RFC 3550, section 11)."""
CALLS_OF_A_CORE = 30
"""Calls that take two thirds of a core, as measured in docs/network.md. The rest is for recordings and peaks."""


class Settings(Section):
    """All settings of taxiphone.toml."""

    platform: Platform
    trunk: Trunk
    paths: Paths = Field(default_factory=Paths)
    database: DatabaseSection = Field(default_factory=DatabaseSection)
    asterisk: AsteriskSection = Field(default_factory=AsteriskSection)
    call: Call = Field(default_factory=Call)
    billing: Billing = Field(default_factory=Billing)
    recording: Recording = Field(default_factory=Recording)
    invoice: Invoice = Field(default_factory=Invoice)

    file: Path = Field(default=Path(FILE_NAME), exclude=True)

    @model_validator(mode="after")
    def _as_fine_as_the_currency(self) -> Self:
        """Reject amounts finer than the currency, which nobody could pay."""
        currency, digits = self.platform.currency, self.currency_digits
        for key in ("recording_fee", "payout_minimum"):
            amount = getattr(self.billing, key)
            if finer_than(amount, digits):
                raise ValueError(
                    f"billing.{key}: {amount} has too many decimals; amounts in {currency} have {digits}"
                )
        return self

    @property
    def state(self) -> Path:
        """The absolute path of the state folder."""
        path = self.file.parent / self.paths.state
        # A call asks for it several times, and resolving it looks at each folder on the disk.
        return _resolved(path) if path.is_absolute() else path.resolve()

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL of the database. It contains the password; use `Database.name` in messages and logs.

        Raises:
            SettingsError: the password file can't be used.
        """
        url = self.database.url
        if url is None:
            return f"sqlite:///{self.state / 'taxiphone.db'}"
        if self.database.password_file is None:
            return url
        named = re.fullmatch(r"([a-z0-9+]+://[^:/@?]+)(@.*)", url)
        if named is None:
            raise SettingsError(
                "database.password_file requires a database.url with a user and no password, such as "
                "postgresql+psycopg://taxiphone@db.example.org/taxiphone."
            )
        secret = self._secret(self.database.password_file, "database")
        return f"{named[1]}:{quote(secret, safe='')}{named[2]}"

    @property
    def asterisk_home(self) -> Path:
        """The folder with Asterisk's etc, log, spool and run."""
        return self.state / "asterisk"

    @property
    def cel_file(self) -> Path:
        """Asterisk's channel event log (CEL), which the meter follows."""
        return self.asterisk_home / "log" / "cel-custom" / "taxiphone.csv"

    @property
    def captured(self) -> Path:
        """The folder to which MixMonitor writes WAV files."""
        return self.asterisk_home / "spool" / "captured"

    @property
    def recordings(self) -> Path:
        """The folder of the finished MP3 files."""
        return self.state / "recordings"

    @property
    def ports_for_calls(self) -> int:
        """The number of calls for which the RTP ports are enough."""
        return max(1, (self.asterisk.rtp_end - self.asterisk.rtp_start + 1) // PORTS_OF_A_CALL)

    @property
    def most_calls(self) -> int:
        """The maximum number of concurrent calls: as set, or what this machine's cores and the RTP ports can carry."""
        return self.call.most_calls or min(CALLS_OF_A_CORE * cores(), self.ports_for_calls)

    @property
    def currency_digits(self) -> int:
        """The number of decimals of the currency: 2 for EUR, 0 for JPY, 3 for TND (ISO 4217)."""
        return int(babel.numbers.get_currency_precision(self.platform.currency))

    def trunk_password(self) -> str | None:
        """Read the trunk's password from its file.

        Raises:
            SettingsError: the file is missing, readable by others, or has more than one line.
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
                f"the {whose} password can't be read from {path}: {error.strerror}. "
                f"Write the password to that file and run: chmod 600 {path}"
            ) from None
        except UnicodeDecodeError:
            secret = ""
        if mode & 0o077:
            raise SettingsError(
                f"the {whose} password file {path} is readable by other users. Run: chmod 600 {path}"
            )
        if not secret or not secret.isprintable():
            raise SettingsError(f"the {whose} password in {path} must be one line of printable characters.")
        return secret


def find(given: Path | None) -> Path:
    """Return the settings file: the one given, $TAXIPHONE_CONFIG, ./taxiphone.toml, or the one in /etc/taxiphone.

    Raises:
        SettingsError: there is no settings file.
    """
    if given is not None or "TAXIPHONE_CONFIG" in os.environ:
        path = given or Path(os.environ["TAXIPHONE_CONFIG"])
        if not path.is_file():
            raise SettingsError(
                f"the settings file {path} does not exist. To create one, run: taxiphone init"
            )
        return path
    for path in (Path(FILE_NAME), Path("/etc/taxiphone") / FILE_NAME):
        if path.is_file():
            return path
    raise SettingsError(
        f"no {FILE_NAME} found here or in /etc/taxiphone. To create one, run: taxiphone init. To use another file, run: "
        "taxiphone --config FILE"
    )


def load(path: Path) -> Settings:
    """Read and validate a settings file.

    Raises:
        SettingsError: the message names the file, the key and the values allowed.
    """
    data = _toml(path)
    fault = settings_faults.date_in(data, Settings)
    if "file" in data:
        fault = "file: no such setting."
    if fault:
        raise SettingsError(f"{path}: {fault}")
    try:
        # JSON has TOML's types. In strict JSON mode, pydantic accepts a list for a tuple but not `true` for the number 1.
        settings = Settings.model_validate_json(json.dumps(data | {"file": str(path.resolve())}), strict=True)
    except ValidationError as error:
        raise SettingsError(f"{path}: {settings_faults.sentence(error, Settings)}") from None
    if _has_password(settings.database.url or "") and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SettingsError(
            f"{path}: database.url contains a password, but the file is readable by other users. Run: chmod 600 {path}, "
            "or move the password to a file of its own and set database.password_file."
        )
    return settings


def _toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, with or without a byte order mark.

    Raises:
        SettingsError: the file can't be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 at byte {error.start}. Save the file as UTF-8.") from None
    # A number of 5,000 digits raises ValueError, a thousand nested brackets RecursionError.
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.") from None


@lru_cache(maxsize=100)
def _resolved(path: Path) -> Path:
    return path.resolve()


def _has_password(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.password) or "password" in parse_qs(parts.query)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def cache_folder() -> Path:
    """Return the folder for the downloaded Asterisk, shared by all projects of this user (XDG_CACHE_HOME)."""
    import platformdirs  # noqa: PLC0415 - few commands need it

    return platformdirs.user_cache_path("taxiphone")

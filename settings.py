"""taxiphone.toml, read into one frozen and checked object; nothing else reads the file or the environment.

settings_sections.py has the settings themselves. An unknown key, a wrong type or an impossible value is refused with one
sentence that names the key. Relative paths are relative to the file's own folder.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlsplit

import babel.numbers
import platformdirs
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

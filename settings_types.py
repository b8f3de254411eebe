"""The types of settings, each with its own validation."""

from __future__ import annotations

import functools
import json
import re
from datetime import date, time
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import babel.numbers
import phonenumbers
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from taxiphone.exact import exact, finer_than

# Maximum lengths: a line on a receipt, a name on a phone's display, a value in an error message.
_LONGEST_LINE = 120
_LONGEST_NAME = 64
_LONGEST_SHOWN = 80


def shown(value: Any) -> str:
    """Format a value for an error message as in TOML, truncated if long."""
    if isinstance(value, date | time):
        text = f"the date or time {value.isoformat()}"
    elif isinstance(value, dict):
        text = "a table"
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def _exact(value: Any) -> Any:
    """Parse an amount: a string ("1.55") or a whole number. Floats are rejected because they are not exact."""
    # Other types are rejected by pydantic.
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return value
    return exact(value)


def _at_most(decimals: int) -> AfterValidator:
    """Limit the number of decimals."""

    def check(value: Decimal) -> Decimal:
        if finer_than(value, decimals):
            raise ValueError(f"{shown(str(value))} has more than {decimals} decimals")
        return value

    return AfterValidator(check)


def _e164(value: Any) -> Any:
    """Normalize a phone number to E.164: `+`, country code, number (ITU-T E.164)."""
    try:
        number = phonenumbers.parse(str(value), None)
    except phonenumbers.NumberParseException:
        raise ValueError(
            f"{shown(value)} is not a phone number in E.164 format, such as +33123456789"
        ) from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError(f"{shown(value)} has too few or too many digits for its country")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _network(value: Any) -> Any:
    try:
        return str(ip_network(str(value)))
    except ValueError:
        raise ValueError(
            f"{shown(value)} is not an IP address or network, such as 192.0.2.10 or 192.0.2.0/24"
        ) from None


def _timezone(value: Any) -> Any:
    if not isinstance(value, str) or not _is_timezone(value):
        raise ValueError(f"{shown(value)} is not a time zone name, such as Europe/Paris")
    return value


@functools.cache
def _is_timezone(name: str) -> bool:
    """Whether there is a time zone of this name; `available_timezones` would read the files of all of them."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return not name.startswith(("posix", "right/"))


def _key(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]", value):
        raise ValueError(f'{shown(value)} is not a key from "0" to "9"')
    return value


def _currency(value: Any) -> Any:
    if not isinstance(value, str) or value not in babel.numbers.list_currencies():
        raise ValueError(f"{shown(value)} is not an ISO 4217 currency code, such as EUR")
    return value


def _prefix(value: Any) -> Any:
    if not re.fullmatch(r"\+[1-9][0-9]{0,14}", str(value)):
        raise ValueError(f"{shown(value)} is not an E.164 prefix, such as +33")
    return value


def _region(value: Any) -> Any:
    if not isinstance(value, str) or value not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{shown(value)} is not an upper-case ISO 3166 country code, such as FR")
    return value


def _one_line(value: Any) -> Any:
    if not isinstance(value, str) or not (0 < len(value.strip()) <= _LONGEST_LINE) or not value.isprintable():
        raise ValueError(f"{shown(value)} is not a single line of 1 to {_LONGEST_LINE} characters")
    return value.strip()


def _display_name(value: Any) -> Any:
    """Validate a name shown next to a number. A quote or bracket could end it and change the number shown."""
    text = _one_line(value)
    if len(text) > _LONGEST_NAME or re.search(r'["<>\\]', text):
        raise ValueError(
            f'{shown(value)} is not a name of 1 to {_LONGEST_NAME} characters without ", <, > or \\'
        )
    return text


def _path(value: Any) -> Path:
    """Parse a path: a string from the file, or a Path from a default."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f'{shown(value)} is not a path in quotes, such as "var"')
    return Path(value)


# A name written to Asterisk's files must not end a line, start a comment or open a section.
PLAIN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Exact = Annotated[Decimal, BeforeValidator(_exact)]
E164 = Annotated[str, BeforeValidator(_e164), Field(examples=["+33199001200"])]
Network = Annotated[str, BeforeValidator(_network), Field(examples=["192.0.2.10"])]
Currency = Annotated[str, BeforeValidator(_currency)]
Timezone = Annotated[str, BeforeValidator(_timezone)]
Key = Annotated[str, BeforeValidator(_key)]
Prefix = Annotated[str, BeforeValidator(_prefix), Field(examples=["+33"])]
Region = Annotated[str, BeforeValidator(_region), Field(examples=["FR"])]
NumberKind = Literal[
    "fixed", "mobile", "voip", "toll-free", "shared-cost", "premium", "personal", "uan", "pager", "voicemail"
]
NumberFormat = Literal["auto", "e164", "national"]
FilePath = Annotated[Path, PlainValidator(_path), WithJsonSchema({"type": "string", "format": "path"})]
PlainName = Annotated[str, Field(pattern=PLAIN, max_length=128)]
OneLine = Annotated[str, BeforeValidator(_one_line)]
DisplayName = Annotated[str, BeforeValidator(_display_name)]
Port = Annotated[int, Field(ge=1, le=65535)]
Share = Annotated[Exact, Field(ge=0, le=1), _at_most(12)]
# `Settings` checks that an amount is not finer than the currency.
Amount = Annotated[Exact, Field(ge=0)]

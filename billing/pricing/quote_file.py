"""Reads a hand-written tariff, a JSON object, from a file or standard input, and checks each key."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import babel.numbers

from taxiphone.billing.pricing.money import digits_of
from taxiphone.billing.pricing.tariff import Tariff
from taxiphone.billing.pricing.tariff_json import from_json
from taxiphone.errors import UsageError
from taxiphone.exact import shown

_MOST_BYTES = 65_536  # a tariff has a few lines; a longer file is something else
_MOST_DIGITS = 15  # of a whole number; Python refuses to parse one with thousands of digits


@dataclass(frozen=True, slots=True)
class _Unquoted:
    """A JSON number that is not whole or is far too long. No key accepts it."""

    text: str


def read_tariff(file: str, *, recorded: bool = False) -> Tariff:
    """Read a tariff from a file. docs/pricing.md lists the keys; others are rejected.

    Args:
        file: the file's path, or `-` for standard input.
        recorded: whether a recorded talk is to be priced, so that `recording_fee` is required.

    Raises:
        UsageError: the file can't be read, is not JSON, or has an invalid value; the message names the key.
    """
    name = "standard input" if file == "-" else file if file.isprintable() else shown(file)
    return parse_tariff(_bytes(file, name), name, recorded=recorded)


def parse_tariff(raw: bytes, name: str, *, recorded: bool = False) -> Tariff:
    """Like `read_tariff`, but takes the file's content; `name` is used in error messages."""
    try:
        return _tariff(_object(raw.decode("utf-8-sig")), recorded=recorded)
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not JSON: it is not UTF-8 text.") from None
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{name} is not JSON: {error.msg}, in line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise UsageError(f"{name} is not a tariff: it is nested too deeply.") from None
    except ValueError as error:
        raise UsageError(f"{name}: {error}.") from None


def _tariff(data: dict[str, Any], *, recorded: bool) -> Tariff:
    if "digits" in data:  # they follow from the currency; only a call's copy of a tariff contains them
        raise ValueError("digits: unknown key")
    if recorded and "recording_fee" not in data:
        raise ValueError("recording_fee: is missing; it is required for a recorded talk")
    return from_json({**data, "digits": _digits(data)})


def _bytes(file: str, name: str) -> bytes:
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the tariff {name} can't be read: {error.strerror}.") from None
    except ValueError:
        raise UsageError(f"the tariff {name} can't be read: it is not a valid file name.") from None
    if len(raw) > _MOST_BYTES:
        raise UsageError(f"{name} is not a tariff: it is longer than {_MOST_BYTES} bytes.")
    return raw


def _object(text: str) -> dict[str, Any]:
    data = json.loads(
        text,
        object_pairs_hook=_once,
        parse_float=_Unquoted,
        parse_constant=_Unquoted,
        parse_int=lambda digits: int(digits) if len(digits) <= _MOST_DIGITS else _Unquoted(digits),
    )
    if not isinstance(data, dict):
        raise ValueError('must be a JSON object, {"currency": ..., "segments": ...}')  # noqa: TRY004 - malformed
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, rejecting duplicate keys; by default, JSON silently uses the last one."""
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise ValueError(f"{key if key.isidentifier() and key.isascii() else shown(key)}: appears twice")
        data[key] = value
    return data


def _digits(data: dict[str, Any]) -> int:
    """Return the decimals of the currency; 0 without one, which is reported later."""
    if "currency" not in data:
        return 0
    currency = data["currency"]
    if not isinstance(currency, str):
        raise ValueError("currency: must be a code of ISO 4217, such as EUR")  # noqa: TRY004 - malformed input
    if currency not in babel.numbers.list_currencies():
        raise ValueError(f"currency: {shown(currency)} is not a code of ISO 4217, such as EUR")
    return digits_of(currency)

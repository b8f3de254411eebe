"""A tariff that a person wrote: a file of one JSON object, or standard input, checked key by key."""

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

_MOST_BYTES = 65_536  # a tariff is some lines; whatever is longer is another file
_MOST_DIGITS = 15  # of a whole number; Python refuses to read one of thousands of digits


@dataclass(frozen=True, slots=True)
class _Unquoted:
    """A JSON number that is not whole, or far too long: none of the keys takes one."""

    text: str


def read_tariff(file: str, *, recorded: bool = False) -> Tariff:
    """The tariff that a file describes; `-` is standard input.

    Its keys are those of docs/pricing.md and no others.

    Args:
        file: the file's path, or `-`.
        recorded: a recorded talk is to be priced, so `recording_fee` must be there.

    Raises:
        UsageError: it can't be read, is no JSON, or holds what can't be; the sentence names the key.
    """
    name = "standard input" if file == "-" else file if file.isprintable() else shown(file)
    return parse_tariff(_bytes(file, name), name, recorded=recorded)


def parse_tariff(raw: bytes, name: str, *, recorded: bool = False) -> Tariff:
    """Like `read_tariff`, of what was read already; `name` stands in the sentence."""
    try:
        return _tariff(_object(raw.decode("utf-8-sig")), recorded=recorded)
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not JSON: it is no text in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{name} is not JSON: {error.msg}, in line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise UsageError(f"{name} is no tariff: it is nested too deeply.") from None
    except ValueError as error:
        raise UsageError(f"{name}: {error}.") from None


def _tariff(data: dict[str, Any], *, recorded: bool) -> Tariff:
    if "digits" in data:  # they go with the currency; only a frozen tariff names them
        raise ValueError("digits: there is no such key")
    if recorded and "recording_fee" not in data:
        raise ValueError("recording_fee: is missing, and a recorded talk costs it")
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
        raise UsageError(f"the tariff {name} can't be read: that is no file's name.") from None
    if len(raw) > _MOST_BYTES:
        raise UsageError(f"{name} is no tariff: it is longer than {_MOST_BYTES} bytes.")
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
    """An object whose keys stand in it once; JSON itself would take the last and say nothing."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key if key.isidentifier() and key.isascii() else shown(key)}: is there twice")
        found[key] = value
    return found


def _digits(data: dict[str, Any]) -> int:
    """The decimals of its currency; 0 where there is no currency, which is then found missing."""
    if "currency" not in data:
        return 0
    currency = data["currency"]
    if not isinstance(currency, str):
        raise ValueError("currency: must be a code of ISO 4217, such as EUR")  # noqa: TRY004 - malformed input
    if currency not in babel.numbers.list_currencies():
        raise ValueError(f"currency: {shown(currency)} is not a code of ISO 4217, such as EUR")
    return digits_of(currency)

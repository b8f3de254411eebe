"""Identifies the caller from what the carrier sends. A withheld number is never treated as a client's.

If a number is withheld (RFC 3323, RFC 3325), or the carrier could not verify it (STIR: `verstat`, 3GPP TS 24.229), the
call has no number: the caller is asked for client code and PIN, and the number is not stored.

Asterisk's own verdict is not enough: it evaluates a Privacy header only together with a P-Asserted-Identity, and does not
support `verstat`. Therefore the dialplan passes the headers, limited to harmless characters (dialplan/config.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from taxiphone.directory import numbers
from taxiphone.settings import Settings

# Privacy values that do not withhold the number. Any other value does, including `header`, `user` and unknown ones.
_OPEN = frozenset({"none", "off", "session", "history", "critical"})
# Display names and users that carriers send instead of an identity.
_ANONYMOUS = frozenset(
    {
        *("anonymous", "anonyme", "blocked", "private", "private number", "restricted"),
        *("unavailable", "unknown", "withheld", "number withheld"),
    }
)
_ARGUMENTS = 5
# `no-tn-validation` means that no verification was attempted.
_VERIFIED = ("tn-validation-passed", "no-tn-validation")
_VERSTAT = re.compile(r"verstat(?:=([a-z0-9.-]*))?")
_PRIVACY = re.compile(r"privacy=([a-z0-9-]+)")
_URI = re.compile(r"(?:sips?|tel):([^@;>\s]*)(?:[^@>\s]*@([^;>:\s]*))?")


@dataclass(frozen=True)
class Caller:
    """The caller.

    Attributes:
        number: in E.164; None if it is withheld, not verified, ambiguous or missing.
        hidden: why there is no number, in a few words; None if there is one.
    """

    number: str | None
    hidden: str | None = None


@dataclass(frozen=True)
class CallerHeaders:
    """The headers that identify the caller, as passed by the dialplan; empty if the carrier did not send them.

    Attributes:
        presentation: Asterisk's own verdict, such as "prohib_not_screened".
        privacy: Privacy (RFC 3323).
        sender: From.
        asserted: P-Asserted-Identity (RFC 3325).
        remote_party: Remote-Party-ID, which some carriers send instead.
    """

    presentation: str = ""
    privacy: str = ""
    sender: str = ""
    asserted: str = ""
    remote_party: str = ""

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> CallerHeaders:
        """Create it from the dialplan's arguments, in this order; further arguments are ignored.

        A dialplan of an earlier version passes fewer arguments and does not tell whether the number is withheld, so it is
        treated as withheld.
        """
        if len(arguments) < _ARGUMENTS:
            return cls(presentation="prohibited: Asterisk's dialplan is of an earlier version")
        return cls(*(unquote(argument).strip().lower() for argument in arguments[:_ARGUMENTS]))


def identify(settings: Settings, number: str, headers: CallerHeaders | None = None) -> Caller:
    """Identify the caller.

    Args:
        settings: settings with the region and `[trunk] number_format` of bare digits.
        number: the caller ID sent by the carrier.
        headers: the headers sent by the carrier.
    """
    headers = headers or CallerHeaders()
    if hidden := _withheld(number, headers) or _not_verified(headers):
        return Caller(None, hidden)
    e164 = numbers.caller(number, numbers.home_region(settings), settings.trunk.number_format)
    return Caller(e164, None if e164 else "no number, or an ambiguous one")


def _withheld(number: str, headers: CallerHeaders) -> str | None:
    """Return why the number is treated as withheld; None if it is not."""
    if numbers.withheld(number):
        return "no number, or the keys of a word" if number else "no number"
    values = set(re.split(r"[;,\s]+", headers.privacy)) - {""} - _OPEN
    if values:
        return f"Privacy: {';'.join(sorted(values))}"
    # Asterisk treats every Privacy header except "none" as prohibited, even "off".
    if not headers.privacy and headers.presentation.startswith("prohib"):
        return f"presentation: {headers.presentation}"
    if set(_PRIVACY.findall(headers.remote_party)) - {"off", "none", "name"}:
        return "Remote-Party-ID: privacy"
    for header, value in (("From", headers.sender), ("P-Asserted-Identity", headers.asserted)):
        if value and _anonymous(value):
            return f"{header}: anonymous"
    return None


def _anonymous(header: str) -> bool:
    """Tell whether a header is anonymous by its display name, user or domain (RFC 3323, 4.1.1.3)."""
    if header.partition("<")[0].strip() in _ANONYMOUS:
        return True
    return any(
        user in _ANONYMOUS or numbers.keypad_word(user) or host.endswith(".invalid")
        for user, host in _URI.findall(header)
    )


def _not_verified(headers: CallerHeaders) -> str | None:
    """Return the carrier's verdict if it could not verify the number; None if it did, or did not try."""
    for value in _VERSTAT.findall(f"{headers.sender} {headers.asserted}"):
        if not value.startswith(_VERIFIED):
            return f"verstat: {value or 'no value'}"
    return None

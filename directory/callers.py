"""Who calls, from all that the carrier says of it: a number is taken for a client's only where nobody withheld it.

Where a number is withheld (RFC 3323, RFC 3325), or the carrier could not verify it (STIR: `verstat`, 3GPP TS 24.229),
the call has no number: the caller keys in a client code and PIN, and the call's row does not hold the number.

Asterisk alone does not tell: it heeds a Privacy header only beside a P-Asserted-Identity, and knows no `verstat`. So the
dialplan hands over the headers (dialplan/config.py), stripped of all but harmless characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from taxiphone.directory import numbers
from taxiphone.settings import Settings

# Privacy values that leave the number alone: none at all; the media or the history; "refuse the call if you can't".
# `header` and `user` count as withheld, as does any value that is not known here.
_OPEN = frozenset({"none", "off", "session", "history", "critical"})
# Display names and users that carriers put in the place of an identity.
_NOBODY = frozenset(
    {
        *("anonymous", "anonyme", "blocked", "private", "private number", "restricted"),
        *("unavailable", "unknown", "withheld", "number withheld"),
    }
)
_ARGUMENTS = 5
_VERIFIED = ("tn-validation-passed", "no-tn-validation")  # the second: nobody has tried
_VERSTAT = re.compile(r"verstat(?:=([a-z0-9.-]*))?")
_PRIVACY = re.compile(r"privacy=([a-z0-9-]+)")
_URI = re.compile(r"(?:sips?|tel):([^@;>\s]*)(?:[^@>\s]*@([^;>:\s]*))?")


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Attributes:
        number: in E.164; None: withheld, not verified, ambiguous, or no number at all.
        hidden: why there is none, in a few words; None where there is one.
    """

    number: str | None
    hidden: str | None = None


NOBODY = Caller(None)
"""Where nothing is known of the caller: the call is an earlier process's, which has noted who calls."""


@dataclass(frozen=True)
class Said:
    """What a carrier says beside the number, as the dialplan hands it over; empty where it says nothing.

    Attributes:
        presentation: Asterisk's own verdict, such as "prohib_not_screened".
        privacy: of the Privacy headers (RFC 3323).
        sender: of the From header.
        asserted: of the P-Asserted-Identity headers (RFC 3325).
        remote_party: of the Remote-Party-ID header, which some carriers send instead.
    """

    presentation: str = ""
    privacy: str = ""
    sender: str = ""
    asserted: str = ""
    remote_party: str = ""

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Said:
        """From the dialplan's arguments, in their order; more than there should be are left out.

        A dialplan of an earlier version gives fewer, and does not tell whether the number is withheld: it then counts as such.
        """
        if len(arguments) < _ARGUMENTS:
            return cls(presentation="prohibited: Asterisk's dialplan is of an earlier version")
        return cls(*(unquote(argument).strip().lower() for argument in arguments[:_ARGUMENTS]))


def read(settings: Settings, number: str, said: Said | None = None) -> Caller:
    """Decide who calls.

    Args:
        settings: whose region and `[trunk] number_format` say what bare digits are.
        number: as the carrier sent it.
        said: what it said beside it.
    """
    said = said or Said()
    if hidden := _withheld(number, said) or _not_verified(said):
        return Caller(None, hidden)
    region = numbers.home_region(settings)
    read_as = numbers.caller(number, region, settings.trunk.number_format)
    return Caller(read_as, None if read_as else "no number, or an ambiguous one")


def _withheld(number: str, said: Said) -> str | None:
    """Why the number counts as withheld; None where it does not."""
    if numbers.withheld(number):
        return "no number, or the keys of a word" if number else "no number"
    values = set(re.split(r"[;,\s]+", said.privacy)) - {""} - _OPEN
    if values:
        return f"Privacy: {';'.join(sorted(values))}"
    # Asterisk calls a number prohibited for every Privacy header but "none", "off" included.
    if not said.privacy and said.presentation.startswith("prohib"):
        return f"presentation: {said.presentation}"
    if set(_PRIVACY.findall(said.remote_party)) - {"off", "none", "name"}:
        return "Remote-Party-ID: privacy"
    for header, value in (("From", said.sender), ("P-Asserted-Identity", said.asserted)):
        if value and _nobody(value):
            return f"{header}: anonymous"
    return None


def _nobody(header: str) -> bool:
    """Whether a header names nobody: by its display name, its user, or its domain (RFC 3323, 4.1.1.3)."""
    if header.partition("<")[0].strip() in _NOBODY:
        return True
    return any(
        user in _NOBODY or numbers.keypad_word(user) or host.endswith(".invalid")
        for user, host in _URI.findall(header)
    )


def _not_verified(said: Said) -> str | None:
    """What the carrier says where it could not verify the number; None where it did, or did not try."""
    for value in _VERSTAT.findall(f"{said.sender} {said.asserted}"):
        if not value.startswith(_VERIFIED):
            return f"verstat: {value or 'no value'}"
    return None

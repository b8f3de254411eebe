"""Parses the script of a simulated call: a text with one action (deed) per line.

    client hears enter-code: press 1234#
    consultant rings: answer                    or: busy, decline, ignore, unreachable; "consultant 2 rings" is
    consultant hears accept-menu: press 1       the second phone, "consultant" alone is any phone
    talk 75: client hangs up                    75 seconds after the two were connected
    ringing 5: client hangs up                  5 seconds after the consultant's phone started to ring
    at 12: client hangs up                      12 seconds after the call arrived
    client calls again after 20                 the following lines belong to the next call

An action may be delayed: `after 2, press 1`. Comments start with // or ; (# is a key). Several lines for the same prompt
are used in turn, and the last one is repeated.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from taxiphone.errors import UsageError

CLIENT, CONSULTANT = "client", "consultant"


class Does(enum.StrEnum):
    """What a person, or a person's telephone line, can do."""

    PRESS = "press"
    HANG_UP = "hang up"
    NOTHING = "nothing"
    ANSWER = "answer"
    BUSY = "busy"
    DECLINE = "decline"
    IGNORE = "ignore"
    UNREACHABLE = "unreachable"
    DROP = "line drops"  # the network ends the call and signals it
    DIE = "line dies"  # it stops sending packets
    SEND_NOTHING = "sends nothing"  # it never sends a packet
    HOLD = "holds"  # the phone puts the call on hold
    COME_BACK = "comes back"


class Since(enum.StrEnum):
    """The moment from which the delay of a deed counts."""

    ARRIVAL = "at"
    RINGING = "ringing"
    TALK = "talk"


RINGING = (Does.ANSWER, Does.BUSY, Does.DECLINE, Does.IGNORE, Does.UNREACHABLE)
LISTENING = (Does.PRESS, Does.HANG_UP, Does.NOTHING, Does.DROP, Does.DIE, Does.SEND_NOTHING)


@dataclass(frozen=True, slots=True)
class Deed:
    """One action of a person.

    Attributes:
        who: `client` or `consultant`.
        does: the kind of action.
        keys: for PRESS, the keys.
        hears: the prompt that triggers it.
        since: otherwise, the moment from which `after` counts. If both are None, it is done when the consultant's phone rings.
        phone: which of the consultant's phones; None for any.
        after: delay in seconds; 0 for a person's usual reaction time.
        line: its line number in the script.
    """

    who: str
    does: Does
    keys: str = ""
    hears: str | None = None
    since: Since | None = None
    phone: int | None = None
    after: float = 0.0
    line: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """The script of one call, which starts `pause` seconds after the previous call."""

    deeds: tuple[Deed, ...] = ()
    pause: float = 0.0


_SECONDS = r"[0-9]{1,6}(?:\.[0-9]{1,3})?"
_HEARS = re.compile(r"(client|consultant)(?: ([1-9]))? hears ([a-z0-9/-]+)\s*:\s*(.+)")
_RINGS = re.compile(r"consultant(?: ([1-9]))? rings\s*:\s*(.+)")
_TIMED = re.compile(rf"(at|ringing|talk) ({_SECONDS})\s*:\s*(.+)")
_AT_A_TIME = re.compile(
    r"(client|consultant)(?:(?:'s (?=line)| )(line drops|line dies|holds|comes back)| (hangs up)| presses ([0-9*#]+))"
)
_AGAIN = re.compile(rf"client calls again(?: after ({_SECONDS}))?")
_AFTER = re.compile(rf"after ({_SECONDS})\s*,\s*(.+)")
_PRESS = re.compile(r"press ([0-9*#]+)")
_FORMS = (
    "a line is one of: `client hears PROMPT: press KEYS`, `consultant rings: answer`, "
    "`talk SECONDS: client hangs up`, "
    "`ringing SECONDS: ...`, `at SECONDS: ...`, `client calls again`"
)


def parse(text: str, prompts: Collection[str]) -> list[Part]:
    """Parse a script into its calls, at least one.

    Args:
        text: the script.
        prompts: the names of all prompts.

    Raises:
        UsageError: the message names the first line that can't be parsed.
    """
    parts: list[list[Deed]] = [[]]
    pauses = [0.0]
    for number, written in enumerate(text.splitlines(), 1):
        line = " ".join(written.split())
        if not line or line.startswith(("//", ";")):
            continue
        try:
            if again := _AGAIN.fullmatch(line):
                parts.append([])
                pauses.append(float(again[1] or 0))
                continue
            parts[-1].append(replace(deed(line, prompts), line=number))
        except UsageError as error:
            raise UsageError(f"line {number} of the script, {written.strip()!r}: {error}") from None
    return [Part(tuple(deeds), pause) for deeds, pause in zip(parts, pauses, strict=True)]


def deed(line: str, prompts: Collection[str] | None = None) -> Deed:
    """Parse one line.

    Raises:
        UsageError: the line is invalid; the message says why.
    """
    if found := _HEARS.fullmatch(line):
        who, phone, prompt, rest = found.groups()
        if prompts is not None and prompt not in prompts:
            raise UsageError(f"there is no prompt {prompt!r}. `taxiphone prompts list` shows them all.")
        if who == CLIENT and phone:
            raise UsageError("there is only one client; only the consultant's phones have numbers.")
        done = _done(rest, LISTENING)
        return replace(done, who=who, hears=prompt, phone=int(phone) if phone else None)
    if found := _RINGS.fullmatch(line):
        return replace(_done(found[2], RINGING), phone=int(found[1]) if found[1] else None)
    if found := _TIMED.fullmatch(line):
        return replace(_at_a_time(found[3]), since=Since(found[1]), after=float(found[2]))
    raise UsageError(f"it can't be parsed; {_FORMS}.")


def _done(text: str, possible: Collection[Does]) -> Deed:
    after = 0.0
    if wait := _AFTER.fullmatch(text):
        after, text = float(wait[1]), wait[2]
    if (press := _PRESS.fullmatch(text)) and Does.PRESS in possible:
        return Deed(CONSULTANT, Does.PRESS, keys=press[1], after=after)
    if text in possible and text != Does.PRESS:
        return Deed(CONSULTANT, Does(text), after=after)
    names = ", ".join("press KEYS" if does is Does.PRESS else does for does in possible)
    raise UsageError(f"{text!r} is not possible there. Possible are: {names}.")


def _at_a_time(text: str) -> Deed:
    found = _AT_A_TIME.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{text!r} is not possible then. Possible are, for client or consultant: client hangs up, "
            "client presses KEYS, client holds, client comes back, client's line drops, client's line dies."
        )
    who, line, hangs_up, keys = found.groups()
    if keys:
        return Deed(who, Does.PRESS, keys=keys)
    return Deed(who, Does.HANG_UP if hangs_up else Does(line))

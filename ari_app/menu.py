"""Every question of a call: which keys are valid, how long to wait for them, and what silence means.

The steps ask no other questions, and docs/call-flow.md is generated from these. Silence never chooses what costs more: if
the keys choose a price, silence chooses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CLIENT, CONSULTANT = "client", "consultant"


@dataclass(frozen=True)
class Question:
    """A question that is answered by keys.

    Attributes:
        name: the name of the prompt that asks it, also used in docs/call-flow.md.
        who: who is asked, the client or the consultant.
        keys: the valid keys and their meaning; others are ignored. Empty if a number is keyed in.
        silence: what it means if no key is pressed in time, after the last try.
        wait: the setting in [call] for the seconds to wait for a key, after the sounds and after each key.
        tries: maximum number of times the question is asked; 0 for [call] code_tries.
        ends: keys that end a keyed-in number.
        most: maximum number of digits.
        must_be_heard: whether it states a price or asks for consent. If it then can't be played, the call fails.
    """

    name: str
    who: str
    keys: Mapping[str, str] = field(default_factory=dict)
    silence: str = ""
    wait: str = "key_seconds"
    tries: int = 1
    ends: str = ""
    most: int = 1
    must_be_heard: bool = False

    @property
    def valid(self) -> str:
        """The valid keys."""
        return "".join(self.keys) or "0123456789"


CLIENT_CODE = Question(
    "enter-client-code",
    CLIENT,
    silence="goodbye: the caller stays unknown; `#` alone: asked again",
    tries=0,
    ends="#",
    most=8,
)
PIN = Question(
    "enter-pin", CLIENT, silence="counts as a wrong PIN; `#` alone: asked again", tries=0, ends="#", most=8
)
ADD_NUMBER = Question(
    "add-number-offer",
    CLIENT,
    {"1": "the number is added to the account", "2": "it is not"},
    silence="it is not added",
)
RESUME = Question(
    "resume-offer",
    CLIENT,
    {"1": "continues the dropped consultation", "2": "starts a new one"},
    silence="a new consultation, with its own prices and questions",
    tries=2,
    must_be_heard=True,
)
CODE = Question(
    "enter-code",
    CLIENT,
    silence="asked again, then goodbye",
    tries=0,
    ends="#*",
    most=8,
)
SKIP_PRICE = Question(
    "press-hash-to-skip",
    CLIENT,
    {"#": "the rest of the announcement is skipped"},
    silence="the announcement continues",
    wait="",
    must_be_heard=True,
)
MODE = Question(
    "mode-choice",
    CLIENT,
    {"1": "per minute", "2": "the package"},
    silence="asked again, then goodbye: no mode is chosen",
    tries=0,
    must_be_heard=True,
)
RECORDING = Question(
    "recording-choice",
    CLIENT,
    {"1": "the talk is recorded, if the consultant agrees", "2": "it is not"},
    silence="it is not recorded",
    must_be_heard=True,
)
ACCEPT = Question(
    "accept-menu",
    CONSULTANT,
    {"1": "accepts", "3": "refuses", "*": "refuses, and takes no calls for a while"},
    silence="not accepted: a voicemail, or nobody",
    wait="accept_seconds",
    tries=2,
    must_be_heard=True,
)
ACCEPT_RECORDED = Question(
    "accept-menu-recorded",
    CONSULTANT,
    {
        "1": "accepts, recorded",
        "2": "accepts without the recording",
        "3": "refuses",
        "*": "refuses, and takes no calls for a while",
    },
    silence="not accepted: a voicemail, or nobody",
    wait="accept_seconds",
    tries=2,
    must_be_heard=True,
)
STARS = Question(
    "rate-offer",
    CLIENT,
    {str(stars): f"{stars} of 5" for stars in range(1, 6)},
    silence="no rating",
)

QUESTIONS = (
    *(CLIENT_CODE, PIN, ADD_NUMBER, RESUME, CODE, SKIP_PRICE, MODE, RECORDING),
    *(ACCEPT, ACCEPT_RECORDED, STARS),
)

END_AT_ONCE = "#*"
"""The client's keys that end the talk at once; [call] end_key and pause_key are settings."""

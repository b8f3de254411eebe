"""A channel of the simulated Asterisk, what can happen to it, and hang-up causes."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field

# Hang-up causes (ITU-T Q.850).
NORMAL, BUSY, NO_USER, NO_ANSWER, DECLINED = 16, 17, 18, 19, 21
UNREACHABLE, OUT_OF_ORDER, BY_TIMEOUT = 20, 38, 0


class What(enum.StrEnum):
    """What can happen to a channel."""

    RINGS = "rings"
    ANSWERED = "answered"
    SAID = "said"  # sounds begin: `sounds` are all of them
    HEARD = "heard"  # one sound begins: `sounds` is that one
    CUT_SHORT = "cut short"  # the sounds were stopped
    PRESSED = "pressed"
    TALKS = "talks"  # it is in a bridge with another channel
    LEFT = "left"  # it has left the bridge
    DIED = "died"  # it has stopped sending packets
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to a channel.

    Attributes:
        at: seconds of virtual time.
        what: the kind of event.
        channel: the channel.
        sounds: for SAID and HEARD, the names of the sounds without `sound:`.
        key: for PRESSED, the key.
        cause: for ENDED, the Q.850 cause.
        by: for ENDED, who ended it: "person", "application", "asterisk" or "network".
    """

    at: float
    what: What
    channel: Channel
    sounds: tuple[str, ...] = ()
    key: str = ""
    cause: int = 0
    by: str = ""


@dataclass
class Playback:
    """Sounds that are played to a channel, one after the other."""

    id: str
    sounds: tuple[str, ...]
    at: int = 0
    failed: bool = False  # its last sound does not exist
    timer: asyncio.TimerHandle | None = None


@dataclass
class Channel:
    """A channel.

    Attributes:
        id: its unique id.
        name: its name, in Asterisk's format.
        number: the caller's number, or the number being called.
        linked: the first channel of the same call.
        up: whether it was answered.
        held: whether it is in the application.
        variables: the channel variables.
        bridge: the bridge that it is in.
        up_at: when it was answered, in seconds of virtual time.
        dead_at: when it sent its last packet; None while it is sending.
    """

    id: str
    name: str
    number: str
    linked: str
    up: bool = False
    held: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    bridge: str | None = None
    up_at: float = 0.0
    dead_at: float | None = None
    playbacks: list[Playback] = field(default_factory=list)
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)

    @property
    def language(self) -> str:
        """The language of the prompts that it hears."""
        return self.variables.get("CHANNEL(language)", "en")

"""A transcript of a simulated call: what each person heard and did, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from taxiphone.simulate import channel as causes
from taxiphone.simulate.channel import Channel, Happening, What
from taxiphone.simulate.people import role
from taxiphone.simulate.script import CLIENT
from taxiphone.speech.prompt_texts import Languages, Texts

BOTH = "both"
_TOGETHER = 1.0  # seconds: keys pressed within this time of each other are shown on one line


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the transcript.

    Attributes:
        at: seconds of virtual time.
        who: `client`, `consultant`, `consultant 2` ... or `both`.
        what: `hears`, `presses`, or another event.
        text: the text heard, in its language; or the keys.
        sounds: for `hears`, the names of the sounds.
    """

    at: float
    who: str
    what: str
    text: str = ""
    sounds: tuple[str, ...] = ()


class Story:
    """Writes the transcript.

    Args:
        languages: the languages, with the texts of the prompts.
        tell: called with each line once it is complete.
    """

    def __init__(self, languages: Languages, tell: Callable[[Told], None] = lambda _: None) -> None:
        self._languages = languages
        self.told: list[Told] = []
        self._tell = tell
        self._keys: Told | None = None
        self._connected: float | None = None

    def __call__(self, happening: Happening) -> None:
        """Record something that happened to a channel."""
        who = name(happening.channel)
        if happening.what is What.PRESSED:
            self._pressed(Told(happening.at, who, "presses", happening.key))
            return
        told = self._of(happening, who)
        if told is not None:
            self.flush()
            self._add(told)

    def flush(self) -> None:
        """Emit the line that was held back in case more keys followed."""
        keys, self._keys = self._keys, None
        if keys is not None:
            self._add(keys)

    def _pressed(self, keys: Told) -> None:
        before = self._keys
        if before is not None and before.who == keys.who and keys.at - before.at <= _TOGETHER:
            self._keys = replace(before, text=before.text + keys.text)
            return
        self.flush()
        self._keys = keys

    def _add(self, told: Told) -> None:
        self.told.append(told)
        self._tell(told)

    def _of(self, happening: Happening, who: str) -> Told | None:
        what, words, channel = "", "", happening.channel
        match happening.what:
            case What.SAID:
                heard = text(happening.sounds, self._languages.texts(channel.language))
                return Told(happening.at, who, "hears", heard, happening.sounds)
            case What.RINGS:
                what, words = ("calls" if who == CLIENT else "is rung"), channel.number
            case What.ANSWERED if who != CLIENT:
                what = "answers"
            case What.TALKS if who == CLIENT:
                self._connected = happening.at
                who, what = BOTH, "talk"
            case What.LEFT if self._connected is not None:
                who, what, words = BOTH, "are parted", f"after {happening.at - self._connected:.0f} s"
                self._connected = None
            case What.DIED:
                what = "is not heard any more"
            case What.ENDED:
                what = _ending(happening, answered=channel.up)
        return Told(happening.at, who, what, words) if what else None


def name(channel: Channel) -> str:
    """Return whose channel it is: `client`, `consultant`, `consultant 2`."""
    who, phone = role(channel)
    return f"{who} {phone}" if phone > 1 else who


def text(sounds: tuple[str, ...], texts: Texts) -> str:
    """The words of sounds. A sound without text, such as a person's recorded name, is shown by its name in brackets."""
    words = []
    for sound in sounds:
        clip = texts.clips.get(sound.removeprefix("taxiphone/"))
        words.append(f"[{sound}]" if clip is None else clip.text)
    return " ".join(words)


def _ending(happening: Happening, *, answered: bool) -> str:
    refusals = {
        causes.BUSY: "is busy",
        causes.DECLINED: "declines",
        causes.NO_ANSWER: "does not answer",
        causes.UNREACHABLE: "can't be reached",
    }
    if not answered and happening.cause in refusals:
        return refusals[happening.cause]
    match happening.by, happening.cause:
        case "person", _:
            return "hangs up"
        case "application", _:
            return "is let go"
        case "network", _:
            return "loses the line"
        case _:
            return "is cut off by Asterisk: the time is up"

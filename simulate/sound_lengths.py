"""How long each sound plays, from the files that Asterisk would play."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from taxiphone.settings import Settings
from taxiphone.speech import prompts_folder
from taxiphone.speech.joined_sounds import Playable
from taxiphone.speech.sentences import FOLDER, Sounds

# For each format that Asterisk plays: bytes per second, and bytes of the header.
_RATES = {
    ".alaw": (8000, 0),
    ".ulaw": (8000, 0),
    ".g722": (8000, 0),
    ".sln": (16000, 0),
    ".wav": (16000, 44),
    ".gsm": (1650, 0),
}
_SHIPPED: dict[str, dict[str, float]] = {}  # language -> sound -> seconds


class SoundLengths:
    """The lengths of all sounds.

    Args:
        settings: settings with the state folder, which has the operator's own sounds.

    Attributes:
        missing: sounds that can't be played, although their files exist.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._languages: dict[str, dict[str, float]] = {}
        self.missing: set[str] = set()

    async def join(self, language: str, sounds: Sounds) -> Playable:
        """Return the sounds of a sentence, which are played one by one here, and the missing ones."""
        return Playable(sounds, tuple(sound for sound in sounds if not self.seconds(sound, language)))

    def seconds(self, sound: str, language: str) -> float:
        """Return how long a sound plays in seconds; 0 if it is missing: Asterisk then continues with the next one."""
        if sound in self.missing:
            return 0.0
        if sound.startswith(f"{FOLDER}/{prompts_folder.NAMES}/"):
            folder = prompts_folder.own_sounds(self._settings)
            files = folder.glob(f"{sound.removeprefix(FOLDER + '/')}.*")
            return max((_seconds(path) for path in files if path.suffix in _RATES), default=0.0)
        if language not in self._languages:
            self._languages[language] = _lengths(self._settings, language)
        return self._languages[language].get(sound, 0.0)


def _lengths(settings: Settings, language: str) -> dict[str, float]:
    """Return the length of each sound of a language, by Asterisk's name for it."""
    own = (
        prompts_folder.own_sounds(settings) / language,
        prompts_folder.own_texts(settings) / f"{language}.toml",
    )
    if any(place.exists() for place in own):
        return _named(prompts_folder.sounds(settings, language))
    if language not in _SHIPPED:  # the package's sounds don't change while it runs
        _SHIPPED[language] = _named(prompts_folder.sounds(settings, language))
    return _SHIPPED[language]


def _named(sounds: Mapping[str, Path]) -> dict[str, float]:
    return {f"{FOLDER}/{name}": _seconds(path) for name, path in sounds.items()}


def _seconds(path: Path) -> float:
    rate, header = _RATES[path.suffix]
    return max(path.stat().st_size - header, 0) / rate

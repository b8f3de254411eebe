"""The services that every call uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from taxiphone.ari_app.channels import Channels
from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.ari_app.dialer import Dialer
from taxiphone.ari_app.ports import Ari, MediaSignalling, RecordingControl, SentenceSounds
from taxiphone.ari_app.prompter import Prompter
from taxiphone.ari_app.rated_calls import RatedCalls
from taxiphone.ari_app.router import Router
from taxiphone.ari_app.signs_of_life import SignsOfLife
from taxiphone.directory.sign_in import Authenticator
from taxiphone.settings import Settings
from taxiphone.speech.prompt_texts import Languages
from taxiphone.speech.sentences import Speech
from taxiphone.store.database import Database


class OpenTalk(Protocol):
    """A talk in progress, as another call of the same client sees it."""

    call_id: str

    async def end_if_client_is_silent(self) -> bool:
        """End the talk if the client's line has sent nothing for some seconds; True if it was ended."""


@dataclass(frozen=True)
class Services:
    """The services that every call uses. Created by `services`.

    Attributes:
        settings: the settings.
        database: the database.
        languages: the languages of the prompts.
        ari: the connection to Asterisk.
        router: passes each event to its leg.
        channels: commands about channels and bridges.
        prompter: plays prompts and asks questions.
        dialer: rings phones.
        recording_control: pauses recordings.
        signalling: tells which phones have a valid reason to send no audio.
        rated_calls: tells when a talk has been priced.
        signs: records which talks are in progress.
        on_over: called with a call's id when its talk is over, so that the meter reads the log at once.
        talks: the talks in progress, by the client's id.
        speeches: the prompts of each language that has been used.
        sign_ins: checks codes and PINs.
    """

    settings: Settings
    database: Database
    languages: Languages
    ari: Ari
    router: Router
    channels: Channels
    prompter: Prompter
    dialer: Dialer
    recording_control: RecordingControl
    signalling: MediaSignalling
    rated_calls: RatedCalls
    signs: SignsOfLife
    on_over: Callable[[str], None]
    talks: dict[int, OpenTalk] = field(default_factory=dict)
    speeches: dict[str, Speech] = field(default_factory=dict)
    sign_ins: Authenticator = field(default_factory=Authenticator)

    def speech(self, language: str) -> Speech:
        """The prompts of one language."""
        if language not in self.speeches:
            self.speeches[language] = Speech(language, self.languages)
        return self.speeches[language]


def services(
    settings: Settings,
    database: Database,
    router: Router,
    *,
    ari: Ari,
    recording_control: RecordingControl,
    signalling: MediaSignalling,
    sentence_sounds: SentenceSounds,
    on_over: Callable[[str], None],
) -> Services:
    """Create the services, given the connections to Asterisk; see `Services`."""
    channels = Channels(ari)
    return Services(
        settings=settings,
        database=database,
        languages=Languages.of_state(settings.state),
        ari=ari,
        router=router,
        channels=channels,
        prompter=Prompter(channels, sentence_sounds),
        dialer=Dialer(ari, channels),
        recording_control=recording_control,
        signalling=signalling,
        rated_calls=RatedCalls(),
        signs=SignsOfLife(channels, DatabaseWithTimeout(database)),
        on_over=on_over,
    )

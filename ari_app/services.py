"""What every call works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from taxiphone.ari_app.channels import Channels
from taxiphone.ari_app.dialer import Dialer
from taxiphone.ari_app.ports import Ari, MediaSignalling, RecordingControl
from taxiphone.ari_app.prompter import Prompter
from taxiphone.ari_app.rated_calls import RatedCalls
from taxiphone.ari_app.router import Router
from taxiphone.directory.sign_in import Authenticator
from taxiphone.settings import Settings
from taxiphone.speech.prompt_texts import Languages
from taxiphone.speech.sentences import Speech
from taxiphone.store.database import Database


class OpenTalk(Protocol):
    """A talk in progress, as another call of the same client sees it."""

    call_id: str

    def end_if_client_is_silent(self) -> bool:
        """End it if the client's line has sent nothing for some seconds: the line is dead, and its client calls again."""


@dataclass(frozen=True)
class Services:
    """What every call works with. Made by `services`.

    Attributes:
        settings: checked.
        database: where calls and money are.
        languages: in which prompts can be said.
        ari: the connection to Asterisk.
        router: gives each event to its leg.
        channels: commands about channels and bridges.
        prompter: plays prompts and asks questions.
        dialer: rings phones.
        recording_control: pauses recordings.
        signalling: tells which phone sends no audio for good reason.
        rated_calls: tells when a talk has been priced.
        on_over: called with a call's id when its talk is over; the meter then reads its log at once.
        talks: those in progress, by the client's id.
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
    on_over: Callable[[str], None]
    talks: dict[int, OpenTalk] = field(default_factory=dict)
    sign_ins: Authenticator = field(default_factory=Authenticator)

    def speech(self, language: str) -> Speech:
        """The prompts of one language."""
        return Speech(language, self.languages)


def services(
    settings: Settings,
    database: Database,
    router: Router,
    *,
    ari: Ari,
    recording_control: RecordingControl,
    signalling: MediaSignalling,
    on_over: Callable[[str], None],
) -> Services:
    """The services over these ports; see `Services`."""
    channels = Channels(ari)
    return Services(
        settings=settings,
        database=database,
        languages=Languages.of_state(settings.state),
        ari=ari,
        router=router,
        channels=channels,
        prompter=Prompter(channels),
        dialer=Dialer(ari, channels),
        recording_control=recording_control,
        signalling=signalling,
        rated_calls=RatedCalls(),
        on_over=on_over,
    )

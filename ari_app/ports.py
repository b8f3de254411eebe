"""What the application needs from Asterisk, as Protocols. The simulator implements them without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from taxiphone.speech.joined_sounds import Playable
from taxiphone.speech.sentences import Sounds

Event = dict[str, Any]
"""An event of ARI, decoded from JSON."""


class Ari(Protocol):
    """A connection to Asterisk's REST interface (ARI) that reconnects by itself.

    Attributes:
        application: the name of the Stasis application, whose events are received.
    """

    application: str

    async def run(
        self, on_event: Callable[[Event], None], on_connect: Callable[[], None] = lambda: None
    ) -> None:
        """Stay connected until cancelled.

        Args:
            on_event: called on the event loop with each event, in Asterisk's order. Must not block.
            on_connect: called each time a connection has been established. Must not block.

        Raises:
            AriRequestError: the password is refused.
        """

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Send a request and return the decoded answer; None if the answer has no body.

        Args:
            method: HTTP method.
            path: below `/ari/`, each part quoted (`client.path`).
            query: query parameters; those that are None are omitted.
            body: JSON body.

        Raises:
            NotFoundError: 404.
            ConflictError: 409.
            AriRequestError: any other status from 400.
            AriConnectionError: there is no connection, or it was lost before the answer arrived.
            AriTimeoutError: no answer in time.
        """

    async def wait_connected(self, seconds: float) -> None:
        """Wait until requests can be sent.

        Raises:
            AriConnectionError: no connection within `seconds`.
        """

    def asterisk_has_gone(self) -> None:
        """Note that Asterisk is known to have ended, so that the lost connection isn't logged."""


class RecordingControl(Protocol):
    """Pauses and resumes the recording of a channel."""

    async def mute(self, channel: str, muted: bool) -> bool:
        """Start or stop recording silence instead of sound; False if Asterisk refused or did not answer.

        Args:
            channel: the unique id of the channel.
            muted: whether to record silence.
        """

    async def unavailable(self) -> str | None:
        """Why recordings can't be paused now; None if they can."""


class MediaSignalling(Protocol):
    """What the signalling says about the audio of a SIP call's far end."""

    def sends_nothing(self, call_id: str | None, /) -> bool:
        """Whether the far end has agreed to send no audio (RFC 3264: recvonly, inactive).

        Args:
            call_id: the SIP Call-ID; None if unknown.
        """

    def reports(self, call_id: str | None, ours: int | None, /) -> int:
        """The number of RTCP reports (RFC 3550) received from the far end.

        Args:
            call_id: the SIP Call-ID; None if unknown.
            ours: the SSRC of Asterisk's own reports, which are not counted.
        """


class SentenceSounds(Protocol):
    """The sounds that Asterisk plays for a sentence."""

    async def join(self, language: str, sounds: Sounds, /) -> Playable:
        """Return what to play for a sentence.

        Args:
            language: the language of the channel.
            sounds: the names of the sounds, as composed by `Speech`.
        """

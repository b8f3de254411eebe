"""What can go wrong, drawn in one place.

    TaxiphoneError                  one sentence for a person: what happened, what it means, what to do next
    ├── UsageError                  the person's own input was wrong; nothing was done           exit 2
    │   └── SettingsError           taxiphone.toml can't be used as it stands                    exit 2
    ├── SetupError                  the machine lacks something, or something is in the way      exit 1
    │   ├── AsteriskMissingError    no Asterisk that is new enough
    │   ├── AsteriskStartError      it would not start, or died
    │   └── SchemaError             the database is at another version than the program
    ├── LedgerError                 a posting that must not be made; nothing was posted          exit 1
    │   ├── NoPackageError          the consultant offers no package, perhaps not any more
    │   └── InsufficientFundsError  the wallet does not hold what was asked for
    │       └── LimitReachedError   it does, but the client's own limit per day does not allow it
    ├── PromptError                 a prompt that tells a price or asks consent was not heard    exit 1
    ├── RecordingError              a WAV or MP3 that is not what it should be                   exit 1
    └── AriError                    Asterisk's answer to the application, or none                exit 1
        ├── AriConnectionError      the websocket is down; the request may or may not have been carried out
        ├── AriTimeoutError         no answer in time; likewise
        └── AriRequestError         refused, with Asterisk's HTTP status
            ├── NotFoundError       404: the channel, bridge or playback has gone
            └── ConflictError       409: it exists already, or is not in Stasis

A command that meets one prints its sentence and ends with the exit code; a traceback means a bug of ours.
"""

from __future__ import annotations


class TaxiphoneError(Exception):
    """Any failure that a person is told of in one sentence."""

    exit_code = 1


class UsageError(TaxiphoneError):
    """The input was wrong; nothing was done."""

    exit_code = 2


class SettingsError(UsageError):
    """taxiphone.toml is missing, unreadable or holds something that can't be."""


class SetupError(TaxiphoneError):
    """The machine lacks something that is needed, or something is in the way."""


class AsteriskMissingError(SetupError):
    """There is no Asterisk that is new enough."""


class AsteriskStartError(SetupError):
    """Asterisk did not start, or ended when it should not have."""


class SchemaError(SetupError):
    """The database's schema is older or newer than this program."""


class LedgerError(TaxiphoneError):
    """A posting that must not be made; nothing was posted."""


class NoPackageError(LedgerError):
    """The consultant offers no package, perhaps since a moment ago."""


class InsufficientFundsError(LedgerError):
    """The wallet does not hold the amount that was asked for."""


class LimitReachedError(InsufficientFundsError):
    """The client's own limit per day does not allow what was asked for."""


class PromptError(TaxiphoneError):
    """A prompt that tells a price, or asks for consent, could not be played: the call must not go on as if it had been."""


class RecordingError(TaxiphoneError):
    """A sound file that is not what it should be; the original is kept."""


class AriError(TaxiphoneError):
    """Asterisk's REST interface refused, failed or was not there."""


class AriConnectionError(AriError):
    """The connection is down; whether the request was carried out is not known."""


class AriTimeoutError(AriError):
    """No answer came in time; whether the request was carried out is not known."""


class AriRequestError(AriError):
    """Asterisk answered with an HTTP status of 400 or more.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NotFoundError(AriRequestError):
    """404: what the request was about has gone. For a channel that is a hang-up, not a fault."""


class ConflictError(AriRequestError):
    """409: the id exists already, or the channel is not in the application."""

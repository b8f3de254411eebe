"""The exceptions of Taxiphone.

    TaxiphoneError                  what happened, what it means, what to do next
    ├── UsageError                  invalid input; nothing was done                              exit 2
    │   ├── SettingsError           taxiphone.toml is missing or invalid                         exit 2
    │   └── OutdatedError           somebody else has changed it since it was read; nothing was done
    ├── SetupError                  something on this machine is missing or in the way           exit 1
    │   ├── AsteriskMissingError    no Asterisk that is recent enough
    │   ├── AsteriskStartError      Asterisk did not start, or died
    │   └── SchemaError             the database schema does not match the program
    ├── LedgerError                 a posting was refused; nothing was posted                    exit 1
    │   ├── NoPackageError          the consultant offers no package, or no longer
    │   ├── AccountClosedError      the client's account is closed
    │   └── InsufficientFundsError  the wallet balance is too low
    │       └── LimitReachedError   the client's own daily limit is reached
    ├── PromptError                 a prompt with a price or a consent question failed           exit 1
    ├── RecordingError              an invalid WAV or MP3 file                                   exit 1
    └── AriError                    a request to Asterisk failed                                 exit 1
        ├── AriConnectionError      the websocket is down; the request may have been carried out
        ├── AriTimeoutError         no response in time; the request may have been carried out
        └── AriRequestError         rejected with an HTTP status
            ├── NotFoundError       404: the channel, bridge or playback no longer exists
            └── ConflictError       409: the id exists already, or the channel is not in Stasis

A command prints the message of such an exception and exits with its code. A traceback is a bug in Taxiphone.
"""

from __future__ import annotations


class TaxiphoneError(Exception):
    """Base class. The message is one sentence for the user."""

    exit_code = 1


class UsageError(TaxiphoneError):
    """Invalid input; nothing was done."""

    exit_code = 2


class SettingsError(UsageError):
    """taxiphone.toml is missing, unreadable or invalid."""


class OutdatedError(UsageError):
    """Somebody else has changed a client, a consultant or a number since it was read; nothing was done."""


class SetupError(TaxiphoneError):
    """Something on this machine is missing or in the way."""


class AsteriskMissingError(SetupError):
    """There is no Asterisk that is recent enough."""


class AsteriskStartError(SetupError):
    """Asterisk did not start, or ended unexpectedly."""


class SchemaError(SetupError):
    """The database schema is older or newer than this program."""


class LedgerError(TaxiphoneError):
    """A posting was refused; nothing was posted."""


class NoPackageError(LedgerError):
    """The consultant offers no package, or has just stopped offering one."""


class AccountClosedError(LedgerError):
    """The client's account is closed, or has just been closed."""


class InsufficientFundsError(LedgerError):
    """The wallet balance is lower than the amount requested."""


class LimitReachedError(InsufficientFundsError):
    """The client's own daily limit does not allow the amount requested."""


class PromptError(TaxiphoneError):
    """A prompt that states a price or asks for consent could not be played, so the call must not continue."""


class RecordingError(TaxiphoneError):
    """A sound file is invalid; the original is kept."""


class AriError(TaxiphoneError):
    """A request to Asterisk's REST interface (ARI) failed."""


class AriConnectionError(AriError):
    """The connection is down. The request may have been carried out."""


class AriTimeoutError(AriError):
    """No response arrived in time. The request may have been carried out."""


class AriRequestError(AriError):
    """Asterisk responded with an HTTP status of 400 or higher.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NotFoundError(AriRequestError):
    """404: the object of the request no longer exists. For a channel, this is a normal hang-up."""


class ConflictError(AriRequestError):
    """409: the id exists already, or the channel is not in the application."""

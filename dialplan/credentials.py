"""The passwords in Asterisk's files: those of ARI, AMI, FastAGI and HEP, generated at the first start, and the trunk's."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from taxiphone.errors import SettingsError
from taxiphone.settings import Settings

ARI_USER = AMI_USER = "taxiphone"


@dataclass(frozen=True)
class Secrets:
    """The passwords. They are not in the repr, so that they are neither logged nor shown."""

    ari_password: str = field(repr=False)
    trunk_password: str | None = field(default=None, repr=False)

    @property
    def agi_secret(self) -> str:
        """The secret that authenticates Asterisk to the FastAGI server, derived from ARI's password."""
        return hmac.new(self.ari_password.encode(), b"FastAGI", "sha256").hexdigest()

    @property
    def ami_secret(self) -> str:
        """The password of the AMI user, derived from ARI's password."""
        return hmac.new(self.ari_password.encode(), b"AMI", "sha256").hexdigest()

    @property
    def hep_secret(self) -> str:
        """The secret that authenticates Asterisk's copies of SIP messages, derived from ARI's password."""
        return hmac.new(self.ari_password.encode(), b"HEP", "sha256").hexdigest()


def load(settings: Settings) -> Secrets:
    """Load the passwords, generating ARI's if there is none yet.

    Raises:
        SettingsError: a password file can't be read or is readable by others.
    """
    return Secrets(ari_password(settings), settings.trunk_password())


def ari_password(settings: Settings) -> str:
    """Return the password of the ARI user, stored in the state folder with mode 0600.

    Raises:
        SettingsError: the file can't be read or written, or is readable by others.
    """
    path = settings.state / "ari.password"
    try:
        if not path.exists():
            _generate(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise SettingsError(
                f"the ARI password file {path} is readable by other users. Run: chmod 600 {path}"
            )
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingsError(
            f"the ARI password file {path} can't be read or written: {error.strerror}."
        ) from None


def _generate(path: Path) -> None:
    """Write a new password atomically. If two processes start at once, the first one's is kept."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, for its mode
        file.write(secrets.token_urlsafe(32) + "\n")
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()

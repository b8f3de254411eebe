"""The passwords that go into Asterisk's files: ARI's, made by us at the first start, FastAGI's, and the trunk's."""

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
    """What must be neither logged nor shown: hence not in the repr."""

    ari_password: str = field(repr=False)
    trunk_password: str | None = field(default=None, repr=False)

    @property
    def agi_secret(self) -> str:
        """What Asterisk tells FastAGI's server, so that it serves nobody else; made from ARI's password."""
        return hmac.new(self.ari_password.encode(), b"FastAGI", "sha256").hexdigest()

    @property
    def ami_secret(self) -> str:
        """The password of AMI's one user; likewise."""
        return hmac.new(self.ari_password.encode(), b"AMI", "sha256").hexdigest()

    @property
    def hep_secret(self) -> str:
        """With which Asterisk proves that a copy of a SIP message comes from it; likewise."""
        return hmac.new(self.ari_password.encode(), b"HEP", "sha256").hexdigest()


def load(settings: Settings) -> Secrets:
    """Both passwords; ARI's is made where there is none yet.

    Raises:
        SettingsError: a password's file can't be read or is open to others.
    """
    return Secrets(ari_password(settings), settings.trunk_password())


def ari_password(settings: Settings) -> str:
    """The password of ARI's one user, kept in the state folder, 0600.

    Raises:
        SettingsError: its file can't be read or written, or is open to others.
    """
    path = settings.state / "ari.password"
    try:
        if not path.exists():
            _make(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise SettingsError(f"others can read ARI's password in {path}. Run: chmod 600 {path}")
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingsError(f"ARI's password can't be kept in {path}: {error.strerror}.") from None


def _make(path: Path) -> None:
    """Write a new password, whole or not at all; of two that start at once, the first one's stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, for its mode
        file.write(secrets.token_urlsafe(32) + "\n")
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()

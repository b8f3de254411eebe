"""Finds espeak-ng, which synthesizes prompts and names: on the PATH or in the cache folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from taxiphone.dialplan.asterisk import packages
from taxiphone.dialplan.asterisk.packages import Tell
from taxiphone.errors import SetupError
from taxiphone.settings import cache_folder

PACKAGES = ("espeak-ng",)
INSTALL = "Run: taxiphone prompts install"
_BINARY = "usr/bin/espeak-ng"

Command = tuple[str, ...]
"""The command line without the options for a text."""


def tree() -> Path:
    """Return the folder to which `taxiphone prompts install` unpacks espeak-ng."""
    return cache_folder() / "espeak-ng"


def find() -> Command:
    """Find espeak-ng.

    Raises:
        SetupError: espeak-ng is not installed. The message has the command that installs it.
    """
    on_path = shutil.which("espeak-ng")
    if on_path is not None:
        return (on_path,)
    unpacked = packages.read(tree())
    if unpacked is None:
        raise SetupError(
            f"espeak-ng, which synthesizes the prompts, was not found on the PATH or in {tree()}. {INSTALL}"
        )
    loader, option, libraries, binary = unpacked.command(_BINARY)
    # A library for its sound output is in a folder of its own. Without --path, it looks for voices in /usr.
    return (loader, option, f"{libraries}:{libraries}/pulseaudio", binary, f"--path={libraries}")


def installed(
    *, mirror: str | None = None, force: bool = False, tell: Tell = lambda _what, _part: None
) -> Command:
    """Find espeak-ng, or fetch it into the cache folder.

    Args:
        mirror: address of a Debian mirror; None for the default (mirrors.py).
        force: fetch the newest version even if there is one.
        tell: called with the progress.

    Raises:
        SetupError: espeak-ng can't be fetched. The message says what to do.
    """
    if not force:
        try:
            return find()
        except SetupError:
            pass
    if shutil.which("apt-get") is None:
        raise SetupError(
            "espeak-ng, which synthesizes the prompts, was not found on the PATH, and it can be fetched only on Debian or "
            "Ubuntu. Install it with your system's package manager."
        )
    packages.fetch(PACKAGES, tree(), mirror=mirror, force=force, tell=tell)
    return find()

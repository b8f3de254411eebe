"""Which espeak-ng speaks prompts and names: the PATH's, else the one in the cache folder, fetched without root."""

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
"""What to run, up to and without the options of espeak-ng that a text needs."""


def tree() -> Path:
    """Where `taxiphone prompts install` puts the unpacked espeak-ng."""
    return cache_folder() / "espeak-ng"


def find() -> Command:
    """The espeak-ng to use.

    Raises:
        SetupError: there is none; names the line that installs it.
    """
    on_path = shutil.which("espeak-ng")
    if on_path is not None:
        return (on_path,)
    unpacked = packages.read(tree())
    if unpacked is None:
        raise SetupError(f"espeak-ng, which speaks the prompts, is not on the PATH or in {tree()}. {INSTALL}")
    loader, option, libraries, binary = unpacked.command(_BINARY)
    # A library of its sound output lies in a folder of its own; its voices are looked for in /usr, if not told.
    return (loader, option, f"{libraries}:{libraries}/pulseaudio", binary, f"--path={libraries}")


def installed(
    *, mirror: str | None = None, force: bool = False, tell: Tell = lambda _what, _part: None
) -> Command:
    """The espeak-ng to use; fetched into the cache folder if there is none.

    Args:
        mirror: a Debian mirror's address; None for the one that is used otherwise (mirrors.py).
        force: fetch the newest anew, even if there is one in the cache folder.
        tell: told of the progress of fetching.

    Raises:
        SetupError: it can't be had; says why, and what to do.
    """
    if not force:
        try:
            return find()
        except SetupError:
            pass
    if shutil.which("apt-get") is None:
        raise SetupError(
            "espeak-ng, which speaks the prompts, is not on the PATH, and this is not Debian or Ubuntu, so it can't be "
            "fetched. Install it with your system's own tools."
        )
    packages.fetch(PACKAGES, tree(), mirror=mirror, force=force, tell=tell)
    return find()

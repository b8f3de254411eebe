"""Finds the Asterisk to use: the one named in the settings, the one on the PATH, or the one in the cache folder.

A version must have the security fixes of 2026: 20.20.1, 22.10.1, 23.4.1, a later version of these series, or a later
series. A caller can crash older versions, or worse.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from taxiphone.errors import AsteriskMissingError
from taxiphone.settings import Settings, cache_folder

Version = tuple[int, int, int]

OLDEST: dict[int, Version] = {20: (20, 20, 1), 22: (22, 10, 1), 23: (23, 4, 1)}
"""The first version of each series that is safe on a public network."""

INSTALL = "Run: taxiphone asterisk install"


@dataclass(frozen=True)
class Asterisk:
    """An Asterisk that can be started.

    Attributes:
        command: the command line without Asterisk's own options. For an unpacked tree, it starts with the tree's own
            loader, so that it does not depend on the machine's libraries.
        modules: the folder of its modules (*.so).
        data: the folder of its data files, such as the documentation.
        version: major, minor, patch.
        version_text: the version as printed by Asterisk.
        origin: where it was found: the settings' `binary`, the PATH, or the cache folder.
    """

    command: tuple[str, ...]
    modules: Path
    data: Path
    version: Version
    version_text: str
    origin: Literal["settings", "path", "cache"]


def parse_version(text: str) -> Version | None:
    """Parse the output of `asterisk -V`, such as "Asterisk 22.10.1+dfsg"; None if it is not a release."""
    match = re.match(r"Asterisk (\d+)\.(\d+)(?:\.(\d+))?(?![\d.]*-(?:rc|cert))", text.strip())
    if match is None:
        return None
    major, minor, patch = match.groups(default="0")
    return int(major), int(minor), int(patch)


def new_enough(version: Version) -> bool:
    """Tell whether a version has the required security fixes (see `OLDEST`)."""
    return version[0] > max(OLDEST) or version >= OLDEST.get(version[0], (version[0] + 1, 0, 0))


def asterisk_tree() -> Path:
    """Return the folder to which `taxiphone asterisk install` unpacks Asterisk."""
    return cache_folder() / "asterisk"


def find(settings: Settings | None = None) -> Asterisk:
    """Find the Asterisk to use.

    Args:
        settings: settings whose [asterisk] binary has priority; None without settings, as in the demo.

    Raises:
        AsteriskMissingError: there is none that is recent enough. The message says what was found and what to run.
    """
    if settings is not None and settings.asterisk.binary is not None:
        # This one was chosen explicitly, so there is no fallback.
        return _usable((settings.file.parent / settings.asterisk.binary).resolve(), "settings")
    rejected = ""
    on_path = shutil.which("asterisk")
    if on_path is not None:
        try:
            return _usable(Path(on_path), "path")
        except AsteriskMissingError as error:
            rejected = f"{error} "
    tree = asterisk_tree()
    if (tree / "usr/sbin/asterisk").exists():
        return from_tree(tree)
    raise AsteriskMissingError(rejected or f"no Asterisk found on the PATH or in {tree}. {INSTALL}")


def from_tree(root: Path) -> Asterisk:
    """Return the Asterisk in a folder with unpacked Debian packages.

    Raises:
        AsteriskMissingError: it is incomplete, can't be run on this machine, or is too old.
    """
    loader = next(root.glob("usr/lib/*/ld-linux*.so.*"), None)
    if loader is None:
        raise AsteriskMissingError(f"the Asterisk in {root} is incomplete. {INSTALL} --force")
    libraries = loader.parent
    binary = root / "usr/sbin/asterisk"
    command = (str(loader), "--library-path", str(libraries), str(binary))
    return _checked(command, libraries / "asterisk/modules", root / "usr/share/asterisk", "cache")


def _usable(binary: Path, origin: Literal["settings", "path"]) -> Asterisk:
    prefix = binary.resolve().parent.parent
    modules = _first_with(
        "res_ari.so",
        *prefix.glob("lib/*/asterisk/modules"),
        *(prefix / folder / "asterisk/modules" for folder in ("lib64", "lib")),
    )
    if binary.exists() and modules is None:
        raise AsteriskMissingError(
            f"no ARI module found for {binary} below {prefix}. Install Asterisk's modules, or another Asterisk. {INSTALL}"
        )
    data = prefix / "share/asterisk"
    if not data.is_dir():
        data = Path("/var/lib/asterisk")
    return _checked((str(binary),), modules or prefix, data, origin)


def _first_with(name: str, *folders: Path) -> Path | None:
    return next((folder for folder in folders if (folder / name).exists()), None)


def _checked(
    command: tuple[str, ...], modules: Path, data: Path, origin: Literal["settings", "path", "cache"]
) -> Asterisk:
    try:
        done = subprocess.run([*command, "-V"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AsteriskMissingError(f"{command[-1]} can't be run: {error}. {INSTALL}") from None
    text = done.stdout.strip()
    version = parse_version(text)
    if version is None:
        printed = text or done.stderr.strip()
        raise AsteriskMissingError(
            f"{command[-1]} does not report a release version ({printed!r}). {INSTALL}"
        )
    if not new_enough(version):
        needed = ", ".join(".".join(map(str, oldest)) for oldest in OLDEST.values())
        raise AsteriskMissingError(
            f"{command[-1]} is {text}, which lacks security fixes. Required: {needed} or later. {INSTALL}"
        )
    return Asterisk(command, modules, data, version, text.removeprefix("Asterisk "), origin)

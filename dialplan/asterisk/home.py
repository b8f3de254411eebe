"""The home of one Asterisk: its folders, the files put into them, and the process that runs over it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.errors import SetupError

_SOCKET_NAME = "asterisk.ctl"
_SOCKET_LIMIT = 107  # bytes: sun_path of unix(7) without its closing zero


@dataclass(frozen=True)
class Folders:
    """The folders of one Asterisk's home."""

    home: Path

    @property
    def etc(self) -> Path:
        """Its configuration."""
        return self.home / "etc"

    @property
    def log(self) -> Path:
        """Its own log; below it, in cel-custom, the channel event log."""
        return self.home / "log"

    @property
    def spool(self) -> Path:
        """What it records."""
        return self.home / "spool"

    @property
    def db(self) -> Path:
        """Its small database."""
        return self.home / "db"

    @property
    def keys(self) -> Path:
        """Its key files; there are none."""
        return self.home / "keys"

    @property
    def data(self) -> Path:
        """Sounds, linked from the program and from the operator's own (see prompts_folder.py)."""
        return self.home / "data"

    @property
    def run(self) -> Path:
        """Its process id and control socket; a short path elsewhere where the home's own would be too long."""
        inside = self.home / "run"
        if len(os.fsencode(inside / _SOCKET_NAME)) <= _SOCKET_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"taxiphone-{os.getuid()}-{digest}"

    def all(self) -> tuple[Path, ...]:
        """Every folder that must exist before Asterisk starts: it makes none of them by itself."""
        return (
            *(self.home, self.etc, self.log, self.log / "cel-custom", self.spool, self.spool / "captured"),
            *(self.db, self.keys, self.data, self.data / "sounds", self.run),
        )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, each the owner's only: mkdir's `parents` heeds no mode.

    Raises:
        OSError: one can't be made.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))


def close_to_others(folders: Folders) -> None:
    """Make the folders of a home the owner's only; earlier versions left some open to be looked into.

    Raises:
        SetupError: one belongs to somebody else.
    """
    for folder in folders.all():
        try:
            folder.chmod(0o700)
        except OSError as error:
            raise SetupError(f"{folder} can't be closed to others: {error.strerror}.") from None


def write_files(folders: Folders, files: dict[str, str], etc: Path | None = None) -> None:
    """Make a home's folders and put the files into its etc, or into another folder given.

    Raises:
        SetupError: a folder or file can't be written.
    """
    into = etc or folders.etc
    try:
        for folder in (*folders.all(), into):
            make_folder(folder)
        _own_only(folders.run)
        for name, text in files.items():
            _replace(into / name, text)
    except OSError as error:
        raise SetupError(f"{error.filename} can't be written: {error.strerror}.") from None


def outdated(etc: Path, files: dict[str, str]) -> tuple[list[str], list[str]]:
    """The names of those files that in a folder are others, or missing; and of those that this user may not read."""
    other, closed = [], []
    for name, text in sorted(files.items()):
        try:
            if (etc / name).read_text(encoding="utf-8", errors="replace") != text:
                other.append(name)
        except PermissionError:
            closed.append(name)
        except OSError:
            other.append(name)
    return other, closed


def link_documentation(folders: Folders, asterisk: Asterisk) -> None:
    """Asterisk learns its own settings from its documentation, and does not start without it."""
    link = folders.data / "documentation"
    target = asterisk.data / "documentation"
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def find_process(conf: Path) -> int | None:
    """The process that runs Asterisk with this configuration file, a console (-r) of it excepted."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            owner = entry.stat().st_uid
        except OSError:  # it ended while we looked
            continue
        if os.fsencode(conf) not in arguments or owner != os.getuid():
            continue
        place = arguments.index(os.fsencode(conf))
        program = [argument for argument in arguments[:place] if argument.endswith(b"/asterisk")]
        if (
            program
            and arguments[place - 1 : place] == [b"-C"]
            and arguments[place + 1 : place + 2] == [b"-f"]
        ):
            return int(entry.name)
    return None


def _own_only(folder: Path) -> None:
    """Refuse a folder that somebody else made or may write to: in /tmp anybody can be first."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise SetupError(
            f"the folder {folder} belongs to somebody else. Remove it, or shorten [paths] state."
        )
    folder.chmod(0o700)


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

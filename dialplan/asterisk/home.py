"""The home of an Asterisk: its folders, the files in them, and the process that uses it."""

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
# Maximum length of a socket's path in bytes: sun_path of unix(7) without the terminating zero.
_SOCKET_LIMIT = 107


@dataclass(frozen=True)
class Folders:
    """The folders in an Asterisk's home."""

    home: Path

    @property
    def etc(self) -> Path:
        """Configuration."""
        return self.home / "etc"

    @property
    def log(self) -> Path:
        """Logs. The subfolder cel-custom has the channel event log."""
        return self.home / "log"

    @property
    def spool(self) -> Path:
        """Recordings in progress."""
        return self.home / "spool"

    @property
    def db(self) -> Path:
        """Asterisk's internal database."""
        return self.home / "db"

    @property
    def keys(self) -> Path:
        """Key files. Asterisk needs the folder, but it is empty."""
        return self.home / "keys"

    @property
    def data(self) -> Path:
        """Sounds: links to those of the program and of the operator (see prompts_folder.py)."""
        return self.home / "data"

    @property
    def run(self) -> Path:
        """Process id and control socket. If the path in the home would be too long, a folder in the temporary directory."""
        inside = self.home / "run"
        if len(os.fsencode(inside / _SOCKET_NAME)) <= _SOCKET_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"taxiphone-{os.getuid()}-{digest}"

    def all(self) -> tuple[Path, ...]:
        """Return every folder that must exist before Asterisk starts. Asterisk creates none of them."""
        return (
            *(self.home, self.etc, self.log, self.log / "cel-custom", self.spool, self.spool / "captured"),
            *(self.db, self.keys, self.data, self.data / "sounds", self.run),
        )


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents with mode 0700.

    Raises:
        OSError: a folder can't be created.
    """
    # mkdir(parents=True) would ignore the mode for the parents.
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))


def close_to_others(folders: Folders) -> None:
    """Set the folders of a home to mode 0700. Earlier versions left some readable by others.

    Raises:
        SetupError: a folder belongs to another user.
    """
    for folder in folders.all():
        try:
            folder.chmod(0o700)
        except OSError as error:
            raise SetupError(
                f"the permissions of {folder} can't be changed: {error.strerror}. Check its owner."
            ) from None


def write_files(folders: Folders, files: dict[str, str], etc: Path | None = None) -> None:
    """Create the folders of a home and write the files to its etc, or to the given folder.

    Raises:
        SetupError: a folder or file can't be written.
    """
    target = etc or folders.etc
    try:
        for folder in (*folders.all(), target):
            make_folder(folder)
        _own_only(folders.run)
        for name, text in files.items():
            _replace(target / name, text)
    except OSError as error:
        raise SetupError(f"{error.filename} can't be written: {error.strerror}.") from None


def outdated(etc: Path, files: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the names of files that differ or are missing in a folder, and of those that this user may not read."""
    different, unreadable = [], []
    for name, text in sorted(files.items()):
        try:
            if (etc / name).read_text(encoding="utf-8", errors="replace") != text:
                different.append(name)
        except PermissionError:
            unreadable.append(name)
        except OSError:
            different.append(name)
    return different, unreadable


def link_documentation(folders: Folders, asterisk: Asterisk) -> None:
    """Link Asterisk's documentation into the home. Asterisk reads it at startup and does not start without it."""
    link = folders.data / "documentation"
    target = asterisk.data / "documentation"
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def find_process(conf: Path) -> int | None:
    """Return the id of the process that runs Asterisk with this configuration file, other than a console (-r)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            owner = entry.stat().st_uid
        except OSError:
            # The process has just ended.
            continue
        if os.fsencode(conf) not in arguments or owner != os.getuid():
            continue
        index = arguments.index(os.fsencode(conf))
        program = [argument for argument in arguments[:index] if argument.endswith(b"/asterisk")]
        if (
            program
            and arguments[index - 1 : index] == [b"-C"]
            and arguments[index + 1 : index + 2] == [b"-f"]
        ):
            return int(entry.name)
    return None


def _own_only(folder: Path) -> None:
    """Reject a folder of another user: in /tmp, anybody could have created it first."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise SetupError(
            f"the folder {folder} belongs to another user. Remove it, or use a shorter path for [paths] state."
        )
    folder.chmod(0o700)


def _replace(path: Path, text: str) -> None:
    # mkstemp creates the file with mode 0600.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

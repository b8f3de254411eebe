"""Opens what an Asterisk of another user needs to that user's group, and nothing else (`[asterisk] group`).

Only with `embedded = false`. It then reads its files and the sounds, and writes its event log and what it records;
the database, the passwords and the finished MP3s stay the owner's alone. The bit setgid on the folders hands the group on
to what either of the two makes in them later.
"""

from __future__ import annotations

import grp
import os
from collections.abc import Iterable
from pathlib import Path

from taxiphone.dialplan.asterisk.home import Folders
from taxiphone.errors import SetupError
from taxiphone.settings import Settings

_PASS, _READ, _WRITE, _FILE = 0o710, 0o2750, 0o2770, 0o640


def group_id(settings: Settings) -> int | None:
    """The number of the group that somebody else's Asterisk runs as; None where it runs as our user.

    Raises:
        SetupError: there is no such group.
    """
    name = settings.asterisk.group
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise SetupError(
            f"there is no group {name!r} on this machine. Set [asterisk] group to the group that your Asterisk runs as."
        ) from None


def share(settings: Settings, etc: Path | None = None) -> None:
    """Open the state to the group as far as Asterisk needs it; nothing where no group is set.

    Args:
        settings: whose [asterisk] group it is.
        etc: the folder of Asterisk's files, where it is not the one in the state folder.

    Raises:
        SetupError: there is no such group, or this user is not in it.
    """
    group = group_id(settings)
    if group is None:
        return
    folders = Folders(settings.asterisk_home)
    _open(settings.state, group, _PASS)
    _open(folders.home, group, _READ)
    written = (
        folders.log,
        settings.cel_file.parent,
        folders.spool,
        settings.captured,
        folders.db,
        folders.keys,
    )
    for folder in (*written, folders.run):
        _open(folder, group, _WRITE)
    for folder in (etc or folders.etc, folders.data, settings.state / "sounds"):
        _open_all(folder, group)


def share_sound(settings: Settings, path: Path) -> None:
    """Open one sound below the state folder, which was made just now, to the group; nothing where no group is set.

    Raises:
        SetupError: there is no such group, or this user is not in it.
    """
    group = group_id(settings)
    if group is None:
        return
    inside = [folder for folder in path.parents if settings.state in folder.parents]
    for folder in inside:
        _open(folder, group, _READ)
    _open(path, group, _FILE)


def _open_all(folder: Path, group: int) -> None:
    if not folder.is_dir():
        return
    _open(folder, group, _READ)
    for place, names, files in os.walk(folder):
        _open_each((Path(place) / name for name in names), group, _READ)
        _open_each((Path(place) / name for name in files), group, _FILE)


def _open_each(paths: Iterable[Path], group: int, mode: int) -> None:
    for path in paths:
        if not path.is_symlink():  # of which the target counts, which may be somebody else's
            _open(path, group, mode)


def _open(path: Path, group: int, mode: int) -> None:
    if not path.exists():
        return  # made, and opened, by `taxiphone asterisk config`
    try:
        os.chown(path, -1, group)
        path.chmod(mode)
    except OSError as error:
        raise SetupError(
            f"{path} can't be opened to Asterisk's group: {error.strerror}. Make this user a member of the group "
            "(usermod --append --groups GROUP USER), and sign in again."
        ) from None

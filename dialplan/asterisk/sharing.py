"""Gives an Asterisk that runs as another user access to what it needs (`[asterisk] group`).

Used with `embedded = false`. Asterisk's group may read its files and the sounds, and write its event log and recordings.
The database, the passwords and the finished MP3s stay accessible to their owner only. The folders have the setgid bit, so
that new files in them belong to the group too.
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
    """Return the id of the group set in [asterisk] group; None if Asterisk runs as this user.

    Raises:
        SetupError: the group does not exist.
    """
    name = settings.asterisk.group
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise SetupError(
            f"the group {name!r} does not exist on this machine. Set [asterisk] group to the group that your Asterisk runs as."
        ) from None


def share(settings: Settings, etc: Path | None = None) -> None:
    """Give the group access to the parts of the state folder that Asterisk needs. Does nothing if no group is set.

    Args:
        settings: the settings with the group.
        etc: the folder of Asterisk's files, if not the one in the state folder.

    Raises:
        SetupError: the group does not exist, or this user is not a member of it.
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
    """Give the group access to a new sound below the state folder. Does nothing if no group is set.

    Raises:
        SetupError: the group does not exist, or this user is not a member of it.
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
    for parent, folders, files in os.walk(folder):
        _open_each((Path(parent) / name for name in folders), group, _READ)
        _open_each((Path(parent) / name for name in files), group, _FILE)


def _open_each(paths: Iterable[Path], group: int, mode: int) -> None:
    for path in paths:
        # A symbolic link's target may belong to another user.
        if not path.is_symlink():
            _open(path, group, mode)


def _open(path: Path, group: int, mode: int) -> None:
    # A missing path is created by `taxiphone asterisk config`, which calls this again.
    if not path.exists():
        return
    try:
        os.chown(path, -1, group)
        path.chmod(mode)
    except OSError as error:
        raise SetupError(
            f"Asterisk's group can't be given access to {path}: {error.strerror}. Add this user to the group "
            "(usermod --append --groups GROUP USER) and log in again."
        ) from None

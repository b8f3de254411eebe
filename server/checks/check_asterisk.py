"""Checks Asterisk: the program, its ports, the trunk, the state folder, the disk and the prompts."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from taxiphone.dialplan import credentials
from taxiphone.dialplan.asterisk import locate
from taxiphone.dialplan.asterisk.home import Folders, find_process
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.dialplan.modules import MODULES
from taxiphone.errors import AsteriskMissingError, SettingsError
from taxiphone.server.checks import check_external_asterisk, check_network
from taxiphone.server.checks.findings import Finding
from taxiphone.settings import Settings
from taxiphone.settings_sections import AsteriskSection, Trunk
from taxiphone.speech import prompts_folder

TRUNK_SECONDS = 2.0
_DISK_NEEDED = 500 * 1024**2
# Free inodes.
_FILES_NEEDED = 1000
_DISK_WISE = 5 * 1024**3


def check(settings: Settings) -> list[Finding]:
    """Run all checks of this module."""
    return list(_all(settings))


def _all(settings: Settings) -> Iterator[Finding]:
    pid = find_process(Folders(settings.asterisk_home).etc / "asterisk.conf")
    if settings.asterisk.embedded:
        yield from _asterisk(settings)
        yield from ports(settings, running=pid is not None)
        if pid is None:
            yield check_network.rtp_range(settings.asterisk, settings.most_calls)
            yield check_network.open_files(settings.asterisk)
    else:
        yield from external(settings)
        if not serve_runs(settings.state):
            agi_port = settings.asterisk.agi_port
            yield port_free("FastAGI", socket.SOCK_STREAM, "127.0.0.1", agi_port, "agi_port")
    yield check_network.most_calls(settings)
    yield passwords(settings)
    yield trunk_answers(settings.trunk)
    yield check_network.nat(settings.trunk, settings.asterisk)
    yield state_is_private(settings.state, shared=settings.asterisk.group is not None)
    yield cel_writable(settings.cel_file.parent)
    for folder in _stores(settings):
        yield disk_space(folder)
    yield prompts(settings)


def _asterisk(settings: Settings) -> Iterator[Finding]:
    try:
        asterisk = locate.find(settings)
    except AsteriskMissingError as error:
        text, _, advice = str(error).rpartition(". ")
        yield Finding(ok=False, what=text, advice=advice)
        return
    yield Finding(ok=True, what=f"Asterisk {asterisk.version_text}: {asterisk.command[-1]}")
    yield modules_present(asterisk)


def modules_present(asterisk: Asterisk) -> Finding:
    """Check that the file of every required module exists."""
    missing = [name for name in MODULES if not (asterisk.modules / f"{name}.so").exists()]
    if not missing:
        return Finding(ok=True, what=f"all {len(MODULES)} modules found in {asterisk.modules}")
    return Finding(
        ok=False,
        what=f"modules missing in {asterisk.modules}: {', '.join(missing)}",
        advice="Install them for this Asterisk, or use ours. Run: taxiphone asterisk install",
    )


def ports(settings: Settings, *, running: bool) -> list[Finding]:
    """Check that the ports are free, unless our Asterisk is running and uses them."""
    if running:
        return [Finding(ok=True, what="our Asterisk is running and uses its ports")]
    agi_port = settings.asterisk.agi_port
    return [
        *asterisk_ports(settings.asterisk),
        port_free("FastAGI", socket.SOCK_STREAM, "127.0.0.1", agi_port, "agi_port"),
        port_free("HEP", socket.SOCK_DGRAM, "127.0.0.1", settings.asterisk.hep_port, "hep_port"),
    ]


def asterisk_ports(asterisk: AsteriskSection) -> list[Finding]:
    """Check that the ports of Asterisk are free."""
    return [
        port_free("SIP", socket.SOCK_DGRAM, asterisk.sip_address, asterisk.sip_port, "sip_port"),
        port_free("ARI", socket.SOCK_STREAM, "127.0.0.1", asterisk.http_port, "http_port"),
        port_free("AMI", socket.SOCK_STREAM, "127.0.0.1", asterisk.ami_port, "ami_port"),
    ]


def port_free(name: str, kind: socket.SocketKind, address: str, port: int, key: str) -> Finding:
    """Check that a port is free.

    Args:
        name: the name of the protocol.
        kind: SOCK_DGRAM for UDP, SOCK_STREAM for TCP.
        address: the local address.
        port: the port.
        key: the name of the setting in [asterisk].
    """
    where = f"{name} on {'udp' if kind == socket.SOCK_DGRAM else 'tcp'} {address}:{port}"
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return Finding(
                ok=False,
                what=f"{where}: {error.strerror or error}",
                advice=f"Find the program that uses it (ss -lunpt 'sport = :{port}'), or set [asterisk] {key} to another port.",
            )
    return Finding(ok=True, what=f"{where} is free")


def serve_runs(state: Path) -> bool:
    """Tell whether `taxiphone serve` holds the lock of a state folder.

    The lock is not tried, because that could prevent a `serve` from starting at this moment.
    """
    try:
        inode = (state / "serve.lock").stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    held = [line.split() for line in locks if "FLOCK" in line and "->" not in line]
    return any(columns[3] == "WRITE" and columns[5].endswith(f":{inode}") for columns in held)


def external(settings: Settings) -> list[Finding]:
    """Check an Asterisk that the operator runs."""
    try:
        return check_external_asterisk.check(settings, credentials.load(settings))
    except SettingsError as error:
        return [Finding(ok=False, what="your Asterisk can't be checked", advice=str(error))]


def passwords(settings: Settings) -> Finding:
    """Check that the trunk's password can be read, and only by its owner."""
    try:
        settings.trunk_password()
    except SettingsError as error:
        return Finding(ok=False, what="the trunk password can't be used", advice=str(error))
    return Finding(ok=True, what="the trunk password is set, or not needed")


def trunk_answers(trunk: Trunk, seconds: float = TRUNK_SECONDS) -> Finding:
    """Send an OPTIONS request to the carrier (RFC 3261, section 11) and wait for a response.

    Many carriers ignore OPTIONS, or answer only registered clients. No response is a fault only with `qualify_seconds`,
    because Asterisk then treats the carrier as down.
    """
    where = f"{trunk.host}:{trunk.port}"
    watched = trunk.qualify_seconds > 0
    advice = "Check [trunk] host and port, and that the firewall allows UDP in both directions."
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(seconds)
            probe.connect((trunk.host, trunk.port))
            probe.send(_options(trunk, *probe.getsockname()))
            answer = probe.recv(65535)
    except socket.gaierror:
        return Finding(
            ok=False, what=f"the host name of the trunk, {trunk.host}, can't be resolved", advice=advice
        )
    except TimeoutError:
        what = f"the trunk {where} did not respond to OPTIONS within {seconds:.0f} s"
        if watched:
            advice += " With [trunk] qualify_seconds, a carrier that ignores OPTIONS gets no calls; 0 turns this off."
        else:
            advice = f"Many carriers ignore OPTIONS. If calls fail too: {advice}"
        return Finding(ok=False if watched else None, what=what, advice=advice)
    except OSError as error:
        what = f"the trunk {where} can't be reached: {error.strerror or error}"
        return Finding(ok=None if trunk.mode == "registration" else False, what=what, advice=advice)
    status = answer.split(b"\r\n", 1)[0].decode("ascii", errors="replace")
    return Finding(ok=True, what=f"the trunk {where} responds: {status}")


def _options(trunk: Trunk, address: str, port: int) -> bytes:
    mark = secrets.token_hex(8)
    lines = (
        f"OPTIONS sip:{trunk.host}:{trunk.port} SIP/2.0",
        f"Via: SIP/2.0/UDP {address}:{port};rport;branch=z9hG4bK{mark}",
        "Max-Forwards: 70",
        f"From: <sip:taxiphone@{address}:{port}>;tag={mark}",
        f"To: <sip:{trunk.host}:{trunk.port}>",
        f"Call-ID: {mark}@{address}",
        "CSeq: 1 OPTIONS",
        f"Contact: <sip:taxiphone@{address}:{port}>",
        "Accept: application/sdp",
        "Content-Length: 0",
        "",
        "",
    )
    return "\r\n".join(lines).encode("ascii")


def state_is_private(state: Path, *, shared: bool = False) -> Finding:
    """Check that other users have no access to the state folder, which contains recordings and passwords.

    Args:
        state: the folder.
        shared: whether the group of an external Asterisk may pass through the folder.
    """
    if not state.exists():
        return Finding(
            ok=True, what=f"the state folder {state} does not exist yet; the first start creates it"
        )
    mode = stat.S_IMODE(state.stat().st_mode)
    if mode & (0o067 if shared else 0o077):
        what = f"other users have access to the state folder {state} (mode {mode:04o})"
        return Finding(ok=False, what=what, advice=f"Run: chmod {710 if shared else 700} {state}")
    return Finding(ok=True, what=f"only this user has access to the state folder {state}")


def cel_writable(folder: Path) -> Finding:
    """Check that the channel event log can be written. Without it, no talk is priced."""
    there = _existing(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding(
            ok=False,
            what=f"the folder of Asterisk's event log, {folder}, is not writable, so no talk would be priced",
            advice=f"Give this user write access to the folder {there}.",
        )
    return Finding(ok=True, what=f"the folder of Asterisk's event log, {folder}, is writable")


def _stores(settings: Settings) -> list[Path]:
    """Return the folders that are written to, one for each file system: the state folder and that of SQLite."""
    url = settings.database.url or ""
    folders = [settings.state]
    if url.startswith("sqlite:///"):
        folders.append((settings.file.parent / url.removeprefix("sqlite:///")).parent)
    devices = {_existing(folder).stat().st_dev: folder for folder in reversed(folders)}
    return list(devices.values())


def disk_space(folder: Path) -> Finding:
    """Check the free disk space. An hour of recording takes 58 MB until it is converted."""
    there = _existing(folder)
    free = shutil.disk_usage(there).free
    files = os.statvfs(there)
    if files.f_files and files.f_favail < _FILES_NEEDED:
        return Finding(
            ok=False,
            what=f"only {files.f_favail} more files can be created in {folder} (df -i)",
            advice="Free some disk space; otherwise, Asterisk could lose recordings and events.",
        )
    what = f"{free / 1024**3:.1f} GB are free for {folder}"
    if free < _DISK_NEEDED:
        return Finding(
            ok=False,
            what=what,
            advice="Free some disk space; otherwise, Asterisk could lose recordings and events.",
        )
    if free < _DISK_WISE:
        return Finding(
            ok=None, what=what, advice="An hour of recording takes 58 MB until it is converted to MP3."
        )
    return Finding(ok=True, what=what)


def prompts(settings: Settings) -> Finding:
    """Check that there are sounds in the platform's language."""
    known = prompts_folder.languages(settings)
    language = settings.platform.language
    if language not in known:
        return Finding(
            ok=False,
            what=f"no sounds for the platform's language {language!r}; available: {', '.join(known) or 'none'}",
            advice=f"Set [platform] language, or add sounds in {prompts_folder.own_sounds(settings) / language}.",
        )
    counted = ", ".join(f"{name} ({len(prompts_folder.sounds(settings, name))})" for name in known)
    return Finding(ok=True, what=f"sounds: {counted}")


def _existing(path: Path) -> Path:
    """Return the path, or the nearest parent folder that exists."""
    return next(place for place in (path, *path.parents) if place.exists())

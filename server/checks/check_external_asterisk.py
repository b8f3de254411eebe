"""Checks an Asterisk that the operator runs: version, modules, files, ports, AMI and sounds.

Nothing is changed in Asterisk. ARI is used over plain HTTP here, because a websocket for the application would take over
the events of a running `taxiphone serve`.
"""

from __future__ import annotations

import base64
import grp
import http.client
import json
import os
import pwd
import re
import socket
import stat
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from taxiphone.ari_app.port_check import TRANSPORT
from taxiphone.dialplan import config
from taxiphone.dialplan.asterisk import locate
from taxiphone.dialplan.asterisk.home import outdated
from taxiphone.dialplan.credentials import AMI_USER, ARI_USER, Secrets
from taxiphone.dialplan.modules import MODULES
from taxiphone.server.checks.findings import Finding
from taxiphone.settings import Settings
from taxiphone.speech import prompts_folder

_SECONDS = 5.0
_LONGEST_LINE = 4096
_SHOWN = 5
_FILES = "Write its files with `taxiphone asterisk config` and restart it."
_UNAUTHORIZED, _NOT_FOUND = 401, 404


class _Ari:
    """A minimal client of ARI over HTTP."""

    def __init__(self, port: int, password: str) -> None:
        self._base = f"http://127.0.0.1:{port}/ari/"
        login = base64.b64encode(f"{ARI_USER}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        # Proxies from the environment must not be used for loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str, **query: str) -> Any:
        """Send a GET request and return the decoded response.

        Raises:
            HTTPError: the request was rejected.
            OSError: there was no response.
            ValueError: the response is not from ARI.
        """
        url = self._base + path + ("?" + urllib.parse.urlencode(query) if query else "")
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 - http, on loopback
        with self._opener.open(request, timeout=_SECONDS) as answer:
            return json.load(answer)

    def variable(self, name: str) -> str:
        """Return the value of a global variable."""
        return str(self.get("asterisk/variable", variable=name)["value"])


def check(settings: Settings, secrets: Secrets) -> list[Finding]:
    """Run all checks of this module; a single finding if Asterisk can't be reached."""
    port = settings.asterisk.http_port
    ari = _Ari(port, secrets.ari_password)
    try:
        version = str(ari.get("asterisk/info", only="system")["system"]["version"])
        return [*_asked(settings, secrets, ari, version)]
    except urllib.error.HTTPError as error:
        what = f"your Asterisk's ARI on 127.0.0.1:{port} responds with status {error.code}"
        if error.code == _UNAUTHORIZED:
            what = f"your Asterisk's ARI on 127.0.0.1:{port} rejects our password: its ari.conf is outdated"
        return [Finding(ok=False, what=what, advice=_FILES)]
    except (OSError, http.client.HTTPException) as error:
        what = f"your Asterisk is unreachable: no response from ARI on 127.0.0.1:{port} ({error}). No calls are accepted"
        return [
            Finding(ok=False, what=what, advice=f"{_FILES} If it is running, check [asterisk] http_port.")
        ]
    except (ValueError, KeyError, TypeError):
        what = f"the program on 127.0.0.1:{port} is not an Asterisk with ARI"
        return [Finding(ok=False, what=what, advice="Set [asterisk] http_port to another port.")]


def _asked(settings: Settings, secrets: Secrets, ari: _Ari, version: str) -> Iterator[Finding]:
    yield _version(version)
    yield _modules(ari)
    yield from _files(settings, secrets, ari)
    yield _transport(settings, ari)
    yield from ami(settings, secrets)
    yield _sounds(settings, Path(ari.variable("ASTDATADIR")))


def _version(text: str) -> Finding:
    version = locate.parse_version(f"Asterisk {text}")
    if version is None or not locate.new_enough(version):
        wanted = ", ".join(".".join(map(str, oldest)) for oldest in locate.OLDEST.values())
        advice = (
            f"Callers can crash it, or worse. Install {wanted}, or a later version of one of these series."
        )
        return Finding(ok=False, what=f"your Asterisk has version {text}, which is too old", advice=advice)
    return Finding(ok=True, what=f"your Asterisk responds, version {text}")


def _modules(ari: _Ari) -> Finding:
    running = {str(module["name"]) for module in ari.get("asterisk/modules") if module["status"] == "Running"}
    missing = [name for name in MODULES if f"{name}.so" not in running]
    if missing:
        what = f"your Asterisk has not loaded these modules: {', '.join(missing)}"
        return Finding(ok=False, what=what, advice=f"{_FILES} Its log says why a module can't be loaded.")
    return Finding(ok=True, what=f"your Asterisk has loaded all {len(MODULES)} modules")


def _files(settings: Settings, secrets: Secrets, ari: _Ari) -> Iterator[Finding]:
    """Check that its files match the settings. asterisk.conf is not compared, because it depends on the machine."""
    etc = Path(ari.variable("ASTETCDIR"))
    wanted = config.render(settings, secrets, None, etc=etc)
    del wanted["asterisk.conf"]
    other, closed = outdated(etc, wanted)
    if other:
        what = f"files in {etc} do not match the settings: {', '.join(other)}"
        advice = f"Run: taxiphone asterisk config --output {etc}. Then restart Asterisk."
        yield Finding(ok=False, what=what, advice=advice)
    elif closed:
        yield Finding(
            ok=None, what=f"files in {etc} can't be compared with the settings: this user has no read access"
        )
    else:
        yield Finding(ok=True, what=f"the files in {etc} match the settings")


def _transport(settings: Settings, ari: _Ari) -> Finding:
    where = f"SIP on udp {settings.asterisk.sip_address}:{settings.asterisk.sip_port}"
    try:
        ari.get(TRANSPORT)
    except urllib.error.HTTPError as error:
        if error.code != _NOT_FOUND:
            raise
        port = settings.asterisk.sip_port
        advice = f"Find the program that uses the port (ss -lunp 'sport = :{port}'), or change [asterisk] sip_port."
        return Finding(ok=False, what=f"your Asterisk does not listen for {where}", advice=advice)
    return Finding(ok=True, what=f"your Asterisk listens for {where}")


def ami(settings: Settings, secrets: Secrets) -> list[Finding]:
    """Check AMI, which pauses recordings, and use it to check the contexts of the dialplan, which ARI can't."""
    port = settings.asterisk.ami_port
    text = config.render(settings, secrets, None)["extensions.conf"]
    names = [
        name
        for name in re.findall(r"^\[([^\]]+)\]", text, re.MULTILINE)
        if name not in {"general", "globals"}
    ]
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
            answers = connection.makefile("rb")
            greeting = answers.readline(200)
            login = {"Action": "Login", "Username": AMI_USER, "Secret": secrets.ami_secret, "Events": "off"}
            why = "not an AMI"
            if greeting.startswith(b"Asterisk Call Manager"):
                why = (
                    ""
                    if _action(connection, answers, login)["Response"] == "Success"
                    else "it rejects our password"
                )
            missing = [
                name
                for name in names
                if not why
                and _action(
                    connection, answers, {"Action": "Getvar", "Variable": f"DIALPLAN_EXISTS({name})"}
                ).get("Value")
                != "1"
            ]
    except (OSError, KeyError) as error:
        why = str(error)
    if why:
        what = f"your Asterisk's AMI on 127.0.0.1:{port} can't be used ({why}), so recordings can't be paused"
        return [
            Finding(
                ok=False,
                what=what,
                advice=f"{_FILES} If another program uses the port, change [asterisk] ami_port.",
            )
        ]
    found = [Finding(ok=True, what=f"your Asterisk's AMI responds on 127.0.0.1:{port}")]
    if missing:
        what = f"your Asterisk's dialplan lacks these contexts: {', '.join(missing)}"
        return [*found, Finding(ok=False, what=what, advice=_FILES)]
    return [*found, Finding(ok=True, what=f"your Asterisk's dialplan has all {len(names)} contexts")]


def _action(connection: socket.socket, answers: IO[bytes], action: dict[str, str]) -> dict[str, str]:
    """Send an action and return the response: lines with `Key: value` up to an empty line."""
    connection.sendall("".join(f"{key}: {value}\r\n" for key, value in action.items()).encode() + b"\r\n")
    answer: dict[str, str] = {}
    while line := answers.readline(_LONGEST_LINE).decode(errors="replace").strip():
        key, _, value = line.partition(": ")
        answer[key] = value
    return answer


def _sounds(settings: Settings, data: Path) -> Finding:
    """Check that every sound exists and is readable by Asterisk's user."""
    user = _listener(settings.asterisk.http_port)
    missing: list[str] = []
    unreadable: list[str] = []
    counted = 0
    for language in prompts_folder.languages(settings):
        folder = data / "sounds" / language / "taxiphone"
        for name in prompts_folder.sounds(settings, language):
            counted += 1
            paths = [folder / f"{name}{suffix}" for suffix in prompts_folder.FORMATS]
            found = next((path for path in paths if path.is_file()), None)
            if found is None:
                missing.append(f"{language}/{name}")
            elif not readable(found, user):
                unreadable.append(f"{language}/{name}")
    for names, what in ((missing, f"lacks sounds in {data / 'sounds'}"), (unreadable, "can't read sounds")):
        if names:
            shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
            advice = "Run: taxiphone asterisk config"
            if names is unreadable:
                advice = "Run Asterisk as this user, or set [asterisk] group to its group and run: taxiphone asterisk config"
            return Finding(
                ok=False,
                what=f"your Asterisk {what}: {shown}; {len(names)} of {counted} prompts would not be heard",
                advice=advice,
            )
    return Finding(ok=True, what=f"your Asterisk has all {counted} sounds in {data / 'sounds'}")


def _listener(port: int) -> int:
    """Return the id of the user whose process listens on a TCP port on loopback; root if it is not known."""
    wanted = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        columns = line.split()
        if columns[1] == wanted and columns[3] == "0A":
            return int(columns[7])
    return 0


def readable(path: Path, user: int) -> bool:
    """Tell whether a user can read a file, by the POSIX modes of the file and of each folder on the path."""
    if user == 0:
        return True
    try:
        entry = pwd.getpwuid(user)
        groups = set(os.getgrouplist(entry.pw_name, entry.pw_gid))
    except KeyError:
        groups = {group.gr_gid for group in grp.getgrall() if str(user) in group.gr_mem}
    real = path.resolve()

    def allowed(place: Path, bit: int) -> bool:
        found = place.stat()
        if found.st_uid == user:
            return bool(found.st_mode & bit << 6)
        return bool(found.st_mode & (bit << 3 if found.st_gid in groups else bit))

    # The folders of the link and of its target.
    ways = {*path.absolute().parents, *real.parents}
    return allowed(real, stat.S_IROTH) and all(allowed(folder, stat.S_IXOTH) for folder in ways)

"""The platform as an operator would run it: a settings file, a directory and `taxiphone serve`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone import settings as settings_file
from taxiphone.demo.ports import free_port, free_range
from taxiphone.dialplan.asterisk import locate
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.errors import SetupError
from taxiphone.settings import Settings
from taxiphone.store.calls import FINAL
from taxiphone.store.database import Database
from taxiphone.store.models import Call, CallEvent

ADDRESS = "127.0.0.1"
# All numbers are in ranges that the French regulator reserves for fiction.
CLI = "+33199001200"

Found = TypeVar("Found")

_TOML = """\
[platform]
name = "Taxiphone"
cli = "{cli}"
language = "{language}"
dial_prefixes = ["+33"]

[trunk]
{trunk}

[asterisk]
sip_address = "{address}"
sip_port = {sip_port}
rtp_start = {rtp_start}
rtp_end = {rtp_end}
http_port = {http_port}
agi_port = {agi_port}
ami_port = {ami_port}
hep_port = {hep_port}
{asterisk}

[call]
{call}
{more}
"""


@dataclass(frozen=True)
class Timing:
    """The [call] section of the settings, which tests shorten. None: the default."""

    ring_seconds: int = 20
    accept_seconds: int = 5
    key_seconds: int = 3
    code_tries: int | None = None
    longest_minutes: int | None = None
    warning_seconds: int | None = None
    tell_after: bool | None = None
    resume_minutes: int | None = None
    pause_minutes: int | None = None
    pin_pause_seconds: int | None = None
    rtp_timeout_seconds: int | None = None
    one_way_seconds: int | None = None
    most_calls: int | None = None
    most_calls_per_minute: int | None = None

    def toml(self) -> str:
        """Return its lines in the settings file. Numbers and booleans are written as in JSON."""
        return "\n".join(
            f"{name} = {json.dumps(value)}" for name, value in vars(self).items() if value is not None
        )


class Platform:
    """A platform with its own folder, on free ports of loopback.

    Args:
        folder: the folder of its settings and state.
        language: the language of unknown callers.
        timing: timeouts of calls.
        more: further sections of the settings file.
        asterisk: further lines of the section [asterisk].
        rtp_ports: the number of UDP ports for RTP, four for each talk.
        verbose: whether serve.log has each step of each call.
    """

    def __init__(
        self,
        folder: Path,
        *,
        language: str = "en",
        timing: Timing | None = None,
        more: str = "",
        asterisk: str = "",
        rtp_ports: int = 400,
        verbose: bool = True,
    ) -> None:
        self.folder = folder
        self.sip_port = free_port(ADDRESS)
        self._language = language
        self._timing = timing or Timing()
        self._more = more
        self._asterisk = asterisk
        self._rtp_ports, self._verbose = rtp_ports, verbose
        self.settings: Settings
        self.database: Database
        self._process: asyncio.subprocess.Process | None = None
        self.said: list[str] = []
        self._reader: asyncio.Task[None] | None = None

    def write(self, trunk: str, account: tuple[str, str] | None = None) -> None:
        """Write the settings (see `write_settings`) and create the database."""
        self.write_settings(trunk, account)
        self.database = Database(self.settings.database_url)
        self.database.create_if_new()

    def write_settings(self, trunk: str, account: tuple[str, str] | None = None) -> None:
        """Write the settings with this [trunk] section, with registration if there is an account."""
        start, end = free_range(self._rtp_ports)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if account is not None:
            (self.folder / "trunk.password").write_text(account[1], encoding="utf-8")
            (self.folder / "trunk.password").chmod(0o600)
            trunk += f'\nmode = "registration"\nusername = "{account[0]}"\npassword_file = "trunk.password"'
        file = self.folder / settings_file.FILE_NAME
        text = _TOML.format(
            cli=CLI,
            language=self._language,
            trunk=trunk,
            address=ADDRESS,
            sip_port=self.sip_port,
            rtp_start=start,
            rtp_end=end,
            http_port=free_port(ADDRESS),
            agi_port=free_port(ADDRESS),
            ami_port=free_port(ADDRESS),
            hep_port=free_port(ADDRESS),
            call=self._timing.toml(),
            more=self._more,
            asterisk=self._asterisk,
        )
        file.write_text(text, encoding="utf-8")
        self.settings = settings_file.load(file)

    @property
    def file(self) -> Path:
        """The settings file."""
        return self.folder / settings_file.FILE_NAME

    # -- the process ----------------------------------------------------------------------------------------------

    async def start(self, *options: str, seconds: float = 30) -> None:
        """Run `taxiphone serve` and wait until it is ready for calls.

        Raises:
            SetupError: it ended or was not ready in time. The message has the end of its output.
        """
        log = os.open(self.folder / "serve.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "taxiphone", "--config", str(self.file)),
                *("serve", *(["--verbose"] if self._verbose else []), *options),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                # Ctrl-C must reach only the demo, which then stops this process.
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        finally:
            os.close(log)
        ready = asyncio.Event()
        self.said = []
        self._reader = asyncio.create_task(self._read(self._process, ready))
        try:
            async with asyncio.timeout(seconds):
                await ready.wait()
        except TimeoutError:
            await self.stop()
        if self._process is None or self._process.returncode is not None or not self._is_ready():
            raise SetupError(f"taxiphone serve did not start: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of the output of `taxiphone serve`."""
        log = (self.folder / "serve.log").read_text(encoding="utf-8").strip().splitlines()
        return " / ".join([*self.said[-2:], *log[-3:]])

    def _is_ready(self) -> bool:
        return any(line.startswith("Ready") for line in self.said)

    async def _read(self, process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        if process.stdout is None:
            return
        async for line in process.stdout:
            self.said.append(line.decode().rstrip())
            if self._is_ready():
                ready.set()
        ready.set()

    @property
    def pid(self) -> int:
        """The process id of `taxiphone serve`."""
        if self._process is None:
            raise RuntimeError("the platform is not running")
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to `taxiphone serve`."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def ended(self, seconds: float = 30) -> int:
        """Wait until `taxiphone serve` has ended and return its exit code."""
        if self._process is None:
            return 0
        async with asyncio.timeout(seconds):
            code = await self._process.wait()
        if self._reader is not None:
            await self._reader
        self._process = None
        return code

    async def stop(self) -> int:
        """Send SIGTERM, wait, and return the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return await self.ended()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.ended()

    async def stop_stray_asterisk(self) -> None:
        """Stop an Asterisk left running by a killed `taxiphone serve`."""
        server = AsteriskServer(locate.find(self.settings), self.settings.asterisk_home)
        if await server.adopt():
            await server.stop()

    async def channels(self) -> int:
        """Return the number of channels of its Asterisk."""
        return len(await self._channels())

    async def free(self, number: str) -> None:
        """Wait until no channel of its Asterisk belongs to a caller any more, so that another can have the line.

        Args:
            number: the caller's number in E.164.
        """
        async with asyncio.timeout(20):
            while any(number in channel for channel in await self._channels()):
                await asyncio.sleep(0.05)

    async def _channels(self) -> list[str]:
        server = AsteriskServer(locate.find(self.settings), self.settings.asterisk_home)
        listed = await server.rx("core show channels concise")
        return [line for line in listed.splitlines() if "!" in line]

    # -- the database ---------------------------------------------------------------------------------------------

    async def until(self, look: Callable[[Session], Found | None], what: str, seconds: float = 20) -> Found:
        """Wait until `look` finds something in the database.

        Raises:
            TimeoutError: nothing was found in time. The message has `what`.
        """
        try:
            async with asyncio.timeout(seconds):
                while not (found := await self.database.query(look)):
                    await asyncio.sleep(0.03)
                return found
        except TimeoutError:
            raise TimeoutError(f"{what}: not within {seconds:g} s; {self.last_words()}") from None

    async def marked(self, call_id: str, what: str, seconds: float = 20) -> CallEvent:
        """Wait until the platform has done something in a call (store.models.CallEvent)."""
        return await self.until(
            lambda session: session.scalar(
                select(CallEvent).where(CallEvent.call_id == call_id, CallEvent.what == what).limit(1)
            ),
            f"{what!r} in call {call_id}",
            seconds,
        )

    async def new_call(self, after: set[str], seconds: float = 20) -> str:
        """Wait for a call that is not in `after` and return its id."""
        return await self.until(
            lambda session: session.scalar(select(Call.id).where(Call.id.not_in(after)).limit(1)),
            "a call arrives",
            seconds,
        )

    async def finished(self, call_id: str, seconds: float = 20) -> Call:
        """Wait until a call is priced or closed."""
        return await self.until(
            lambda session: session.scalar(select(Call).where(Call.id == call_id, Call.status.in_(FINAL))),
            f"call {call_id} is priced or closed",
            seconds,
        )

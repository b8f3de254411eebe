"""Starts, monitors, adopts and stops an Asterisk process.

Asterisk runs in its own session, so that neither Ctrl-C nor a kill -9 of this program ends it: talks continue, and the
next start adopts the process (`adopt`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
from pathlib import Path

from taxiphone.dialplan.asterisk import log_keeper
from taxiphone.dialplan.asterisk.home import (
    Folders,
    close_to_others,
    find_process,
    link_documentation,
    write_files,
)
from taxiphone.dialplan.asterisk.keeper_watch import KeeperWatch, disown
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.dialplan.asterisk.refused_requests import size_of
from taxiphone.errors import AsteriskStartError, SetupError

log = logging.getLogger(__name__)

START_SECONDS = 15.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
# Printed once Asterisk has booted. If it fails while loading, `-rx` succeeds without this output.
_BOOTED = "fully booted"


class AsteriskServer:
    """An Asterisk with a home folder, whose etc/asterisk.conf names every other folder. Its logs stay within `bounds`.

    Attributes:
        asterisk: the program.
        home: the home folder, created by `write`.
        folders: the folders in the home.
        pid: the process id; None if the process was neither started nor adopted.
        adopted: whether the process was running already.
    """

    def __init__(
        self,
        asterisk: Asterisk,
        home: Path,
        bounds: log_keeper.Bounds = log_keeper.Bounds(10_000_000),  # noqa: B008 - it is frozen
    ) -> None:
        self.asterisk = asterisk
        self.home = home.resolve()
        self.folders = Folders(self.home)
        self.pid: int | None = None
        self.adopted = False
        self._pidfd: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self._ended.set()
        self._keeper = KeeperWatch(self.folders.log, self._arguments(), bounds)

    @property
    def conf(self) -> Path:
        """The path of asterisk.conf. It is part of the command line, which identifies the process."""
        return self.folders.etc / "asterisk.conf"

    @property
    def running(self) -> bool:
        """Whether the process was started or adopted and has not ended."""
        return not self._ended.is_set()

    def write(self, files: dict[str, str]) -> None:
        """Create the folders with mode 0700 and write the files to etc atomically with mode 0600.

        Raises:
            SetupError: a folder or file can't be written.
        """
        write_files(self.folders, files)
        close_to_others(self.folders)
        link_documentation(self.folders, self.asterisk)

    async def start(self) -> None:
        """Start Asterisk and return once it has fully booted.

        Raises:
            AsteriskStartError: it ended, or did not boot within 15 s. The message has the last lines of its log.
        """
        if self.running:
            return
        if find_process(self.conf) is not None:
            raise AsteriskStartError(
                f"an Asterisk with {self.conf} is already running; adopt it instead of starting it."
            )
        begin = self._log_size()
        try:
            self._watch(self._spawn())
        except OSError as error:
            raise AsteriskStartError(
                f"Asterisk can't be started: {error}. Run: taxiphone asterisk check"
            ) from None
        self.adopted = False
        log.info("Asterisk %s started, pid %s", self.asterisk.version_text, self.pid)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._booted()
        except TimeoutError:
            await self.stop()
            raise AsteriskStartError(
                f"Asterisk did not boot within {START_SECONDS:.0f} s. {self._log_excerpt(begin)}"
            ) from None
        except asyncio.CancelledError:
            await self.stop()
            raise
        if not self.running:
            raise AsteriskStartError(f"Asterisk ended during startup. {self._log_excerpt(begin)}")

    async def adopt(self) -> bool:
        """Adopt the Asterisk that is running with this home; return False if there is none.

        It is identified by its command line, which names this home's asterisk.conf. A stored process id could have been
        reused.

        Raises:
            AsteriskStartError: it is running, but does not respond.
        """
        if self.running:
            return True
        pid = find_process(self.conf)
        if pid is None:
            return False
        try:
            self._watch(pid)
        except ProcessLookupError:
            # The process has just ended.
            return False
        self.adopted = True
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._booted()
        except TimeoutError:
            self.release()
            raise AsteriskStartError(
                f"an earlier Asterisk with pid {pid} is running, but does not respond. Run: kill {pid}"
            ) from None
        if self.running:
            log.info("Asterisk adopted, pid %s", pid)
        return self.running

    async def stop(self, *, graceful: bool = False) -> None:
        """Stop Asterisk, ending all calls.

        With `graceful`, it accepts no new calls and stops when the last one has ended, however long that takes. If the
        process does not stop, it gets SIGTERM after 10 s and SIGKILL after 10 s more.
        """
        pid = self.pid
        if not self.running or pid is None:
            self.release()
            return
        try:
            await self.rx("core stop gracefully" if graceful else "core stop now")
        except SetupError as error:
            log.warning("Asterisk rejected the stop command; sending SIGTERM: %s", error)
            self._signal(signal.SIGTERM)
        if graceful:
            await self._ended.wait()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._ended.wait()
                break
            except TimeoutError:
                log.warning("Asterisk, pid %s, has not stopped; sending %s", pid, number.name)
                self._signal(number)
        await self._ended.wait()
        await self._keeper.exited()
        log.info("Asterisk stopped, pid %s", pid)

    def release(self) -> None:
        """Stop monitoring and leave Asterisk running, so that a later `adopt` finds it."""
        self._keeper.release()
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        disown(self._child)
        self._child = None
        self.pid = None
        self._ended.set()

    async def wait_ended(self) -> None:
        """Wait until the process has ended for any reason."""
        await self._ended.wait()

    async def rx(self, command: str) -> str:
        """Run a command of Asterisk's CLI through the control socket and return its output.

        Raises:
            SetupError: Asterisk does not respond.
        """
        process = await asyncio.create_subprocess_exec(
            *self._arguments("-rx", command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        if process.returncode != 0:
            message = (err or out).decode(errors="replace").strip()
            raise SetupError(f"Asterisk does not respond on its control socket: {message}")
        return out.decode(errors="replace")

    def _arguments(self, *options: str) -> list[str]:
        return [*self.asterisk.command, "-C", str(self.conf), *options]

    def _spawn(self) -> int:
        path = self.folders.log / log_keeper.CONSOLE
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as console:  # noqa: PTH123 - a descriptor, for its mode
            # A file of an earlier version may be readable by others.
            os.fchmod(descriptor, 0o600)
            self._child = subprocess.Popen(
                self._arguments("-f"),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                start_new_session=True,
                # Recordings and logs are readable by their owner only.
                umask=0o077,
            )
        return self._child.pid

    def _watch(self, pid: int) -> None:
        """Monitor a process through a descriptor, which also works for a process that is not a child."""
        self._pidfd = os.pidfd_open(pid)
        self.pid = pid
        self._ended.clear()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, self._on_end)
        self._keeper.begin(pid)

    def _on_end(self) -> None:
        self._keeper.asterisk_ended()
        if self._child is not None:
            status = self._child.wait()
            log.info("Asterisk, pid %s, ended with status %s", self.pid, status)
        else:
            log.info("Asterisk, pid %s, ended", self.pid)
        self.release()

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return

    async def _booted(self) -> None:
        """Wait until Asterisk has loaded all modules or the process has ended."""
        while self.running:
            if (self.folders.run / "asterisk.ctl").exists():
                try:
                    if _BOOTED in await self.rx("core waitfullybooted"):
                        return
                except SetupError as error:
                    log.debug("not booted yet: %s", error)
            await asyncio.sleep(_POLL_SECONDS)

    def _log_size(self) -> int:
        return size_of(self.folders.log / log_keeper.MESSAGES)

    def _log_excerpt(self, begin: int) -> str:
        """Return the last lines of the log since byte `begin`; errors if there are any."""
        lines: list[str] = []
        messages = self.folders.log / log_keeper.MESSAGES
        if messages.exists():
            with messages.open("rb") as file:
                file.seek(begin)
                lines = file.read().decode(errors="replace").splitlines()
        if not lines:
            lines = (self.folders.log / log_keeper.CONSOLE).read_text(errors="replace").splitlines()
        lines = [line.strip() for line in lines if line.strip()]
        errors = [line for line in lines if re.search(r"\bERROR\b", line)]
        excerpt = " / ".join((errors or lines)[-3:]) or "nothing"
        return f"Its log says: {excerpt} (full log: {messages})"

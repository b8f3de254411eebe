"""One running Asterisk: its files written, started, watched, taken over after a crash of ours, stopped.

It runs in a session of its own, so that neither Ctrl-C nor a kill -9 of the program reaches it: the talks go
on, and the next start takes it over (`adopt`).
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
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.dialplan.asterisk.refused_requests import size_of
from taxiphone.errors import AsteriskStartError, SetupError

log = logging.getLogger(__name__)

START_SECONDS = 15.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
# An Asterisk that gives up while it loads closes the control connection without a word, and that is no error to -rx.
_BOOTED = "fully booted"
_KEEPER_SECONDS = 5.0  # between two looks whether somebody keeps the logs short


class AsteriskServer:
    """An Asterisk over a home folder, whose etc/asterisk.conf names every other folder.

    Attributes:
        asterisk: what is run.
        home: the home folder, made by `write`.
        bounds: how large its logs may grow.
        folders: the folders in it.
        pid: of the running process; None when there is none, or none of ours.
        adopted: whether it ran already when we came.
    """

    def __init__(
        self,
        asterisk: Asterisk,
        home: Path,
        bounds: log_keeper.Bounds = log_keeper.Bounds(10_000_000),  # noqa: B008 - it is frozen
    ) -> None:
        self.asterisk = asterisk
        self.bounds = bounds
        self.home = home.resolve()
        self.folders = Folders(self.home)
        self.pid: int | None = None
        self.adopted = False
        self._pidfd: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self._ended.set()
        self._keeping: asyncio.Task[None] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._keeper_ends: asyncio.Future[int] | None = None

    @property
    def conf(self) -> Path:
        """The file that makes this Asterisk this Asterisk: it stands in the process's command line."""
        return self.folders.etc / "asterisk.conf"

    @property
    def running(self) -> bool:
        """Whether it was started or adopted and has not ended."""
        return not self._ended.is_set()

    def write(self, files: dict[str, str]) -> None:
        """Make the home's folders, 0700, and put the files into etc, 0600, each in one step.

        Raises:
            SetupError: a folder or file can't be written.
        """
        write_files(self.folders, files)
        close_to_others(self.folders)
        link_documentation(self.folders, self.asterisk)

    async def start(self) -> None:
        """Start it and return once it is fully booted.

        Raises:
            AsteriskStartError: it ended or was not up within 15 s; with the last lines of its log.
        """
        if self.running:
            return
        if find_process(self.conf) is not None:
            raise AsteriskStartError(
                f"an Asterisk with {self.conf} runs already; it is adopted, not started."
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
                f"Asterisk was not up after {START_SECONDS:.0f} s. {self._last_words(begin)}"
            ) from None
        except asyncio.CancelledError:
            await self.stop()
            raise
        if not self.running:
            raise AsteriskStartError(f"Asterisk ended while it started. {self._last_words(begin)}")

    async def adopt(self) -> bool:
        """Take over an Asterisk that runs with this very home; False when there is none.

        It is known by its command line, which names this home's asterisk.conf: a process id alone may be
        anybody's by now.

        Raises:
            AsteriskStartError: it runs, but does not answer.
        """
        if self.running:
            return True
        pid = find_process(self.conf)
        if pid is None:
            return False
        try:
            self._watch(pid)
        except ProcessLookupError:  # it ended just now
            return False
        self.adopted = True
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._booted()
        except TimeoutError:
            self.release()
            raise AsteriskStartError(
                f"the Asterisk with pid {pid}, left from before, does not answer. Stop it: kill {pid}"
            ) from None
        if self.running:
            log.info("Asterisk taken over, pid %s", pid)
        return self.running

    async def stop(self, *, graceful: bool = False) -> None:
        """End it: calls are cut, or, with `graceful`, awaited however long they take while no new one is let in.

        Whatever happens, no process is left: SIGTERM after 10 s, SIGKILL after 10 more.
        """
        pid = self.pid
        if not self.running or pid is None:
            self.release()
            return
        try:
            await self.rx("core stop gracefully" if graceful else "core stop now")
        except SetupError as error:
            log.warning("Asterisk did not take the command to stop: %s", error)
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
        if self._keeper_ends is not None:
            await self._keeper_ends
        log.info("Asterisk stopped, pid %s", pid)

    def release(self) -> None:
        """Stop watching and leave it running, as a kill -9 would; a later `adopt` finds it."""
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        for child in (self._child, self._keeper):
            if child is not None and child.poll() is None:
                child.returncode = 0  # else Popen warns of a child that nobody waits for, which is the intent
        self._child = self._keeper = None
        self.pid = None
        self._ended.set()

    async def wait_ended(self) -> None:
        """Return when the process is gone, whoever ended it."""
        await self._ended.wait()

    async def rx(self, command: str) -> str:
        """Run one command of Asterisk's command line through its control socket; its output.

        Raises:
            SetupError: Asterisk does not answer.
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
            said = (err or out).decode(errors="replace").strip()
            raise SetupError(f"Asterisk does not answer at its control socket: {said}")
        return out.decode(errors="replace")

    def _arguments(self, *options: str) -> list[str]:
        return [*self.asterisk.command, "-C", str(self.conf), *options]

    def _spawn(self) -> int:
        path = self.folders.log / log_keeper.CONSOLE
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as console:  # noqa: PTH123 - a descriptor, for its mode
            os.fchmod(descriptor, 0o600)  # one of an earlier version is open to others
            self._child = subprocess.Popen(
                self._arguments("-f"),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                start_new_session=True,
                umask=0o077,  # recordings and logs are the owner's only
            )
        return self._child.pid

    def _watch(self, pid: int) -> None:
        """See the process's end through a descriptor: right for a child and for one that we did not start."""
        self._pidfd = os.pidfd_open(pid)
        self.pid = pid
        self._ended.clear()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, self._on_end)
        self._keeping = loop.create_task(self._keep_logs_short())

    def _on_end(self) -> None:
        if self._keeper is not None:
            # It ends with Asterisk, by itself.
            self._keeper_ends = asyncio.get_running_loop().run_in_executor(None, self._keeper.wait)
            self._keeper = None
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
        """Wait for the control socket to answer and all modules to be loaded, or for the process to end."""
        while self.running:
            if (self.folders.run / "asterisk.ctl").exists():
                try:
                    if _BOOTED in await self.rx("core waitfullybooted"):
                        return
                except SetupError as error:
                    log.debug("not up yet: %s", error)
            await asyncio.sleep(_POLL_SECONDS)

    def _log_size(self) -> int:
        return size_of(self.folders.log / log_keeper.MESSAGES)

    async def _keep_logs_short(self) -> None:
        """See to it that there is a keeper of the logs, which outlives this program (see log_keeper)."""
        while self.pid is not None:
            if self._keeper is None or self._keeper.poll() is not None:
                try:
                    self._keeper = log_keeper.start(
                        self.folders.log, self.pid, self._arguments(), self.bounds
                    )
                except OSError as error:
                    log.warning("nobody keeps Asterisk's logs short: %s", error)
            await asyncio.sleep(_KEEPER_SECONDS)

    def _last_words(self, begin: int) -> str:
        """What its log says about the failure since byte `begin`, errors first."""
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
        said = " / ".join((errors or lines)[-3:]) or "nothing"
        return f"Its log says: {said} (all of it: {messages})"

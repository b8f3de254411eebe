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
import stat
import subprocess
import tempfile
from pathlib import Path

from taxiphone.dialplan.config import Folders
from taxiphone.dialplan.locate import Asterisk
from taxiphone.errors import AsteriskStartError, SetupError

log = logging.getLogger(__name__)

START_SECONDS = 15.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_LOG_LIMIT = 20_000_000  # bytes of Asterisk's own log before a start puts it aside
_LOG_KEPT = 5


class AsteriskServer:
    """An Asterisk over a home folder, whose etc/asterisk.conf names every other folder.

    Attributes:
        asterisk: what is run.
        home: the home folder, made by `write`.
        folders: the folders in it.
        pid: of the running process; None when there is none, or none of ours.
        adopted: whether it ran already when we came.
    """

    def __init__(self, asterisk: Asterisk, home: Path) -> None:
        self.asterisk = asterisk
        self.home = home.resolve()
        self.folders = Folders(self.home)
        self.pid: int | None = None
        self.adopted = False
        self._pidfd: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def conf(self) -> Path:
        """The file that makes this Asterisk this Asterisk: it stands in the process's command line."""
        return self.folders.etc / "asterisk.conf"

    @property
    def running(self) -> bool:
        """Whether it was started or adopted and has not ended."""
        return not self._ended.is_set()

    def write(self, files: dict[str, str]) -> None:
        """Make the folders, 0700, and put the files into etc, 0600, each in one step.

        Raises:
            SetupError: a folder or file can't be written.
        """
        try:
            for folder in self.folders.all():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _own_only(self.folders.run)
            self._link_documentation()
            for name, text in files.items():
                _replace(self.folders.etc / name, text)
        except OSError as error:
            raise SetupError(
                f"Asterisk's home {self.home} can't be written: {error.strerror} ({error.filename})."
            ) from None

    async def start(self) -> None:
        """Start it and return once it is fully booted.

        Raises:
            AsteriskStartError: it ended or was not up within 15 s; with the last lines of its log.
        """
        if self.running:
            return
        if _find_process(self.conf) is not None:
            raise AsteriskStartError(
                f"an Asterisk with {self.conf} runs already; it is adopted, not started."
            )
        self._rotate_log()
        begin = self._log_size()
        self._watch(self._spawn())
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
        pid = _find_process(self.conf)
        if pid is None:
            return False
        try:
            self._watch(pid)
        except ProcessLookupError:
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
        if not self.running:
            return False
        log.info("Asterisk taken over, pid %s", pid)
        return True

    async def start_or_adopt(self) -> None:
        """Take over the one that runs, else start one.

        Raises:
            AsteriskStartError: neither worked.
        """
        if not await self.adopt():
            await self.start()

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
        log.info("Asterisk stopped, pid %s", pid)

    def release(self) -> None:
        """Stop watching and leave it running, as a kill -9 would; a later `adopt` finds it."""
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._child is not None and self._child.poll() is None:
            self._child.returncode = (
                0  # else Popen warns of a child that nobody waits for, which is the intent
            )
        self._child = None
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

    def _link_documentation(self) -> None:
        """Asterisk learns its own settings from its documentation, and does not start without it."""
        link = self.folders.data / "documentation"
        target = self.asterisk.data / "documentation"
        if link.is_symlink() and link.readlink() == target:
            return
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    def _arguments(self, *options: str) -> list[str]:
        return [*self.asterisk.command, "-C", str(self.conf), *options]

    def _spawn(self) -> int:
        with (self.folders.log / "console.log").open("wb") as console:
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
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    def _on_end(self) -> None:
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
                    await self.rx("core waitfullybooted")
                except SetupError as error:
                    log.debug("not up yet: %s", error)
                else:
                    return
            await asyncio.sleep(_POLL_SECONDS)

    def _log_size(self) -> int:
        path = self.folders.log / "messages.log"
        return path.stat().st_size if path.exists() else 0

    def _rotate_log(self) -> None:
        """Asterisk never shortens its log by itself; before a start is the moment when nobody writes to it."""
        path = self.folders.log / "messages.log"
        if self._log_size() < _LOG_LIMIT:
            return
        for number in range(_LOG_KEPT - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.1"))

    def _last_words(self, begin: int) -> str:
        """What its log says about the failure since byte `begin`, errors first."""
        lines: list[str] = []
        messages = self.folders.log / "messages.log"
        if messages.exists():
            with messages.open("rb") as file:
                file.seek(begin)
                lines = file.read().decode(errors="replace").splitlines()
        if not lines:
            lines = (self.folders.log / "console.log").read_text(errors="replace").splitlines()
        lines = [line.strip() for line in lines if line.strip()]
        errors = [line for line in lines if re.search(r"\bERROR\b", line)]
        said = " / ".join((errors or lines)[-3:]) or "nothing"
        return f"Its log says: {said} (all of it: {messages})"


def _find_process(conf: Path) -> int | None:
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

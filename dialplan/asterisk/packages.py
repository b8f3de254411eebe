"""Fetches Debian packages with their dependencies and unpacks them into a folder, without root or changes to the system.

apt resolves, fetches and verifies the packages with its own state: an empty list of installed packages, one source (suite
unstable, verified with Debian's keyring), and of the machine's configuration only the `Acquire` options. Programs of the
tree run with its own loader and libraries, so the machine's release does not matter.

An interrupted run can be resumed: fetched packages are kept until they are unpacked, and the complete tree is moved into
place atomically.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from taxiphone.dialplan.asterisk.mirrors import mirrors, output
from taxiphone.errors import SetupError

SUITE = "unstable"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MARKER = ".taxiphone-packages.json"

Tell = Callable[[str, float], None]
"""Called with the current step and its progress from 0 to 1."""


@dataclass(frozen=True)
class Tree:
    """A folder of unpacked packages.

    Attributes:
        root: the folder.
        packages: versions by package name.
    """

    root: Path
    packages: dict[str, str]

    def command(self, program: str) -> tuple[str, ...]:
        """Return the command line that runs a program with the tree's own loader and libraries.

        Args:
            program: the path in the tree, such as `usr/bin/sipp`.

        Raises:
            SetupError: the tree is incomplete.
        """
        loader = next(self.root.glob("usr/lib/*/ld-linux*.so.*"), None)
        if loader is None or not (self.root / program).exists():
            raise SetupError(
                f"{self.root} is incomplete: {program} or its loader is missing. Remove the folder and try again."
            )
        return (str(loader), "--library-path", str(loader.parent), str(self.root / program))


def read(root: Path) -> Tree | None:
    """Return the tree in a folder; None if there is no complete one."""
    try:
        marker = json.loads((root / MARKER).read_text(encoding="utf-8"))
        return Tree(root, dict(marker["packages"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fetch(
    names: Sequence[str],
    root: Path,
    *,
    mirror: str | None = None,
    force: bool = False,
    tell: Tell = lambda _what, _part: None,
) -> Tree:
    """Fetch packages with their dependencies and unpack them to `root`, unless it has them already.

    Args:
        names: packages of Debian unstable.
        root: the folder. It is replaced as a whole.
        mirror: address of a Debian mirror; None for the one that this machine uses.
        force: fetch the newest versions even if the tree is complete.
        tell: called with the progress.

    Raises:
        SetupError: a tool is missing, or apt failed. The message says what to do.
    """
    wanted = sorted(names)
    if not force and (tree := _complete_tree(wanted, root)):
        return tree
    _check_tools()
    work = root.with_name(f"{root.name}.work")
    try:
        root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(root.with_name(f"{root.name}.lock"), tell):
            # Another run may have created the tree while this one was waiting.
            if not force and (tree := _complete_tree(wanted, root)):
                return tree
            archives = _download(wanted, work, [mirror] if mirror else mirrors(), tell)
            unpacked = _unpack(archives, work / "tree", tell)
            versions = dict(_name_and_version(archive.name) for archive in archives)
            marker = {"names": wanted, "suite": SUITE, "packages": versions}
            (unpacked / MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")
            if root.exists():
                shutil.rmtree(work / "old", ignore_errors=True)
                root.replace(work / "old")
            unpacked.replace(root)
            shutil.rmtree(work)
    except OSError as error:
        raise SetupError(f"{error.filename or root} can't be written: {error.strerror}.") from None
    return Tree(root, versions)


def remove(root: Path) -> bool:
    """Delete a tree and the files of an interrupted run; return False if there was nothing."""
    removed = False
    for path in (root, root.with_name(f"{root.name}.work")):
        if path.exists():
            shutil.rmtree(path)
            removed = True
    root.with_name(f"{root.name}.lock").unlink(missing_ok=True)
    return removed


def _complete_tree(wanted: list[str], root: Path) -> Tree | None:
    tree = read(root)
    return tree if tree and all(name in tree.packages for name in wanted) else None


def _check_tools() -> None:
    missing = [name for name in ("apt-get", "apt-config", "dpkg", "dpkg-deb") if shutil.which(name) is None]
    if missing:
        raise SetupError(
            f"{', '.join(missing)} not found: this system is not Debian or Ubuntu. Install Asterisk 22.10.1 or later with "
            "your system's package manager. Taxiphone uses it if it is on the PATH."
        )
    if not KEYRING.exists():
        raise SetupError(
            f"Debian's keyring {KEYRING} is missing, so packages can't be verified. "
            "Run: sudo apt-get install debian-archive-keyring"
        )


@contextlib.contextmanager
def _locked(path: Path, tell: Tell) -> Iterator[None]:
    """Allow only one run at a time; a second one waits for the first."""
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another run", 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sources_list(mirror: str) -> str:
    """Return the content of sources.list.

    Raises:
        SetupError: the address is invalid.
    """
    if not re.fullmatch(r"[a-z+]+:[^\s\[\]#]+", mirror):
        raise SetupError(f"{mirror!r} is not the address of a mirror, such as https://deb.debian.org/debian.")
    return f"deb [signed-by={KEYRING}] {mirror} {SUITE} main\n"


def apt_conf(work: Path, acquire: str, architecture: str) -> str:
    """Return the configuration of apt for a run in `work`.

    Args:
        work: the folder of apt's state.
        acquire: the machine's `Acquire` options as printed by `apt-config dump`, such as proxies.
        architecture: Debian's name of the machine's architecture.
    """
    kept = "\n".join(line for line in acquire.splitlines() if line.startswith("Acquire::"))
    return f"""{kept}
Acquire::Languages "none";
Acquire::PDiffs "false";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Dir::State "{work}/state";
Dir::State::status "{work}/status";
Dir::Cache "{work}/cache";
Dir::Etc::sourcelist "{work}/sources.list";
Dir::Etc::sourceparts "{work}/none";
Dir::Etc::preferences "{work}/none";
Dir::Etc::preferencesparts "{work}/none";
Dir::Etc::main "{work}/none";
Dir::Etc::parts "{work}/none";
"""


def _download(names: list[str], work: Path, addresses: Sequence[str], tell: Tell) -> list[Path]:
    archives = work / "cache/archives"
    for folder in (work / "state/lists/partial", archives / "partial"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (work / "status").write_text("")
    architecture = output("dpkg", "--print-architecture").strip()
    conf = work / "apt.conf"
    # The address of a proxy may contain a password.
    conf.touch(mode=0o600)
    conf.write_text(apt_conf(work, output("apt-config", "dump", "Acquire"), architecture), encoding="utf-8")
    for number, address in enumerate(addresses, start=1):
        (work / "sources.list").write_text(sources_list(address), encoding="utf-8")
        try:
            _apt(conf, "reading package lists", tell, "update", "--error-on=any")
            break
        except SetupError:
            if number == len(addresses):
                raise
    wanted = _apt(conf, "resolving dependencies", tell, "install", "--yes", "--print-uris", *names)
    wanted_names = set(re.findall(r"^'[^']+' (\S+\.deb) ", wanted, flags=re.MULTILINE))
    _apt(conf, "fetching", tell, "install", "--yes", "--download-only", *names)
    return sorted(path for path in archives.glob("*.deb") if not wanted_names or path.name in wanted_names)


def _apt(conf: Path, what: str, tell: Tell, *arguments: str) -> str:
    """Run apt-get with our configuration, report its progress and return its output.

    Raises:
        SetupError: apt failed. The message has apt's own error.
    """
    tell(what, 0)
    reading, writing = os.pipe()
    command = ["apt-get", "--quiet=2", "-o", f"APT::Status-Fd={writing}", *arguments]
    environment = os.environ | {
        "APT_CONFIG": str(conf),
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    log = conf.with_name("apt.log")
    with (
        log.open("w+", encoding="utf-8") as output,
        os.fdopen(reading, encoding="utf-8", errors="replace") as status,
    ):
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[writing],
                env=environment,
            )
        finally:
            os.close(writing)
        try:
            for line in status:
                if found := re.match(r"dlstatus:[^:]*:([\d.]+):", line):
                    tell(what, float(found.group(1)) / 100)
            process.wait()
        except BaseException:
            # After Ctrl-C, the next run continues with what has been fetched.
            process.terminate()
            process.wait()
            raise
        output.seek(0)
        text = output.read()
    if process.returncode != 0:
        lines = [line for line in text.splitlines() if re.match(r"[EW]:|Err:", line)]
        raise SetupError(f"apt failed while {what}: {' / '.join(lines[:3]) or text.strip()[-500:]}")
    return text


def _unpack(archives: Sequence[Path], into: Path, tell: Tell) -> Path:
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for number, archive in enumerate(archives):
        tell("unpacking", number / len(archives))
        done = subprocess.run(
            ["dpkg-deb", "--extract", str(archive), str(into)],  # noqa: S607 - the PATH's own
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            # The next run fetches it again.
            archive.unlink()
            raise SetupError(
                f"{archive.name} can't be unpacked: {done.stderr.strip()}. Check the free disk space and run the command again."
            )
    tell("unpacking", 1)
    return into


def _name_and_version(file_name: str) -> tuple[str, str]:
    """Parse an archive's name, such as libc6_2.42-1_amd64.deb. apt writes the `:` of a version as %3a."""
    name, version, _ = file_name.split("_", 2)
    return name, unquote(version)

"""Where Debian's packages come from: the mirror that this machine's own apt uses already.

A machine of another distribution, such as Ubuntu, has none. There it is the one that is chosen (`--mirror`, or
$TAXIPHONE_MIRROR), else Debian's own, whose address is read from what python-apt knows of each distribution. Wherever the
packages come from, their signatures are checked against Debian's keyring (packages.py).
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from taxiphone.errors import SetupError

# Names under which Debian's mirrors carry a release; an Ubuntu's or a vendor's are others.
_DEBIAN_SUITES = frozenset(
    {"sid", "unstable", "testing", "stable", "oldstable", "bullseye", "bookworm", "trixie", "forky", "duke"}
)


_UNSTABLE = ("sid", "unstable")  # the suite that is fetched (packages.py), by its codename and its name


@dataclass(frozen=True)
class Source:
    """One entry of apt's sources: an address, the suite and the components that it gives."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


TEMPLATES = Path("/usr/share/python-apt/templates/Debian.info")
"""What python-apt (package python-apt-common, which an Ubuntu usually has) knows of Debian's suites."""

ENVIRONMENT = "TAXIPHONE_MIRROR"


def mirrors(templates: Path = TEMPLATES) -> list[str]:
    """Addresses of Debian's archive, the likeliest first.

    That which $TAXIPHONE_MIRROR names; else those that this machine's own sources name; else Debian's own, by `templates`.

    Raises:
        SetupError: none is known; says what to do.
    """
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return [chosen]
    sources = [
        source for path in _source_files() for source in parse_sources(path.read_text(errors="replace"))
    ]
    found = debian_mirrors(sources)
    if not found:
        sites = output(
            "apt-get", "indextargets", "--no-release-info", "--format", "$(SITE) $(RELEASE) $(COMPONENT)"
        )
        lines = [line.split() for line in sites.splitlines()]
        found = debian_mirrors([Source(line[0], line[1], (line[2],)) for line in lines if len(line) == 3])  # noqa: PLR2004
    found = found or _of_debians_own(templates)
    if found:
        return found
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "this system")
    raise SetupError(
        f"{system} has no Debian mirror among its package sources, and this is taken from Debian unstable. "
        "Run: sudo apt-get install python-apt-common, which knows Debian's own mirror; or choose one near you (its address "
        f"ends in /debian), and give it by --mirror ADDRESS or by the variable {ENVIRONMENT}."
    )


def _of_debians_own(templates: Path) -> list[str]:
    try:
        text = templates.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [address for suite in _UNSTABLE for address in template_mirrors(text, suite)][:1]


def template_mirrors(text: str, suite: str) -> list[str]:
    """The addresses that a template of python-apt's names for a suite: stanzas that begin with its `Suite`."""
    found: list[str] = []
    of_suite = False
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == "Suite":
            of_suite = value.strip() == suite
        elif key == "BaseURI" and of_suite:
            found.append(value.strip().rstrip("/"))
    return found


def _source_files() -> list[Path]:
    places = dict(
        line.split("=", 1)
        for line in output(
            "apt-config", "shell", "list", "Dir::Etc::sourcelist/f", "parts", "Dir::Etc::sourceparts/d"
        ).splitlines()
    )
    single = Path(places.get("list", "").strip("'"))
    folder = Path(places.get("parts", "").strip("'"))
    parts = (
        [path for path in folder.glob("*") if path.suffix in {".list", ".sources"}] if folder.is_dir() else []
    )
    return [path for path in (single, *sorted(parts)) if path.is_file() and os.access(path, os.R_OK)]


def parse_sources(text: str) -> list[Source]:
    """Read apt's sources, either one line each or in deb822 form (sources.list(5))."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    if any(re.match(r"(?i)uris\s*:", line) for line in lines):
        stanzas = re.split(r"\n\s*\n", "\n".join(lines))
        return [source for stanza in stanzas for source in _stanza(stanza)]
    return [source for line in lines if (source := _line(line))]


def _line(line: str) -> Source | None:
    found = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)", line)
    if found is None:
        return None
    options, uri, suite, components = found.groups(default="")
    signed = re.search(r"signed-by=(\S+)", options)
    return Source(uri, suite, tuple(components.split()), signed.group(1) if signed else "")


def _stanza(text: str) -> Iterator[Source]:
    fields: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line[:1].isspace():
            fields[key] = f"{fields.get(key, '')} {line.strip()}"
        elif ":" in line:
            key, value = line.split(":", 1)
            key = key.strip().lower()
            fields[key] = value.strip()
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {
        "no",
        "false",
        "0",
    }:
        return
    for uri in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            yield Source(uri, suite, tuple(fields.get("components", "").split()), fields.get("signed-by", ""))


def debian_mirrors(sources: Sequence[Source]) -> list[str]:
    """Which addresses are Debian's archive itself: a release's own suite with `main`; signed as Debian's goes first."""
    fitting = [source for source in sources if source.suite in _DEBIAN_SUITES and "main" in source.components]
    fitting.sort(key=lambda source: "debian-archive" not in source.signed_by)
    return list(dict.fromkeys(source.uri.rstrip("/") for source in fitting))


def output(*command: str) -> str:
    """What a command prints; nothing where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def mirror_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option --mirror of every command that may fetch packages."""
    return click.option(
        "--mirror",
        metavar="ADDRESS",
        help="A Debian mirror to fetch from; else the one this machine uses already.",
    )(command)

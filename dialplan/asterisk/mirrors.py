"""Finds a Debian mirror: the one chosen by the user, or the one that this machine's apt uses.

Another distribution, such as Ubuntu, uses no Debian mirror. There, Debian's main mirror is used, whose address comes from
python-apt's data. Signatures of packages are always verified with Debian's keyring (packages.py).
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

# Suites of Debian's mirrors. Ubuntu's and vendors' have other names.
_DEBIAN_SUITES = frozenset(
    {"sid", "unstable", "testing", "stable", "oldstable", "bullseye", "bookworm", "trixie", "forky", "duke"}
)

# Codename and name of the suite from which packages are fetched (packages.py).
_UNSTABLE = ("sid", "unstable")


@dataclass(frozen=True)
class Source:
    """An entry of apt's sources."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


TEMPLATES = Path("/usr/share/python-apt/templates/Debian.info")
"""python-apt's data on Debian's suites (package python-apt-common, which Ubuntu usually has)."""

ENVIRONMENT = "TAXIPHONE_MIRROR"


def mirrors(templates: Path = TEMPLATES) -> list[str]:
    """Return the addresses of Debian mirrors, in order of preference.

    These are the one in $TAXIPHONE_MIRROR, or those in this machine's apt sources, or Debian's main mirror.

    Raises:
        SetupError: no mirror is known. The message says what to do.
    """
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return [chosen]
    sources = [
        source for path in _source_files() for source in parse_sources(path.read_text(errors="replace"))
    ]
    addresses = debian_mirrors(sources)
    if not addresses:
        sites = output(
            "apt-get", "indextargets", "--no-release-info", "--format", "$(SITE) $(RELEASE) $(COMPONENT)"
        )
        lines = [line.split() for line in sites.splitlines()]
        addresses = debian_mirrors([Source(line[0], line[1], (line[2],)) for line in lines if len(line) == 3])  # noqa: PLR2004
    addresses = addresses or _main_mirror(templates)
    if addresses:
        return addresses
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "this system")
    raise SetupError(
        f"the packages come from Debian unstable, but {system} has no Debian mirror among its package sources. "
        "Run: sudo apt-get install python-apt-common, which knows Debian's main mirror. Or choose a mirror (its address "
        f"ends in /debian) with --mirror ADDRESS or the environment variable {ENVIRONMENT}."
    )


def _main_mirror(templates: Path) -> list[str]:
    try:
        text = templates.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [address for suite in _UNSTABLE for address in template_mirrors(text, suite)][:1]


def template_mirrors(text: str, suite: str) -> list[str]:
    """Return the addresses of a suite in a python-apt template, whose stanzas start with `Suite`."""
    addresses: list[str] = []
    in_suite = False
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == "Suite":
            in_suite = value.strip() == suite
        elif key == "BaseURI" and in_suite:
            addresses.append(value.strip().rstrip("/"))
    return addresses


def _source_files() -> list[Path]:
    variables = dict(
        line.split("=", 1)
        for line in output(
            "apt-config", "shell", "list", "Dir::Etc::sourcelist/f", "parts", "Dir::Etc::sourceparts/d"
        ).splitlines()
    )
    single = Path(variables.get("list", "").strip("'"))
    folder = Path(variables.get("parts", "").strip("'"))
    parts = (
        [path for path in folder.glob("*") if path.suffix in {".list", ".sources"}] if folder.is_dir() else []
    )
    return [path for path in (single, *sorted(parts)) if path.is_file() and os.access(path, os.R_OK)]


def parse_sources(text: str) -> list[Source]:
    """Parse apt's sources in one-line or deb822 format (sources.list(5))."""
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
    """Return the addresses with a Debian suite and `main`; sources signed by Debian's keyring come first."""
    matching = [
        source for source in sources if source.suite in _DEBIAN_SUITES and "main" in source.components
    ]
    matching.sort(key=lambda source: "debian-archive" not in source.signed_by)
    return list(dict.fromkeys(source.uri.rstrip("/") for source in matching))


def output(*command: str) -> str:
    """Return a command's output; empty if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def mirror_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option --mirror to a command that may fetch packages."""
    return click.option(
        "--mirror",
        metavar="ADDRESS",
        help="A Debian mirror to fetch from. Default: the one that this machine uses.",
    )(command)

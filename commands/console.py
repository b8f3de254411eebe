"""What every command shares: settings and database on demand, tables for people, JSON for programs."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

from taxiphone import settings as settings_file
from taxiphone.commands import tables
from taxiphone.commands.streams import encodable
from taxiphone.errors import SettingsError
from taxiphone.settings import Settings
from taxiphone.settings_types import shown
from taxiphone.speech.prompt_texts import Languages
from taxiphone.store.database import Database

Command = TypeVar("Command", bound=Callable[..., Any])

# Into a pipe or a file nothing is cut: a table is as wide as what it holds.
_WIDTH = None if sys.stdout is not None and sys.stdout.isatty() else 1000

out = Console(highlight=False, emoji=False, soft_wrap=True, width=_WIDTH)
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


@dataclass
class App:
    """What a command works with; click hands it on as its context object."""

    config: Path | None = None
    _cache: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The checked settings.

        Raises:
            SettingsError: there is no usable file.
        """
        if "settings" not in self._cache:
            loaded = settings_file.load(settings_file.find(self.config))
            _check_language(loaded)
            self._cache["settings"] = loaded
        found: Settings = self._cache["settings"]
        return found

    @property
    def database(self) -> Database:
        """The database, at this program's schema version; SQLite's file is made where there is none yet.

        Raises:
            SchemaError: it is at another version.
        """
        if "database" not in self._cache:
            database = Database(self.settings.database_url)
            database.create_if_new()
            database.check_version()
            self._cache["database"] = database
        opened: Database = self._cache["database"]
        return opened

    def close(self) -> None:
        """Give the database's connections back, where it was used."""
        opened: Database | None = self._cache.pop("database", None)
        if opened is not None:
            opened.close()


def _check_language(settings: Settings) -> None:
    """Refuse a language in which nothing can be said.

    Raises:
        SettingsError: naming the languages that there are, and how to add one.
    """
    known, wanted = Languages.of_state(settings.state).codes, settings.platform.language
    if wanted not in known:
        raise SettingsError(
            f"{settings.file}: platform.language must be one of {', '.join(known)}, not {shown(wanted)}. "
            f"A language of your own is a text file in {settings.state / 'prompts'} (docs/prompts.md)."
        )


pass_app = click.make_pass_decorator(App, ensure=True)


def json_option(command: Command) -> Command:
    """Give a command that prints data its `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def show(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    as_json: bool,
    empty: str = "Nothing there yet.",
    optional: Sequence[str] = (),
) -> None:
    """Print rows: with `as_json` every key of each, else a table of `columns`, on a narrow terminal without `optional` ones."""
    listed = [dict(row) for row in rows]
    if as_json:
        print_json(listed)
        return
    if not listed:
        out.print(empty)
        return
    heading, lines = tables.table(listed, columns, out.width, optional)
    for line in heading:
        out.print(Text(line, style="bold"))
    say("\n".join(lines))


def show_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing: an object with `as_json`, else a line for each key."""
    if as_json:
        print_json(dict(row))
        return
    say("\n".join(tables.fields(row, list(row))))


def say(text: str) -> None:
    """Print text as it is: no markup, no wrapping, in the output's own encoding."""
    sys.stdout.write(f"{text}\n")


def print_json(value: Any) -> None:
    """One JSON document on standard output; amounts and times are strings.

    What the output's encoding does not have is escaped, so that a program reads the right text from any of them.
    """
    text = json_text(value)
    say(text if encodable(text) else json_text(value, ascii_only=True))


def json_text(value: Any, *, ascii_only: bool = False) -> str:
    """One JSON document; amounts and times are strings."""
    return json.dumps(value, ensure_ascii=ascii_only, indent=2, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


@functools.cache
def examples(*lines: str) -> str:
    r"""Click's epilog with one example a line, kept as written (`\b`)."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)

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
from typing import Any, Literal, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from taxiphone import settings as settings_file
from taxiphone.dialplan import speech_texts
from taxiphone.errors import SettingsError
from taxiphone.settings import Settings
from taxiphone.settings_types import shown
from taxiphone.store.database import Database

Command = TypeVar("Command", bound=Callable[..., Any])

# Into a pipe or a file nothing is cut: a table is as wide as what it holds.
_WIDTH = None if sys.stdout.isatty() else 1000

out = Console(highlight=False, soft_wrap=True, width=_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


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
            speech_texts.also_in(loaded.state / "prompts")
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
    known, wanted = speech_texts.languages(), settings.platform.language
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
) -> None:
    """Print rows: with `as_json` every key of each, else a table of `columns`."""
    listed = [dict(row) for row in rows]
    if as_json:
        print_json(listed)
        return
    if not listed:
        out.print(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        numeric = all(isinstance(row.get(column), int | Decimal | None) for row in listed)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(column.replace("_", " "), justify=justify, overflow="fold")
    for row in listed:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    out.print(table)


def show_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing: an object with `as_json`, else a line for each key."""
    if as_json:
        print_json(dict(row))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for key, value in row.items():
        table.add_row(key.replace("_", " "), _cell(value))
    out.print(table)


def print_json(value: Any) -> None:
    """One JSON document on standard output; amounts and times are strings."""
    click.echo(json_text(value))


def json_text(value: Any) -> str:
    """One JSON document; amounts and times are strings."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value) or "-"
    return escape(str(value))  # a name may have brackets in it; they are no markup of ours


@functools.cache
def examples(*lines: str) -> str:
    r"""Click's epilog with one example a line, kept as written (`\b`)."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)

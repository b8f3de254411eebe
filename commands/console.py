"""What every command shares: settings and database on demand, tables for people, JSON for programs.

Whatever a command does not need is not imported: neither the settings nor the database before they are used.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from taxiphone.commands import tables
from taxiphone.commands.streams import encodable
from taxiphone.errors import SettingsError

if TYPE_CHECKING:
    from taxiphone.settings import Settings
    from taxiphone.store.database import Database

Command = TypeVar("Command", bound=Callable[..., Any])

_NO_TERMINAL_WIDTH = 1000


@dataclass
class App:
    """The context object that click passes to every command."""

    config: Path | None = None
    _cache: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The checked settings.

        Raises:
            SettingsError: there is no usable file.
        """
        if "settings" not in self._cache:
            from taxiphone import settings as settings_file  # noqa: PLC0415 - not every command needs it

            loaded = settings_file.load(settings_file.find(self.config))
            _check_language(loaded)
            self._cache["settings"] = loaded
        found: Settings = self._cache["settings"]
        return found

    @property
    def settings_if_any(self) -> Settings | None:
        """The checked settings, or None where no file was named and none was found.

        Raises:
            SettingsError: there is a file that can't be used.
        """
        from taxiphone import settings as settings_file  # noqa: PLC0415 - not every command needs it

        try:
            settings_file.find(self.config)
        except SettingsError:
            if self.config is not None:
                raise
            return None
        return self.settings

    @property
    def database(self) -> Database:
        """The database, at this program's schema version. SQLite's file is created if there is none.

        Raises:
            SchemaError: it is at another version.
        """
        if "database" not in self._cache:
            from taxiphone.store.database import Database  # noqa: PLC0415 - not every command needs it

            database = Database(self.settings.database_url)
            database.create_if_new()
            database.check_version()
            self._cache["database"] = database
        opened: Database = self._cache["database"]
        return opened

    def close(self) -> None:
        """Close the database if it was used."""
        opened: Database | None = self._cache.pop("database", None)
        if opened is not None:
            opened.close()


def _check_language(settings: Settings) -> None:
    """Refuse a language that has no prompts.

    Raises:
        SettingsError: naming the languages that there are, and how to add one.
    """
    from taxiphone.settings_types import shown  # noqa: PLC0415 - not every command needs the settings
    from taxiphone.speech.prompt_texts import Languages  # noqa: PLC0415 - likewise

    known, wanted = Languages.of_state(settings.state).codes, settings.platform.language
    if wanted not in known:
        raise SettingsError(
            f"{settings.file}: platform.language must be one of {', '.join(known)}, not {shown(wanted)}. "
            f"To add a language, put a text file into {settings.state / 'prompts'} (docs/prompts.md)."
        )


pass_app = click.make_pass_decorator(App, ensure=True)


def json_option(command: Command) -> Command:
    """Give a command that prints data its `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


@functools.cache
def examples(*lines: str) -> str:
    r"""Click's epilog with one example a line, kept as written (`\b`)."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


# -- the terminal -------------------------------------------------------------------------------------------------


def say(text: str = "") -> None:
    """Print text to standard output as it is: not wrapped, in the output's own encoding."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Print text to standard error as it is."""
    sys.stderr.write(f"{text}\n")


def styled(text: str, *, error: bool = False, **style: Any) -> str:
    """Text in bold or in a colour (click.style) if standard output, or error, is a terminal that shows them."""
    return click.style(text, **style) if _shows_styles(sys.stderr if error else sys.stdout) else text


def _shows_styles(stream: TextIO) -> bool:
    """Whether a stream is a terminal with colours that nobody switched off (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """The terminal's width in columns. In a pipe or a file, tables are as wide as their content."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _NO_TERMINAL_WIDTH


def show(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    as_json: bool,
    empty: str = "No rows.",
    optional: Sequence[str] = (),
) -> None:
    """Print rows.

    Args:
        rows: what to print.
        columns: the columns of the table.
        as_json: print every key of each row as JSON instead of a table.
        empty: printed instead of a table without rows.
        optional: columns that a narrow terminal leaves out.
    """
    listed = [dict(row) for row in rows]
    if as_json:
        print_json(listed)
        return
    if not listed:
        say(empty)
        return
    heading, lines = tables.table(listed, columns, width(), optional)
    for line in heading:
        say(styled(line, bold=True))
    say("\n".join(lines))


def show_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing: an object with `as_json`, else a line for each key."""
    if as_json:
        print_json(dict(row))
        return
    say("\n".join(tables.fields(row, list(row))))


def print_json(value: Any) -> None:
    """Print one JSON document to standard output; amounts and times are strings.

    Characters that the output's encoding lacks are escaped, so that a program reads the right text in every encoding.
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

"""The manual page taxiphone(1) in man(7)'s macros, made from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from taxiphone import __version__

_EXIT = {
    "0": "Done.",
    "1": "It could not be done, or something is wrong; the sentence on standard error says what.",
    "2": "The input was wrong; nothing was done.",
    "141": "Whoever read the output has gone, as in a pipe to head(1).",
}
_ENVIRONMENT = {
    "TAXIPHONE_CONFIG": "The settings file, where --config names none.",
    "XDG_CACHE_HOME": "Where the unpacked Asterisk is kept, in a folder taxiphone; else ~/.cache.",
}
_FILES = {
    "taxiphone.toml, /etc/taxiphone/taxiphone.toml": "The settings.",
    "var/": "The state, beside the settings: database, recordings, Asterisk's folders.",
}
_END = {"EXIT STATUS": _EXIT, "ENVIRONMENT": _ENVIRONMENT, "FILES": _FILES}


def page(root: click.Command) -> str:
    """The whole page."""
    context = click.Context(root, info_name="taxiphone")
    name, _, rest = (root.help or "").partition("\n")
    lines = [
        f'.TH TAXIPHONE 1 "" "taxiphone {__version__}" "User Commands"',
        ".SH NAME",
        f"taxiphone \\- {_text(name.strip().rstrip('.'))}",
        ".SH SYNOPSIS",
        ".B taxiphone",
        _text(" ".join(root.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        *_prose(rest),
        ".SH OPTIONS",
        *_options(root, context),
        ".SH COMMANDS",
        *_below(root, context),
    ]
    for title, entries in _END.items():
        lines.append(f".SH {title}")
        for term, words in entries.items():
            lines += [".TP", f".B {_text(term)}", _text(words)]
    return "\n".join(lines) + "\n"


def _below(command: click.Command, context: click.Context) -> Iterator[str]:
    """Every command under this one, the groups' own words before those of their commands."""
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is None or found.hidden:
            continue
        inner = click.Context(found, info_name=name, parent=context)
        usage = "" if isinstance(found, click.Group) else " ".join(found.collect_usage_pieces(inner))
        yield f'.SS "{_text(f"{inner.command_path} {usage}".strip())}"'
        yield from _prose(found.help or "")
        if not isinstance(found, click.Group):
            yield from _options(found, inner)
        yield from _prose(found.epilog or "")
        yield from _below(found, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            yield from (".TP", f".B {_text(record[0])}", _text(record[1]))


def _prose(text: str) -> Iterator[str]:
    """Paragraphs; those that click keeps as they are written stay so here."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        if lines == [""]:
            continue
        yield ".PP"
        if lines[0].strip() == "\b":
            yield from (".nf", *(_text(line) for line in lines[1:]), ".fi")
        else:
            yield _text(" ".join(line.strip() for line in lines))


def _text(text: str) -> str:
    """Text in which nothing is a request or an escape to roff, in ASCII: a page that every locale's `man` reads."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    safe = "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in safe)
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe

"""`taxiphone man`: the manual page taxiphone(1) in man(7)'s macros, generated from the commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from taxiphone import __version__
from taxiphone.commands import cli_reference
from taxiphone.commands.console import examples

_EXIT = {
    "0": "Success.",
    "1": "The command failed, or it found something wrong. A message on standard error says what.",
    "2": "The command line or the settings are wrong. Nothing was done.",
    "141": "The reader of standard output has gone, as in a pipe to head(1).",
}
_ENVIRONMENT = {
    "TAXIPHONE_CONFIG": "The settings file, if --config is not given.",
    "XDG_CACHE_HOME": "The folder for caches. Asterisk is unpacked to its subfolder taxiphone. Default: ~/.cache.",
}
_FILES = {
    "taxiphone.toml, /etc/taxiphone/taxiphone.toml": "The settings.",
    "var/": "The state folder beside the settings: database, recordings, Asterisk's files.",
}
END = {"EXIT STATUS": _EXIT, "ENVIRONMENT": _ENVIRONMENT, "FILES": _FILES}


@click.command(
    epilog=examples(
        "taxiphone man > taxiphone.1 && man -l taxiphone.1",
        "taxiphone man > ~/.local/share/man/man1/taxiphone.1        # then: man taxiphone",
        "taxiphone man --format markdown > cli.md",
    )
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["roff", "markdown"]),
    default="roff",
    show_default=True,
    help="For man(1), or as a page of Markdown.",
)
def man(form: str) -> None:
    """Print the manual page with every command and option, as input for `man`."""
    root = click.get_current_context().find_root().command
    click.echo(page(root) if form == "roff" else cli_reference.page(root, END), nl=False)


def page(root: click.Command) -> str:
    """The whole page for a command and all commands below it."""
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
    for title, entries in END.items():
        lines.append(f".SH {title}")
        for term, words in entries.items():
            lines += [".TP", f".B {_text(term)}", _text(words)]
    return "\n".join(lines) + "\n"


def _below(command: click.Command, context: click.Context) -> Iterator[str]:
    """Every command below this one; a group's text comes before its commands."""
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
    """Paragraphs. Those that click does not wrap are not wrapped here either."""
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
    """ASCII text without requests or escapes for roff, so that `man` reads it in every locale."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    safe = "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in safe)
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe

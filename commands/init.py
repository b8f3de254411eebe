"""`taxiphone init`: a first settings file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from taxiphone import settings as settings_file
from taxiphone.commands import settings_file as commented
from taxiphone.commands.console import examples, say
from taxiphone.directory import numbers
from taxiphone.errors import UsageError
from taxiphone.settings_sections import Paths, Platform, Trunk
from taxiphone.speech.prompt_texts import Languages


@click.command(
    epilog=examples(
        "taxiphone init --cli +33199001200 --trunk sip.carrier.example",
        "taxiphone init /etc/taxiphone/taxiphone.toml --cli +33199001200 --trunk 192.0.2.10 --language en",
    )
)
@click.argument(
    "file", type=click.Path(path_type=Path, dir_okay=False), default=Path(settings_file.FILE_NAME)
)
@click.option(
    "--cli",
    required=True,
    help="The platform's own number in E.164. Consultants' phones always show this number.",
)
@click.option("--trunk", "host", required=True, help="The carrier's host name or IP address.")
@click.option(
    "--trunk-port",
    type=click.IntRange(1, 65535),
    default=5060,
    show_default=True,
    help="The carrier's SIP port.",
)
@click.option(
    "--language",
    metavar="LANG",
    default="fr",
    show_default=True,
    help="The language for callers who are not clients.",
)
def init(file: Path, cli: str, host: str, trunk_port: int, language: str) -> None:
    """Write a commented settings file (taxiphone.toml).

    FILE is ./taxiphone.toml by default. An existing file is never overwritten.
    """
    state = file.parent / Paths().state
    known = Languages.of_state(state).codes
    if language not in known:
        raise UsageError(
            f"there are no prompts in the language {language!r}. Available: {', '.join(known)}. "
            f"To add one, put a text file into {state / 'prompts'} (docs/prompts.md)."
        )
    _write(file, _text(cli, host, trunk_port, language))
    try:
        settings_file.load(file)
    except UsageError:
        file.unlink()
        raise
    say(f"Wrote {file}. Next: taxiphone doctor, then taxiphone serve.")


def _text(cli: str, host: str, port: int, language: str) -> str:
    number = numbers.e164(cli)
    return commented.text(
        {
            "platform": {
                "name": Platform.model_fields["name"].default,
                "cli": number,
                "language": language,
                "dial_regions": [numbers.region_of(number)],
            },
            "trunk": {"mode": Trunk.model_fields["mode"].default, "host": host, "port": port},
        }
    )


def _write(file: Path, text: str) -> None:
    try:
        with open(
            file, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)
        ) as made:
            made.write(text)
    except FileExistsError:
        raise UsageError(f"{file} already exists; it was not changed.") from None
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}.") from None

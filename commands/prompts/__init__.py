"""`taxiphone prompts`: what callers and consultants hear."""

from __future__ import annotations

import click

from taxiphone.commands.lazy import Lazy, LazyGroup

_COMMANDS = {
    "list": Lazy(
        "prompts.sounds:list_prompts",
        "List the prompts: name, text, duration, and whether you replaced the sound.",
    ),
    "build": Lazy("prompts.sounds:build", "Synthesise the prompts whose texts have changed, with espeak-ng."),
    "use": Lazy("prompts.sounds:use", "Use the recording FILE for the prompt NAME."),
    "drop": Lazy(
        "prompts.sounds:drop", "Remove your recording of the prompt NAME and use the built-in sound again."
    ),
    "name": Lazy(
        "prompts.names:name", "Synthesise or replace the spoken name of the consultant or client with CODE."
    ),
    "names": Lazy(
        "prompts.names:names",
        "Synthesise all names of consultants and clients that are missing or have changed.",
    ),
    "install": Lazy(
        "prompts.synthesizer:install", "Install espeak-ng, which speaks prompts and names, without root."
    ),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def prompts() -> None:
    """List, build and replace the prompts that callers and consultants hear.

    Every prompt has a name, a text and a sound. The sounds are synthesised from the texts; you can replace each of them
    with a recording. The spoken names of consultants and clients are sounds, too.
    """

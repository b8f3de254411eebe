"""`taxiphone prompts install`: the program that speaks prompts and names."""

from __future__ import annotations

import click

from taxiphone.commands.console import examples, say
from taxiphone.commands.progress import fetching
from taxiphone.dialplan.asterisk.mirrors import mirror_option
from taxiphone.speech import synthesizer


@click.command(epilog=examples("taxiphone prompts install", "taxiphone prompts install --force"))
@click.option("--force", is_flag=True, help="Fetch the newest version even if one is installed.")
@mirror_option
def install(*, force: bool, mirror: str | None) -> None:
    """Install espeak-ng, which speaks prompts and names, without root.

    It is put into the cache folder; nothing else on the machine changes. An espeak-ng on the PATH is used instead.
    """
    say(" ".join(install_synthesizer(force=force, mirror=mirror)))


def install_synthesizer(*, mirror: str | None = None, force: bool = False) -> synthesizer.Command:
    """The espeak-ng to use; it is fetched, with a progress bar, if there is none.

    Raises:
        SetupError: it can't be fetched; says why, and what to do.
    """
    with fetching("espeak-ng") as tell:
        return synthesizer.installed(mirror=mirror, force=force, tell=tell)

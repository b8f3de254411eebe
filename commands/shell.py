"""`taxiphone completion` and `taxiphone man`: the command line told to a shell and to `man`, from click's own data."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from taxiphone.commands import manual
from taxiphone.commands.console import examples

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=examples(
        "taxiphone completion bash > ~/.local/share/bash-completion/completions/taxiphone",
        "taxiphone completion zsh > ~/.zfunc/_taxiphone        with fpath+=~/.zfunc before compinit in ~/.zshrc",
        "taxiphone completion fish > ~/.config/fish/completions/taxiphone.fish",
        'eval "$(taxiphone completion bash)"        for this shell only; zsh likewise',
    )
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete commands and options by the Tab key.

    It needs bash 4.4 or later, zsh, or fish.
    """
    found = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}.")
    click.echo(found(root, {}, "taxiphone", "_TAXIPHONE_COMPLETE").source())


@click.command(
    epilog=examples(
        "taxiphone man > taxiphone.1 && man -l taxiphone.1",
        "taxiphone man > ~/.local/share/man/man1/taxiphone.1        then: man taxiphone",
    )
)
def man() -> None:
    """Print the manual page, with every command and option, as `man` reads it."""
    click.echo(manual.page(click.get_current_context().find_root().command), nl=False)

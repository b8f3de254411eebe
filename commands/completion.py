"""`taxiphone completion`: the completion of commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from taxiphone.commands.console import examples

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=examples(
        "taxiphone completion bash > ~/.local/share/bash-completion/completions/taxiphone",
        "taxiphone completion zsh > ~/.zfunc/_taxiphone        # with fpath+=~/.zfunc before compinit in ~/.zshrc",
        "taxiphone completion fish > ~/.config/fish/completions/taxiphone.fish",
        'eval "$(taxiphone completion bash)"        # for this shell only; also in zsh',
    )
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands and options in SHELL.

    SHELL is bash (4.4 or later), zsh or fish.
    """
    found = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}.")
    click.echo(found(root, {}, "taxiphone", "_TAXIPHONE_COMPLETE").source())

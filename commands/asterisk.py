"""`taxiphone asterisk`: install, check and run the embedded Asterisk, or write the files for your own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from pathlib import Path

import click

from taxiphone.commands.console import App, examples, json_option, note, pass_app, print_json, say
from taxiphone.commands.findings import report
from taxiphone.commands.lazy import LazyGroup
from taxiphone.commands.progress import fetching
from taxiphone.dialplan import config, credentials
from taxiphone.dialplan.asterisk import locate, packages, sharing
from taxiphone.dialplan.asterisk.home import Folders, find_process, link_documentation, write_files
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.dialplan.asterisk.mirrors import mirror_option
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.errors import AsteriskMissingError, SettingsError, SetupError
from taxiphone.server.checks import check_asterisk
from taxiphone.settings import Settings
from taxiphone.speech.prompts_folder import link_prompts

PACKAGES = ("asterisk",)


@click.group(cls=LazyGroup)
def asterisk() -> None:
    """Manage Asterisk: the embedded one, or your own."""


@asterisk.command(epilog=examples("taxiphone asterisk install", "taxiphone asterisk install --force"))
@click.option("--force", is_flag=True, help="Fetch the newest version even if one is installed.")
@mirror_option
@json_option
@pass_app
def install(app: App, *, force: bool, mirror: str | None, as_json: bool) -> None:
    """Install a current Asterisk from Debian's packages without root.

    It is unpacked to the cache folder; nothing else on the machine changes. If an Asterisk on the PATH is new enough, or if
    the settings name one, that one is used instead.
    """
    found = None if force else _usable(app)
    if found is None:
        found = _fetched(mirror=mirror, force=force, quiet=as_json)
    if as_json:
        print_json({"version": found.version_text, "command": found.command})
        return
    say(f"Asterisk {found.version_text}: {found.command[-1]}")


@asterisk.command(epilog=examples("taxiphone asterisk uninstall"))
def uninstall() -> None:
    """Remove the Asterisk from the cache folder."""
    tree = locate.asterisk_tree()
    say(f"Removed {tree}." if packages.remove(tree) else f"No Asterisk in {tree}.")


@asterisk.command(
    "config",
    epilog=examples(
        "taxiphone asterisk config", "taxiphone asterisk config --output /etc/asterisk-taxiphone"
    ),
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write to. Default: the folder of the embedded Asterisk.",
)
@json_option
@pass_app
def write_config(app: App, output: Path | None, *, as_json: bool) -> None:
    """Write the configuration and the sounds for an Asterisk that you run yourself (docs/deploy.md).

    Start it with: asterisk -f -C FOLDER/asterisk.conf. It must run on this machine, as this user or in the group that
    `[asterisk] group` of the settings names. Run this command again after you change the settings.
    """
    settings = app.settings
    try:
        found = locate.find(settings)
    except AsteriskMissingError as error:
        found = None
        note(f"note: {error} asterisk.conf does not name the folder of the modules.")
    folders = Folders(settings.asterisk_home)
    etc = output.resolve() if output else folders.etc
    files = config.render(settings, credentials.load(settings), found, etc=etc)
    write_files(folders, files, etc)
    if found is not None:
        link_documentation(folders, found)
    link_prompts(settings)
    sharing.share(settings, etc)
    written = [etc / name for name in sorted(files)]
    if as_json:
        print_json({"files": written})
        return
    for path in written:
        say(str(path))


@asterisk.command(epilog=examples("taxiphone asterisk check", "taxiphone asterisk check --json"))
@json_option
@pass_app
def check(app: App, *, as_json: bool) -> None:
    """Check Asterisk and what it needs, and explain how to fix each problem.

    The exit code is 1 if there is a fault.
    """
    report(check_asterisk.check(app.settings), as_json=as_json)


@asterisk.command(epilog=examples("taxiphone asterisk status", "taxiphone asterisk status --json"))
@json_option
@pass_app
def status(app: App, *, as_json: bool) -> None:
    """Show whether the embedded Asterisk is running, and its number of calls.

    The exit code is 1 if it is not running.
    """
    server = _running(app.settings)
    pid, counted = find_process(server.conf), asyncio.run(server.rx("core show channels count")).strip()
    if as_json:
        numbers = {
            what: int(number)
            for number, what in re.findall(r"^(\d+) active (channel|call)s?$", counted, re.MULTILINE)
        }
        print_json({"pid": pid, "channels": numbers.get("channel"), "calls": numbers.get("call")})
        return
    say(f"Asterisk is running, pid {pid}.")
    say(counted)


@asterisk.command(epilog=examples("taxiphone asterisk stop", "taxiphone asterisk stop --graceful"))
@click.option("--graceful", is_flag=True, help="Accept no new calls and wait for those in progress.")
@pass_app
def stop(app: App, *, graceful: bool) -> None:
    """Stop an embedded Asterisk that was left running, for example after a kill -9 of `taxiphone serve`."""
    server = _running(app.settings)

    async def end() -> None:
        await server.adopt()
        await server.stop(graceful=graceful)

    asyncio.run(end())
    say("Stopped.")


@asterisk.command(
    epilog=examples(
        "taxiphone asterisk cli pjsip show registrations", "taxiphone asterisk cli core show channels"
    )
)
@click.argument("command", nargs=-1, required=True)
@pass_app
def cli(app: App, command: tuple[str, ...]) -> None:
    """Run COMMAND on Asterisk's own command line."""
    click.echo(asyncio.run(_running(app.settings).rx(" ".join(command))), nl=False)


def installed(*, mirror: str | None = None, quiet: bool = False) -> Asterisk:
    """The Asterisk to use without settings; it is fetched if there is none.

    Args:
        mirror: a Debian mirror's address; None for the default (mirrors.py).
        quiet: show no progress.

    Raises:
        SetupError: it can't be fetched; says why, and what to do.
    """
    try:
        return locate.find()
    except AsteriskMissingError:
        return _fetched(mirror=mirror, quiet=quiet)


def _fetched(*, mirror: str | None = None, force: bool = False, quiet: bool = False) -> Asterisk:
    tree = locate.asterisk_tree()
    with fetching("Asterisk", quiet=quiet) as tell:
        packages.fetch(PACKAGES, tree, mirror=mirror, force=force, tell=tell)
    return locate.from_tree(tree)


def _usable(app: App) -> Asterisk | None:
    """The Asterisk to use without fetching one, with or without settings, or None."""
    settings: Settings | None = None
    with contextlib.suppress(SettingsError):
        settings = app.settings
    try:
        return locate.find(settings)
    except AsteriskMissingError:
        return None


def _running(settings: Settings) -> AsteriskServer:
    server = AsteriskServer(locate.find(settings), settings.asterisk_home)
    if find_process(server.conf) is None:
        raise SetupError(
            f"no Asterisk of {server.home} is running for user {os.getuid()}. Run: taxiphone serve"
        )
    return server

"""`taxiphone asterisk`: install one, see what is wrong with it, write its files for somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from taxiphone.commands.console import App, err, examples, json_option, out, pass_app, print_json
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


@click.group()
def asterisk() -> None:
    """The Asterisk that answers: ours, or yours."""


@asterisk.command(epilog=examples("taxiphone asterisk install", "taxiphone asterisk install --force"))
@click.option("--force", is_flag=True, help="Fetch the newest anew, even if there is one already.")
@mirror_option
@json_option
@pass_app
def install(app: App, *, force: bool, mirror: str | None, as_json: bool) -> None:
    """Put a current Asterisk from Debian's packages into the cache folder. Needs no root, changes nothing else.

    An Asterisk on the PATH that is new enough, or the one that the settings name, is used instead.
    """
    found = None if force else _usable(app)
    if found is None:
        found = _fetched(mirror=mirror, force=force, quiet=as_json)
    if as_json:
        print_json({"version": found.version_text, "command": found.command})
        return
    out.print(f"Asterisk {found.version_text}: {found.command[-1]}")


@asterisk.command()
def uninstall() -> None:
    """Remove the Asterisk in the cache folder."""
    tree = locate.asterisk_tree()
    out.print(f"Removed {tree}." if packages.remove(tree) else f"There is none in {tree}.")


@asterisk.command("config")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write to; else the one of the embedded Asterisk.",
)
@json_option
@pass_app
def write_config(app: App, output: Path | None, *, as_json: bool) -> None:
    """Write Asterisk's files, and lay out the sounds, for a server that somebody else runs (docs/deploy.md).

    Run it with: asterisk -f -C FOLDER/asterisk.conf. It must be on this machine, and run as this user, or as a member of
    the group that `[asterisk] group` names. Write the files anew after a change of the settings.
    """
    settings = app.settings
    try:
        found = locate.find(settings)
    except AsteriskMissingError as error:
        found = None
        err.print(f"note: {_escape(str(error))} asterisk.conf does not say where the modules are.")
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
        out.print(str(path), markup=False)


@asterisk.command()
@json_option
@pass_app
def check(app: App, *, as_json: bool) -> None:
    """Say what is wrong around Asterisk; exit code 1 when something must be put right."""
    findings = check_asterisk.check(app.settings)
    if as_json:
        print_json([{"ok": found.ok, "what": found.what, "advice": found.advice} for found in findings])
    else:
        for found in findings:
            mark = {True: "[green]ok[/]  ", None: "[yellow]note[/]", False: "[bold red]bad[/] "}[found.ok]
            out.print(f"{mark}  {_escape(found.what)}")
            if found.advice:
                out.print(f"      {_escape(found.advice)}")
    if any(found.ok is False for found in findings):
        raise SystemExit(1)


@asterisk.command()
@json_option
@pass_app
def status(app: App, *, as_json: bool) -> None:
    """Say whether the embedded Asterisk runs, and with how many calls; exit code 1 when it does not."""
    server = _running(app.settings)
    pid, counted = find_process(server.conf), asyncio.run(server.rx("core show channels count")).strip()
    if as_json:
        numbers = {
            what: int(number)
            for number, what in re.findall(r"^(\d+) active (channel|call)s?$", counted, re.MULTILINE)
        }
        print_json({"pid": pid, "channels": numbers.get("channel"), "calls": numbers.get("call")})
        return
    out.print(f"Asterisk runs, pid {pid}.")
    out.print(counted, markup=False)


@asterisk.command()
@click.option("--graceful", is_flag=True, help="Let no new call in and wait for those in progress to end.")
@pass_app
def stop(app: App, *, graceful: bool) -> None:
    """End an embedded Asterisk that was left running, as after a kill -9 of `taxiphone serve`."""
    server = _running(app.settings)

    async def end() -> None:
        await server.adopt()
        await server.stop(graceful=graceful)

    asyncio.run(end())
    out.print("Stopped.")


@asterisk.command(epilog=examples("taxiphone asterisk cli pjsip show registrations"))
@click.argument("command", nargs=-1, required=True)
@pass_app
def cli(app: App, command: tuple[str, ...]) -> None:
    """Run a command of Asterisk's own command line."""
    click.echo(asyncio.run(_running(app.settings).rx(" ".join(command))), nl=False)


def installed(*, mirror: str | None = None, quiet: bool = False) -> Asterisk:
    """The Asterisk to use where there are no settings; fetched, with progress unless `quiet`, if there is none.

    Args:
        mirror: a Debian mirror's address; None for the one that is used otherwise (mirrors.py).
        quiet: show no progress.

    Raises:
        SetupError: it can't be had; says why, and what to do.
    """
    try:
        return locate.find()
    except AsteriskMissingError:
        return _fetched(mirror=mirror, quiet=quiet)


def _fetched(*, mirror: str | None = None, force: bool = False, quiet: bool = False) -> Asterisk:
    tree = locate.asterisk_tree()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet) as progress:
        task = progress.add_task("Asterisk", total=1.0)

        def tell(what: str, part: float) -> None:
            progress.update(task, description=f"Asterisk: {what}", completed=part)

        packages.fetch(PACKAGES, tree, mirror=mirror, force=force, tell=tell)
    return locate.from_tree(tree)


def _usable(app: App) -> Asterisk | None:
    """The Asterisk that is used as things are, with settings or without; None when there is none."""
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


def _escape(text: str) -> str:
    return text.replace("[", r"\[")

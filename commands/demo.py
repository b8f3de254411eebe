"""`taxiphone demo`: a real call on this machine, from the dialled number to the MP3, shown and checked."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
from pathlib import Path

import click

from taxiphone.billing.papers import receipt_paper
from taxiphone.commands.asterisk import installed
from taxiphone.commands.console import examples, json_option, note, print_json, say, styled
from taxiphone.demo import report, story
from taxiphone.demo.network import ADDRESS, Softphone
from taxiphone.demo.report import Report
from taxiphone.demo.story import CLIENT_NUMBER, CONSULTANT_NUMBER, DID, Set
from taxiphone.dialplan.asterisk import locate
from taxiphone.dialplan.asterisk.mirrors import mirror_option
from taxiphone.errors import TaxiphoneError


@click.command(epilog=examples("taxiphone demo", "taxiphone demo --language fr --keep"))
@json_option
@click.option(
    "--keep",
    is_flag=True,
    help="Keep everything running afterwards, so that you can dial from your own softphone.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="An empty or new folder for all files. Default: a new folder in the system's temporary folder.",
)
@click.option(
    "--language",
    type=click.Choice(["en", "fr"]),
    default="en",
    show_default=True,
    help="The language that the phones hear.",
)
@mirror_option
def demo(as_json: bool, keep: bool, folder: Path | None, language: str, mirror: str | None) -> None:
    """Run a real call on this machine, from a client's phone to a consultant's, with receipt and MP3.

    The carrier, both phones and the platform run on the loopback interface, on free ports, in a folder of their own. Each
    figure is checked against what the phones heard. The exit code is 0 only if all checks pass.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise click.BadParameter(f"{folder} is not empty.", param_hint="--folder")
    asterisk = installed(mirror=mirror, quiet=as_json)
    place = folder or Path(tempfile.mkdtemp(prefix="taxiphone-demo-"))
    try:
        written = asyncio.run(_run(place, asterisk, language, as_json=as_json, keep=keep))
    except TimeoutError as error:
        raise TaxiphoneError(f"the call failed: {error}. All files are in {place}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except asyncio.CancelledError:
        raise SystemExit(143) from None
    if not written.ok:
        raise SystemExit(1)


async def _run(place: Path, asterisk: locate.Asterisk, language: str, *, as_json: bool, keep: bool) -> Report:
    running = asyncio.current_task()
    if running is not None:  # SIGTERM takes everything down in its order, as Ctrl-C does
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    phones = (Softphone("client", CLIENT_NUMBER), Softphone("consultant", CONSULTANT_NUMBER)) if keep else ()
    everyone = Set(place, asterisk, language, phones)

    def show(seconds: float, sentence: str) -> None:
        if not as_json:
            say(f"{styled(f'{seconds:6.2f} s', dim=True)}  {sentence}")

    if not as_json:
        say(f"Asterisk {asterisk.version_text}; all files are in {place}")
    try:
        await everyone.start()
        call = await story.live(everyone, show)
        written = report.write(everyone, call)
        if as_json:
            print_json(written.as_dict())
        else:
            _show(everyone, written)
        if keep:
            await _keep(everyone)
    finally:
        await everyone.stop()
    return written


def _show(everyone: Set, written: Report) -> None:
    say()
    say(
        everyone.platform.database.read(
            lambda session: receipt_paper.receipt_text(
                session, everyone.platform.settings, written.call["id"]
            )
        )
    )
    say()
    for check in written.checks:
        sign = styled("ok  ", fg="green") if check.ok else styled("FAIL", fg="red", bold=True)
        say(f"{sign}  {check.what}  {styled(f'({check.seen})', dim=True)}")
    say()
    say(f"The MP3: {written.mp3['path']}")


async def _keep(everyone: Set) -> None:
    note(
        f"\nEverything keeps running until Ctrl-C. SIP server for your softphone: {ADDRESS}:{everyone.network.sip_port}, UDP"
    )
    for phone in everyone.softphones:
        note(f"  as the {phone.name}: user {phone.name}, password {phone.password}, number {phone.number}")
    note(f"As the client, dial {DID}. The consultant answers only if a softphone is registered for it.")
    note(f"To see the calls: taxiphone --config {everyone.platform.file} call list")
    await asyncio.Event().wait()

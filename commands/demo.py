"""`taxiphone demo`: a real call on this machine, from the dialled number to the MP3, shown and verified."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
from pathlib import Path

import click

from taxiphone.billing.papers import receipt_paper
from taxiphone.commands.asterisk import installed
from taxiphone.commands.console import err, json_option, out, print_json
from taxiphone.demo import report, story
from taxiphone.demo.network import ADDRESS, Softphone
from taxiphone.demo.report import Report
from taxiphone.demo.story import CLIENT_NUMBER, CONSULTANT_NUMBER, DID, Set
from taxiphone.dialplan.asterisk import locate
from taxiphone.dialplan.asterisk.mirrors import mirror_option
from taxiphone.errors import TaxiphoneError


@click.command()
@json_option
@click.option(
    "--keep", is_flag=True, help="Leave everything up afterwards, to dial from a softphone of one's own."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to keep it all; an empty or new folder. Default: a new one under the system's temporary folder.",
)
@click.option(
    "--language",
    type=click.Choice(["en", "fr"]),
    default="en",
    show_default=True,
    help="What the phones hear.",
)
@mirror_option
def demo(as_json: bool, keep: bool, folder: Path | None, language: str, mirror: str | None) -> None:
    """See a real call: two Asterisks, a carrier, a client's phone, a consultant's phone, a talk, a receipt, an MP3.

    Everything runs on this machine's loopback, on free ports, in a folder of its own. Each figure that is shown is
    checked against what the phones heard; exit code 0 only when all of it is right.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise click.BadParameter(f"{folder} is not empty.", param_hint="--folder")
    asterisk = installed(mirror=mirror, quiet=as_json)
    place = folder or Path(tempfile.mkdtemp(prefix="taxiphone-demo-"))
    try:
        written = asyncio.run(_run(place, asterisk, language, as_json=as_json, keep=keep))
    except TimeoutError as error:
        raise TaxiphoneError(f"the call did not go as it should: {error}. Everything is in {place}") from None
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
            out.print(f"[dim]{seconds:6.2f} s[/]  {sentence}")

    if not as_json:
        out.print(f"Asterisk {asterisk.version_text}; everything lies in {place}")
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
    out.print()
    out.print(
        everyone.platform.database.read(
            lambda session: receipt_paper.receipt_text(
                session, everyone.platform.settings, written.call["id"]
            )
        )
    )
    out.print()
    for check in written.checks:
        out.print(
            f"{'[green]ok[/]' if check.ok else '[bold red]NO[/]'}  {check.what}  [dim]({check.seen})[/]"
        )
    out.print()
    out.print(f"The MP3: {written.mp3['path']}")


async def _keep(everyone: Set) -> None:
    err.print(
        f"\nEverything stays up until Ctrl-C. SIP server for your softphone: {ADDRESS}:{everyone.network.sip_port}, UDP"
    )
    for phone in everyone.softphones:
        err.print(
            f"  as the {phone.name}: user {phone.name}, password {phone.password}, number {phone.number}"
        )
    err.print(
        f"As the client, dial {DID}. While no softphone is registered as the consultant, nobody answers there."
    )
    err.print(f"Look: taxiphone --config {everyone.platform.file} call list")
    await asyncio.Event().wait()

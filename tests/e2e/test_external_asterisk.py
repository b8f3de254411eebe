"""`embedded = false`: an Asterisk started by someone else, with the files from `taxiphone asterisk config`."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import pytest_asyncio
from ears import Ear
from hearing import Library

from taxiphone.billing.ledger import balances, postings
from taxiphone.billing.ledger_check import check
from taxiphone.demo import report
from taxiphone.demo.platform import Timing
from taxiphone.demo.story import DID, Set, live, press_until
from taxiphone.dialplan.asterisk import locate
from taxiphone.errors import SetupError
from taxiphone.store.calls import FINAL, Outcome, Status
from taxiphone.store.models import Call

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

# Only root can start a program as somebody else.
USERS = [None, "nobody"] if os.getuid() == 0 else [None]
GROUP_OF_NOBODY = "nogroup"
OURS = pytest.mark.parametrize("theirs", [None], indirect=True)


class Theirs:
    """A platform with `embedded = false`, its network, and the operator's Asterisk.

    Args:
        folder: for everything; others may pass through it.
        user: whose process Asterisk is; None: ours.
    """

    def __init__(self, folder: Path, user: str | None) -> None:
        self.folder, self.user = folder, user
        self.etc = folder / "etc"
        group = f'group = "{GROUP_OF_NOBODY}"' if user else ""
        self.everyone = Set(
            folder / "set",
            locate.find(None),
            timing=Timing(ring_seconds=10, accept_seconds=4, key_seconds=1),
            settings_of_asterisk=f"embedded = false\n{group}",
        )
        self.platform = self.everyone.platform
        self.process: asyncio.subprocess.Process | None = None
        self.environment = {**os.environ, "COLUMNS": "300"}
        if user:
            # The cache in root's home is closed to others.
            shutil.copytree(
                locate.asterisk_tree(),
                folder / "cache/taxiphone/asterisk",
                symlinks=True,
                copy_function=_linked,
            )
            self.environment["XDG_CACHE_HOME"] = str(folder / "cache")

    async def start(self) -> None:
        await self.everyone.prepare()
        await self.configure()
        await self.start_asterisk()
        await asyncio.gather(self.everyone.network.start(), self.platform.start(seconds=90))

    async def configure(self) -> None:
        for output in ([], ["--output", str(self.etc)]):
            code, said = await self.taxiphone("asterisk", "config", *output)
            assert code == 0, said

    async def taxiphone(self, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "taxiphone", "--config", str(self.platform.file), *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    async def doctor(self) -> dict[bool | None, list[str]]:
        """Return the findings of `taxiphone doctor`: passed, failed and notes."""
        _, said = await self.taxiphone("doctor", "--json")
        found: dict[bool | None, list[str]] = {True: [], False: [], None: []}
        for finding in json.loads(said):
            found[finding["ok"]].append(finding["what"])
        return found

    async def start_asterisk(self) -> None:
        asterisk = locate.find(None)
        command = list(asterisk.command)
        if self.user:
            command = [
                part.replace(str(locate.asterisk_tree()), str(self.folder / "cache/taxiphone/asterisk"))
                for part in command
            ]
        self.process = await asyncio.create_subprocess_exec(
            *(*command, "-f", "-C", str(self.etc / "asterisk.conf")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            umask=0o027,
            restore_signals=False,  # ignored as by Python: a file that can't grow is an error, and not Asterisk's end
            user=self.user,
            group=GROUP_OF_NOBODY if self.user else None,
            extra_groups=[] if self.user else None,
        )

    def most_bytes(self, most: int) -> None:
        """Limit the size of Asterisk's files, so that its writes are truncated as on a full disk."""
        assert self.process is not None
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    async def kill_asterisk(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()

    async def stop(self) -> None:
        try:
            await self.everyone.stop()
        finally:
            await self.kill_asterisk()

    @property
    def log(self) -> str:
        return " ".join((self.platform.folder / "serve.log").read_text().split())

    @property
    def asterisks_log(self) -> str:
        return (self.platform.settings.asterisk_home / "log/messages.log").read_text(errors="replace")

    async def talk(self, *, another: bool = False) -> str:
        """Let client and consultant talk, and return the call's id.

        Args:
            another: the client is asked whether to go on with the talk before, and does not want to.
        """
        everyone, platform = self.everyone, self.platform
        before = {call.id for call in platform.database.do(lambda session: session.query(Call).all())}
        await everyone.client.dial(DID)
        call_id = await platform.new_call(before)
        if another:
            await platform.marked(call_id, "going on offered")
            await press_until(platform, call_id, everyone.client, "2", "price told")
        await platform.marked(call_id, "price told")
        await press_until(platform, call_id, everyone.client, "#", "price heard")
        await platform.marked(call_id, "recording offered")
        await press_until(platform, call_id, everyone.client, "2", "recording asked")
        await everyone.consultant.ringing()
        await everyone.consultant.answer()
        await platform.marked(call_id, "consultant answered")
        await press_until(platform, call_id, everyone.consultant, "1", "accepted")
        await platform.marked(call_id, "bridged")
        return call_id


def _passable_folder() -> Path:
    """Create a folder that other users can traverse; they can't traverse those made by pytest."""
    folder = Path(tempfile.mkdtemp(prefix="taxiphone-theirs-"))
    folder.chmod(0o711)
    for inside in (folder / "set", folder / "set/platform"):
        inside.mkdir(mode=0o711)
    return folder


def _linked(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


@pytest_asyncio.fixture(params=USERS, loop_scope="session")
async def theirs(request):
    folder = _passable_folder()
    made = Theirs(folder, request.param)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
        shutil.rmtree(folder)


async def test_a_whole_call_is_heard_priced_and_recorded_on_an_asterisk_of_the_operators_own(theirs):
    call = await live(theirs.everyone, lambda _seconds, _sentence: None)
    written = report.write(theirs.everyone, call)
    assert [each for each in written.checks if not each.ok] == []
    assert "does not exist" not in theirs.asterisks_log
    heard = Ear(theirs.everyone.client, Library(theirs.platform.settings, "en")).all()
    for name in ("price-is", "tax-included", "recording-yes"):
        assert heard.spans(name), f"{name} was not heard; {heard}"
    found = await theirs.doctor()
    assert found[False] == []
    assert any("has all" in what and "sounds" in what for what in found[True])


@OURS
async def test_an_asterisk_that_dies_and_comes_back_is_waited_for_and_its_talks_are_priced(theirs):
    call_id = await theirs.talk()
    await theirs.platform.marked(call_id, "alive")
    await theirs.kill_asterisk()
    async with asyncio.timeout(20):
        while "No calls are taken until it is back" not in theirs.log:
            await asyncio.sleep(0.1)
    assert any("unreachable" in what for what in (await theirs.doctor())[False])
    # Nobody tells the phones: they hear nothing any more, and hang up.
    await asyncio.gather(theirs.everyone.client.hang_up(), theirs.everyone.consultant.hang_up())
    await theirs.start_asterisk()
    call = await theirs.platform.finished(call_id, 60)
    assert (call.status, call.outcome) == (Status.RATED, Outcome.TALKED)
    # Noticed by the restart, or before it by the log that says nothing more: billed to the same moment.
    assert re.search("Asterisk died|the last proof that it was in progress", call.review or "")
    assert "answers again" in theirs.log
    assert theirs.platform.database.do(check) == []
    await theirs.everyone.client.dial(DID)
    again = await theirs.platform.new_call({call_id})
    await theirs.platform.marked(
        again, "identified"
    )  # and is asked whether to go on with the talk that was cut
    await theirs.everyone.client.hang_up()
    assert (await theirs.platform.finished(again)).status in FINAL
    assert await theirs.platform.stop() == 0


@OURS
@pytest.mark.parametrize("bytes_more", [0, 30], ids=["no row", "half a row"])
async def test_a_talk_whose_end_was_lost_on_a_full_disk_is_priced_within_a_minute(theirs, bytes_more):
    platform, everyone = theirs.platform, theirs.everyone
    call_id = await theirs.talk()
    await asyncio.gather(everyone.client.speak(), everyone.consultant.speak())
    await platform.marked(call_id, "alive")
    theirs.most_bytes(platform.settings.cel_file.stat().st_size + bytes_more)
    await everyone.client.hang_up()
    call = await platform.finished(call_id, 60)
    seen = {what: await platform.marked(call_id, what) for what in ("bridged", "parted")}
    lasted = (seen["parted"].monotonic_us - seen["bridged"].monotonic_us) / 1e6
    assert (call.status, call.outcome) == (Status.RATED, Outcome.TALKED)
    assert call.billed_seconds == math.ceil(lasted) > 0
    assert "Asterisk's log has no end of this talk" in call.review
    assert platform.database.do(lambda session: balances.balance(session, postings.HOLD, call_id)) == 0
    assert platform.database.do(check) == []
    assert "Check the free disk space for the log" in theirs.log
    await everyone.consultant.hang_up()
    # There is space again: the next talk is priced by the log.
    theirs.most_bytes(resource.RLIM_INFINITY)
    again = await theirs.talk(another=True)
    await asyncio.gather(everyone.client.speak(), everyone.consultant.speak())
    await everyone.client.hang_up()
    call = await platform.finished(again, 60)
    assert (call.status, call.outcome, call.review) == (Status.RATED, Outcome.TALKED, None)


@OURS
async def test_serve_stops_while_asterisk_is_unreachable_and_the_next_start_prices_the_talk(theirs):
    call_id = await theirs.talk()
    await theirs.platform.marked(call_id, "alive")
    await theirs.kill_asterisk()
    assert await theirs.platform.stop() == 0
    await asyncio.gather(theirs.everyone.client.hang_up(), theirs.everyone.consultant.hang_up())
    await theirs.start_asterisk()
    await theirs.platform.start(seconds=90)
    call = await theirs.platform.finished(call_id, 60)
    assert (call.status, call.outcome) == (Status.RATED, Outcome.TALKED)
    assert theirs.platform.database.do(check) == []


@OURS
async def test_ports_that_an_operators_own_asterisk_could_not_open_are_named(theirs):
    assert await theirs.platform.stop() == 0
    await theirs.kill_asterisk(signal.SIGTERM)
    for key, kind in (("sip_port", socket.SOCK_DGRAM), ("ami_port", socket.SOCK_STREAM)):
        port = getattr(theirs.platform.settings.asterisk, key)
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            await theirs.start_asterisk()
            with pytest.raises(SetupError):
                await theirs.platform.start()
            assert f"127.0.0.1:{port}" in theirs.log
            assert f"[asterisk] {key}" in theirs.log
            assert any(f"127.0.0.1:{port}" in what for what in (await theirs.doctor())[False])
            await theirs.kill_asterisk(signal.SIGTERM)


@OURS
async def test_the_doctor_finds_what_an_operators_own_asterisk_lacks(theirs):
    sounds = theirs.platform.settings.asterisk_home / "data/sounds/en"
    (sounds / "taxiphone").rename(sounds / "away")
    found = (await theirs.doctor())[False]
    assert any("lacks sounds" in what and "en/" in what for what in found), found
    (sounds / "away").rename(sounds / "taxiphone")
    with (theirs.etc / "pjsip.conf").open("a") as file:
        file.write("; changed\n")
    found = (await theirs.doctor())[False]
    assert any("pjsip.conf" in what for what in found), found
    await theirs.configure()
    (theirs.etc / "extensions.conf").write_text("[from-trunk]\nexten => s,1,Hangup()\n")
    modules = theirs.etc / "modules.conf"
    modules.write_text(modules.read_text().replace("load = app_mixmonitor.so\n", ""))
    await theirs.kill_asterisk()
    await theirs.start_asterisk()

    async with asyncio.timeout(30):
        while "unreachable" in (said := " ".join((await theirs.doctor())[False])):
            await asyncio.sleep(0.2)
    assert "your Asterisk's dialplan lacks these contexts: did, inbound" in said
    assert "your Asterisk has not loaded these modules: app_mixmonitor" in said

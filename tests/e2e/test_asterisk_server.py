"""A real Asterisk with its own folder: it starts with our configuration, answers, logs, is taken over, and stops."""

from __future__ import annotations

import asyncio
import base64
import csv
import os
import shutil
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from taxiphone.agi.scripts import agi_scripts
from taxiphone.agi.server import AgiServer
from taxiphone.billing.metering.meter import Meter
from taxiphone.dialplan import config, credentials
from taxiphone.dialplan.asterisk import home, locate
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.dialplan.modules import MODULES
from taxiphone.errors import AsteriskStartError, SetupError
from taxiphone.settings import Settings
from taxiphone.speech import prompts_folder
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.database import Database
from taxiphone.store.models import Call

pytestmark = pytest.mark.e2e


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_settings(folder: Path, **trunk: Any) -> Settings:
    return Settings(
        platform={"cli": "+33199001200"},
        trunk={"host": "127.0.0.1", "port": free_port(socket.SOCK_DGRAM), **trunk},
        asterisk={
            "sip_address": "127.0.0.1",
            "sip_port": free_port(socket.SOCK_DGRAM),
            "http_port": free_port(),
            "agi_port": free_port(),
            "ami_port": free_port(),
            "hep_port": free_port(),
            "rtp_start": 30000,
            "rtp_end": 30100,
        },
        file=folder / "taxiphone.toml",
    )


def make_server(settings: Settings) -> AsteriskServer:
    asterisk = locate.find()
    server = AsteriskServer(asterisk, settings.asterisk_home)
    server.write(config.render(settings, credentials.load(settings), asterisk))
    prompts_folder.link_prompts(settings)
    return server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path)


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[AsteriskServer]:
    server = make_server(settings)
    await server.start()
    yield server
    await server.stop()


def ari_status(settings: Settings, password: str | None) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{settings.asterisk.http_port}/ari/asterisk/info")
    if password is not None:
        token = base64.b64encode(f"{credentials.ARI_USER}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own address
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def rows(settings: Settings) -> list[list[str]]:
    if not settings.cel_file.exists():
        return []
    with settings.cel_file.open(newline="") as file:
        return list(csv.reader(file))


def read(server: AsteriskServer, name: str) -> str:
    return (server.folders.log / name).read_text()


def listening(pid: int) -> list[str]:
    """Return the TCP addresses on which a process listens, in the format of /proc/net/tcp: hexadecimal, bytes reversed."""
    sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    fields = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [field[1] for field in fields if field[3] == "0A" and f"socket:[{field[9]}]" in sockets]


def command_line(pid: int) -> str:
    return (Path("/proc") / str(pid) / "cmdline").read_text()


async def until(fact: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.02)


async def test_it_starts_without_an_error_or_a_warning_and_every_module_runs(server: AsteriskServer) -> None:
    messages = read(server, "messages.log")
    assert "ERROR" not in messages
    assert "WARNING" not in messages
    listed = await server.rx("module show")
    running = {line.split()[0] for line in listed.splitlines() if " Running " in line}
    assert {f"{name}.so" for name in MODULES} <= running


@pytest.mark.usefixtures("server")
async def test_ari_accepts_only_the_right_password(settings: Settings) -> None:
    password = credentials.ari_password(settings)
    assert await asyncio.to_thread(ari_status, settings, password) == 200
    assert await asyncio.to_thread(ari_status, settings, "wrong") == 401
    assert await asyncio.to_thread(ari_status, settings, None) == 401


async def test_nothing_but_sip_and_rtp_listens_beyond_loopback(server: AsteriskServer) -> None:
    assert server.pid is not None
    ari, ami = listening(server.pid)
    assert ari.startswith("0100007F:")
    assert ami.startswith("0100007F:")


async def test_what_happens_to_channels_is_in_the_meters_file(
    server: AsteriskServer, settings: Settings
) -> None:
    await server.rx("module load res_clioriginate.so")
    await server.rx(
        "channel originate Local/+33199001234@from-trunk application Playback taxiphone/unavailable"
    )
    await until(lambda: any(row[0] == "LINKEDID_END" for row in rows(settings)), 30)
    seen = rows(settings)
    assert {row[0] for row in seen} >= {"CHAN_START", "ANSWER", "HANGUP", "CHAN_END", "LINKEDID_END"}
    assert {len(row) for row in seen} == {10}
    assert seen[0][5:7] == ["", ""]  # nothing that the caller chooses
    seconds, fraction = seen[0][1].split(".")
    assert seconds.isdecimal()
    assert len(fraction) == 6
    assert next(row for row in seen if row[0] == "HANGUP")[9].startswith('{"hangupcause"')
    assert settings.cel_file.stat().st_mode & 0o077 == 0


async def test_without_the_application_and_its_apology_the_caller_hears_that_it_is_unavailable(
    server: AsteriskServer, settings: Settings
) -> None:
    # Away: nobody has registered the Stasis application, nobody listens at the FastAGI port.
    await server.rx("module load res_clioriginate.so")
    await server.rx("module load app_echo.so")
    await server.rx("channel originate Local/+33199001234@from-trunk/n application Echo")
    async with asyncio.timeout(10):
        while "!Playback!taxiphone/unavailable!" not in await server.rx("core show channels concise"):
            await asyncio.sleep(0.05)
    assert "does not exist in any format" not in read(server, "messages.log")
    secret = credentials.load(settings).agi_secret
    assert secret not in read(server, "messages.log") + read(server, "console.log")


@pytest.mark.parametrize(
    ("database_there", "known", "said_by"),
    [(True, True, "AGI("), (False, True, "AGI("), (True, False, "Playback(")],
)
async def test_a_caller_while_the_application_is_down_hears_the_apology_and_gets_a_row_later(
    server: AsteriskServer, settings: Settings, database_there: bool, known: bool, said_by: str
) -> None:
    database = Database(settings.database_url)
    if database_there:
        database.create_if_new()
    inbound = (server.folders.etc / "extensions.conf").read_text().partition("[inbound]\n")[2]
    steps = [line.partition(",")[2] for line in inbound.splitlines()]
    said_at = next(number for number, step in enumerate(steps, 1) if said_by in step)
    apology = agi_scripts(settings, database)["apology"]
    if not known:
        apology.secret = "another"  # noqa: S105 - such as Asterisk's files of another installation
    agi = AgiServer(settings.asterisk.agi_port, {"apology": apology})
    await agi.start()
    try:
        await server.rx("module load res_clioriginate.so")
        await server.rx("module load app_echo.so")
        await server.rx("channel originate Local/+33199001234@from-trunk/n application Echo")
        heard: set[str] = set()
        async with asyncio.timeout(30):
            while not any(row[0] == "LINKEDID_END" for row in rows(settings)):
                for line in (await server.rx("core show channels concise")).splitlines():
                    _, context, _, priority, _, application, *_ = line.split("!")
                    if (context, application) == ("inbound", "Playback"):
                        heard.add(priority)
                await asyncio.sleep(0.05)
        # Once: by the line, or by the dialplan's next step.
        assert heard == {str(said_at)}
        database.upgrade()
        Meter(settings, database).read_once()
        [call] = database.do(lambda session: session.query(Call).all())
        assert (call.outcome, call.status, call.dialled) == (Outcome.APOLOGY, Status.CLOSED, "+33199001234")
    finally:
        await agi.stop()
        database.close()


@pytest.mark.parametrize(
    ("expression", "result"),
    [("FILTER(a-z0-9-,26/../11;22-7gq4mk)", "261122-7gq4mk"), ("FILTER(+0-9,+33a1-99&)", "+33199")],
)
async def test_what_the_dialplan_lets_through_cannot_leave_its_place(
    server: AsteriskServer, expression: str, result: str
) -> None:
    assert f"Result: {result}\n" in await server.rx(f"dialplan eval function {expression}")


async def test_one_left_running_is_taken_over_and_stopped(settings: Settings) -> None:
    first = make_server(settings)
    assert not await first.adopt()
    await first.start()
    pid = first.pid
    assert pid is not None
    first.release()  # as if this program were gone
    try:
        assert home.find_process(first.conf) == pid
        second = AsteriskServer(locate.find(), settings.asterisk_home)
        with pytest.raises(AsteriskStartError, match="is already running"):
            await second.start()
        assert await second.adopt()
        assert (second.pid, second.adopted) == (pid, True)
        await second.stop()
        await second.wait_ended()
        assert not second.running
    finally:
        if (left := home.find_process(first.conf)) is not None:
            os.kill(left, signal.SIGKILL)
    assert left is None  # nothing had to be killed


async def test_another_homes_asterisk_is_not_taken_over(server: AsteriskServer, tmp_path: Path) -> None:
    other = make_server(make_settings(tmp_path / "other"))
    other.folders.run.joinpath("asterisk.pid").write_text(str(server.pid))
    assert not await other.adopt()


async def test_its_sudden_death_is_noticed_and_it_can_be_started_again(server: AsteriskServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        await server.wait_ended()
    assert not server.running
    with pytest.raises(SetupError, match="does not respond"):
        await server.rx("core show version")
    await server.start()
    assert server.running


async def test_a_graceful_stop_with_no_call_ends_it(server: AsteriskServer) -> None:
    async with asyncio.timeout(10):
        await server.stop(graceful=True)
    assert not server.running


async def test_if_asterisk_rejects_a_file_its_own_message_is_shown(settings: Settings) -> None:
    server = make_server(settings)
    (server.folders.etc / "modules.conf").write_text("[modules]\nautoload = no\nrequire = res_not_there.so\n")
    with pytest.raises(AsteriskStartError, match="res_not_there"):
        await server.start()
    assert home.find_process(server.conf) is None


async def test_a_home_with_a_long_path_starts_too(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 20) / ("deeper" * 10)
    deep.mkdir(parents=True)
    server = make_server(make_settings(deep))
    try:
        await server.start()
        async with asyncio.timeout(10):  # it answers before it knows all of its commands
            while "Asterisk" not in await server.rx("core show version"):
                await asyncio.sleep(0.1)
    finally:
        await server.stop()
        shutil.rmtree(server.folders.run)


async def test_a_registering_trunk_registers(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("a secret with spaces\n")
    (tmp_path / "pw").chmod(0o600)
    chosen = make_settings(tmp_path, mode="registration", username="account1", password_file=Path("pw"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as carrier:
        carrier.bind(("127.0.0.1", chosen.trunk.port))
        carrier.setblocking(False)
        server = make_server(chosen)
        await server.start()
        try:
            requests = b""
            async with asyncio.timeout(10):
                while b"REGISTER sip:127.0.0.1" not in requests:
                    requests = await asyncio.get_running_loop().sock_recv(carrier, 65535)
            assert b"account1" in requests
            assert b";line=" in requests
            assert "trunk/sip:127.0.0.1" in await server.rx("pjsip show registrations")
            assert "ERROR" not in read(server, "messages.log")
        finally:
            await server.stop()


async def test_no_password_is_in_the_process_list_or_the_log(
    server: AsteriskServer, settings: Settings
) -> None:
    password = credentials.ari_password(settings)
    assert server.pid is not None
    assert password not in command_line(server.pid)
    assert password not in read(server, "messages.log") + read(server, "console.log")

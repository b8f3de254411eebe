"""Strangers send masses of SIP requests: the logs stay bounded, and fail2ban bans only them.

On loopback, and bounded: some thousands of requests in a few seconds.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from taxiphone.demo.ports import free_port, free_range
from taxiphone.dialplan import config, credentials
from taxiphone.dialplan.asterisk import home, locate, log_keeper, refused_requests
from taxiphone.dialplan.asterisk.log_keeper import Bounds
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.settings import Settings

pytestmark = pytest.mark.e2e

STRANGER, TRUNK = "127.0.0.9", "127.0.0.2"
LIMIT = 200_000
AT_ONCE = 50
# What a second's flood may add before the keeper looks again; the flood here is about 2,000 requests a second.
A_SECONDS_FLOOD = 3_000_000


@dataclass
class Target:
    """An Asterisk with our configuration, and its logs."""

    server: AsteriskServer
    port: int

    def log(self, name: str) -> Path:
        return self.server.folders.log / name

    def sizes(self) -> dict[str, int]:
        return {
            path.name: path.stat().st_size for path in self.server.folders.log.iterdir() if path.is_file()
        }


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    start, end = free_range(100)
    settings = Settings(
        platform={"cli": "+33199001200"},
        trunk={"host": TRUNK},
        asterisk={
            "sip_address": "127.0.0.1",
            "sip_port": free_port("127.0.0.1"),
            "http_port": free_port("127.0.0.1"),
            "agi_port": free_port("127.0.0.1"),
            "ami_port": free_port("127.0.0.1"),
            "rtp_start": start,
            "rtp_end": end,
        },
        file=tmp_path / "taxiphone.toml",
    )
    asterisk = locate.find()
    server = AsteriskServer(asterisk, settings.asterisk_home, Bounds(LIMIT))
    server.write(config.render(settings, credentials.load(settings), asterisk))
    await server.start()
    yield Target(server, settings.asterisk.sip_port)
    if home.find_process(server.conf) is not None:
        await server.adopt()
        await server.stop()


def request(number: int, method: str, port: int, *, sender: str = "", call_id: str = "") -> bytes:
    lines = (
        f"{method} sip:+33199001234@127.0.0.1 SIP/2.0",
        f"Via: SIP/2.0/UDP {STRANGER}:{port};branch=z9hG4bK{method}{number}",
        "Max-Forwards: 70",
        f"From: {sender or f'<sip:100@{STRANGER}>'};tag=a{number}",
        "To: <sip:+33199001234@127.0.0.1>",
        f"Call-ID: {call_id or f'{method}{number}'}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:100@{STRANGER}:{port}>",
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def flood(target: Target, requests: int) -> None:
    """Send requests that are refused, packets that aren't SIP, and messages without a required header."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((STRANGER, 0))
        port = stranger.getsockname()[1]
        for number in range(requests):
            packet = request(number, ("INVITE", "REGISTER", "OPTIONS", "NONSENSE")[number % 4], port)
            if number % 10 == 8:
                packet = b"\xff\xfe" + packet
            if number % 10 == 9:
                packet = packet.replace(b"CSeq:", b"X: " + b"x" * 3000 + b"\r\nX-CSeq:")
            stranger.sendto(packet, ("127.0.0.1", target.port))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0.02)


async def settled(target: Target) -> dict[str, int]:
    """Return the sizes once nothing grows and the log keeper has checked."""
    before: dict[str, int] = {}
    async with asyncio.timeout(20):
        while (now := target.sizes()) != before or any(
            size >= LIMIT for name, size in now.items() if name[-1].isalpha()
        ):
            before = now
            await asyncio.sleep(1.5)
    return now


def family(sizes: dict[str, int], name: str) -> list[int]:
    return [size for file, size in sizes.items() if file.startswith(name)]


async def test_a_flood_leaves_bounded_logs_with_the_program_alive_and_dead(target: Target) -> None:
    await flood(target, 3000)
    alive = await settled(target)
    pid = target.server.pid
    target.server.release()  # as after a kill -9 of `taxiphone serve`
    assert pid == home.find_process(target.server.conf)
    await flood(target, 3000)
    dead = await settled(target)
    for sizes in (alive, dead):
        for name in (log_keeper.MESSAGES, log_keeper.NOTICES, log_keeper.SECURITY, refused_requests.FILE):
            files = family(sizes, name)
            assert len(files) <= 1 + log_keeper.ROTATED
            assert sum(files) <= (1 + log_keeper.ROTATED) * LIMIT + A_SECONDS_FLOOD
    assert dead["messages.log"] < 10_000, "what a stranger sends is no warning"
    assert len(family(dead, log_keeper.SECURITY)) > 1, "the flood was large enough to put a log aside"
    # A line for each request, as Asterisk writes it, is not what the clean log holds: it has 20 for each second at most.
    assert sum(family(dead, refused_requests.FILE)) < 100_000


def fail2ban(log: Path) -> list[str]:
    """Return the addresses that fail2ban's stock filter finds, using Debian's package."""
    program = shutil.which("fail2ban-regex")
    assert program is not None, "fail2ban-regex is missing: apt-get install fail2ban"
    ran = subprocess.run(
        [program, "--out", "ip", str(log), "/etc/fail2ban/filter.d/asterisk.conf"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout.split()


async def until_refused(target: Target, requests: int) -> None:
    log = target.log(refused_requests.FILE)
    async with asyncio.timeout(20):
        while not log.exists() or refused_requests.count(log.read_text().splitlines()).total() < requests:
            await asyncio.sleep(0.1)


async def test_fail2bans_stock_filter_finds_who_was_refused(target: Target) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((STRANGER, 0))
        for number, method in enumerate(("INVITE", "REGISTER", "OPTIONS")):
            stranger.sendto(request(number, method, stranger.getsockname()[1]), ("127.0.0.1", target.port))
    await until_refused(target, 3)
    assert await asyncio.to_thread(fail2ban, target.log(refused_requests.FILE)) == [STRANGER] * 3


VICTIM = "10.0.0.9"
FORGED = f"%22,RemoteAddress=%22IPV4/U/{VICTIM}/1%22%0a"


async def test_a_stranger_cannot_have_somebody_else_banned(target: Target) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((STRANGER, 0))
        port = stranger.getsockname()[1]
        tricks = (
            {"sender": f"<sip:{FORGED}@{STRANGER}>"},
            {"sender": f"<sip:x%0a@{STRANGER}>", "call_id": f'y",RemoteAddress="IPV4/UDP/{VICTIM}/5060'},
            {"call_id": f'x",LocalAddress="IPV4/UDP/1.2.3.4/1",RemoteAddress="IPV4/UDP/{VICTIM}/1'},
            {"call_id": f"a)' failed for '{VICTIM}' (callid: y"},
            {"sender": f"\"x' failed for '{VICTIM}' (callid: y\" <sip:a@{STRANGER}>"},
            {"sender": f"<sip:x%00%1b@{STRANGER}>"},
        )
        for number, trick in enumerate(tricks):
            stranger.sendto(request(number, "INVITE", port, **trick), ("127.0.0.1", target.port))
    await until_refused(target, len(tricks))
    # Asterisk's own logs are open to it: from them, the filter would ban whom the stranger names.
    for name in (log_keeper.SECURITY, log_keeper.NOTICES):
        assert VICTIM in await asyncio.to_thread(fail2ban, target.log(name))
    assert set(await asyncio.to_thread(fail2ban, target.log(refused_requests.FILE))) == {STRANGER}

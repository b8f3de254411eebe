"""A carrier with another SIP stack, sipp, against a platform set up with the README's commands only."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
from pathlib import Path

import pytest

from taxiphone.demo.platform import Platform
from taxiphone.demo.ports import free_port
from taxiphone.dialplan.asterisk import packages
from taxiphone.settings import cache_folder
from taxiphone.store.calls import Outcome, Status

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

CARRIER = "127.0.0.3"
HERE = Path(__file__).parent / "sipp"


@pytest.fixture(scope="session")
def sipp():
    return packages.fetch(["sip-tester"], cache_folder() / "sip-tester").command("usr/bin/sipp")


async def run(*command, cwd=None):
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TERM": "dumb"},
    )
    try:
        async with asyncio.timeout(90):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, said.decode(errors="replace")


async def taxiphone(platform, *arguments):
    code, said = await run(
        sys.executable, "-m", "taxiphone", "--config", str(platform.file), *arguments, "--json"
    )
    assert code == 0, said
    return json.loads(said)


def write_key(path, key, first):
    """Write a capture for sipp with a key of 180 ms as RTP events (RFC 4733), payload type 101 as offered by the platform."""
    events = [(10, 160 * (n + 1)) for n in range(8)] + [(0x8A, 1440)] * 3  # end bit and volume, duration
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number, (flags, duration) in enumerate(events):
        payload = struct.pack("!BBH", key, flags, duration)
        rtp = (
            struct.pack("!BBHII", 0x80, 101 | (0x80 if number == 0 else 0), first + number, first * 160, 4711)
            + payload
        )
        udp = struct.pack("!HHHH", 26000, 10000, 8 + len(rtp), 0) + rtp
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), bytes(4)) + udp
        frame = bytes(12) + b"\x08\x00" + ip
        out += struct.pack("<IIII", 0, number * 20_000, len(frame), len(frame)) + frame
    path.write_bytes(out)


async def test_sipp_as_carrier_and_both_phones_gets_a_priced_and_recorded_call(sipp, tmp_path):
    for scenario in HERE.glob("*.xml"):
        (tmp_path / scenario.name).write_bytes(scenario.read_bytes())
    write_key(tmp_path / "hash.pcap", 11, first=100)  # RFC 4733
    write_key(tmp_path / "key1.pcap", 1, first=400)
    # A square wave of 500 Hz as A-law (G.711): eight samples up, eight down.
    (tmp_path / "voice.alaw").write_bytes((b"\xaa" * 8 + b"\x2a" * 8) * 500)
    carrier, client = free_port(CARRIER), free_port(CARRIER)
    platform = Platform(tmp_path / "platform")
    platform.write(f'host = "{CARRIER}"\nport = {carrier}')
    try:
        consultant = await taxiphone(
            platform,
            *("consultant", "add", "Camille", "--phone", "+33639980002", "--price", "1.55", "--recording"),
        )
        await taxiphone(platform, "client", "add", "Alex", "--number", "+33639980001")
        await taxiphone(platform, "client", "top-up", "+33639980001", "50", "--key", "first")
        await taxiphone(platform, "number", "add", "+33199001234", "--consultant", consultant["code"])
        await platform.start()
        options = ("-i", CARRIER, "-mi", CARRIER, "-m", "1", "-nostdin", "-trace_err")
        called, calling = await asyncio.gather(
            run(*sipp, "-sf", "consultant.xml", "-p", str(carrier), "-mp", "26000", *options, cwd=tmp_path),
            run(
                *(
                    *sipp,
                    f"127.0.0.1:{platform.sip_port}",
                    "-sf",
                    "client.xml",
                    "-p",
                    str(client),
                    "-mp",
                    "27000",
                ),
                *options,
                cwd=tmp_path,
            ),
        )
        assert calling[0] == 0, calling[1][-2000:]
        assert called[0] == 0, called[1][-2000:]
        [listed] = await taxiphone(platform, "call", "list")
        call = await platform.finished(listed["id"])
        assert (call.status, call.outcome) == (Status.RATED, Outcome.TALKED)
        await platform.until(
            lambda session: session.get_one(type(call), call.id).recording.status == "ready", "the MP3"
        )
        receipt = await taxiphone(platform, "receipt", "show", call.id)
        assert [line["what"] for line in receipt["lines"]] == ["talk", "recording"]
        assert await platform.channels() == 0
    finally:
        await platform.stop()
        await platform.stop_stray_asterisk()
        platform.database.close()

"""Asterisk's security log, with lines from a real Asterisk 22, including manipulated ones."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from taxiphone.dialplan.asterisk.refused_requests import Follower, Refused, Tail, count, parse, written
from taxiphone.server.refused_summary import RefusedSummary

STRANGER = Refused("InvalidAccountID", "IPV4", "UDP", "203.0.113.9")


def event(account: bytes = b"100", call_id: bytes = b"c1", *, what: bytes = b"InvalidAccountID") -> bytes:
    return (
        b'[2026-11-27 00:55:00.741] SECURITY[12850] res_security_log.c: SecurityEvent="' + what + b'",'
        b'EventTV="2026-11-27T00:55:00.741+0000",Severity="Error",Service="PJSIP",EventVersion="1",'
        b'AccountID="' + account + b'",SessionID="' + call_id + b'",LocalAddress="IPV4/UDP/192.0.2.1/5060",'
        b'RemoteAddress="IPV4/UDP/203.0.113.9/44591"'
    )


def found(*events: bytes) -> list[Refused]:
    return list(parse(b"\n".join(events).split(b"\n")))


def test_a_refused_request_is_its_address() -> None:
    assert found(event(), event(what=b"ChallengeSent"), event()) == [STRANGER, STRANGER]


@pytest.mark.parametrize(
    ("account", "call_id"),
    [
        (b'",RemoteAddress="IPV4/U/10.0.0.9/1"\n', b"c1"),  # all that fits into the 36 bytes of an AccountID
        (b"x\n", b'y",RemoteAddress="IPV4/UDP/192.0.2.7/5060'),
        (b"x\n[2026-11-27 00:53:28] SECURITY[1] a: ", b'b: SecurityEvent="InvalidAccountID'),
        (b"x\ny\nz\n", b"c1"),
        (b"x", b'c",LocalAddress="IPV4/UDP/192.0.2.1/1",RemoteAddress="IPV4/UDP/192.0.2.7/1'),
        (b"x", b"\xff\xfe\x0b\x0c\x85\xe2\x80\xa8"),
    ],
)
def test_whatever_a_stranger_puts_into_it_nobody_else_is_named(account: bytes, call_id: bytes) -> None:
    assert found(event(account, call_id), event()) == [STRANGER, STRANGER]


@pytest.mark.parametrize(
    "lines", [b"", b"nonsense", event()[:-20], event()[60:], b'RemoteAddress="IPV4/UDP/1.2.3.4/5"']
)
def test_an_incomplete_event_is_ignored(lines: bytes) -> None:
    assert found(lines) == []


def test_a_flood_from_one_address_is_a_few_lines_that_count_all_of_it() -> None:
    lines = written([STRANGER] * 5000, 1_790_000_000.5)
    assert len(lines) == 20
    assert count(lines) == {"203.0.113.9": 5000}


def test_what_comes_is_written_on_once_and_an_emptied_log_is_begun_anew(tmp_path: Path) -> None:
    security, refused = tmp_path / "security.log", tmp_path / "refused.log"
    security.write_bytes(event() + b"\n")  # from before
    follower = Follower(security, refused)
    follower.follow(0)
    assert refused.read_text() == ""
    with security.open("ab") as file:
        file.write(event() + b"\n" + event()[:50])
    follower.follow(0)
    follower.follow(0)
    security.write_bytes(event()[:10])
    follower.follow(0)
    with security.open("ab") as file:
        file.write(event()[10:] + b"\n")
    follower.follow(0)
    assert count(refused.read_text().splitlines()) == {"203.0.113.9": 2}


def test_a_log_that_grows_too_fast_is_read_at_its_end_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    tail = Tail(log)
    log.write_bytes(b"x" * 10_000_000 + b"\nlast\n")
    assert tail.lines()[-1] == b"last"


async def test_the_programs_log_has_one_line_a_minute_with_the_loudest_sources(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    summary = asyncio.create_task(RefusedSummary(tmp_path, seconds=0.05).run())
    await asyncio.sleep(0)  # it passes over what is there when it begins
    sources = [STRANGER] * 30 + [
        Refused("InvalidAccountID", "IPV4", "UDP", f"198.51.100.{n}") for n in range(7)
    ]
    with caplog.at_level(logging.WARNING):
        (tmp_path / "refused.log").write_text("".join(f"{line}\n" for line in written(sources, 0)))
        async with asyncio.timeout(5):
            while not caplog.messages:
                await asyncio.sleep(0.01)
    summary.cancel()
    [line] = caplog.messages
    assert line.startswith("37 SIP requests from unknown addresses were rejected")
    assert "203.0.113.9 (30)" in line
    assert "and 3 more" in line

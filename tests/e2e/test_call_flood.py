"""Ten callers a second hang up at any point, and some dial nonsense. On loopback, for a limited time.

The carrier here is a socket that speaks just enough SIP: INVITE, CANCEL, ACK, BYE (RFC 3261). It sends no sound.
"""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from taxiphone.billing.ledger import postings
from taxiphone.billing.ledger_check import check
from taxiphone.demo.network import ADDRESS as CARRIER
from taxiphone.demo.platform import Platform, Timing
from taxiphone.demo.ports import free_port
from taxiphone.directory import clients, consultants, dids
from taxiphone.store.calls import FINAL, Outcome
from taxiphone.store.models import Call

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

A_SECOND, SECONDS, MOST = 10, 15, 20
SHARED = "+33199001235"
# What is dialled, in turn: mostly the platform's number.
DIALLED = (SHARED, SHARED, SHARED, "9" * 24, "9" * 25, "9" * 3000, "%0a%0d", "+", "0", "s", "h", "i")


class Carrier(asyncio.DatagramProtocol):
    """A carrier that calls by number and stores the last response to each call."""

    def __init__(self, port: int, platform_port: int) -> None:
        self.port, self._to = port, ("127.0.0.1", platform_port)
        self.answers: dict[int, int] = {}
        self._tags: dict[int, str] = {}
        self._users: dict[int, str] = {}

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, _address):
        text = data.decode("latin-1")
        status = re.match(r"SIP/2\.0 (\d{3})", text)
        called = re.search(r"^Call-ID: flood(\d+)", text, re.MULTILINE | re.IGNORECASE)
        if not called:
            return
        number = int(called[1])
        if status is None:  # a BYE of the platform's
            via, sender, to, cseq = (
                re.search(rf"^{name}: (.*)\r$", text, re.MULTILINE | re.IGNORECASE)[1]
                for name in ("Via", "From", "To", "CSeq")
            )
            answer = f"SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: {sender}\r\nTo: {to}\r\nCall-ID: flood{number}\r\nCSeq: {cseq}"
            self._transport.sendto(f"{answer}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"), self._to)
            return
        if "INVITE" not in re.search(r"^CSeq: (.*)$", text, re.MULTILINE | re.IGNORECASE)[1]:
            return
        self.answers[number] = int(status[1])
        if int(status[1]) >= 200:
            self._tags[number] = re.search(r"^To: .*?(;tag=[^\s;]+)", text, re.MULTILINE | re.IGNORECASE)[1]
            self._send(number, "ACK", 1, branch="a" if status[1] == "200" else "")

    def invite(self, number, user):
        self._users[number] = user
        sdp = (
            f"v=0\r\no=- 1 1 IN IP4 {CARRIER}\r\ns=-\r\nc=IN IP4 {CARRIER}\r\nt=0 0\r\n"
            "m=audio 40000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        )
        self._send(number, "INVITE", 1, sdp)

    def hang_up(self, number):
        answered = self.answers.get(number, 100)
        if answered < 200:
            self._send(number, "CANCEL", 1)
        elif answered == 200:
            self._send(number, "BYE", 2, branch="b")

    def _send(self, number, method, cseq, body="", branch=""):
        lines = [
            f"{method} sip:{self._users[number]}@127.0.0.1:{self._to[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {CARRIER}:{self.port};branch=z9hG4bK{number}{branch}",
            "Max-Forwards: 70",
            f"From: <sip:+336{number:08d}@{CARRIER}>;tag=f{number}",
            f"To: <sip:x@127.0.0.1>{self._tags.get(number, '')}",
            f"Call-ID: flood{number}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:carrier@{CARRIER}:{self.port}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._transport.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self._to)


async def test_callers_who_hang_up_anywhere_leave_nothing_behind(tmp_path):
    platform = Platform(tmp_path / "platform", timing=Timing(ring_seconds=4, key_seconds=2, most_calls=MOST))
    port = free_port(CARRIER)
    platform.write(f'host = "{CARRIER}"\nport = {port}')

    def fill(session):
        settings = platform.settings
        consultants.add_consultant(
            session, settings, name="Camille", phone="+33639980002", price_per_minute=Decimal("1.55")
        )
        dids.add_number(session, settings, number=SHARED)
        for number in range(0, A_SECOND * SECONDS, 2):  # every second caller is a client
            client = clients.add_client(session, settings, name="Alex", phones=[f"+336{number:08d}"])
            postings.top_up(session, client.id, 1000, "EUR", "first")

    platform.database.do(fill)
    loop = asyncio.get_running_loop()
    try:
        await platform.start()
        transport, carrier = await loop.create_datagram_endpoint(
            lambda: Carrier(port, platform.sip_port), local_addr=(CARRIER, port)
        )
        for number in range(A_SECOND * SECONDS):
            carrier.invite(number, DIALLED[number % len(DIALLED)])
            loop.call_later((number * 37 % 50) / 10, carrier.hang_up, number)  # after 0 to 5 s
            await asyncio.sleep(1 / A_SECOND)
        await asyncio.sleep(5)
        for number in range(A_SECOND * SECONDS):
            carrier.hang_up(number)
        unfinished = select(func.count()).where(Call.status.not_in(FINAL))
        await platform.until(
            lambda session: session.execute(unfinished).scalar_one() == 0, "every call is closed", 60
        )
        assert await platform.channels() == 0
        calls = platform.database.do(lambda session: session.scalars(select(Call)).all())
        assert {call.outcome for call in calls} <= {
            *(Outcome.CALLER_GONE, Outcome.UNKNOWN_NUMBER, Outcome.UNKNOWN_CALLER, Outcome.NO_CHOICE),
            Outcome.ALL_LINES_BUSY,
            Outcome.FAILED,  # on a busy machine: the database took longer than a call waits for it
        }, platform.last_words()
        assert all(call.review is None for call in calls), "nobody need be called back"
        statuses = set(carrier.answers.values())
        assert statuses <= {200, 404, 414, 484, 487, 503}
        assert len(calls) <= A_SECOND * SECONDS
        assert platform.database.do(check) == []
        log = (platform.folder / "serve.log").read_text()
        assert "Traceback" not in log
        transport.close()
    finally:
        await platform.stop()
        await platform.stop_stray_asterisk()
        platform.database.close()

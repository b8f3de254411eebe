"""What real INVITEs say about the caller: who is recognised as a client, and who is asked for code and PIN."""

from __future__ import annotations

import asyncio
import re
import socket
from decimal import Decimal

import pytest
from sqlalchemy import select

from taxiphone.demo.platform import Platform, Timing
from taxiphone.demo.ports import free_port
from taxiphone.directory import clients, consultants, dids
from taxiphone.store.calls import Outcome
from taxiphone.store.models import Call

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

CARRIER = "127.0.0.3"
CLIENT = "+33639980001"
PLAIN = f"From: <sip:{CLIENT}@{CARRIER}>"
NOBODY = 'From: "Anonymous" <sip:anonymous@anonymous.invalid>'
ASSERTED = f"P-Asserted-Identity: <sip:{CLIENT}@{CARRIER}>"

KNOWN = {
    "nothing but the number": [PLAIN],
    "nothing but the number, without its plus": [f"From: <sip:{CLIENT[1:]}@{CARRIER}>"],
    "the national number": [f"From: <sip:0{CLIENT[3:]}@{CARRIER}>"],
    "an asserted identity": [f'From: "Desk" <sip:10@{CARRIER}>', ASSERTED],
    "Privacy: none": [PLAIN, ASSERTED, "Privacy: none"],
    "Privacy: off": [PLAIN, ASSERTED, "Privacy: off"],
    "Privacy: session": [PLAIN, ASSERTED, "Privacy: session;critical"],
    "verified": [
        PLAIN,
        f"P-Asserted-Identity: <sip:{CLIENT};verstat=TN-Validation-Passed@{CARRIER};user=phone>",
    ],
    "not verified by anybody": [f"From: <sip:{CLIENT};verstat=No-TN-Validation@{CARRIER}>"],
}
HIDDEN = {
    "Privacy: id": ([PLAIN, ASSERTED, "Privacy: id"], "Privacy: id"),
    "Privacy: ID, with spaces": ([PLAIN, ASSERTED, "Privacy:  ID ; critical"], "Privacy: id"),
    "Privacy: user;header": ([PLAIN, ASSERTED, "Privacy: user;header"], "Privacy: header;user"),
    "Privacy twice": ([PLAIN, ASSERTED, "Privacy: none", "Privacy: id"], "Privacy: id"),
    "Privacy: id and no asserted identity": ([PLAIN, "Privacy: id"], "Privacy: id"),
    "an anonymous From": ([NOBODY, ASSERTED], "From: anonymous"),
    "an anonymous From alone": ([NOBODY], "no number"),
    "a name that says so": ([f'From: "Restricted" <sip:{CLIENT}@{CARRIER}>'], "From: anonymous"),
    "a Remote-Party-ID": (
        [PLAIN, f"Remote-Party-ID: <sip:{CLIENT}@{CARRIER}>;party=calling;privacy=full"],
        "presentation: prohib",  # Asterisk reads this one
    ),
    "verification failed": (
        [PLAIN, f"P-Asserted-Identity: <sip:{CLIENT};verstat=TN-Validation-Failed@{CARRIER};user=phone>"],
        "verstat: tn-validation-failed",
    ),
    "verification failed, in From": (
        [f"From: <sip:{CLIENT};verstat=TN-Validation-Failed@{CARRIER};user=phone>"],
        "verstat: tn-validation-failed",
    ),
    "verification failed, in the second identity": (
        [PLAIN, ASSERTED, f"P-Asserted-Identity: <tel:{CLIENT};verstat=TN-Validation-Failed-B>"],
        "verstat: tn-validation-failed-b",
    ),
    "the keys of UNAVAILABLE": ([f"From: <sip:86282452253@{CARRIER}>"], "keys of a word"),
    "the keys of UNKNOWN after a plus": ([f"From: <sip:+8656696@{CARRIER}>"], "keys of a word"),
    "a foreign number without its plus": ([f"From: <sip:687123456@{CARRIER}>"], "ambiguous"),
    "quotes, brackets, commas and dialplan": (
        [rf'From: "a\",${{SHELL(id)}}),b\\" <sip:{CLIENT}@{CARRIER}>', "Privacy: id,${EXTEN},$[1+1])"],
        "Privacy:",
    ),
}


class Carrier(asyncio.DatagramProtocol):
    """A carrier that calls with the given caller headers and stays on the line until the platform hangs up."""

    def __init__(self, platform: int) -> None:
        self._platform = ("127.0.0.1", platform)
        self._requests: dict[str, str] = {}
        self.refused: list[str] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport
        self._here = ":".join(map(str, transport.get_extra_info("sockname")))

    def call(self, number: int, dialled: str, media: int, headers: list[str]) -> None:
        """Send an INVITE (RFC 3261) to `dialled` with these headers, including From."""
        sdp = "\r\n".join(
            (
                "v=0",
                f"o=- {number} 1 IN IP4 {CARRIER}",
                "s=-",
                f"c=IN IP4 {CARRIER}",
                "t=0 0",
                f"m=audio {media} RTP/AVP 8",
                "",
            )
        )
        sender, *more = headers
        lines = (
            f"INVITE sip:{dialled}@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP {self._here};branch=z9hG4bKinvite{number}",
            "Max-Forwards: 70",
            f"{sender};tag=caller{number}",
            f"To: <sip:{dialled}@127.0.0.1>",
            f"Call-ID: withheld-{number}",
            "CSeq: 1 INVITE",
            f"Contact: <sip:carrier@{self._here}>",
            *more,
            "Content-Type: application/sdp",
            f"Content-Length: {len(sdp)}",
        )
        self._requests[f"withheld-{number}"] = sender
        self._send("\r\n".join((*lines, "", sdp)))

    def datagram_received(self, data: bytes, _address: object) -> None:
        text = data.decode("utf-8", "replace")
        first = text.partition("\r\n")[0]
        call_id = re.findall(r"(?mi)^Call-ID: *(\S+)", text)[0]
        method = re.findall(r"(?mi)^CSeq: *\d+ +(\S+)", text)[0]
        if not first.startswith("SIP/2.0"):
            kept = re.findall(r"(?mi)^(?:Via|From|To|Call-ID|CSeq):.*$", text)
            self._send(
                "\r\n".join(("SIP/2.0 200 OK", *(line.strip() for line in kept), "Content-Length: 0", "", ""))
            )
        elif method == "INVITE" and not first.startswith("SIP/2.0 1"):
            if not first.startswith("SIP/2.0 200"):
                self.refused.append(f"{call_id}: {first}")
            self._acknowledge(call_id, text)

    def _acknowledge(self, call_id: str, answer: str) -> None:
        contact = re.findall(r"(?mi)^Contact: *<([^>]+)>", answer)
        kept = [re.findall(rf"(?mi)^{name}:.*$", answer)[0].strip() for name in ("From", "To")]
        lines = (
            f"ACK {contact[0] if contact else 'sip:127.0.0.1'} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._here};branch=z9hG4bKack{call_id}",
            "Max-Forwards: 70",
            *kept,
            f"Call-ID: {call_id}",
            "CSeq: 1 ACK",
            "Content-Length: 0",
        )
        self._send("\r\n".join((*lines, "", "")))

    def _send(self, text: str) -> None:
        self._transport.sendto(text.encode(), self._platform)


async def test_only_a_number_that_is_not_withheld_identifies_a_client(tmp_path):
    port = free_port(CARRIER)
    timing = Timing(key_seconds=1, rtp_timeout_seconds=120)
    platform = Platform(tmp_path / "platform", timing=timing)
    platform.write(f'host = "{CARRIER}"\nport = {port}')
    told = [*((headers, None) for headers in KNOWN.values()), *HIDDEN.values()]
    dialled = [f"+33639983{number:03}" for number in range(len(told))]

    def fill(session):
        consultants.add_consultant(
            session,
            platform.settings,
            name="Camille",
            phone="+33639980002",
            price_per_minute=Decimal("1.55"),
            code="101",
        )
        clients.add_client(session, platform.settings, name="Alex", phones=[CLIENT])  # who has no credit
        for did in dialled:
            dids.add_number(session, platform.settings, number=did, consultant_code="101")

    platform.database.do(fill)
    # Nobody listens to what is said: the packets need a place to go.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind((CARRIER, 0))
        transport, carrier = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Carrier(platform.sip_port), local_addr=(CARRIER, port)
        )
        try:
            await platform.start(seconds=90)
            found = {}
            # A few at once; of one client's, no more than one client may have.
            most = platform.settings.call.most_calls_per_client
            known, hidden_ones = range(len(KNOWN)), range(len(KNOWN), len(told))
            places = [known[begin : begin + most] for begin in range(0, len(known), most)]
            places += [hidden_ones[begin : begin + 8] for begin in range(0, len(hidden_ones), 8)]
            for some in places:
                for number in some:
                    carrier.call(number, dialled[number], media.getsockname()[1], told[number][0])
                for number in some:
                    [call_id] = await platform.until(
                        lambda session, did=dialled[number]: session.scalars(
                            select(Call.id).where(Call.dialled == did)
                        ).all(),
                        f"a call comes to {dialled[number]}; refused were {carrier.refused}",
                        60,
                    )
                    found[number] = await platform.finished(call_id, 120)
            assert carrier.refused == []
            assert await platform.channels() == 0
        finally:
            transport.close()
            await platform.stop()
            await platform.stop_stray_asterisk()

    def hidden(session, call):
        return [mark.detail for mark in session.get_one(Call, call.id).events if mark.what == "caller hidden"]

    for number, name in enumerate((*KNOWN, *HIDDEN)):
        call = found[number]
        why = platform.database.do(lambda session, call=call: hidden(session, call))
        if name in KNOWN:
            assert (call.caller, call.outcome, why) == (CLIENT, Outcome.NO_CREDIT, []), name
        else:
            assert (call.caller, call.client_id, call.outcome) == (None, None, Outcome.UNKNOWN_CALLER), name
            assert len(why) == 1, name
            assert HIDDEN[name][1] in why[0], name
    # What is noted of a call that nobody could take (billing/metering/arrivals.py) has no withheld number either.
    events = platform.settings.cel_file.read_text()
    assert f"in:{dialled[0]}:{CLIENT}" in events
    for did in dialled[len(KNOWN) :]:
        assert f"in:{did}:" in events
        assert f"in:{did}:{CLIENT}" not in events
    log = "".join(platform.said) + (platform.settings.asterisk_home / "log" / "messages.log").read_text()
    assert "uid=" not in log
    platform.database.close()

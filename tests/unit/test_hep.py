"""What Asterisk's copies of SIP messages and RTCP reports (HEP version 3) show about a call's audio."""

from __future__ import annotations

import json
import socket
import struct

import pytest

from taxiphone.ari_app.hep import HepListener
from taxiphone.errors import SetupError

SECRET = "secret"  # noqa: S105 - of this test


def packet(payload, *, protocol=1, call_id="a@b", secret=SECRET):
    """Return a packet in the format of res_hep."""
    chunks = b"".join(
        struct.pack("!HHH", 0, kind, 6 + len(data)) + data
        for kind, data in (
            (0x01, b"\x02"),
            (0x0B, bytes([protocol])),
            (0x0E, secret.encode()),
            (0x11, call_id.encode()),
            (0x0F, payload),
        )
    )
    return b"HEP3" + struct.pack("!H", 6 + len(chunks)) + chunks


def sdp(direction, *, address="192.0.2.1", port=4000, session=""):
    lines = (
        "v=0",
        "o=- 1 1 IN IP4 192.0.2.1",
        "s=-",
        f"c=IN IP4 {address}",
        "t=0 0",
        *([session] if session else []),
    )
    media = (f"m=audio {port} RTP/AVP 8", "a=rtpmap:8 PCMA/8000", *([f"a={direction}"] if direction else []))
    return "\r\n".join((*lines, *media, "m=video 0 RTP/AVP 99", "a=inactive", ""))


def message(start, body="", *, cseq="2 INVITE", ours=False):
    lines = (
        start,
        "Call-ID: a@b",
        f"CSeq: {cseq}",
        *(["User-Agent: Taxiphone"] if ours else ["User-Agent: Phone"]),
    )
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@pytest.fixture
def hep():
    made = HepListener(SECRET)

    def tell(*messages, **options):
        for each in messages:
            made.datagram_received(packet(each, **options), ("127.0.0.1", 1))
        return made.sends_nothing("a@b")

    made.tell = tell
    return made


def agreed(direction, **options):
    """Return a re-INVITE from the phone and our answer to it."""
    return (
        message("INVITE sip:us SIP/2.0", sdp(direction, **options)),
        message("SIP/2.0 200 OK", sdp("sendonly"), ours=True),
    )


@pytest.mark.parametrize(
    ("direction", "nothing"),
    [("recvonly", True), ("inactive", True), ("sendonly", False), ("sendrecv", False), ("", False)],
)
def test_a_phone_says_by_its_offer_whether_it_sends(hep, direction, nothing):
    assert hep.tell(*agreed(direction)) is nothing


@pytest.mark.parametrize(
    "options",
    [{"address": "0.0.0.0"}, {"port": 0}, {"session": "a=recvonly"}],  # noqa: S104
)
def test_the_older_headers_are_known(hep, options):
    assert hep.tell(*agreed("", **options))


def test_an_offer_that_is_not_agreed_to_changes_nothing(hep):
    offer = message("INVITE sip:us SIP/2.0", sdp("recvonly"))
    assert not hep.tell(offer, message("SIP/2.0 488 Not Acceptable Here", ours=True))


def test_a_phone_says_it_by_its_answer_to_our_offer_and_takes_it_back(hep):
    ours = message("INVITE sip:phone SIP/2.0", sdp("recvonly"), cseq="7 INVITE", ours=True)
    assert not hep.tell(ours)
    assert hep.tell(message("SIP/2.0 200 OK", sdp("recvonly"), cseq="7 INVITE"))
    assert not hep.tell(*agreed("sendrecv"))


def test_what_is_kept_of_a_call_goes_with_it(hep):
    assert hep.tell(*agreed("recvonly"))
    assert not hep.tell(message("BYE sip:us SIP/2.0", cseq="3 BYE"))


def test_reports_are_counted_but_not_our_own(hep):
    for source in (1, 2, 2, 1):
        report = json.dumps({"ssrc": source, "type": 201, "report_blocks": []}).encode()
        hep.tell(report, protocol=5)
    assert hep.reports("a@b", 1) == 2
    assert hep.reports("other", 1) == hep.reports(None, 1) == 0


def test_messages_without_asterisks_secret_are_ignored(hep):
    assert not hep.tell(*agreed("recvonly"), secret="guessed")  # noqa: S106


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HEP3",
        b"HEP3\x00\x06\x00\x00\x00\x0f",
        b"HEP3\x00\xff\x00\x00\x00\x0f\x00\x02",
        packet(b"\xff\xfe CSeq: 1 INVITE"),
        packet(b"{", protocol=5),
        packet(b"[]", protocol=5),
        packet(b'{"ssrc": null}', protocol=5),
        packet(message("INVITE sip:us SIP/2.0", "m=audio")),
    ],
)
def test_no_packet_disturbs_it(hep, data):
    hep.datagram_received(data, ("127.0.0.1", 1))
    assert hep.tell(*agreed("recvonly"))


def test_many_calls_do_not_fill_the_memory(hep):
    for number in range(10_050):
        for each in agreed("recvonly"):
            hep.datagram_received(packet(each, call_id=f"{number}@b"), ("127.0.0.1", 1))
    assert sum(hep.sends_nothing(f"{number}@b") for number in range(10_050)) == 10_000


def test_strangers_messages_do_not_evict_the_data_of_a_talk_in_progress(hep):
    hep.tell(*agreed("recvonly"))
    for number in range(12_000):
        for each in agreed("recvonly"):
            hep.datagram_received(packet(each, call_id=f"{number}@stranger"), ("127.0.0.1", 1))
        if not number % 5_000:  # a talk looks every two seconds
            hep.sends_nothing("a@b")
    assert hep.sends_nothing("a@b")


async def test_a_port_that_is_taken_is_named():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SetupError, match="hep_port"):
            await HepListener(SECRET).listen(taken.getsockname()[1])

"""Bytes that aren't UTF-8, in every header that Asterisk could put into an event: no call is lost, and none remains."""

from __future__ import annotations

import signal

import pytest

from taxiphone.store.calls import Status

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

BAD = b"\xff\xfe"
NUMBER = b"<sip:+33639980001@127.0.0.4>"
CALL_IDS = (b"a" + BAD, BAD + b"@x", b"abc):0:5(" + BAD, b"${EXTEN}" + BAD, b"caf\xc3\xa9", b"\x80")
IN_THE_DIALOG = {
    "the name in From": {"from_": b'"N' + BAD + b'" ' + NUMBER},
    "the user in From": {"from_": b"<sip:+336%ff%fe@127.0.0.4>"},
    "the name in To": {"to_": b'"N' + BAD + b'" <sip:+33199001234@127.0.0.1>'},
    "the user in To": {"to_": b"<sip:%ff%fe@127.0.0.1>"},
}
FURTHER = (
    b'P-Asserted-Identity: "N' + BAD + b'" ' + NUMBER,
    b"P-Asserted-Identity: <sip:+336%ff@x>",
    b'Remote-Party-ID: "N' + BAD + b'" ' + NUMBER + b";party=calling",
    b'Diversion: "N' + BAD + b'" <sip:+336%ff@x>;reason=' + BAD,
    b"History-Info: <sip:+336%ff@x>;index=1",
    b"User-Agent: " + BAD,
    b'Reason: Q.850;cause=16;text="' + BAD + b'"',
    b"Subject: " + BAD,
    b"P-Called-Party-ID: <sip:%ff@x>",
    b"X-Whatever: " + BAD,
)


async def arrives_and_ends(carrier, caller, *more):
    """Check that the call reaches the program and ends when the caller hangs up."""
    before = carrier.ids()
    await caller.invite(*more)
    accepted = await caller.final()
    assert accepted.status == 200, accepted.text
    call_id = await carrier.platform.new_call(before)
    await carrier.over()
    assert (await carrier.platform.finished(call_id)).status == Status.CLOSED


@pytest.mark.parametrize("call_id", CALL_IDS)
async def test_a_call_whose_call_id_is_not_visible_ascii_is_refused(carrier, call_id):
    rows = carrier.rows()
    caller = carrier.caller(call_id=call_id)
    await caller.invite()
    assert (await caller.final()).status == 403
    await carrier.over()
    assert carrier.rows() == rows


@pytest.mark.parametrize("changed", IN_THE_DIALOG.values(), ids=IN_THE_DIALOG.keys())
async def test_bad_bytes_in_the_dialogs_own_headers_stop_no_call(carrier, changed):
    await arrives_and_ends(carrier, carrier.caller(**changed))


async def test_bad_bytes_in_all_further_headers_stop_no_call(carrier):
    await arrives_and_ends(carrier, carrier.caller(), *FURTHER)


async def test_a_call_id_of_every_visible_character_is_served(carrier):
    marks = b"".join(bytes([code]) for code in range(0x21, 0x7F) if bytes([code]) not in b'<>@":;,')
    await arrives_and_ends(carrier, carrier.caller(call_id=b"x" + marks + b"@127.0.0.4"))


async def test_a_channel_that_cannot_be_listed_stops_no_recovery(own):
    """The call reaches the application without the dialplan's check, as with an older dialplan."""
    async with own() as carrier:
        await carrier.platform.start()
        etc = carrier.platform.settings.asterisk_home / "etc" / "extensions.conf"
        etc.write_text(etc.read_text().replace("Hangup(21)", "NoOp()"))
        await carrier.reloads("dialplan reload")
        before = carrier.ids()
        caller = carrier.caller()
        await caller.invite()
        await caller.final()
        good = await carrier.platform.new_call(before)
        bad = carrier.caller(call_id=b"a" + BAD)
        await bad.invite()
        await bad.wire.next(lambda each: each.status == 100 and BAD in each.data)
        carrier.platform.signal(signal.SIGKILL)
        await carrier.platform.ended()
        assert await carrier.platform.channels() == 2
        await carrier.platform.start()
        assert (await carrier.platform.finished(good)).status == Status.CLOSED
        again, caller = carrier.ids(), carrier.caller()
        await caller.invite()
        assert (await caller.final()).status == 200
        await carrier.platform.new_call(again)
        bad.send(b"CANCEL")
        await carrier.over()

"""How the platform answers each SIP method (docs/sip.md), and that one INVITE makes one call."""

from __future__ import annotations

import asyncio
import contextlib
import re

import pytest
from sip_wire import sdp

from taxiphone.store.calls import Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

REFER = b"Refer-To: <sip:+8821612345678@127.0.0.9>"
OUT_OF_DIALOG = {
    b"OPTIONS": (200, ()),
    b"MESSAGE": (501, ()),
    b"SUBSCRIBE": (603, (b"Event: presence", b"Expires: 60")),
    b"NOTIFY": (501, (b"Event: presence", b"Subscription-State: active")),
    b"PUBLISH": (489, (b"Event: presence",)),
    b"REFER": (501, (REFER,)),
    b"INFO": (501, ()),
    b"UPDATE": (501, ()),
    b"PRACK": (501, (b"RAck: 1 1 INVITE",)),
    b"REGISTER": (501, ()),
    b"BYE": (481, ()),
    b"NONSENSE": (501, ()),
}
IN_DIALOG = (
    (b"REFER", 603, (REFER,), b"", b""),
    (b"REFER", 603, (b"Refer-To: <sip:x@127.0.0.9?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2>",), b"", b""),
    (b"OPTIONS", 200, (), b"", b""),
    (b"INFO", 200, (), b"", b""),
    (b"INFO", 200, (), b"Signal=5\r\nDuration=100\r\n", b"application/dtmf-relay"),
    (b"INFO", 500, (), b"Signal=\xff\xfe\r\n", b"application/dtmf-relay"),
    (b"UPDATE", 200, (), b"", b""),
    (b"PRACK", 400, (b"RAck: 1 1 INVITE",), b"", b""),
)
UNANSWERED = (
    (b"MESSAGE", (), b"hello", b"text/plain"),
    (b"SUBSCRIBE", (b"Event: presence", b"Expires: 60"), b"", b""),
    (b"NOTIFY", (b"Event: refer", b"Subscription-State: active"), b"SIP/2.0 100 Trying", b"message/sipfrag"),
    (b"INFO", (), b"hello", b"text/plain"),
    (b"NONSENSE", (), b"", b""),
)


@pytest.mark.parametrize("method", OUT_OF_DIALOG)
async def test_a_request_outside_a_call_is_answered_and_makes_no_channel(carrier, method):
    status, headers = OUT_OF_DIALOG[method]
    caller = carrier.caller()
    caller.send(method, *headers)
    assert (await caller.final(method=method.decode())).status == status
    assert await carrier.platform.channels() == 0


async def test_what_comes_in_a_call_neither_ends_it_nor_calls_anybody(carrier):
    before, caller = carrier.ids(), carrier.caller(number="+33639989999")
    await caller.invite()
    assert (await caller.final()).status == 200
    await carrier.platform.new_call(before)
    invites = len(carrier.wire.requests("INVITE"))
    for method, status, headers, body, kind in IN_DIALOG:
        caller.send(method, *headers, body=body, kind=kind)
        assert (await caller.final(method=method.decode())).status == status, (method, body)
    for method, headers, body, kind in UNANSWERED:
        caller.send(method, *headers, body=body, kind=kind)
    caller.send(b"OPTIONS")
    assert (await caller.final(method="OPTIONS")).status == 200, "the call goes on"
    assert await carrier.platform.channels() == 1
    assert len(carrier.wire.requests("INVITE")) == invites


async def replaced(carrier, caller):
    """Send an INVITE that claims to replace a caller's dialog, whose identifiers only the two ends know."""
    thief = carrier.caller(number="+33639989998")
    await thief.invite(b"Replaces: %s;to-tag=%s;from-tag=%s" % (caller.call_id, caller.to_tag, caller.tag))
    await thief.final()


async def until_no_channel_is_left(carrier):
    async with asyncio.timeout(20):
        while await carrier.platform.channels():
            await asyncio.sleep(0.1)


async def test_a_replaces_header_takes_over_no_menu(carrier):
    before, caller = carrier.ids(), carrier.caller(number="+33639989999")
    await caller.invite()
    assert (await caller.final()).status == 200
    call_id = await carrier.platform.new_call(before)
    await replaced(carrier, caller)
    await until_no_channel_is_left(carrier)
    assert (await carrier.platform.finished(call_id)).outcome != Outcome.TALKED


async def test_a_replaces_header_takes_over_no_talk(carrier):
    caller = carrier.caller()
    call_id = await carrier.rings(caller)
    await carrier.accepts(call_id, await carrier.rung("+33639981001"))
    await carrier.platform.marked(call_id, "bridged")
    await replaced(carrier, caller)
    await carrier.platform.marked(call_id, "left")
    await until_no_channel_is_left(carrier)
    call = await carrier.platform.finished(call_id)
    assert call.outcome == Outcome.TALKED
    assert (call.billed_seconds or 0) <= 5, "to where the replaced line left; who came instead is let go"


async def test_a_replaces_header_that_names_no_dialog_is_refused(carrier):
    caller = carrier.caller()
    await caller.invite(b"Replaces: nosuch;to-tag=1;from-tag=2")
    assert (await caller.final()).status == 481


async def refused(carrier, invite):
    """Send an INVITE until its 403 comes, identified by its branch.

    Asterisk drops a copy that comes while it forgets the transaction of the 200, so a copy is sent again like any request.
    """
    async with asyncio.timeout(10):
        while True:
            carrier.wire.send(invite, carrier.to)
            with contextlib.suppress(TimeoutError):
                await carrier.wire.next(lambda each: each.status == 403 and answers(each, invite), 1)
                return


def answers(message, invite):
    branch = re.search(rb"branch=(\S+)", invite)[1].decode()
    return f"branch={branch}" in message.header("Via")


async def test_one_invite_makes_one_call_on_however_many_ways_and_however_late_it_comes(carrier):
    before, rows, caller = carrier.ids(), carrier.rows(), carrier.caller(number="+33639989999")
    invite = caller.request(b"INVITE", body=sdp("127.0.0.4"))
    on_another_way = [invite.replace(caller.branch, b"z9hG4bKother%d" % number) for number in range(3)]
    carrier.wire.send(invite, carrier.to)
    carrier.wire.send(on_another_way[0], carrier.to)
    # On whichever way it came first; the other one was refused, and is again for as long as Asterisk knows it.
    answer = await caller.final(wanted=200)
    first = next(each for each in (invite, on_another_way[0]) if answers(answer, each))
    await carrier.platform.new_call(before)
    for copy in (first, *on_another_way[1:]):
        await refused(carrier, copy)
    async with asyncio.timeout(5):
        while await carrier.platform.channels() > 1:
            await asyncio.sleep(0.1)
    await carrier.over()
    await refused(carrier, first)
    assert carrier.rows() == rows + 1

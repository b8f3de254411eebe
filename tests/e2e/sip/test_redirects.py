"""A called phone answers with a redirect (RFC 3261, 21.3): its target isn't called, and the next phone rings."""

from __future__ import annotations

import itertools

import pytest
from sip_wire import wire

from taxiphone.store.calls import Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

PHONES = tuple(
    f"+3363998100{number}" for number in range(1, 9)
)  # of the one consultant, rung one after the other
FOREIGN = "127.0.0.10"
AS_TECHNOLOGY = b"<sip:PJSIP/+8821612345678%40trunk@127.0.0.9>"

CONTACTS = (
    AS_TECHNOLOGY,
    b"<sip:+8821612345678@127.0.0.9>",
    b"<sip:+33199001234@127.0.0.1>",
    b"<sip:Local/+33199001234%40inbound@127.0.0.9>",
    b"<sip:Local/s%40consultant-leg@127.0.0.9>",
    b"<sip:s@127.0.0.9>",
    b"<tel:+8821612345678>",
)


def other_invites(carrier):
    """Return the INVITEs to anything other than the consultant's phones."""
    return [
        each.start
        for each in carrier.wire.requests("INVITE")
        if not any(f"sip:{phone}@" in each.start for phone in PHONES)
    ]


def channels_ever(carrier):
    """Return how many channels have existed, even briefly, according to the event log."""
    log = carrier.platform.settings.cel_file
    return log.read_text().count("CHAN_START") if log.exists() else 0


async def redirected(carrier, *answers):
    """Make a call whose phones answer in turn with a status and a Contact, or else are busy. Return its row."""
    caller = carrier.caller()
    call_id = await carrier.rings(caller)
    for phone, (status, contact) in itertools.zip_longest(
        PHONES, answers, fillvalue=(486, b"<sip:x@127.0.0.9>")
    ):
        carrier.says(await carrier.rung(phone), status, "No", b"Contact: " + contact)
    return await carrier.platform.finished(call_id)


async def test_a_phone_that_redirects_is_not_reached_and_the_next_one_rings(carrier):
    rows, channels = carrier.rows(), channels_ever(carrier)
    call = await redirected(carrier, *((302, contact) for contact in CONTACTS))
    assert call.outcome == Outcome.BUSY, "the last one's answer; those before it were not reached"
    assert other_invites(carrier) == []
    assert carrier.rows() == rows + 1
    assert channels_ever(carrier) == channels + 1 + len(PHONES), "the caller and the phones"


async def test_every_redirect_is_treated_alike(carrier):
    answers = [(status, contact) for status in (300, 301, 305, 380) for contact in CONTACTS[:2]]
    call = await redirected(carrier, *answers)
    assert call.outcome == Outcome.UNREACHABLE
    assert other_invites(carrier) == []


async def test_the_trunks_password_is_never_shown_to_a_host_that_a_phone_names(own):
    async with wire(FOREIGN) as foreign, own(account=("taxi01", "secret")) as carrier:
        await carrier.platform.start()
        await carrier.accepts_registration()
        host = b"%s%%3A%d" % (FOREIGN.encode(), foreign.address[1])
        contacts = (
            b"<sip:PJSIP/trunk/sip%%3Ax%%40%s@127.0.0.9>" % host,
            b"<sip:x@%s>" % host.replace(b"%3A", b":"),
        )
        call = await redirected(carrier, *((302, contact) for contact in contacts))
        assert call.outcome == Outcome.BUSY
        assert foreign.received == []
        assert other_invites(carrier) == []
        await carrier.over()

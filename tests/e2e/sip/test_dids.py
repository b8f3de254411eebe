"""A trunk with registration: the carrier calls the account's name, and the dialled number is in another header."""

from __future__ import annotations

import json
import sys

import pytest
from sqlalchemy import select

from taxiphone.store.calls import Outcome
from taxiphone.store.models import Call

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

DID, OTHER = "+33199001234", "+33199001299"
ACCOUNT = ("taxi01", "secret")
TO = {
    f"<sip:{DID}@carrier.example>": DID,
    f'"Smith, J: \\"x\\"" <sip:{DID};cpc=ordinary@carrier.example>': DID,
    "<sip:+33-1.99(00)1234@carrier.example>": DID,
    "<sip:0033199001234@carrier.example>": DID,
    f"<sip:{OTHER}@carrier.example>": OTHER,
    "<sip:taxi01@carrier.example>": "taxi01",
    "<sip:%24%7bEXTEN%7d@carrier.example>": "taxi01",
    "<sip:1%29%3a0%3a5%28%ff@carrier.example>": "taxi01",
}


async def dialled(carrier, to, *more, uri=b"taxi01"):
    """Call the registered contact, and return the dialled number and the outcome in the call's row."""
    before = carrier.ids()
    uri = b"sip:%s@127.0.0.1:%d" % (uri, carrier.platform.sip_port)
    caller = carrier.caller(number="+33639989999", uri=uri, to_=to)
    await caller.invite(*more)
    accepted = await caller.final()
    assert accepted.status == 200, accepted.text
    call_id = await carrier.platform.new_call(before)
    found = await carrier.platform.until(
        lambda session: session.scalar(select(Call.dialled).where(Call.id == call_id)), "the row"
    )
    await carrier.over()
    return found, (await carrier.platform.finished(call_id)).outcome


async def doctor(carrier, run):
    _, said = await run(
        sys.executable, "-m", "taxiphone", "--config", str(carrier.platform.file), "doctor", "--json"
    )
    return [each["what"] for each in json.loads(said)]


async def test_with_a_registration_the_dialled_number_is_in_to(own, run):
    async with own(account=ACCOUNT) as carrier:
        await carrier.platform.start()
        await carrier.accepts_registration()
        found = {to: (await dialled(carrier, to.encode()))[0] for to in TO}
        assert found == TO
        number = await dialled(carrier, b"<sip:taxi01@carrier.example>", uri=DID.encode())
        assert number[0] == DID, "the request URI counts where To names no number"
        told = [what for what in await doctor(carrier, run) if "taxi01" in what and "dialled" in what]
        assert len(told) == 1
        log = (carrier.platform.folder / "serve.log").read_text()
        assert "names no number" in " ".join(log.split())


async def test_the_header_of_the_dialled_number_is_a_setting(own):
    async with own(account=ACCOUNT, more='\ndid_from = "p-called-party-id"') as carrier:
        await carrier.platform.start()
        await carrier.accepts_registration()
        header = b"P-Called-Party-ID: <sip:%s@carrier.example>" % DID.encode()
        assert (await dialled(carrier, b"<sip:taxi01@carrier.example>", header))[0] == DID
        found, outcome = await dialled(carrier, b"<sip:%s@carrier.example>" % DID.encode())
        assert (found, outcome) != (DID, Outcome.UNKNOWN_NUMBER)
        assert found == "taxi01", "no such header, and To is not asked"

"""Bridges the two legs. Metering starts here."""

from __future__ import annotations

from taxiphone.ari_app.agreement import Agreement
from taxiphone.ari_app.endings import NoTalkError, may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.talk_timeout import TalkTimeout
from taxiphone.ari_app.timetable import timetable
from taxiphone.ari_app.waiting import CallerGoneError
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.types import Moment, moment

# The longest time between setting Asterisk's time-out and bridging.
_TONE_SECONDS = 2.0


@may_end_with(Outcome.NOT_ACCEPTED)
async def bridge(call: LiveCall, agreement: Agreement) -> Moment:
    """Bridge the two legs, with Asterisk's own time-out set to the end of the credit. Returns when they were bridged.

    Raises:
        CallerGoneError: the client hung up before the legs were bridged.
        NoTalkError: the consultant did.
    """
    times = timetable(agreement.accepted, call.settings)
    # From here on, Asterisk's time-out must not say that nothing was charged (extension T of the dialplan).
    await call.channels.set_variable(call.client_leg, "TAXIPHONE_TALK", call.id)
    timeout = TalkTimeout(call.channels.set_variable, call.client_leg, agreement.leg)
    await timeout.after(times.longest + _TONE_SECONDS)
    await call.record.write(Status.TALKING, "bridging")
    try:
        call.bridged = await call.channels.bridge(call.bridge_id, call.client_leg, agreement.leg)
    except BaseException:  # the command may have been carried out, and then the talk is billed
        call.bridged = True
        raise
    if call.bridged:
        return moment()
    if call.client_leg.gone.is_set():
        raise CallerGoneError
    raise NoTalkError(Outcome.NOT_ACCEPTED)

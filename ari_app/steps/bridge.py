"""The two are bridged, and only now does the meter start."""

from __future__ import annotations

from taxiphone.ari_app.agreement import Agreement
from taxiphone.ari_app.endings import NoTalkError, may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.talk_timeout import TalkTimeout
from taxiphone.ari_app.timetable import timetable
from taxiphone.ari_app.waiting import CallerGoneError
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.types import Moment, moment

# From Asterisk's time-out being set to the bridge, at most.
_TONE_SECONDS = 2.0


@may_end_with(Outcome.NOT_ACCEPTED)
async def bridge(call: LiveCall, agreement: Agreement) -> Moment:
    """Bridge the two, and set Asterisk's own time-out to the end of the credit; returns when they were bridged.

    Raises:
        CallerGoneError: the client hung up at the tone.
    """
    times = timetable(agreement.accepted, call.settings)
    # From here on, Asterisk's time-out must not say that nothing was charged (extension T of the dialplan).
    await call.channels.set_variable(call.client_leg, "TAXIPHONE_TALK", call.id)
    timeout = TalkTimeout(call.channels.set_variable, call.client_leg, agreement.leg)
    await timeout.after(times.longest + _TONE_SECONDS)
    await call.record.write(Status.TALKING, "bridging")
    try:
        call.bridged = await call.channels.bridge(call.bridge_id, call.client_leg, agreement.leg)
    except BaseException:  # it may have been carried out, and then the meter runs
        call.bridged = True
        raise
    if call.bridged:
        return moment()
    if call.client_leg.gone.is_set():
        raise CallerGoneError
    raise NoTalkError(Outcome.NOT_ACCEPTED)

"""Bridges the two legs. Metering starts here."""

from __future__ import annotations

from dataclasses import dataclass

from taxiphone.ari_app.agreement import Agreement
from taxiphone.ari_app.endings import NoTalkError, may_end_with
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.talk_timeout import TalkTimeout
from taxiphone.ari_app.timetable import timetable
from taxiphone.ari_app.waiting import CallerGoneError
from taxiphone.store.calls import Outcome, Status
from taxiphone.store.types import Moment, moment

BRIDGING_SECONDS = 0.0
"""How much later than the last paid second Asterisk's own time-out may end a talk. It is set before the legs are bridged."""


@dataclass(frozen=True)
class Bridged:
    """Both legs are in the bridge.

    Attributes:
        at: when Asterisk had bridged them.
        timeout: Asterisk's own time-out of the talk, which is set.
    """

    at: Moment
    timeout: TalkTimeout


@may_end_with(Outcome.NOT_ACCEPTED)
async def bridge(call: LiveCall, agreement: Agreement) -> Bridged:
    """Bridge the two legs, with Asterisk's own time-out set to the end of the credit.

    Raises:
        CallerGoneError: the client hung up before the legs were bridged.
        NoTalkError: the consultant did.
    """
    times = timetable(agreement.accepted, call.settings)
    timeout = TalkTimeout(call.channels.set_variables, call.client_leg, agreement.leg)
    # From here on, Asterisk's time-out must not say that nothing was charged (extension T of the dialplan).
    await timeout.after(times.longest + BRIDGING_SECONDS, {"TAXIPHONE_TALK": call.id})
    await call.record.write(Status.TALKING, "bridging")
    try:
        call.bridged = await call.channels.bridge(call.bridge_id, call.client_leg, agreement.leg)
    except BaseException:  # the command may have been carried out, and then the talk is billed
        call.bridged = True
        raise
    if call.bridged:
        return Bridged(moment(), timeout)
    if call.client_leg.gone.is_set():
        raise CallerGoneError
    raise NoTalkError(Outcome.NOT_ACCEPTED)

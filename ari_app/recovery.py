"""After a restart: what Asterisk still has, against the calls that an earlier process left open.

Talks go on in Asterisk while no program is there. One whose two legs are both up is taken over; of all others the
legs are hung up, and the meter prices from the event log what was talked.
"""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.orm import Session

from taxiphone.ari_app.client import path
from taxiphone.ari_app.consultation import Consultation, House
from taxiphone.store.calls import FINAL, Outcome, Status
from taxiphone.store.models import Call

log = logging.getLogger(__name__)

APPLICATION = "taxiphone"


async def living_channels(house: House) -> set[str]:
    """The unique ids of all channels that Asterisk has.

    Raises:
        AriError: it did not say.
    """
    return {str(channel["id"]) for channel in await house.lines.ari.request("GET", path("channels"))}


async def reconcile(house: House) -> None:
    """After a gap in the connection: legs that Asterisk no longer has are gone, and playbacks may have ended unheard.

    Raises:
        AriError: it did not say.
    """
    known = house.lines.router.known()  # asked before Asterisk is: a leg that comes meanwhile is not missing
    living = await living_channels(house)
    for leg in known:
        if leg.id in living:
            leg.missed()
        else:
            log.info("%s was hung up while the connection was down", leg.id)
            leg.lost()


async def recover(house: House) -> list[Consultation]:
    """Close what can't go on, and return the talks that can, to be resumed each in a task of its own.

    Calls that arrive meanwhile are this process's own and are left alone: their legs are open in the router.

    Raises:
        AriError: Asterisk did not answer; nothing was decided.
    """
    router = house.lines.router
    living = await living_channels(house)
    talks = []
    for call_id, client_channel, status in await house.database.look(_open_calls):
        if router.has(client_channel):
            continue
        leg = router.open(client_channel)
        consultation = Consultation(house, leg, call_id=call_id)
        legs = (consultation.client_leg, consultation.consultant_leg)
        for one in legs:
            one.told = True
            if one.id not in living:
                one.lost()
        if status == Status.TALKING and not any(one.gone.is_set() for one in legs):
            log.info("call %s: the talk is still going on and is taken over", call_id)
            talks.append(consultation)
            continue
        log.info(
            "call %s: an earlier process left it at %r; it is ended and priced from Asterisk's log",
            call_id,
            status,
        )
        await consultation.end(Outcome.TALKED if status == Status.TALKING else Outcome.FAILED)
    await _hang_up_strays(house, living)
    return talks


async def _hang_up_strays(house: House, living: set[str]) -> None:
    """Channels in our application that belong to no open call: nobody would ever hang them up."""
    router = house.lines.router
    held: set[str] = set(
        (await house.lines.ari.request("GET", path("applications", APPLICATION)))["channel_ids"]
    )
    for channel in living & held:
        if not router.has(channel):
            log.warning("%s belongs to no call and is hung up", channel)
            leg = router.open(channel)
            await house.lines.hang_up(leg)
            router.close(leg)


def _open_calls(session: Session) -> list[tuple[str, str, str]]:
    rows = session.execute(
        select(Call.id, Call.client_channel, Call.status).where(Call.status.not_in([*FINAL, Status.ENDED]))
    )
    return [(row.id, row.client_channel, row.status) for row in rows]

"""After a restart or a lost connection: compares Asterisk's channels with the open calls.

Talks continue in Asterisk while the program isn't running. A talk whose two legs are still bridged is taken over. The legs
of all other calls are hung up, and the meter prices their talks from the event log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from taxiphone.ari_app.client import path
from taxiphone.ari_app.live_call import LiveCall
from taxiphone.ari_app.router import Leg
from taxiphone.ari_app.services import Services
from taxiphone.directory.consultant_fields import MOST_PHONES
from taxiphone.errors import AriError, AriRequestError, NotFoundError
from taxiphone.store.calls import CONSULTANT_LEG, OPEN, Outcome, Status, consultant_leg
from taxiphone.store.models import Call

log = logging.getLogger(__name__)

APPLICATION = "taxiphone"
_UNREADABLE = 500


@dataclass(frozen=True)
class Living:
    """A channel that exists in Asterisk.

    Attributes:
        up: whether it has been answered.
        held: whether it is in the Stasis application.
        language: the language of its prompts; None if not known.
    """

    up: bool = False
    held: bool = False
    language: str | None = None


async def living_channels(services: Services) -> dict[str, Living]:
    """Asterisk's channels that may belong to a call, by their unique ids.

    A single channel whose Call-ID is not UTF-8 makes Asterisk refuse the whole list (500). Each channel that may belong to
    a call is then queried separately; one that can't be read still exists.

    Raises:
        AriError: Asterisk did not answer.
    """
    ari = services.ari
    try:
        channels = await ari.request("GET", path("channels"))
        return {str(channel["id"]): _living(channel) for channel in channels}
    except AriRequestError as error:
        if error.status < _UNREADABLE:
            raise
        log.warning("%s One of its channels can't be read; known channels are queried one by one.", error)
    ids = {leg.id for leg in services.router.known()}
    ids |= await services.database.query(_channels_of_unfinished_calls)
    living = {}
    for channel_id in sorted(ids):
        try:
            living[channel_id] = _living(await ari.request("GET", path("channels", channel_id)))
        except NotFoundError:
            continue
        except AriRequestError as error:
            if error.status < _UNREADABLE:
                raise
            living[channel_id] = Living()
    return living


def _living(channel: dict[str, Any]) -> Living:
    """A channel from ARI's description. One created over ARI has no dialplan application, but is in Stasis too."""
    application = channel.get("dialplan", {}).get("app_name", "")
    return Living(
        up=channel["state"] == "Up",
        held=application == "Stasis" or CONSULTANT_LEG in str(channel["id"]),
        language=channel.get("language") or None,
    )


async def reconcile(services: Services) -> None:
    """After a lost connection: find out what the missed events would have said.

    Raises:
        AriError: Asterisk did not answer.
    """
    ari = services.ari
    # Read before querying Asterisk, so that a leg that arrives in between doesn't count as missing.
    known = services.router.known()
    living = await living_channels(services)
    for leg in known:
        if leg.id not in living:
            log.info("%s was hung up while the connection was down", leg.id)
            leg.mark_gone()
            continue
        leg.confirm(entered=living[leg.id].held, answered=living[leg.id].up)
        if leg.joined:
            await services.channels.poll_hold(leg)
        for playback in leg.playing():
            try:
                await ari.request("GET", path("playbacks", playback))
            except NotFoundError:
                leg.playback_ended(playback)
    await _hang_up_strays(services, living)


async def recover(services: Services, resume: Callable[[LiveCall, Leg], None]) -> set[str]:
    """Close the calls that can't continue, and pass each talk that can to `resume` as soon as it is found.

    Calls that arrive meanwhile belong to this process and are left alone: their legs are open in the router. A second try
    after a failure continues where the first stopped.

    Returns:
        The ids of unpriced calls that have no leg left in Asterisk.

    Raises:
        AriError: Asterisk did not answer.
    """
    router = services.router
    living = await living_channels(services)
    gone = set()
    for call_id, client_channel, consultant_channel, status in await services.database.query(
        unfinished_calls
    ):
        if router.has(client_channel):
            continue
        if client_channel not in living and not _phones(living, call_id):
            gone.add(call_id)
        if status == Status.ENDED:
            continue
        call, consultant = _adopt(services, living, call_id, client_channel, consultant_channel)
        try:
            in_progress = status != Status.OVER and await services.channels.are_bridged(
                call.bridge_id, call.client_leg, consultant
            )
        except BaseException:  # the next try examines this call again
            call.close()
            raise
        if in_progress:
            log.info("call %s: the talk is still in progress and is taken over", call_id)
            resume(call, consultant)
            continue
        log.info(
            "call %s: an earlier process left it at %r; it is ended and priced from Asterisk's log",
            call_id,
            status,
        )
        try:
            talked = status in {Status.TALKING, Status.OVER}
            await call.end(Outcome.TALKED if talked else Outcome.FAILED)
        except (AriError, SQLAlchemyError) as error:
            log.error("call %s could not be closed yet: %s", call_id, error)
    await _hang_up_strays(services, living)
    return gone


def _adopt(
    services: Services,
    living: dict[str, Living],
    call_id: str,
    client_channel: str,
    consultant_channel: str | None,
) -> tuple[LiveCall, Leg]:
    """A call as an earlier process left it, with its past and present legs; and the consultant's leg."""
    call = LiveCall(services, services.router.open(client_channel), call_id=call_id)
    for channel in sorted(_phones(living, call_id)):
        call.open_phone(channel)
    consultant = call.open_phone(consultant_channel or consultant_leg(call_id))
    for leg in (call.client_leg, *call.phones):
        leg.confirm()
        if leg.id in living:
            leg.language = living[leg.id].language
        else:
            leg.mark_gone()
    return call, consultant


async def without_legs(services: Services) -> set[str]:
    """The ids of unpriced calls that have no leg in Asterisk, because it was restarted.

    Raises:
        AriError: Asterisk did not answer.
    """
    return await _without_legs(services, await services.database.query(unfinished_calls))


async def lost_calls(services: Services) -> set[str]:
    """The ids of calls that this process doesn't run and that have no leg in Asterisk.

    For most of them the log has the end, or will have it in a moment.

    Raises:
        AriError: Asterisk did not answer.
    """
    router = services.router
    rows = [
        row for row in await services.database.query(unfinished_calls) if not router.has(row.client_channel)
    ]
    return await _without_legs(services, rows) if rows else set()


async def _without_legs(services: Services, calls: list[UnfinishedCall]) -> set[str]:
    """The ids of those calls that have no leg in Asterisk."""
    living = await living_channels(services)
    return {row.id for row in calls if row.client_channel not in living and not _phones(living, row.id)}


def _phones(living: Iterable[str], call_id: str) -> set[str]:
    """The channels of the consultant's phones in a call."""
    return {channel for channel in living if channel.startswith(consultant_leg(call_id))}


async def _hang_up_strays(services: Services, living: dict[str, Living]) -> None:
    """Hang up channels in the application that belong to no open call; nothing else would end them."""
    router = services.router
    for channel, state in living.items():
        if state.held and not router.has(channel):
            log.warning("%s belongs to no call and is hung up", channel)
            leg = router.open(channel)
            await services.channels.hang_up(leg)
            router.close(leg)


class UnfinishedCall(NamedTuple):
    """A call that is neither priced nor closed.

    Attributes:
        id: the call's id.
        client_channel: the client's channel.
        consultant_channel: the channel of the phone that accepted; None if none has.
        status: the call's status.
    """

    id: str
    client_channel: str
    consultant_channel: str | None
    status: str


def unfinished_calls(session: Session) -> list[UnfinishedCall]:
    """The calls that are neither priced nor closed, oldest first."""
    rows = session.execute(
        select(Call.id, Call.client_channel, Call.consultant_channel, Call.status)
        .where(Call.status.in_(OPEN))
        .order_by(Call.arrived_at)
    )
    return [UnfinishedCall(*row) for row in rows]


def _channels_of_unfinished_calls(session: Session) -> set[str]:
    """Every channel that an unfinished call may have."""
    channels = set()
    for call in unfinished_calls(session):
        channels.add(call.client_channel)
        channels |= {consultant_leg(call.id, number) for number in range(1, MOST_PHONES + 1)}
    return channels

"""Credit that another process posts during a talk extends it, also for Asterisk's own time-out."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from taxiphone.billing.ledger_check import check
from taxiphone.directory import consultants
from taxiphone.store.models import CallEvent

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


async def test_a_top_up_on_the_command_line_lets_both_talk_on_beyond_the_former_end(wired):
    made = wired()
    platform = made.platform
    platform.database.do(
        lambda session: consultants.set_consultant(
            session, platform.settings, made.code, price_per_minute=Decimal(50)
        )
    )  # the credit of 50 is enough for one minute
    await made.talk()
    made.client.speak()
    made.consultant.speak()
    command = ["client", "top-up", made.client_number, "25", "--key", "transfer"]
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "taxiphone", "--config", str(platform.file), *command),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await running.wait() == 0
    extended = await made.marked("extended", 90)
    assert extended.detail == "to 90 s"
    former_end = made.marks("bridged")[0].at + timedelta(seconds=60)
    alive = select(CallEvent).where(
        CallEvent.call_id == made.call_id, CallEvent.what == "alive", CallEvent.at > former_end
    )
    await platform.until(
        lambda session: session.scalars(alive).first(), "both talk on after the former end", 40
    )
    call = await made.finished()
    assert 60 < call.billed_seconds < 90
    assert made.charged() == round(Decimal(5000) * call.billed_seconds / 60)
    assert platform.database.do(check) == []

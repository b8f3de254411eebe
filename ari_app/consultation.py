"""One call's whole life, top-down: who calls, whom, at what price, recorded or not, reached or not, the talk, the bill.

Each step (ari_app/steps) gives None, and the next one follows, or the outcome with which the call ends. The status is
written before the command to Asterisk that it announces (store.calls). Every wait of the steps races against the caller's
hang-up (`staying`); the talk itself ends when either leaves; and whatever happens, all legs are hung up at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.call_record import Talking
from taxiphone.ari_app.conversation import Conversation
from taxiphone.ari_app.steps.after import after
from taxiphone.ari_app.steps.agree import agree
from taxiphone.ari_app.steps.price import choose_mode, tell_price
from taxiphone.ari_app.steps.reach import reach
from taxiphone.ari_app.steps.recording import offer_recording
from taxiphone.ari_app.steps.talk import bridge, talk
from taxiphone.ari_app.steps.who import identify
from taxiphone.ari_app.steps.whom import choose, offer_to_go_on
from taxiphone.ari_app.waiting import CallerGoneError, first_of, staying, to_the_end
from taxiphone.errors import AriError, LedgerError, TaxiphoneError
from taxiphone.store.calls import Outcome

log = logging.getLogger(__name__)

Step = Callable[[Conversation], Awaitable[Outcome | None]]

A_NEW_ONE: tuple[Step, ...] = (choose, tell_price, choose_mode, offer_recording)
REACHED: tuple[Step, ...] = (reach, agree)


class Consultation(Conversation):
    """The story; what it is told with is in `Conversation`."""

    async def run(self) -> Outcome:
        """Live the call to its end; whatever ends it, no leg and no bridge is left."""
        outcome = Outcome.FAILED
        try:
            await self.record.received(self.client_leg.id, self.dialled, self.caller)
            outcome = await self._until_bridged() or Outcome.TALKED
            if self.bridged:
                await after(self, await talk(self))
        except (TaxiphoneError, SQLAlchemyError) as error:
            log.error("call %s: %s The call is ended; what was talked is priced.", self.id, error)
            if not self.bridged:
                await self._excuse()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        finally:
            await to_the_end(self.end(outcome))
        return outcome

    async def resume(self) -> Outcome:
        """Take over a talk that is already going on, and see it to its end."""
        self.bridged = True
        try:
            found = await self._what_was_known()
            if found is None:  # nobody can be told anything; who leaves ends it
                await first_of(self.client_leg.gone.wait(), self.consultant_leg.gone.wait())
            else:
                self.take_over(found)
                await after(self, await talk(self, found.seconds))
        except (AriError, SQLAlchemyError) as error:
            log.error("call %s: %s The call is ended; what was talked is priced.", self.id, error)
        except asyncio.CancelledError:
            self.stopped = True
            raise
        finally:
            await to_the_end(self.end(Outcome.TALKED))
        return Outcome.TALKED

    async def _until_bridged(self) -> Outcome | None:
        """Everything before the talk; the outcome where none comes of it."""
        try:
            async with staying(self.client_leg):
                await self.lines.answer(self.client_leg)
                outcome = await self._steps(identify, offer_to_go_on)
                if outcome is None and self.continues is None:
                    outcome = await self._steps(*A_NEW_ONE)
                outcome = outcome or await self._steps(*REACHED)
                if outcome is not None:
                    await self.farewell(outcome)
                    return outcome
        except CallerGoneError:
            return Outcome.CALLER_GONE
        return await bridge(self)

    async def _steps(self, *steps: Step) -> Outcome | None:
        for step in steps:
            outcome = await step(self)
            if outcome is not None:
                return outcome
        return None

    async def _what_was_known(self) -> Talking | None:
        try:
            return await self.record.talking()
        except (LedgerError, SQLAlchemyError) as error:
            log.error("call %s: %s The talk goes on until somebody hangs up.", self.id, error)
            return None

    async def _excuse(self) -> None:
        """Say that it is our fault, to a caller who may not have been answered yet."""
        with contextlib.suppress(CallerGoneError, AriError):
            async with staying(self.client_leg):
                await self.lines.answer(self.client_leg)
                await self.speak(self.speech.language)
                await self.farewell(Outcome.FAILED)

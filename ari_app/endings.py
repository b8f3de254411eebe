"""How a call ends without a talk, and what the client hears."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from taxiphone.store.calls import Outcome
from taxiphone.store.models import Client

log = logging.getLogger(__name__)

Params = ParamSpec("Params")
Result = TypeVar("Result")

# What the client hears. In each case, one of the prompts says that the call cost nothing.
_REFUSAL = ("nothing-charged", "goodbye")
FAREWELLS: dict[Outcome, tuple[str, ...]] = {
    Outcome.BUSY: ("busy", *_REFUSAL),
    Outcome.NO_ANSWER: ("no-answer", *_REFUSAL),
    Outcome.NOT_ACCEPTED: ("not-accepted", *_REFUSAL),
    Outcome.REFUSED: ("refused", *_REFUSAL),
    Outcome.UNREACHABLE: ("unreachable", *_REFUSAL),
    Outcome.UNAVAILABLE: ("consultant-unavailable", *_REFUSAL),
    Outcome.NO_CHOICE: ("no-choice", *_REFUSAL),
    Outcome.UNKNOWN_CODE: ("unknown-code", *_REFUSAL),
    Outcome.UNKNOWN_NUMBER: ("unknown-number",),
    Outcome.UNKNOWN_CALLER: ("unknown-caller",),
    Outcome.WRONG_PIN: ("wrong-pin", *_REFUSAL),
    Outcome.PIN_PAUSED: ("pin-paused",),
    Outcome.BLOCKED: ("blocked",),
    Outcome.ACCOUNT_CLOSED: ("account-closed",),
    Outcome.NO_CREDIT: ("no-credit", "goodbye"),
    Outcome.PRICE_CHANGED: ("price-changed", *_REFUSAL),
    Outcome.LIMIT_REACHED: ("limit-reached", "goodbye"),
    Outcome.APOLOGY: ("unavailable",),
    Outcome.ALL_LINES_BUSY: ("all-lines-busy",),
    Outcome.TOO_MANY_CALLS: ("other-call", *_REFUSAL),
    Outcome.FAILED: ("failed", *_REFUSAL),
}


class NoTalkError(Exception):
    """Raised by a step to end the call without a talk.

    Attributes:
        outcome: the outcome.
        client: the client; given with NO_CREDIT, so that their balance can be announced.
        step: the name of the step that ended the call.
    """

    def __init__(self, outcome: Outcome, client: Client | None = None) -> None:
        super().__init__(outcome)
        self.outcome, self.client = outcome, client
        self.step = ""


def may_end_with(
    *outcomes: Outcome,
) -> Callable[[Callable[Params, Coroutine[Any, Any, Result]]], Callable[Params, Coroutine[Any, Any, Result]]]:
    """Declare the outcomes with which a step can end the call; docs/call-flow.md is generated from them."""

    def declare(
        step: Callable[Params, Coroutine[Any, Any, Result]],
    ) -> Callable[Params, Coroutine[Any, Any, Result]]:
        @functools.wraps(step)
        async def declared(*args: Params.args, **kwargs: Params.kwargs) -> Result:
            try:
                return await step(*args, **kwargs)
            except NoTalkError as end:
                end.step = step.__name__
                if end.outcome not in outcomes:
                    log.error(
                        "%s ended a call with %s, which it does not declare", step.__name__, end.outcome
                    )
                raise

        OUTCOMES[step.__name__] = outcomes
        return declared

    return declare


OUTCOMES: dict[str, tuple[Outcome, ...]] = {}
"""The outcomes that each step declares, by the step's name, in the order in which the modules are imported."""

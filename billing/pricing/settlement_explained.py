"""Explains a settlement: why a call costs what it costs. No amount is calculated here."""

from __future__ import annotations

from collections.abc import Sequence

from taxiphone.billing.pricing.parts import EARLIER
from taxiphone.billing.pricing.settlement import Facts, Settlement
from taxiphone.billing.pricing.talk import RTP_TIMED_OUT
from taxiphone.billing.pricing.tariff_explained import Step, explain, talk_steps
from taxiphone.billing.pricing.tariff_price import amount_text


def explain_settlement(
    facts: Facts, settlement: Settlement, continues: Sequence[str] = ()
) -> tuple[Step, ...]:
    """List the steps from the talk time to the shares of its price.

    Args:
        facts: the facts of the call.
        settlement: their settlement.
        continues: the ids of the earlier calls of the consultation.
    """
    steps = [*_silence(facts, settlement)]
    if facts.fault is not None:
        text = f"A network fault was detected during the talk ({facts.fault}): nothing is charged."
        return (*steps, Step("fault", text, 0))
    audible = settlement.heard.seconds
    if settlement.seconds < audible:
        text = f"The talk lasted {audible:f} s. The held credit covered {settlement.seconds:f} s, so only these are priced."
        steps.append(Step("length", text))
    if facts.earlier.parts and settlement.seconds:
        return (*steps, *_part(facts, settlement, continues))
    return (*steps, *explain(facts.tariff, settlement.seconds, settlement.price))


def _silence(facts: Facts, settlement: Settlement) -> list[Step]:
    """Explain a talk that is priced only up to its last packet."""
    talk, audible = facts.talk, settlement.heard
    if audible.seconds == talk.seconds:
        return []
    if facts.heard_until is not None:
        why = f"One side fell silent; its last packet arrived at {facts.heard_until:%H:%M:%S.%f}"
    else:
        why = f"Asterisk hung up a leg that had sent no packet for {facts.rtp_timeout} s (cause {RTP_TIMED_OUT})"
    text = f"{why}. Of the {talk.seconds:f} s of talk, only the {audible.seconds:f} s before the silence are priced."
    return [Step("heard", text)]


def _part(facts: Facts, settlement: Settlement, continues: Sequence[str]) -> list[Step]:
    """Explain a call that continues another: the price of the whole consultation less what was already paid."""
    tariff, earlier, price = facts.tariff, facts.earlier, settlement.price

    def money(minor: int) -> str:
        return amount_text(minor, tariff.digits)

    seconds, together = settlement.seconds, earlier.seconds + settlement.seconds
    steps = [
        Step(
            "continues",
            f"Continues call {', '.join(continues)}, which was cut off: {earlier.seconds:f} s there and {seconds:f} s here "
            f"make one consultation of {together:f} s.",
        )
    ]
    whole_lines = [line for line in settlement.talk.lines if line.what != EARLIER]
    steps += talk_steps(tariff, together, whole_lines, network_fault=settlement.talk.network_fault)
    if settlement.talk.network_fault:
        return steps
    whole = sum(line.amount for line in whole_lines)
    steps.append(
        Step(
            "earlier",
            f"Already paid for the consultation: {money(earlier.talk)}. The talk in this call costs {money(whole)} - "
            f"{money(earlier.talk)} = {money(settlement.talk.total)} {tariff.currency}.",
            settlement.talk.total - whole,
        )
    )
    if settlement.fee:
        text = f"Recording: {money(settlement.fee)}. Total with the recording: {money(price.total)}."
        steps.append(Step("line", text, settlement.fee))
    if tariff.vat:
        taxes = f"{money(earlier.vat + price.vat)} - {money(earlier.vat)} = {money(price.vat)}"
        steps.append(
            Step("tax", f"Tax included, for the whole consultation less the earlier calls: {taxes}.")
        )
    both = f"{money(earlier.commission + price.commission)} - {money(earlier.commission)} = {money(price.commission)}"
    steps.append(
        Step(
            "commission",
            f"Commission, for the whole consultation less the earlier calls: {both}.",
            price.commission,
        )
    )
    rest = f"{money(price.total)} - {money(price.commission)} = {money(price.consultant)}"
    steps.append(Step("consultant", f"Consultant's share: {rest}.", price.consultant))
    return steps

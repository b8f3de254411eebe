"""Why a further part of a consultation costs what it costs: the sum of the whole, less what was paid. Pure."""

from __future__ import annotations

from decimal import Decimal

from taxiphone.billing.pricing.parts import Sum, price_part, with_fee
from taxiphone.billing.pricing.tariff import Tariff, amount_text, price
from taxiphone.billing.pricing.tariff_explained import Step, explain

_OF_THE_WHOLE = frozenset({"nothing", "length", "segment", "line", "total"})


def explain_part(
    tariff: Tariff, before: Sum, seconds: Decimal, continues: list[str], fee: int = 0
) -> tuple[Step, ...]:
    """Each step from the lengths of the parts to the shares of what this one costs.

    Args:
        tariff: of the consultation.
        before: the parts before it; at least one.
        seconds: of this part.
        continues: the ids of the calls before it.
        fee: of this call's recording, where it was charged, in minor units.
    """

    def money(minor: int) -> str:
        return amount_text(minor, tariff.digits)

    together = before.seconds + seconds
    named = ", ".join(continues)
    steps = [
        Step(
            "continues",
            f"Continues call {named}, whose line was cut: {before.seconds:f} s were talked there and {seconds:f} s "
            f"here, one consultation of {together:f} s.",
        )
    ]
    steps += [step for step in explain(tariff, together) if step.what in _OF_THE_WHOLE]
    cost = price_part(tariff, before, seconds)
    if cost.network_fault:
        return tuple(steps)
    whole = price(tariff, together).total
    steps.append(
        Step(
            "earlier",
            f"Paid for the talk before: {money(before.talk)}; so this call's talk costs {money(whole)} - "
            f"{money(before.talk)} = {money(cost.total)} {tariff.currency}.",
            cost.total - whole,
        )
    )
    total, commission, vat = with_fee(tariff, before, cost.total, fee)
    if fee:
        steps.append(Step("line", f"Recording: {money(fee)}; with it {money(total)}.", fee))
    if tariff.vat:
        taxes = f"{money(before.vat + vat)} - {money(before.vat)} = {money(vat)}"
        steps.append(Step("tax", f"Tax inside it, of the whole less that of before: {taxes}."))
    parts = f"{money(before.commission + commission)} - {money(before.commission)} = {money(commission)}"
    steps.append(
        Step("commission", f"Commission, of the whole less that of before: {parts}.", commission),
    )
    rest = f"{money(total)} - {money(commission)} = {money(total - commission)}"
    steps.append(Step("consultant", f"Consultant's share: {rest}.", total - commission))
    return tuple(steps)

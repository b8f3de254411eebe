"""A talk is charged once: price, postings, receipt; then the recording fee, or its release."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from taxiphone.billing import call_row
from taxiphone.billing.pricing.talk import Talk
from taxiphone.billing.rating import rate, settle_recording
from taxiphone.settings_sections import Billing
from taxiphone.store.models import Call, Recording

START = datetime(2026, 11, 22, 18, tzinfo=UTC)


def talked(seconds: str) -> Talk:
    microseconds = int(Decimal(seconds).scaleb(6))
    end = START + timedelta(microseconds=microseconds)
    return Talk(START, end, microseconds, ((START, end),), "client", complete=True)


def rated(house: Any, call_id: str, talk: Talk | None) -> Call:
    house.database.do(lambda s: rate(s.connection(), call_row.read(s.connection(), call_id), talk))
    call: Call = house.get(call_id)
    assert house.problems() == []
    return call


def settled(house: Any, call_id: str, *, ready: bool) -> Call:
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=ready))
    call: Call = house.get(call_id)
    assert house.problems() == []
    return call


def test_a_talk_is_charged_and_the_rest_of_its_hold_is_released(house: Any) -> None:
    client, consultant = house.client(credit=2000), house.consultant()
    call = rated(house, house.call(client, consultant), talked("83.4"))
    assert (call.status, call.billed_seconds, call.talk_from) == ("rated", 84, START)
    assert call.receipt is not None
    assert (call.receipt.total, call.receipt.commission, call.receipt.consultant_share) == (217, 65, 152)
    assert call.receipt.lines == [{"what": "talk", "seconds": 84, "amount": 217}]
    assert not call.receipt.recording_pending
    assert house.balance("wallet", client) == 2000 - 217
    assert house.balance("hold", call.id) == 0
    assert house.balance("earnings", consultant) == 152
    assert house.balance("commission") == 65


def test_rating_a_call_again_changes_nothing(house: Any) -> None:
    client, consultant = house.client(), house.consultant()
    call_id = house.call(client, consultant)
    rated(house, call_id, talked("60"))
    call = rated(house, call_id, talked("6000"))
    assert call.receipt is not None
    assert call.receipt.total == 155
    assert house.balance("wallet", client) == 10_000 - 155


def test_a_call_without_a_talk_is_closed_and_costs_nothing(house: Any) -> None:
    client, consultant = house.client(), house.consultant(recording_allowed=True)
    call = rated(house, house.call(client, consultant, recorded=True), None)
    assert (call.status, call.receipt, call.billed_seconds) == ("closed", None, None)
    assert call.recording is not None
    assert call.recording.status == "empty"
    assert house.balance("wallet", client) == 10_000
    assert house.balance("hold", call.id) == 0


def test_the_recordings_fee_waits_in_the_hold_until_it_can_be_played(house: Any) -> None:
    client, consultant = house.client(credit=2000), house.consultant(recording_allowed=True)
    call = rated(house, house.call(client, consultant, recorded=True), talked("83.4"))
    assert call.receipt is not None
    assert call.receipt.recording_pending
    assert house.balance("hold", call.id) == 500
    assert house.balance("wallet", client) == 2000 - 217 - 500

    for _ in range(2):
        call = settled(house, call.id, ready=True)
        assert call.receipt is not None
        # 30 % of 7.17 is 2.151: the commission of the whole total, rounded once
        assert (call.receipt.total, call.receipt.commission, call.receipt.consultant_share) == (717, 215, 502)
        assert [line["what"] for line in call.receipt.lines] == ["talk", "recording"]
        assert not call.receipt.recording_pending
        assert house.balance("hold", call.id) == 0
        assert house.balance("earnings", consultant) == 502
        assert (house.balance("commission"), house.balance("recording_fees")) == (65, 150)


def test_the_fee_of_a_failed_recording_is_released(house: Any) -> None:
    client, consultant = house.client(credit=2000), house.consultant(recording_allowed=True)
    call_id = house.call(client, consultant, recorded=True)
    rated(house, call_id, talked("83.4"))
    for ready in (False, False, True):  # what was given back is not taken later
        call = settled(house, call_id, ready=ready)
        assert call.receipt is not None
        assert call.receipt.total == 217
    assert house.balance("wallet", client) == 2000 - 217


def test_a_recording_that_was_ready_before_the_price_is_charged_with_it(house: Any) -> None:
    client, consultant = house.client(), house.consultant(recording_allowed=True)
    call_id = house.call(client, consultant, recorded=True)
    house.database.do(lambda s: setattr(s.get_one(Recording, call_id), "status", "ready"))
    call = rated(house, call_id, talked("60"))
    assert call.receipt is not None
    assert (call.receipt.total, call.receipt.recording_pending) == (655, False)


def test_settling_a_recording_before_the_price_does_nothing(house: Any) -> None:
    client, consultant = house.client(), house.consultant(recording_allowed=True)
    call_id = house.call(client, consultant, recorded=True)
    assert settled(house, call_id, ready=True).receipt is None


def test_a_short_package_is_not_charged_and_the_receipt_says_nothing(house: Any) -> None:
    client = house.client()
    consultant = house.consultant(package_price=Decimal(60), package_minutes=60, recording_allowed=True)
    call = rated(house, house.call(client, consultant, mode="package", recorded=True), talked("29.9"))
    assert (call.status, call.outcome, call.billed_seconds) == ("rated", "talked", 0)
    assert call.receipt is not None
    assert (call.receipt.total, call.receipt.lines, call.receipt.recording_pending) == (0, [], False)
    assert house.balance("wallet", client) == 10_000


def test_a_package_is_charged_whole(house: Any) -> None:
    client = house.client()
    consultant = house.consultant(package_price=Decimal(60), package_minutes=60)
    call = rated(house, house.call(client, consultant, mode="package"), talked("30"))
    assert call.receipt is not None
    assert (call.receipt.total, call.receipt.commission) == (6000, 1800)


def test_what_asterisk_cut_too_late_is_not_charged(house: Any) -> None:
    client, consultant = house.client(credit=155), house.consultant()
    call = rated(house, house.call(client, consultant), talked("60.2"))
    assert call.receipt is not None
    assert (call.receipt.total, call.billed_seconds, call.review) == (155, 60, None)
    assert house.balance("wallet", client) == 0


def test_a_talk_far_beyond_its_hold_is_marked_for_review(house: Any) -> None:
    client, consultant = house.client(credit=155), house.consultant()
    call = rated(house, house.call(client, consultant), talked("100"))
    assert call.receipt is not None
    assert call.receipt.total == 155
    assert call.review is not None
    assert "40" in call.review


def test_a_call_is_never_charged_more_than_is_held_for_it(house: Any) -> None:
    client, consultant = house.client(credit=155), house.consultant()
    call_id = house.call(client, consultant)
    house.database.do(lambda s: setattr(s.get_one(Call, call_id), "max_seconds", None))
    call = rated(house, call_id, talked("100"))
    assert call.receipt is not None
    assert (call.receipt.total, call.billed_seconds) == (155, 60)
    assert call.review is not None


def test_a_talk_without_a_tariff_is_not_charged_and_marked_for_review(house: Any) -> None:
    client, consultant = house.client(), house.consultant()
    call = rated(house, house.call(client, consultant, accept=False), talked("60"))
    assert (call.status, call.receipt) == ("closed", None)
    assert call.review is not None


def test_the_tax_inside_a_price_is_taken_from_the_platforms_part(house: Any) -> None:
    house.settings = house.settings.model_copy(update={"billing": Billing(vat=Decimal("0.20"))})
    client, consultant = house.client(), house.consultant("1.00", recording_allowed=True)
    call_id = house.call(client, consultant, recorded=True)
    call = rated(house, call_id, talked("600"))
    # 10.00: 3.00 commission, 7.00 share; 10.00 / 1.2 = 8.33 net, 1.67 tax, so 1.33 stay with the platform
    assert call.receipt is not None
    assert (call.receipt.total, call.receipt.vat) == (1000, 167)
    assert [house.balance(kind) for kind in ("commission", "recording_fees", "vat")] == [133, 0, 167]
    assert house.balance("earnings", consultant) == 700
    # with the recording 15.00: 4.50 commission, 10.50 share; 12.50 net, 2.50 tax
    settled(house, call_id, ready=True)
    assert [house.balance(kind) for kind in ("commission", "recording_fees", "vat")] == [133, 67, 250]
    assert house.balance("earnings", consultant) == 1050
    assert house.problems() == []


def test_a_tax_above_the_commission_is_the_platforms_loss(house: Any) -> None:
    billing = Billing(vat=Decimal("0.20"), commission=Decimal("0.10"))
    house.settings = house.settings.model_copy(update={"billing": billing})
    rated(house, house.call(house.client(), house.consultant("1.00")), talked("600"))
    assert (house.balance("commission"), house.balance("vat")) == (100 - 167, 167)


def test_free_minutes_are_used_by_a_talk_and_not_by_a_call_that_came_to_nothing(house: Any) -> None:
    client, consultant = house.client(), house.consultant(free_minutes=10)
    rated(house, house.call(client, consultant), None)
    first = rated(house, house.call(client, consultant), talked("300"))
    second = rated(house, house.call(client, consultant), talked("300"))
    assert first.receipt is not None
    assert second.receipt is not None
    # what was left of the ten minutes is gone
    assert (first.receipt.total, second.receipt.total) == (0, 775)


@pytest.mark.parametrize(("scope", "total"), [("consultant", 0), ("platform", 775)])
def test_free_minutes_with_another_consultant_follow_the_setting(house: Any, scope: Any, total: int) -> None:
    house.settings = house.settings.model_copy(update={"billing": Billing(free_minutes_scope=scope)})
    client = house.client()
    anne = house.consultant(free_minutes=10)
    bruno = house.consultant(free_minutes=10, code="102")
    rated(house, house.call(client, anne), talked("60"))
    call = rated(house, house.call(client, bruno), talked("300"))
    assert call.receipt is not None
    assert call.receipt.total == total

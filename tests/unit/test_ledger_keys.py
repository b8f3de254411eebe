"""The keys of the postings of a call: built as they are stored, and found again by comparison."""

from __future__ import annotations

import pytest

from taxiphone.billing.ledger.keys import CallKey, Purpose, charge_keys, reversal_key

CALL = "261122-7gq4mk"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (CallKey(CALL, Purpose.HOLD), "hold"),
        (CallKey(CALL, Purpose.TALK), "talk"),
        (CallKey(CALL, Purpose.RECORDING, 2), "recording:2"),
        (CallKey(CALL, Purpose.REFUND, name="a:2:reversed"), "refund:a:2:reversed"),
        (CallKey(CALL, Purpose.TAX), "tax"),
    ],
)
def test_a_key_is_written_as_it_is_stored(key: CallKey, text: str) -> None:
    assert str(key) == f"call:{CALL}:{text}"
    assert reversal_key(str(key)) == f"call:{CALL}:{text}:reversed"


def test_the_charges_of_a_call_and_their_reversals_are_known_for_each_version_of_its_receipt() -> None:
    found = charge_keys(CALL, 2)
    talk, again = CallKey(CALL, Purpose.TALK), CallKey(CALL, Purpose.TALK, 2)
    assert found[f"call:{CALL}:talk"] == found[f"call:{CALL}:talk:reversed"] == talk
    assert found[f"call:{CALL}:talk:2"] == found[f"call:{CALL}:talk:2:reversed"] == again
    assert found[f"call:{CALL}:recording:2"].purpose is Purpose.RECORDING
    assert found[f"call:{CALL}:tax"].purpose is Purpose.TAX


@pytest.mark.parametrize(
    "text", ["", f"call:{CALL}:hold", f"call:{CALL}:talk:3", f"call:{CALL}:refund:talk", "call:other:talk"]
)
def test_no_other_key_is_taken_for_a_charge_of_the_call(text: str) -> None:
    assert text not in charge_keys(CALL, 2)

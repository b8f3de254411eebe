"""The keys of a call's postings: their format is stable, and they are parsed back correctly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxiphone.billing.ledger.keys import CallKey, Purpose, reversal_key

CALL = "261122-7gq4mk"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (CallKey(CALL, Purpose.HOLD), "hold"),
        (CallKey(CALL, Purpose.TALK), "talk"),
        (CallKey(CALL, Purpose.RECORDING, 2), "recording:2"),
        (CallKey(CALL, Purpose.TALK, reversed=True), "talk:reversed"),
        (CallKey(CALL, Purpose.TALK, 3, reversed=True), "talk:3:reversed"),
        (CallKey(CALL, Purpose.REFUND, name="a:2:reversed"), "refund:a:2:reversed"),
        (CallKey(CALL, Purpose.TAX), "tax"),
    ],
)
def test_a_key_is_written_and_read(key: CallKey, text: str) -> None:
    assert str(key) == f"call:{CALL}:{text}"
    assert CallKey.parse(f"call:{CALL}:{text}") == key


@pytest.mark.parametrize(
    "text",
    ["", "call", "call:x", "top_up:1:first", "payout:1:9", f"call:{CALL}:meal", f"call:{CALL}:talk:two"],
)
def test_what_is_no_key_of_a_call_is_none(text: str) -> None:
    assert CallKey.parse(text) is None


@given(
    purpose=st.sampled_from([each for each in Purpose if each is not Purpose.REFUND]),
    version=st.integers(1, 99),
    is_reversed=st.booleans(),
)
def test_every_key_comes_back(purpose: Purpose, version: int, is_reversed: bool) -> None:
    key = CallKey(CALL, purpose, version)
    text = reversal_key(str(key)) if is_reversed else str(key)
    assert CallKey.parse(text) == CallKey(CALL, purpose, version, is_reversed)

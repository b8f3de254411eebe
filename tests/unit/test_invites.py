"""One INVITE makes one call, however often it arrives (RFC 3261, 8.2.2.2)."""

from __future__ import annotations

import pytest

from taxiphone.ari_app.invites import Invites


def arrival(call_id="a@x", mark="tag1.1"):
    return {
        "args": ["inbound", "+33199001234", "", "", "", "", "", mark, ""],
        "channel": {"protocol_id": call_id},
    }


def test_the_same_invite_on_another_way_is_a_copy():
    invites = Invites()
    assert not invites.is_copy(arrival())
    assert invites.is_copy(arrival())
    assert invites.is_copy(arrival())


@pytest.mark.parametrize("other", [{"call_id": "b@x"}, {"mark": "tag2.1"}, {"mark": "tag1.2"}])
def test_another_dialog_or_a_later_try_is_a_call_of_its_own(other):
    invites = Invites()
    assert not invites.is_copy(arrival())
    assert not invites.is_copy(arrival(**other))


@pytest.mark.parametrize(
    "event", [{"args": ["inbound", "1"], "channel": {}}, arrival(call_id=""), arrival(mark="")]
)
def test_an_incomplete_invite_is_never_a_copy(event):
    invites = Invites()
    assert not invites.is_copy(event)
    assert not invites.is_copy(event)

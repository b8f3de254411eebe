"""Detects copies of an INVITE, so that each makes only one call, whatever its route or delay (RFC 3261, 8.2.2.2)."""

from __future__ import annotations

from collections import OrderedDict

from taxiphone.ari_app.bounded import keep
from taxiphone.ari_app.ports import Event

_REMEMBERED = 20_000

# Positions among the arguments after the number dialled (dialplan/config.py). They follow the five of
# `directory.callers.CallerHeaders`: the From tag with the CSeq, and what was sent in place of a dialled number.
MARK, NAMED = 5, 6


class Invites:
    """The latest 20,000 INVITEs that have made a call.

    Asterisk rejects a merged request while the first is being answered, but treats a copy that arrives after the ACK as a
    new call.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def is_copy(self, event: Event) -> bool:
        """Whether the INVITE behind this StasisStart has already made a call: same Call-ID, From tag and CSeq.

        Args:
            event: the StasisStart. Without From tag and CSeq in its arguments, it doesn't count as a copy.
        """
        call_id, mark = event["channel"].get("protocol_id", ""), "".join(event["args"][2:][MARK : MARK + 1])
        if not call_id or not mark:
            return False
        known = (str(call_id), str(mark))
        if known in self._known:
            return True
        keep(self._known, known, None, _REMEMBERED)
        return False

"""One INVITE makes one call, on however many ways it comes, and however late a copy of it (RFC 3261, 8.2.2.2)."""

from __future__ import annotations

from collections import OrderedDict

from taxiphone.ari_app.bounded import keep
from taxiphone.ari_app.ports import Event

_REMEMBERED = 20_000

# Of the arguments after the number dialled (dialplan/config.py), those after the five of `directory.callers.Said`: the From tag
# with the CSeq, and what stands where the number dialled should.
MARK, NAMED = 5, 6


class Invites:
    """The INVITEs that have made a call, the latest 20,000 of them.

    Asterisk answers a merged request while the first is being answered, but takes a copy that comes after the ACK for a call
    of its own.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def is_copy(self, event: Event) -> bool:
        """Whether the INVITE behind this StasisStart has made a call before: same Call-ID, From tag and CSeq.

        Args:
            event: where its arguments have no From tag and CSeq, nothing is known of the INVITE.
        """
        call_id, mark = event["channel"].get("protocol_id", ""), "".join(event["args"][2:][MARK : MARK + 1])
        if not call_id or not mark:
            return False
        known = (str(call_id), str(mark))
        if known in self._known:
            return True
        keep(self._known, known, None, _REMEMBERED)
        return False

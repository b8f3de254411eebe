"""Finding the call that a command line names."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from taxiphone.errors import UsageError
from taxiphone.store.models import Call

_MOST_NAMED = 5


def find_call(session: Session, text: str) -> Call:
    """The one call with this id, or whose id begins or ends with the text.

    Raises:
        UsageError: there is none, or more than one.
    """
    exact = session.get(Call, text)
    if exact is not None:
        return exact
    like = or_(Call.id.startswith(text, autoescape=True), Call.id.endswith(text, autoescape=True))
    matching = select(Call).where(like).order_by(Call.id).limit(_MOST_NAMED + 1)
    found = list(session.scalars(matching)) if text else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"there is no call {text!r}. `taxiphone call list` shows the latest.")
    named = ", ".join(each.id for each in found[:_MOST_NAMED]) + (", ..." if len(found) > _MOST_NAMED else "")
    raise UsageError(f"{text!r} matches more than one call: {named}. Give more of the id.")

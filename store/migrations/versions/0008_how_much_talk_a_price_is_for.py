"""The exact talk that a price is for. Until now it was worked out from Asterisk's rows whenever it was needed."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

from taxiphone.store.types import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_call = sa.table(
    "call",
    sa.column("id", sa.String()),
    sa.column("talk_from", UtcDateTime()),
    sa.column("talk_to", UtcDateTime()),
    sa.column("billed_seconds", sa.Integer()),
    sa.column("max_seconds", sa.Integer()),
    sa.column("continues_id", sa.String()),
    sa.column("fault", sa.String()),
    sa.column("priced_us", sa.BigInteger()),
)
_MILLION = 1_000_000
_AT_ONCE = 1000


def upgrade() -> None:
    op.add_column("call", sa.Column("priced_us", sa.BigInteger(), nullable=True))
    connection = op.get_bind()
    fill = _call.update().where(_call.c.id == sa.bindparam("which")).values(priced_us=sa.bindparam("priced"))
    last = ""
    while True:
        found = sa.select(_call).where(
            _call.c.id > last, _call.c.talk_from.is_not(None), _call.c.talk_to.is_not(None)
        )
        rows = connection.execute(found.order_by(_call.c.id).limit(_AT_ONCE)).all()
        if not rows:
            return
        connection.execute(fill, [{"which": row.id, "priced": _priced_us(row)} for row in rows])
        last = rows[-1].id


def _priced_us(row: Any) -> int:
    if row.fault is not None:
        return 0
    length: int = (row.talk_to - row.talk_from) // timedelta(microseconds=1)
    if row.max_seconds is not None:
        length = min(length, row.max_seconds * _MILLION)
    if row.billed_seconds and row.continues_id is None:
        # Time outside the bridge was not billed. A later part of a consultation may round to less than its length.
        length = min(length, row.billed_seconds * _MILLION)
    return length


def downgrade() -> None:
    op.drop_column("call", "priced_us")

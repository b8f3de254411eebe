"""The second witness: which boot a mark's monotonic clock counts from, and what was lost of Asterisk's event log."""

import sqlalchemy as sa
from alembic import op

from taxiphone.store.types import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mark", sa.Column("boot", sa.String(length=36), nullable=True))
    op.create_table(
        "log_gap",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("noticed_at", UtcDateTime(), nullable=False),
        sa.Column("text", sa.String(length=400), nullable=False),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.Column("settled_why", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_gap")),
        sa.UniqueConstraint("key", name=op.f("uq_log_gap_key")),
    )


def downgrade() -> None:
    op.drop_table("log_gap")
    op.drop_column("mark", "boot")

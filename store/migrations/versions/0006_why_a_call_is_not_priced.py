"""Why a call that is over could not be priced."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("call", sa.Column("unpriced", sa.String(length=200), nullable=True))


def downgrade() -> None:
    op.drop_column("call", "unpriced")

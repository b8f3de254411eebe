"""A recording's date is the last day on which it is kept, and is called so."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE recording RENAME COLUMN delete_on TO kept_until")


def downgrade() -> None:
    op.execute("ALTER TABLE recording RENAME COLUMN kept_until TO delete_on")

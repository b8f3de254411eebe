"""Alembic's entry: migrations run on the connection that `Database.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from taxiphone.store.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    user_module_prefix="",
)
with context.begin_transaction():
    context.run_migrations()

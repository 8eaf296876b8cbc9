"""Alembic's entry: runs migrations on the connection that the store hands over, or online by URL for developers."""

from __future__ import annotations

from alembic import context

from serving.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=False)
with context.begin_transaction():
    context.run_migrations()

"""The store's history as Alembic migrations; `serving.store.engine.open_store` brings a store to the last one."""

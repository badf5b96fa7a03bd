"""Run the steps on the connection that `openfeature_gov.stores.migrating` opened."""

from __future__ import annotations

from alembic import context

from openfeature_gov.stores.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata(connection.dialect.name),
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

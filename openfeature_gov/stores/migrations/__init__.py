"""The schema of record stores, step by step, for alembic. One step a file."""

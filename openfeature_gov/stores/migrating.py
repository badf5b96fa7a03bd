"""Bring a record database to this release's schema with alembic. Needs extra ``sql``.

The stores do it themselves when they open a database that they may change. Where they
may not, because the tables belong to another user, that user calls `upgrade`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores.inside import inside
from openfeature_gov.stores.leases import Turn
from openfeature_gov.stores.opening import SCHEMES
from openfeature_gov.stores.postgres_schema import (
    CURRENT,
    FORMER_REVIEW_STEP,
    FORMER_STEP,
    SETUP_LOCK,
)
from openfeature_gov.stores.postgres_sessions import place


def upgrade(records: Path | str, revision: str = "head") -> None:
    """Bring the store *records* to *revision*; all of it happens, or nothing.

    *records* is a file, or a ``postgresql://`` URL of the user that owns the tables.

    Raises:
        RecordStoreError: when it cannot be reached or changed.

    """
    server = isinstance(records, str) and records.startswith(SCHEMES)
    where = place(str(records)) if server else str(records)
    try:
        with _postgres(str(records)) if server else _sqlite(Path(records)) as found:
            _upgrade(found, revision)
    except (sa.exc.SQLAlchemyError, psycopg.Error, sqlite3.Error, OSError) as error:
        told = getattr(error, "orig", None) or error
        raise RecordStoreError(f"{where}: {told}; nothing was changed") from error


def _upgrade(connection: sa.Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "openfeature_gov.stores:migrations")
    config.attributes["connection"] = connection
    # The tables say what they are: a store that makes them keeps no books of alembic's.
    command.stamp(config, _revision(connection), purge=True)
    command.upgrade(config, revision)


def _revision(connection: sa.Connection) -> str:
    inspected = sa.inspect(connection)
    if not inspected.has_table("records"):
        return "base"
    if inspected.has_table("holds"):
        return "0006" if _newest(connection) else "0005"
    if inspected.has_table("reviews"):
        return "0004"
    names = {column["name"] for column in inspected.get_columns("records")}
    if "personal" not in names:
        return "0001"
    names = {column["name"] for column in inspected.get_columns("approvals")}
    return "0003" if "binding" in names else "0002"


def _newest(connection: sa.Connection) -> bool:
    if connection.dialect.name == "sqlite":
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        return int(version) > 5
    former = {"former": [FORMER_STEP, FORMER_REVIEW_STEP]}
    return connection.exec_driver_sql(CURRENT, former).first() is not None


@contextmanager
def _postgres(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url),
        poolclass=sa.NullPool,
        hide_parameters=True,
    )
    with engine.begin() as connection:
        # Stores that create the tables wait for the same lock.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SETUP_LOCK})")
        yield connection


@contextmanager
def _sqlite(path: Path) -> Iterator[sa.Connection]:
    def opened() -> sqlite3.Connection:
        made = sqlite3.connect(path, isolation_level=None)
        try:
            made.execute("PRAGMA journal_mode=WAL")
        except BaseException:
            made.close()
            raise
        return made

    engine = sa.create_engine(
        "sqlite://", creator=opened, poolclass=sa.NullPool, hide_parameters=True
    )

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with (
        inside.held(),
        closing(Turn(path)) as turn,
        turn.taken(),
        engine.begin() as connection,
    ):
        yield connection

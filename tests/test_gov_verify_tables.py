"""The verifier and the tables of a record file: each column, row and trigger."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from openfeature_gov.evidence import records
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.stores import schema
from openfeature_gov.stores.migrating import upgrade
from openfeature_gov.stores.sqlite import SqliteStore
from tests.foreign_log import Log, codes, decision, event, verified


def made(name: str) -> str:
    """Return the store's statement that makes the trigger *name*."""
    (text,) = (one for one in schema.TRIGGERS if f" {name} " in one)
    return text


def test_every_column_is_derived_again(tmp_path: Path) -> None:
    """Each one that says something else than its record is found, and named."""
    log = Log(3)
    for name in (*records.COLUMNS,):
        file = log.database(tmp_path / f"{name}.db")
        with closing(sqlite3.connect(file)) as db:
            db.execute("DROP TRIGGER records_no_update")
            new = "zz" if name not in ("at_us", "executes", "amount") else 7
            db.execute(f"UPDATE records SET {name} = ? WHERE seq = 2", (new,))
            db.execute(made("records_no_update"))
            db.commit()
        (found,) = verified(log, file).findings
        assert (found.code, found.first_seq) == ("columns", 2)
        assert found.what.startswith(f"{name} is ")


def test_a_record_of_the_first_schema_has_all_columns(tmp_path: Path) -> None:
    """The migration filled them: one that is empty was emptied."""
    log = Log(1, every=9)
    log.add(*decision(2, schema="gov.record/1"))
    log.notes.clear()
    log.seal()
    file = log.database(tmp_path / "records.db")
    assert codes(verified(log, file)) == []
    with closing(sqlite3.connect(file)) as db:
        db.execute("DROP TRIGGER records_no_update")
        db.execute("UPDATE records SET target = NULL WHERE seq = 2")
        db.execute(made("records_no_update"))
        db.commit()
    assert codes(verified(log, file)) == ["columns"]


ROWS = {
    "number": "number = number + 1",
    "origin": "origin = 'x'",
    "size": "size = size + 1",
    "last record": "last_seq = last_seq + 1",
    "frontier of another size": "frontier = CAST("
    "x'000000000000000A' || substr(frontier, 9) AS BLOB)",
    "frontier of another tree": "frontier = CAST("
    "substr(frontier, 1, 8) || zeroblob(64) AS BLOB)",
    "frontier cut short": "frontier = substr(frontier, 1, 40)",
    "frontier too long": "frontier = CAST(frontier || zeroblob(32) AS BLOB)",
    "no frontier": "frontier = x''",
}


@pytest.mark.parametrize("row", ROWS)
def test_the_row_of_a_checkpoint_says_what_its_note_says(
    tmp_path: Path, row: str
) -> None:
    """The store goes on from these rows: an edited one is a finding."""
    log = Log(9, every=9)
    file = log.database(tmp_path / "records.db")
    assert codes(verified(log, file)) == []
    with closing(sqlite3.connect(file)) as db:
        db.execute("DROP TRIGGER checkpoints_no_update")
        db.execute(f"UPDATE checkpoints SET {ROWS[row]}")
        db.execute(made("checkpoints_no_update"))
        db.commit()
    assert codes(verified(log, file)) == ["loose"]


def test_columns_are_derived_as_the_store_derives_them() -> None:
    """For records of every kind, also old and broken ones."""
    bodies = [
        json.loads(body)
        for body, _ in (
            decision(1),
            decision(2, amount=None, flags=[], context=None, executes=False),
            decision(3, flags=[{"kind": "mode", "variant": None}], reviewer="r"),
            event(4, "outcome", ref="d-1", status="executed"),
            event(5, "start", sqlite="3"),
            event(6, "stop", ref="w", reason="not this one"),
            decision(7, targetSystem="", reviewer="", amount="-1E+3"),
            event(8, "note", tool="t", flags=[{"kind": "mode", "variant": "v"}]),
        )
    ]
    for body in bodies:
        derived = gov_verify.derived(body)
        assert tuple(derived[name] for name in records.COLUMNS) == records.derived(body)
    assert gov_verify.COLUMNS == records.COLUMNS


def test_the_schema_is_that_of_the_store(tmp_path: Path) -> None:
    """The verifier's copy is the store's text, whoever made the tables."""
    schema.connect(tmp_path / "made.db").close()
    upgrade(tmp_path / "migrated.db")
    for name in ("made", "migrated"):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as db:
            db.execute("ANALYZE")
            held = db.execute(
                "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
            ).fetchall()
        found = {one: gov_verify.described(text) for one, text in held}
        assert {**gov_verify.ELSEWHERE, **found} == {
            **gov_verify.ELSEWHERE,
            **gov_verify.SCHEMA,
        }


@pytest.mark.parametrize("how", ["by the store", "by alembic"])
def test_a_log_of_version_1_verifies_once_it_was_migrated(
    tmp_path: Path, how: str
) -> None:
    """Its tables were altered, and its records have the columns that it lacked."""
    path = tmp_path / "records.db"
    shutil.copy(Path(__file__).parent / "data" / "records-1.sqlite", path)
    if how == "by alembic":
        upgrade(path)
    SqliteStore(path).close()
    held = gov_verify.held_in([tmp_path / "records.db.checkpoints"])
    key = read_key(tmp_path / "records.db.key").vkey
    (report,) = gov_verify.verify(gov_verify.files([path]), [key], held, deep=True)
    assert codes(report) == []


TABLES = {
    "a view": "CREATE VIEW records AS SELECT 1 AS seq, x'00' AS body",
    "computed": "CREATE TABLE records (seq INTEGER PRIMARY KEY, body BLOB AS "
    "(zeroblob(9)))",
    "virtual": "CREATE VIRTUAL TABLE records USING fts5(seq, body)",
    "no columns": "CREATE TABLE records (seq INTEGER PRIMARY KEY)",
    "no body": "CREATE TABLE records (seq INTEGER PRIMARY KEY, id, kind, at_us)",
    "none": "CREATE TABLE other (x)",
}


@pytest.mark.parametrize("table", TABLES)
def test_hostile_tables_are_refused(tmp_path: Path, table: str) -> None:
    """What only looks like the table of records is no evidence."""
    log = Log(3)
    file = tmp_path / "records.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute(TABLES[table])
        db.execute(schema.TABLES[1])
        db.commit()
    assert not verified(log, file).verified


def test_a_record_too_long_is_refused(tmp_path: Path) -> None:
    """A body of megabytes is no record."""
    log = Log(2)
    file = log.database(tmp_path / "records.db")
    with closing(sqlite3.connect(file)) as db:
        db.execute("DROP TRIGGER records_no_update")
        db.execute("UPDATE records SET body = zeroblob(9000000) WHERE seq = 2")
        db.commit()
    assert codes(verified(log, file)) == ["unreadable"]

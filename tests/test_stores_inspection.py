"""Findings: each thing that does not add up is found, by name and place, and alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
from typer.testing import CliRunner

from openfeature_gov import ToolCall
from openfeature_gov.canonical import encode
from openfeature_gov.cli import app
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence import erasure
from openfeature_gov.evidence.findings import (
    MEANINGS,
    TOLERANCE_US,
    Entry,
    Finding,
    read,
)
from openfeature_gov.evidence.records import Record, Stamp, note_record, outcome_record
from openfeature_gov.stores.inspection import findings
from openfeature_gov.stores.sqlite import SqliteStore
from tests.conftest import CONTEXT, Make, contract_yaml
from tests.worked import worked

Harm = Callable[[sqlite3.Connection], tuple[str, int]]
OLD = Path(__file__).parent / "data" / "records-1.sqlite"
"""A log that the first release wrote."""
DECIDED = "kind = 'decision' AND personal IS NOT NULL AND executes = 1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log in which two agents met every effect."""
    return worked(tmp_path_factory.mktemp("worked"))


@pytest.fixture
def log(made: Path, tmp_path: Path) -> Path:
    """Return a copy of that log, with everything that stands beside it."""
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / made.name


def named(path: Path) -> list[tuple[str, int]]:
    """Return the name and the place of every finding."""
    return [(one.name, one.seq) for one in findings(path)]


def append(path: Path, *made: Callable[[Stamp], Record]) -> list[int]:
    """Append records to the log and return their places."""
    places = []
    with closing(SqliteStore(path)) as store:
        for place, make in enumerate(made):
            at = store.stamp().at_us
            store.commit(make(Stamp(f"new-{place}", at, store.writer)))
    with closing(sqlite3.connect(path)) as connection:
        for place in range(len(made)):
            query = "SELECT seq FROM records WHERE id = ?"
            places.append(connection.execute(query, (f"new-{place}",)).fetchone()[0])
    return places


def test_a_whole_log_has_no_findings(log: Path, tmp_path: Path) -> None:
    """Whatever the schema, with every effect in it."""
    assert findings(log) == []
    old = Path(copyfile(OLD, tmp_path / "old.db"))
    assert not any(one.meaning.serious for one in findings(old))


def _first(connection: sqlite3.Connection, where: str = DECIDED) -> tuple[int, str]:
    seq, identity = connection.execute(
        f"SELECT seq, id FROM records WHERE {where} ORDER BY seq LIMIT 1 OFFSET 2"
    ).fetchone()
    return seq, identity


def _no_outcome(connection: sqlite3.Connection) -> tuple[str, int]:
    seq, identity = _first(connection)
    last = connection.execute("SELECT max(seq) + 1 FROM records").fetchone()[0]
    connection.execute(
        "UPDATE records SET kind = 'mark', ref = NULL, reason = NULL, id = ?"
        " WHERE ref = ? AND kind = 'outcome'",
        (f"gone-{last}", identity),
    )
    return "outcome_missing", seq


def _gap(connection: sqlite3.Connection) -> tuple[str, int]:
    seq, _ = _first(connection, "kind = 'decision' AND executes = 0")
    connection.execute("DELETE FROM records WHERE seq = ?", (seq,))
    return "sequence_gap", seq + 1


def _start(connection: sqlite3.Connection) -> tuple[str, int]:
    connection.execute("DELETE FROM records WHERE seq = 1")
    return "sequence_gap", 2


def _forbidden(connection: sqlite3.Connection) -> tuple[str, int]:
    seq, identity = _first(connection)
    connection.execute("UPDATE records SET executes = 0 WHERE seq = ?", (seq,))
    query = "SELECT seq FROM records WHERE ref = ? AND kind = 'outcome'"
    return "outcome_forbidden", connection.execute(query, (identity,)).fetchone()[0]


def _unmatched(connection: sqlite3.Connection) -> tuple[str, int]:
    seq, identity = _first(connection)
    connection.execute(
        "UPDATE records SET kind = 'mark', executes = 0 WHERE seq = ?", (seq,)
    )
    query = "SELECT seq FROM records WHERE ref = ? AND kind = 'outcome'"
    return "outcome_unmatched", connection.execute(query, (identity,)).fetchone()[0]


def _clock(connection: sqlite3.Connection) -> tuple[str, int]:
    seq, _ = _first(connection)
    connection.execute(
        "UPDATE records SET at_us = at_us - ? WHERE seq >= ?",
        (TOLERANCE_US * 2, seq),
    )
    return "clock_step", seq


def _personal_missing(connection: sqlite3.Connection) -> tuple[str, int]:
    seq, _ = _first(connection)
    connection.execute("UPDATE records SET personal = NULL WHERE seq = ?", (seq,))
    return "personal_missing", seq


def _personal_altered(connection: sqlite3.Connection) -> tuple[str, int]:
    seq, _ = _first(connection)
    connection.execute(
        "UPDATE records SET personal = CAST('{}' AS BLOB) WHERE seq = ?", (seq,)
    )
    return "personal_altered", seq


@pytest.mark.parametrize(
    "harm",
    [
        _no_outcome,
        _gap,
        _start,
        _forbidden,
        _unmatched,
        _clock,
        _personal_missing,
        _personal_altered,
    ],
)
def test_each_harm_is_found_where_it_was_done(log: Path, harm: Harm) -> None:
    """Once, at its place, as a serious finding, whoever got past the triggers."""
    with closing(sqlite3.connect(log)) as connection:
        connection.execute("DROP TRIGGER records_no_update")
        connection.execute("DROP TRIGGER records_no_delete")
        expected = harm(connection)
        connection.commit()
    found = findings(log)
    assert expected in [(one.name, one.seq) for one in found]
    if harm is _clock:  # each kind of record has an order of its own
        assert {one.name for one in found} == {"clock_step"}
    elif harm is not _start:
        assert named(log) == [expected]
    assert all(one.meaning.serious for one in found if one.name == expected[0])


def test_clock_steps_are_told_once_and_only_beyond_the_tolerance() -> None:
    """Against the latest time seen, of the same writer, in the same kind of record."""
    step = TOLERANCE_US

    def entries(*given: tuple[str, str, int]) -> list[Entry]:
        return [
            Entry(place, f"{place}", kind, at, writer, b"{}", None)
            for place, (writer, kind, at) in enumerate(given, 1)
        ]

    def steps(*given: tuple[str, str, int]) -> list[int]:
        return [one.seq for one in read(entries(*given), frozenset())]

    start = 10 * step
    decided = [("a", "decision", start + at) for at in (0, -step, -step + 1, 1)]
    assert steps(*decided) == []
    slow = [("a", "decision", start + at) for at in (0, -3 * step // 4, -3 * step // 2)]
    assert steps(*slow) == [3]
    once = [("a", "outcome", start + at) for at in (0, -2 * step, 1 - 2 * step, 0)]
    assert steps(*once) == [2]
    others = [("a", "decision", start), ("b", "decision", 1), ("a", "gap", 1)]
    assert steps(*others) == []


def test_the_digest_of_a_personal_part_is_the_record_s_own() -> None:
    """Whatever else in a body is called the same."""
    personal = b'{"salt":"s"}'
    digest = sha256(personal).hexdigest()
    own = {"a": {"personalDigest": "0" * 64}, "personalDigest": digest}
    for body in ({"personalDigest": digest}, own, {"z": own["a"], **own}):
        entry = Entry(1, "a", "decision", 1, "w", encode(body), personal)
        assert list(read([entry], frozenset())) == []
        altered = entry._replace(personal=b"{}")
        (found,) = read([altered], frozenset())
        assert found.name == "personal_altered"


def test_what_runs_is_pending_and_what_died_is_unknown(
    desk: Make,
) -> None:
    """An open end is no alarm while its writer may still be at work."""
    one = desk(contract_yaml("send"))
    one.governor.tool("send")(one.spy)
    released = one.governor.decide(ToolCall("send", {}, CONTEXT))
    assert released.record_id
    found = findings(one.records)
    assert [(each.name, each.record) for each in found][1:] == [
        ("outcome_pending", released.record_id)
    ]
    assert found[0].name == "writer_unfinished"
    assert not any(each.meaning.serious for each in found)
    told = CliRunner().invoke(app, ["audit", "findings", "--records", f"{one.records}"])
    assert (told.exit_code, json.loads(told.stdout)["serious"]) == (0, 0)
    one.governor.close()
    (settled,) = findings(one.records)
    assert (settled.name, settled.detail) == (
        "outcome_unknown",
        f"decision {released.record_id}",
    )


def test_a_second_outcome_is_found(log: Path) -> None:
    """Whatever it says; the first is not blamed."""
    with closing(sqlite3.connect(log)) as connection:
        _, identity = _first(connection)
    (place,) = append(
        log, lambda stamp: outcome_record(stamp, identity, status="failed")
    )
    assert named(log) == [("outcome_repeated", place)]


def test_saying_that_nothing_ran_is_no_finding(log: Path) -> None:
    """Whatever the decision let run."""
    with closing(sqlite3.connect(log)) as connection:
        _, denied = _first(connection, "kind = 'decision' AND effect = 'deny'")
    append(log, lambda stamp: outcome_record(stamp, denied, status="not_run"))
    assert findings(log) == []


def test_a_writer_that_came_back_has_not_ended(log: Path) -> None:
    """Its open ends wait for it."""
    with closing(sqlite3.connect(log)) as connection:
        connection.execute("DROP TRIGGER records_no_update")
        _, seq = _no_outcome(connection)
        connection.execute(
            "INSERT INTO records (id, kind, at_us, writer, executes, body) SELECT"
            " 'back', 'resumed', at_us, writer, 0, x'7B7D' FROM records WHERE seq ="
            " (SELECT max(seq) FROM records)"
        )
        connection.commit()
    assert ("outcome_pending", seq) in named(log)
    with closing(sqlite3.connect(log)) as connection:
        connection.execute("UPDATE records SET writer = 'b' WHERE id = 'back'")
        connection.commit()
    assert ("outcome_missing", seq) in named(log)


def test_notes_of_trouble_are_findings(log: Path) -> None:
    """What was lost or refused, and what the log or a poller found."""
    kinds: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("gap", {"lost": 7}, "records_lost"),
        ("unwritable", {"refused": "x-1", "error": "E"}, "record_refused"),
        ("policy_gap", {"startMs": 1, "endMs": 2}, "policy_unread"),
        ("policy_change", {"key": "k", "findings": ["rewound"]}, "policy_change"),
        ("policy_change", {"key": "k", "findings": []}, ""),
        ("tamper", {"found": "published"}, "tamper"),
        ("rolled_back", {"expected": 9, "found": 3}, "rolled_back"),
    )
    places = append(
        log,
        *(
            lambda stamp, kind=kind, facts=facts: note_record(stamp, kind, **facts)
            for kind, facts, _ in kinds
        ),
    )
    expected = [
        (name, place) for (_, _, name), place in zip(kinds, places, strict=True) if name
    ]
    found = findings(log)
    assert [(one.name, one.seq) for one in found] == expected
    assert found[0].detail == "lost 7"
    assert found[3].detail == "rewound: k"


def test_what_could_not_be_encoded_is_found(log: Path) -> None:
    """It kept its place and says so."""
    (place,) = append(
        log,
        lambda stamp: Record(stamp.id, "mark", stamp.at_us, _raise),
    )
    assert named(log) == [("record_unencodable", place)]


def _raise() -> Any:
    raise ValueError


def test_an_erasure_explains_what_is_missing(log: Path) -> None:
    """And one that was recorded but not finished is found."""
    subject = erasure.Subject("user", "user-of-bot-a")
    with closing(SqliteStore(log)) as store:
        with closing(sqlite3.connect(log)) as connection:
            seq, identity, personal = connection.execute(
                "SELECT seq, id, personal FROM records WHERE personal IS NOT NULL"
                " AND agent = 'bot-a' LIMIT 1"
            ).fetchone()
        assert (
            len(erasure.erase(store, subject, actor="dpo", reason="asked").records) > 3
        )
    assert findings(log) == []
    with closing(sqlite3.connect(log)) as connection:
        connection.execute("DROP TRIGGER records_no_update")
        connection.execute(
            "UPDATE records SET personal = ? WHERE id = ?", (personal, identity)
        )
        connection.commit()
    assert named(log) == [("erasure_unfinished", seq)]


def test_every_finding_says_what_to_do() -> None:
    """In words, for every name."""
    for name, meaning in MEANINGS.items():
        assert meaning.advice
        assert Finding(name, 1, "r").facts() == {
            "name": name,
            "seq": 1,
            "record": "r",
            "detail": "",
            "serious": meaning.serious,
            "advice": meaning.advice,
        }


def test_what_is_no_log_is_said(tmp_path: Path) -> None:
    """A missing file."""
    with pytest.raises(RecordStoreError, match="none"):
        findings(tmp_path / "none.db")


def test_the_command_lists_findings_and_fails_on_serious_ones(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 for none, 4 for one, in every form."""
    monkeypatch.chdir(log.parent)
    run = CliRunner()
    clean = run.invoke(app, ["audit", "findings"])
    assert (clean.exit_code, json.loads(clean.stdout)["findings"]) == (0, [])
    assert (
        "Nothing stands out"
        in run.invoke(app, ["audit", "findings", "--no-json"]).stdout
    )
    append(log, lambda stamp: note_record(stamp, "gap", lost="\x1b[2J"))
    for form in ("json", "table", "csv", "jsonl"):
        result = run.invoke(app, ["audit", "findings", "--format", form])
        assert result.exit_code == 4
        assert "records_lost" in result.stdout
        assert "\x1b" not in result.stdout
    assert run.invoke(app, ["audit", "findings", "--records", "no.db"]).exit_code == 3

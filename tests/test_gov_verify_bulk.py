"""What the verifier spares itself: parsing what it knows, and doing all by itself.

Whatever it takes for right by a shorter way must be right by the long one, too.
"""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Reader, Refused, Said
from openfeature_gov.stores import schema
from tests import full
from tests.foreign_log import Log, Signer, canonical, decision, event

LONG = [{"control": "mode", "cap": "off", "evidence": {"n": n}} for n in range(9)]
"""What is long enough to be known by its text."""
KINDS: dict[str, bytes] = {
    "a decision": decision(1, note="plain", verdicts=LONG, scopes=["a", "b"])[0],
    "a short one": decision(2, note=None, flags=[], verdicts=[], amount="12")[0],
    "an outcome": event(3, "outcome", ref="d-1", status="executed", cost=None)[0],
    "a dash": event(5, "note", **{"-": None, "executes": None, "n": [1, "x"]})[0],
    "another": event(4, "stop", ref="w", reviewer="r", executes=False, n=-12)[0],
}
PUT = [b"", b'"', b"\\", b",", b":", b"{", b"}", b"[", b"]", b"0", b"1", b"-", b"."]
PUT += [b"x", b" ", b"\0", b"\n", b"\x7f", "é".encode(), b"\xff", b'"x":1,', b"null"]
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    7,
    1.5,
    "",
    "x",
    "1e3",
    "nan",
    "\\",
    [],
    ["x"],
    {},
    {"x": 1},
)


def columns(body: bytes) -> tuple[Any, ...] | None:
    """Return the columns that *body* stands beside, None for a body that has none."""
    try:
        return tuple(gov_verify.derived(json.loads(body)).values())
    except Exception:
        return None


def knowing(body: bytes) -> Reader:
    """Return a reader that knows *body* and its like again."""
    reader = Reader(deep=True)
    assert reader.read(body, columns(body)).facts
    assert reader.read(body, columns(body)).facts is None
    return reader


def parsed(body: bytes, beside: tuple[Any, ...] | None) -> Said | str:
    """Return what *body* says to a reader that knows nothing, or the code."""
    try:
        return Reader(deep=True).read(body, beside)._replace(facts=None)
    except Refused as refused:
        return refused.code


def spellings(body: bytes) -> Iterator[bytes]:
    """Yield *body* with each byte replaced, taken out, or preceded by others."""
    for at in range(0, len(body) + 1, 1 if full.FULL else 3):
        for put in PUT:
            yield body[:at] + put + body[at:]
            yield body[:at] + put + body[at + 1 :]


def meanings(facts: Any) -> Iterator[Any]:
    """Yield *facts* with each member, at any depth, replaced, renamed or taken out."""
    places = facts.items() if isinstance(facts, dict) else enumerate(facts)
    for name, value in [*places]:
        for one in VALUES:
            yield _with(facts, name, one)
        if isinstance(facts, dict):
            rest = {key: one for key, one in facts.items() if key != name}
            yield rest
            yield {**rest, f"{name}x": value}
            yield {**rest, "-": value}
        if isinstance(value, dict | list):
            for one in meanings(value):
                yield _with(facts, name, one)


def _with(facts: Any, name: Any, value: Any) -> Any:
    changed = dict(facts) if isinstance(facts, dict) else list(facts)
    changed[name] = value
    return changed


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_known_again_says_what_it_says_when_parsed(kind: str) -> None:
    """However a body was changed: it is parsed, or means what the parser finds."""
    good = KINDS[kind]
    beside, reader, known = columns(good), knowing(good), 0
    changed = [canonical(one) for one in meanings(json.loads(good))]
    for body in (*spellings(good), *changed):
        for held in (None, beside, columns(body)):
            said = reader._again(body, held)
            known += said is not None
            assert said is None or said == parsed(body, held), (body, held)
    assert known > 200


@pytest.mark.parametrize("kind", KINDS)
def test_columns_beside_what_is_known_are_the_same(kind: str) -> None:
    """In value and in type: nothing else is taken for the column."""
    good = KINDS[kind]
    beside, reader = columns(good), knowing(good)
    assert beside is not None
    for place, value in enumerate(beside):
        others = [*VALUES, str(value), str(value).encode(), value == 1]
        others += [float(value)] if type(value) is int else []
        others += [int(value)] if type(value) is float else []
        for other in others:
            changed = (*beside[:place], other, *beside[place + 1 :])
            same = type(other) is type(value) and other == value
            assert (reader._again(good, changed) is not None) == same, changed


def test_no_name_stands_for_columns_that_are_nowhere() -> None:
    """What a member is called makes it no column: its value is not taken for one."""
    for name in ("-", "", "tool", "context.agent", "amount"):
        facts = {name: None, "executes": None}
        reader = knowing(event(4, "note", **facts)[0])
        body = event(4, "note", **{**facts, name: "5"})[0]
        beside = columns(body)
        assert beside is not None
        for kind in (int, float, str):
            forged = [kind("5") if one is None else one for one in beside]
            assert reader._again(body, tuple(forged)) is None
            forged = [
                kind("5") if column in ("tool", "reason", "target") else one
                for column, one in zip(gov_verify.COLUMNS, beside, strict=True)
            ]
            assert reader._again(body, tuple(forged)) is None
        forged = [*beside[:5], "5", "5", "5", "5", "5", 0, "5", None, 5.0, beside[-1]]
        assert reader._again(body, tuple(forged)) is None


def wide(number: int, members: int) -> bytes:
    """Return a body with *members* of its own, called as those of no other."""
    return event(number, "note", **{f"n{number}-{at}": 0 for at in range(members)})[0]


def test_what_is_wide_is_parsed_and_what_is_learned_is_paid_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No small file keeps the verifier busy with learning what it never meets again."""
    compiled: list[int] = []
    kept = re.compile

    def counted(text: Any, *flags: Any) -> Any:
        compiled.append(len(text))
        return kept(text, *flags)

    monkeypatch.setattr(re, "compile", counted)
    reader = Reader(deep=False)
    for number in range(60):
        reader.read(wide(number, 1_100), None)
    assert compiled == []
    assert reader._credit <= 0
    reader = Reader(deep=False)
    for number in range(300):
        reader.read(wide(number, 90), None)
    assert len(compiled) == len(reader._forms) <= gov_verify.FORMS
    reader = Reader(deep=False)
    monkeypatch.setattr(gov_verify, "FORMS", 1_000)
    for number in range(300):
        reader.read(wide(number, 90), None)
    assert sum(compiled[-len(reader._forms) :]) < 200_000


def test_what_does_not_repeat_is_not_learned_for_ever() -> None:
    """Long members that always differ are known by their form; the rest is parsed."""
    reader, read = Reader(deep=False), 0
    for number in range(200):
        verdicts = [
            {**one, "evidence": {"n": number * 9 + at}} for at, one in enumerate(LONG)
        ]
        body, _ = decision(number, note="plain", verdicts=verdicts)
        read += reader.read(body, columns(body)).facts is None
    assert read > 100
    for number in range(2_000):
        reader.read(canonical({f"name-{number}": 1, "id": "x", "kind": "k"}), None)
    assert len(reader._forms) <= gov_verify.FORMS
    assert reader._credit <= 0


@pytest.mark.parametrize(
    "facts",
    [
        {"context": None},
        {"context": "x"},
        {"flags": None},
        {"flags": {}},
        {"flags": [{"kind": "mode", "variant": 1}]},
        {"note": "\\"},
        {"lastCheckpoint": None},
        {"unencodable": "x"},
        {"kind": "gap"},
        {"kind": None},
        {"long": "x" * gov_verify.LONGEST},
    ],
)
def test_what_others_cannot_be_known_by_is_parsed(facts: dict[str, Any]) -> None:
    """What is not of its usual type, or what the verification may go by."""
    reader = Reader(deep=False)
    body, _ = decision(1, **{"note": "plain", **facts})
    for _ in range(3):
        assert reader.read(body, None).facts is not None


# ---- Several processes


def long_log() -> Log:
    """Return a log of sixty decisions."""
    return Log(60, every=9)


def told(log: Log) -> None:
    log.rotate(Signer())
    log.seal()
    log.erase("d-30")
    log.rows[29] = (log.rows[29][0], None)
    log.add(*event(63, "gap", lost=3))
    for number in range(70, 90):
        log.add(*decision(number))
    log.seal()


def forged(log: Log) -> None:
    log.erase("d-3", by=Signer())
    log.add(*event(62, "tamper", finding="edited"))
    log.seal()


def set_back(log: Log) -> None:
    for number in (5, 14, 21):
        late = 1_700_000_000_000_000 - number * 100_000_000
        log.rows[number] = (
            canonical({**json.loads(log.rows[number][0]), "atUs": late}),
            log.rows[number][1],
        )
    log.notes.clear()
    log.seal()


def sql(*statements: str) -> Callable[[Path], None]:
    """Return what does *statements* to a record file, and leaves its triggers."""

    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            for name in ("records_no_update", "records_no_delete"):
                connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                connection.execute(statement)
            for trigger in schema.TRIGGERS:
                if " records_no_" in trigger:
                    connection.execute(trigger)
            connection.commit()

    return change


WRITTEN: dict[str, Callable[[Log], object]] = {
    "as it was": lambda _: None,
    "keys and erasures": told,
    "forged": forged,
    "clocks set back": set_back,
}
CHANGED = {
    "a body": sql("UPDATE records SET body = x'7b7d' WHERE seq = 30"),
    "a column": sql("UPDATE records SET agent = 'x' WHERE seq = 30"),
    "a personal part": sql("UPDATE records SET personal = x'00' WHERE seq = 30"),
    "no personal part": sql("UPDATE records SET personal = NULL WHERE seq IN (3, 30)"),
    "a hole": sql("DELETE FROM records WHERE seq = 30"),
    "a hole at a border": sql("DELETE FROM records WHERE seq BETWEEN 8 AND 14"),
    "the tail": sql("DELETE FROM records WHERE seq > 50"),
    "all": sql("DELETE FROM records"),
    "far away": sql("UPDATE records SET seq = 1 << 60 WHERE seq = 60"),
    "before the first": sql("UPDATE records SET seq = -1 WHERE seq = 1"),
    "a trigger": sql("CREATE TRIGGER x AFTER INSERT ON records BEGIN SELECT 1; END"),
}


def twice(seq: int) -> Callable[[Path], None]:
    """Return what adds a row *seq* once more, where no key forbids it any longer."""

    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            (made,) = connection.execute(
                "SELECT sql FROM sqlite_schema WHERE name = 'records'"
            ).fetchone()
            bare = made.replace("PRIMARY KEY", "").replace("UNIQUE", "")
            names = ", ".join(
                one for _, one, *_ in connection.execute("PRAGMA table_info(records)")
            )
            others, only = names.replace("body", "x'00'"), f" WHERE seq = {seq}"
            for statement in (
                "ALTER TABLE records RENAME TO former",
                bare,
                f"INSERT INTO records ({names}) SELECT {names} FROM former",
                f"INSERT INTO records ({names}) SELECT {others} FROM former{only}",
                "DROP TABLE former",
            ):
                connection.execute(statement)
            connection.commit()

    return change


UNIQUE = {
    "twice at a border": twice(7),
    "twice at a later border": twice(49),
    "twice within": twice(30),
    "twice at the end": twice(60),
    "twice after all portions": twice(56),
}
CHANGED |= UNIQUE | {
    "too large": sql("UPDATE records SET body = zeroblob(3000000) WHERE seq = 30"),
    "after another, too large": sql(
        "UPDATE records SET agent = 'x' WHERE seq = 28",
        "UPDATE records SET body = zeroblob(3000000) WHERE seq = 30",
    ),
    "no text": sql(
        "UPDATE records SET agent = 'x' WHERE seq = 28",
        "UPDATE records SET agent = CAST(x'ff' AS TEXT) WHERE seq = 30",
    ),
}
BESIDE = ("a column", "no text", "a personal part", "no personal part", "a trigger")
"""What hashes and signatures alone do not show."""


@pytest.mark.parametrize("kind", [*WRITTEN, *CHANGED])
def test_several_processes_find_what_one_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """To the letter, in all that is looked at."""
    monkeypatch.setattr(gov_verify, "PORTION", 7)
    monkeypatch.setattr(gov_verify, "MANY", 1)
    log = long_log()
    first = log.signer.vkey
    WRITTEN.get(kind, WRITTEN["as it was"])(log)
    path = log.database(tmp_path / "records.db")
    if kind in CHANGED:
        CHANGED[kind](path)
    files, notes = gov_verify.files([path]), [log.notes[-1][2]]
    whole = kind in ("as it was", "keys and erasures", "clocks set back")
    for quick in (False, True):
        one, many = (
            asdict(gov_verify.verify(files, [first], notes, jobs=jobs, quick=quick)[0])
            for jobs in (1, 2)
        )
        assert one == many
        assert one["verified"] == (whole or (quick and kind in BESIDE)), one["findings"]


@pytest.mark.parametrize("kind", UNIQUE)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_row_that_was_added_is_seen_by_its_number_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, jobs: int
) -> None:
    """At the border of a portion, too, and where records are looked at one by one."""
    monkeypatch.setattr(gov_verify, "PORTION", 7)
    monkeypatch.setattr(gov_verify, "MANY", 1)
    for write in (WRITTEN["as it was"], set_back):
        log = long_log()
        write(log)
        path = log.database(tmp_path / f"{write.__name__[0]}.db")
        UNIQUE[kind](path)
        files, notes = gov_verify.files([path]), [log.notes[-1][2]]
        (report,) = gov_verify.verify(
            files, [log.signer.vkey], notes, jobs=jobs, quick=True
        )
        assert "sequence" in [one.code for one in report.findings]


@pytest.mark.parametrize(
    ("kind", "quick", "found"),
    [
        ("too large", True, ["unreadable"]),
        ("too large", False, ["unreadable"]),
        ("after another, too large", False, ["columns", "unreadable"]),
        ("no text", False, ["columns", "unreadable"]),
    ],
)
def test_what_cannot_be_read_hides_nothing_before_it(
    tmp_path: Path, kind: str, found: list[str], *, quick: bool
) -> None:
    """The finding names the record, and those before it were looked at."""
    log = long_log()
    path = log.database(tmp_path / "records.db")
    CHANGED[kind](path)
    files, notes = gov_verify.files([path]), [log.notes[-1][2]]
    (report,) = gov_verify.verify(files, [log.signer.vkey], notes, quick=quick)
    assert [one.code for one in report.findings] == found
    # Python's sqlite3 may be one row ahead.
    assert report.findings[-1].first_seq in (29, 30)
    assert report.checkpoints == 3


SAFE = [["-P"], ["-I"], ["-E", "-P"], ["-s", "-P"]]


@pytest.mark.parametrize("options", [[], *SAFE])
def test_others_run_as_safely_as_this_one(tmp_path: Path, options: list[str]) -> None:
    """What lies beside the verifier is left alone in every process, if in one."""
    log = long_log()
    path, note = log.database(tmp_path / "records.db"), tmp_path / "note"
    note.write_text(log.notes[-1][2])
    text = Path(gov_verify.__file__).read_text()
    small = re.sub(r"PORTION, MANY = .*", "PORTION, MANY = 7, 1", text)
    assert small != text
    program, ran = tmp_path / "gov_verify.py", tmp_path / "ran"
    program.write_text(small)
    beside = tmp_path / "zipfile.py"
    beside.write_text(f"open({str(ran)!r}, 'w').close()\nclass ZipFile: pass\n")
    asked = [str(path), "--key", log.signer.vkey, "--checkpoint", str(note)]
    command = [sys.executable, *options, str(program), *asked, "--jobs", "2"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("VERIFIED")
    assert ran.exists() == (not options)


def looked_at_here(path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Verify *path* by two processes; return which portions this one looked at."""
    here: list[int] = []
    batch = gov_verify.batch

    def looked_at(first: int, rows: Any, reader: Reader | None) -> Any:
        here.append(first)
        return batch(first, rows, reader)

    monkeypatch.setattr(gov_verify, "PORTION", 7)
    monkeypatch.setattr(gov_verify, "MANY", 1)
    monkeypatch.setattr(gov_verify, "batch", looked_at)
    files, notes = gov_verify.files([path]), [log.notes[-1][2]]
    (report,) = gov_verify.verify(files, [log.signer.vkey], notes, jobs=2)
    assert report.findings == []
    return here


def test_others_do_the_work_and_nothing_rests_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no whole portion is left to one; so is all, where the others fail."""
    log = long_log()
    path = log.database(tmp_path / "records.db")
    assert looked_at_here(path, log, monkeypatch) == [57, 61]
    monkeypatch.undo()
    monkeypatch.setattr(gov_verify, "HELP", "--no-such")
    assert looked_at_here(path, log, monkeypatch)[0] == 1
    for program in ("/no/such", None):
        monkeypatch.undo()
        monkeypatch.setattr(sys, "executable", program)
        assert looked_at_here(path, log, monkeypatch)[0] == 1


def test_only_others_may_end_with_the_file(tmp_path: Path) -> None:
    """A disk that fails, or a file made shorter, ends only who reads it mapped."""
    path = long_log().database(tmp_path / "records.db")
    with closing(gov_verify.Database(path)) as database:
        assert database._one("PRAGMA mmap_size") == 0
    read = (
        "import os; from pathlib import Path;"
        "from openfeature_gov.evidence.standalone.gov_verify import Database;"
        f"path = {str(path)!r}; file = Database(Path(path), mapped=True);"
        "next(file.rows(0, 1, quick=False)); os.truncate(path, 4096);"
        "print([*file.rows(0, 100, quick=False)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", read], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGBUS


def test_a_small_log_is_left_to_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process would cost more than it spares."""
    log = Log(3)
    path = log.database(tmp_path / "records.db")
    monkeypatch.setattr(gov_verify, "Helper", None)
    files, notes = gov_verify.files([path]), [log.notes[-1][2]]
    (report,) = gov_verify.verify(files, [log.signer.vkey], notes, jobs=9)
    assert report.verified


def test_what_is_erased_meanwhile_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others read a file that is newer: what it lacks is looked at in one state."""
    monkeypatch.setattr(gov_verify, "PORTION", 7)
    monkeypatch.setattr(gov_verify, "MANY", 1)
    log = long_log()
    path = log.database(tmp_path / "records.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")

    def opened() -> gov_verify.Database:
        database = gov_verify.Database(path)
        CHANGED["no personal part"](path)
        return database

    notes = [log.notes[-1][2]]
    first = [gov_verify.Database(path), opened()]
    (report,) = gov_verify.verify(
        {"log": lambda: first.pop(0)}, [log.signer.vkey], notes, jobs=2
    )
    assert report.findings == []

"""Queries: each filter finds what a reader of every record would have picked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import Stamp, note_record
from openfeature_gov.stores import history
from openfeature_gov.stores.logs import Rows, Values, opened
from openfeature_gov.stores.queries import CHOICES, Filter, page, query, related
from openfeature_gov.stores.sqlite import SqliteStore
from tests.full import share
from tests.worked import AMOUNTS, as_version_1, log, old

__all__ = ["log", "old"]

Facts = dict[str, Any]


def _mode(one: Facts) -> str | None:
    found = [flag["variant"] for flag in one.get("flags", ()) if flag["kind"] == "mode"]
    return found[0] if found else None


def _of_decision(name: str) -> Callable[[Facts], Any]:
    return lambda one: one.get(name) if one["kind"] == "decision" else None


def _reason(one: Facts) -> Any:
    return {"decision": one.get("reason"), "outcome": one.get("status")}.get(
        one["kind"]
    )


READ: dict[str, Callable[[Facts], Any]] = {
    "kind": lambda one: one["kind"],
    "writer": lambda one: one["writer"],
    "agent": lambda one: (one.get("context") or {}).get("agent"),
    "task": lambda one: (one.get("context") or {}).get("task"),
    "tool": _of_decision("tool"),
    "target": lambda one: one.get("targetSystem") or None,
    "effect": _of_decision("effect"),
    "reason": _reason,
    "reviewer": lambda one: one.get("reviewer"),
    "variant": _mode,
}


def picked_by(one: Facts, wanted: Filter) -> bool:
    """Say whether *wanted* describes the record *one*."""
    served = {(flag["key"], flag["variant"]) for flag in one.get("flags", ())}
    amount = one.get("amount")
    low, high = wanted.amount_from, wanted.amount_to
    return (
        all(
            not getattr(wanted, name) or READ[name](one) in getattr(wanted, name)
            for name in CHOICES
        )
        and served.issuperset(wanted.flags)
        and (wanted.from_us is None or one["atUs"] >= wanted.from_us)
        and (wanted.to_us is None or one["atUs"] < wanted.to_us)
        and (low is None or (amount is not None and Decimal(amount) >= low))
        and (high is None or (amount is not None and Decimal(amount) <= high))
    )


def every(path: Path | str, wanted: Filter, **options: Any) -> list[Facts]:
    """Return all that *wanted* describes, page by page."""
    found: list[Facts] = []
    cursor = None
    while True:
        some = query(path, wanted, after=cursor, **options)
        found += some.records
        cursor = some.cursor
        if cursor is None:
            return found


def filters(log: Path) -> st.SearchStrategy[Filter]:
    """Return filters of any kind for what *log* holds."""
    known = history.records(log)
    times = st.none() | st.sampled_from(sorted({one["atUs"] for one in known}))
    amounts = st.none() | st.sampled_from([*AMOUNTS, "0", "1000"]).map(Decimal)
    flags = sorted(
        {
            (flag["key"], flag["variant"])
            for one in known
            for flag in one.get("flags", ())
        }
    )
    parts: dict[str, st.SearchStrategy[Any]] = {
        name: st.lists(
            st.sampled_from(sorted({*map(READ[name], known)} - {None}) or ["nobody"]),
            max_size=2,
        ).map(tuple)
        for name in CHOICES
    }
    parts |= {
        "flags": st.lists(st.sampled_from(flags), max_size=1).map(tuple),
        "from_us": times,
        "to_us": times,
        "amount_from": amounts,
        "amount_to": amounts,
    }
    # A few at a time: with all of them hardly anything would ever be found.
    names = st.lists(st.sampled_from(sorted(parts)), max_size=3, unique=True)
    chosen = names.flatmap(
        lambda some: st.fixed_dictionaries({name: parts[name] for name in some})
    )
    return chosen.map(lambda values: Filter(**values))


def test_any_filter_finds_what_a_reader_would_pick(log: Path, old: Path) -> None:
    """In both versions of the schema, alone and combined, in pages of any size."""

    @settings(max_examples=share(250, of=5))
    @given(filters(log), st.integers(1, 30), st.booleans())
    def agree(wanted: Filter, limit: int, newest: bool) -> None:
        picked = [one for one in history.records(log) if picked_by(one, wanted)]
        ids = [one["id"] for one in (picked[::-1] if newest else picked)]
        for path in (log, old):
            found = every(path, wanted, newest_first=newest, limit=limit)
            assert [one["id"] for one in found] == ids

    agree()


@pytest.mark.parametrize("name", [one for one in CHOICES if one != "reviewer"])
def test_each_filter_alone_finds_something_and_not_everything(
    log: Path, old: Path, name: str
) -> None:
    """So that the comparison above does not only compare nothing with nothing."""
    known = history.records(log)
    values = sorted({*map(READ[name], known)} - {None})
    for value in values:
        chosen: dict[str, Any] = {name: (value,)}
        wanted = Filter(**chosen)
        picked = [one["id"] for one in known if READ[name](one) == value]
        assert picked
        assert len(picked) < len(known) or name == "writer"
        for path in (log, old):
            assert [one["id"] for one in every(path, wanted)] == picked


def test_a_flag_and_its_variant_are_found(log: Path, old: Path) -> None:
    """Any flag, not only the mode; several must all have been served."""
    served = (("gov.approval", "true"), ("gov.mode", "autonomous"))
    for path in (log, old):
        found = query(path, Filter(flags=served)).records
        assert {one["context"]["task"] for one in found} == {"task-5"}
        assert query(path, Filter(flags=(("gov.mode", "no"),))).records == []


def test_a_reviewer_is_found(tmp_path: Path) -> None:
    """By the name that the record of an answer carries."""
    path = tmp_path / "records.db"
    with closing(SqliteStore(path)) as store:
        for who in ("ana", "bo"):
            stamp = Stamp(f"answer-{who}", 1, store.writer)
            record = note_record(stamp, "approval", reviewer=who)
            if hasattr(record, "reviewer"):
                record = record._replace(reviewer=who)
            store.commit(record)
    for one in (path, as_version_1(path, tmp_path / "old.db")):
        found = query(one, Filter(reviewer=("ana",))).records
        assert [one["id"] for one in found] == ["answer-ana"]


def test_amounts_are_compared_exactly(log: Path, old: Path) -> None:
    """Not as binary fractions: a hair above 0.1 is above it."""
    above = Decimal("0.1000000000000000001")
    for path in (log, old):
        found = query(path, Filter(amount_from=above, amount_to=Decimal(1)))
        assert found.records == []
        at = query(path, Filter(amount_to=Decimal("0.1"))).records
        assert sorted(one["amount"] for one in at) == ["0.1", "0.10"]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Filter(tool=("find",)), "COVERING INDEX records_decided"),
        (Filter(amount_from=Decimal(1)), "COVERING INDEX records_decided"),
        (Filter(agent=("bot-a",), effect=("deny",)), "COVERING INDEX records_decided"),
        (Filter(reason=("failed",)), "COVERING INDEX records_ref"),
        (Filter(from_us=1), "COVERING INDEX records_at"),
        (Filter(kind=("gap",)), "INDEX records_log"),
        (Filter(reviewer=("ana",)), "INDEX records_reviewer"),
        (Filter(task=("task-1",)), "INDEX records_task"),
    ],
)
def test_rare_values_are_found_by_an_index(
    log: Path, wanted: Filter, index: str
) -> None:
    """And not by reading the whole log."""
    plans: list[str] = []
    with opened(log) as given:

        def spied(query: str, values: Values) -> Rows:
            plan = given.rows(f"EXPLAIN QUERY PLAN {query}", values)
            plans.extend(row[3] for row in plan)
            return given.rows(query, values)

        page(replace(given, rows=spied), wanted, limit=5)
    assert any(index in one for one in plans)
    assert not {"SCAN records", "SCAN r"}.intersection(plans)


def test_a_cursor_goes_on_with_what_was_appended_meanwhile(tmp_path: Path) -> None:
    """Pages end, and asking again after the last record gives only the new."""
    path = tmp_path / "records.db"
    with closing(SqliteStore(path)) as store:
        first = query(path, limit=5)
        assert first.cursor is None
        store.flush()
        then = query(path, after=first.last)
        assert [one["kind"] for one in then.records] == ["mark"]
        assert query(path, after=then.last) == ([], None, then.last)


def test_a_record_comes_with_its_relatives(log: Path) -> None:
    """An outcome's id leads to the decision, a decision's to its outcome."""
    outcome = query(log, Filter(kind=("outcome",)), limit=1).records[0]
    for identity in (outcome["id"], outcome["ref"]):
        kinds = [one["kind"] for one in related(log, identity)]
        assert kinds == ["decision", "outcome"]
    assert related(log, "nobody") == []


def test_what_is_no_log_is_said(tmp_path: Path, log: Path) -> None:
    """A missing file, a foreign file, and a body that is no JSON object."""
    foreign = tmp_path / "foreign"
    foreign.write_text("no database")
    for path in (tmp_path / "none.db", foreign):
        with pytest.raises(RecordStoreError, match=path.name):
            query(path)
    for place, body in enumerate((b"[1]", b"{", b"\xff")):
        broken = as_version_1(log, tmp_path / f"{place}.db")
        with closing(sqlite3.connect(broken)) as connection:
            change = "UPDATE records SET body = ? WHERE kind = 'decision'"
            connection.execute(change, (body,))
            connection.commit()
        with pytest.raises(RecordStoreError, match=str(place)):
            query(broken)
    with pytest.raises(RecordStoreError, match=broken.name):
        query(broken, Filter(target=("crm",)))

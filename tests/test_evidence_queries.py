"""Flat rows: stable columns, stable types, nothing nested, nothing that runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openfeature_gov.evidence.queries import (
    COLUMNS,
    NAMES,
    flat,
    line,
    write_csv,
    write_lines,
)
from openfeature_gov.stores import history
from tests.worked import worked

PYTHON = {"int64": int, "bool": bool, "string": str, "decimal": str}
PROMISED = """
seq:int64 id schema kind at_us:int64 writer ref request user account environment
workflow owner contract_revision agent agent_instance agent_version service delegation
session task parent_task trigger tool target_system target_record intent summary
risk_class reversibility amount:decimal currency records:int64 authorization effect
mode need reason executes:bool mode_flag mode_variant mode_version flags_age_ms:int64
reviewer status ran error latency_us:int64 cost:decimal undo hand_over incident
arguments_digest action_digest model prompt_digest erased:bool scopes
confidence:decimal template input_digest payload output shadow_mode shadow_effect
"""
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "key", "mode", "agent"]), inner)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the records that two agents left."""
    return history.records(worked(tmp_path_factory.mktemp("worked")))


def test_columns_are_a_promise() -> None:
    """These names, in this order; new ones are added at the end."""
    shown = [f"{one.name}:{one.kind}".removesuffix(":string") for one in COLUMNS]
    assert shown == PROMISED.split()


def test_rows_hold_what_the_records_say(found: list[dict[str, Any]]) -> None:
    """Who, for whom, what, under which flag, how it ended; absent is null."""
    decisions = [one for one in found if one["kind"] == "decision"]
    refund = next(one for one in decisions if one.get("amount") == "99.99")
    row = flat(refund)
    expected = {
        "agent": "bot-a",
        "user": "user-of-bot-a",
        "account": "acme",
        "session": "s-1",
        "delegation": "planner",
        "trigger": "ticket-7",
        "parent_task": "plan-1",
        "tool": "refund",
        "target_system": "ledger",
        "amount": "99.99",
        "mode_flag": "gov.mode",
        "mode_variant": "autonomous",
        "executes": True,
        "owner": "team",
        "ref": None,
        "status": None,
        "currency": None,
    }
    assert {name: row[name] for name in expected} == expected
    outcome = next(one for one in found if one.get("error") == "KeyError")
    row = flat(outcome)
    assert (row["status"], row["error"], row["ref"]) == (
        "failed",
        "KeyError",
        outcome["ref"],
    )


def test_every_value_has_the_type_of_its_column(found: list[dict[str, Any]]) -> None:
    """In every record of a log."""
    for one in found:
        row = flat(one)
        assert tuple(row) == NAMES
        for column in COLUMNS:
            value = row[column.name]
            assert value is None or type(value) is PYTHON[column.kind]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["flags", "context", *NAMES, "atUs"]), ODD))
def test_odd_records_are_rows_too(record: dict[str, Any]) -> None:
    """Whatever stands in a body, types hold, and both forms can be read back."""
    row = flat(record)
    for column in COLUMNS:
        value = row[column.name]
        assert value is None or type(value) is PYTHON[column.kind]
    lines, table = io.StringIO(), io.StringIO()
    write_lines([row], lines)
    assert json.loads(lines.getvalue()) == row
    assert lines.getvalue().isascii()
    write_csv([row], table)
    (back,) = csv.DictReader(io.StringIO(table.getvalue()))
    assert back["at_us"] == ("" if row["at_us"] is None else str(row["at_us"]))
    assert tuple(back) == NAMES
    assert all(part.isprintable() for part in table.getvalue().split("\r\n"))


def test_csv_holds_the_same_rows(found: list[dict[str, Any]]) -> None:
    """Empty for null, true and false for booleans, one line a record."""
    rows = [flat(one) for one in found]
    out = io.StringIO()
    write_csv(rows, out)
    back = list(csv.DictReader(io.StringIO(out.getvalue())))
    words = {None: "", True: "true", False: "false"}
    for row, read in zip(rows, back, strict=True):
        assert read == {
            name: words[value] if value is None or type(value) is bool else str(value)
            for name, value in row.items()
        }


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    """A tool's name must not run in the auditor's spreadsheet."""
    out = io.StringIO()
    write_csv([flat({"tool": text, "amount": "-5.00"})], out)
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    assert row["tool"][0] in "'\\"
    assert row["amount"] == "-5.00"


def test_a_line_of_json_moves_no_terminal() -> None:
    """Everything that is not printable ASCII is escaped."""
    assert line({"a": "\x1b\x7f\u202e\n"}) == '{"a":"\\u001b\\u007f\\u202e\\n"}'


def test_the_log_is_there_to_read(tmp_path: Path) -> None:
    """An empty result is a header and nothing else."""
    out = io.StringIO()
    write_csv([], out)
    assert out.getvalue() == ",".join(NAMES) + "\r\n"

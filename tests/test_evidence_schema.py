"""The schema of records: it says what is written, all of it, and keeps its promise."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from examples import retail_support as retail
from openfeature.contrib.provider.featbit.management import ManagementClient
from openfeature_gov.demo.recorded import CALLS, SHOP, read_calls, read_store
from openfeature_gov.demo.session import opened
from openfeature_gov.evidence import records
from openfeature_gov.evidence.erasure import Subject, erase
from openfeature_gov.evidence.policy_changes import PolicyChanges
from openfeature_gov.stores import history
from openfeature_gov.stores.sqlite import SqliteStore
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.conftest import Make, flag_document
from tests.properties.test_approvals import DEADLINE
from tests.properties.test_approvals import request as asked
from tests.test_approvals_queue import BOB, stored
from tests.test_evidence_records import lived
from tests.test_policy_changes import KEY, WHY, flag_of, serving

SCHEMA = json.loads(
    Path(records.__file__).with_name("record-schema-2.json").read_text("utf-8")
)
GOLDEN = Path(__file__).parent / "data" / "records-2.jsonl"
"""Bodies and personal parts as the first release with this schema wrote them."""
OPEN = {"head", "note"}
"""What every kind contains, and what may hold facts of any name."""


def closed(part: Any, name: str = "") -> Any:
    """Return a schema under which a key that it does not describe is an error."""
    if isinstance(part, list):
        return [closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    made = {key: closed(one, key) for key, one in part.items()}
    if {"type", "properties"} <= part.keys() and name not in OPEN:
        made["unevaluatedProperties"] = False
    return made


EXACT = closed(SCHEMA)
BODY = Draft202012Validator(EXACT)
PERSONAL = Draft202012Validator({**EXACT, "allOf": [], "$ref": "#/$defs/personal"})


def told_by_columns(path: Path) -> list[tuple[Any, ...]]:
    """Return the columns of every record, each checked against its body."""
    names = ", ".join(("body", *records.COLUMNS))
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(f"SELECT {names} FROM records").fetchall()
    for body, *columns in found:
        assert tuple(columns) == records.derived(orjson.loads(body))
    return found


def rows(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Yield body and personal part of every record, parsed."""
    with closing(sqlite3.connect(path)) as connection:
        for body, personal in connection.execute("SELECT body, personal FROM records"):
            yield orjson.loads(body), personal and orjson.loads(personal)


APPROVAL = Draft202012Validator(
    {**EXACT, "allOf": [], "$ref": "#/$defs/personalOfAnswer"}
)


def described(path: Path) -> dict[str, int]:
    """Check every record of a log against the schema; count the records by kind."""
    kinds: dict[str, int] = {}
    for body, personal in rows(path):
        BODY.validate(body)
        assert (personal is None) == ("personalDigest" not in body)
        if personal is not None:
            PERSONAL.validate(personal)
        kinds[body["kind"]] = kinds.get(body["kind"], 0) + 1
    return kinds


def test_schema_is_one(tmp_path: Path) -> None:
    """The document is a schema of its own draft, named as the records name it."""
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator.check_schema(EXACT)
    assert SCHEMA["$defs"]["head"]["properties"]["schema"]["const"] == records.SCHEMA
    assert SCHEMA["$id"] == "urn:openfeature-gov:record:2"
    store = SqliteStore(tmp_path / "records.db")
    store.close()
    assert described(store.path) == {"start": 1, "stop": 1}


def test_every_record_of_the_retail_run_is_described(tmp_path: Path) -> None:
    """All that the retail example writes, in every mode and after a kill, fits."""
    calls = read_calls(CALLS)
    with closing(read_store(SHOP)) as pristine:
        live = opened(tmp_path, pristine, mode="off", poll_seconds=retail.POLL_S)
        with live as session:
            for name in retail.SETTINGS:
                retail.run_setting(
                    session, pristine, calls=calls, name=name, advance=lambda: None
                )
            retail.kill_midway(session, pristine, calls=calls, advance=lambda: None)
            path = session.records
    kinds = described(path)
    assert kinds["decision"] == len(calls) * (len(retail.SETTINGS) + 1)
    assert kinds["outcome"] > 0
    assert len(told_by_columns(path)) == sum(kinds.values())


def test_every_field_of_a_full_life_is_described(desk: Make) -> None:
    """Reports, refusals, kills and erasures fit too; no key goes undescribed."""
    path = lived(desk)
    store = SqliteStore(path)
    erase(store, Subject("user", "user-1"), actor="ops", reason="request 12")
    store.commit(records.note_record(store.stamp(), "decision", odd=object()))
    store.close()
    kinds = described_but_erased(path)
    assert kinds >= {"decision", "outcome", "policy_change", "erasure", "start", "stop"}


def described_but_erased(path: Path) -> set[str]:
    bodies = [body for body, _ in rows(path)]
    for body in bodies:
        BODY.validate(body)
    assert [body["kind"] for body in bodies if "unencodable" in body] == ["decision"]
    return {body["kind"] for body in bodies}


def test_changes_in_featbit_are_described(tmp_path: Path) -> None:
    """What FeatBit's audit log tells of a change fits as well."""
    with SimulatedFeatBit(flag_document()) as server:
        client = ManagementClient(server.api_url, server.access_token)
        flag = flag_of(client, server.env_id, KEY)
        client.set_targeting(server.env_id, serving(flag, "observe"), reason=WHY)
        store = SqliteStore(tmp_path / "records.db")
        past = partial(history.records, store.path)
        poller = PolicyChanges(client, server.env_id, store, past)
        poller.poll(time.time_ns() // 1_000_000)
        store.close()
    assert described(store.path)["policy_change"] == 1


def test_what_is_said_of_an_approval_is_described(tmp_path: Path) -> None:
    """Every step, with and without a reviewer, and one that was denied."""
    with stored(tmp_path / "records.db") as desk:
        whom = {"user": "user-9", "account": "acme-7"}
        desk.put(replace(asked(), facts=whom, binding="b" * 64))
        desk.queue.approve("r", BOB, seen="something else")
        desk.queue.approve("r", BOB, seen="b" * 64, reason="user-9 called me")
        desk.put(replace(asked(), id="s", binding="c" * 64))
        desk.now = DEADLINE
        list(desk.queue.tick())
    told = [
        one for one in rows(tmp_path / "records.db") if one[0]["kind"] == "approval"
    ]
    assert len(told) == 4
    for body, personal in told:
        BODY.validate(body)
        APPROVAL.validate(personal)
    facts = told[0][0]
    published = Draft202012Validator(SCHEMA)
    assert published.is_valid(facts)
    later = {"holder", "tightened", "questions", "calls"}
    assert later < facts.keys()
    for key in facts.keys() - {"approval"} - later:
        less = {name: value for name, value in facts.items() if name != key}
        assert not published.is_valid(less), key


def golden() -> list[dict[str, Any]]:
    return [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]


def test_what_the_first_release_wrote_stays_valid() -> None:
    """The promise of the version: records of its beginning fit to its end."""
    kinds = set()
    for one in golden():
        Draft202012Validator(SCHEMA).validate(one["body"])
        BODY.validate(one["body"])
        if one["personal"] is not None:
            PERSONAL.validate(one["personal"])
        kinds.add(one["body"]["kind"])
    assert kinds == {"start", "decision", "outcome", "policy_change", "erasure", "stop"}


def test_readers_may_meet_keys_and_kinds_that_they_do_not_know() -> None:
    """The schema as published lets additions pass; the promise allows them."""
    (decision,) = [one["body"] for one in golden()[1:2]]
    published = Draft202012Validator(SCHEMA)
    published.validate({**decision, "later": 1})
    published.validate({**decision, "kind": "approval", "ref": None})
    assert not BODY.is_valid({**decision, "later": 1})


@pytest.mark.parametrize(
    "broken",
    [
        {"schema": "gov.record/1"},
        {"atUs": 1.5},
        {"effect": "permit"},
        {"mode": "root"},
        {"verdicts": None},
        {"flags": [{"key": "x"}]},
        {"personalDigest": "none"},
        {"amount": 12.5},
        {"riskClass": "low"},
        {"context": {}},
        {"detail": "both"},
        {"latencyUs": -1},
    ],
)
def test_schema_refuses_what_is_no_record(broken: dict[str, Any]) -> None:
    """A decision with any of these is none, also for readers that know less."""
    published = Draft202012Validator(SCHEMA)
    body = golden()[1]["body"]
    assert body["kind"] == "decision"
    assert published.is_valid(body)
    assert not published.is_valid({**body, **broken})


def test_every_required_key_is_missed() -> None:
    """Take any key that is promised from a decision or an outcome: it shows."""
    published = Draft202012Validator(SCHEMA)
    for one in golden():
        body = one["body"]
        if body["kind"] not in ("decision", "outcome") or "detail" in body:
            continue
        for key in body:
            less = {name: value for name, value in body.items() if name != key}
            assert not published.is_valid(less), key

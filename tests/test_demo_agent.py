"""The demo: its contracts, its governed agent, its flags, and the command itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit import authoring
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Actor, CallContext, Effect, Mode, ToolCall, governance
from openfeature_gov.decisions import ceiling_of, need_of
from openfeature_gov.demo import agent, flags
from openfeature_gov.demo.acts import ACTS, CALM, calls_of, spread
from openfeature_gov.demo.orders import TOOLS, OrderStore
from openfeature_gov.demo.performance import Called, improvise
from openfeature_gov.demo.recorded import (
    CALLS,
    GOVERNANCE,
    SHOP,
    RecordedCall,
    by_task,
    read_calls,
    read_store,
)
from openfeature_gov.demo.session import Edit, Session, edit, opened
from openfeature_gov.stores import history, queries
from tests.tree import PATH

CONTRACTS = governance.parse(GOVERNANCE.read_text("utf-8"), str(GOVERNANCE))
SCENARIO = read_calls(CALLS)
RELEASED = {flags.MODE: "autonomous", flags.APPROVAL: "false"}
AUTOMATIC = {"modify_user_address", agent.HAND_OVER}


@pytest.fixture
def shop() -> Iterator[OrderStore]:
    """Lend the packaged shop."""
    with closing(read_store(SHOP)) as store:
        yield store


@pytest.fixture
def session(tmp_path: Path, shop: OrderStore) -> Iterator[Session]:
    """Lend a running agent in draft_write that follows its flag file closely."""
    with opened(tmp_path / "demo", shop, poll_seconds=0.02) as running:
        yield running


def flag_file(session: Session) -> Path:
    """Return the file that *session* follows."""
    return session.folder / "flags.json"


def calls_to(tool: str) -> list[RecordedCall]:
    """Return the scenario's calls to *tool* that no attacker made."""
    return [call for call in SCENARIO if call.tool == tool and call.task != "6"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``gov demo`` as a user would, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "openfeature_gov.cli", "demo", *arguments],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": PATH, "COLUMNS": "100"},
        timeout=60,
    )


def test_contracts_and_tools_agree() -> None:
    """Every tool of the shop has a contract, and no contract names anything else."""
    assert set(CONTRACTS.contracts) == set(TOOLS)


def test_needs_follow_from_what_can_be_undone() -> None:
    """Only look-ups and what is undone automatically run below approval_required."""
    for rules in CONTRACTS:
        need = need_of(rules.risk_class, rules.floor)
        writes = rules.tool in agent.WRITES - AUTOMATIC
        assert (need is Mode.AUTONOMOUS) == writes
        assert (need is Mode.DRAFT_WRITE) == (rules.tool in AUTOMATIC)


def test_only_a_refund_is_held_back_at_autonomous() -> None:
    """Contracts opt in to autonomy by name; the refund's does not."""
    held = {
        rules.tool
        for rules in CONTRACTS
        if ceiling_of(rules.risk_class, rules.floor, rules.autonomy_for)
        < Mode.AUTONOMOUS
    }
    assert held == {"refund_order"}


def test_contracts_record_no_personal_data() -> None:
    """Recorded arguments are ids of orders, items and products, and a closed reason."""
    fields = {field for rules in CONTRACTS for field in rules.evidence.record_fields}
    ids = {"order_id", "item_ids", "new_item_ids", "product_id", "item_id"}
    assert fields == ids | {"reason"}
    assert "reason" not in CONTRACTS.contracts["refund_order"].evidence.record_fields


@pytest.mark.parametrize("tool", sorted(agent.MONEY))
def test_no_flag_gives_what_the_credential_lacks(session: Session, tool: str) -> None:
    """At autonomous a money tool is denied to any actor short of one scope."""
    edit(session, RELEASED)
    call, whole = calls_to(tool)[0], agent.support_context("1").actor
    demanded = CONTRACTS.contracts[tool].hard_boundary.demanded
    assert any(scope.startswith("payments:") for scope in demanded)
    lesser = [("service", whole.scopes)]
    lesser += [("support-agent-service", whole.scopes - {s}) for s in demanded]
    lesser.append(("support-agent-service", whole.scopes | {"payments:payout"}))
    for service, scopes in lesser:
        actor = Actor(agent="a", service=service, scopes=scopes)
        context = CallContext(actor=actor)
        outcome = session.governor.run(ToolCall(tool, call.arguments, context))
        assert outcome.effect is Effect.DENY


@pytest.mark.parametrize("key", CALM)
def test_a_flag_that_is_off_or_gone_never_lets_a_write_run(
    session: Session, key: str
) -> None:
    """Losing any one of the five flags leaves nothing that needs autonomy."""
    edit(session, RELEASED)
    whole = json.loads(flag_file(session).read_bytes())
    entries = whole["data"]["featureFlags"]
    left = [entry for entry in entries if entry["key"] != key]
    gone = {**whole, "data": {**whole["data"], "featureFlags": left}}
    off = authoring.turn_off(whole, key, at="2030-01-01T00:00:00Z")
    before = session.store.fingerprint()
    for document in (off, gone):
        revision = write_document(flag_file(session), document)
        while _revision(session) != revision:
            pass
        context = agent.support_context("1")
        for tool in agent.MONEY:
            call = ToolCall(tool, calls_to(tool)[0].arguments, context)
            assert session.governor.run(call).effect is not Effect.ALLOW
    assert session.store.fingerprint() == before


def _revision(session: Session) -> Any:
    """Return the revision of the flags that a recorded decision was made under."""
    call = ToolCall("calculate", {"expression": "1"}, agent.support_context("r"))
    record = session.governor.decide(call).record_id
    session.governor.records.flush()  # type: ignore[attr-defined]
    return queries.related(session.records, record)[0]["flagSource"]["revision"]


def test_a_large_amount_waits_even_when_approval_is_waived(session: Session) -> None:
    """The approval flag's rule reads the amount that the shop itself derived."""
    edit(session, RELEASED)
    orders = {
        row: session.store.amount_of("cancel_pending_order", _cancel(row))
        for row in ("#S1004", "#S1003")
    }
    assert any((amount or 0) > 1000 for amount in orders.values())
    assert any((amount or 0) <= 1000 for amount in orders.values())
    for order, amount in orders.items():
        assert amount is not None
        call = ToolCall(
            "cancel_pending_order", _cancel(order), agent.support_context("1")
        )
        waits = session.governor.plan(call).effect is Effect.QUEUE_FOR_APPROVAL
        assert waits == (amount > 1000)


def _cancel(order: str) -> dict[str, str]:
    return {"order_id": order, "reason": "no longer needed"}


def test_a_refusal_of_the_shop_is_recorded_as_failed(session: Session) -> None:
    """What a tool raises is yielded as a refusal; the log says failed."""
    call = RecordedCall("1", 0, "get_order_details", {"order_id": "#nowhere"})
    (played,) = session.play([call], "x")
    assert played.outcome.effect is Effect.ALLOW
    assert "#nowhere" in played.refusal
    session.governor.records.flush()  # type: ignore[attr-defined]
    decision, outcome = queries.related(session.records, played.outcome.record_id)
    assert decision["effect"] == "allow"
    assert (outcome["status"], outcome["error"]) == ("failed", "OrderError")


def test_a_draft_is_kept_and_changes_nothing(session: Session) -> None:
    """In draft_write every write that cannot be undone becomes exactly its draft."""
    calls = [calls_to(tool)[0] for tool in sorted(agent.WRITES - AUTOMATIC)]
    before = session.store.fingerprint()
    assert {one.outcome.ran for one in session.play(calls, "x")} == {"draft_write"}
    drafts = [(one["tool"], one["arguments"]) for one in session.store.drafts()]
    assert drafts == [(call.tool, call.arguments) for call in calls]
    assert session.store.fingerprint() == before


def test_an_incident_leaves_writes_to_a_person(session: Session) -> None:
    """With the incident flag on, a write is a note, and a hand-over still works."""
    edit(session, {**RELEASED, flags.INCIDENT: "true"})
    calls = [calls_to(tool)[0] for tool in sorted(agent.WRITES)]
    before = session.store.fingerprint()
    assert {one.word for one in session.play(calls, "x")} == {"fell back"}
    (handed,) = session.play(calls_to(agent.HAND_OVER)[:1], "x")
    assert handed.outcome.effect is Effect.ALLOW
    assert len(session.store.handovers()) == len(calls) + 1
    assert session.store.fingerprint() == before


def test_the_store_that_is_asked_is_the_store_that_is_changed(session: Session) -> None:
    """Extractors read the live shop: a cancelled order has nothing left to move."""
    edit(session, RELEASED)
    call = ToolCall(
        "cancel_pending_order", _cancel("#S1004"), agent.support_context("1")
    )
    first = session.governor.run(call).contract
    second = session.governor.plan(call).contract
    assert first is not None
    assert second is not None
    assert (first.amount or 0) > 0
    assert second.amount == 0


def test_an_edit_reaches_a_running_governor(session: Session) -> None:
    """An edit returns when a decision saw it; none is missed, none is invented."""
    for act in ACTS:
        done = edit(session, act.serve)
        assert {one.flag for one in done.changes} == set(act.serve)
        assert (done.seconds or 0) >= 0
        assert edit(session, act.serve) == Edit((), 0.0)


@pytest.mark.parametrize("wanted", [{"support.nothing": "true"}, {flags.MODE: "full"}])
def test_an_impossible_edit_leaves_the_file(
    session: Session, wanted: dict[str, str]
) -> None:
    """An unknown flag or variant is refused, and so is every other part of the edit."""
    before = flag_file(session).read_bytes()
    with pytest.raises(ValueError, match="there are"):
        flags.serve(session.target, {flags.INCIDENT: "true", **wanted})
    assert flag_file(session).read_bytes() == before


def test_the_agent_follows_someone_else_s_edits(
    session: Session, shop: OrderStore
) -> None:
    """Improvising tells an edit that came from outside, and decides under it."""
    events = improvise(session, shop, calls=SCENARIO)
    assert isinstance(next(events), Called)
    edit(session, {flags.GLOBAL: "false"})
    told = next(events)
    assert isinstance(told, Edit)
    assert told.changes == (flags.Change(flags.GLOBAL, "true", "false"),)
    later = [next(events) for _ in range(2 * len(SCENARIO))]
    assert all(one.played.word == "denied" for one in later if isinstance(one, Called))
    events.close()  # type: ignore[attr-defined]


def test_a_session_does_not_overwrite_another(
    session: Session, shop: OrderStore
) -> None:
    """A folder that holds a session is refused, and its files stay as they are."""
    before = flag_file(session).read_bytes()
    with (
        pytest.raises(FileExistsError, match=r"flags\.json"),
        opened(session.folder, shop),
    ):
        pass
    assert flag_file(session).read_bytes() == before


def test_spread_deals_out_every_task() -> None:
    """Any number of tasks fills all acts, in order, and none is left out."""
    for number in range(1, 40):
        calls = [RecordedCall(str(n), 0, "calculate", {}) for n in range(number)]
        acts = spread(calls)
        dealt = [task for act in acts for task in act.tasks]
        assert all(act.tasks for act in acts)
        assert set(dealt) == {call.task for call in calls}
        if number >= len(ACTS):
            assert dealt == [call.task for call in calls]


def test_the_script_plays_every_task_of_the_scenario() -> None:
    """No recorded task is without an act, and every act has calls."""
    assert {task for act in ACTS for task in act.tasks} == {
        task for task, _ in by_task(SCENARIO)
    }
    assert all(calls_of(act, SCENARIO) for act in ACTS)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "holds no call"),
        ("{", ":1: is not JSON"),
        ("[]", ":1: expected an object"),
        ('{"task": "1", "step": 0, "tool": "a"}', ":1: expected an object"),
        ('\n{"task": 1, "step": 0, "tool": "a", "arguments": {}}', ":2: task: expect"),
        ('{"task": "1", "step": true, "tool": "a", "arguments": {}}', ":1: step: exp"),
    ],
)
def test_a_bad_recording_is_refused_by_line(
    tmp_path: Path, text: str, fault: str
) -> None:
    """The error names the file, the line and what was expected."""
    path = tmp_path / "calls.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=fault):
        read_calls(path)


@pytest.mark.parametrize("where", [(), ("--featbit",)])
def test_the_command_tells_everything_as_json(
    tmp_path: Path, where: tuple[str, ...]
) -> None:
    """Without a terminal it prints JSON lines, exits 0, and keeps what it says."""
    done = run("--no-pause", "--keep", str(tmp_path / "kept"), *where)
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    calls = [one for one in events if one["event"] == "call"]
    by_act: dict[str, list[str]] = {}
    for one in calls:
        by_act.setdefault(one["act"], []).append(one["effect"])
    assert list(by_act) == [act.name for act in ACTS]
    assert "constrain" in by_act["draft"]
    assert by_act["review"].count("queue_for_approval") == 2
    assert by_act["autonomy"].count("deny") == 2
    assert {"deny", "queue_for_approval", "allow"} == set(by_act["tool-off"])
    assert {"fallback", "allow"} == set(by_act["incident"])
    assert set(by_act["kill"]) == {"deny"}
    changed = {
        one["act"]: one["changedRows"] for one in events if one["event"] == "end"
    }
    for act, rows in changed.items():
        told = sum(one["changedRows"] for one in calls if one["act"] == act)
        assert bool(told) == bool(rows)
    assert all(one["seenAfterMs"] > 0 for one in events if one["event"] == "flag")
    decided = history.records(events[-1]["records"], kind="decision")
    assert [one["effect"] for one in decided] == [one["effect"] for one in calls]


def test_the_command_draws_tables(tmp_path: Path) -> None:
    """For people it shows each flag change, each effect, and where to look next."""
    done = run("--no-pause", "--no-json", "--keep", str(tmp_path / "kept"))
    assert (done.returncode, done.stderr) == (0, "")
    for text in (
        "support.mode: draft_write → approval_required",
        'support.denylist: [] → ["cancel_pending_order"]',
        "governance.enabled: true → false",
        r"refund_\u043erder",
        "gov runs list --records",
    ):
        assert text in done.stdout
    drawn = [line for line in done.stdout.splitlines() if "kept" not in line]
    assert max(map(len, drawn)) <= 100


def test_the_command_refuses_bad_input(tmp_path: Path) -> None:
    """A recording that is none is wrong usage, one that is missing unreachable."""
    bad = tmp_path / "calls.jsonl"
    bad.write_text("{")
    assert run("--calls", str(bad)).returncode == 2
    assert run("--calls", str(tmp_path / "none.jsonl")).returncode == 3

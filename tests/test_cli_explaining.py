"""`gov governance explain`: every control's verdict, who decided, and no effect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Extractors, Governor, ToolCall
from tests.commands import gov
from tests.conftest import CONTEXT, contract_yaml, flag_document

GUARDS = """\
guardrails:
  - {kind: money, limit: 500, currency: USD}
  - {kind: bulk, limit: 100, cap: off}
  - {kind: reauthentication, above: 100, currency: USD}
  - {kind: record_age, days: 30}
  - {kind: evidence, minConfidence: 0.8, sources: 1}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one tool under guardrails, at full autonomy."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "governance.yaml").write_text(GUARDS + contract_yaml("refund"))
    write_document(tmp_path / "flags.json", flag_document())
    return tmp_path


FINE = {
    "amount": "100",
    "currency": "USD",
    "records": 1,
    "created": "2099-01-01T00:00:00+00:00",
}
SURE = ("--confidence", "0.9", "--source", "s-1", "--user", "user-1")


def explained(facts: dict[str, Any], *more: str) -> dict[str, Any]:
    """Return what is said of a refund with *facts*."""
    said = json.dumps({**FINE, **facts})
    result = gov("governance", "explain", "refund", "--facts", said, *SURE, *more)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def old(days: int) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("facts", "more", "effect", "decided"),
    [
        ({"created": old(1)}, (), "allow", None),
        (
            {"created": old(1), "amount": 501},
            ("--proved", "1"),
            "queue_for_approval",
            "money",
        ),
        ({"created": old(1), "amount": 101}, (), "deny", "reauthentication"),
        ({"created": old(1), "amount": 101}, ("--proved", "60"), "allow", None),
        (
            {"created": old(1), "amount": 101},
            ("--proved", "3600"),
            "deny",
            "reauthentication",
        ),
        ({"created": old(1), "records": 101}, (), "deny", "bulk"),
        ({"created": old(31)}, (), "queue_for_approval", "record_age"),
        ({}, (), "deny", "record_age"),
        (
            {"created": old(1)},
            ("--confidence", "0.1"),
            "queue_for_approval",
            "evidence",
        ),
    ],
)
def test_it_says_who_decided(
    project: Path,
    facts: dict[str, Any],
    more: tuple[str, ...],
    effect: str,
    decided: str | None,
) -> None:
    """By the guardrail's name; where nothing lowers, every control agrees."""
    told = explained(facts, *more)
    assert told["effect"] == effect
    if decided is None:
        assert len(told["decidedBy"]) == len(told["verdicts"])
    else:
        assert told["decidedBy"] == [f"guardrail.{decided}"]
    assert {one["control"] for one in told["verdicts"]} >= {
        *("mode", "switch", "denylist", "authorization", "classification"),
        *("guardrail.money", "guardrail.bulk", "guardrail.evidence"),
    }


def test_it_leaves_nothing_behind(project: Path) -> None:
    """No record, no file, and both files as they were."""
    before = {one: one.read_bytes() for one in project.iterdir()}
    explained({})
    assert {one: one.read_bytes() for one in project.iterdir()} == before


def test_it_remembers_what_the_records_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a day moved already counts; the log is only read."""
    monkeypatch.chdir(tmp_path)
    daily = "[{kind: money, limit: 1000, currency: USD, per: day, cap: off}]"
    files = [tmp_path / name for name in ("governance.yaml", "flags.json", "r.db")]
    files[0].write_text(contract_yaml("refund", guardrails=daily))
    write_document(files[1], flag_document())
    paid = Extractors(amount=lambda given: given["amount"], currency="USD")
    with Governor.open(*files) as governor:
        governor.tool("refund", extract=paid)(lambda amount: amount)
        assert governor.run(ToolCall("refund", {"amount": 900}, CONTEXT)).decision.full
    facts = json.dumps({"amount": 101, "currency": "USD"})
    command = ("governance", "explain", "refund", "--facts", facts)
    assert json.loads(gov(*command).stdout)["effect"] == "allow"
    before = files[2].read_bytes()
    told = json.loads(gov(*command, "--records", str(files[2])).stdout)
    assert (told["effect"], told["decidedBy"]) == ("deny", ["guardrail.money"])
    assert files[2].read_bytes() == before
    assert gov(*command, "--records", str(tmp_path / "none.db")).exit_code == 3


def test_it_explains_on_a_terminal(project: Path) -> None:
    """The table marks the control, and the obstacle shows its evidence."""
    facts = json.dumps({**FINE, "created": old(1), "amount": 600})
    result = gov(
        *("governance", "explain", "refund", "--facts", facts, *SURE),
        *("--proved", "1", "--no-json"),
    )
    assert "decided by  guardrail.money" in result.stdout
    assert "▸ guardrail.money" in result.stdout
    assert "limit 500" in result.stdout
    assert "Extractors were not run" not in result.stdout


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ('{"amunt": 1}', "amunt: no fact"),
        ('{"amount": "much"}', "much is no number"),
        ('{"created": "yesterday"}', "yesterday is no time"),
        ("[]", "an array is no object"),
    ],
)
def test_facts_that_cannot_be_read(project: Path, facts: str, said: str) -> None:
    """Exit 2, in which option, and what to do."""
    result = gov("governance", "explain", "refund", "--facts", facts)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "'--facts'" in result.stderr


def test_an_unknown_tool_is_denied_by_the_registry(project: Path) -> None:
    """It is explained like any other call."""
    result = gov("governance", "explain", "refnd")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["effect"], told["decidedBy"]) == ("deny", ["registry"])


LINTED = """\
guardrails:
  - {kind: denylist, name: incident, tools: [nobody], operator: dana}
agentToolGovernance:
  workflow: w
  owner: o
  tool: t
  riskClass: irreversible
  defaultMode: observe
  allowedModes: [off, observe, MODE]
  autonomyFor: [irreversible]
  runtimeControls: {modeFlag: m, denylistFlag: d, fallbackFlag: f}
  rollback: {safestMode: observe, owner: o}
  guardrails:
    - {GUARD}
"""


def remarks(tmp_path: Path, guard: str, mode: str = "autonomous") -> list[str]:
    """Return what is said of the guardrails in flow YAML, without the file."""
    path = tmp_path / "g.yaml"
    path.write_text(LINTED.replace("GUARD", guard).replace("MODE", mode))
    result = gov("governance", "check", str(path))
    told = json.loads(result.stdout)
    found = told["problems"] + told["warnings"]
    return [f"{one['line']} {one['key']}: {one['message']}" for one in found]


@pytest.mark.parametrize(
    ("guard", "mode", "said"),
    [
        ("kind: bulk, limit: 3", "autonomous", "14 t.guardrails.bulk: queues, but"),
        ("kind: bulk, limit: 3", "draft_write", "can never fire: its cap"),
        ("kind: risk_threshold, above: irreversible", "autonomous", "nothing is above"),
        (
            *("kind: risk_threshold, above: admin_action", "autonomous"),
            "contradicts autonomyFor, which frees irreversible",
        ),
        ("kind: denylist, tools: [x]", "autonomous", "names neither a tool"),
        ("kind: denylist, tools: [t]", "autonomous", "operator: none"),
        ("kind: bulk, limit: 3, only: {tools: [u]}", "autonomous", "only matches no"),
        ("kind: sequence, first: {tools: [u]}", "autonomous", "first names no tool"),
        (
            *("kind: bulk, limit: 3, cap: off, reviewDate: 2020-01-01", "autonomous"),
            "reviewDate: 2020-01-01 has passed",
        ),
        (
            *("kind: bulk, limit: 3, cap: off, reviewDate: 2099-01-01", "autonomous"),
            "owner: none, and no cleanupOwner",
        ),
        (
            (
                "kind: money, limit: 3, currency: USD}\n"
                "    - {kind: money, name: m2, limit: 5, currency: USD"
            ),
            *("autonomous", "15 t.guardrails.m2: can never decide: in the shadow"),
        ),
        (
            (
                "kind: money, limit: 3, currency: USD}\n"
                "    - {kind: money, name: m2, limit: 1, currency: USD, cap: off"
            ),
            *("autonomous", "leaves nothing to decide for money"),
        ),
        (
            (
                "kind: money, limit: 3, currency: USD}\n"
                "    - {kind: money, name: m2, limit: 3, currency: EUR"
            ),
            *("autonomous", "contradicts: every amount is in another currency"),
        ),
        (
            (
                "kind: segments, regions: [eu]}\n"
                "    - {kind: segments, name: s2, regions: [us]"
            ),
            *("autonomous", "contradicts: allows none of the regions of segments"),
        ),
        (
            (
                "kind: source_allowlist, allowed: [a]}\n"
                "    - {kind: source_allowlist, name: s2, allowed: [b]"
            ),
            *("autonomous", "allows no source in common with source_allowlist"),
        ),
        ("kind: cedar, policies: permit", "autonomous", "unexpected end of input"),
    ],
)
def test_check_finds_what_is_unwise(
    tmp_path: Path, guard: str, mode: str, said: str
) -> None:
    """Contradictions, what never fires, what nobody owns, and what is overdue."""
    found = remarks(tmp_path, guard, mode)
    assert any(said in one for one in found), found


def test_check_is_silent_about_sound_guardrails(tmp_path: Path) -> None:
    """Only the file's own denylist, which names no tool, is remarked on."""
    guard = "kind: bulk, limit: 3, cap: off"
    found = remarks(tmp_path, guard)
    (said,) = [one for one in found if "guardrails" in one]
    assert said.startswith("2 t.guardrails.incident: can never fire: names neither")


def test_check_does_not_ask_for_what_only_a_host_has(tmp_path: Path) -> None:
    """Functions and tokens are not there when a file is checked."""
    guard = "kind: custom, function: f, cap: off"
    assert not [one for one in remarks(tmp_path, guard) if "custom" in one]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"amount": "40"}, "charged"),
        ({"amount": "40.01"}, "budget_exhausted"),
        ({"amount": "40", "currency": "EUR"}, "budget_unknown"),
    ],
)
def test_budgets_say_what_the_call_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], reason: str
) -> None:
    """Each budget is a verdict beside the others, and nothing is taken."""
    monkeypatch.chdir(tmp_path)
    budget = '[{name: day, unit: USD, ceiling: "40", per: day, charge: amount}]'
    text = contract_yaml("refund", budgets=budget)
    (tmp_path / "governance.yaml").write_text(text)
    write_document(tmp_path / "flags.json", flag_document())
    found = explained(facts)
    said = {one["reason"] for one in found["verdicts"] if one["control"] == "budget"}
    assert said == {reason}

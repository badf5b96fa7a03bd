"""Records: what the articles ask for is in them, and what must not be there is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import fields, replace
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov import Actor, CallContext, ToolCall
from openfeature_gov.canonical import encode
from openfeature_gov.cli.switches import off
from openfeature_gov.contracts import Evidence, Facts, Lineage, Proof
from openfeature_gov.controls.readings import Reading
from openfeature_gov.decisions import Verdict
from openfeature_gov.evidence.decision_facts import flag, verdict
from openfeature_gov.evidence.decision_records import refusal_record
from openfeature_gov.evidence.records import (
    COLUMNS,
    Stamp,
    columns,
    derived,
    merged,
    note_record,
    outcome_record,
    written,
)
from openfeature_gov.evidence.texts import (
    FIELD_LIMIT,
    LISTED,
    readable,
    reference,
    scalar,
)
from openfeature_gov.extracting import Extractors
from openfeature_gov.ladder import Mode
from openfeature_gov.stores import history
from openfeature_gov.targets import Signed, changes
from openfeature_gov.targets.file import FileTarget
from tests.conftest import CONTEXT, KEYS, Make, contract_yaml

CONTRACT = contract_yaml(
    "refund",
    workflow="customer-support",
    owner="support-platform",
    targetSystem="payments",
    reviewDate="2027-01-31",
    cleanupOwner="platform-cleanup",
    hardBoundary="{serviceIdentity: svc-1, apiScope: 'refund:create'}",
    approval="{requiredFor: [low_confidence], reviewerGroup: leads,"
    " escalation: [on-call], timeoutFallback: draft_write}",
    evidence="{recordFields: [order]}",
)
FULL = CallContext(
    actor=Actor(
        agent="agent-1",
        instance="agent-1-a",
        version="2.4.1",
        service="svc-1",
        user="user-1",
        session="session-1",
        delegation=("lead-agent",),
        scopes=frozenset({"refund:create"}),
    ),
    account="acme",
    environment="prod",
    region="eu",
    stage="canary",
    request="request-1",
    task="task-1",
    parent_task="task-0",
    trigger="email/77",
    cost_estimate=Decimal("0.08"),
    evidence=Evidence(
        confidence=Decimal("0.93"),
        sources=("policy/refunds",),
        evaluations={"grounded": "yes"},
        alternatives=("store_credit",),
    ),
    lineage=Lineage(
        model="openai/gpt-4o-2024-08-06",
        parameters_digest="sha256:01",
        prompt_digest="sha256:02",
        template="support/2.4.1",
        input_digest="sha256:03",
        payload="s3://bucket/run/1",
    ),
    claims={"riskClass": "search", "reversibility": "automatic"},
)
EXTRACT = Extractors(
    amount=lambda given: Decimal(given["amount"]),
    records=lambda given: 1,
    record=lambda given: given["order"],
    currency="EUR",
)


def refund(order: str, amount: str, note: str = "") -> str:
    """Be the tool."""
    return f"{order}: {amount} {note}"


@pytest.fixture
def log(desk: Make) -> Path:
    return lived(desk)


def lived(desk: Make) -> Path:
    """Return a log with an allowed, a failed, a refused and a killed call."""
    one = desk(CONTRACT)
    governor = one.governor
    governor.tool("refund", extract=EXTRACT)(refund)
    given = {"order": "o-1", "amount": "12.50"}
    governor.run(ToolCall("refund", given, FULL, "call_1"))
    told = governor.decide(ToolCall("refund", given, FULL))
    governor.report(
        told.record_id,
        "failed",
        error="TimeoutError",
        cost=Decimal("0.02"),
        undo="refunded",
        hand_over="desk-2",
        incident="INC-9",
        output="sha256:04",
    )
    governor.run(ToolCall("unheard", {}, FULL))
    governor.run(ToolCall("refund", {"order": "o-1"}, FULL))
    signed = Signed(actor="ann", reason="drill 7", records=one.records)
    switch = off(((KEYS["modeFlag"], "mode"),), {"tool": "refund"})
    changes.made(FileTarget(one.flags), switch, signed)
    one.set(mode="off")
    governor.run(ToolCall("refund", given, FULL))
    governor.close()
    return one.records


def found(log: Path, kind: str) -> list[dict[str, Any]]:
    return history.records(log, kind=kind)


DECISION: Mapping[str, tuple[str, object]] = {
    # article 000, "What To Put In the Audit Trail"
    "000 request ID": ("context.request", "request-1"),
    "000 user key": ("user", "user-1"),
    "000 account key": ("account", "acme"),
    "000 environment": ("context.environment", "prod"),
    "000 workflow": ("contract.workflow", "customer-support"),
    "000 agent ID": ("context.agent", "agent-1"),
    "000 session ID": ("session", "session-1"),
    "000 tool name": ("tool", "refund"),
    "000 target system": ("targetSystem", "payments"),
    "000 requested action summary": (
        "summary",
        "publish by refund on payments, 12.50 EUR, 1 records",
    ),
    "000 risk class": ("riskClass", "external_effect"),
    "000 reversibility": ("reversibility", "manual"),
    "000 hard authorization result": ("authorization", "authorized"),
    "000 evaluated flag keys": ("flags.1.key", "gov.mode"),
    "000 flag variations": ("flags.1.variant", "autonomous"),
    "000 flag reason": ("flags.1.reason", ...),
    "000 rollout stage": ("context.stage", "canary"),
    "000 final decision": ("effect", "allow"),
    "000 decision reason": ("reason", ...),
    "000 decision time": ("atUs", ...),
    "000 review date": ("contract.reviewDate", "2027-01-31"),
    "000 cleanup owner": ("contract.cleanupOwner", "platform-cleanup"),
    "000 rollback state": ("contract.safestMode", "observe"),
    "000 rollback owner": ("contract.rollbackOwner", "team"),
    # article 000, its other tables of evidence to keep
    "000 policy owner": ("contract.owner", "support-platform"),
    "000 token scope": ("context.scopes", ["refund:create"]),
    "000 service identity": ("context.service", "svc-1"),
    "000 guardrail, reason, evidence": ("verdicts.0.control", ...),
    "000 region": ("context.region", "eu"),
    "000 approval rules": ("contract.approvalFor", ["low_confidence"]),
    "000 reviewer group": ("contract.reviewerGroup", "leads"),
    "000 previous and new mode": ("mode", "autonomous"),
    "000 allowed modes": ("contract.allowedModes.0", "off"),
    # article 001, the action contract and its audit
    "001 actor: agent instance": ("context.agentInstance", "agent-1-a"),
    "001 intent": ("intent", "publish"),
    "001 target record": ("targetRecord", "o-1"),
    "001 scope: amount": ("amount", "12.50"),
    "001 scope: currency": ("currency", "EUR"),
    "001 scope: how many records": ("records", 1),
    "001 scope: traffic percentage": ("flags.1.rule", ...),
    "001 evidence: confidence": ("context.confidence", "0.93"),
    "001 evidence: source coverage": ("sources", ["policy/refunds"]),
    "001 evidence: evaluator result": ("evaluations.grounded", "yes"),
    "001 fallback": ("contract.timeoutFallback", "draft_write"),
    "001 flag version": ("flags.1.version", ...),
    "001 flag age": ("flagSource.ageMs", ...),
    "001 policy revision": ("flagSource.revision", ...),
    "001 latency": ("latencyUs", ...),
    # article 002, "The structured audit log"
    "002 task ID": ("context.task", "task-1"),
    "002 parent context": ("context.parentTask", "task-0"),
    "002 via what interface": ("context.trigger", "email/77"),
    "002 initial input": ("inputDigest", "sha256:03"),
    "002 tool call input": ("argumentsDigest", ...),
    "002 policy checks": ("verdicts.0.reason", ...),
    "002 model version": ("context.model", "openai/gpt-4o-2024-08-06"),
    "002 temperature": ("context.parametersDigest", "sha256:01"),
    "002 completion text": ("context.payload", "s3://bucket/run/1"),
    "002 agent principal": ("context.agent", "agent-1"),
    "002 on whose behalf": ("user", "user-1"),
    "002 delegated authorities": ("delegation", ["lead-agent"]),
    "002 cost envelope": ("context.costEstimate", "0.08"),
    "002 escalation": ("contract.escalation", ["on-call"]),
    # article 003, "What to Record"
    "003 event ID": ("id", ...),
    "003 agent version": ("context.agentVersion", "2.4.1"),
    "003 prompt template hash": ("context.promptDigest", "sha256:02"),
    "003 template version": ("context.template", "support/2.4.1"),
    "003 action and rationale": ("actionDigest", ...),
    "003 policy version": ("contract.revision", ...),
    # article 004
    "004 trigger": ("context.trigger", "email/77"),
    "004 alternatives considered": ("alternatives", ["store_credit"]),
    # the issue's own list
    "what the agent claimed": ("claimedRiskClass", "search"),
    "call of the framework": ("callId", "call_1"),
    "listed arguments": ("fields.order", "o-1"),
}
OUTCOME: Mapping[str, tuple[str, object]] = {
    "000 execution result": ("status", "failed"),
    "000 error": ("error", "TimeoutError"),
    "000 undo result": ("undo", "refunded"),
    "000 manual handoff": ("handOver", "desk-2"),
    "000 incident reference": ("incident", "INC-9"),
    "002 cost": ("cost", "0.02"),
    "003 output hash": ("output", "sha256:04"),
    "004 error state": ("error", "TimeoutError"),
    "what it is the outcome of": ("ref", ...),
}
RAN: Mapping[str, tuple[str, object]] = {
    "000 execution latency": ("latencyUs", ...),
    "which function ran": ("ran", "tool"),
    "003 outcome status": ("status", "executed"),
}
CHANGE: Mapping[str, tuple[str, object]] = {
    "001 who changed the flag": ("actor", "ann"),
    "001 and why": ("reason", "drill 7"),
    "what changed": ("flags.0.key", "gov.mode"),
    "previous mode": ("flags.0.from.enabled", True),
    "new mode": ("flags.0.to.enabled", False),
    "when": ("atUs", ...),
}
LATER = {
    "000 reviewer identity": "approvals",
    "000 approval result": "approvals",
    "000 consequence summary": "approvals",
    "001 approval rationale": "approvals",
    "000 review report": "lifecycle of flags",
    "003 deployment metadata": "model registry of the host",
}
"""What nothing fills yet, and what will."""


def at(record: Any, path: str) -> Any:
    for step in path.split("."):
        record = record[int(step)] if step.isdigit() else record[step]
    return record


@pytest.mark.parametrize(
    ("asked", "kind", "place"),
    [
        (DECISION, "decision", 0),
        (OUTCOME, "outcome", 1),
        (RAN, "outcome", 0),
        (CHANGE, "policy_change", 0),
    ],
)
def test_every_field_that_the_articles_ask_for_is_there(
    log: Path, asked: Mapping[str, tuple[str, object]], kind: str, place: int
) -> None:
    """Each evidence field of articles 000 to 004 has one place, and is filled."""
    record = found(log, kind)[place]
    for name, (path, value) in asked.items():
        actual = at(record, path)
        if value is ...:
            assert path == "flags.1.rule" or actual not in (None, "", []), name
        else:
            assert actual == value, name
    assert not LATER.keys() & asked.keys()


def test_refused_calls_say_who_asked(log: Path) -> None:
    """A call that no contract could be built for has its context and its person."""
    unheard, short = found(log, "decision")[2:4]
    for record, tool in ((unheard, "unheard"), (short, "refund")):
        assert record["tool"] == tool
        assert record["effect"] == "deny"
        assert (record["user"], record["account"]) == ("user-1", "acme")
        assert record["context"]["request"] == "request-1"
    assert (unheard["reason"], short["reason"]) == (
        "tool_unknown",
        "arguments_mismatch",
    )


PERSONAL = {
    *("salt", "user", "account", "session", "delegation"),
    *("inputDigest", "sources", "alternatives", "evaluations"),
    *("targetRecord", "fields", "argumentsDigest", "actionDigest", "narrowedDigest"),
}


def rows(log: Path) -> Iterator[dict[str, Any]]:
    with closing(sqlite3.connect(log)) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM records ORDER BY seq"):
            yield dict(row)


def test_body_holds_the_digest_of_the_personal_part(log: Path) -> None:
    """What may be personal is beside the body, under a salt of its own each time."""
    salts = []
    for row in rows(log):
        body = orjson.loads(row["body"])
        if row["personal"] is None:
            assert "personalDigest" not in body
            continue
        assert body["personalDigest"] == sha256(row["personal"]).hexdigest()
        personal = orjson.loads(row["personal"])
        assert personal.keys() <= PERSONAL
        assert not body.keys() & PERSONAL
        assert not body.get("context", {}).keys() & PERSONAL
        salts.append(personal["salt"])
    assert len(salts) == len(set(salts)) == 5
    assert {len(salt) for salt in salts} == {32}


def test_columns_are_what_the_body_says(log: Path) -> None:
    """No column says anything that is not inside the body."""
    kinds = set()
    for row in rows(log):
        body = orjson.loads(row["body"])
        assert tuple(row[name] for name in COLUMNS) == derived(body)
        kinds.add(row["kind"])
    assert kinds == {"start", "decision", "outcome", "policy_change", "stop"}
    first = next(row for row in rows(log) if row["kind"] == "decision")
    assert (first["target"], first["variant"]) == ("payments", "autonomous")
    assert (first["amount"], first["reviewer"]) == (12.5, None)


CANARY = "canary-7f3a"


def poisoned() -> CallContext:
    """Return a context that holds the canary wherever a person might be named."""
    actor = replace(
        FULL.actor, user=CANARY, session=CANARY, delegation=(CANARY, "lead")
    )
    return replace(
        FULL,
        actor=actor,
        account=CANARY,
        evidence=Evidence(
            confidence=0.9,
            sources=(CANARY, f"mail of {CANARY}"),
            evaluations={f"about {CANARY}": CANARY},
            alternatives=(CANARY,),
        ),
        lineage=Lineage(
            parameters_digest=f"not a digest, {CANARY}",
            prompt_digest=f"Dear {CANARY}",
            template=f"Dear {CANARY}",
            input_digest=f"Dear {CANARY}",
            payload=f"Dear {CANARY}",
        ),
        proof=Proof(subject=CANARY, at_us=1, method=CANARY),
        facts=Facts(segment=CANARY, sources=(CANARY,)),
        claims={"riskClass": CANARY, "reversibility": CANARY, CANARY: CANARY},
    )


def test_canary_is_nowhere_but_in_the_personal_part(desk: Make) -> None:
    """What a call says of a person is in no body, column or file but where it may be.

    Arguments, keys of arguments, results, exceptions, ids that are sentences: a value
    planted in each never leaves the personal part, and gets into it only if listed.
    """
    one = desk(CONTRACT)
    names = {field.name for field in fields(CallContext)}
    plain = {"environment", "region", "stage", "request", "task", "parent_task"}
    assert names == plain | {
        *("actor", "account", "trigger", "cost_estimate", "evidence", "lineage"),
        *("claims", "encoded", "facts", "proof"),
    }

    def leaky(order: str, amount: str, note: Any = "") -> str:
        if note == "raise":
            raise RuntimeError(f"{CANARY} {order} {amount}")
        return f"{CANARY} {note}"

    one.governor.tool("refund", extract=EXTRACT)(leaky)
    context, sentence = poisoned(), f"to {CANARY} at once"
    for arguments in (
        {"order": CANARY, "amount": "1", "note": {CANARY: [CANARY]}},
        {"order": sentence, "amount": "1", "note": "raise"},
        {"order": "o-1", "amount": CANARY},
        {"order": "o-1", CANARY: 1},
        {"order": "o-1", "amount": "1", "note": f"\ud800{CANARY}"},
        {"order": "o-1", "amount": "1", "note": object()},
    ):
        with suppress(RuntimeError):
            one.governor.run(ToolCall("refund", arguments, context, sentence))
    one.governor.run(ToolCall(sentence, {CANARY: CANARY}, context, sentence))
    one.governor.run(ToolCall("refund", [CANARY], context))  # type: ignore[arg-type] # what a model may send
    one.governor.close()
    held = 0
    for row in rows(one.records):
        personal = row.pop("personal")
        assert CANARY not in str(row)
        held += CANARY.encode() in (personal or b"")
    assert held == 8
    listed = [one.get("fields") for one in found(one.records, "decision")]
    assert listed[0] == {"order": CANARY}
    assert listed[2] == {"order": "o-1"}


def test_without_a_list_no_argument_is_recorded_at_all(desk: Make) -> None:
    """No value of an argument is in the log unless the governance contract lists it."""
    one = desk(contract_yaml("refund"))
    one.governor.tool("refund")(refund)
    given = {"order": CANARY, "amount": "1", "note": CANARY}
    one.governor.run(ToolCall("refund", given, CONTEXT))
    one.governor.close()
    assert found(one.records, "decision")[0]["fields"] == {}
    assert CANARY not in str([*rows(one.records)])


SECRET = b"s" * 32


def test_salt_is_of_the_secret_and_the_record() -> None:
    """Encoding twice gives the same bytes; another record or secret another salt."""

    def personal(identity: str, secret: bytes) -> bytes | None:
        stamp = Stamp(identity, 1, "w", secret)
        record = refusal_record(stamp, tool="t", context=FULL, reason="r", detail="d")
        assert record.encoded() == record.encoded()
        return record.encoded().personal

    salted = {personal("1", SECRET), personal("2", SECRET), personal("1", b"x" * 32)}
    assert len(salted) == 3


def test_personal_part_without_a_secret_is_no_record() -> None:
    """A digest that anyone could guess is not written; the record says so."""
    record = refusal_record(
        Stamp("1", 1, "w"), tool="t", context=FULL, reason="r", detail="d"
    )
    kept, encoded = written(record, "w")
    assert orjson.loads(encoded.body)["unencodable"] == "ValueError"
    assert columns(kept, "w") == derived(orjson.loads(encoded.body))


def test_secret_is_in_no_repr() -> None:
    """Whoever prints a stamp learns nothing that undoes an erasure."""
    assert repr(SECRET) not in repr(Stamp("1", 1, "w", SECRET))
    assert repr(Stamp("1", 1, "w", SECRET)) == "Stamp('1', 1, 'w')"


def test_columns_of_an_unencodable_record_are_what_its_body_says() -> None:
    """What is set apart keeps nothing in columns that its body does not say."""
    note = note_record(Stamp("1", 5, "w"), "note", "0", odd=object())
    record = note._replace(executes=True, tool="x", amount=Decimal(1))
    kept, encoded = written(record, "w")
    body = orjson.loads(encoded.body)
    assert (body["executes"], body["ref"]) == (True, "0")
    assert columns(kept, "w") == derived(body)


@pytest.mark.parametrize(
    "amount", ["0", "0.1", "12.50", "1E+2", "1E+400", "0.30000001"]
)
def test_amounts_are_found_by_the_number_that_the_text_says(amount: str) -> None:
    """The column for search is the float of the exact text in the body."""
    record = note_record(Stamp("1", 5, "w"), "decision", amount=amount)
    body = orjson.loads(record.encoded().body)
    assert columns(record._replace(amount=Decimal(amount)), "w") == derived(body)


def test_merged_reads_as_one_and_tells_what_is_gone() -> None:
    """Readers see one record; the salt is not theirs, and a gap is named."""
    stamp = Stamp("1", 1, "w", SECRET)
    record = refusal_record(stamp, tool="t", context=FULL, reason="r", detail="d")
    body, personal = record.encoded()
    whole, gone = merged(body, personal), merged(body, None)
    assert (whole["user"], gone.get("user")) == ("user-1", None)
    assert "salt" not in whole
    assert ("erased" in whole, gone["erased"]) == (False, True)
    outcome = outcome_record(stamp, "0", status="executed").encoded()
    assert "erased" not in merged(*outcome)


def test_flags_of_a_careless_provider_are_told_by_type() -> None:
    """What is no text where text belongs is named, and equals nothing else."""
    odd = Reading("k", True, ["x"], {}, None, 1.5, {"rule": {"a": 1}})  # type: ignore[arg-type] # as a provider may
    told = orjson.loads(orjson.dumps(flag("approval", odd)))
    assert told == {
        "kind": "approval",
        "key": "k",
        "value": True,
        "variant": "<list>",
        "reason": "<dict>",
        "version": "1.5",
        "rule": "<dict>",
        "fault": None,
    }
    listed = [flag("denylist", Reading("k", value)) for value in (["a"], [], None)]
    values = [orjson.loads(orjson.dumps(one))["value"] for one in listed]
    assert values == [["a"], [], None]
    words = [flag("mode", Reading("k", "off", value)) for value in ("1", "True", True)]  # type: ignore[arg-type] # as a provider may
    variants = [orjson.loads(orjson.dumps(one))["variant"] for one in words]
    assert variants == ["1", "True", True]


def test_texts_of_others_are_bounded_and_plain() -> None:
    """Long, odd and unprintable words come out short, ASCII and on one line."""
    assert readable("plain") == "plain"
    assert readable("x" * 300) == "x" * FIELD_LIMIT
    assert readable("a\nb\x7f\u202e\ud800") == "a\\x0ab\\x7f\\u202e\\ud800"
    assert readable(object()) == "<object>"
    assert (scalar(None), scalar(True), scalar(1.5)) == (None, True, "1.5")
    assert scalar([CANARY]) == "<list>"
    assert reference("s3://bucket/1").startswith("s3://")
    assert reference(f"Dear {CANARY}").startswith("sha256:")
    assert reference("") == ""


MANY = st.builds(
    lambda text, count: [f"{text}{number}" for number in range(count)],
    st.text(max_size=300),
    st.integers(0, 3_000),
)


@settings(max_examples=25)
@given(sources=MANY, names=MANY, hops=st.integers(0, 3_000))
def test_no_agent_makes_a_record_too_large_to_verify(
    sources: list[str], names: list[str], hops: int
) -> None:
    """Of a long list a record holds the beginning, how many more, and a digest."""
    context = replace(
        FULL,
        actor=replace(
            FULL.actor,
            delegation=tuple(f"agent-{number}" for number in range(hops)),
            scopes=frozenset(names),
        ),
        evidence=Evidence(
            sources=tuple(sources),
            alternatives=tuple(names),
            evaluations=dict.fromkeys(sources, "x" * 1_000),
        ),
    )
    stamp = Stamp(id="w-1", at_us=1, writer="w", secret=b"s")
    made = refusal_record(stamp, tool="t", context=context, reason="r", detail="d")
    body, personal = made.encoded()
    assert personal is not None
    assert len(body) + len(personal) < 128 * 1024
    facts = orjson.loads(personal)
    if len(sources) <= LISTED:
        assert len(facts["sources"]) == len(sources)
    else:
        assert len(facts["sources"]) == LISTED + 1
        left = len(sources) - LISTED
        assert facts["sources"][-1].startswith(f"and {left} more, sha256:")
    seen = Verdict("c", Mode.OFF, "r", evidence={"names": names, "note": sources})
    assert len(encode([verdict(seen)])) < 64 * 1024


def test_the_digest_of_what_is_left_out_tells_it_apart() -> None:
    base = [f"s{number}" for number in range(LISTED + 2)]

    def told(sources: list[str]) -> str:
        context = replace(FULL, evidence=Evidence(sources=tuple(sources)))
        stamp = Stamp(id="w-1", at_us=1, writer="w", secret=b"s")
        made = refusal_record(stamp, tool="t", context=context, reason="", detail="")
        last: str = orjson.loads(made.encoded()[1] or b"")["sources"][-1]
        return last

    assert told(base) == told(list(base))
    assert told(base) != told([*base[:-1], "other"])

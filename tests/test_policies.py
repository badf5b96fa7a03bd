"""Foreign policies: functions, Cedar, decision points; hanging, raising, unclear."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from openfeature_gov import Effect, Mode, ToolCall, Verdict
from openfeature_gov.controls import Controls
from openfeature_gov.controls.guardrails import UNKNOWN, weigh
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import parse
from openfeature_gov.observing import Observer
from openfeature_gov.policies import Knowing, Policies
from openfeature_gov.policies.budget import STUCK, THREADS, Budget, OverrunError
from openfeature_gov.policies.cedar import FULL, standard
from openfeature_gov.policies.facts import UNREADABLE, facts_of
from tests.conftest import CONTEXT, Make, contract_yaml
from tests.guarding import ACTION, CALM, NOW


def judged(
    listed: str, functions: Mapping[str, Any] | None = None, action: Any = ACTION
) -> Verdict:
    """Return the verdict of the one foreign guardrail in *listed*, flow YAML."""
    governance = parse(contract_yaml("tool", guardrails=f"[{{{listed}}}]"), "g.yaml")
    policies = Policies(governance, functions or {})
    policies.check()
    rules = governance.contracts["tool"]
    knowing = Knowing(Observer(governance, lambda: NOW), policies)
    (verdict,) = weigh(action, rules, knowing(action, rules))
    return verdict


def refused(listed: str, **functions: Any) -> str:
    with pytest.raises(InvalidContractError) as caught:
        judged(listed, functions)
    return str(caught.value)


CUSTOM = "kind: custom, function: ask, budgetMs: 5000, cap: approval_required"


def says(answer: Any) -> Verdict:
    return judged(CUSTOM, {"ask": lambda *_: answer})


@pytest.mark.parametrize(
    ("answer", "cap", "reason"),
    [
        (True, Mode.AUTONOMOUS, "clear"),
        (False, Mode.APPROVAL_REQUIRED, "function_refused"),
        (Mode.OBSERVE, Mode.OBSERVE, "function_capped"),
        (Verdict("x", Mode.DRAFT_WRITE, "mine"), Mode.DRAFT_WRITE, "mine"),
        (None, Mode.OFF, "function_answered_nonsense"),
        (1, Mode.OFF, "function_answered_nonsense"),
        ("allow", Mode.OFF, "function_answered_nonsense"),
        (Verdict("x", 6, "no"), Mode.OFF, "function_answered_nonsense"),  # type: ignore[arg-type] # no mode
    ],
)
def test_what_a_function_answers(answer: Any, cap: Mode, reason: str) -> None:
    """Only True, False, a Mode and a sound Verdict are answers."""
    verdict = says(answer)
    assert (verdict.cap, verdict.reason) == (cap, reason)
    assert verdict.control == "guardrail.custom"


def test_a_functions_evidence_is_made_plain() -> None:
    """Records hold no floats and no objects."""
    given = Verdict("x", Mode.OFF, "r", evidence={"n": 1, "f": 0.5, "d": Decimal(2)})
    assert says(given).evidence == {"n": 1, "f": "0.5", "d": "2"}


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, TimeoutError])
def test_a_function_that_raises_says_its_strictest(error: type[BaseException]) -> None:
    """No exception of it gets out, not even one that ends a process."""

    def ask(*_: Any) -> bool:
        raise error

    verdict = judged(CUSTOM, {"ask": ask})
    assert (verdict.cap, verdict.reason) == (Mode.OFF, "function_failed")


def policy_threads() -> int:
    return sum(one.name == "gov-policy" for one in threading.enumerate())


def test_a_closed_governor_keeps_no_thread(desk: Make) -> None:
    """What did not hang is let go."""
    controls = Controls(functions={"ask": lambda *_: True})
    listed = "[{kind: custom, function: ask, budgetMs: 5000}]"
    before = policy_threads()
    one = desk(contract_yaml("tool", guardrails=listed), controls=controls)
    one.governor.tool("tool")(lambda: "ran")
    assert one.governor.run(ToolCall("tool", {}, CONTEXT)).effect is Effect.ALLOW
    one.governor.close()
    deadline = time.monotonic() + 30
    while policy_threads() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_function_that_hangs_says_its_strictest_within_its_budget(
    desk: Make,
) -> None:
    """The call is decided although the function never answers; others are too."""
    hang = threading.Event()
    listed = "[{kind: custom, function: ask, budgetMs: 20}]"
    controls = Controls(functions={"ask": lambda *_: hang.wait(60)})
    one = desk(contract_yaml("tool", guardrails=listed), controls=controls)
    one.governor.tool("tool")(lambda: "ran")
    try:
        before = policy_threads()
        for _ in range(2 * THREADS):
            outcome = one.governor.run(ToolCall("tool", {}, CONTEXT))
            assert outcome.effect is Effect.DENY
            assert outcome.decision.reason == "function_too_slow"
        assert policy_threads() - before <= THREADS
    finally:
        hang.set()


def test_a_function_that_hangs_takes_no_other_with_it(desk: Make) -> None:
    """Another guardrail is still asked once too many calls of the first hang."""
    hang, asked = threading.Event(), list[int]()
    listed = (
        "[{kind: custom, name: slow, function: slow, budgetMs: 1, cap: draft_write,"
        " unknown: draft_write}, {kind: custom, function: fast, budgetMs: 5000}]"
    )

    def fast(*_: Any) -> bool:
        asked.append(1)
        return True

    functions = {"slow": lambda *_: hang.wait(60), "fast": fast}
    controls = Controls(functions=functions)
    one = desk(contract_yaml("tool", guardrails=listed), controls=controls)
    one.governor.tool("tool")(lambda: "ran")
    try:
        for _ in range(STUCK + 4):
            outcome = one.governor.run(ToolCall("tool", {}, CONTEXT))
            assert outcome.decision.reason == "function_too_slow"
        assert len(asked) == STUCK + 4
    finally:
        hang.set()


def test_a_loop_does_not_wait_for_a_function(desk: Make) -> None:
    """While one call waits for its budget, the loop goes on."""
    hang = threading.Event()
    listed = "[{kind: custom, function: ask, budgetMs: 500}]"
    controls = Controls(functions={"ask": lambda *_: hang.wait(60)})
    one = desk(contract_yaml("tool", guardrails=listed), controls=controls)

    async def tool() -> str:
        return "ran"

    one.governor.tool("tool")(tool)

    async def main() -> int:
        turns = 0
        call = ToolCall("tool", {}, CONTEXT)
        task = asyncio.create_task(one.governor.aplan(call))
        while not task.done():
            turns += 1
            await asyncio.sleep(0.001)
        assert task.result().decision.reason == "function_too_slow"
        return turns

    try:
        assert asyncio.run(main()) > 3
    finally:
        hang.set()


def test_too_many_hanging_calls_are_answered_at_once() -> None:
    """Once that many hang, nobody waits any more; when they return, it goes on."""
    budget, hang = Budget(threads=4, stuck=2), threading.Event()
    while len(budget._late) < 2:  # a thread that comes too late does not hang
        with pytest.raises(OverrunError, match="no answer"):
            budget.run(lambda: hang.wait(60), 0.02)
    with pytest.raises(OverrunError, match="too many"):
        budget.run(lambda: True, 60)
    hang.set()
    deadline = time.monotonic() + 30
    while True:
        try:
            assert budget.run(lambda: True, 30) is True
            break
        except OverrunError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_many_callers_share_few_threads() -> None:
    """64 at once are answered by four threads; each gets its own answer."""
    budget = Budget(threads=4, stuck=2)
    with ThreadPoolExecutor(64) as pool:
        given = list(pool.map(lambda n: budget.run(lambda: n, 30), range(64)))
    assert given == list(range(64))
    assert budget._started <= 4


def test_an_unregistered_function_refuses_to_load() -> None:
    """The file, the line and what to do are named."""
    said = refused("kind: custom, function: nope")
    assert "g.yaml:" in said
    assert "no function 'nope' is registered in Controls" in said


PERMIT = "permit (principal, action, resource);"
SMALL = (
    'permit (principal, action == Action::"tool", resource) when {'
    ' context has amount && context.amount.lessThan(decimal("500.0")) };'
)


def cedar(policies: str, definitions: str = "", **more: str) -> str:
    texts = {"policies": policies, "definitions": definitions, **more}
    told = ", ".join(f"{key}: {json.dumps(text)}" for key, text in texts.items())
    return f"kind: cedar, {told}"


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (Decimal("499.99"), "clear"),
        (Decimal(500), "policy_refused"),
        (Decimal("500.01"), "policy_refused"),
        (Decimal(0), "clear"),
        (Decimal(-1), "policy_failed"),
        (Decimal("NaN"), "policy_failed"),
        (Decimal("1.00001"), "policy_failed"),
        (Decimal(10) ** 30, "policy_failed"),
        (None, "policy_refused"),
    ],
)
def test_cedar_permits_what_it_can_read(amount: Decimal | None, reason: str) -> None:
    """An amount that is not exact fails the question, and nothing permits none."""
    verdict = judged(cedar(SMALL), action=replace(ACTION, amount=amount))
    assert verdict.reason == reason
    assert verdict.cap is (Mode.AUTONOMOUS if reason == "clear" else Mode.OFF)


LARGE = (
    "permit (principal, action, resource); forbid (principal, action, resource) when {"
    ' context has amount && context.amount.greaterThan(decimal("1000.0")) };'
)


@pytest.mark.parametrize(
    "amount", ["1000.01", "2000.00001", "1e14", "1e15", "1e30", "-1", "NaN"]
)
def test_no_amount_is_too_odd_for_a_forbid(amount: str) -> None:
    """What a policy cannot be told is no absence, which such a forbid lets pass."""
    rules = cedar(LARGE)
    assert judged(rules).cap is Mode.AUTONOMOUS
    action = replace(ACTION, amount=Decimal(amount))
    assert judged(rules, action=action).cap is Mode.OFF


@pytest.mark.parametrize(
    "changed",
    [
        replace(ACTION, amount=Decimal(10) ** 14),
        replace(ACTION, records=-1),
        replace(ACTION, facts=replace(ACTION.facts, discount=Decimal("NaN"))),
        replace(ACTION, facts=replace(ACTION.facts, account_value=Decimal(-1))),
        replace(ACTION, facts=replace(ACTION.facts, created_us=NOW + 1)),
    ],
)
def test_a_fact_that_cannot_be_read_stops_the_question(changed: Any) -> None:
    """It is told as such; a decision point is not asked at all."""
    told = facts_of(changed, CALM)
    assert told.keys() == facts_of(ACTION, CALM).keys()
    assert UNREADABLE in told.values()
    url = "url: 'http://127.0.0.1:9/v1/data/x'"
    found = judged(f"kind: decision_point, {url}", action=changed)
    assert (found.reason, found.cap) == ("decision_point_failed", Mode.OFF)
    assert found.evidence["error"] == "ValueError"


def test_a_forbid_names_itself_in_the_evidence() -> None:
    """By its ``@id``, and it beats every permit."""
    forbid = '@id("never") forbid (principal, action, resource);'
    verdict = judged(cedar(PERMIT + forbid))
    assert verdict.evidence == {"policies": "never"}
    assert verdict.cap is Mode.OFF


def test_a_forbid_that_errors_counts_as_forbid() -> None:
    """Cedar would skip it and allow; an overflow at run time still caps."""
    huge = 2**53
    forbid = (
        "forbid (principal, action, resource) when {"
        f" context has records && context.records * {huge} * {huge} > 0 }};"
    )
    action = replace(ACTION, records=2**40)
    verdict = judged(cedar(PERMIT + forbid), action=action)
    assert (verdict.cap, verdict.reason) == (Mode.OFF, "policy_failed")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (cedar("permit (principal"), "unexpected"),
        (cedar("permit (principal, action, resource) when { context.nope };"), "nope"),
        (
            cedar(
                "permit (principal, action, resource)"
                ' when { context.amount.lessThan(decimal("1.0")) };'
            ),
            "amount",
        ),
        (cedar('permit (principal, action == Action::"tol", resource);'), "tol"),
        (cedar(PERMIT, "entity Agent; entity Target;"), "tool"),
        (cedar(PERMIT, "entity Agent"), "schema"),
    ],
    ids=["syntax", "unknown fact", "unguarded", "unknown tool", "no action", "schema"],
)
def test_cedar_is_validated_when_it_is_loaded(text: str, said: str) -> None:
    """What does not parse, or is not valid under the schema, refuses to load."""
    message = refused(text)
    assert message.startswith("g.yaml:")
    assert "tool.guardrails.cedar" in message
    assert said in message


def test_the_standard_schema_knows_every_fact() -> None:
    """And no fact is told that it does not know."""
    text = standard(["tool"])
    assert all(f"{name}:" in text or f"{name}?:" in text for name in FULL)
    assert facts_of(ACTION, CALM).keys() <= FULL.keys()


def test_facts_hold_no_user_and_no_argument() -> None:
    """What a foreign policy is told has no record, no user, no argument, no task."""
    told = json.dumps(
        facts_of(replace(ACTION, arguments={"a": "CANARY"}), CALM), default=str
    )
    for secret in ("user-1", "r-1", "CANARY", "task-1", "s-1"):
        assert secret not in told
    assert facts_of(ACTION, UNKNOWN)["ageSeconds"] == UNREADABLE


class Point(BaseHTTPRequestHandler):
    """Answer as the test says, and remember what was asked."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.asked.append((self.headers, json.loads(body)))
        status, answer = server.answer
        if callable(answer):
            answer(self)
            return
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def pointing(status: int, answer: Any) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Point)
    server.answer, server.asked = (status, answer), []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


def at(server: Any, deadline_ms: int = 10_000, more: str = "") -> str:
    url = f"http://127.0.0.1:{server.server_address[1]}/v1/data/agents/allow"
    return f'kind: decision_point, url: "{url}", deadlineMs: {deadline_ms}{more}'


@pytest.mark.parametrize(
    ("status", "answer", "cap", "reason"),
    [
        (200, b'{"result": true}', Mode.AUTONOMOUS, "clear"),
        (200, b'{"result": false}', Mode.OBSERVE, "policy_refused"),
        (200, b'{"result": {"allow": true}}', Mode.AUTONOMOUS, "clear"),
        (
            *(200, b'{"result": {"allow": false, "reason": "too_late"}}'),
            *(Mode.OBSERVE, "too_late"),
        ),
        (
            *(200, b'{"result": {"allow": true, "cap": "draft_write"}}'),
            *(Mode.DRAFT_WRITE, "policy_refused"),
        ),
        (200, b"{}", Mode.OFF, "decision_point_failed"),
        (200, b"", Mode.OFF, "decision_point_failed"),
        (200, b"true", Mode.OFF, "decision_point_failed"),
        (200, b'{"result": 1}', Mode.OFF, "decision_point_unclear"),
        (200, b'{"result": null}', Mode.OFF, "decision_point_unclear"),
        (200, b'{"result": "true"}', Mode.OFF, "decision_point_unclear"),
        (200, b'{"result": {"allow": 1}}', Mode.OFF, "decision_point_unclear"),
        (200, b'{"result": {}}', Mode.OFF, "decision_point_unclear"),
        (
            *(200, b'{"result": {"allow": true, "deny": true}}'),
            *(Mode.OFF, "decision_point_unclear"),
        ),
        (
            *(200, b'{"result": {"allow": true, "cap": "all"}}'),
            *(Mode.OFF, "decision_point_unclear"),
        ),
        (
            *(200, b'{"result": {"allow": false, "reason": "Call me"}}'),
            *(Mode.OFF, "decision_point_unclear"),
        ),
        (200, b'{"result": true' + b" " * 70_000 + b"}", Mode.OFF, None),
        (201, b'{"result": true}', Mode.OFF, "decision_point_failed"),
        (302, b'{"result": true}', Mode.OFF, "decision_point_failed"),
        (404, b'{"result": true}', Mode.OFF, "decision_point_failed"),
        (500, b'{"result": true}', Mode.OFF, "decision_point_failed"),
    ],
)
def test_only_a_clear_answer_counts(
    status: int, answer: bytes, cap: Mode, reason: str | None
) -> None:
    """Anything but 200 with a clear result is the strictest; nothing is followed."""
    with pointing(status, answer) as server:
        verdict = judged(at(server, more=", cap: observe"))
        assert (verdict.cap, verdict.reason) == (cap, reason or "decision_point_failed")
        assert len(server.asked) == 1


def test_a_decision_point_is_told_facts_and_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Amounts as text; the token comes from the environment and is in no message."""
    monkeypatch.setenv("POINT_TOKEN", "s3cr3t")
    with pointing(200, b'{"result": true}') as server:
        judged(at(server, more=", tokenVariable: POINT_TOKEN"))
        ((headers, body),) = server.asked
    assert headers["Authorization"] == "Bearer s3cr3t"
    assert (body["input"]["amount"], body["input"]["toolName"]) == ("10", "tool")
    monkeypatch.delenv("POINT_TOKEN")
    with pointing(200, b"") as server:
        assert "POINT_TOKEN is empty" in refused(
            at(server, more=", tokenVariable: POINT_TOKEN")
        )


def test_nobody_at_the_address_is_the_strictest() -> None:
    """A refused connection is no answer."""
    with pointing(200, b'{"result": true}') as server:
        listed = at(server)
    assert judged(listed).reason == "decision_point_failed"


def test_a_decision_point_that_hangs_is_left_at_its_deadline() -> None:
    """Before the headers, and while the answer comes drop by drop."""
    leave = threading.Event()

    def silent(_: Any) -> None:
        leave.wait(60)

    def dripping(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not leave.wait(0.01):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    try:
        for answer in (silent, dripping):
            leave.clear()
            with pointing(200, answer) as server:
                verdict = judged(at(server, 100))
                leave.set()
            assert verdict.cap is Mode.OFF
            assert verdict.reason in (
                "decision_point_too_slow",
                "decision_point_failed",
            )
    finally:
        leave.set()

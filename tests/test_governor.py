"""The Governor: what runs, what is recorded, and that nothing gets around it."""

from __future__ import annotations

import asyncio
import csv
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from openfeature_gov import (
    ActionContract,
    Constraint,
    Controls,
    Effect,
    Extractors,
    Governor,
    Mode,
    Outcome,
    RegistrationError,
    Status,
    ToolCall,
    Verdict,
)
from openfeature_gov.contracts import Actor, CallContext
from openfeature_gov.ladder import MODES
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Desk, contract_yaml

Make = Callable[..., Desk]
MAIL = contract_yaml("mail")
SEARCH = contract_yaml("look", riskClass="search", reversibility="automatic")
SAFE = "{safestMode: search_only, owner: team}"


def call(tool: str = "mail", **arguments: Any) -> ToolCall:
    return ToolCall(tool, arguments, CONTEXT)


def log(desk: Desk, kind: str | None = None) -> list[dict[str, Any]]:
    desk.governor.records.close()
    return history.records(desk.records, kind=kind)


def test_each_mode_runs_what_it_may(desk: Make) -> None:
    """Off denies, observe records, lower modes run their handler, then queue, run."""
    one = desk(MAIL)
    ran: list[str] = []

    @one.governor.tool(
        search=lambda to: ran.append("search"), draft=lambda to: ran.append("draft")
    )
    def mail(to: str) -> None:
        ran.append("tool")

    seen = {}
    for mode in MODES:
        one.set(mode=mode)
        ran.clear()
        outcome = one.governor.run(call(to="x"))
        seen[mode] = (outcome.effect.value, outcome.status.value, list(ran))
    assert seen == {
        "off": ("deny", "not_run", []),
        "observe": ("constrain", "not_run", []),
        "search_only": ("constrain", "executed", ["search"]),
        "scoped_read": ("constrain", "executed", ["search"]),
        "draft_write": ("constrain", "executed", ["draft"]),
        "approval_required": ("queue_for_approval", "not_run", []),
        "autonomous": ("allow", "executed", ["tool"]),
    }


def test_fallback_runs_the_fallback_handler(desk: Make) -> None:
    """In an incident a consequential call falls back; a look-up still runs."""
    one = desk(
        contract_yaml("mail", defaultMode="search_only", rollback=SAFE)
        + "---\n"
        + contract_yaml(
            "look",
            riskClass="search",
            reversibility="automatic",
            defaultMode="search_only",
            rollback=SAFE,
        )
    )
    one.governor.tool("mail", fallback=lambda to: "told a person")(lambda to: "sent")
    one.governor.tool("look")(lambda to: "found")
    one.set(fallback=True)
    outcome = one.governor.run(call(to="x"))
    assert (outcome.effect, outcome.value) == (Effect.FALLBACK, "told a person")
    looked = one.governor.run(call("look", to="x"))
    assert (looked.effect, looked.value) == (Effect.ALLOW, "found")


def test_kill_reaches_a_running_governor(desk: Make) -> None:
    """After a denylist entry or the global switch, the next decision denies."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    assert one.governor.run(call(to="x")).status is Status.EXECUTED
    one.set(denylist=["MAIL "])
    assert one.governor.run(call(to="x")).reason == "denylisted"
    one.set(on=False)
    assert one.governor.run(call(to="x")).reason == "kill_switch"
    assert len(one.calls) == 1


def test_plan_has_no_effect(desk: Make) -> None:
    """A plan says what would happen and leaves no record and no ticket."""
    one = desk(MAIL)
    tool = one.governor.tool("mail")(one.spy)
    planned = one.governor.plan(call(to="x"))
    assert (planned.effect, planned.status, planned.record_id) == (
        Effect.ALLOW,
        Status.PLANNED,
        "",
    )
    one.set(mode="off")
    with one.governor.acting(CONTEXT):
        assert "denied" in tool(to="x")
    assert [r["effect"] for r in log(one, "decision")] == ["deny"]


def test_decision_is_on_disk_before_a_consequential_action(desk: Make) -> None:
    """When the tool runs, its decision can already be read by another connection."""
    one = desk(MAIL)
    found: list[int] = []

    @one.governor.tool()
    def mail(to: str) -> None:
        found.append(len(history.records(one.records, kind="decision")))

    one.governor.run(call(to="x"))
    assert found == [1]


def test_queued_action_is_on_disk_when_the_caller_hears_of_it(desk: Make) -> None:
    """Whoever is told to wait for a reviewer can rely on the record to review."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    one.set(mode="approval_required")
    for count in range(1, 6):
        one.governor.run(call(to="x"))
        assert len(history.records(one.records, kind="decision")) == count


def test_async_decision_is_on_disk_and_a_failed_one_denies(desk: Make) -> None:
    """The async twin waits for the disk as well, and denies when it fails."""
    one = desk(MAIL)
    found: list[int] = []

    @one.governor.tool()
    async def mail(to: str) -> None:
        found.append(len(history.records(one.records, kind="decision")))

    async def session() -> Any:
        await one.governor.arun(call(to="x"))
        one.governor.records.close()
        return await one.governor.arun(call(to="x"))

    closed = asyncio.run(session())
    assert (closed.effect, closed.reason) == (Effect.DENY, "records_unavailable")
    assert found == [1]


def test_outcome_follows_the_decision(desk: Make) -> None:
    """Each run leaves a decision and an outcome that refers to it."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    outcome = one.governor.run(call(to="x"))
    decision, result = (r for r in log(one) if r["kind"] in ("decision", "outcome"))
    assert decision["id"] == outcome.record_id == result["ref"]
    assert (result["status"], result["ran"]) == ("executed", "tool")


def test_tool_exceptions_are_recorded_and_passed_on(desk: Make) -> None:
    """What a tool raises reaches the caller; the record names only its class."""
    one = desk(MAIL)

    @one.governor.tool()
    def mail(to: str) -> None:
        raise ValueError("secret 4711")

    with pytest.raises(ValueError, match="4711"):
        one.governor.run(call(to="x"))
    records = log(one)
    assert records[-2]["status"] == "failed"
    assert records[-2]["error"] == "ValueError"
    assert "4711" not in str(records)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_interrupts_are_recorded_and_passed_on(
    raised: type[BaseException], desk: Make
) -> None:
    """An interrupt inside a tool leaves an outcome and stays an interrupt."""
    one = desk(MAIL)

    @one.governor.tool()
    def mail(to: str) -> None:
        raise raised

    with pytest.raises(raised):
        one.governor.run(call(to="x"))
    assert log(one, "outcome")[0]["error"] == raised.__name__


def test_unknown_tools_and_unknown_actors_are_denied(desk: Make) -> None:
    """No registration, no look-alike and no missing context leads to a run."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    for name in ("nope", "Mail", "mail ", "m\u0430il", "mail\0", "", "\u202email"):
        assert one.governor.run(call(name, to="x")).reason == "tool_unknown"
    hostile: Any = ["mail"]
    assert one.governor.run(ToolCall(hostile, {}, CONTEXT)).reason == "tool_unknown"
    assert one.governor.run(ToolCall("mail", {"to": 1})).reason == "context_missing"
    assert one.calls == []
    assert len(log(one, "decision")) == 9


def test_garbage_in_place_of_a_context_is_denied(desk: Make) -> None:
    """A context of the wrong type is our caller's mistake and still a decision."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    for garbage in ("user", 5, {"actor": "root"}, object()):
        wrong: Any = garbage
        outcome = one.governor.run(ToolCall("mail", {"to": "x"}, wrong))
        assert (outcome.effect, outcome.reason) == (Effect.DENY, "internal_error")
    assert one.calls == []


def test_hard_boundary_comes_first(desk: Make) -> None:
    """Without the service identity and the scope, no flag lets the action run."""
    boundary = "{serviceIdentity: svc, apiScope: 'mail:send', blockedScopes: [admin]}"
    one = desk(contract_yaml("mail", hardBoundary=boundary))
    one.governor.tool("mail")(one.spy)

    def reason(**actor: Any) -> str:
        context = CallContext(actor=Actor(agent="a", **actor))
        return one.governor.plan(ToolCall("mail", {"to": "x"}, context)).reason

    assert reason() == "service_identity_mismatch"
    assert reason(service="svc") == "scope_missing"
    held = frozenset({"mail:send"})
    assert reason(service="svc", scopes=held) != "scope_missing"
    assert reason(service="svc", scopes=held | {"admin"}) == "blocked_scope_held"


def test_constraints_need_a_tool_that_applies_them(desk: Make) -> None:
    """Under constraints only a tool that narrows its arguments runs, and narrowed."""

    def limit(*_: Any) -> Verdict:
        few = (Constraint("records", limit=2),)
        return Verdict("limit", Mode.AUTONOMOUS, "limited", constraints=few)

    controls = Controls(guardrails=(("limit", limit),))
    one = desk(MAIL + "---\n" + SEARCH, controls)
    one.governor.tool("mail")(one.spy)

    def narrow(arguments: dict[str, Any], limits: tuple[Constraint, ...]) -> Any:
        return {**arguments, "rows": min(arguments["rows"], limits[0].limit or 0)}

    one.governor.tool("look", narrow=narrow)(one.spy)
    blind = one.governor.run(call(rows=9))
    assert (blind.effect, blind.status) == (Effect.CONSTRAIN, Status.NOT_RUN)
    seen = one.governor.run(call("look", rows=9))
    assert (seen.effect, seen.ran) == (Effect.CONSTRAIN, "tool")
    assert one.calls == [{"rows": 2}]
    narrowed = [r["narrowedDigest"] for r in log(one, "decision")]
    assert narrowed[0] is None
    assert narrowed[1] is not None


def test_a_fault_of_our_own_denies(desk: Make) -> None:
    """Whatever fails between call and decision denies: here, a broken narrower."""

    def limit(*_: Any) -> Verdict:
        few = (Constraint("records", limit=2),)
        return Verdict("limit", Mode.AUTONOMOUS, "limited", constraints=few)

    def narrow(arguments: dict[str, Any], _: tuple[Constraint, ...]) -> Any:
        return {"to": arguments["to"], arguments["more"]: 1}

    one = desk(MAIL, Controls(guardrails=(("limit", limit),)))
    ran: list[str] = []

    @one.governor.tool(narrow=narrow)
    def mail(to: str, more: Any = "more") -> None:
        ran.append(to)

    assert one.governor.run(call(to="x")).ran == "tool"
    unhashable = one.governor.run(call(to="x", more=[]))
    assert (unhashable.effect, unhashable.reason) == (Effect.DENY, "internal_error")
    surplus = one.governor.run(call(to="x", more="cc"))
    assert (surplus.effect, surplus.reason) == (Effect.DENY, "arguments_mismatch")
    assert ran == ["x"]
    assert len(log(one, "decision")) == 3


@pytest.mark.parametrize("answer", [None, "allow", True, RuntimeError("x")])
def test_a_guardrail_that_fails_says_off(answer: Any, desk: Make) -> None:
    """A guardrail that raises or answers nonsense denies, and others still count."""

    def guardrail(*_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    one = desk(MAIL, Controls(guardrails=(("mine", guardrail),)))
    one.governor.tool("mail")(one.spy)
    outcome = one.governor.run(call(to="x"))
    assert outcome.effect is Effect.DENY
    assert outcome.reason.startswith("control_")
    assert len(outcome.decision.verdicts) == 11


def test_conditions_need_a_human_unless_someone_says_no(desk: Make) -> None:
    """A named condition counts as true until a registered predicate says False."""
    approval = "{requiredFor: [vip]}"
    rules = contract_yaml(
        "look", riskClass="search", reversibility="automatic", approval=approval
    )

    def effect(*predicates: Any) -> Effect:
        named = dict(zip(["vip"], predicates, strict=False))
        made = desk(rules, Controls(predicates=named))
        made.governor.tool("look")(made.spy)
        made.set(mode="approval_required")
        return made.governor.plan(call("look")).effect

    def fail(_: Any) -> bool:
        raise RuntimeError

    assert effect() is Effect.QUEUE_FOR_APPROVAL
    assert effect(lambda _: True) is Effect.QUEUE_FOR_APPROVAL
    assert effect(lambda _: None) is Effect.QUEUE_FOR_APPROVAL
    assert effect(fail) is Effect.QUEUE_FOR_APPROVAL
    assert effect(lambda _: False) is Effect.ALLOW


def test_foreign_code_cannot_change_what_runs(desk: Make) -> None:
    """An extractor or guardrail that edits arguments reaches neither hash nor run."""

    def meddle(contract: ActionContract, *_: Any) -> Verdict:
        contract.arguments["amount"] = 999_999
        return Verdict("meddle", Mode.AUTONOMOUS, "fine")

    def edit(arguments: Any) -> int:
        arguments["amount"] = 500
        return 1

    one = desk(MAIL)
    one.governor.tool("mail", extract=Extractors(records=edit))(one.spy)
    one.governor.run(call(amount=5))
    assert one.calls == [{"amount": 5}]
    two = desk(MAIL, Controls(guardrails=(("meddle", meddle),)))
    two.governor.tool("mail")(two.spy)
    outcome = two.governor.run(call(amount=5))
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "arguments_altered")
    assert two.calls == []


def test_an_outcome_is_no_way_into_the_record(desk: Make) -> None:
    """Whoever edits the outcome's arguments changes no record and no run."""
    one = desk(contract_yaml("mail", evidence="{recordFields: [order]}"))
    tool = one.governor.tool("mail")(one.spy)
    with one.governor.acting(CONTEXT):
        outcome = one.governor.enforce(call(order="o-1"))
        outcome.arguments["order"] = "FORGED"
        contract = outcome.contract
        assert contract is not None
        tool(order="o-1")
        contract.arguments["order"] = "FORGED"
    assert one.calls == [{"order": "o-1"}]
    assert log(one, "decision")[0]["fields"] == {"order": "o-1"}


def test_handlers_honour_constraints_too(desk: Make) -> None:
    """A draft under a constraint runs narrowed, or not at all."""

    def limit(*_: Any) -> Verdict:
        few = (Constraint("records", limit=2),)
        return Verdict("limit", Mode.AUTONOMOUS, "limited", constraints=few)

    def narrow(arguments: dict[str, Any], limits: tuple[Constraint, ...]) -> Any:
        return {**arguments, "rows": min(arguments["rows"], limits[0].limit or 0)}

    def draft(rows: int) -> int:
        return rows

    for narrower, wanted in ((None, None), (narrow, 2)):
        one = desk(MAIL, Controls(guardrails=(("limit", limit),)))
        one.governor.tool("mail", draft=draft, narrow=narrower)(one.spy)
        one.set(mode="draft_write")
        assert one.governor.run(call(rows=9)).value == wanted


def test_a_search_stays_within_the_sources_that_are_allowed(desk: Make) -> None:
    """Confined by a guardrail: narrowed it runs; a narrower that does not, nothing."""
    rules = "[{kind: source_allowlist, allowed: [docs, faq]}]"
    one = desk(contract_yaml("find", riskClass="search", guardrails=rules))
    extract = Extractors(sources=lambda arguments: arguments["sources"])
    obedient = True

    def narrow(arguments: dict[str, Any], limits: tuple[Constraint, ...]) -> Any:
        (limit,) = limits
        among = limit.among or frozenset()
        kept = [name for name in arguments["sources"] if name in among]
        return {"sources": kept if obedient else arguments["sources"]}

    one.governor.tool("find", extract=extract, narrow=narrow)(one.spy)

    def find(*sources: str) -> Outcome:
        call = ToolCall("find", {"sources": list(sources)}, CONTEXT)
        return one.governor.run(call)

    assert find("docs").effect is Effect.ALLOW
    assert find("docs", "web").effect is Effect.CONSTRAIN
    assert find("web").reason == "source_not_allowed"
    assert one.calls == [{"sources": ["docs"]}, {"sources": ["docs"]}]
    obedient = False
    assert find("docs", "web").reason == "constraint_ignored"
    assert len(one.calls) == 2


FEW = Verdict("few", Mode.AUTONOMOUS, "few", constraints=(Constraint("rows", 2),))
SECOND = {
    "lower": (Verdict("second", Mode.OFF, "second"), Effect.DENY),
    "human": (Verdict("second", Mode.APPROVAL_REQUIRED, "second"), None),
    "need": (
        Verdict("second", Mode.APPROVAL_REQUIRED, "second", need=Mode.AUTONOMOUS),
        Effect.QUEUE_FOR_APPROVAL,
    ),
    "fallback": (
        Verdict("second", Mode.DRAFT_WRITE, "second", fallback=True),
        Effect.FALLBACK,
    ),
    "the same": (replace(FEW, control="second"), Effect.CONSTRAIN),
    "calm": (Verdict("second", Mode.AUTONOMOUS, "calm"), Effect.CONSTRAIN),
}


def _narrowing(desk: Make, second: Verdict, seen: list[Any], **changes: str) -> Any:
    """Return a desk whose *second* guardrail minds two rows, but not nine."""

    def few(*_: Any) -> Verdict:
        return FEW

    def minds(contract: ActionContract, *_: Any) -> Verdict:
        seen.append(contract.arguments["rows"])
        calm = Verdict("second", second.cap if second.need else Mode.AUTONOMOUS, "calm")
        return second if contract.arguments["rows"] == 2 else calm

    controls = Controls(guardrails=(("few", few), ("second", minds)))
    one = desk(contract_yaml("mail", **changes), controls)

    def narrow(arguments: dict[str, Any], limits: tuple[Constraint, ...]) -> Any:
        return {"rows": min(arguments["rows"], limits[0].limit or 0)}

    one.governor.tool("mail", narrow=narrow, consequence=lambda _: "mails")(one.spy)
    return one


@pytest.mark.parametrize("case", sorted(SECOND))
def test_a_narrowed_call_is_weighed_once_more(desk: Make, case: str) -> None:
    """What its arguments have become is judged as well, and the stricter counts."""
    second, effect = SECOND[case]
    seen: list[Any] = []
    changes = {"need": "scoped_read", "fallback": "external_effect"}
    one = _narrowing(desk, second, seen, riskClass=changes.get(case, "external_effect"))
    outcome = one.governor.run(call(rows=9))
    runs = effect is Effect.CONSTRAIN
    assert outcome.effect is (effect or Effect.QUEUE_FOR_APPROVAL)
    assert seen == [9, 2]
    assert one.calls == ([{"rows": 2}] if runs else [])
    if not runs:
        (record,) = log(one, "decision")
        reasons = [(one["control"], one["reason"]) for one in record["verdicts"]]
        assert ("second", "calm") in reasons
        assert ("second", "second") in reasons


@pytest.mark.parametrize("kind", ["rows", "region"])
def test_a_narrowed_call_is_not_narrowed_again(desk: Make, kind: str) -> None:
    """Constrained to something else it is denied: nobody applied that."""
    tighter = Verdict(
        "second", Mode.AUTONOMOUS, "tighter", constraints=(Constraint(kind, 1),)
    )
    seen: list[Any] = []
    one = _narrowing(desk, tighter, seen)
    outcome = one.governor.run(call(rows=9))
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "constrained_again")
    assert (one.calls, seen) == ([], [9, 2])


def test_a_call_that_needs_no_narrowing_is_weighed_once(desk: Make) -> None:
    """Within its constraints it runs as it is, and nothing is asked twice."""
    seen: list[Any] = []
    one = _narrowing(desk, SECOND["calm"][0], seen)
    assert one.governor.run(call(rows=1)).effect is Effect.CONSTRAIN
    assert (one.calls, seen) == ([{"rows": 1}], [1])


def test_narrowing_that_widens_is_denied(desk: Make) -> None:
    """What comes out of narrow is derived again and may be no more than was asked."""

    def limit(*_: Any) -> Verdict:
        few = (Constraint("amount", limit=2),)
        return Verdict("limit", Mode.AUTONOMOUS, "limited", constraints=few)

    one = desk(MAIL, Controls(guardrails=(("limit", limit),)))
    one.governor.tool(
        "mail",
        extract=Extractors(amount=lambda a: a["amount"]),
        narrow=lambda arguments, _: {"amount": arguments["amount"] * 200},
    )(one.spy)
    outcome = one.governor.run(call(amount=50))
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "narrowing_widened")
    assert one.calls == []


def test_what_cannot_be_written_down_does_not_happen(desk: Make) -> None:
    """A consequential action whose record has no encoding is denied beforehand."""

    def odd(*_: Any) -> Verdict:
        return Verdict("odd", Mode.AUTONOMOUS, "\ud800")

    one = desk(MAIL, Controls(guardrails=(("odd", odd),)))
    one.governor.tool("mail")(one.spy)
    assert one.governor.run(call(to="x")).effect is Effect.DENY
    two = desk(MAIL)
    huge = Extractors(records=lambda a: a["pages"] ** 9)
    two.governor.tool("mail", extract=huge)(two.spy)
    assert two.governor.run(call(pages=2**40)).reason == "records_unreadable"
    assert one.calls == two.calls == []


def test_unfinished_work_is_no_execution(desk: Make) -> None:
    """A sync tool that returns a coroutine, a task or a generator has failed."""

    async def later() -> None:
        """Run later."""

    def lazy() -> Any:
        return (number for number in range(3))

    async def stream() -> AsyncIterator[int]:
        yield 1

    class Task:
        """Be awaitable, as tasks are."""

        def __await__(self) -> Iterator[None]:
            yield

    class Pair(NamedTuple):
        """Hold two results."""

        first: Any
        second: Any

    def returning(work: Callable[[], Any]) -> Callable[..., Any]:
        return lambda to: work()

    waited: Future[None] = Future()
    several: list[Callable[[], Any]] = [
        *(later, lazy, Task, lambda: waited),
        *(lambda: map(str, "ab"), lambda: zip("a", "b", strict=True)),
        *(lambda: filter(None, "ab"), lambda: iter([1]), lambda: csv.reader(["a"])),
        *(lambda: [later(), later()], lambda: (1, waited), lambda: ["a", lazy()]),
        *(lambda: Pair(1, later()), stream),
    ]
    for work in several:
        one = desk(MAIL)
        one.governor.tool("mail")(returning(work))
        with pytest.raises(RegistrationError, match="unfinished"):
            one.governor.run(call(to="x"))
        assert [r["status"] for r in log(one, "outcome")] == ["failed"]


def test_printed_outcomes_tell_no_argument_and_nobodys_id(desk: Make) -> None:
    """What lands in a host's log says how a call ended, not about what or whom."""

    def seen(*_: Any) -> Verdict:
        return Verdict("seen", Mode.AUTONOMOUS, "ok", evidence={"to": "canary"})

    one = desk(MAIL, Controls(guardrails=(("seen", seen),)))
    one.governor.tool(
        "mail",
        extract=Extractors(
            amount=lambda a: a["amount"], record=lambda _: "canary", currency="EUR"
        ),
    )(lambda to, amount: f"sent to {to}")
    context = replace(CONTEXT, actor=replace(CONTEXT.actor, user="canary-user"))
    given = {"to": "canary", "amount": 4711}
    asked = ToolCall("mail", given, context, call_id="canary-call")
    ran = one.governor.run(asked)
    assert repr(ran) == (
        "Outcome(effect='allow', reason='approval_waived', status='executed', "
        f"record_id='{ran.record_id}', approval_id='')"
    )
    for shown in (repr(ran), repr(ran.decision), repr(ran.contract)):
        assert "canary" not in shown
        assert "4711" not in shown


def test_without_reviewers_nobody_is_said_to_be_asked(desk: Make) -> None:
    """A queued call that no person will see says so, to `run` and at the gate."""
    one = desk(MAIL)

    @one.governor.tool()
    def mail(to: str) -> str:
        one.calls.append({"to": to})
        return "sent"

    one.set(mode="approval_required")
    queued = one.governor.run(call(to="x"))
    assert (queued.effect, queued.approval_id) == (Effect.QUEUE_FOR_APPROVAL, "")
    with one.governor.acting(CONTEXT):
        told = queued.message, mail(to="x"), one.governor.decide(call(to="x")).message
    for text in told:
        assert "nobody to ask here" in text
        assert "waiting" not in text
        assert "will review" not in text
    assert queued.record_id in queued.message
    assert one.calls == []


def test_finished_work_is_passed_on_as_it_is(desk: Make) -> None:
    """Containers of results, ranges, lazy-looking types and open files are results."""
    one = desk(MAIL)
    given: list[Any] = [[], [1, [2]], (1, {"a": iter("")}), {1}, range(3), b"a", int]
    given += [io.StringIO("a"), [io.BytesIO(b"a")], [datetime.now(UTC)]]
    one.governor.tool("mail")(lambda to: given[to])
    for at, value in enumerate(given):
        assert one.governor.run(call(to=at)).value is value


def test_report_takes_one_known_status_for_one_known_decision(desk: Make) -> None:
    """No outcome for a queued action, an unknown id, twice, or in free words."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    ran = one.governor.decide(call(to="x")).record_id
    one.set(mode="approval_required")
    queued = one.governor.decide(call(to="x")).record_id
    for record_id, status in ((queued, "executed"), ("x", "executed"), (ran, "fine")):
        with pytest.raises(ValueError, match=r"record|status"):
            one.governor.report(record_id, status)
    one.governor.report(ran, "failed", error="Time\nout")
    with pytest.raises(ValueError, match="awaits no report"):
        one.governor.report(ran, "executed")
    assert [r["status"] for r in log(one, "outcome")] == ["failed"]


def test_two_governors_on_one_log_do_not_mix(desk: Make) -> None:
    """Record ids are one sequence a process, so that a shared log takes them all."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    two = Governor(
        one.governor.governance,
        one.governor._decider._reader,
        one.governor.records,
    )
    two.tool("mail")(one.spy)
    for governor in (one.governor, two, one.governor):
        assert governor.run(call(to="x")).status is Status.EXECUTED
    assert len(log(one, "decision")) == 3


def test_injected_parameters_are_not_the_agents(desk: Make) -> None:
    """An argument under an injected name is refused; so is injecting anything else."""
    one = desk(MAIL)

    @one.governor.tool(injected=("session",))
    def mail(to: str, *, session: Any = None, **rest: Any) -> str:
        return "sent"

    assert one.governor.run(call(to="x", session="admin")).effect is Effect.DENY
    with pytest.raises(RegistrationError, match="injected"):
        one.governor.run(call(to="x"), injected={"to": "y"})


def test_arguments_that_deny_what_they_hold_are_refused(desk: Make) -> None:
    """What a caller's mapping holds is read once: what is checked is what runs."""
    one = desk(MAIL)

    class Lying(dict[str, Any]):
        """Name one key of all that it holds."""

        def keys(self) -> Any:
            return {"to": 1}.keys()

    class Fickle(Mapping[str, Any]):
        """Hold more whenever it is read again."""

        def __init__(self) -> None:
            self.read = 0

        def __iter__(self) -> Iterator[str]:
            self.read += 1
            return iter(("to", "session")[: self.read])

        def __len__(self) -> int:
            return 1

        def __getitem__(self, key: str) -> Any:
            return "x"

    @one.governor.tool(injected=("session",))
    def mail(to: str, *, session: Any = None) -> Any:
        return session

    for given in ({"session": "admin"}, {"bcc": "y"}):
        lying = ToolCall("mail", Lying(to="x", **given), CONTEXT)
        assert one.governor.run(lying).reason == "arguments_mismatch"
    ran = one.governor.run(ToolCall("mail", Fickle(), CONTEXT))
    assert (ran.status, ran.value) == (Status.EXECUTED, None)
    assert len(log(one, "outcome")) == 1


def test_arguments_are_copied_before_anything_happens(desk: Make) -> None:
    """A later edit of the caller's list reaches neither the digest nor the run."""
    one = desk(MAIL)
    seen: list[Any] = []
    shared = ["a"]

    @one.governor.tool(extract=Extractors(records=lambda a: _grow(a, shared)))
    def mail(to: list[str]) -> None:
        seen.append(list(to))

    def _grow(arguments: Any, mine: list[str]) -> int:
        mine.append("smuggled")
        return len(arguments["to"])

    one.governor.run(call(to=shared))
    assert seen == [["a"]]


def test_defaults_and_injected_parameters(desk: Make) -> None:
    """Omitted defaults are part of the action; injected parameters are not."""
    one = desk(MAIL)
    seen: list[Any] = []

    @one.governor.tool(injected=("session",))
    def mail(to: str, urgent: bool = False, *, session: Any = None) -> str:
        """Send."""
        seen.append((to, urgent, session))
        return "sent"

    first = one.governor.plan(call(to="x")).contract
    second = one.governor.plan(call(to="x", urgent=False)).contract
    assert first is not None
    assert second is not None
    assert first.digest == second.digest
    with one.governor.acting(CONTEXT):
        mail("x", session=object)
    one.governor.run(call(to="y"), injected={"session": 1})
    assert seen == [("x", False, object), ("y", False, 1)]
    assert (mail.__name__, mail.__doc__) == ("mail", "Send.")


def test_misfit_arguments_are_denied_with_a_record(desk: Make) -> None:
    """Missing, surplus and doubled arguments are refused before the tool sees them."""
    one = desk(MAIL)

    @one.governor.tool()
    def mail(to: str) -> str:
        return "sent"

    wrong: Any = mail
    with one.governor.acting(CONTEXT):
        assert "denied" in wrong()
        assert "denied" in wrong("x", "y")
        assert "denied" in wrong("x", to="y")
        assert "denied" in wrong(to="x", cc="y")
    reasons = {r["reason"] for r in log(one, "decision")}
    assert reasons == {"arguments_mismatch", "arguments_invalid"}


@pytest.mark.parametrize(
    ("arguments", "detail"),
    [
        ({}, "missing: to, when"),
        ({"to": 1, "wen": 2}, "missing: when; unexpected: wen"),
        ({"to": 1, "when": 2, "cc": 3, "bcc": 4}, "unexpected: bcc, cc"),
        ({"to": 1, "when": 2, "run": 3}, "injected: run"),
        (
            {"to": 1, "when": 2, "ann@corp.example": 3, "cc": 4},
            "unexpected: cc, 2 in all",
        ),
        ({"to": 1, "when": 2, "forget all this": 3}, "unexpected: 1 in all"),
        ({"to": 1, "when": 2, "c\x1b[2Jc": 3, "c\u202e": 4}, "unexpected: 2 in all"),
        ({"to": 1, "when": 2, "c\n": 3, 4: 5, None: 6}, "unexpected: 3 in all"),
        ({"to": 1, "when": 2, "c" * 65: 3}, "unexpected: 1 in all"),
        (
            {"to": 1, "when": 2, **dict.fromkeys("abcdefgh")},
            "unexpected: a, b, c, d, e, f, 8 in all",
        ),
    ],
)
def test_a_misfit_is_named_unless_the_model_made_it_up(
    desk: Make, arguments: dict[Any, Any], detail: str
) -> None:
    """The tool's own parameters are; any other name only if it could be one."""
    one = desk(MAIL)
    one.governor.tool("mail", injected=("run",))(lambda to, when, run: None)
    outcome = one.governor.run(ToolCall("mail", arguments, CONTEXT))
    assert outcome.reason == "arguments_mismatch"
    assert log(one, "decision")[-1]["detail"] == detail


def test_registration_refuses_what_cannot_be_governed(desk: Make) -> None:
    """No contract, a taken name, unnameable parameters, generators, mixed colours."""
    one = desk(MAIL + "---\n" + SEARCH)
    register = one.governor.tool

    async def later(to: str) -> None:
        """Be async."""

    def stream(to: str) -> Any:
        yield to

    bad: list[Callable[[], Any]] = [
        lambda: register("nope")(one.spy),
        lambda: register("mail")(lambda *args: None),
        lambda: register("mail")(stream),
        lambda: register("mail", draft=later)(lambda to: None),
    ]
    for attempt in bad:
        with pytest.raises(RegistrationError):
            attempt()
    register("mail")(one.spy)
    with pytest.raises(RegistrationError):
        register("mail")(one.spy)


def test_async_twins_do_the_same(desk: Make) -> None:
    """plan, decide, enforce and run have async twins with equal results."""
    one = desk(MAIL + "---\n" + SEARCH)

    @one.governor.tool()
    async def mail(to: str) -> str:
        await asyncio.sleep(0)
        return f"sent {to}"

    one.governor.tool("look")(one.spy)

    async def session() -> list[Any]:
        gov = one.governor
        with gov.acting(CONTEXT):
            planned = await gov.aplan(call(to="x"))
            decided = await gov.adecide(call(to="x"))
            released = await gov.aenforce(call(to="x"))
            ran = await gov.arun(call(to="x"))
            threaded = await gov.arun(call("look", q=1))
            return [
                planned.status.value,
                decided.status.value,
                released.status.value,
                await mail("x"),
                ran.value,
                threaded.value,
            ]

    assert asyncio.run(session()) == [
        "planned",
        "decided",
        "released",
        "sent x",
        "sent x",
        "ran",
    ]
    for twin in (one.governor.run, one.governor.enforce):
        with pytest.raises(RegistrationError, match="use the async twin"):
            twin(call(to="x"))
    assert len(log(one, "decision")) == 4


def test_timeout_around_a_decision_is_a_timeout(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3: the SDK's async client loses a cancellation; here it stays what it is."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)

    async def never(_: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(one.governor.records, "acommit", never)

    async def session() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.governor.arun(call(to="x")), 0.05)

    asyncio.run(session())
    assert one.calls == []
    assert [r["status"] for r in log(one, "outcome")] == ["cancelled"]


def test_cancellation_is_recorded_and_passed_on(desk: Make) -> None:
    """A cancelled async tool leaves the outcome cancelled and raises CancelledError."""
    one = desk(MAIL)
    begun = asyncio.Event()

    @one.governor.tool()
    async def mail(to: str) -> None:
        begun.set()
        await asyncio.sleep(60)

    async def session() -> None:
        task = asyncio.create_task(one.governor.arun(call(to="x")))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(session())
    assert [r["status"] for r in log(one, "outcome")] == ["cancelled"]


def test_cancel_at_any_moment_leaves_no_silent_run(desk: Make) -> None:
    """Cancelled 200 times at growing delays: every run has a decision and outcome."""
    one = desk(MAIL)
    ran: list[str] = []

    @one.governor.tool()
    async def mail(to: str) -> None:
        ran.append(to)
        await asyncio.sleep(0.0005)

    async def session() -> None:
        for number in range(200):
            task = asyncio.create_task(one.governor.arun(call(to=str(number))))
            await asyncio.sleep(number * 0.00001)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(session())
    records = log(one)
    decisions = {r["id"] for r in records if r["kind"] == "decision"}
    outcomes = [r["ref"] for r in records if r["kind"] == "outcome"]
    assert sorted(outcomes) == sorted(decisions)
    started = [r for r in records if r["kind"] == "outcome" and r["ran"] == "tool"]
    assert len(started) == len(ran)


def test_a_cancelled_thread_still_reports_its_end(desk: Make) -> None:
    """A sync tool cannot be cancelled: what it really did is recorded when it ends."""
    one = desk(MAIL)
    begun, release = threading.Event(), threading.Event()

    @one.governor.tool()
    def mail(to: str) -> None:
        begun.set()
        release.wait(10)

    async def session() -> None:
        task = asyncio.create_task(one.governor.arun(call(to="x")))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()

    asyncio.run(session())
    one.governor.close()
    assert [r["status"] for r in log(one, "outcome")] == ["executed"]


def test_decide_and_report(desk: Make) -> None:
    """Whoever runs the tool after decide reports the outcome; silence is unknown."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    told = one.governor.decide(call(to="x"))
    one.governor.report(told.record_id, "executed", cost=Decimal("0.02"))
    silent = one.governor.decide(call(to="y"))
    outcomes = {r["ref"]: r["status"] for r in log(one, "outcome")}
    assert outcomes == {told.record_id: "executed", silent.record_id: "unknown"}


def test_records_hold_no_arguments_but_the_listed_ones(desk: Make) -> None:
    """Only fields that the contract lists are recorded; the rest is a digest."""
    one = desk(contract_yaml("mail", evidence="{recordFields: [order]}"))
    one.governor.tool("mail")(one.spy)
    one.governor.run(call(order="o-1", body="canary-7f3a", to="jane@example.com"))
    decision = log(one, "decision")[0]
    assert decision["fields"] == {"order": "o-1"}
    assert "canary" not in str(decision)
    assert "jane" not in str(decision)
    raw = one.records.read_bytes()
    assert b"canary" not in raw
    assert b"jane" not in raw


def test_message_tells_the_model_what_to_do(desk: Make) -> None:
    """A blocked call says that it was not executed and not to retry, and no rule."""
    one = desk(MAIL)
    one.governor.tool("mail")(one.spy)
    for mode, word in (("off", "denied"), ("approval_required", "approval")):
        one.set(mode=mode)
        message = one.governor.run(call(to="x")).message
        assert "Not executed" in message
        assert "Do not retry" in message
        assert word in message
        assert "gov." not in message

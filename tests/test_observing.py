"""What guardrails remember: days, rests, steps, refusals and signals; bounded."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov import Effect, Governor, ToolCall
from openfeature_gov.controls import Controls
from openfeature_gov.controls.guardrails import weigh
from openfeature_gov.extracting import Extractors
from openfeature_gov.governance import Governance
from openfeature_gov.governance.guardrails import Money
from openfeature_gov.observing import Observer
from openfeature_gov.observing.days import Days, day_of
from openfeature_gov.observing.table import Table
from openfeature_gov.outcomes import Outcome, Status
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Desk, Make, contract_yaml
from tests.guarding import ACTION, NOW, ruled

PAID = Extractors(
    amount=lambda a: Decimal(a["amount"]),
    record=lambda a: a.get("record", "r-1"),
    currency="USD",
)
DAILY = (
    "[{kind: money, name: daily, limit: 1000, currency: USD, per: customer,"
    " cap: approval_required}]"
)
DAY_US = 86_400_000_000


def pay(amount: object, **changes: Any) -> ToolCall:
    context = replace(CONTEXT, **changes) if changes else CONTEXT
    return ToolCall("pay", {"amount": str(amount)}, context)


def called(record: str) -> ToolCall:
    return ToolCall("pay", {"amount": "1", "record": record}, CONTEXT)


def paid(amount: str, record: str = "r-1") -> str:
    return f"paid {amount} for {record}"


def paying(desk: Make, guardrails: str = DAILY, **more: Any) -> Desk:
    one = desk(contract_yaml("pay", guardrails=guardrails), **more)
    one.governor.tool("pay", extract=PAID)(paid)
    return one


def reopened(one: Desk) -> Governor:
    one.governor.close()
    governor = Governor.open(one.governance, one.flags, one.records)
    governor.tool("pay", extract=PAID)(paid)
    return governor


def why(outcome: Outcome) -> str:
    return outcome.decision.reason


def test_a_day_adds_up_to_the_limit_and_no_cent_more(desk: Make) -> None:
    """What ran counts; what was queued does not; another customer has a day too."""
    governor = paying(desk).governor
    assert governor.run(pay(600)).effect is Effect.ALLOW
    assert governor.run(pay("400.01")).effect is Effect.QUEUE_FOR_APPROVAL
    assert governor.run(pay(400)).effect is Effect.ALLOW
    assert governor.run(pay("0.01")).effect is Effect.QUEUE_FOR_APPROVAL
    assert governor.run(pay(0)).effect is Effect.ALLOW
    other = replace(CONTEXT.actor, user="user-2")
    assert governor.run(pay(1000, actor=other)).effect is Effect.ALLOW
    nobody = replace(CONTEXT.actor, user="")
    assert why(governor.run(pay(1, actor=nobody))) == "spent_unknown"


def test_64_threads_cannot_spend_a_day_twice(desk: Make) -> None:
    """Of 64 payments of 100 at once, ten run: looking and taking is one step."""
    governor = paying(desk).governor
    gate = threading.Barrier(64)

    def one(_: int) -> Effect:
        gate.wait(60)
        return governor.run(pay(100)).effect

    with ThreadPoolExecutor(64) as pool:
        effects = list(pool.map(one, range(64)))
    assert effects.count(Effect.ALLOW) == 10
    assert effects.count(Effect.QUEUE_FOR_APPROVAL) == 54


def test_a_call_with_a_ticket_does_not_count_against_itself(desk: Make) -> None:
    """Judged again at the gate, its own money and its own probe are left out."""
    one = desk(contract_yaml("pay", guardrails=DAILY))
    pay_now = one.governor.tool("pay", extract=PAID)(paid)
    assert one.governor.enforce(pay(700)).status is Status.RELEASED
    with one.governor.acting(CONTEXT):
        assert pay_now(amount="700") == "paid 700 for r-1"
    assert one.governor.run(pay(700)).effect is Effect.QUEUE_FOR_APPROVAL


@pytest.mark.parametrize(
    ("status", "left"),
    [("executed", False), ("failed", False), ("cancelled", False), ("not_run", True)],
)
def test_only_what_did_not_run_gives_its_money_back(
    desk: Make, status: str, *, left: bool
) -> None:
    """What failed or was cancelled may have moved money all the same.

    A plan asks no ledger: it says what the process itself remembers.
    """
    governor = paying(desk).governor
    outcome = governor.decide(pay(1000))
    governor.report(outcome.record_id, status)
    assert (governor.plan(pay(1000)).effect is Effect.ALLOW) is left
    assert (governor.run(pay(1000)).effect is Effect.ALLOW) is left


def test_a_restart_remembers_the_day(desk: Make) -> None:
    """Today's money comes back from the records, without what did not run."""
    one = paying(desk)
    one.governor.run(pay(900))
    one.governor.report(one.governor.decide(pay(100)).record_id, "not_run")
    governor = reopened(one)
    with governor:
        assert governor.run(pay("100.01")).effect is Effect.QUEUE_FOR_APPROVAL
        assert governor.run(pay(100)).effect is Effect.ALLOW


def test_amounts_that_nobody_can_read_use_the_day_up(desk: Make) -> None:
    """Where such a call may run at all, the rest of the day waits for a person."""
    settings = DAILY.replace("cap:", "unknown: approval_required, cap:")
    one = desk(contract_yaml("pay", guardrails=settings))
    euro = replace(PAID, currency="EUR")
    one.governor.tool("pay", extract=euro)(paid)
    outcome = one.governor.run(pay(1))
    assert (outcome.effect, why(outcome)) == (
        Effect.QUEUE_FOR_APPROVAL,
        "currency_mismatch",
    )


def test_tools_of_a_workflow_share_a_day(desk: Make) -> None:
    """With ``across: workflow`` two tools draw on one total."""
    shared = DAILY.replace("limit", "across: workflow, limit")
    texts = [contract_yaml(tool, guardrails=shared) for tool in ("pay", "gift")]
    governor = desk("---\n".join(texts)).governor
    for tool in ("pay", "gift"):
        governor.tool(tool, extract=PAID)(paid)
    assert governor.run(pay(900)).effect is Effect.ALLOW
    gift = ToolCall("gift", {"amount": "200"}, CONTEXT)
    assert governor.run(gift).effect is Effect.QUEUE_FOR_APPROVAL


def test_actions_that_a_limit_is_not_for_spend_nothing(desk: Make) -> None:
    """A call of the same tool beside ``only`` uses no day up, readable or not."""
    listed = DAILY.replace("limit", "only: {riskClasses: [admin_action]}, limit")
    one = desk(contract_yaml("pay", guardrails=listed))
    risk = replace(PAID, risk=lambda a: a["record"], amount=None)
    one.governor.tool("pay", extract=risk)(paid)
    call = ToolCall("pay", {"amount": "1", "record": "external_effect"}, CONTEXT)
    assert one.governor.run(call).effect is Effect.ALLOW
    observer = one.governor._decider.observer
    known = observer.situation(ACTION, one.governor.governance.contracts["pay"])
    assert known.spent == {"daily": Decimal(0)}


ERRORS = "[{kind: tool_errors, failures: 2, cooldownSeconds: 1}]"


class Clock:
    """Tell the time that a test sets."""

    def __init__(self) -> None:
        self.us = NOW

    def __call__(self) -> int:
        return self.us


def observed(*listed: str, **more: Any) -> tuple[Any, Observer, Clock]:
    """Return the rules with the guardrails *listed*, an observer, and its clock."""
    rules = ruled(*listed)
    clock = Clock()
    return rules, Observer(Governance({rules.tool: rules}), clock, **more), clock


def test_a_failing_tool_rests_and_is_probed_once(desk: Make) -> None:
    """Two failures open it; a second call beside the probe is refused."""
    rules, observer, clock = observed(ERRORS[2:-2])

    def judged(own: str = "") -> Any:
        return weigh(ACTION, rules, observer.situation(ACTION, rules, own))

    for number in range(2):
        given = judged()
        assert given[0].reason == "clear"
        assert observer.begin(ACTION, given, f"r-{number}", full=True)
        observer.end(f"r-{number}", "failed")
    assert judged()[0].reason == "breaker_open"
    clock.us += 1_000_000
    first, second = judged(), judged()
    assert first[0].reason == second[0].reason == "clear"
    assert observer.begin(ACTION, first, "probe", full=True)
    assert not observer.begin(ACTION, second, "late", full=True)
    assert judged()[0].reason == "breaker_probing"
    assert judged("probe")[0].reason == "clear"
    observer.end("probe", "executed")
    assert judged()[0].reason == "clear"


def test_a_tool_that_raises_opens_its_breaker(desk: Make) -> None:
    """Through a Governor: exceptions of the tool count, and then it does not run."""
    one = desk(contract_yaml("pay", guardrails=ERRORS))

    def fail(amount: str, record: str = "") -> str:
        raise OSError

    one.governor.tool("pay", extract=PAID)(fail)
    for _ in range(2):
        with pytest.raises(OSError):
            one.governor.run(pay(1))
    outcome = one.governor.run(pay(1))
    assert (outcome.effect, why(outcome)) == (Effect.DENY, "breaker_open")


REFUSALS = "{kind: refusals, count: 3, windowMinutes: 10, cap: observe}"


def test_an_agent_that_keeps_asking_is_paused(desk: Make) -> None:
    """After three refusals everything of it is observed only, also after a restart."""
    listed = f"[{REFUSALS}]"
    one = paying(desk, listed)
    for number in range(3):
        assert one.governor.run(ToolCall(f"x{number}", {}, CONTEXT)).effect == "deny"
    outcome = one.governor.run(pay(1))
    assert (outcome.effect, why(outcome)) == (Effect.CONSTRAIN, "refused_repeatedly")
    other = replace(CONTEXT.actor, agent="agent-2")
    assert one.governor.run(pay(1, actor=other)).effect is Effect.ALLOW
    with reopened(one) as governor:
        assert why(governor.run(pay(1))) == "refused_repeatedly"


def test_its_own_refusals_do_not_make_a_pause_longer(desk: Make) -> None:
    """Only what others refuse counts."""
    one = paying(desk, f"[{REFUSALS.replace('observe', 'off')}]")
    for _ in range(3):
        one.governor.run(ToolCall("unknown", {}, CONTEXT))
    observer = one.governor._decider.observer
    before = observer.situation(ACTION, one.governor.governance.contracts["pay"])
    for _ in range(5):
        assert why(one.governor.run(pay(1))) == "refused_repeatedly"
    after = observer.situation(ACTION, one.governor.governance.contracts["pay"])
    assert before.refusals == after.refusals


SECRET = """
guardrails:
  - kind: sequence
    name: secret-then-outside
    first: {tools: [read_secret]}
    then: {riskClasses: [external_effect]}
    cap: off
"""


def secrets(desk: Make) -> Desk:
    texts = [
        contract_yaml("read_secret", riskClass="sensitive_read"),
        contract_yaml("pay"),
    ]
    one = desk(SECRET + "---\n".join(texts))
    one.governor.tool("read_secret")(lambda: "secret")
    one.governor.tool("pay", extract=PAID)(paid)
    return one


READ = ToolCall("read_secret", {}, CONTEXT)


def test_reading_a_secret_closes_the_way_out_for_its_task(desk: Make) -> None:
    """In the same task, its parent and its children; not in another one."""
    one = secrets(desk)
    assert one.governor.run(pay(1)).effect is Effect.ALLOW
    assert one.governor.run(READ).effect is Effect.ALLOW
    assert why(one.governor.run(pay(1))) == "sequence_completed"
    child = {"task": "child", "parent_task": "task-1"}
    assert why(one.governor.run(pay(1, **child))) == "sequence_completed"
    assert one.governor.run(pay(1, task="task-2")).effect is Effect.ALLOW
    kid = replace(CONTEXT, task="kid", parent_task="task-3")
    assert one.governor.run(replace(READ, context=kid)).effect is Effect.ALLOW
    assert why(one.governor.run(pay(1, task="task-3"))) == "sequence_completed"
    one.governor.close()
    governor = Governor.open(one.governance, one.flags, one.records)
    governor.tool("pay", extract=PAID)(paid)
    with governor:
        assert why(governor.run(pay(1))) == "sequence_completed"


SIGNAL = """[{kind: signal, metric: errors, above: 5, namedRelease: true,
    cap: approval_required, missing: observe}]"""


def test_a_signal_takes_authority_back_until_somebody_lets_go(desk: Make) -> None:
    """Silence is strict; a bad value caps; a good one needs a name to let go."""
    one = paying(desk, SIGNAL)
    governor = one.governor
    assert why(governor.run(pay(1))) == "signal_missing"
    assert governor.report_signal("errors", 1) == 1
    assert governor.run(pay(1)).effect is Effect.ALLOW
    governor.report_signal("errors", Decimal(99))
    assert why(governor.run(pay(1))) == "signal_fired"
    assert governor.release_signal("errors", by="dana", reason="looked") == ("pay",)
    for _ in range(64):
        governor.report_signal("errors", 0.5)
    assert why(governor.run(pay(1))) == "signal_fired"
    with reopened(one) as governor:
        assert why(governor.run(pay(1))) == "signal_fired"
        governor.report_signal("errors", 1)
        assert why(governor.run(pay(1))) == "signal_fired"
        assert governor.release_signal("errors", by="dana", reason="fixed") == ()
        assert governor.run(pay(1)).effect is Effect.ALLOW
    (last,) = [r for r in history.records(one.records) if r.get("reason") == "fixed"]
    assert (last["kind"], last["metric"], last["actor"]) == (
        "signal_release",
        "errors",
        "dana",
    )


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("sNaN"), True, "1", None]
)
def test_a_signal_is_a_finite_number(desk: Make, value: Any) -> None:
    """Anything else is refused, and is no sample."""
    governor = paying(desk, SIGNAL).governor
    with pytest.raises(ValueError, match="no finite number"):
        governor.report_signal("errors", value)
    assert why(governor.run(pay(1))) == "signal_missing"


def test_a_signal_must_be_somebodys_and_a_release_has_a_name(desk: Make) -> None:
    """A metric that no guardrail names, no reason or one to cut, no id are refused."""
    governor = paying(desk, SIGNAL).governor
    with pytest.raises(ValueError, match="no guardrail names"):
        governor.report_signal("eros", 1)
    asked = (("", "why"), ("a b", "why"), ("dana", " "), ("dana", "w" * 257))
    for by, reason in asked:
        with pytest.raises(ValueError, match="release"):
            governor.release_signal("errors", by=by, reason=reason)


def test_erased_users_are_left_alone(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host says who was erased; without a word of it, nobody can be touched."""
    budget = "openfeature_gov.policies.erasures.SECONDS"
    monkeypatch.setattr(budget, 30.0)  # the machine may be busy
    listed = "[{kind: data_rules, erased: true}]"
    controls = Controls(erased=lambda name: name == "user-1")
    governor = paying(desk, listed, controls=controls).governor
    assert why(governor.run(pay(1))) == "user_erased"
    actor = replace(CONTEXT.actor, user="user-2")
    assert governor.run(pay(1, actor=actor)).effect is Effect.ALLOW
    assert why(paying(desk, listed).governor.run(pay(1))) == "erasures_unknown"

    def down(_: str) -> bool:
        raise OSError

    hang = threading.Event()
    monkeypatch.setattr(budget, 0.05)
    for erased in (down, lambda _: hang.wait(60)):
        broken = paying(desk, listed, controls=Controls(erased=erased)).governor
        assert why(broken.run(pay(1))) == "erasures_unknown"
    hang.set()


def test_a_table_forgets_only_what_no_longer_counts() -> None:
    """Full of what counts it takes no more; the oldest goes once it is too old."""
    table: Table[str, int] = Table(2, 100)
    table.put("a", 1, 0)
    table.put("b", 2, 10)
    table.put("a", 3, 20)
    assert not table.room("c", 110)
    table.put("c", 4, 110)
    assert (table.get("c"), len(table)) == (None, 2)
    assert table.room("c", 111)
    table.put("c", 4, 111)
    assert [table.get(key) for key in "abc"] == [3, None, 4]
    assert (table.pop("a"), table.pop("a")) == (3, None)


def test_a_full_memory_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """One task more than fits is judged by the strictest, not by a guess."""
    monkeypatch.setattr("openfeature_gov.observing.steps.TASKS", 1)
    rules, observer, _ = observed("kind: sequence, first: {tools: [tool]}")
    given = weigh(ACTION, rules, observer.situation(ACTION, rules))
    assert observer.begin(ACTION, given, "r-1", full=True)
    context = replace(ACTION.context, task="task-2")
    known = observer.situation(replace(ACTION, context=context), rules)
    assert known.preceded == {}


def test_days_begin_at_midnight_where_the_business_is() -> None:
    """Also on the days on which the clock changes."""
    hour = DAY_US // 24
    midnight = 1_792_879_200_000_000  # 25 October 2026, 00:00 in Berlin
    assert (
        day_of(midnight, "Europe/Berlin") == day_of(midnight - 1, "Europe/Berlin") + 1
    )
    last = midnight + 25 * hour - 1
    assert day_of(last, "Europe/Berlin") == day_of(midnight, "Europe/Berlin")
    assert day_of(last + 1, "Europe/Berlin") == day_of(midnight, "Europe/Berlin") + 1


def test_a_clock_that_goes_back_does_not_empty_the_day() -> None:
    """The later day's total holds."""
    text = "kind: money, limit: 10, currency: USD, per: customer"
    rules, observer, clock = observed(text)
    given = weigh(ACTION, rules, observer.situation(ACTION, rules))
    assert observer.begin(ACTION, given, "r-1", full=True)
    clock.us -= 3 * DAY_US
    assert observer.situation(ACTION, rules).spent["money"] == Decimal(10)
    clock.us += 4 * DAY_US
    assert observer.situation(ACTION, rules).spent["money"] == Decimal(0)


def test_visible_tools_leave_out_what_is_denied_anyhow(desk: Make) -> None:
    """By scopes, denylists and kill switch; what waits for a person is listed."""
    boundary = "{apiScope: mail:send}"
    texts = [
        contract_yaml("pay"),
        contract_yaml("mail", hardBoundary=boundary),
        contract_yaml("drop", guardrails="[{kind: denylist, tools: [drop]}]"),
    ]
    one = desk("---\n".join(texts))
    for tool in ("pay", "mail", "drop"):
        one.governor.tool(tool)(lambda: "ran")
    assert one.governor.visible_tools(CONTEXT) == ("pay",)
    actor = replace(CONTEXT.actor, scopes=frozenset({"mail:send"}))
    able = replace(CONTEXT, actor=actor)
    assert one.governor.visible_tools(able) == ("mail", "pay")
    one.set(approval=True, mode="approval_required")
    assert one.governor.visible_tools(able) == ("mail", "pay")
    one.set(denylist=["pay"])
    assert one.governor.visible_tools(able) == ("mail",)
    one.set(on=False)
    assert one.governor.visible_tools(able) == ()
    before = len(list(history.records(one.records)))
    one.governor.visible_tools(able)
    assert len(list(history.records(one.records))) == before


FORKED = """
import os, signal, sys
sys.path[:0] = {roots!r}
from openfeature_gov.governance import Governance
from openfeature_gov.observing import Observer
from tests.guarding import ACTION, NOW, ruled
rules = ruled("kind: refusals, count: 3")
observer = Observer(Governance({{"tool": rules}}), lambda: NOW)
with observer._lock:  # as another thread may hold it
    child = os.fork()
    if not child:
        signal.alarm(60)
        observer.refused("agent-1", "task-1", NOW)
        known = observer.situation(ACTION, rules).refusals
        os._exit(0 if known == {{"refusals": (NOW,)}} else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_leaves_no_lock_behind() -> None:
    """A child of a fork remembers by itself, whatever its parent held."""
    root = Path(__file__).parents[1]
    roots = [str(root / name) for name in ("", "providers", "rollout")]
    code = FORKED.format(roots=roots)
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=120)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "name",
    ["boss@corp.example", "BOSS@Corp.example", " vip-1", "VIP-1", "vip-1\u200b"],
)
def test_no_spelling_of_a_record_slips_past_the_list(desk: Make, name: str) -> None:
    """Also of names that are no ids, of which records hold only a digest."""
    listed = "[{kind: data_rules, never: ['Boss@corp.example', 'vip-*']}]"
    one = paying(desk, listed)
    assert why(one.governor.run(called(name))) == "record_off_limits"
    assert one.governor.run(called("other@corp.example")).effect is Effect.ALLOW
    one.governor.close()
    assert b"corp.example" not in one.records.read_bytes()


def test_the_host_is_asked_about_a_record_by_its_name(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by its digest, which no list of erased people holds."""
    monkeypatch.setattr("openfeature_gov.policies.erasures.SECONDS", 30.0)
    controls = Controls(erased=lambda name: name == "alice@corp.example")
    listed = "[{kind: data_rules, erased: true}]"
    governor = paying(desk, listed, controls=controls).governor
    assert why(governor.run(called("alice@corp.example"))) == "user_erased"
    assert governor.run(called("bob@corp.example")).effect is Effect.ALLOW


def test_an_amount_beyond_measure_takes_nothing_along_when_it_goes() -> None:
    """A sum of so many digits would forget what the day moved before."""
    rules = ruled("kind: money, limit: 1000, currency: USD, per: customer")
    (money,) = rules.guardrails
    assert isinstance(money, Money)
    days = Days()
    days.spend([money], replace(ACTION, amount=Decimal("500.25")), rules, NOW)
    huge = days.spend([money], replace(ACTION, amount=Decimal(10) ** 60), rules, NOW)
    days.give_back(huge, NOW)
    assert days.total(money, ACTION, rules, {}, NOW) == Decimal("500.25")


def test_a_list_without_a_source_is_not_within_the_allowed_ones(desk: Make) -> None:
    """For most tools it means all of them; naming the allowed ones does not."""
    listed = "[{kind: source_allowlist, allowed: [docs, faq]}]"
    one = desk(contract_yaml("find", guardrails=listed))
    run: list[list[str]] = []

    def narrow(asked: dict[str, Any], limits: Any) -> dict[str, Any]:
        allowed = limits[0].among
        return {"sources": [name for name in asked["sources"] if name in allowed]}

    extract = Extractors(sources=lambda asked: asked["sources"])

    def find(sources: list[str]) -> None:
        run.append(sources)

    one.governor.tool("find", extract=extract, narrow=narrow)(find)
    one.governor.run(ToolCall("find", {"sources": []}, CONTEXT))
    assert run == []
    one.governor.run(ToolCall("find", {"sources": ["docs", "hr"]}, CONTEXT))
    assert run == [["docs"]]


def test_a_breaker_that_would_miss_errors_says_so(
    desk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no further call can be remembered until it ends, no failure would count."""
    monkeypatch.setattr("openfeature_gov.observing.observer.RUNNING", 2)
    governor = paying(desk, "[{kind: tool_errors, failures: 1}]").governor
    first, second = governor.decide(pay(1)), governor.decide(pay(2))
    assert why(governor.run(pay(3))) == "errors_unknown"
    governor.report(first.record_id, "executed")
    governor.report(second.record_id, "executed")
    assert governor.run(pay(3)).effect is Effect.ALLOW


def test_a_step_counts_for_every_task_above_and_below(desk: Make) -> None:
    """A task cannot hand the second half to the child of its child, or back up."""
    guarded = "[{kind: sequence, cap: 'off', first: {tools: [read]}}]"
    rules = contract_yaml("send", guardrails=guarded)
    for reads, sends in (("t1", "t3"), ("t3", "t1"), ("t4", "t1"), ("t1", "t4")):
        governor = desk(f"{rules}\n---\n{contract_yaml('read')}").governor
        governor.tool("read")(lambda: "secret")
        governor.tool("send")(lambda: "sent")
        line = {
            f"t{n}": replace(CONTEXT, task=f"t{n}", parent_task=f"t{n - 1}")
            for n in range(2, 5)
        }
        line["t1"] = replace(CONTEXT, task="t1", parent_task="")
        for below in ("t1", "t2", "t3", "t4"):
            assert governor.run(ToolCall("send", {}, line[below])).value == "sent"
        governor.run(ToolCall("read", {}, line[reads]))
        last = governor.run(ToolCall("send", {}, line[sends]))
        assert why(last) == "sequence_completed"
        other = replace(CONTEXT, task="t9", parent_task="t8")
        assert governor.run(ToolCall("send", {}, other)).value == "sent"


def test_a_tool_that_only_times_out_gets_a_rest(desk: Make) -> None:
    """The host's timeout cancels the call; that is how a tool that hangs fails."""
    listed = "[{kind: tool_errors, failures: 2}]"
    governor = desk(contract_yaml("hang", guardrails=listed)).governor
    began: list[asyncio.Event] = []

    @governor.tool("hang")
    async def hang() -> None:
        began[-1].set()
        await asyncio.Event().wait()

    async def twice() -> Outcome:
        call = ToolCall("hang", {}, CONTEXT)
        for _ in range(2):
            began.append(asyncio.Event())
            running = asyncio.ensure_future(governor.arun(call))
            await asyncio.wait_for(began[-1].wait(), 60)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        return await governor.aplan(call)

    assert why(asyncio.run(twice())) == "breaker_open"

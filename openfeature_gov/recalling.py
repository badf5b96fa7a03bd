"""Tell an `Observer` at the start what the records remember of the process before.

Money of today, steps of tasks, refusals, and signals that wait for a named release come
back. Errors of tools do not: after a restart a breaker is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from openfeature_gov.contracts import Actor, CallContext
from openfeature_gov.controls.guardrails import PREFIX
from openfeature_gov.controls.guardrails.amounts import HUGE
from openfeature_gov.controls.guardrails.matching import Act, is_like
from openfeature_gov.controls.guardrails.refusals import REASON
from openfeature_gov.decisions import Effect, effective_risk
from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.governance.guardrails import Money, Refusals, Sequence, Signal
from openfeature_gov.governance.settings import Setting
from openfeature_gov.ladder import Intent, Reversibility, RiskClass
from openfeature_gov.observing import Observer
from openfeature_gov.observing.releases import SignalRelease
from openfeature_gov.signals import RELEASED
from openfeature_gov.stores.queries import Filter, query

MINUTE_US = 60_000_000
LONGEST_DAY_US = 25 * 60 * MINUTE_US
"""A day on which the clock goes back has an hour more."""
PAGE = 500
HELD = "signal_fired"
ENDED = ("decision", "outcome")

Body = Mapping[str, Any]


def recall(
    observer: Observer, governance: Governance, records: Path | str, now_us: int
) -> None:
    """Tell *observer* what the guardrails of *governance* need of *records*.

    What was erased from the records since cannot be told any more.

    Raises:
        RecordStoreError: when the log cannot be read.

    """
    span = max(
        (_span(one) for rules in governance for one in rules.guardrails), default=0
    )
    if span:
        undone = set()
        bodies = list(_bodies(records, now_us - span))
        for body in bodies:
            if body["kind"] == "outcome" and body.get("status") == "not_run":
                undone.add(body.get("ref"))
        for body in bodies:
            if body["kind"] == "decision":
                _recalled(observer, governance, body, undone=body["id"] in undone)
    for rules in governance:
        if any(
            isinstance(one, Signal) and one.named_release for one in rules.guardrails
        ):
            _hold(observer, rules, records)


def releases(records: Path | str, since_us: int) -> Iterator[SignalRelease]:
    """Yield the releases of signals that were recorded since *since_us*.

    Raises:
        RecordStoreError: when the log cannot be read.

    """
    for body in _bodies(records, since_us, (RELEASED,)):
        metric, by = str(body.get("metric")), str(body.get("actor"))
        yield SignalRelease(str(body["id"]), metric, by, body["atUs"])


def _span(one: Setting) -> int:
    match one:
        case Money() if one.per != "action":
            return LONGEST_DAY_US
        case Sequence():
            return one.within_minutes * MINUTE_US
        case Refusals():
            return one.window_minutes * MINUTE_US
        case _:
            return 0


def _bodies(
    records: Path | str, from_us: int, kinds: tuple[str, ...] = ENDED
) -> Iterator[Body]:
    wanted = Filter(kind=kinds, from_us=from_us)
    after: str | None = None
    while True:
        page = query(records, wanted, after=after, limit=PAGE)
        yield from page.records
        if page.cursor is None:
            return
        after = page.cursor


def _recalled(
    observer: Observer, governance: Governance, body: Body, *, undone: bool
) -> None:
    context, at_us = body.get("context") or {}, body["atUs"]
    if body.get("effect") == Effect.DENY and body.get("reason") != REASON:
        observer.refused(context.get("agent"), context.get("task"), at_us)
    rules = governance.get(str(body.get("tool")))
    if rules is None or body.get("executes") is not True or undone:
        return
    act = _act(body, rules)
    for one in rules.guardrails if body.get("full") is True else ():
        meant = one.only is None or is_like(act, one.only)
        # What no record names by itself, the ledger still knows.
        if isinstance(one, Money) and meant and one.per != "action" and _named(one):
            whose = {"customer": body.get("user"), "account": body.get("account")}
            name = whose.get(one.per, "all") or ""
            observer.recall_spent(one, rules, name, _amount(body, one), at_us)
    observer.recall_step(act, _context(context, body), at_us)


def _named(one: Money) -> bool:
    return one.per != "customer" or one.customer == "user"


def _amount(body: Body, one: Money) -> Decimal:
    """Return the amount, more than any limit where it cannot be told."""
    try:
        amount = Decimal(body["amount"])
    except (InvalidOperation, TypeError, KeyError):
        return HUGE
    return amount if body.get("currency") == one.currency else HUGE


def _act(body: Body, rules: GovernanceContract) -> Act:
    risk = RiskClass(body["riskClass"])
    claimed = RiskClass(body.get("claimedRiskClass") or risk)
    effective = effective_risk(risk, Reversibility(body["reversibility"]))
    return Act(
        body["tool"],
        body.get("targetSystem") or "",
        Intent(body["intent"]),
        frozenset({risk, claimed, effective, rules.risk_class}),
    )


def _context(context: Body, body: Body) -> CallContext:
    return CallContext(
        actor=Actor(agent=context["agent"], session=body.get("session") or ""),
        task=context.get("task") or "",
        parent_task=context.get("parentTask") or "",
    )


def _hold(observer: Observer, rules: GovernanceContract, records: Path | str) -> None:
    """Hold the signals that held the last decision about the tool."""
    wanted = Filter(kind=("decision",), tool=(rules.tool,))
    for body in query(records, wanted, newest_first=True, limit=1).records:
        for verdict in body.get("verdicts") or ():
            if verdict.get("reason") == HELD:
                name = str(verdict.get("control")).removeprefix(PREFIX)
                observer.recall_signal(rules.tool, name)

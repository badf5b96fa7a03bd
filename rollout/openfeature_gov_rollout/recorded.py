"""The evidence that the controller judges by: what the record log tells, read anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from openfeature_gov.governance import Governance
from openfeature_gov.stores.logs import Log, opened
from openfeature_gov_rollout.counting import Scope, Tallied
from openfeature_gov_rollout.evidence import tallied
from openfeature_gov_rollout.lineage import accepted
from openfeature_gov_rollout.looking import Evidence, Seen, Window
from openfeature_gov_rollout.plan import Demotion, contracts
from openfeature_gov_rollout.states import SECOND_US

HELD_BACK = (b'"reason":"lineage_unknown"', b'"reason":"lineage_in_shadow"')
"""What bodies say that the lineage held back; nothing of it can stand in a text."""


def recorded(records: Path | str, governance: Governance) -> Evidence:
    """Return what counts for the controller, read from *records* at each look.

    *records* is a file or a ``postgresql://`` URL. While a release of the agent that
    *governance* holds back is at work, a plan of its tools does not go on: what the
    stage shows is not what the released agent does.
    """
    return partial(_seen, records, governance)


def _seen(
    records: Path | str, governance: Governance, windows: Sequence[Window]
) -> Sequence[Seen]:
    with opened(records) as log:
        found = tallied(log, [_scope(window) for window in windows])
        others = [_held_back(log, governance, window) for window in windows]
    return [
        Seen(
            samples=one.decisions,
            counts=one.counts,
            refused=_refused(one, window.plan.demotion),
            others=other,
        )
        for window, one, other in zip(windows, found, others, strict=True)
    ]


def _held_back(log: Log, governance: Governance, window: Window) -> tuple[str, ...]:
    """Say how many calls of late were of a release that is not accepted by now."""
    plan = window.plan
    recent = window.until_us - plan.regression_window * SECOND_US
    given = {"since": max(window.from_us, recent), "until": window.until_us}
    calls = 0
    for rules in contracts(plan, governance):
        if rules.lineage is not None:
            query = (
                "SELECT body FROM records WHERE kind = 'decision' AND tool = :tool"
                " AND at_us >= :since AND at_us < :until"
            )
            for (body,) in log.rows(query, {**given, "tool": rules.tool}):
                if any(one in body for one in HELD_BACK):
                    calls += not accepted(body, rules.lineage)
    if not calls:
        return ()
    told = f"{calls} calls of late are of a release that is not in lineage.accepted"
    return (f"{told}: gov rollout compare {plan.name}",)


def _scope(window: Window) -> Scope:
    plan, stage = window.plan, window.stage
    return Scope(
        workflow=plan.workflow,
        tools=plan.tools,
        mode=stage.mode.label,
        from_us=window.from_us,
        until_us=window.until_us,
        gates=stage.gates,
        among=plan.demotion.among,
    )


def _refused(one: Tallied, rules: Demotion) -> str:
    refused, answers = sum(one.refusals), len(one.refusals)
    if refused < rules.refusals:
        return ""
    return f"reviewers refused {refused} of the last {answers} actions"

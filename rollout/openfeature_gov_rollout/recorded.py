"""The evidence that the controller judges by: what the record log tells, read anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from openfeature_gov.stores.logs import opened
from openfeature_gov_rollout.counting import Scope, Tallied
from openfeature_gov_rollout.evidence import tallied
from openfeature_gov_rollout.looking import Evidence, Seen, Window
from openfeature_gov_rollout.plan import Demotion


def recorded(records: Path | str) -> Evidence:
    """Return what counts for the controller, read from *records* at each look.

    *records* is a file or a ``postgresql://`` URL.
    """
    return partial(_seen, records)


def _seen(records: Path | str, windows: Sequence[Window]) -> Sequence[Seen]:
    with opened(records) as log:
        found = tallied(log, [_scope(window) for window in windows])
    return [
        Seen(
            samples=one.decisions,
            counts=one.counts,
            refused=_refused(one, window.plan.demotion),
        )
        for window, one in zip(windows, found, strict=True)
    ]


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

"""Answer what the controller asks of the evidence, from the record log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import SCHEMES
from openfeature_gov_rollout.evidence import Scope, Tallied, tallied
from openfeature_gov_rollout.looking import Evidence, Seen, Window


def counting(records: Path | str) -> Evidence:
    """Return what counts the windows of all rollouts in one pass over *records*.

    A log that is not there yet tells nothing.
    """

    def count(windows: Sequence[Window]) -> list[Seen]:
        there = str(records).startswith(SCHEMES) or Path(records).exists()
        if not windows or not there:
            return [Seen() for _ in windows]
        with opened(records) as log:
            found = tallied(log, [_scope(one) for one in windows])
        return [_seen(*pair) for pair in zip(windows, found, strict=True)]

    return count


def _scope(window: Window) -> Scope:
    return Scope(
        workflow=window.plan.workflow,
        tools=window.plan.tools,
        mode=window.stage.mode.label,
        from_us=window.from_us,
        until_us=window.until_us,
        gates=window.stage.gates,
        among=window.plan.demotion.among,
    )


def _seen(window: Window, found: Tallied) -> Seen:
    demotion = window.plan.demotion
    refused = sum(found.refusals)
    told = f"{refused} of the last {len(found.refusals)} answers were refusals"
    return Seen(
        samples=found.decisions,
        counts=found.counts,
        refused=told if refused >= demotion.refusals else "",
    )

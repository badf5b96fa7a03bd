"""What the records tell of stages: each metric counted, for all rollouts at once.

One pass over each kind of row serves every scope of every rollout: a row is looked up
by tool and mode and counted where it belongs. What no gate asks for is not read;
decisions come from an index that holds all that is asked of them. However long the
log, nothing but sums is held in memory. Read-only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from openfeature_gov.stores.logs import Log
from openfeature_gov_rollout.counting import Scope, Tallied, Window
from openfeature_gov_rollout.metrics import OBSERVED, Source
from openfeature_gov_rollout.rows import READ, Key, Wanted, modes, signals


def tallied(log: Log, scopes: Sequence[Scope]) -> list[Tallied]:
    """Return what the records of *log* tell of each of *scopes*, in their order.

    A metric without a single row that counts has no count, so that its gate holds. Of
    a gate with one look the first samples are counted, in the order in which they
    became known: every later look finds the same.

    Raises:
        RecordStoreError: when a record cannot be read.

    """
    windows = [Window(scope) for scope in scopes]
    if not windows:
        return []
    whole = Wanted(
        since_us=min(one.from_us for one in windows),
        until_us=max(one.until_us for one in windows),
        metrics=frozenset().union(*(one.metrics for one in windows)),
    )
    meant = modes(log, whole)
    nothing_runs = {
        variant for (_, variant), mode in meant.items() if variant and mode in OBSERVED
    }
    wanted = replace(whole, observed=frozenset(nothing_runs))
    found = _by_key(windows, meant)
    for source in Source:
        if any(one.wants(source) for one in windows):
            if source is Source.FAILURES:
                _late(log, windows, wanted)
                continue
            for key, at_us, known, row in READ[source](log, wanted):
                for window in found.get(key, ()):
                    if window.from_us <= at_us and known[0] < window.until_us:
                        window.add(source, row, known)
    for said in signals(log):
        for window in windows:
            window.signal(said)
    return [window.told() for window in windows]


def _late(log: Log, windows: Iterable[Window], wanted: Wanted) -> None:
    """Count what failed in the time of a window, whichever stage let it start."""
    by_tool: dict[str | None, list[Window]] = {}
    for window in windows:
        for tool in window.tools:
            by_tool.setdefault(tool, []).append(window)
    source = Source.FAILURES
    for key, _, known, row in READ[source](log, replace(wanted, since_us=0)):
        for window in by_tool.get(key[0], ()):
            if window.from_us <= known[0] < window.until_us:
                window.add(source, row, known)


def _by_key(
    windows: Iterable[Window], meant: Mapping[Key, str]
) -> dict[Key, tuple[Window, ...]]:
    """Return which windows count the decisions of each tool and variant."""
    staged: dict[tuple[str | None, str], list[Window]] = {}
    for window in windows:
        for tool in window.tools:
            staged.setdefault((tool, window.scope.mode), []).append(window)
    found = {
        (tool, variant): tuple(staged[tool, mode])
        for (tool, variant), mode in meant.items()
        if (tool, mode) in staged
    }
    # A call that made no sense was intended in whichever mode there was.
    for (name, _), staging in staged.items():
        found[name, None] = (*found.get((name, None), ()), *staging)
    return found

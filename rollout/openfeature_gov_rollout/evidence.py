"""What the records tell of stages: each metric counted, for all rollouts at once.

One pass over each kind of row serves every scope of every rollout: a row is looked up
by tool and mode and counted where it belongs. What a gate does not ask for is not read;
decisions come from an index that holds all that is asked of them. Nothing but sums is
held in memory, however long the log. Read-only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from openfeature_gov.stores.logs import Log
from openfeature_gov_rollout.gates import Count, Gate
from openfeature_gov_rollout.metrics import (
    ANSWERING,
    METRICS,
    OBSERVED,
    OF_ALL,
    Metric,
    Row,
    Source,
)
from openfeature_gov_rollout.rows import READ, Key, Wanted, modes, signals
from openfeature_gov_rollout.signals import concerns


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Say which decisions count: of *tools*, under *mode*, within some time.

    *mode* is a label of the ladder: those whom the mode flag serves it are the
    audience of its stage. Times are microseconds since 1970, *until_us* excluded.
    *gates* name the metrics; *among* is how many of people's last answers are kept.
    """

    workflow: str
    tools: tuple[str, ...]
    mode: str
    from_us: int
    until_us: int
    gates: tuple[Gate, ...]
    among: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """Hold what was seen in a scope: how many decisions, and each metric's count.

    *refusals* says of people's last answers which were refusals, the latest last.
    """

    decisions: int = 0
    counts: Mapping[str, Count | None] = field(default_factory=dict)
    refusals: tuple[bool, ...] = ()


def tallied(log: Log, scopes: Sequence[Scope]) -> list[Tallied]:
    """Return what the records of *log* tell of each of *scopes*, in their order.

    A metric without a single row that counts has no count, so that its gate holds. Of
    a gate with one look the first samples are counted, in the order in which they
    became known: every later look finds the same.

    Raises:
        RecordStoreError: when a record cannot be read.

    """
    windows = [_Window(scope) for scope in scopes]
    if not windows:
        return []
    whole = Wanted(
        since_us=min(one.from_us for one in windows),
        until_us=max(one.until_us for one in windows),
    )
    meant = modes(log, whole)
    found = _by_key(windows, meant)
    for source in Source:
        wanting = [one for one in windows if one.wants(source)]
        if wanting:
            for key, at_us, told_us, row in READ[source](
                log, _wanted(whole, source, wanting, meant)
            ):
                for window in found.get(key, ()):
                    if window.from_us <= at_us and told_us < window.until_us:
                        window.add(source, row)
    for said in signals(log):
        for window in windows:
            window.signal(said)
    return [window.told() for window in windows]


@dataclass(slots=True)
class _Tally:
    """Count one metric, up to *size* samples where one look is asked for."""

    metric: Metric
    limit: Decimal | None
    size: int | None
    successes: int = 0
    trials: int = 0

    def add(self, row: Row, times: int = 1) -> None:
        """Count *row* if it counts, *times* over where no first ones are asked for."""
        if self.trials == self.size:
            return
        hit = self.metric.hit(row, self.limit)
        if hit is not None:
            self.trials += times
            self.successes += hit * times


class _Window:
    """Count what belongs to one scope; lives for one pass."""

    def __init__(self, scope: Scope) -> None:
        self.scope, self.tools = scope, frozenset(scope.tools)
        self.from_us, self.until_us = scope.from_us, scope.until_us
        self.decisions = 0
        self.by_name = {
            gate.metric: _Tally(METRICS[gate.metric], gate.limit, gate.sample_size)
            for gate in scope.gates
            if gate.metric in METRICS
        }
        self.tallies: dict[Source, list[_Tally]] = {source: [] for source in Source}
        for tally in self.by_name.values():
            self.tallies[tally.metric.source].append(tally)
        if scope.mode not in OBSERVED:
            # Where something runs, what was decided counts.
            self.tallies[Source.DECISIONS] += self.tallies[Source.SHADOWS]
            self.tallies[Source.SHADOWS] = []
        self.refusals: list[bool] = []
        self.alike = dict[tuple[str, str], int]()
        decided = self.tallies[Source.DECISIONS]
        self.ordered = any(tally.size is not None for tally in decided)

    def wants(self, source: Source) -> bool:
        """Say whether rows of *source* are to be read for this window."""
        answers = source is Source.ANSWERS and self.scope.among > 0
        return source is Source.DECISIONS or answers or bool(self.tallies[source])

    def add(self, source: Source, row: Row) -> None:
        """Count *row*, which belongs here."""
        if source is Source.DECISIONS and not self.ordered:
            # Few of them differ: each is looked at once, however many there are.
            kind = row.effect, row.reason
            self.alike[kind] = self.alike.get(kind, 0) + 1
            return
        for tally in self.tallies[source]:
            tally.add(row)
        if source is Source.DECISIONS:
            self.decisions += 1
        elif source is Source.ANSWERS and row.told in ANSWERING and self.scope.among:
            self.refusals.append(row.told == "refuse")
            del self.refusals[: -self.scope.among]

    def signal(self, said: Mapping[str, Any]) -> None:
        """Count a signal, if it belongs here."""
        scope, tally = self.scope, self.by_name.get(str(said.get("signal")))
        if tally is None or not self.from_us <= said["atUs"] < self.until_us:
            return
        if concerns(said, scope.workflow, self.tools):
            tally.successes += 1

    def told(self) -> Tallied:
        """Return the sums."""
        for kind, times in self.alike.items():
            self.decisions += times
            for tally in self.tallies[Source.DECISIONS]:
                tally.add(Row(*kind), times)
        counts: dict[str, Count | None] = {}
        for name, one in self.by_name.items():
            trials = one.trials
            if name in OF_ALL:
                # An event counts although nobody decided anything meanwhile.
                trials = max(self.decisions, one.successes)
            counts[name] = Count(one.successes, trials) if trials else None
        return Tallied(
            decisions=self.decisions, counts=counts, refusals=tuple(self.refusals)
        )


def _by_key(
    windows: Iterable[_Window], meant: Mapping[Key, str]
) -> dict[Key, tuple[_Window, ...]]:
    """Return which windows count the decisions of each tool and variant."""
    staged: dict[tuple[str, str], list[_Window]] = {}
    for window in windows:
        for tool in window.tools:
            staged.setdefault((tool, window.scope.mode), []).append(window)
    return {
        key: tuple(staged[key[0], mode])
        for key, mode in meant.items()
        if key[0] is not None and (key[0], mode) in staged
    }


def _wanted(
    whole: Wanted,
    source: Source,
    windows: Iterable[_Window],
    meant: Mapping[Key, str],
) -> Wanted:
    tallies = [tally for window in windows for tally in window.tallies[source]]
    nothing_runs = {
        variant for (_, variant), mode in meant.items() if variant and mode in OBSERVED
    }
    return replace(
        whole,
        observed=frozenset(nothing_runs),
        ordered=any(tally.size is not None for tally in tallies),
        bodies=any(tally.metric is not METRICS["error"] for tally in tallies),
    )

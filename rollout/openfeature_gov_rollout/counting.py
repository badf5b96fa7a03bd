"""Count rows where they belong: nothing but sums, and the first or last few. Pure."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

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
from openfeature_gov_rollout.signals import concerns

Known = tuple[int, str]
"""When a row became known, and the record that it did with: the order of samples."""
UNDO = "undo"
"""The kind of the record that an undo runs under, and the metric that counts it."""


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


@dataclass(slots=True)
class Tally:
    """Count one metric; of one with a *size* the first samples alone.

    *first* holds these, in the order in which they became known: rows may come in any.
    """

    metric: Metric
    limit: Decimal | None
    size: int | None
    successes: int = 0
    trials: int = 0
    first: list[tuple[Known, bool]] = field(default_factory=list)

    def add(self, row: Row, known: Known, times: int = 1) -> None:
        """Count *row* if it counts; *times* over where no first ones are asked for."""
        hit = self.metric.hit(row, self.limit)
        if hit is None:
            return
        if self.size is None:
            self.trials += times
            self.successes += hit * times
        elif len(self.first) < self.size or known < self.first[-1][0]:
            insort(self.first, (known, hit))
            del self.first[self.size :]

    def told(self) -> Count | None:
        """Return the sums, None if nothing counted."""
        trials = self.trials + len(self.first)
        successes = self.successes + sum(hit for _, hit in self.first)
        successes = min(successes, trials)  # what was undone twice is one
        return Count(successes, trials) if trials else None


class Window:
    """Count what belongs to one scope; lives for one pass."""

    def __init__(self, scope: Scope) -> None:
        self.scope, self.tools = scope, frozenset(scope.tools)
        self.from_us, self.until_us = scope.from_us, scope.until_us
        self._by_name = {
            gate.metric: Tally(METRICS[gate.metric], gate.limit, gate.sample_size)
            for gate in scope.gates
            if gate.metric in METRICS
        }
        self._tallies: dict[Source, list[Tally]] = {source: [] for source in Source}
        for tally in self._by_name.values():
            self._tallies[self._source(tally.metric)].append(tally)
        sizes = (tally.size for tally in self._tallies[Source.DECISIONS])
        self._plain = all(size is None for size in sizes)
        self._decisions = 0
        self._alike: dict[tuple[str, str], int] = {}
        self._answers: list[tuple[Known, bool]] = []

    def _source(self, metric: Metric) -> Source:
        if metric.source is Source.SHADOWS and self.scope.mode not in OBSERVED:
            # Where something runs, what was decided counts.
            return Source.DECISIONS
        return metric.source

    def wants(self, source: Source) -> bool:
        """Say whether rows of *source* are to be read for this window."""
        also = self.scope.among > 0 or UNDO in self._by_name
        answers = source is Source.ANSWERS and also
        return source is Source.DECISIONS or answers or bool(self._tallies[source])

    @property
    def metrics(self) -> frozenset[str]:
        """Return the names of what is counted."""
        return frozenset(self._by_name)

    def add(self, source: Source, row: Row, known: Known) -> None:
        """Count *row*, which belongs here."""
        if source is Source.DECISIONS:
            self._decisions += 1
            if self._plain:
                # Few of them differ: each is looked at once, however many there are.
                kind = row.effect, row.reason
                self._alike[kind] = self._alike.get(kind, 0) + 1
                return
        for tally in self._tallies[source]:
            tally.add(row, known)
        if source is Source.ANSWERS:
            self._answer(row, known)

    def _answer(self, row: Row, known: Known) -> None:
        """Keep the last answers; count an undo that was not told by an outcome."""
        if row.told == UNDO and UNDO in self._by_name:
            self._by_name[UNDO].successes += 1
        elif row.told in ANSWERING and self.scope.among:
            insort(self._answers, (known, row.told == "refuse"))
            del self._answers[: -self.scope.among]

    def signal(self, said: Mapping[str, Any]) -> None:
        """Count a signal, if it belongs here."""
        scope, tally = self.scope, self._by_name.get(str(said.get("signal")))
        within = self.from_us <= said["atUs"] < self.until_us
        if tally is not None and within and concerns(said, scope.workflow, self.tools):
            tally.successes += 1

    def told(self) -> Tallied:
        """Return the sums."""
        for kind, times in self._alike.items():
            for tally in self._tallies[Source.DECISIONS]:
                tally.add(Row(*kind), (0, ""), times)
        self._alike = {}
        return Tallied(
            decisions=self._decisions,
            counts={
                name: _count(tally, self._decisions if name in OF_ALL else None)
                for name, tally in self._by_name.items()
            },
            refusals=tuple(refused for _, refused in self._answers),
        )


def _count(tally: Tally, decisions: int | None) -> Count | None:
    """Return the count of a metric; of events among as many *decisions*."""
    if decisions is None:
        return tally.told()
    # An event counts although nobody decided anything meanwhile.
    trials = max(decisions, tally.successes)
    return Count(tally.successes, trials) if trials else None

"""Counts of what became of calls, for the tables of the demo and the examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from openfeature_gov.demo.agent import WORDS, Played
from openfeature_gov.ladder import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Count calls by what was decided, and what came of it.

    Every call is in exactly one of *allowed*, *constrained*, *queued*, *denied* and
    *fell_back*. *drafted* of the constrained ran as a draft; *handed_over* of those
    that fell back became a note for a person; *refused* of the allowed met a refusal
    of the shop itself; *wrote* of the allowed may have changed something.
    """

    calls: int
    allowed: int
    constrained: int
    queued: int
    denied: int
    fell_back: int
    drafted: int
    handed_over: int
    refused: int
    wrote: int


def count(played: Iterable[Played]) -> Tally:
    """Return the tally of *played*."""
    every = list(played)
    words = Counter(one.word for one in every)
    by_effect = {word.replace(" ", "_"): words[word] for word in WORDS.values()}
    ran = Counter(one.outcome.ran for one in every)
    return Tally(
        calls=len(every),
        **by_effect,
        drafted=ran[Mode.DRAFT_WRITE.label],
        handed_over=ran["fallback"],
        refused=sum(bool(one.refusal) for one in every),
        wrote=sum(one.wrote for one in every),
    )

"""What becomes of the decisions that a writer left without an outcome. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from openfeature_gov.approvals.ending import lost
from openfeature_gov.evidence.entries import Settle
from openfeature_gov.evidence.records import Record, Stamp, outcome_record
from openfeature_gov.reviews import ending


def unknown_outcomes(
    orphans: Iterable[str],
    consumed: Iterable[tuple[bytes, int]],
    reviewed: Iterable[tuple[bytes, int]],
    stamp: Callable[[], Stamp],
) -> list[Record]:
    """Return the outcome unknown of each of *orphans*, ids of decisions.

    It carries the step that ends the request that was used up for the decision, or its
    review: *consumed* and *reviewed* hold them packed, each with its version. What was
    taken from budgets counts as spent.
    """
    ends, reviews = lost(consumed), ending.lost(reviewed)
    found = []
    for ref in orphans:
        unknown = outcome_record(
            stamp(), ref, status="unknown", **ending.told(reviews.get(ref))
        )
        change = ends.get(ref) or ending.change_of(reviews.get(ref))
        kept = (Settle(None, ref),)
        found.append(unknown._replace(change=change, entries=kept))
    return found

"""How an action or its undo ended, for its outcome and for its review. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from openfeature_gov.evidence.records import Change
from openfeature_gov.reviews import steps
from openfeature_gov.reviews.review import Review, change, unpack
from openfeature_gov.reviews.states import BY_HAND, State

RESULTS = {State.UNDONE: "undone", State.UNDO_FAILED: "failed"}
"""What the outcome of an undo says; of any other state nobody knows."""


class Ended(NamedTuple):
    """Hold the review *after* its action or undo ended, and the version it *was*."""

    after: Review
    was: int


def told(ended: Ended | None) -> dict[str, Any]:
    """Return what the outcome says besides, as arguments of `outcome_record`."""
    if ended is None:
        return {}
    review = ended.after
    facts: dict[str, Any] = {"review": (review.id, review.state.value)}
    if review.undo_id:
        facts["undo"] = RESULTS.get(review.state, "unknown")
    if review.state in BY_HAND:
        facts["hand_over"] = review.owner
    return facts


def change_of(ended: Ended | None) -> Change | None:
    """Return the change that the outcome carries."""
    return None if ended is None else change(ended.after, ended.was)


def lost(under_way: Iterable[tuple[bytes, int]]) -> dict[str, Ended]:
    """Return by execution that nobody knows how it ended, and that a person gets it.

    *under_way* are reviews whose action or undo runs, packed, each with its version.
    One that cannot be read stays as it is: nothing is undone for it any more.
    """
    found = {}
    for packed, version in under_way:
        with suppress(ValueError):
            review = unpack(packed)
            step = steps.lose(review)
            if isinstance(step, Review):
                found[review.undo_id or review.record_id] = Ended(step, version)
    return found

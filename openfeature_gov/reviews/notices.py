"""Notices of reviews: who hears that there is something to look at, or to do. Pure.

A notice of a review says as little as one of a request for approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from openfeature_gov.approvals import notices
from openfeature_gov.approvals.notices import NEWS_US, News, Notice
from openfeature_gov.reviews.likeness import likeness
from openfeature_gov.reviews.review import Review
from openfeature_gov.reviews.states import BY_HAND, State

ABOUT = "review"
NEWS: Mapping[str, News] = {
    State.OPEN: News.LOOK,
    State.UNDONE: News.UNDONE,
    **dict.fromkeys(BY_HAND, News.HANDED_OVER),
}
"""What an outcome is to somebody, by the state that its review has from then on."""


def news(kind: str, body: Mapping[str, Any]) -> News | None:
    """Return what a record of this *kind* tells of a review, None for nothing."""
    if kind == "outcome" and body.get("review"):
        return NEWS.get(str(body.get("reviewState")))
    if kind != "review" or body.get("denied") or body.get("state") not in BY_HAND:
        return None
    return News.HANDED_OVER


def current(what: News, review: Review, at_us: int, now_us: int) -> bool:
    """Say whether *what*, which was so at *at_us*, is still worth telling.

    What is to be looked at is while it is open, what is to be done for ever.
    """
    if what is News.LOOK:
        return review.state is State.OPEN
    return what is News.HANDED_OVER or now_us - at_us <= NEWS_US


def notice(what: News, review: Review, mark: str) -> Notice:
    """Return the notice of *what*, told apart from others of *review* by *mark*."""
    told = {News.LOOK: (review.group,), News.HANDED_OVER: (review.owner,)}
    to = told.get(what, (review.agent, *review.requesters))
    made = notices.notice(what, likeness(review), mark)
    return replace(made, to=frozenset(to), about=ABOUT)

"""Who hears of reviews: who looks, who sees to it by hand, and whoever acted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from openfeature_gov.approvals.notices import News, Notice, payload, text, title
from openfeature_gov.approvals.notifying import notify
from openfeature_gov.reviews.review import Review
from openfeature_gov.stores.queries import stored
from tests.test_governor_reviews import Shop

LINK = "https://gov.example.com/inbox"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Provide a tool whose every call runs at once and is reviewed."""
    one = Shop(tmp_path)
    yield one
    one.governor.close()


def heard(shop: Shop, to: str) -> list[Notice]:
    """Return what *to* is sent now, and was not before."""
    shop.flush()
    found: list[Notice] = []
    notify(
        to,
        partial(stored, shop.desk.records),
        shop.reviews.shelf,
        shop.desk.folder / f"cursor-{to}",
        found.append,
        shop.reviews.now,
    )
    return found


def test_who_looks_is_told_of_what_ran_at_once(shop: Shop) -> None:
    """Once, while it is open, with a link to its page and no word of what it is."""
    outcome = shop.call()
    (one,) = heard(shop, "support")
    assert (one.news, one.request_id) == (News.LOOK, outcome.review_id)
    said = str(payload(one, LINK)) + text(one, LINK)
    assert f"{LINK}/reviews/{outcome.review_id}?fingerprint=" in said
    assert title(one) == "Review needed of what ran at once: pay"
    for hidden in ("n1", "user-1"):
        assert hidden not in said
    assert heard(shop, "support") == []
    assert heard(shop, "team") == []
    second = shop.call("n2")
    shop.accept(second)
    assert heard(shop, "support") == []


def test_whoever_acted_is_told_of_the_undo(shop: Shop) -> None:
    """And nobody else; a vote is no news."""
    shop.refuse(shop.call())
    shop.governor.settle_reviews()
    (one,) = heard(shop, "agent-1")
    assert one.news is News.UNDONE
    assert heard(shop, "team") == []


def test_the_owner_is_told_what_to_see_to(shop: Shop) -> None:
    """Of an undo that failed, one that nobody began, and an action that broke off."""
    shop.undo_fails = OSError()
    shop.refuse(shop.call())
    shop.governor.settle_reviews()
    step = shop.refuse(shop.call("n2"))
    assert isinstance(step, Review)
    shop.governor._decider.tools.clear()
    shop.wait(16)
    shop.governor.tool("pay", undo=shop.take_back)(shop._pay)
    shop.fails = OSError()
    with pytest.raises(OSError):
        shop.call("n3")
    told = heard(shop, "team")
    assert [one.news for one in told] == [News.HANDED_OVER] * 3
    assert len({one.key for one in told}) == 3
    assert len({one.request_id for one in told}) == 3

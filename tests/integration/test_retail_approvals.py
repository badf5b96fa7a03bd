"""The retail calls at approval_required: people elsewhere decide what changes."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from openfeature_gov.demo.recorded import CALLS, SHOP, read_calls, read_store
from tests.full import FULL

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from tests.integration import retail_approvals
from tests.integration.retail_approvals import CHROMIUM

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium: apt-get install chromium"
)


def test_the_shop_changes_by_what_people_approved_alone(tmp_path: Path) -> None:
    """Approved, refused and left to expire, by command, API and browser."""
    pictures = tmp_path / "pictures"
    (tmp_path / "run").mkdir()
    with closing(read_store(SHOP)) as shop:
        tally = retail_approvals.run(
            tmp_path / "run", shop, read_calls(CALLS), pictures=pictures
        )
    assert tally.wrong == []
    assert tally.queued == 8
    assert tally.states == {"executed": 4, "refused": 2, "expired": 2}
    assert tally.channels == Counter(login=2, token=2, cli=2)
    kinds = ("list", "card", "whole-card")
    names = {f"{kind}-{size}.png" for kind in kinds for size in ("laptop", "phone")}
    assert {one.name for one in pictures.iterdir()} == names


@pytest.mark.skipif(not FULL, reason="long: GOV_FULL=1 runs it")
def test_every_recorded_call(tmp_path: Path) -> None:
    """All 550, where they are."""
    calls, shop = SHARED / "retail_tool_calls.jsonl", SHARED / "retail_db.json"
    if not (calls.exists() and shop.exists()):
        pytest.skip(f"the recorded retail calls are not in {SHARED}")
    with closing(read_store(shop)) as store:
        tally = retail_approvals.run(tmp_path, store, read_calls(calls))
    assert tally.wrong == []
    assert tally.queued > 100

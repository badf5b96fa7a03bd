"""`gov reviews`, as reviewers use it: on a real store, beside a running Governor."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from openfeature_gov.cli import app
from openfeature_gov.cli.review_cards import ReviewCard
from openfeature_gov.reviews.review import Review
from openfeature_gov.reviews.states import State
from openfeature_gov.stores import history
from tests.commands import told
from tests.conftest import contract_yaml
from tests.test_cli_approvals import HOSTILE, denied, people
from tests.test_governor_reviews import BOB, REVIEW, Shop

KEYS = ("state", "holder", "onExpiry", "undoable")


def gov(*arguments: str) -> Result:
    """Run `gov reviews`."""
    return CliRunner().invoke(app, ["reviews", *arguments])


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Provide a tool whose calls are reviewed, in a folder with a reviewers file."""
    monkeypatch.chdir(tmp_path)
    one = Shop(tmp_path, reference=lambda result: result["receipt"])
    people()
    yield one
    one.governor.close()


def opened(shop: Shop, number: str = "n1") -> Review:
    """Return the open review of a call."""
    return shop.review(shop.call(number))


def test_it_is_listed_shown_and_accepted(shop: Shop) -> None:
    """By whom the operating system names; then it is not open any more."""
    review = opened(shop)
    (listed,) = told(gov("list", "--json"))["reviews"]
    assert (listed["id"], listed["state"]) == (review.id, "open")
    assert "n1" not in str(listed)
    assert review.fingerprint not in str(listed)
    shown = told(gov("show", review.id, "--json"))
    assert (shown["arguments"], shown["objection"]) == ('{"number":"n1"}', None)
    said = told(gov("accept", review.id, "--seen", shown["fingerprint"], "--json"))
    assert (said["state"], said["reviewer"]) == ("accepted", "bob")
    assert told(gov("list", "--json"))["reviews"] == []
    again = gov("refuse", review.id, "--seen", review.fingerprint, "--reason", "no")
    denied(again, "already_accepted")


def test_a_refusal_is_undone_by_the_process_with_the_tool(shop: Shop) -> None:
    """The command orders it; the Governor that has the tool runs it."""
    review = opened(shop)
    done = gov(
        *("refuse", review.id, "--seen", review.fingerprint, "--reason", "no"),
        "--json",
    )
    assert {key: told(done)[key] for key in KEYS} == {
        "state": "refused",
        "holder": "support",
        "onExpiry": "undo",
        "undoable": True,
    }
    assert shop.paid == ["n1"]
    shop.governor.settle_reviews()
    assert shop.paid == []
    (listed,) = told(gov("list", "--state", "undone", "--json"))["reviews"]
    assert listed["id"] == review.id


@pytest.mark.parametrize("word", ["accept", "refuse"])
def test_what_was_not_looked_at_is_not_answered(shop: Shop, word: str) -> None:
    """Nor by somebody whom nobody asked, nor of a review that is none."""
    review = opened(shop)
    why = ("--reason", "no")
    denied(gov(word, review.id, "--seen", "beef", *why), "shown_something_else")
    denied(gov(word, "nothing", "--seen", "beef", *why), "review_unknown")
    denied(gov("show", "nothing"), "review_unknown")
    people("user-1")
    seen = ("--seen", review.fingerprint)
    denied(gov(word, review.id, *seen, *why), "self_approval")
    Path("reviewers.yaml").write_text("reviewers: []\n")
    denied(gov(word, review.id, *seen, *why), "reviewer_unauthenticated")
    denied(gov("show", review.id), "reviewer_unauthenticated")
    assert shop.reviews.get(review.id).state is State.OPEN


def test_a_deadline_moves_by_a_day_in_all(shop: Shop) -> None:
    """By whoever was asked; the record says who did it."""
    review = opened(shop)
    said = gov("extend", review.id, "--by", "60")
    assert told(said)["state"] == "open"
    after = shop.reviews.get(review.id)
    assert after.deadline_us == review.deadline_us + 3_600_000_000
    denied(gov("extend", review.id, "--by", "1440"), "deadline_invalid")
    denied(gov("extend", "nothing", "--by", "5"), "review_unknown")
    for wrong in ("0", "1441", "soon"):
        assert gov("extend", review.id, "--by", wrong).exit_code == 2
    text = gov("extend", review.id, "--by", "5", "--no-json").output
    assert "waits on: 0 of 1 votes" in text
    events = history.records(Path("records.db"), kind="review")
    assert [(one["event"], one["denied"], one["reviewer"]) for one in events] == [
        ("extend", "", "bob"),
        ("extend", "deadline_invalid", "bob"),
        ("extend", "", "bob"),
    ]


def test_the_clock_of_cron_hands_over_what_nobody_can_undo(shop: Shop) -> None:
    """Nothing is due before its time; then silence means what the contract says."""
    opened(shop)
    assert told(gov("expire", "--json")) == {"reviews": []}
    # The undo was ordered so long ago that no process with the tool seems to live.
    shop.late_us = -7_200_000_000
    stale = opened(shop, "n2")
    shop.reviews.refuse(stale.id, BOB, seen=stale.binding, reason="no")
    (ended,) = told(gov("expire", "--json"))["reviews"]
    assert (ended["id"], ended["state"], ended["why"], ended["holder"]) == (
        *(stale.id, "handed_over", "undo_not_begun", "team"),
    )
    text = drawn(shop, shop.reviews.get(stale.id))
    assert "team sees to it" in text
    assert "undo_not_begun" in text


def drawn(shop: Shop, review: Review, objection: str | None = None) -> str:
    """Return the card of *review* as a terminal shows it."""
    console = Console(width=90, record=True, file=StringIO())
    ReviewCard(console, review, full=False).draw(shop.reviews.now(), objection)
    return console.export_text()


def test_the_card_says_what_happens_to_it(shop: Shop) -> None:
    """While it is open, when it is due, and when nothing is kept any more."""
    review = opened(shop)
    card = drawn(shop, review)
    for part in (
        *("pay: open", "What ran", '"n1"', "n1 is paid.", "If nobody looks"),
        *("the tool's own undo takes it back", f"gov reviews accept {review.id}"),
    ):
        assert part in card
    assert "approvals approve" not in card
    shop.reviews.refuse(review.id, BOB, seen=review.binding, reason="wrong")
    assert "a process with this tool runs it" in drawn(
        shop, shop.reviews.get(review.id), "already_refused"
    )
    shop.governor.settle_reviews()
    ended = drawn(shop, shop.reviews.get(review.id), "already_undone")
    assert "not kept any more" in ended
    assert "refused by bob: wrong" in ended
    assert '"n1"' not in ended


def test_nothing_that_an_agent_wrote_hides_or_acts(shop: Shop) -> None:
    """Control characters are escapes, here as on the card of a request."""
    card = drawn(shop, opened(shop, f"n1{HOSTILE}"))
    acting = {one for one in HOSTILE if not (one.isascii() and one.isprintable())}
    assert not set(card) & (acting - {"\n"})
    assert "\\u202e" in card


def test_governance_check_says_what_is_unwise(tmp_path: Path) -> None:
    """Of an undo that the tool must register, and of silence that keeps all."""
    file = tmp_path / "governance.yaml"
    for silence in ("undo", "keep"):
        review = REVIEW.replace("undo", silence)
        file.write_text(contract_yaml("pay", review=review))
        done = CliRunner().invoke(app, ["governance", "check", str(file), "--json"])
        found = [one["key"] for one in told(done)["warnings"]]
        assert "pay.review.onExpiry" in found


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing to look at": ({"riskClass": "search"}, "changes nothing"),
    "nothing undoes it": ({"reversibility": "none"}, "nothing undoes it"),
    "no group": ({"review": "{withinMinutes: 5}"}, "missing"),
    "no time": (
        {"review": "{withinMinutes: 0, reviewerGroup: g}"},
        "greater than or equal to 1",
    ),
    "another word": (
        {"review": "{withinMinutes: 5, reviewerGroup: g, onExpiry: approve}"},
        "'undo', 'keep' or 'handOver'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_review_that_makes_no_sense_is_refused(case: str, tmp_path: Path) -> None:
    """When the contract is loaded, with the key."""
    changes, message = REFUSED[case]
    file = tmp_path / "governance.yaml"
    file.write_text(contract_yaml("pay", **{"review": REVIEW, **changes}))
    done = CliRunner().invoke(app, ["governance", "check", str(file), "--json"])
    (problem, *_) = told(done, 4)["problems"]
    assert "review" in problem["key"]
    assert message in problem["message"]

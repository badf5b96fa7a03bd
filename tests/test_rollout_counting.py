"""Counting: the same sums, and the same first samples, in whatever order rows come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openfeature_gov_rollout.counting import Scope, Tally, Window
from openfeature_gov_rollout.gates import Count, Gate
from openfeature_gov_rollout.metrics import METRICS, Row, Source

ROWS = [
    ((at, f"r-{at}"), Row("allow", "r", "failed" if at % 3 == 0 else "executed"))
    for at in range(12)
]


@given(st.permutations(ROWS), st.integers(1, 15))
def test_the_first_samples_are_the_first(
    rows: list[tuple[tuple[int, str], Row]], size: int
) -> None:
    """By when they became known; what came between and does not count is left out."""
    tally = Tally(METRICS["error"], None, size)
    for known, row in [*rows, ((0, "r-x"), Row("allow", "r", "cancelled"))]:
        tally.add(row, known)
        assert len(tally.first) <= size
    first = [row.told == "failed" for _, row in ROWS[:size]]
    assert tally.told() == Count(sum(first), len(first))


@given(st.permutations(ROWS))
def test_the_last_answers_are_the_last(
    rows: list[tuple[tuple[int, str], Row]],
) -> None:
    """In the order in which people gave them."""
    window = Window(scope(among=4))
    for known, _ in rows:
        told = "refuse" if known[0] % 2 else "approve"
        window.add(Source.ANSWERS, Row("queue_for_approval", "r", told), known)
    assert window.told().refusals == (False, True, False, True)


def scope(*gates: Gate, among: int = 0) -> Scope:
    return Scope(
        workflow="w",
        tools=("t",),
        mode="autonomous",
        from_us=0,
        until_us=100,
        gates=gates,
        among=among,
    )


def test_decisions_that_are_alike_are_counted_all() -> None:
    """Whether they are taken one by one, for a first sample, or all at once."""
    watched = Gate.model_validate({"metric": "denial", "atMost": "0.5"})
    once = Gate.model_validate(
        {"metric": "denial", "atMost": "0.5", "rule": "fixed", "sampleSize": 4}
    )
    for gate, told in ((watched, Count(2, 6)), (once, Count(2, 4))):
        window = Window(scope(gate))
        for at, effect in enumerate(("deny", "deny", "allow", "allow", "allow", "x")):
            window.add(Source.DECISIONS, Row(effect, "r"), (at, f"r-{at}"))
        found = window.told()
        assert (found.decisions, found.counts) == (6, {"denial": told})
        assert window.told() == found

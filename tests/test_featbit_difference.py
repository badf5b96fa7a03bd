"""What differs between two states of a flag, told for people."""

from __future__ import annotations

from openfeature.contrib.provider.featbit.management.difference import (
    ABSENT,
    Change,
    described,
    difference,
)


class TestDifference:
    def test_equal_values_do_not_differ_whatever_their_spelling(self) -> None:
        assert difference({"a": [0, 1.0]}, {"a": [0.0, 1]}) == []

    def test_true_is_not_one(self) -> None:
        assert difference({"a": True}, {"a": 1}) == [Change("a", True, 1)]

    def test_items_are_compared_by_id_and_their_order_for_itself(self) -> None:
        before = [{"id": "a", "x": 1}, {"id": "b", "x": 1}]
        after = [{"id": "b", "x": 2}, {"id": "a", "x": 1}, {"id": "c"}]
        assert difference({"rules": before}, {"rules": after}) == [
            Change("rules (order)", ["a", "b"], ["b", "a"]),
            Change("rules[b].x", 1, 2),
            Change("rules[c]", ABSENT, {"id": "c"}),
        ]

    def test_repeated_ids_are_compared_as_a_whole(self) -> None:
        before, after = [{"id": "a"}, {"id": "a"}], [{"id": "a"}]
        assert difference(before, after) == [Change("", before, after)]

    def test_lines_for_people_are_printable_and_short(self) -> None:
        hostile = {"\x1b[2Jname\n": "\u202e" + "x" * 500}
        [line] = described(difference({}, hostile))
        assert line.isprintable()
        assert line.isascii()
        assert len(line) < 200

    def test_a_lone_surrogate_does_not_break_it(self) -> None:
        assert described(difference({"a": "\ud800"}, {"a": 10**30}))

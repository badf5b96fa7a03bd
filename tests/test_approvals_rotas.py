"""Who is on call: by the reviewers file or a function, never somebody unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.people import Reviewer, objection
from openfeature_gov.approvals.rotas import DutyDirectory, Shift
from openfeature_gov.errors import InvalidContractError
from tests.properties.test_approvals import People
from tests.properties.test_approvals import request as asked

HOUR_US = 3_600_000_000
DAWN_US = 1_795_248_000_000_000
"""2026-11-21T08:00:00Z."""
TEXT = """\
reviewers:
  - {subject: bob, aliases: [robert], osUser: bobby}
  - {subject: cy, groups: [support]}
rotas:
  - name: pager
    handoverMinutes: 30
    shifts:
      - {subject: bob, from: 2026-11-21T08:00:00Z, until: 2026-11-21T20:00:00+00:00}
      - {subject: cy, from: 2026-11-21T21:00:00+01:00, until: 2026-11-22T08:00:00Z}
"""


class Clock:
    now_us = DAWN_US

    def __call__(self) -> int:
        return self.now_us


def written(path: Path, text: str = TEXT) -> Path:
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_who_is_on_duty_changes_with_the_time(tmp_path: Path) -> None:
    """From the first moment of a shift until its handover is over."""
    clock = Clock()
    people = ReviewerDirectory(written(tmp_path / "reviewers.yaml"), clock)
    request = asked(group="pager")
    on_duty = dict[str, list[bool]]()
    for subject in ("bob", "cy"):
        for hours in (-1, 0, 11.9, 12.4, 12.5, 23.9, 24.4, 24.5):
            clock.now_us = DAWN_US + int(hours * HOUR_US)
            stop = objection(request, Reviewer(subject, way="cli"), people)
            assert stop in (None, "reviewer_not_asked")
            on_duty.setdefault(subject, []).append(stop is None)
    assert on_duty["bob"] == [False, True, True, True, False, False, False, False]
    assert on_duty["cy"] == [False, False, False, True, True, True, True, False]
    clock.now_us = DAWN_US
    assert people.groups("robert") == people.groups("bobby") == {"pager"}
    assert people.groups("mallory") == frozenset()


REFUSED = {
    "rotas: x": "rotas: expected a list",
    "rotas: [x]": "rotas[0]: expected a mapping",
    "rotas: [{shifts: []}]": "rotas[0].name: missing",
    "rotas: [{name: pager, who: x}]": "rotas[0].who: unknown key",
    "rotas: [{name: pager, handoverMinutes: -1}]": "rotas[0].handoverMinutes: ",
    "rotas: [{name: BOB}]": "rotas[0].name: is the name of a reviewer",
    "rotas: [{name: pager}, {name: Pager}]": "rotas[1].name: is the name",
    "rotas: [{name: p, shifts: [{subject: eve, from: 2026-11-21T08:00:00Z, until: "
    "2026-11-22T08:00:00Z}]}]": "rotas[0].shifts[0].subject: is no reviewer",
    "rotas: [{name: p, shifts: [{subject: bob, from: 2026-11-21T08:00:00, until: "
    "2026-11-22T08:00:00Z}]}]": "rotas[0].shifts[0].from: must be a time with its zone",
    "rotas: [{name: p, shifts: [{subject: bob, from: today, until: "
    "2026-11-22T08:00:00Z}]}]": "rotas[0].shifts[0].from: must be a time",
    "rotas: [{name: p, shifts: [{subject: bob, from: 2026-11-22T08:00:00Z, until: "
    "2026-11-22T08:00:00Z}]}]": "must be later than from",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_rota_that_cannot_be_is_refused(tmp_path: Path, text: str) -> None:
    """The whole file, with line and key."""
    path = written(tmp_path / "reviewers.yaml", TEXT.partition("rotas")[0] + text)
    with pytest.raises(InvalidContractError) as caught:
        ReviewerDirectory(path)
    assert REFUSED[text] in str(caught.value)
    assert f"{path}:4: " in str(caught.value)


def test_another_system_says_who_is_on_duty(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked at each question; it adds contacts, never people or other names."""
    known = People(frozenset({"bob"}))
    said: dict[str, set[str]] = {"ann": {"pager"}, "mallory": {"support"}}
    asked_at = list[int]()

    def on_call(subject: str, at_us: int) -> set[str]:
        asked_at.append(at_us)
        return said.get(subject, set())

    class Known(People):
        def aliases(self, subject: str) -> frozenset[str]:
            return frozenset() if subject == "mallory" else super().aliases(subject)

    people = DutyDirectory(Known(known.reviewers), on_call, lambda: 7)
    assert people.groups("ann-2") >= {"pager"}
    assert people.groups("mallory") == frozenset()
    assert people.aliases("ann") == {"ann", "ann-2"}
    assert set(asked_at) == {7}
    del said["ann"]
    assert "pager" not in people.groups("ann")

    def broken(subject: str, at_us: int) -> set[str]:
        raise OSError("gone")

    people = DutyDirectory(known, broken, lambda: 7)
    assert "support" in people.groups("bob")
    assert "nobody is" in caplog.text


def test_a_shift_has_two_ends() -> None:
    """In order, however the zones are written."""
    with pytest.raises(ValueError, match="later than from"):
        Shift.model_validate(
            {
                "subject": "bob",
                "from": "2026-11-21T08:00:00+00:00",
                "until": "2026-11-21T08:30:00+01:00",
            }
        )

"""What the rigs of several frameworks do alike: hand a turn on, play a call again."""

from __future__ import annotations

import json
from collections.abc import Callable

from openfeature_gov.testing.rigs import Call, Edit, Played, Rig
from openfeature_gov.testing.workplace import Workplace

NO_RETRY = dict.fromkeys(
    (
        "test_a_retry_is_decided_anew",
        "test_an_approval_is_for_no_retry",
        "test_no_retry_runs_what_is_denied",
    ),
    "nothing repeats a tool but the model, whose call is a new one",
)
"""What a rig lacks whose framework repeats no tool."""


def delegation(place: Workplace, answers: Callable[[], str]) -> list[Call]:
    """Return the turn that calls ``delegate``, a tool that tells *answers*."""
    place.delegated = answers
    return [Call("delegate", {"task": "do it"}, "call-0")]


class Stateless(Rig):
    """A framework without pause and sessions: to wake it is to call again."""

    pauses = False
    sessions = False

    def wake(
        self,
        place: Workplace,
        state: str,
        *,
        asynchronous: bool = False,
        late: Edit | None = None,
        retries: bool = False,
    ) -> Played:
        calls = [Call(**one) for one in json.loads(state)]
        return self.play(
            place, calls, asynchronous=asynchronous, late=late, retries=retries
        )

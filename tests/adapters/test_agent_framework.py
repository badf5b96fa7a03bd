"""Microsoft Agent Framework, really: the suite, and what is its alone."""

from __future__ import annotations

import json

import pytest

pytest.importorskip(
    "agent_framework", reason="run python -m tests.adapters agent-framework"
)

from agent_framework import AgentSession

from openfeature_gov.testing.conformance import BOTH, LARGE, AdapterSuite
from openfeature_gov.testing.rigs import Call
from openfeature_gov.testing.workplace import Workplace
from tests.adapters.agent_framework_rig import AgentFrameworkRig


class TestAgentFramework(AdapterSuite):
    """The suite."""

    rig = AgentFrameworkRig

    @BOTH
    def test_malformed_arguments(self, place: Workplace, asynchronous: bool) -> None:
        """What the tool cannot take does not run; the framework drops a surplus."""
        for arguments in ({"order": "o-1", "amount": "lots"}, {"amount": 5}):
            call = Call("refund", arguments)
            self.rig().play(place, [call], asynchronous=asynchronous)
        assert place.ran() == []
        surplus = Call("refund", {"order": "o-1", "amount": 5, "to": "me"})
        self.rig().play(place, [surplus], asynchronous=asynchronous)
        assert [one["arguments"] for one in place.ran()] == [
            {"order": "o-1", "amount": 5, "note": ""}
        ]

    def test_another_session_wakes_up_nothing(self, place: Workplace) -> None:
        """The framework knows no request there; ours is still waiting."""
        paused = self.rig().play(place, [LARGE], asynchronous=True)
        place.approve(place.waiting()[0])
        held = json.loads(paused.state)
        held["session"] = AgentSession().to_dict()
        self.rig().wake(place, json.dumps(held), asynchronous=True)
        assert place.ran() == []

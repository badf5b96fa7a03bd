"""The Claude Agent SDK, really, with its own CLI: the suite, and what is its alone."""

from __future__ import annotations

import pytest

pytest.importorskip(
    "claude_agent_sdk", reason="run python -m tests.adapters claude-agent"
)

from openfeature_gov.adapters.claude_agent import govern
from openfeature_gov.adapters.shape import Door
from openfeature_gov.testing.conformance import AdapterSuite
from openfeature_gov.testing.rigs import Call, Played
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.claude_agent_rig import ClaudeAgentRig, asked, bare


class TestClaudeAgent(AdapterSuite):
    """The suite."""

    rig = ClaudeAgentRig

    def test_a_built_in_tool_that_nobody_registered(self, place: Workplace) -> None:
        """Not even where the options allow it."""
        played = shell(place, {})
        assert not (place.folder / "claude" / "ran").exists()
        assert "Not executed" in played.answers["call-1"]

    def test_a_built_in_tool(self, place: Workplace) -> None:
        """Registered as somebody else's it runs, waits and is refused as any other."""
        marker = place.folder / "claude" / "ran"
        shell(place, {"Bash": "fetch"})
        assert marker.exists()
        (outcome,) = place.log("outcome")
        assert outcome["status"] == "executed"
        marker.unlink()
        place.serve("fetch.mode", "off")
        shell(place, {"Bash": "fetch"})
        assert not marker.exists()

    def test_a_built_in_tool_that_fails(self, place: Workplace) -> None:
        """What the SDK's later hook says of it is the outcome."""
        shell(place, {"Bash": "fetch"}, "exit 3")
        (outcome,) = place.log("outcome")
        assert outcome["status"] == "failed"

    def test_a_hook_that_fails(
        self, place: Workplace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even a bug of the adapter lets nothing run: the SDK is told to block."""

        async def broken(*_: object) -> None:
            raise RuntimeError("the adapter fails")

        monkeypatch.setattr(Door, "aadmit", broken)
        shell(place, {"Bash": "fetch"})
        assert not (place.folder / "claude" / "ran").exists()


def shell(
    place: Workplace, names: dict[str, str], command: str = "touch ran"
) -> Played:
    """Let the model run *command* in the SDK's own shell, which is allowed."""
    plain = bare(place)
    plain.allowed_tools = ["Bash"]
    options = govern(plain, place.governor, WHO, names)
    call = Call("Bash", {"command": command, "description": "Try"})
    return asked(place, options, [call], asynchronous=True)

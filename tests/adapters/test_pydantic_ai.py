"""Pydantic AI, really: the suite, and what is its alone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="run python -m tests.adapters pydantic-ai")

from pydantic_ai import DeferredToolResults, ToolApproved
from pydantic_ai.messages import ModelMessagesTypeAdapter

from openfeature_gov.adapters.pydantic_ai import wake
from openfeature_gov.testing.conformance import LARGE, AdapterSuite
from openfeature_gov.testing.workplace import Workplace
from tests.adapters.pydantic_ai_rig import PydanticAIRig, agent


class TestPydanticAI(AdapterSuite):
    """The suite."""

    rig = PydanticAIRig

    def test_overridden_arguments_were_not_agreed(self, place: Workplace) -> None:
        """A person agreed to 500; the client says yes, and 9999."""
        paused = self.rig().play(place, [LARGE], asynchronous=True)
        place.approve(place.waiting()[0])
        held = json.loads(paused.state)
        more = ToolApproved(override_args={"order": "o-1", "amount": 9999})

        async def run() -> Any:
            return await agent(place, []).run(
                message_history=ModelMessagesTypeAdapter.validate_json(
                    held["messages"]
                ),
                deferred_tool_results=DeferredToolResults(approvals={"call-1": more}),
            )

        asyncio.run(run())
        assert place.ran() == []

    def test_wake_answers_what_is_deferred(self, place: Workplace) -> None:
        """By its id, in the framework's own form."""

        async def run() -> Any:
            one = agent(place, [LARGE])
            first = await one.run("go")
            place.approve(place.waiting()[0])
            return await one.run(
                message_history=first.all_messages(),
                deferred_tool_results=wake(first.output),
            )

        assert asyncio.run(run()).output == "done"
        assert len(place.ran()) == 1

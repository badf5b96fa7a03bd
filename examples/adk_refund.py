"""A governed agent of Google ADK at a refund desk, offline with a scripted model.

    pip install 'openfeature-gov[adk]'
    python examples/adk_refund.py

What waits for a person asks the client for a confirmation; the session lies on disk.
It is approved in another process, and resumes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai.types import Content, FunctionCall, FunctionResponse, Part

from openfeature_gov.adapters.adk import Governed
from openfeature_gov.demo.refund_desk import WHO, Desk, main
from openfeature_gov.testing.rigs import Call, Played

CONFIRM = "adk_request_confirmation"


class Scripted(BaseLlm):
    """Make the calls of each turn, and then end."""

    turns: Any

    async def generate_content_async(
        self,
        llm_request: Any,  # noqa: ARG002 - the framework's names
        stream: bool = False,  # noqa: ARG002
    ) -> Any:
        """Answer with the next turn."""
        calls = [
            FunctionCall(id=one.id, name=one.tool, args=one.arguments)
            for one in next(self.turns, ())
        ]
        parts = [Part(function_call=one) for one in calls] or [Part(text="done")]
        yield LlmResponse(content=Content(role="model", parts=parts))


def play(desk: Desk, turns: Sequence[Sequence[Call]]) -> Played:
    """Run the agent until it is done or waits."""
    return asyncio.run(_run(desk, turns, Part(text="go"), ""))


def resume(desk: Desk, state: str) -> Played:
    """Wake up what waits; whether it may run, the store knows."""
    session, asked = json.loads(state)
    yes = FunctionResponse(id=asked, name=CONFIRM, response={"confirmed": True})
    return asyncio.run(_run(desk, [], Part(function_response=yes), session))


async def _run(
    desk: Desk, turns: Sequence[Sequence[Call]], given: Part, session: str
) -> Played:
    model = Scripted(model="scripted", turns=iter(turns))
    agent = LlmAgent(name="desk", model=model, tools=[*desk.tools.values()])
    app = App(name="shop", root_agent=agent, plugins=[Governed(desk.governor, WHO)])
    sessions = SqliteSessionService(str(desk.flags.parent / "sessions.db"))
    if not session:
        session = (await sessions.create_session(app_name="shop", user_id="ann")).id
    runner = Runner(app=app, session_service=sessions)
    asked, told = "", {}
    async for event in runner.run_async(
        user_id="ann",
        session_id=session,
        new_message=Content(role="user", parts=[given]),
    ):
        for call in event.get_function_calls():
            asked = call.id if call.name == CONFIRM else asked
        for answer in event.get_function_responses():
            told[answer.id] = " ".join(map(str, answer.response.values()))
    await runner.close()
    paused = (asked,) if asked else ()
    return Played(answers=told, paused=paused, state=json.dumps([session, asked]))


if __name__ == "__main__":
    sys.exit(main(play, resume))

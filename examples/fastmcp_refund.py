"""A governed FastMCP server at a refund desk, offline with a client in process.

    pip install 'openfeature-gov[fastmcp]'
    python examples/fastmcp_refund.py

MCP has no pause: what waits for a person is an error result that says so, and the
identical call runs once when it was approved.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from fastmcp import Client, FastMCP

from openfeature_gov.adapters.fastmcp import Governed
from openfeature_gov.demo.refund_desk import WHO, Desk, main
from openfeature_gov.testing.rigs import Call, Played


def server(desk: Desk) -> FastMCP:
    """Return the desk's tools as a governed MCP server."""
    served: FastMCP = FastMCP("refunds", middleware=[Governed(desk.governor, WHO)])
    for tool in desk.tools.values():
        served.tool(tool)
    return served


def play(desk: Desk, turns: Sequence[Sequence[Call]]) -> Played:
    """Make the calls of *turns*, one turn after another."""

    async def run() -> dict[str, str]:
        answers = {}
        async with Client(server(desk)) as client:
            for call in (call for turn in turns for call in turn):
                result = await client.call_tool(
                    call.tool, call.arguments, raise_on_error=False
                )
                texts = [getattr(part, "text", "") for part in result.content]
                answers[call.id] = " ".join(texts)
        return answers

    state = json.dumps([[asdict(call) for call in turn] for turn in turns])
    return Played(answers=asyncio.run(run()), state=state)


def resume(desk: Desk, state: str) -> Played:
    """Make the same calls again."""
    return play(desk, [[Call(**call) for call in turn] for turn in json.loads(state)])


if __name__ == "__main__":
    sys.exit(main(play, resume))

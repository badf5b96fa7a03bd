"""The official MCP SDK, really: the suite, and what is its alone."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("mcp", reason="run python -m tests.adapters mcp")

from mcp import Client

from openfeature_gov.adapters.mcp import Governed
from openfeature_gov.testing.conformance import LARGE, AdapterSuite
from openfeature_gov.testing.rigs import Call
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.mcp_rig import MCPRig, called, server

LOOK = Call("look_up", {"query": "kettles"})


class TestMCP(AdapterSuite):
    """The suite."""

    rig = MCPRig

    def test_only_registered_tools_are_listed(self, place: Workplace) -> None:
        """Hiding is for the model's sake; it is no enforcement."""

        async def listed() -> set[str]:
            served = server(place, Governed(place.governor, WHO))
            async with Client(served) as client:
                return {one.name for one in (await client.list_tools()).tools}

        assert asyncio.run(listed()) == {*place.tools, "fetch"}

    def test_a_program_is_told_too(self, place: Workplace) -> None:
        """The effect and the ids of the record and of the request are in the meta."""

        async def meta() -> dict[str, str]:
            served = server(place, Governed(place.governor, WHO))
            async with Client(served) as client:
                got = await client.call_tool(LARGE.tool, LARGE.arguments)
                return dict(got.meta or {})

        found = asyncio.run(meta())
        assert found["gov/effect"] == "queue_for_approval"
        assert found["gov/approval_id"] == place.waiting()[0].id

    def test_names_are_mapped(self, place: Workplace) -> None:
        """A server's name for a tool is not the registry's."""
        ours = Governed(place.governor, WHO, {"look_up": "drop_table"})
        answers = called(server(place, ours), [LOOK]).answers
        assert "denied" in answers["call-1"]
        assert place.ran() == []

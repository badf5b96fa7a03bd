"""FastMCP, really: the suite, and what is its alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("fastmcp", reason="run python -m tests.adapters fastmcp")

from fastmcp import Client, FastMCP

from openfeature_gov.adapters.fastmcp import Governed
from openfeature_gov.testing.conformance import LARGE, SMALL, AdapterSuite
from openfeature_gov.testing.workplace import WHO, Workplace
from tests.adapters.fastmcp_rig import FastMCPRig, server


class TestFastMCP(AdapterSuite):
    """The suite."""

    rig = FastMCPRig

    def test_only_registered_tools_are_listed(self, place: Workplace) -> None:
        """Hiding is for the model's sake; it is no enforcement."""
        served = server(place, Governed(place.governor, WHO))

        async def listed() -> set[str]:
            async with Client(served) as client:
                return {one.name for one in await client.list_tools()}

        assert asyncio.run(listed()) == {*place.tools, "fetch"}

    @pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
    def test_both_protocols(self, place: Workplace, mode: str) -> None:
        """The older protocol and the newer one."""
        served = server(place, Governed(place.governor, WHO))

        async def called() -> Any:
            async with Client(served, mode=mode) as client:
                await client.call_tool(SMALL.tool, SMALL.arguments)
                return await client.call_tool(
                    LARGE.tool, LARGE.arguments, raise_on_error=False
                )

        waits = asyncio.run(called())
        assert [one["arguments"]["amount"] for one in place.ran()] == [50]
        assert waits.is_error
        assert waits.meta["gov/approval_id"] == place.waiting()[0].id

    @pytest.mark.parametrize(
        ("names", "ran"), [({"bank_refund": "refund"}, 1), ({}, 0)]
    )
    def test_a_mounted_server(
        self, place: Workplace, names: dict[str, str], ran: int
    ) -> None:
        """Its prefix is mapped; without the map the tool is unknown."""
        parent: FastMCP = FastMCP(
            "bank", middleware=[Governed(place.governor, WHO, names)]
        )
        parent.mount(server(place), "bank")

        async def called() -> Any:
            async with Client(parent) as client:
                return await client.call_tool(
                    "bank_refund", SMALL.arguments, raise_on_error=False
                )

        asyncio.run(called())
        assert len(place.ran("refund")) == ran

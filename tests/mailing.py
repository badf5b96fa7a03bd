"""Two tools, one that sends and one that looks: their rules, calls and log."""

from __future__ import annotations

from typing import Any

from openfeature_gov import ToolCall
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Desk, contract_yaml

MAIL = contract_yaml("mail")
SEARCH = contract_yaml("look", riskClass="search", reversibility="automatic")


def call(tool: str = "mail", **arguments: Any) -> ToolCall:
    return ToolCall(tool, arguments, CONTEXT)


def log(desk: Desk, kind: str | None = None) -> list[dict[str, Any]]:
    desk.governor.records.close()
    return history.records(desk.records, kind=kind)

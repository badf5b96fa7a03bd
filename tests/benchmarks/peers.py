"""Put the benchmark's question to other products, where they are installed.

``govern()`` of agent-governance-toolkit evaluates three rules and appends to a hash
chain in memory. Cedar evaluates four policies, parsed beforehand, and records nothing.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

AGT_POLICY = """\
apiVersion: governance.toolkit/v1
name: benchmark
agents: ["*"]
default_action: deny
rules:
  - name: denied
    condition: "action.type == 'drop_table'"
    action: deny
  - name: reviewed
    condition: "action.type == 'send_letter'"
    action: require_approval
  - name: released
    condition: "action.type == 'search_docs'"
    action: allow
"""
CEDAR_POLICY = """\
permit(principal, action == Action::"search_docs", resource)
  when { context.mode == "autonomous" };
forbid(principal, action, resource) when { context.denied.contains("search_docs") };
forbid(principal, action, resource) when { context.approval };
forbid(principal, action, resource) when { context.fallback };
"""
CEDAR_REQUEST = {
    "principal": {"type": "Agent", "id": "agent-1"},
    "action": {"type": "Action", "id": "search_docs"},
    "resource": {"type": "Tool", "id": "search_docs"},
    "context": {
        "mode": "autonomous",
        "approval": False,
        "denied": ["drop_table"],
        "fallback": False,
    },
}
HOW = {
    "agentmesh": "pip install 'agent-governance-toolkit[full]==4.1.0'",
    "cedarpy": "pip install cedarpy",
}
"""How to get what is not there, by the module that it would bring."""


def peers() -> Iterator[tuple[str, Callable[[Any], object]]]:
    """Yield the name and the call of each product that is installed."""
    mesh, cedar = imported("agentmesh.governance"), imported("cedarpy")
    if mesh is not None:
        governed = mesh.govern(lambda **_: "", policy=AGT_POLICY, agent_id="agent-1")
        asked = {"action": "search_docs", "query": "flags", "limit": 3}
        yield "AGT govern(), audit", lambda _: governed(**asked)
    if cedar is not None:
        policies = cedar.PolicySet.from_str(CEDAR_POLICY)
        entities = cedar.Entities.from_json_str("[]")
        ask = cedar.is_authorized
        if not ask(CEDAR_REQUEST, policies, entities).allowed:
            raise SystemExit("Cedar does not allow the search")
        yield "Cedar, no record", lambda _: ask(CEDAR_REQUEST, policies, entities)


def missing() -> dict[str, str]:
    """Return how to install each product that is not."""
    return {name: how for name, how in HOW.items() if imported(name) is None}


def imported(name: str) -> Any:
    """Return the module *name*, None where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            return None

"""A governed workplace for suites: tools that leave a trace only if they really run.

It lives in a folder, so that another process can open it as well. Nothing about an
answer proves that a tool did not run; only the ledger does, which the tools write.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from openfeature.contrib.provider.featbit import FeatBitProvider, authoring
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.requests import Request
from openfeature_gov.contracts import Actor, CallContext
from openfeature_gov.controls import Control, Controls
from openfeature_gov.decisions import Constraint, Verdict
from openfeature_gov.embedded import assemble
from openfeature_gov.extracting import Extractors
from openfeature_gov.governor import Governor
from openfeature_gov.ladder import MODES, Mode
from openfeature_gov.releasing import Approvals
from openfeature_gov.stores import history
from openfeature_gov.stores.shelves import RecordShelf

WHO = CallContext(actor=Actor(agent="conformance"), environment="test")
REVIEWER = Reviewer("reviewer-1", frozenset({"reviewers"}), way="cli")
LARGE = ("up_to_1000", "up_to_10000", "over_10000")
RULES: Mapping[str, tuple[str, str, str]] = {
    "look_up": ("search", "automatic", "autonomous"),
    "send_mail": ("external_effect", "manual", "draft_write"),
    "refund": ("external_effect", "manual", "autonomous"),
    "drop_table": ("irreversible", "none", "off"),
    "weather": ("sensitive_read", "automatic", "autonomous"),
    "charge": ("external_effect", "manual", "autonomous"),
    "fetch": ("external_effect", "manual", "autonomous"),
    "delegate": ("search", "automatic", "autonomous"),
}
"""Risk class, reversibility and served mode of each tool."""
_CONTRACT = """\
agentToolGovernance:
  workflow: conformance
  owner: team
  tool: {tool}
  riskClass: {risk}
  reversibility: {undo}
  defaultMode: search_only
  allowedModes: [{modes}, fallback]
  rollback: {{safestMode: search_only, owner: team}}
  runtimeControls: {{globalFlag: on, modeFlag: {tool}.mode,
    approvalFlag: {tool}.approval, fallbackFlag: {tool}.fallback}}
  approval: {{reviewerGroup: reviewers, timeoutMinutes: 60}}
"""


class Weather(TypedDict):
    """Be an answer with a schema: what replaces it has to fit it as well."""

    city: str
    celsius: float


class People:
    """Know one reviewer."""

    def groups(self, subject: str) -> frozenset[str]:
        """Return the groups of *subject*."""
        known = subject == REVIEWER.subject
        return REVIEWER.groups if known else frozenset()

    def aliases(self, subject: str) -> frozenset[str]:
        """Return the names of *subject*."""
        return frozenset({subject})


def ten_rows(contract: Any, _rules: Any, _flags: Any) -> Verdict:
    """Limit look-ups to ten rows: a guardrail that only narrows."""
    rows = (Constraint("rows", limit=10),) if contract.tool == "look_up" else ()
    return Verdict("rows", Mode.AUTONOMOUS, "few_rows", constraints=rows)


class Workplace:
    """Hold a Governor with eight tools in *folder*; close it when done.

    Opens what is there already. *guardrails* are further controls by name.
    """

    def __init__(self, folder: Path, **guardrails: Control) -> None:
        self.folder, self.late_us = folder, 0
        self.records = folder / "records.db"
        self._flags, self._ledger = folder / "flags.json", folder / "ledger.jsonl"
        contracts = folder / "governance.yaml"
        if not contracts.exists():
            contracts.write_text(_contracts())
            self._ledger.touch()
            write_document(self._flags, _document())
        self._provider = FeatBitProvider.from_file(self._flags)
        parts = assemble(contracts, self._provider, self.records)
        self._release = parts.release
        self.governor = Governor(
            parts.governance,
            parts.reader,
            parts.records,
            controls=Controls(guardrails=tuple(guardrails.items())),
            approvals=Approvals(RecordShelf(parts.records, self.records), People()),
            now=lambda: time.time_ns() + self.late_us * 1_000,
        )
        self.delegated: Callable[[], Any] = _nobody
        self.tools = self._registered()
        self.hidden, self.fetch = self._hidden, self._fetch
        self.governor.foreign("fetch", consequence=lambda a: f"{a['url']} is read.")

    def close(self) -> None:
        """Make every record durable and let go of everything."""
        self.governor.close()
        self._release()

    def _registered(self) -> dict[str, Callable[..., Any]]:
        """Return every tool behind its gate, by name."""
        tool = self.governor.tool
        amount = Extractors(amount=lambda a: a["amount"], currency="EUR")

        @tool(narrow=lambda a, c: {**a, "limit": min(a["limit"], c[0].limit or 0)})
        def look_up(query: str, limit: int = 100) -> str:
            """Find documents."""
            return self._ran("look_up", query=query, limit=limit)

        @tool(draft=lambda to, text: f"drafted {text} for {to}")
        def send_mail(to: str, text: str) -> str:
            """Send a mail to a customer."""
            return self._ran("send_mail", to=to, text=text)

        @tool(
            extract=amount,
            consequence=lambda a: f"{a['order']} gets {a['amount']} EUR back.",
        )
        def refund(order: str, amount: float, note: str = "") -> str:
            """Pay money back."""
            return self._ran("refund", order=order, amount=amount, note=note)

        @tool()
        def drop_table(table: str) -> str:
            """Drop a table."""
            return self._ran("drop_table", table=table)

        @tool(fallback=lambda city: Weather(city=city, celsius=0.0))
        def weather(city: str) -> Weather:
            """Say how warm it is."""
            self._ran("weather", city=city)
            return Weather(city=city, celsius=21.5)

        @tool(consequence=lambda a: f"{a['order']} is charged.")
        def charge(order: str) -> str:
            """Charge an order, which always fails."""
            self._ran("charge", order=order)
            raise ValueError("the card was declined")

        @tool()
        def delegate(task: str) -> str:
            """Let a sub-agent do it."""
            self._ran("delegate", task=task)
            work, self.delegated = self.delegated, _nobody
            return str(work())

        every = (look_up, send_mail, refund, drop_table, weather, charge, delegate)
        return {one.__name__: one for one in every}

    def _hidden(self, table: str) -> str:
        """Be a tool that the framework has and the registry does not."""
        return self._ran("hidden", table=table)

    def _fetch(self, url: str) -> str:
        """Be a tool of somebody else, which has no gate."""
        done = self._ran("fetch", url=url)
        if "broken" in url:
            raise ValueError("the site does not answer")
        return done

    def _ran(self, tool: str, **arguments: Any) -> str:
        line = {"tool": tool, "arguments": arguments, "pid": os.getpid()}
        with self._ledger.open("a") as ledger:
            ledger.write(json.dumps(line) + "\n")
        return f"{tool} done"

    def ran(self, tool: str = "") -> list[dict[str, Any]]:
        """Return what really ran, in order: tool, arguments and process."""
        lines = map(json.loads, self._ledger.read_text().splitlines())
        return [one for one in lines if tool in ("", one["tool"])]

    def serve(self, flag: str, value: str) -> None:
        """Let *flag* serve *value* from now on."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        document = json.loads(self._flags.read_bytes())
        served = authoring.serve(document, flag, value, at=now, clear_targeting=True)
        write_document(self._flags, served)
        self._provider.reload()

    def waiting(self) -> list[Request]:
        """Return the requests that wait for a person, the oldest first."""
        assert self.governor.approvals is not None
        return self.governor.approvals.waiting()

    def approve(self, request: Request) -> None:
        """Release *request*, as a reviewer does in a process of its own."""
        assert self.governor.approvals is not None
        step = self.governor.approvals.approve(
            request.id, REVIEWER, seen=request.binding
        )
        assert isinstance(step, Request), step

    def refuse(self, request: Request) -> None:
        """Refuse *request*, as a reviewer does."""
        assert self.governor.approvals is not None
        step = self.governor.approvals.refuse(request.id, REVIEWER, reason="no")
        assert isinstance(step, Request), step

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return every record of *kind*, oldest first."""
        flush: Any = self.governor.records
        flush.flush()
        return history.records(self.records, kind=kind)


def _nobody() -> str:
    return "nobody to delegate to"


def _contracts() -> str:
    modes = ", ".join(MODES)
    return "---\n".join(
        _CONTRACT.format(tool=tool, risk=risk, undo=undo, modes=modes)
        for tool, (risk, undo, _) in RULES.items()
    )


def _document() -> dict[str, Any]:
    flags = [authoring.boolean_flag("on", serve=True, off=False)]
    for tool, (_, _, mode) in RULES.items():
        large = authoring.rule(
            "large",
            [authoring.condition("amountBand", "IsOneOf", LARGE)],
            serve="true",
        )
        rules = [large] if tool == "refund" else []
        incident = tool == "weather"
        flags += [
            authoring.string_flag(f"{tool}.mode", [*MODES], serve=mode, off="off"),
            authoring.boolean_flag(
                f"{tool}.approval", serve=False, off=True, rules=rules
            ),
            authoring.boolean_flag(f"{tool}.fallback", serve=incident, off=True),
        ]
    return authoring.document(flags)

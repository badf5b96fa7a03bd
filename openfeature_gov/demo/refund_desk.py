"""A refund desk for the examples of agent frameworks: the same day in each of them.

An example brings two functions: one plays turns of tool calls with the framework's own
scripted model, one resumes what waits. `main` tells the day and checks every promise.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from openfeature.contrib.provider.featbit import authoring
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.contracts import Actor, CallContext, ToolCall
from openfeature_gov.governor import Governor
from openfeature_gov.ladder import MODES
from openfeature_gov.outcomes import Outcome
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from openfeature_gov.testing.rigs import Call, Played

WHO = CallContext(actor=Actor(agent="refund-agent"), environment="demo")
RISKS = {"look_up": "search", "refund": "external_effect", "close": "irreversible"}
PATIENCE_S = 10.0
_CONTRACT = """\
agentToolGovernance:
  workflow: refunds
  owner: shop
  tool: {tool}
  riskClass: {risk}
  defaultMode: search_only
  allowedModes: [{modes}, fallback]
  rollback: {{safestMode: search_only, owner: shop}}
  runtimeControls: {{globalFlag: on, modeFlag: {tool}.mode,
    fallbackFlag: incident.{tool}}}
  approval: {{reviewerGroup: leads}}
"""
Play = Callable[["Desk", Sequence[Sequence[Call]]], Played]
Resume = Callable[["Desk", str], Played]


class Desk:
    """Hold the desk's files, its Governor and its tools, in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paid = list[tuple[str, float]]()
        self.after_look_up: Callable[[], None] = lambda: None
        modes = ", ".join(MODES)
        contracts, reviewers = folder / "governance.yaml", folder / "reviewers.yaml"
        contracts.write_text(
            "---\n".join(
                _CONTRACT.format(tool=tool, risk=risk, modes=modes)
                for tool, risk in RISKS.items()
            )
        )
        reviewers.write_text("reviewers:\n- {subject: lea, groups: [leads]}\n")
        reviewers.chmod(0o600)
        self.flags = folder / "flags.json"
        write_document(self.flags, _document())
        self.governor = Governor.open(
            contracts,
            self.flags,
            folder / "records.db",
            people=ReviewerDirectory(reviewers),
        )
        self.tools = self._tools()

    def _tools(self) -> dict[str, Callable[..., Any]]:
        @self.governor.tool()
        def look_up(order: str) -> str:
            """Look up an order."""
            self.after_look_up()
            return f"{order}: one kettle, delivered"

        @self.governor.tool(
            consequence=lambda a: (
                f"{a['amount']} EUR go back to who paid {a['order']}."
            ),
            draft=lambda order, amount: f"draft: pay {amount} back on {order}",
            fallback=lambda order, amount: f"noted for a person: {order}, {amount}",
        )
        def refund(order: str, amount: float) -> str:
            """Pay money back."""
            self.paid.append((order, amount))
            return f"paid {amount} back on {order}"

        @self.governor.tool(consequence=lambda a: f"Account {a['account']} is gone.")
        def close(account: str) -> str:
            """Close an account."""
            return f"closed {account}"

        return {"look_up": look_up, "refund": refund, "close": close}

    def serve(self, flag: str, value: str) -> None:
        """Change *flag*, and return once a decision saw it."""
        before = self._plans()
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        document = orjson.loads(self.flags.read_bytes())
        write_document(self.flags, authoring.serve(document, flag, value, at=now))
        started = time.monotonic()
        while self._plans() == before:
            if time.monotonic() - started > PATIENCE_S:
                raise TimeoutError(f"no decision saw {flag}")
            time.sleep(0.01)

    def _plans(self) -> list[object]:
        calls = (
            ToolCall("look_up", {"order": "o"}, WHO),
            ToolCall("refund", {"order": "o", "amount": 1.0}, WHO),
        )
        plans: list[Outcome] = [self.governor.plan(call) for call in calls]
        return [(plan.effect, plan.reason) for plan in plans]

    def approve(self) -> None:
        """Let a reviewer approve what waits, in a process of its own."""
        command = (sys.executable, "-m", __spec__.name, str(self.folder))
        subprocess.run(command, check=True)  # noqa: S603 - our own interpreter


def main(play: Play, resume: Resume) -> int:
    """Tell the day of a refund desk; return 1 if a promise was not kept."""
    with tempfile.TemporaryDirectory(prefix="gov-refund-") as folder:
        desk = Desk(Path(folder))
        with closing(desk.governor):
            broken = list(_day(desk, play, resume))
    for promise in broken:
        sys.stderr.write(f"PROMISE BROKEN: {promise}\n")
    return 1 if broken else 0


def _day(desk: Desk, play: Play, resume: Resume) -> Sequence[str]:
    broken: list[str] = []

    def tell(what: str, told: str, *, paid: int, expected: str) -> None:
        first = " ".join(told.split())
        sys.stdout.write(f"{what:<12} {first}\n")
        if len(desk.paid) != paid or expected not in told:
            broken.append(f"{what}: {told!r}, paid {desk.paid}")

    def one(tool: str, **arguments: Any) -> Played:
        return play(desk, [[Call(tool, arguments)]])

    def said(played: Played) -> str:
        return " ".join(played.answers.values())

    found = one("look_up", order="o-1")
    tell("allow", said(found), paid=0, expected="kettle")
    drafted = one("refund", order="o-1", amount=40.0)
    tell("constrain", said(drafted), paid=0, expected="draft: pay 40.0")
    desk.serve("refund.mode", "approval_required")
    waits = one("refund", order="o-1", amount=40.0)
    text = f"waits, paused: {bool(waits.paused)} {said(waits)}"
    tell("queue", text, paid=0, expected="waits")
    desk.approve()
    done = resume(desk, waits.state)
    tell("approved", said(done), paid=1, expected="paid 40.0")
    tell("deny", said(one("close", account="a-1")), paid=1, expected="denied by policy")
    desk.serve("incident.refund", "true")
    noted = one("refund", order="o-2", amount=9.0)
    tell("fallback", said(noted), paid=1, expected="noted for a person")
    desk.after_look_up = lambda: desk.serve("on", "false")
    killed = play(
        desk,
        [
            [Call("look_up", {"order": "o-2"}, "call-1")],
            [Call("look_up", {"order": "o-3"}, "call-2")],
        ],
    )
    tell("killed", said(killed), paid=1, expected="denied by policy")
    return broken


def _document() -> dict[str, Any]:
    served = {"look_up": "autonomous", "refund": "draft_write", "close": "off"}
    return authoring.document(
        [
            authoring.boolean_flag("on", serve=True, off=False),
            *(
                authoring.string_flag(f"{tool}.mode", [*MODES], serve=mode, off="off")
                for tool, mode in served.items()
            ),
            *(
                authoring.boolean_flag(f"incident.{tool}", serve=False, off=True)
                for tool in served
            ),
        ]
    )


def _approve(folder: Path) -> None:
    """Answer the request that waits, as a reviewer whom the desk's file names."""
    records, people = folder / "records.db", folder / "reviewers.yaml"
    with closing(open_store(records)) as store:
        queue = ApprovalQueue(
            RecordShelf(store, records),
            ReviewerDirectory(people),
            lambda: time.time_ns() // 1_000,
        )
        (request,) = queue.waiting()
        step = queue.approve(
            request.id, Reviewer("lea", way="cli"), seen=request.binding
        )
        if not isinstance(step, Request):
            raise SystemExit(f"not approved: {step.reason}")


if __name__ == "__main__":
    _approve(Path(sys.argv[1]))

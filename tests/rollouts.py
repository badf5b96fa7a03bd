"""What the tests of rollouts share: a plan, its contracts, its flags, and evidence."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    document,
    json_flag,
    string_flag,
)
from openfeature.contrib.provider.featbit.management import ManagementClient
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import governance
from openfeature_gov.ladder import MODES
from openfeature_gov.targets import FlagTarget
from openfeature_gov.targets.featbit import FeatBitTarget
from openfeature_gov.targets.file import FileTarget
from openfeature_gov.testing.featbit import SimulatedFeatBit
from openfeature_gov_rollout.controller import Controller
from openfeature_gov_rollout.gates import Count
from openfeature_gov_rollout.looking import Seen, Window
from openfeature_gov_rollout.plan import Plan
from openfeature_gov_rollout.plans import parse
from tests.conftest import contract_yaml

MODE = "refunds.mode"
CONTROLS = (
    "{globalFlag: gov.on, denylistFlag: gov.deny, fallbackFlag: gov.incident, "
    f"modeFlag: {MODE}}}"
)
CONTRACTS = "---\n".join(
    contract_yaml(
        tool,
        workflow="refunds",
        runtimeControls=CONTROLS,
        rollback="{safestMode: search_only, owner: team}",
        defaultMode="search_only",
    )
    for tool in ("refund", "lookup")
)
PLAN = """
rolloutPlan:
  name: refunds
  workflow: refunds
  tools: [refund, lookup]
  owner: ann
  purpose: let the agent refund small amounts
  reviewDate: 2027-01-31
  cleanUpCondition: everybody has had autonomous for 30 days
  modeFlag: refunds.mode
  regressionWindow: 1h
  stages:
    - name: observe
      mode: observe
      gates: [{metric: agreement, atLeast: 0.9}]
    - name: search
      mode: search_only
      gates: [{metric: agreement, atLeast: 0.9}]
    - name: read
      mode: scoped_read
      gates: [{metric: agreement, atLeast: 0.9}]
    - name: draft
      mode: draft_write
      minimumTime: 1h
      minimumSamples: 20
      gates:
        - {metric: acceptance, atLeast: 0.9}
        - {metric: incident, atMost: 0, kind: guardrail}
        - {metric: latency, within: 2, atLeast: 0.5, kind: signal}
    - name: approval
      mode: approval_required
      signOff: []
      deadline: 7d
      onDeadline: rollback
      gates: [{metric: acceptance, atLeast: 0.9}]
    - name: eu-5
      mode: autonomous
      audience: [{where: {region: [eu], toolName: [refund]}, percentage: 5}]
      deadline: 2d
      gates:
        - {metric: acceptance, atLeast: 0.9}
        - {metric: incident, atMost: 0, kind: guardrail}
    - name: eu-20
      mode: autonomous
      audience: [{where: {region: [eu], toolName: [refund]}, percentage: 20}]
      gates: [{metric: acceptance, atLeast: 0.9}]
    - name: accounts
      mode: autonomous
      audience: [{where: {accountId: [acme, beta]}}]
      gates: [{metric: acceptance, atLeast: 0.9}]
    - name: everybody
      mode: autonomous
      gates: [{metric: acceptance, atLeast: 0.9}]
    - name: clean-up
      mode: autonomous
      cleanUp: true
"""
STAGES = (
    *("observe", "search", "read", "draft", "approval"),
    *("eu-5", "eu-20", "accounts", "everybody", "clean-up"),
)
GOOD = {
    "agreement": Count(200, 200),
    "acceptance": Count(200, 200),
    "incident": Count(0, 200),
    "latency": Count(190, 200),
}
BAD = {**GOOD, "agreement": Count(20, 40), "acceptance": Count(20, 40)}
DAY_US = 86_400_000_000


def contracts(text: str = CONTRACTS) -> governance.Governance:
    """Return the contracts of the plan's tools."""
    return governance.parse(text)


def plan(text: str = PLAN) -> Plan:
    """Return the plan."""
    (one,) = parse(text, "plan.yaml", contracts())
    return one


def flags(**options: Any) -> Json:
    """Return the flags that the contracts name; *options* are those of the mode."""
    return document(
        [
            string_flag(MODE, [*MODES], serve="off", off="off", **options),
            boolean_flag("gov.on", serve=True, off=False),
            json_flag("gov.deny", {"none": [], "all": ["*"]}, serve="none", off="all"),
            boolean_flag("gov.incident", serve=False, off=True),
        ]
    )


@dataclass
class Scripted:
    """Answer what a test says that was seen; *asked* keeps the windows."""

    counts: dict[str, Count | None] = field(default_factory=lambda: {**GOOD})
    samples: int = 200
    refused: str = ""
    recent: dict[str, Count | None] | None = None
    asked: list[Window] = field(default_factory=list)

    def __call__(self, windows: Sequence[Window]) -> list[Seen]:
        """Return the same for every window, or *recent* for each second one."""
        self.asked += windows
        whole = Seen(samples=self.samples, counts=self.counts, refused=self.refused)
        late = Seen(samples=self.samples, counts=self.recent or self.counts)
        return [late if number % 2 else whole for number, _ in enumerate(windows)]


@dataclass
class Clock:
    """Be a clock that a test moves on; it starts at the real time."""

    at_us: int

    def __call__(self) -> int:
        """Return the time in microseconds since 1970."""
        return self.at_us

    def pass_(self, microseconds: int) -> None:
        """Let time pass."""
        self.at_us += microseconds


@dataclass
class Bench:
    """One controller on one target, with what it sees in a test's hands."""

    controller: Controller
    target: FlagTarget
    evidence: Scripted
    clock: Clock
    records: Path

    def stage(self) -> str:
        """Return the stage that the flag says."""
        (one,) = self.controller.look()
        return one.situation.place.stage

    def up(self, stage: str) -> None:
        """Advance until *stage* holds, by override where proof takes time."""
        while self.stage() != stage:
            self.clock.pass_(2 * 3_600_000_000)
            self.controller.advance("refunds", actor="ann", reason="proven")


def bench(target: FlagTarget, folder: Path, *, at_us: int | None = None) -> Bench:
    """Return a controller on *target* that records in *folder*."""
    records = folder / "records.db"
    evidence, clock = Scripted(), Clock(at_us or time.time_ns() // 1000)
    controller = Controller(
        plans=(plan(),),
        governance=contracts(),
        target=target,
        records=records,
        evidence=evidence,
        now_us=clock,
    )
    return Bench(controller, target, evidence, clock, records)


@contextmanager
def on_featbit(**options: Any) -> Iterator[tuple[FlagTarget, SimulatedFeatBit]]:
    """Lend the flags in a simulated FeatBit."""
    with SimulatedFeatBit(flags(**options)) as server:
        yield featbit(server), server


def featbit(server: SimulatedFeatBit) -> FeatBitTarget:
    """Return the flags of *server*, by a client of their own."""
    client = ManagementClient(server.api_url, server.access_token)
    return FeatBitTarget(client, server.project_key, server.env_key)


def on_file(folder: Path, **options: Any) -> FlagTarget:
    """Return the flags in a new file."""
    path = folder / "flags.json"
    write_document(path, flags(**options))
    return FileTarget(path)

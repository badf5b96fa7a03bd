"""Stage a retail support agent from observe to autonomous, on proof, and see it fall.

    python examples/retail_rollout.py
    python examples/retail_rollout.py --calls CALLS.jsonl --store SHOP.json
    python examples/retail_rollout.py --featbit

Plays recorded tool calls in each stage of ``retail_rollout.yaml`` until its gates are
cleared; scripted reviewers answer what waits for a person. In the middle somebody flips
the kill switch. In the last stage the agent goes bad, and the controller takes its
authority back at the next evaluation. Exits 1 if a promise was not kept. Offline;
nothing is left behind, or with ``--keep FOLDER`` the records, for ``gov rollout``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.states import State
from openfeature_gov.decisions import Effect
from openfeature_gov.demo.acts import CALM
from openfeature_gov.demo.agent import Played
from openfeature_gov.demo.flags import APPROVAL, GLOBAL, MODE
from openfeature_gov.demo.orders import OrderError, OrderStore
from openfeature_gov.demo.recorded import (
    CALLS,
    SHOP,
    RecordedCall,
    read_calls,
    read_store,
)
from openfeature_gov.demo.session import Session, edit, opened
from openfeature_gov.embedded import load_governance
from openfeature_gov.errors import GovernanceError
from openfeature_gov_rollout.controller import BlockedError, Controller
from openfeature_gov_rollout.plans import parse
from openfeature_gov_rollout.recorded import recorded
from openfeature_gov_rollout.showing import history, status

PLAN = Path(__file__).with_suffix(".yaml")
NAME, OWNER = "retail-support", "support-lead"
POLL_S = 0.05
INTERVAL = 50
"""How many calls the agent makes between two evaluations."""
ROUNDS = 80
"""How many evaluations a stage may take before the example gives up."""
START = {**{key: CALM[key] for key in CALM if key != MODE}, APPROVAL: "false"}
"""What the other flags serve: from here on the mode alone decides."""
REFUSED = 20
"""The scripted reviewers refuse every so manyth action."""
LEAD = Reviewer("lead-1", way="example")


class Leads:
    """Know one reviewer, who is in every group that a contract names."""

    def __init__(self, groups: Iterable[str]) -> None:
        self._groups = frozenset(groups)

    def groups(self, subject: str) -> frozenset[str]:
        """Return the groups of *subject*."""
        return self._groups if subject == LEAD.subject else frozenset()

    def aliases(self, subject: str) -> frozenset[str]:
        """Return the names of *subject*, if that is the lead."""
        return frozenset({subject}) if subject == LEAD.subject else frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Say what one stage took: decisions until proven, and what proved it."""

    name: str
    mode: str
    decisions: int
    evaluations: int
    proof: tuple[str, ...]


@dataclass(slots=True)
class Report:
    """Hold what happened; *broken* are the promises that were not kept."""

    stages: list[Stage] = field(default_factory=list)
    kill: dict[str, object] = field(default_factory=dict)
    regression: dict[str, object] = field(default_factory=dict)
    history: list[dict[str, object]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def expect(self, kept: bool, promise: str) -> None:
        """Note *promise* if it was not *kept*."""
        if not kept:
            self.broken.append(promise)


def stage_agent(
    calls: Sequence[RecordedCall],
    pristine: OrderStore,
    *,
    featbit: bool = False,
    keep: Path | None = None,
) -> Report:
    """Lead the agent through every stage on *calls*; return what happened.

    *pristine* is the shop, and stays as it is. *featbit* keeps the flags in a simulated
    FeatBit server; *keep* is the folder that keeps the records, made if missing.
    """
    report = Report()
    with _folder(keep) as folder:
        contracts = load_governance(SHOP.with_name("governance.yaml"))
        people = Leads(one.approval.reviewer_group for one in contracts)
        live = opened(
            folder,
            pristine,
            mode="off",
            poll_seconds=POLL_S,
            featbit=featbit,
            people=people,
        )
        with live as session:
            edit(session, START)
            governance = load_governance(session.governance)
            text = PLAN.read_text("utf-8")
            (folder / "rollout.yaml").write_text(text, "utf-8")
            controller = Controller(
                plans=parse(text, str(PLAN), governance),
                governance=governance,
                target=session.target,
                records=session.records,
                evidence=recorded(session.records, governance),
            )
            _Run(session, controller, calls, pristine, report).all()
        report.history = history(controller.story(NAME))
    return report


class _Run:
    """Lead one session through the plan; lives for one call of `stage_agent`."""

    def __init__(
        self,
        session: Session,
        controller: Controller,
        calls: Sequence[RecordedCall],
        pristine: OrderStore,
        report: Report,
    ) -> None:
        self._session, self._controller, self._report = session, controller, report
        self._calls, self._pristine = calls, pristine
        self._place, self._asked, self._run = 0, 0, 0

    def all(self) -> None:
        (plan,) = self._controller.plans
        for stage in plan.stages:
            if stage.clean_up:
                break
            self._advance(stage.name)
            if stage.name == "approval":
                self._kill()
            self._prove(stage.name, stage.mode.label)
        self._regress()

    def _advance(self, name: str) -> None:
        moved = self._controller.advance(NAME, actor=OWNER, reason="the gates passed")
        self._report.expect(moved.place.stage == name, f"{name}: not reached")
        time.sleep(5 * POLL_S)  # whoever decides follows by itself

    def _prove(self, name: str, mode: str) -> None:
        """Let the agent work until the gates are cleared."""
        for evaluation in range(1, ROUNDS + 1):
            self._work()
            (taken,) = self._controller.tick()
            facts = status(taken.look)
            self._report.expect(taken.moved is None, f"{name}: moved unasked")
            if not facts["blocks"]:
                proof = tuple(gate["sentence"] for gate in facts["gates"])
                found = Stage(
                    name=name,
                    mode=mode,
                    decisions=facts["samples"],
                    evaluations=evaluation,
                    proof=proof,
                )
                self._report.stages.append(found)
                return
        told = "; ".join(one["text"] for one in facts["blocks"])
        raise TimeoutError(f"{name}: not proven after {ROUNDS} evaluations: {told}")

    def _kill(self) -> None:
        """Flip the kill switch in the middle of a stage; nothing gets past it."""
        self._work()
        edit(self._session, {GLOBAL: "false"})
        played = self._work()
        denied = sum(one.outcome.effect is Effect.DENY for one in played)
        (taken,) = self._controller.tick()
        waived = self._refusal(override=True)
        edit(self._session, {GLOBAL: "true"})
        self._report.kill = {
            "calls": len(played),
            "denied": denied,
            "controller": taken.step.verb,
            "refusal": waived,
        }
        self._report.expect(denied == len(played), "kill switch: something ran")
        self._report.expect(taken.step.verb is None, "kill switch: something moved")
        self._report.expect("killed" in waived, "kill switch: did not block")

    def _regress(self) -> None:
        """Let the agent go bad in the last stage; its authority falls at once."""
        time.sleep(1.2)  # longer than the regression window: what follows stands alone
        bad = self._work(damaged)
        (taken,) = self._controller.tick()
        place = taken.moved.place.stage if taken.moved else ""
        refusal = self._refusal(override=True)
        time.sleep(5 * POLL_S)
        after = self._work()
        ran = sum(one.wrote for one in after)
        self._report.regression = {
            "calls": len(bad),
            "refusedByTheShop": sum(bool(one.refusal) for one in bad),
            "evaluations": 1,
            "stage": place,
            "reason": taken.step.reason,
            "refusal": refusal,
            "wroteAfterwards": ran,
        }
        self._report.expect(place == "rolled-back", "regression: not rolled back")
        self._report.expect("locked" in refusal, "regression: not locked")
        self._report.expect(ran == 0, "regression: something was written afterwards")

    def _refusal(self, *, override: bool) -> str:
        try:
            self._controller.advance(NAME, actor=OWNER, reason="try", override=override)
        except BlockedError as error:
            return str(error)
        return ""

    def _work(self, change: object = None) -> list[Played]:
        """Let the agent make `INTERVAL` calls, and people answer what waits."""
        played: list[Played] = []
        self._run += 1
        for call in self._next():
            wanted = damaged(call) if change is damaged else call
            (one,) = self._session.play([wanted], f"{self._run}")
            played.append(one)
            if one.outcome.effect is Effect.QUEUE_FOR_APPROVAL:
                self._answer(one, wanted)
            if one.outcome.review_id:
                self._accept(one.outcome.review_id)
        self._session.governor.records.flush()  # type: ignore[attr-defined] # its store
        return played

    def _next(self) -> Iterator[RecordedCall]:
        """Yield the next calls, over and over; the shop starts anew with each task."""
        task = ""
        for _ in range(INTERVAL):
            call = self._calls[self._place % len(self._calls)]
            self._place += 1
            if call.task != task:
                self._session.store.reset(self._pristine)
                task = call.task
            yield call

    def _answer(self, one: Played, call: RecordedCall) -> None:
        queue = self._session.governor.approvals
        if queue is None:
            return
        self._session.governor.records.flush()  # type: ignore[attr-defined] # its store
        request = queue.get(one.outcome.approval_id)
        if request is None or request.state is not State.PENDING:
            return
        self._asked += 1
        if self._asked % REFUSED == 0:
            queue.refuse(request.id, LEAD, reason="not what was asked for")
            return
        queue.approve(request.id, LEAD, seen=request.binding)
        list(self._session.play([call], f"{self._run}"))  # the agent asks again

    def _accept(self, review_id: str) -> None:
        queue = self._session.governor.reviews
        self._session.governor.records.flush()  # type: ignore[attr-defined] # its store
        review = None if queue is None else queue.get(review_id)
        if queue is not None and review is not None:
            queue.accept(review.id, LEAD, seen=review.binding)


def damaged(call: RecordedCall) -> RecordedCall:
    """Return *call* as an agent makes it that has lost its way: no id is right."""
    wrong = {
        name: f"{value}-wrong" if isinstance(value, str) else value
        for name, value in call.arguments.items()
    }
    return replace(call, arguments=wrong)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="gov-rollout-") as folder:
        yield Path(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; return 0 if every promise held, 1 if not, 2 for bad input."""
    options = _options().parse_args(arguments)
    try:
        calls, pristine = read_calls(options.calls), read_store(options.store)
        with closing(pristine):
            report = stage_agent(
                calls, pristine, featbit=options.featbit, keep=options.keep
            )
    except (OSError, ValueError, OrderError, GovernanceError) as error:
        print(f"retail_rollout: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(asdict(report), indent=2, default=str))
    else:
        _print(report)
    for promise in report.broken:
        print(f"PROMISE BROKEN: {promise}", file=sys.stderr)
    return 1 if report.broken else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=Path, default=CALLS, help="JSON Lines of calls")
    parser.add_argument("--store", type=Path, default=SHOP, help="JSON of the shop")
    parser.add_argument(
        "--featbit", action="store_true", help="flags in a simulated FeatBit server"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="a new folder for the records"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


def _print(report: Report) -> None:
    print("stage          mode               decisions  evaluations  what proved it")
    for one in report.stages:
        print(
            f"{one.name:<14} {one.mode:<18} {one.decisions:>9} {one.evaluations:>12}"
            f"  {one.proof[0]}"
        )
        for sentence in one.proof[1:]:
            print(f"{'':<58}{sentence}")
    kill, bad = report.kill, report.regression
    print(f"\nKill switch in the middle: {kill['denied']} of {kill['calls']} denied")
    print(f"\nThe agent goes bad: {bad['refusedByTheShop']} of {bad['calls']} fail")
    print(f"  next evaluation  {bad['stage']}: {bad['reason']}")
    print(f"  written after it {bad['wroteAfterwards'] or 'nothing'}")
    print("\nFrom the records alone:")
    for event in report.history:
        told = f"{event['verb']} {event['from'] or '-'} -> {event['to']}"
        print(f"  {told:<36} {event['actor']}: {str(event['reason'])[:80]}")


if __name__ == "__main__":
    sys.exit(main())

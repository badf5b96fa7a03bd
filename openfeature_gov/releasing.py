"""What a queued call meets: an open request, a person's answer, or a new request.

Whatever a person released is judged again with every control, and used up in the
transaction of the record that it runs under. A call that need not wait is asked about
only for a refusal: no flag that changes later makes a person's no a yes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any, NamedTuple

import orjson

from openfeature_gov.approvals import requests, steps
from openfeature_gov.approvals.people import Directory
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import Kept, change
from openfeature_gov.approvals.states import OPEN, State
from openfeature_gov.approvals.steps import Denied
from openfeature_gov.contracts import ActionContract, ToolCall
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Effect, Verdict
from openfeature_gov.evidence.records import Record
from openfeature_gov.flags.reader import Demanded
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.judging import Judge, Judged, Release, Route, denial
from openfeature_gov.ladder import Mode
from openfeature_gov.reviewing import Shelf
from openfeature_gov.tools import Tool


class Approvals(NamedTuple):
    """Say where requests for approval and reviews are kept, and who answers them."""

    shelf: Shelf
    people: Directory


NAME = "release"
MOST_OPEN = 100
"""Requests of one agent that may be open: nobody can be flooded."""
ASKED = frozenset(State) - {State.WITHDRAWN, State.SUPERSEDED, State.FAILED}


@dataclass(frozen=True, slots=True)
class _Call:
    """Hold one queued call while it is settled."""

    call: ToolCall
    tool: Tool
    demanded: Demanded
    judged: Judged
    contract: ActionContract
    rules: GovernanceContract
    flags: Readings
    binding: str

    @property
    def agent(self) -> str:
        return self.contract.context.actor.agent


class Releases:
    """Settle queued calls against the requests on *shelf*. Safe to share.

    *queue* takes the steps of requests, *now* returns microseconds since 1970.
    """

    def __init__(
        self, judge: Judge, shelf: Shelf, queue: ApprovalQueue, now: Callable[[], int]
    ) -> None:
        self._judge, self._shelf, self._queue, self._now = judge, shelf, queue, now

    def settled(
        self, call: ToolCall, tool: Tool, demanded: Demanded, judged: Judged
    ) -> Judged:
        """Return what becomes of a call that was *judged* to wait, or to change things.

        Raises:
            RecordStoreError: when the requests cannot be read or stored.

        """
        if judged.contract is None or judged.flags is None:
            return judged
        rules = self._judge.rules(tool)
        binding = requests.binding(
            judged.contract, rules, judged.flags, judged.decision.constraints
        )
        one = _Call(
            *(call, tool, demanded, judged),
            *(judged.contract, rules, judged.flags, binding),
        )
        settled = self._settled(one)
        smaller = settled.smaller
        if smaller is None or smaller.digest == one.contract.digest:
            return settled
        # A narrowed call is another action: a person may have refused that one.
        refused = self._shelf.requests(states=(State.REFUSED,), digest=smaller.digest)
        answers = (self._answered(one, kept) for kept in refused)
        return next(answers, None) or settled

    def _settled(self, one: _Call) -> Judged:
        digest, judged = one.contract.digest, one.judged
        if not queued(judged):
            refused = self._shelf.requests(states=(State.REFUSED,), digest=digest)
            answers = (self._answered(one, kept) for kept in refused)
            return next(answers, None) or judged
        found = self._shelf.requests(states=ASKED, digest=digest, newest=True)[::-1]
        # A refusal beats any release, whoever asked first.
        for kept in sorted(found, key=_allows):
            answer = self._answered(one, self._current(kept))
            if answer is not None:
                return answer
        return self._asked(one)

    def _current(self, kept: Kept) -> Kept:
        """Return *kept* after the clock's step, whether a clock runs here or not."""
        request = kept.request
        if request.state not in OPEN or self._now() < request.deadline_us:
            return kept
        self._queue.expire(request.id)
        return self._shelf.request(request.id) or kept

    def _answered(self, one: _Call, kept: Kept) -> Judged | None:
        """Return what the request *kept* means for the call, None for nothing."""
        request = kept.request
        same = request.binding == one.binding
        match request.state:
            case State.REFUSED:
                return self._capped(one, request, Mode.OFF, "refused_by_person")
            case State.EXPIRED if same and request.task == one.contract.context.task:
                cap = one.rules.approval.timeout_fallback
                return self._capped(one, request, cap, "approval_expired")
            case State.PENDING | State.APPROVED if request.agent != one.agent:
                return None
            case State.PENDING | State.APPROVED if not same:
                self._queue.supersede(request.id, "flags_or_contract_changed")
                return None
            case State.PENDING:
                return replace(one.judged, approval=request.id)
            case State.APPROVED:
                return self._released(one, kept)
            case State.CONSUMED | State.EXECUTED | State.UNKNOWN:
                return self._repeated(one, request)
            case _:
                return None

    def _repeated(self, one: _Call, request: Request) -> Judged | None:
        """Return a denial for a retry of the very call that was released before."""
        if not request.call_id or request.call_id != one.contract.call_id:
            return None
        return self._capped(one, request, Mode.OFF, "call_already_ran")

    def _capped(self, one: _Call, request: Request, cap: Mode, reason: str) -> Judged:
        verdict = Verdict(NAME, cap, reason, evidence=_evidence(request))
        again = self._judge.judge(
            one.call, one.tool, one.demanded, Release(verdict, approved=False)
        )
        return replace(again, approval=request.id)

    def _released(self, one: _Call, kept: Kept) -> Judged | None:
        """Return the call judged again with its release, which its record uses up."""
        request = kept.request
        verdict = Verdict(
            NAME,
            Mode.AUTONOMOUS,
            "break_glass" if request.glass_broken else "approved",
            constraints=request.constraints,
            evidence=_evidence(request),
        )
        again = self._judge.judge(
            one.call, one.tool, one.demanded, Release(verdict, approved=True)
        )
        if again.route.ran != "tool" or again.contract is None or again.flags is None:
            return again
        # What is bound must be what runs: read again, it may be something else.
        binding = requests.binding(
            again.contract, one.rules, again.flags, one.judged.decision.constraints
        )
        behind = (*request.requesters, *requests.requesters(again.contract))
        used = self._queue.used(
            replace(request, requesters=tuple(dict.fromkeys(behind))),
            binding=binding,
            by=again.record.id,
        )
        if isinstance(used, Denied):
            self._queue.supersede(request.id, used.reason)
            return None
        record = again.record._replace(change=change(used, kept.version))
        return replace(
            again,
            record=record,
            approval=request.id,
            used=Kept(used, kept.version + 1),
            durable=True,
        )

    def _asked(self, one: _Call) -> Judged:
        """Return the queued call with a new request, stored with its record."""
        text = one.tool.told(one.contract.arguments)
        if not text and one.contract.consequential:
            return self._refused(one, "consequence_missing")
        open_ones = self._shelf.requests(limit=10 * MOST_OPEN)
        if sum(kept.request.agent == one.agent for kept in open_ones) >= MOST_OPEN:
            return self._refused(one, "too_many_requests")
        request = self._request(one, text)
        record: Record = one.judged.record._replace(change=change(request, 0))
        return replace(one.judged, record=record, approval=request.id, durable=True)

    def _refused(self, one: _Call, reason: str) -> Judged:
        verdict = Verdict(NAME, Mode.OFF, reason)
        release = Release(verdict, approved=False)
        return self._judge.judge(one.call, one.tool, one.demanded, release)

    def _request(self, one: _Call, consequence: str) -> Request:
        contract, rules, now = one.contract, one.rules, self._now()
        minutes = rules.approval.timeout_minutes
        return Request(
            id=token_hex(16),
            state=State.PENDING,
            digest=contract.digest,
            binding=one.binding,
            tool=contract.tool,
            workflow=contract.workflow,
            task=contract.context.task,
            agent=one.agent,
            group=rules.approval.reviewer_group,
            quorum=rules.approval.quorum,
            created_us=now,
            deadline_us=now + minutes * steps.MINUTE_US,
            call_id=contract.call_id,
            record_id=one.judged.record.id,
            requesters=requests.requesters(contract),
            escalation=rules.approval.escalation,
            minimum_us=rules.approval.minimum_seconds * 1_000_000,
            patience_us=minutes * steps.MINUTE_US,
            reassign_to=rules.approval.reassign_to,
            break_glass=rules.approval.break_glass_group or "",
            arguments=contract.canonical,
            facts={
                **requests.card(
                    contract, rules, one.flags, one.judged.decision, consequence
                ),
                # What is more than JSON would come back as text.
                "resumable": orjson.loads(contract.canonical) == contract.arguments,
            },
        )


def unsettled(judged: Judged) -> Judged:
    """Return the denial of a queued call that nobody would see."""
    return replace(
        judged,
        decision=denial("recording", "approvals_unavailable"),
        route=Route(),
        durable=False,
    )


def queued(judged: Judged) -> bool:
    """Say whether the law lets *judged* wait for a person."""
    return judged.decision.effect is Effect.QUEUE_FOR_APPROVAL


def consulted(judged: Judged) -> bool:
    """Say whether people may have said something about *judged*."""
    return judged.durable or queued(judged)


def _allows(kept: Kept) -> bool:
    return kept.request.state is not State.REFUSED


def _evidence(request: Request) -> dict[str, Any]:
    return {
        "approval": request.id,
        "state": request.state.value,
        "reviewer": request.reviewer,
        "votes": len(request.votes),
        **({"callers": sorted(request.callers)} if request.glass_broken else {}),
    }

"""`Observer`: what guardrails remember between the calls of one process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from openfeature_gov.contracts import ActionContract, CallContext
from openfeature_gov.controls.guardrails import (
    Breaker,
    Situation,
    concerns,
    weigh,
)
from openfeature_gov.controls.guardrails.matching import Act, act_of
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.governance.guardrails import (
    DataRules,
    Money,
    ToolErrors,
)
from openfeature_gov.governance.settings import Setting
from openfeature_gov.locks import interrupted, renewed
from openfeature_gov.observing.asked import NOBODY, Asked, asked_of
from openfeature_gov.observing.days import Days, Spent, day_of, key_of
from openfeature_gov.observing.refused import Refused
from openfeature_gov.observing.releases import ReleaseWatch, SignalRelease
from openfeature_gov.observing.rests import Rests
from openfeature_gov.observing.standings import Standings
from openfeature_gov.observing.steps import Before, Steps
from openfeature_gov.observing.table import Table

DAY_US = 86_400_000_000
RUNNING = 65_536
"""How many calls are remembered that began and did not end, at most."""
Key = tuple[str, ...]
Erased = Callable[[list[str]], bool]
"""Says whether any user, account or record of these ids was erased."""


@dataclass(frozen=True, slots=True)
class _Running:
    """Hold what one call added when it began, so that it can be taken back."""

    began_us: int | None = None
    spent: Mapping[Key, Spent] = field(default_factory=dict)
    breakers: Mapping[Key, ToolErrors] = field(default_factory=dict)
    preceded: Before = field(default_factory=dict)


_NONE = _Running()


class Observer:
    """Remember for the guardrails of *governance*. Safe to share, and bounded.

    Fed by decisions, outcomes and signals; asked before a call is judged. Where it has
    no room for one more, guardrails cannot tell. What another process does it does not
    see. *now* returns microseconds since 1970. Lives with its Governor.
    """

    def __init__(
        self,
        governance: Governance,
        now: Callable[[], int],
        erased: Erased | None = None,
    ) -> None:
        self._now, self._erased = now, erased
        self._rules = governance.contracts
        asked = {rules.tool: asked_of(rules.guardrails) for rules in governance}
        self._asked = {tool: one for tool, one in asked.items() if one.every}
        self.idle = not self._asked
        self._refusing = any(one.refusals for one in self._asked.values())
        self._days, self._rests, self._refused = Days(), Rests(), Refused()
        self._steps, self._standings = Steps(governance), Standings(governance)
        self._running: Table[str, _Running] = Table(RUNNING, DAY_US)
        self._watch: ReleaseWatch | None = None
        self._ends: deque[Callable[[], None]] = deque()
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = threading.RLock()

    def situation(
        self, contract: ActionContract, rules: GovernanceContract, own: str = ""
    ) -> Situation:
        """Return what is known for judging *contract*.

        *own* is the record of this very call if it began already: what it added itself
        does not count against it.
        """
        asked = self._asked.get(rules.tool)
        if asked is None:
            return Situation(now_us=self._now())
        if asked.named and self._watch is not None:
            of = self._standings.of
            if any(of(rules.tool, one.name).fired for one in asked.named):
                self._watch.look(self._now())
        erased = self._told(contract) if asked.erased else None
        if interrupted(self._lock):
            return Situation(now_us=self._now())
        with self._lock:
            self._catch_up()
            return self._known(contract, rules, asked, own, erased)

    def _told(self, contract: ActionContract) -> bool | None:
        """Return whether anybody that *contract* is about was erased."""
        erased = self._erased
        if erased is None:
            return None
        context = contract.context
        record = contract.named or contract.record
        names = (context.actor.user, context.account, record)
        try:
            return erased([name for name in names if name]) is not False
        except Exception:  # noqa: BLE001 - whoever cannot be looked up may be erased
            return None

    def _known(
        self,
        contract: ActionContract,
        rules: GovernanceContract,
        asked: Asked,
        own: str = "",
        erased: bool | None = None,
    ) -> Situation:
        now, context = self._now(), contract.context
        mine = (self._running.get(own) if own else None) or _NONE
        spent: dict[str, Decimal] = {}
        for one in asked.money:
            total = self._days.total(one, contract, rules, mine.spent, now)
            if total is not None:
                spent[one.name] = total
        breakers: dict[str, Breaker] = {}
        # An end that nobody will know cannot count as an error.
        if asked.errors and (own or self._running.room("", now)):
            for it in asked.errors:
                state = self._rests.state(it, contract, mine.began_us, now)
                if state is not None:
                    breakers[it.name] = state
        refusals: dict[str, tuple[int, ...]] = {}
        for pause in asked.refusals:
            times = self._refused.times(pause, context, now)
            if times is not None:
                refusals[pause.name] = times
        preceded: dict[str, int | None] = {}
        for two in asked.sequences:
            step = (rules.tool, two.name)
            last = self._steps.last(step, context, mine.preceded, now)
            if last is not None:
                preceded[two.name] = last[0]
        of = self._standings.of
        return Situation(
            now_us=now,
            breakers=breakers,
            refusals=refusals,
            spent=spent,
            signals={one.name: of(rules.tool, one.name) for one in asked.signals},
            preceded=preceded,
            erased=erased,
        )

    def begin(
        self,
        contract: ActionContract | None,
        verdicts: Iterable[Verdict],
        record_id: str,
        *,
        full: bool,
    ) -> bool:
        """Note that the call of *record_id* is about to run; False: judge it anew.

        Nothing is noted when what other calls did meanwhile would lower the decision
        that *verdicts* led to. *full* says that the tool's own function runs.
        """
        if self.idle or contract is None:
            return True
        if interrupted(self._lock):
            return False
        rules = self._rules[contract.tool]
        asked = [
            one
            for one in self._asked.get(contract.tool, NOBODY).every
            if type(one) is not DataRules and concerns(one, contract, rules)
        ]
        with self._lock:
            self._catch_up()
            if asked and self._changed(contract, rules, asked, verdicts):
                return False
            now, context = self._now(), contract.context
            money = [one for one in asked if isinstance(one, Money) and full]
            rests = [one for one in asked if isinstance(one, ToolErrors) and full]
            running = _Running(
                now,
                self._days.spend(money, contract, rules, now),
                self._rests.begin(rests, contract, now),
                self._steps.take(act_of(contract, rules), context, now, now),
            )
            self._running.put(record_id, running, now)
        return True

    def _changed(
        self,
        contract: ActionContract,
        rules: GovernanceContract,
        asked: Iterable[Setting],
        verdicts: Iterable[Verdict],
    ) -> bool:
        before = {one.control: one.cap for one in verdicts}
        known = self._known(contract, rules, self._asked[contract.tool])
        return any(
            one.control not in before or one.cap < before[one.control]
            for one in weigh(contract, rules, known, asked)
        )

    def end(self, record_id: str, status: str, *, began: bool = True) -> None:
        """Note how the call of *record_id* ended, and whether it ever *began*.

        What did not run gives its money back; what failed may have moved it. What was
        cancelled under way did not answer in time: for a breaker it failed.
        """
        if self.idle:
            return
        self._note(partial(self._ended, record_id, status, began=began))

    def _ended(self, record_id: str, status: str, *, began: bool) -> None:
        ok = {"executed": True, "failed": False, "cancelled": False}.get(status)
        now, running = self._now(), self._running.pop(record_id)
        if running is None or running.began_us is None:
            return
        self._rests.end(
            running.breakers, running.began_us, now, ok=ok if began else None
        )
        if status == "not_run":
            self._days.give_back(running.spent, now)

    def refused(self, agent: str | None, task: str | None, at_us: int) -> None:
        """Note that a call of *agent* in *task* was refused at *at_us*."""
        if self._refusing and agent:
            self._note(partial(self._refuse, agent, task or "", at_us))

    def _refuse(self, agent: str, task: str, at_us: int) -> None:
        self._refused.add(agent, task, at_us, self._now())

    def _note(self, end: Callable[[], None]) -> None:
        """Note *end*; what a signal handler says waits for whom it interrupted."""
        self._ends.append(end)
        if not interrupted(self._lock):
            with self._lock:
                self._catch_up()

    def _catch_up(self) -> None:
        """Note what has ended: whoever has the lock, before he looks or changes."""
        while self._ends:
            self._ends.popleft()()

    def sample(self, metric: str, value: Decimal) -> int:
        """Take a sample of *metric*; return how many guardrails look at it."""
        with self._lock:
            return self._standings.sample(metric, value, self._now())

    def release(self, metric: str, by: str) -> tuple[str, ...]:
        """Let go of *metric* in the name of *by*; return the tools it still holds."""
        with self._lock:
            return self._standings.release(metric, by)

    def follow(self, read: Callable[[int], Iterable[SignalRelease]]) -> None:
        """Let go of signals also by releases that *read* returns, from now on."""
        self._watch = ReleaseWatch(read, self._released, self._now())

    def _released(self, one: SignalRelease) -> None:
        with self._lock:
            self._standings.release(one.metric, one.by, one.at_us)

    def recall_signal(self, tool: str, name: str) -> None:
        """Take over that a signal waits for a named release."""
        with self._lock:
            self._standings.hold(tool, name, self._now())

    def recall_spent(
        self,
        one: Money,
        rules: GovernanceContract,
        name: str,
        amount: Decimal,
        at_us: int,
    ) -> None:
        """Take over what the customer or account *name* moved at *at_us*."""
        key, day = key_of(one, rules, name), day_of(at_us, one.timezone)
        with self._lock:
            if key is not None and day >= day_of(self._now(), one.timezone):
                self._days.add(key, amount, day, self._now())

    def hear_spent(self, contract: ActionContract, name: str, total: Decimal) -> None:
        """Take over from the ledger what all processes moved for the guardrail *name*.

        It holds for a moment: what they give back the ledger says when asked again.
        """
        rules = self._rules[contract.tool]
        with self._lock:
            for one in self._asked.get(contract.tool, NOBODY).money:
                if one.name == name:
                    self._days.hear(one, contract, rules, total, self._now())

    def recall_step(self, act: Act, context: CallContext, at_us: int) -> None:
        """Take over that *act* was done at *at_us*."""
        with self._lock:
            self._steps.take(act, context, at_us, self._now())

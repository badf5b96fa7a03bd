"""`Taking`: what one call takes before it runs, of rates and budgets, or why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from openfeature_gov.allowances.aside import Held
from openfeature_gov.allowances.taking import Allowances
from openfeature_gov.contracts import ToolCall
from openfeature_gov.decisions import Verdict
from openfeature_gov.errors import OverspentError
from openfeature_gov.fairness import in_thread
from openfeature_gov.flags.reader import Demanded
from openfeature_gov.governance.envelopes import MICRO
from openfeature_gov.governance.parts import EXACT
from openfeature_gov.judging import Judge, Judged
from openfeature_gov.observing import Observer
from openfeature_gov.tools import Tool


class Deciding(Protocol):
    """Know the tools, judge anew, and hear what is spent, as the Decider does."""

    judge: Judge
    observer: Observer
    allowances: Allowances | None

    def known(self, call: ToolCall) -> Tool | None:
        """Return the tool that *call* names, None for none of exactly this name."""

    def reviewed(
        self, call: ToolCall, tool: Tool, demanded: Demanded, judged: Judged
    ) -> Judged:
        """Return *judged* with its review, where people look at it afterwards."""


class Taking:
    """Take what one call needs before it runs: its places once, its parts with it.

    What is refused is judged anew with the refusal, so that the law decides.
    """

    __slots__ = ("_call", "_decider", "_demanded", "_placed", "_refusals")

    def __init__(self, decider: Deciding, call: ToolCall, demanded: Demanded) -> None:
        self._decider, self._call, self._demanded = decider, call, demanded
        self._placed = False
        self._refusals: tuple[Verdict, ...] = ()

    def admitted(self, judged: Judged) -> Judged:
        """Return *judged* with what its record takes, or the refusal of it."""
        allowances, contract = self._decider.allowances, judged.contract
        if allowances is None or judged.route.function is None:
            return judged
        tool = self._decider.known(self._call)
        if tool is None or contract is None:
            return judged
        if not self._placed and not self._refusals:
            refusal = allowances.rate(contract, self._decider.judge.rules(tool))
            self._placed = refusal is None
            self._refusals = () if refusal is None else (refusal,)
        held: tuple[Held, ...] = ()
        if not self._refusals:
            taken = _held(allowances, judged)
            held = () if isinstance(taken, Verdict) else taken
            self._refusals = (taken,) if isinstance(taken, Verdict) else ()
        if self._refusals:
            again = self._decider.judge.judge(
                self._call, tool, self._demanded, judged.release, self._refusals
            )
            return self._decider.reviewed(self._call, tool, self._demanded, again)
        if not held:
            return judged
        entries = allowances.entries(held, reads=contract.mere_read)
        return replace(
            judged, record=judged.record._replace(entries=entries), held=held
        )

    async def aadmitted(self, judged: Judged) -> Judged:
        """Return *judged* admitted, without blocking the loop."""
        decider, allowances = self._decider, self._decider.allowances
        if allowances is None:
            return judged
        if not allowances.rates.remote and not decider.judge.waits(
            decider.known(self._call)
        ):
            return self.admitted(judged)
        return await in_thread(self.admitted, judged)

    def overspent(self, judged: Judged, error: OverspentError) -> None:
        """Refuse the call from now on: a budget had too little left for it."""
        for one in judged.held:
            name = one.charge.guardrail
            if name and one.spend.of == error.purse and judged.contract is not None:
                # Its guardrail says what that means, once it knows.
                total = EXACT.divide(error.taken, MICRO)
                self._decider.observer.hear_spent(judged.contract, name, total)
        if self._decider.allowances is not None:
            entries = judged.record.entries
            self._refusals = self._decider.allowances.overspent(
                judged.held, entries, error
            )


def _held(allowances: Allowances, judged: Judged) -> tuple[Held, ...] | Verdict:
    """Return what *judged* takes of its budgets, or why it may not."""
    take = allowances.alone if judged.alone else allowances.taken
    return take(judged.charges, judged.record.id, judged.route.ran)

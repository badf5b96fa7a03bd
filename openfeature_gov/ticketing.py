"""What a decision leaves for the tool's own function, and what the gate there finds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from openfeature_gov import tickets
from openfeature_gov.admission import Admission
from openfeature_gov.canonical import kinds
from openfeature_gov.contracts import ToolCall
from openfeature_gov.deciding import Decider
from openfeature_gov.fairness import in_thread
from openfeature_gov.judging import Judged, ambient
from openfeature_gov.outcomes import Outcome, Status
from openfeature_gov.running import Runner, heard, plain
from openfeature_gov.tickets import Ticket
from openfeature_gov.tools import Tool


class Ticketing:
    """Leave tickets and honour them. Lives with its Governor, safe to share."""

    def __init__(
        self, decider: Decider, runner: Runner, clock: Callable[[], int]
    ) -> None:
        self._decider, self._runner, self._clock = decider, runner, clock

    def left(self, judged: Judged) -> Outcome | None:
        """Leave a ticket for the tool that *judged* lets run, None where none runs."""
        if judged.route.ran != "tool" or judged.contract is None:
            return None
        now = self._clock()
        tickets.leave(self._ticket(judged, now), now)
        return heard(judged, Status.RELEASED)

    def admission(self, judged: Judged, asked_ns: int) -> Admission:
        """Return *judged*, asked for at *asked_ns*, for a framework that runs it."""
        ticket = self._ticket(judged, self._clock())
        # Since then a person or the disk may have taken any time.
        ticket.sure_ns = asked_ns + tickets.SURE_NS
        ticket.converts = True
        return Admission(judged, ticket, self._decider, self._runner, self._clock)

    def honoured(self, tool: Tool, call: ToolCall) -> Judged | None:
        """Return the decision that *call* may run under, if it still stands.

        The one who calls must be the one who was decided about, and everything is
        judged again: a kill between decision and run is obeyed. Within an `Admission`
        that is milliseconds old the decision stands without a second look.
        """
        found, sure = self._found(tool, call)
        if found is None or sure or self._stands(found):
            return found
        self._decider.settle(found, "not_run")
        return None

    async def ahonoured(self, tool: Tool, call: ToolCall) -> Judged | None:
        """Return the decision that *call* may run under; no policy holds the loop up.

        The async twin of `honoured`.
        """
        found, sure = self._found(tool, call)
        if found is None or sure:
            return found
        if not self._decider.judge.waits(tool):
            stands = self._stands(found)
        else:
            try:
                stands = await in_thread(self._stands, found)
            except asyncio.CancelledError:
                self._decider.settle(found, "cancelled")
                raise
        if stands:
            return found
        self._decider.settle(found, "not_run")
        return None

    def _found(self, tool: Tool, call: ToolCall) -> tuple[Judged | None, bool]:
        """Use up the ticket for *call*: its decision, and whether it surely stands."""
        sealed = self._decider.judge.sealed(tool, call.arguments)
        if sealed is None:
            return None, False
        arguments, canonical = sealed
        now = self._clock()
        ticket = tickets.take(self, tool.name, canonical, now)
        found: Judged | None = None if ticket is None else ticket.release
        if ticket is None or found is None or found.contract is None:
            return None, False
        context, here = found.contract.context, ambient.get()
        if ticket.converts:
            found = _converted(found, arguments)
        return found, now < ticket.sure_ns and (here is context or here == context)

    def _stands(self, found: Judged) -> bool:
        """Judge again whether *found* may run, for the one who is here."""
        if found.contract is None or not self._decider.stands(found):
            return False
        return ambient.get() in (None, found.contract.context)

    def _ticket(self, judged: Judged, now_ns: int) -> Ticket:
        return Ticket(
            self,
            "" if judged.contract is None else judged.contract.tool,
            judged.route.canonical,
            now_ns + tickets.LIFETIME_NS,
            judged,
        )


def _converted(found: Judged, arrived: dict[str, Any]) -> Judged:
    """Return *found*, to run with what its framework made of plain JSON.

    *arrived* has the bytes that were decided, so nothing but types can differ. What
    was decided with types keeps them: a person may have released just those.
    """
    if plain(arrived) or kinds(found.route.arguments):
        return found
    return replace(found, route=replace(found.route, arguments=arrived))

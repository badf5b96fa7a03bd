"""Hand decisions over to whoever asked, who runs the tool and reports how it went."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from openfeature_gov.allowances.taking import reported
from openfeature_gov.awaited import Awaited, Open
from openfeature_gov.deciding import Decider, step_of
from openfeature_gov.evidence.records import Record, outcome_record
from openfeature_gov.governance.envelopes import MOST
from openfeature_gov.judging import Judged
from openfeature_gov.outcomes import Outcome, Status
from openfeature_gov.reviews import ending
from openfeature_gov.running import heard

REPORTED = ("executed", "failed", "cancelled", "not_run")


class Handing:
    """Hand over what was decided, and take reports. Lives with its Governor."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._awaited = Awaited()

    def over(self, judged: Judged) -> Outcome:
        """Return what was *judged*; where something may run, await a report."""
        if judged.route.function is not None:
            tool = "" if judged.contract is None else judged.contract.tool
            ends = Open(judged.used, judged.held, judged.review, tool)
            self._awaited.add(judged.record.id, ends)
        return heard(judged, Status.DECIDED)

    def ended(
        self,
        record_id: str,
        status: str,
        *,
        cost: Decimal | None,
        tokens: int | None,
        result: Any,
        error: str,
        **told: str,
    ) -> Record:
        """Return the record of how the call ended that *record_id* decided.

        It awaits no report any more. *told* is noted with it.

        Raises:
            ValueError: for another *status*, a record that awaits no report, and what
                is no cost: negative, not finite.

        """
        if status not in REPORTED:
            raise ValueError(f"status {status!r} is none of {', '.join(REPORTED)}")
        said = cost is None or (cost.is_finite() and 0 <= cost <= MOST)
        if not said or not 0 <= (tokens or 0) <= MOST:
            raise ValueError(
                f"cost {cost}, tokens {tokens}: each is a finite number from 0 to 10^12"
            )
        used, held, review, tool_name = self._awaited.take(record_id)
        self._decider.observer.end(record_id, status)
        ended = None
        if review is not None:
            ended = self._decider.review_ended(review, status, value=result)
        record = outcome_record(
            self._decider.judge.stamp(),
            record_id,
            status=status,
            error=error,
            cost=cost,
            **{**told, **ending.told(ended)},
        )
        record = record._replace(change=step_of(used, ended, status))
        return self._decider.ended(
            record,
            held,
            status,
            began=status != "not_run",
            costs=reported(held, cost, tokens),
            moved=self._decider.moved(tool_name, error),
        )

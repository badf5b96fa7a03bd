"""An undo before it runs: what may stop it, and the record that it runs under. Pure.

An undo takes back what an agent did, so no mode, stage or incident holds it up: these
lower the authority of the agent, and the undo is not the agent's. A person who refuses
an action has it undone whatever the flags say. The clock is no person: where an
operator has stopped the tool, by the kill switch, by the denylist or by the mode off,
what the clock ordered is handed over to a person instead of run.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from openfeature_gov.contracts import ActionContract, Actor, CallContext
from openfeature_gov.controls.denylist import denylist
from openfeature_gov.controls.mode import mode
from openfeature_gov.controls.readings import Readings
from openfeature_gov.controls.switch import switch
from openfeature_gov.decisions import Verdict
from openfeature_gov.evidence import decision_facts
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Intent, Mode, Reversibility, RiskClass
from openfeature_gov.reviews.review import Review, change

KIND = "undo"
STOPS = (switch, denylist, mode)
"""By what an operator stops a tool."""


def acted(review: Review) -> ActionContract:
    """Return the action as the flags need it: for whom and where it ran.

    Raises:
        ValueError: when the card of the review is damaged.

    """
    facts: dict[str, Any] = dict(review.facts)
    try:
        context = CallContext(
            actor=Actor(agent=review.agent, user=facts["user"]),
            account=facts["account"],
            environment=facts["environment"],
            region=facts["region"],
            stage=facts["stage"],
            task=review.task,
        )
        amount = facts["amount"]
        return ActionContract(
            tool=review.tool,
            workflow=review.workflow,
            context=context,
            target_system=facts["targetSystem"],
            risk_class=RiskClass(facts["riskClass"]),
            reversibility=Reversibility(facts["reversibility"]),
            intent=Intent(facts["intent"]),
            arguments={},
            canonical=b"{}",
            amount=None if amount is None else Decimal(amount),
            currency=facts["currency"],
        )
    except (KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"review {review.id}: damaged: {error!r}") from None


def stopped(
    contract: ActionContract, rules: GovernanceContract, flags: Readings
) -> Verdict | None:
    """Return the verdict by which an operator has stopped the tool, None if none is."""
    verdicts = (control(contract, rules, flags) for control in STOPS)
    return next((one for one in verdicts if one.cap is Mode.OFF), None)


def undo_record(
    stamp: Stamp, before: Review, after: Review, was: int, flags: Readings
) -> Record:
    """Return the record that the undo of *before* runs under, with its step.

    *was* is the version of the review before it, *flags* what they said.
    """
    record = note_record(
        stamp,
        KIND,
        before.record_id,
        review=before.id,
        orderedBy=before.state.value,
        reviewer=before.reviewer or None,
        state=after.state.value,
        executes=True,
        flags=[decision_facts.flag(kind, one) for kind, one in flags.flags.items()],
        flagSource=decision_facts.source(flags),
    )
    return record._replace(executes=True, change=change(after, was))

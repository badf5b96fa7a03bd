"""Control: the lineage, the releases of the agent that authority was given to."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256

from openfeature_gov.contracts import ActionContract
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance.lineage import LineageRules
from openfeature_gov.ladder import Mode

NAME = "lineage"
_ACCEPTED = Verdict(NAME, Mode.AUTONOMOUS, "lineage_accepted")
_SPACE = 1 << 64


def lineage(contract: ActionContract, rules: LineageRules) -> Verdict:
    """Cap a release of the agent that *rules* do not list.

    A new model or prompt is a release: it starts at the configured *cap*, and with the
    share of its tasks that is in shadow at observe.
    """
    context = contract.context
    version, told = context.actor.version, context.lineage
    for release in rules.accepted:
        if release.describes(version, told.model, told.prompt_digest):
            return _ACCEPTED
    if shadowed(context.task, rules.shadow_percentage):
        return Verdict(NAME, min(rules.cap, Mode.OBSERVE), "lineage_in_shadow")
    return Verdict(NAME, rules.cap, "lineage_unknown")


def shadowed(task: str, percentage: Decimal) -> bool:
    """Say whether *task* is among the *percentage* of all tasks that are in shadow.

    Sticky: it depends on the task's id alone, and a higher percentage keeps everyone.
    A host asks the same to send a task to a new release beside the current one. A task
    without an id cannot be dealt, so it is in shadow wherever any is.
    """
    if not task:
        return percentage > 0
    place = int.from_bytes(sha256(f"gov.lineage\0{task}".encode()).digest()[:8])
    return place * 100 < percentage * _SPACE

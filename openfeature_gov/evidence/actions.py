"""One action as the log tells it: a decision and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Facts = dict[str, Any]
Record = Mapping[str, Any]
READS = frozenset({"search", "scoped_read", "sensitive_read"})


class Action(NamedTuple):
    """Hold one decision and the records that refer to it, in the order of the log."""

    decision: Record
    later: tuple[Record, ...] = ()

    @property
    def outcome(self) -> Record:
        """Return the last outcome, empty while there is none."""
        found = [one for one in self.later if one.get("kind") == "outcome"]
        return found[-1] if found else {}

    @property
    def approvals(self) -> list[Record]:
        """Return the steps of its request for approval that counted, in order."""
        steps = (one for one in self.later if one.get("kind") == "approval")
        return [one for one in steps if not one.get("denied")]

    @property
    def answer(self) -> Record:
        """Return the last answer of a reviewer that counted, empty if there is none."""
        found = [one for one in self.approvals if one.get("reviewer")]
        return found[-1] if found else {}


def access_of(action: Action) -> str:
    """Return what *action* did to data: read, modified, drafted or withheld.

    What ran and has no outcome yet counts as if it had run.
    """
    decision, outcome = action.decision, action.outcome
    status = outcome.get("status")
    if not decision.get("executes") or status == "not_run":
        return "withheld"
    ran = outcome.get("ran") or ("tool" if decision.get("full") else "")
    ran = ran or decision.get("mode")
    if ran == "draft_write":
        return "drafted"
    reads = ran != "tool" or decision.get("riskClass") in READS
    return "read" if reads else "modified"


def resolution(action: Action) -> str:
    """Return in a few words what came of a limit that *action* met."""
    decision, outcome = action.decision, action.outcome
    words = []
    if answer := action.answer:
        words.append(f"{answer.get('state')} by {answer['reviewer']}")
    if action.approvals and (last := action.approvals[-1].get("state")) not in (
        answer.get("state"),
        "pending",
    ):
        words.append(str(last))
    if outcome.get("ran"):
        words.append(f"{outcome['ran']} ran instead: {outcome.get('status')}")
    waits = decision.get("effect") == "queue_for_approval"
    return ", ".join(words) or ("waits for a person" if waits else "nothing ran")


def named(action: Action) -> Facts:
    """Return which decision *action* is: what every list of actions starts with."""
    decision = action.decision
    context = decision.get("context") or {}
    return {
        "seq": decision.get("seq"),
        "record": decision.get("id"),
        "atUs": decision.get("atUs"),
        "agent": context.get("agent"),
        "tool": decision.get("tool"),
        "effect": decision.get("effect"),
        "reason": decision.get("reason"),
    }

"""One action as the log tells it: a decision and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Facts = dict[str, Any]
Record = Mapping[str, Any]
READS = frozenset({"search", "scoped_read", "sensitive_read"})


class Action(NamedTuple):
    """Hold one decision and the records that refer to it, in the order of the log.

    The outcome of its undo is among them.
    """

    decision: Record
    later: tuple[Record, ...] = ()

    @property
    def outcome(self) -> Record:
        """Return the last outcome, empty while there is none."""
        return self._end(undo=False)

    @property
    def undone(self) -> Record:
        """Return the outcome of its undo, empty where none ended."""
        return self._end(undo=True)

    def _end(self, *, undo: bool) -> Record:
        undos = {one.get("id") for one in self.later if one.get("kind") == "undo"}
        found = [
            one
            for one in self.later
            if one.get("kind") == "outcome" and (one.get("ref") in undos) == undo
        ]
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


def joined(decision: Record, later: Mapping[Any, Iterable[Record]]) -> Action:
    """Return *decision* as an action; *later* are records by what they refer to."""
    own = tuple(later.get(decision["id"], ()))
    undos = (one["id"] for one in own if one.get("kind") == "undo")
    ends = (end for undo in undos for end in later.get(undo, ()))
    return Action(decision, (*own, *ends))


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

"""What a call meets that may run at once and must be looked at afterwards.

Its review is made in the transaction of the record that it runs under, and moves on in
that of its outcome: no action of the kind is ever without one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from secrets import token_hex
from typing import Any, Protocol

from openfeature_gov.approvals import shelf as approvals
from openfeature_gov.contracts import ToolCall
from openfeature_gov.decisions import Verdict
from openfeature_gov.errors import RegistrationError
from openfeature_gov.flags.reader import Demanded
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.judging import Judge, Judged, Release
from openfeature_gov.ladder import Mode
from openfeature_gov.reviews import queue, steps
from openfeature_gov.reviews.ending import Ended
from openfeature_gov.reviews.queue import Kept
from openfeature_gov.reviews.review import Review, change, made, packed_reference
from openfeature_gov.reviews.states import BY_HAND, State
from openfeature_gov.tools import Tool

NAME = "review"
AFTER_REFUSAL = BY_HAND | {State.REFUSED, State.UNDOING, State.UNDONE}
"""Where a review may stand that a person refused."""
MANY = 1_000
"""Of that many reviews of one action, none is looked for: it runs no more."""


class Shelf(approvals.Shelf, queue.Shelf, Protocol):
    """Keep requests and reviews beside the records."""


class Reviewing:
    """Make the reviews of what is about to run. Safe to share.

    *now* returns microseconds since 1970, *told* hears that there is a review.
    """

    def __init__(
        self,
        judge: Judge,
        shelf: Shelf,
        now: Callable[[], int],
        told: Callable[[], None],
    ) -> None:
        self._judge, self._shelf, self._now, self._told = judge, shelf, now, told

    def asked(
        self, call: ToolCall, tool: Tool, demanded: Demanded, judged: Judged
    ) -> Judged:
        """Return *judged* with its review, or its denial where it was refused before.

        It is one of which a review is `wanted`.

        Raises:
            RecordStoreError: when the reviews cannot be read.

        """
        rules, contract = self._judge.rules(tool), judged.contract
        if contract is None or judged.flags is None:
            return judged
        verdict = self._forbidden(contract.digest)
        if verdict is not None:
            release = Release(verdict, approved=False)
            return self._judge.judge(call, tool, demanded, release)
        review = made(
            token_hex(16),
            judged.record.id,
            contract,
            rules,
            judged.flags,
            judged.decision,
            canonical=judged.route.canonical,
            consequence=tool.told(contract.arguments),
            undoable=tool.undo is not None,
            now_us=self._now(),
        )
        self._told()
        record = judged.record._replace(change=change(review, 0))
        return replace(judged, record=record, review=Kept(review, 1), durable=True)

    def _forbidden(self, digest: str) -> Verdict | None:
        """Return why the action *digest* must not run again, None if it may."""
        same = self._shelf.reviews(states=AFTER_REFUSAL, digest=digest, limit=MANY)
        refused = next((kept.review for kept in same if kept.review.refused), None)
        if refused is not None:
            evidence = {"review": refused.id, "reviewer": refused.reviewer}
            return Verdict(NAME, Mode.OFF, "refused_by_person", evidence=evidence)
        if len(same) >= MANY:  # a refusal may stand behind these
            return Verdict(NAME, Mode.OFF, "undone_too_often")
        return None

    def ended(
        self,
        kept: Kept,
        tool: Tool | None,
        status: str,
        *,
        raised: BaseException | None = None,
        value: Any = None,
    ) -> Ended | None:
        """Return what becomes of the review *kept* as its action ends with *status*."""
        if tool is not None and isinstance(raised, tool.refusals):
            status = "refused"
        reference = _reference(tool, value) if status == "executed" else None
        step = steps.end(kept.review, status, reference, self._now())
        return Ended(step, kept.version) if isinstance(step, Review) else None


def wanted(rules: GovernanceContract, judged: Judged) -> bool:
    """Say whether what *judged* lets run must be looked at afterwards.

    What a person released beforehand is not asked about again.
    """
    at_once = judged.route.ran == "tool" and judged.used is None
    return rules.review is not None and at_once


def check(tool: Tool, rules: GovernanceContract, *, kept: bool) -> None:
    """Check that what the contract asks for afterwards can happen.

    *kept* says that there is somewhere to keep reviews, and people to ask.

    Raises:
        RegistrationError: when it cannot.

    """
    if rules.review is None:
        return
    if not kept:
        raise RegistrationError(
            f"{tool.name}: its contract asks for a review, and nobody is known who "
            "could; open the Governor with people"
        )
    if rules.review.on_expiry == "undo" and tool.undo is None:
        raise RegistrationError(
            f"{tool.name}: its contract undoes what nobody reviewed, and no undo is "
            "registered; pass undo="
        )


def _reference(tool: Tool | None, value: Any) -> bytes | None:
    """Return what the tool keeps of its result, None where that cannot be had."""
    if tool is None:
        return None
    if tool.reference is None:
        return b""
    try:
        return packed_reference(tool.reference(value))
    except Exception:  # noqa: BLE001 - what cannot be told cannot be undone
        return None

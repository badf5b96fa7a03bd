"""`Review`: what a reviewer is asked about an action that ran. Pure.

The reviewer's view is made from the very bytes that ran. What is not needed any more
is forgotten: once nothing is left to undo or to do by hand, no argument is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from openfeature_gov.approvals import requests
from openfeature_gov.canonical import encode, seal
from openfeature_gov.contracts import ActionContract, nothing
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Decision
from openfeature_gov.evidence.records import Change
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.reviews.states import BY_HAND, FINAL, State

MINUTE_US = 60_000_000
REFERENCE_BYTES = 4_096
"""How large the reference to a result may be, as canonical JSON."""
TABLE = "reviews"
OnExpiry = Literal["undo", "keep", "handOver"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Ask people to look at one action that ran. Frozen: each step makes another.

    *digest* names the action, *binding* what the reviewer is shown, both SHA-256.
    *record_id* is the decision's record, *undo_id* that of the undo. *deadline_us*
    counts microseconds since 1970: until when somebody may look, then until when some
    process may begin the undo. *undoable* says that the tool registered an undo and
    that what it needs is there; *arguments* are the canonical bytes that ran,
    *reference* what the tool kept of the result. *owner* is who sees to it by hand,
    *why* the reason code for which that became necessary.
    """

    id: str
    state: State
    digest: str
    binding: str
    tool: str
    workflow: str
    task: str
    agent: str
    group: str
    quorum: int
    owner: str
    created_us: int
    deadline_us: int
    within_us: int
    on_expiry: OnExpiry
    undoable: bool
    record_id: str
    requesters: tuple[str, ...]
    arguments: bytes = field(repr=False)
    reference: bytes = field(default=b"", repr=False)
    facts: Mapping[str, Any] = field(default_factory=nothing, repr=False)
    votes: Mapping[str, str] = field(default_factory=nothing)
    reviewer: str = ""
    reason: str = ""
    refused: bool = False
    answered_us: int = 0
    undo_id: str = ""
    why: str = ""

    @property
    def fingerprint(self) -> str:
        """Return what a notification may show: enough to tell two reviews apart."""
        return self.binding[:12]

    @property
    def holder(self) -> str:
        """Return whose turn it is: the reviewers, then whoever sees to it by hand."""
        return self.owner if self.state in BY_HAND else self.group

    @property
    def asked(self) -> frozenset[str]:
        """Return the groups and people that were asked: the reviewers alone."""
        return frozenset({self.group})

    @property
    def audience(self) -> frozenset[str]:
        """Return the groups and people that may be asked to do something about it."""
        return frozenset({self.group, self.owner})

    def at(self, state: State, **changes: Any) -> Review:
        """Return the review in *state*, with *changes*, without what it needs no more.

        Whoever sees to it by hand needs what ran; nobody else does once it ended.
        """
        if state in FINAL - BY_HAND:
            facts = {**self.facts, "consequence": ""}
            changes |= {"arguments": b"", "reference": b"", "facts": facts}
        return replace(self, state=state, **changes)


_ADAPTER = TypeAdapter(Review)


def made(
    review_id: str,
    record_id: str,
    contract: ActionContract,
    rules: GovernanceContract,
    flags: Readings,
    decision: Decision,
    *,
    canonical: bytes,
    consequence: str,
    undoable: bool,
    now_us: int,
) -> Review:
    """Return the review of an action that is about to run with *canonical* arguments.

    Raises:
        ValueError: when *rules* ask for none.

    """
    asked = rules.review
    if asked is None:
        raise ValueError(f"{rules.tool}: its contract asks for no review")
    within_us = asked.within_minutes * MINUTE_US
    bound = {
        "action": contract.digest,
        "arguments": sha256(canonical).hexdigest(),
        "contract": rules.revision,
        "record": record_id,
    }
    return Review(
        id=review_id,
        state=State.RUNNING,
        digest=contract.digest,
        binding=sha256(encode(bound)).hexdigest(),
        tool=contract.tool,
        workflow=contract.workflow,
        task=contract.context.task,
        agent=contract.context.actor.agent,
        group=asked.reviewer_group,
        quorum=asked.quorum,
        owner=rules.rollback.owner,
        created_us=now_us,
        deadline_us=now_us + within_us,
        within_us=within_us,
        on_expiry=asked.on_expiry,
        undoable=undoable,
        record_id=record_id,
        requesters=requests.requesters(contract),
        arguments=canonical,
        facts=requests.card(contract, rules, flags, decision, consequence),
    )


def packed_reference(value: Any) -> bytes:
    """Return *value*, what a tool keeps of its result, as canonical JSON.

    Raises:
        InvalidCallError: when it is more than plain JSON, or too large.

    """
    return seal({"reference": value}, max_bytes=REFERENCE_BYTES)[1]


def change(review: Review, was: int) -> Change:
    """Return the change that stores *review* over its version *was*, 0 for none."""
    return Change(
        review.id,
        was,
        review.state.value,
        review.digest,
        review.deadline_us,
        review.created_us,
        pack(review),
        review.binding,
        TABLE,
    )


def pack(review: Review) -> bytes:
    """Return the canonical bytes of *review*."""
    return encode(plain(review))


def plain(review: Review) -> dict[str, Any]:
    """Return *review* as JSON values; the arguments as the text that they are."""
    shallow = {one.name: getattr(review, one.name) for one in fields(review)}
    return {
        **shallow,
        "arguments": review.arguments.decode(),
        "reference": review.reference.decode(),
        "facts": dict(review.facts),
        "votes": dict(review.votes),
    }


def unpack(data: bytes) -> Review:
    """Return the review that `pack` made *data* of.

    Raises:
        ValueError: when *data* is no packed review; the message names the field.

    """
    try:
        return _ADAPTER.validate_json(data, strict=True)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ValueError(f"no packed review: {where}") from None

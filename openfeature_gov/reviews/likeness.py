"""A review as the request that it is like, for those who draw either. Pure."""

from __future__ import annotations

from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.reviews.review import Review


def likeness(review: Review) -> Request:
    """Return what both have in common; a request that ended is offered no answer.

    Of what is kept no more there are no arguments.
    """
    return Request(
        id=review.id,
        state=State.EXECUTED,
        digest=review.digest,
        binding=review.binding,
        tool=review.tool,
        workflow=review.workflow,
        task=review.task,
        agent=review.agent,
        group=review.group,
        quorum=review.quorum,
        created_us=review.created_us,
        deadline_us=review.deadline_us,
        call_id="",
        record_id=review.record_id,
        requesters=review.requesters,
        escalation=(),
        arguments=review.arguments or b"{}",
        facts=review.facts,
        votes=review.votes,
    )

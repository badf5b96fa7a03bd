"""A call that waited for a person: when it does not any more, and what it was."""

from __future__ import annotations

import asyncio
import re

from openfeature_gov.approvals.codec import arguments
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.contracts import ToolCall
from openfeature_gov.deciding import Decider
from openfeature_gov.evidence.telemetry import UNKNOWN_TOOL
from openfeature_gov.fairness import in_thread

_ID = re.compile(r"[0-9a-f]{32}")


async def answered(
    queue: ApprovalQueue | None, approval_id: str, every_s: float
) -> Request:
    """Return the request *approval_id* once it does not wait, looking *every_s*.

    Raises:
        ValueError: for an unknown request.
        RecordStoreError: when it cannot be read, or its end not be recorded.

    """
    while queue is not None:
        request = await in_thread(queue.standing, approval_id)
        if request is None:
            break
        if request.state is not State.PENDING:
            return request
        await asyncio.sleep(every_s)
    raise ValueError(_unknown(approval_id))


def call_of(
    queue: ApprovalQueue | None, approval_id: str, decider: Decider
) -> ToolCall:
    """Return the call that the request *approval_id* is about.

    Raises:
        ValueError: for an unknown request, or one whose arguments are not plain JSON.
            *decider* records it as a refusal.
        RecordStoreError: when the request cannot be read.

    """
    request = None if queue is None else queue.get(approval_id)
    if request is None:
        decider.refuse(UNKNOWN_TOOL, "approval_unknown", _shown(approval_id))
        raise ValueError(_unknown(approval_id))
    if request.facts.get("resumable") is not True:
        decider.refuse(request.tool, "approval_not_resumable", approval_id)
        raise ValueError(
            f"{approval_id}: its arguments are more than JSON; call it again"
        )
    return ToolCall(request.tool, arguments(request), call_id=request.call_id)


def _shown(approval_id: object) -> str:
    """Return *approval_id* if it looks like one: records keep no other text."""
    known = isinstance(approval_id, str) and _ID.fullmatch(approval_id)
    return str(approval_id) if known else "no id of a request"


def _unknown(approval_id: str) -> str:
    return f"{_shown(approval_id)}: no such request for approval"

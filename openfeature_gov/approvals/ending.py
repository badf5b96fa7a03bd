"""How the one execution under a request ended, as its next version. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from openfeature_gov.approvals import steps
from openfeature_gov.approvals.codec import unpack
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import Kept, change
from openfeature_gov.approvals.states import Event
from openfeature_gov.evidence.records import Change


def finished(used: Kept, status: str) -> Change | None:
    """Return the change that notes how the one execution ended."""
    ends = {"executed": Event.SUCCEED, "unknown": Event.LOSE}
    event = ends.get(status, Event.FAIL)
    step = steps.finish(used.request, event)
    return change(step, used.version) if isinstance(step, Request) else None


def lost(consumed: Iterable[tuple[bytes, int]]) -> dict[str, Change]:
    """Return by execution the change that says that nobody knows how it ended.

    *consumed* are requests that were used up, packed, each with its version. One that
    cannot be read stays as it is: nothing runs under it any more.
    """
    found = {}
    for packed, version in consumed:
        with suppress(ValueError):
            request = unpack(packed)
            step = steps.finish(request, Event.LOSE)
            if isinstance(step, Request):
                found[request.consumed_by] = change(step, version)
    return found

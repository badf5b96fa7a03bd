"""Write one change: store, audit log, push, webhooks, in the server's order.

There is no transaction: what fails on the way loses every later step.
"""

from __future__ import annotations

from openfeature_gov.testing.featbit.api import ApiError, Call
from openfeature_gov.testing.featbit.audit import FLAG, LONGEST_COMMENT, SEGMENT
from openfeature_gov.testing.featbit.environment import new_id
from openfeature_gov.testing.featbit.store import FLAGS, SEGMENTS, Json


def commit_flag(
    call: Call,
    before: Json | None,
    after: Json,
    *,
    operation: str = "Update",
    comment: str = "",
) -> Json:
    """Store *after* in the place of *before* and tell everybody; return it as stored.

    Raises:
        ApiError: 500, the change is stored and the rest is lost.

    """
    saved = call.store.save_flag(after, actor=call.token.id)
    _record(call, FLAG, operation, before, saved, comment)
    return saved


def commit_segment(
    call: Call,
    before: Json | None,
    after: Json,
    *,
    operation: str = "Update",
    comment: str = "",
) -> Json:
    """Store *after* in the place of *before* and tell everybody; return it as stored.

    Raises:
        ApiError: 500, the change is stored and the rest is lost.

    """
    saved = call.store.save_segment(after)
    _record(call, SEGMENT, operation, before, saved, comment)
    return saved


def commit_removal(call: Call, kind: str, item: Json, *, comment: str) -> None:
    """Delete *item*; nothing is pushed.

    Raises:
        ApiError: 500, it is deleted and the rest is lost.

    """
    if kind == FLAG:
        del call.store.flags[item["key"]]
    else:
        del call.store.segments[item["id"]]
    _record(call, kind, "Remove", item, None, comment)


def commit_references(call: Call, segment: Json) -> None:
    """Stamp the flags that refer to a changed *segment*; their revisions stay.

    The audit entries show a revision that is stored nowhere.
    """
    comment = f"Referenced segment '{segment['name']}' has been updated."
    for before in referencing(call, segment["id"]):
        after = call.store.touch_flag(before["key"], actor=call.token.id)
        shown = {**after, "revision": new_id()}
        actor = call.token.id
        call.backend.audit.add(
            FLAG, "Update", before, shown, comment=comment, actor=actor
        )


def referencing(call: Call, segment_id: str) -> list[Json]:
    """Return the flags with a condition on the segment, archived ones left out."""
    return [
        flag
        for flag in call.store.flags.values()
        if not flag["isArchived"]
        and any(
            not condition.get("op") and f'"{segment_id}"' in condition["value"]
            for rule in flag["rules"]
            for condition in rule["conditions"]
        )
    ]


def reference(flag: Json) -> Json:
    """Return how a segment shows a flag that refers to it."""
    return {name: flag[name] for name in ("envId", "id", "name", "key")}


def _record(
    call: Call,
    kind: str,
    operation: str,
    before: Json | None,
    after: Json | None,
    comment: str,
) -> None:
    if call.store.faults.save_then_500 or len(comment) > LONGEST_COMMENT:
        raise ApiError(500)
    actor = call.token.id
    entry = call.backend.audit.add(
        kind, operation, before, after, comment=comment, actor=actor
    )
    if after is not None:
        call.store.publish(FLAGS if kind == FLAG else SEGMENTS, after)
    found = [] if kind == FLAG else referencing(call, entry.item["id"])
    call.backend.webhooks.fire(
        entry, operator=call.token.name, references=[reference(one) for one in found]
    )

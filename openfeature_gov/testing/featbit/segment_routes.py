"""Segments in the management API: no revision, the last writer wins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openfeature_gov.testing.featbit.api import ApiError, Call
from openfeature_gov.testing.featbit.audit import SEGMENT
from openfeature_gov.testing.featbit.commits import (
    commit_references,
    commit_removal,
    commit_segment,
    reference,
    referencing,
)
from openfeature_gov.testing.featbit.instructions import segment_instructions
from openfeature_gov.testing.featbit.json_patch import PatchError, patched
from openfeature_gov.testing.featbit.store import Json
from openfeature_gov.testing.featbit.targeting import segment_rules

SHOWN = (
    "id",
    "name",
    "key",
    "type",
    "scopes",
    "tags",
    "description",
    "createdAt",
    "updatedAt",
)


def listing(call: Call) -> Json:
    """List the segments without targeting; archived ones are hidden."""
    call.require_env()
    name, archived = call.asked("name").lower(), bool(call.asked_boolean("isArchived"))
    found = [
        one
        for one in call.store.segments.values()
        if name in one["name"].lower() and one["isArchived"] == archived
    ]
    found.sort(key=lambda one: str(one["updatedAt"]), reverse=True)
    return call.page(found, lambda one: {field: one[field] for field in SHOWN})


def get(call: Call) -> Json:
    """Return one whole segment."""
    call.require_env()
    return _segment(call, 404)


def by_ids(call: Call) -> list[Json]:
    """Return the segments with these ids."""
    call.require_env()
    known = call.store.segments
    return [known[one] for one in call.query.get("ids", []) if one in known]


def create(call: Call) -> Json:
    """Create a segment; its key need not be unique."""
    if not call.in_env:
        raise ApiError(403)
    environment = call.store.environment
    call.require("CreateSegment", "segment", f"{environment.resource}:segment/*")
    for field in ("name", "key", "type"):
        if not (call.text(field) or "").strip():
            raise ApiError(400, f"{field}_is_required")
    if call.text("type") == "shared":
        raise ApiError(422, "Unauthorized")
    scopes = call.items("scopes")
    if not scopes or any("*" in one for one in scopes):
        raise ApiError(400, "scopes_is_invalid")
    segment = {
        **{field: call.text(field) for field in ("name", "key", "type", "description")},
        "scopes": scopes,
        "tags": call.fields.get("tags") or [],
        "createdAt": call.store.stamp(),
    }
    return commit_segment(call, None, segment, operation="Create")


def rename(call: Call) -> bool:
    """Set the name."""
    segment = _gated(call, "UpdateSegmentName")
    if not (call.text("name") or "").strip():
        raise ApiError(400, "name_is_required")
    return _edit(call, segment, {"name": call.text("name")})


def describe(call: Call) -> bool:
    """Set the description."""
    segment = _gated(call, "UpdateSegmentDescription")
    return _edit(call, segment, {"description": call.text("description")})


def set_tags(call: Call) -> bool:
    """Replace the tags."""
    segment = _gated(call, "UpdateSegmentTags")
    return _edit(call, segment, {"tags": call.items("tags")})


def set_targeting(call: Call) -> bool:
    """Replace users and rules, and stamp the flags that refer to the segment."""
    segment = _segment(call, 404)
    changes = {
        "included": call.items("included"),
        "excluded": call.items("excluded"),
        "rules": segment_rules(call.items("rules")),
    }
    for one in segment_instructions(segment, {**segment, **changes}):
        users = "TargetUsers" in one["kind"]
        action = "UpdateSegmentTargetingUsers" if users else "UpdateSegmentRules"
        call.require(action, "segment", _resource(call, segment))
    _edit(call, segment, changes)
    commit_references(call, {**segment, **changes})
    return True


def patch(call: Call) -> bool:
    """Apply a JSON Patch to the whole segment: no permission is needed."""
    segment = _segment(call, 404)
    try:
        after = patched(segment, call.body)
    except PatchError as error:
        raise ApiError(200, str(error)) from None
    commit_segment(call, segment, after, comment="Updated via patch")
    return True


def archive(call: Call) -> bool:
    """Archive a segment that no flag refers to."""
    segment = _gated(call, "ArchiveSegment")
    if referencing(call, segment["id"]):
        raise ApiError(422, "SegmentIsBeingUsed")
    return _edit(call, segment, {"isArchived": True}, "Archive")


def restore(call: Call) -> bool:
    """Restore an archived segment."""
    segment = _gated(call, "RestoreSegment")
    return _edit(call, segment, {"isArchived": False}, "Restore")


def delete(call: Call) -> bool:
    """Delete an archived segment."""
    segment = _gated(call, "DeleteSegment")
    if not segment["isArchived"]:
        raise ApiError(422, "CannotDeleteUnArchivedSegment")
    commit_removal(call, SEGMENT, segment, comment=call.text("comment") or "")
    return True


def flag_references(call: Call) -> list[Json]:
    """List the flags that refer to the segment."""
    call.require_env()
    return [reference(one) for one in referencing(call, _segment(call, 404)["id"])]


def all_tags(call: Call) -> list[str]:
    """List the tags of all segments."""
    call.require_env()
    return sorted({tag for one in call.store.segments.values() for tag in one["tags"]})


ROUTES: list[tuple[str, str, Callable[[Call], Any]]] = [
    ("GET", "", listing),
    ("POST", "", create),
    ("GET", "/by-ids", by_ids),
    ("GET", "/all-tags", all_tags),
    ("GET", "/{id}", get),
    ("PATCH", "/{id}", patch),
    ("DELETE", "/{id}", delete),
    ("GET", "/{id}/flag-references", flag_references),
    ("PUT", "/{id}/name", rename),
    ("PUT", "/{id}/description", describe),
    ("PUT", "/{id}/tags", set_tags),
    ("PUT", "/{id}/targeting", set_targeting),
    ("PUT", "/{id}/archive", archive),
    ("PUT", "/{id}/restore", restore),
]


def _segment(call: Call, missing: int) -> Json:
    found = call.store.segments.get(call.parts["id"]) if call.in_env else None
    if found is None:
        raise ApiError(missing)
    return found


def _resource(call: Call, segment: Json) -> str:
    tags = ";" + ",".join(segment["tags"]) if segment["tags"] else ""
    return f"{call.store.environment.resource}:segment/{segment['key']}{tags}"


def _gated(call: Call, action: str) -> Json:
    segment = _segment(call, 403)
    call.require(action, "segment", _resource(call, segment))
    return segment


def _edit(call: Call, segment: Json, changes: Json, operation: str = "Update") -> bool:
    comment, after = call.text("comment") or "", {**segment, **changes}
    commit_segment(call, segment, after, operation=operation, comment=comment)
    return True

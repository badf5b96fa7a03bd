"""Flags in the management API."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from openfeature_gov.testing.featbit.api import ApiError, BindingError, Call
from openfeature_gov.testing.featbit.audit import FLAG
from openfeature_gov.testing.featbit.commits import commit_flag, commit_removal
from openfeature_gov.testing.featbit.instructions import flag_instructions
from openfeature_gov.testing.featbit.json_patch import PatchError, patched
from openfeature_gov.testing.featbit.store import Json
from openfeature_gov.testing.featbit.targeting import targeting_of, validate

KEY = re.compile(r"[a-zA-Z0-9._-]+")
LONGEST_NAME = 128
TYPES = frozenset({"boolean", "string", "number", "json"})
PERMISSIONS = (
    ("UpdateDefaultRule", "UpdateFlagDefaultRule"),
    ("TargetUsers", "UpdateFlagIndividualTargeting"),
    ("Rule", "UpdateFlagTargetingRules"),
    ("UpdateDisabledVariation", "UpdateFlagOffVariation"),
)
"""Part of an instruction's kind, and the permission that it needs; first match."""


def listing(call: Call) -> Json:
    """List the flags without targeting and revision; archived ones are hidden."""
    call.require_env()
    name, enabled = call.asked("name").lower(), call.asked_boolean("isEnabled")
    archived = bool(call.asked_boolean("isArchived"))
    tags = set(call.query.get("tags", []))
    found = [
        flag
        for flag in call.store.flags.values()
        if (name in flag["name"].lower() or name in flag["key"].lower())
        and flag["isArchived"] == archived
        and enabled in {None, flag["isEnabled"]}
        and tags <= set(flag["tags"])
    ]
    if call.asked("sortBy") == "key":
        found.sort(key=lambda flag: str(flag["key"]))
    else:
        found.sort(key=lambda flag: str(flag["createdAt"]), reverse=True)
    return call.page(found, lambda flag: _listed(call, flag))


def get(call: Call) -> Json:
    """Return one whole flag."""
    call.require_env()
    return _flag(call, 404)


def create(call: Call) -> Json:
    """Create a flag; there is no comment."""
    if not call.in_env:
        raise ApiError(403)
    call.require("CreateFlag", "flag", f"{call.store.environment.resource}:flag/*")
    key, variations = call.text("key") or "", call.items("variations")
    _check_creation(call, key, variations)
    if key in call.store.flags:
        raise ApiError(422, "KeyHasBeenUsed")
    variation = {"id": call.text("enabledVariationId"), "rollout": [0, 1]}
    flag = {
        "name": call.text("name"),
        "key": key,
        "description": call.text("description"),
        "variationType": call.text("variationType"),
        "variations": variations,
        "targetUsers": [],
        "rules": [],
        "isEnabled": bool(call.fields.get("isEnabled")),
        "disabledVariationId": call.text("disabledVariationId"),
        "fallthrough": {
            "dispatchKey": None,
            "includedInExpt": True,
            "variations": [{**variation, "exptRollout": 1}],
        },
        "tags": call.items("tags") if call.fields.get("tags") is not None else [],
        "creatorId": call.token.id,
        "createdAt": call.store.stamp(),
    }
    return commit_flag(call, None, flag, operation="Create")


def toggle(call: Call) -> str:
    """Turn a flag on or off; a no-op leaves no trace."""
    flag = _gated(call, "ToggleFlag")
    state = call.parts["state"].lower()
    if state not in {"true", "false"}:
        raise BindingError("state", f"The value '{state}' is not valid.")
    enabled = state == "true"
    if flag["isEnabled"] == enabled:
        return str(flag["revision"])
    return _edit(call, flag, {"isEnabled": enabled})


def archive(call: Call) -> bool:
    """Archive a flag."""
    flag = _gated(call, "ArchiveFlag")
    _edit(call, flag, {"isArchived": True}, "Archive")
    return True


def restore(call: Call) -> bool:
    """Restore an archived flag."""
    flag = _gated(call, "RestoreFlag")
    _edit(call, flag, {"isArchived": False}, "Restore")
    return True


def delete(call: Call) -> bool:
    """Delete an archived flag."""
    flag = _gated(call, "DeleteFlag")
    if not flag["isArchived"]:
        raise ApiError(422, "CannotDeleteUnarchivedFeatureFlag")
    commit_removal(call, FLAG, flag, comment=call.text("comment") or "")
    return True


def rename(call: Call) -> str:
    """Set the name; a no-op leaves no trace."""
    flag = _gated(call, "UpdateFlagName")
    name = call.text("name")
    _check_name(name)
    if name == flag["name"]:
        return str(flag["revision"])
    return _edit(call, flag, {"name": name})


def describe(call: Call) -> str:
    """Set the description; null is taken, and poisons the audit log."""
    flag = _gated(call, "UpdateFlagDescription")
    return _edit(call, flag, {"description": call.text("description")})


def set_off_variation(call: Call) -> str:
    """Set the variation that is served while the flag is off."""
    flag = _current(call, _gated(call, "UpdateFlagOffVariation"))
    chosen = call.text("offVariationId")
    return _edit(call, flag, {"disabledVariationId": chosen})


def set_variations(call: Call) -> str:
    """Replace the variations, in use or not."""
    flag = _current(call, _gated(call, "UpdateFlagVariations"))
    return _edit(call, flag, {"variations": call.items("variations")})


def set_targeting(call: Call) -> str:
    """Replace targets, rules and fallthrough; permissions by what the diff shows."""
    flag = _current(call, _flag(call, 404))
    targeting = targeting_of(call.fields.get("targeting"))
    if call.backend.applies_off_variation:
        validate(targeting, flag)
    else:
        targeting.pop("disabledVariationId", None)
    after = {**flag, **targeting}
    for action in _permissions(flag_instructions(flag, after)):
        call.require(action, "flag", _resource(call, flag))
    return _edit(call, flag, targeting)


def set_tags(call: Call) -> bool:
    """Replace the tags."""
    flag = _gated(call, "UpdateFlagTags")
    _edit(call, flag, {"tags": call.items("tags")})
    return True


def patch(call: Call) -> bool:
    """Apply a JSON Patch to the whole flag: no permission, revision or comment."""
    flag = _flag(call, 404)
    try:
        after = patched(flag, call.body)
    except PatchError as error:
        raise ApiError(200, str(error)) from None
    del call.store.flags[flag["key"]]  # the key can be patched too
    commit_flag(call, flag, after)
    return True


def all_tags(call: Call) -> list[str]:
    """List the tags of all flags."""
    call.require_env()
    return sorted({tag for one in call.store.flags.values() for tag in one["tags"]})


def pending_changes(call: Call) -> list[Json]:
    """List scheduled changes and change requests: there are none."""
    _flag(call, 404)
    return []


ROUTES: list[tuple[str, str, Callable[[Call], Any]]] = [
    ("GET", "", listing),
    ("POST", "", create),
    ("GET", "/all-tags", all_tags),
    ("GET", "/{key}", get),
    ("PATCH", "/{key}", patch),
    ("DELETE", "/{key}", delete),
    ("GET", "/{key}/pending-changes", pending_changes),
    ("PUT", "/{key}/toggle/{state}", toggle),
    ("PUT", "/{key}/archive", archive),
    ("PUT", "/{key}/restore", restore),
    ("PUT", "/{key}/name", rename),
    ("PUT", "/{key}/description", describe),
    ("PUT", "/{key}/off-variation", set_off_variation),
    ("PUT", "/{key}/variations", set_variations),
    ("PUT", "/{key}/targeting", set_targeting),
    ("PUT", "/{key}/tags", set_tags),
]


def _flag(call: Call, missing: int) -> Json:
    flag = call.store.flags.get(call.parts["key"]) if call.in_env else None
    if flag is None:
        raise ApiError(missing)
    return flag


def _resource(call: Call, flag: Json) -> str:
    tags = ";" + ",".join(flag["tags"]) if flag["tags"] else ""
    return f"{call.store.environment.resource}:flag/{flag['key']}{tags}"


def _gated(call: Call, action: str) -> Json:
    flag = _flag(call, 403)  # the resource of the policy check cannot be named
    call.require(action, "flag", _resource(call, flag))
    return flag


def _current(call: Call, flag: Json) -> Json:
    if call.guid("revision") != flag["revision"]:
        raise ApiError(409)
    return flag


def _edit(call: Call, flag: Json, changes: Json, operation: str = "Update") -> str:
    comment = call.text("comment") or ""
    after = {**flag, **changes}
    saved = commit_flag(call, flag, after, operation=operation, comment=comment)
    return str(saved["revision"])


def _permissions(instructions: list[Json]) -> set[str]:
    return {
        next(action for part, action in PERMISSIONS if part in one["kind"])
        for one in instructions
    }


def _check_name(name: str | None) -> None:
    if not (name or "").strip():
        raise ApiError(400, "name_is_required")
    if len(name or "") > LONGEST_NAME:
        raise ApiError(400, "name_is_invalid")


def _check_creation(call: Call, key: str, variations: list[Any]) -> None:
    _check_name(call.text("name"))
    if not key:
        raise ApiError(400, "key_is_required")
    if not KEY.fullmatch(key) or len(key) > LONGEST_NAME:
        raise ApiError(400, "key_is_invalid")
    if call.text("variationType") not in TYPES:
        raise ApiError(400, "variation_type_is_invalid")
    named = [one.get("id") and one.get("name") for one in variations]
    if not named or not all(named):
        raise ApiError(400, "variations_is_invalid")
    ids = {one["id"] for one in variations}
    for field in ("enabledVariationId", "disabledVariationId"):
        if call.text(field) not in ids:
            raise ApiError(400, "variations_is_invalid")


def _listed(call: Call, flag: Json) -> Json:
    names = {one["id"]: one.get("name") for one in flag["variations"]}
    if flag["disabledVariationId"] not in names:
        raise ApiError(500)  # the query joins it
    served = [flag["fallthrough"], *flag["rules"]]
    ids = dict.fromkeys(one["id"] for each in served for one in each["variations"])
    fields = (
        "id name description key isEnabled variationType variations"
        " createdAt updatedAt tags"
    )
    return {
        **{field: flag[field] for field in fields.split()},
        "creator": _person(call, flag["creatorId"]),
        "serves": {
            "enabledVariations": [names[one] for one in ids if one in names],
            "disabledVariation": names[flag["disabledVariationId"]],
        },
        "lastChange": _last_change(call, flag),
    }


def _last_change(call: Call, flag: Json) -> Json | None:
    entry = call.backend.audit.last(flag["id"])
    if entry is None:
        return None
    return {
        "operator": _person(call, entry.actor),
        "happenedAt": flag["updatedAt"],
        "comment": entry.comment,
    }


def _person(call: Call, actor: str) -> Json:
    name = call.backend.tokens.name_of(actor)
    return {"id": actor, "name": name, "email": "Access token" if name else "System"}

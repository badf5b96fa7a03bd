"""One entry of the audit log: what it says, and what it leaves out. Pure."""

import re
from typing import Any, Literal, NamedTuple

from openfeature.contrib.provider.featbit import timestamps
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.management.difference import (
    Change,
    canonical,
    difference,
)
from openfeature.contrib.provider.featbit.management.errors import ManagementError
from openfeature.contrib.provider.featbit.management.models import Json
from openfeature.contrib.provider.featbit.strict_json import read_json

ActorKind = Literal["user", "token", "trigger", "deleted", "system"]
NOBODY = "00000000-0000-0000-0000-000000000000"
STAMPS = frozenset({"revision", "updatedAt", "updatorId"})
"""The members that change with every change."""
FIXED = frozenset({"id", "envId", "key", "createdAt", "creatorId", "workspaceId"})
"""The members that no endpoint but PATCH can change."""
CASCADE = re.compile(r"Referenced segment '.*' has been updated\.", re.DOTALL)
EDITS = ("Update", "ApplyFlagChangeRequest", "ApplyFlagSchedule")

NO_COMMENT = "changed_without_comment"
NO_INSTRUCTIONS = "changed_without_instructions"
PATCHED = "looks_like_patch"
UNREADABLE = "unreadable"
BROKEN = "revision_chain_broken"


class Actor(NamedTuple):
    """Say who acted. *name* is what FeatBit shows; for a token, that of the token."""

    id: str
    name: str
    kind: ActorKind


class AuditEntry(NamedTuple):
    """Hold one entry, or, with *gap* set, a window in which one could not be read.

    *previous* and *current* are the whole flag or segment before and after, None for
    a creation or a deletion. *difference* leaves the stamps out that every change
    sets. *findings* say what a reviewer should look at.
    """

    id: str
    ref_id: str
    kind: Literal["flag", "segment", "gap"]
    key: str
    operation: str
    actor: Actor
    comment: str
    created_us: int
    previous: Json | None
    current: Json | None
    instructions: tuple[str, ...]
    difference: tuple[Change, ...]
    findings: tuple[str, ...]
    gap: tuple[int, int] | None = None

    @property
    def created_ms(self) -> int:
        """Return when the entry was made, in unix milliseconds, cut off."""
        return self.created_us // 1000

    @property
    def revision_before(self) -> str:
        """Return the flag's revision before, empty if it had none."""
        return _text(self.previous, "revision")

    @property
    def revision_after(self) -> str:
        """Return the flag's revision after, empty if it has none."""
        return _text(self.current, "revision")

    @property
    def version_before(self) -> int | None:
        """Return ``updatedAt`` before, in milliseconds."""
        return _version(self.previous)

    @property
    def version_after(self) -> int | None:
        """Return ``updatedAt`` after: the version that decisions carry from then on."""
        return _version(self.current)

    @property
    def cascaded(self) -> bool:
        """Tell whether this is the note on a flag that a segment of it changed.

        Its comment alone does not say so: whoever may change flags may write that too.
        """
        return CASCADE.fullmatch(self.comment) is not None and not self.difference


def gap_entry(start_ms: int, end_ms: int) -> AuditEntry:
    """Return the entry that says that something in this window could not be read."""
    return AuditEntry(
        id=f"gap-{start_ms}-{end_ms}",
        ref_id="",
        kind="gap",
        key="",
        operation="",
        actor=Actor("", "", "system"),
        comment="",
        created_us=end_ms * 1000,
        previous=None,
        current=None,
        instructions=(),
        difference=(),
        findings=(UNREADABLE,),
        gap=(start_ms, end_ms),
    )


def entry(item: object) -> AuditEntry:
    """Return one entry of the API, with its findings.

    Raises:
        ManagementError: it has no id or no time.

    """
    if not isinstance(item, dict):
        raise ManagementError("audit log: an entry is no object")
    try:
        name, at = str(item["id"]), timestamps.microseconds(str(item["createdAt"]))
    except (KeyError, ValueError) as error:
        raise ManagementError(f"audit log: an entry without {error}") from None
    change = item.get("dataChange")
    change = change if isinstance(change, dict) else {}
    previous, current = _whole(change.get("previous")), _whole(change.get("current"))
    # A creation has nothing before, a deletion nothing after: one of both is there.
    readable = previous is not _BROKEN and current is not _BROKEN
    before = previous if isinstance(previous, dict) else None
    after = current if isinstance(current, dict) else None
    read = AuditEntry(
        id=name,
        ref_id=_text(item, "refId"),
        kind="segment" if item.get("refType") == "Segment" else "flag",
        key=_text(after or before, "key") or _text(after or before, "name"),
        operation=_text(item, "operation"),
        actor=_actor(item),
        comment=_text(item, "comment"),
        created_us=at,
        previous=before,
        current=after,
        instructions=_kinds(item.get("instructions")),
        difference=_apart(before, after),
        findings=(),
    )
    return read._replace(
        findings=_findings(read, readable=readable and bool(after or before))
    )


_BROKEN: Any = object()


def _whole(text: object) -> Any:
    if text is None or text == "":
        return None
    try:
        whole = read_json(text) if isinstance(text, str) else text
        canonical([[[[whole]]]])  # so deep that nobody can write down a part of it
    except (FeatBitDataError, TypeError, RecursionError):
        return _BROKEN
    return whole if isinstance(whole, dict) else _BROKEN


def _apart(before: Json | None, after: Json | None) -> tuple[Change, ...]:
    """Return the difference without stamps; as a whole for a first or last entry."""
    if before is None and after is None:
        return ()
    apart = difference(before or {}, after or {})
    return tuple(one for one in apart if one.path not in STAMPS)


def _actor(item: Json) -> Actor:
    actor, name = _text(item, "creatorId"), _text(item, "creatorName")
    match _text(item, "creatorEmail"):
        case "Access token":
            return Actor(actor, name, "token")
        case "System" | "" if not name:
            kind: ActorKind = "trigger" if actor == NOBODY else "deleted"
            return Actor(actor, name, kind if actor else "system")
    return Actor(actor, name, "user")


def _kinds(instructions: object) -> tuple[str, ...]:
    listed = instructions if isinstance(instructions, list) else []
    return tuple(_text(one, "kind") for one in listed if isinstance(one, dict))


def _findings(read: AuditEntry, *, readable: bool) -> tuple[str, ...]:
    edited = read.operation in EDITS
    blank = not read.comment.strip()
    told = [
        (UNREADABLE, not readable),
        # FeatBit takes no comment with a creation.
        (NO_COMMENT, blank and read.operation != "Create"),
        (NO_INSTRUCTIONS, edited and not read.instructions and not read.cascaded),
        (PATCHED, edited and _patched(read, blank=blank)),
    ]
    return tuple(name for name, holds in told if holds)


def _patched(read: AuditEntry, *, blank: bool) -> bool:
    fixed = {one.path for one in read.difference} & FIXED
    by_token = blank and read.actor.kind == "token"
    return bool(fixed) or by_token or read.comment == "Updated via patch"


def _text(item: object, field: str) -> str:
    value = item.get(field) if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""


def _version(whole: Json | None) -> int | None:
    try:
        return timestamps.version(_text(whole, "updatedAt"))
    except ValueError:
        return None

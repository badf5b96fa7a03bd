"""Turn one flag of FeatBit into another: step by step, as its API has no whole change.

What narrows comes first and what may widen last, so that a change which stops on its
way has not widened what it could leave. Who asked is told where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.management import (
    ManagedFlag,
    ManagementClient,
    ManagementError,
    NewFlag,
    NoAnswerError,
    OutcomeUnknownError,
    RefusedError,
    Variation,
    WriteFailedError,
    Written,
)

MEMBERS: Mapping[str, frozenset[str]] = {
    "turning off": frozenset({"isEnabled"}),
    "description": frozenset({"description"}),
    "tags": frozenset({"tags"}),
    "variations": frozenset({"variations"}),
    "off variation": frozenset({"disabledVariationId"}),
    "targeting": frozenset({"targetUsers", "rules", "fallthrough"}),
    "turning on": frozenset({"isEnabled"}),
}
"""The steps in their order, and the members that each of them changes."""
CREATION, REST = "creation", "what follows it"


class HalfWrittenError(ManagementError):
    """Report a change of a flag that was written in part, or may have been.

    *done* are the steps that were written, *left* those that were not; with *unknown*,
    the first of these may have been written all the same.
    """

    def __init__(
        self,
        cause: ManagementError,
        done: Sequence[str],
        left: Sequence[str],
        *,
        unknown: bool,
    ) -> None:
        told = {"written": done, "not written": left[1:] if unknown else left}
        maybe = {"not known": left[:1]} if unknown else {}
        parts = {**told, **maybe}.items()
        lines = "; ".join(f"{what}: {', '.join(one)}" for what, one in parts if one)
        super().__init__(f"{cause}; {lines}")


class _UnconfirmedError(ManagementError):
    """Report a step that was accepted, and after which something else was read."""


def differing(old: Json, new: Json) -> set[str]:
    """Return the members that differ and that FeatBit can be made to change."""
    readers: dict[str, Callable[[Json], Any]] = {
        "isEnabled": lambda flag: flag["isEnabled"],
        "variations": _variations,
        "disabledVariationId": lambda flag: flag["disabledVariationId"],
        "targetUsers": lambda flag: flag["targetUsers"],
        "rules": lambda flag: flag["rules"],
        "fallthrough": _fallthrough,
        "description": lambda flag: flag.get("description") or "",
        "tags": lambda flag: sorted(flag.get("tags") or ()),
    }
    return {name for name, read in readers.items() if read(old) != read(new)}


def turn(
    client: ManagementClient, env_id: str, old: Json | None, new: Json, comment: str
) -> list[str]:
    """Turn the flag *old* into *new*, None stands for no flag; return what to tell.

    Raises:
        HalfWrittenError: when it was written in part, or may have been.
        ManagementError: as its subclasses tell; nothing was written.

    """
    done: list[str] = []
    notes: list[str] = []
    if old is None:
        old = _created(client, env_id, new, comment)
        done.append(CREATION)
    seen, left = old, _steps(old, new)
    try:
        while left:
            if done:
                seen = _undisturbed(client, env_id, seen, done[-1])
            flag = ManagedFlag.model_validate(seen)
            answer = _step(client, env_id, flag, new, left[0], comment)
            notes += answer.notes
            done.append(left.pop(0))
    except ManagementError as error:
        unknown = _may_have_written(error)
        if done or unknown:
            raise HalfWrittenError(error, done, left, unknown=unknown) from None
        raise
    return notes


def _created(client: ManagementClient, env_id: str, new: Json, comment: str) -> Json:
    """Create *new*, off, serving one variation to everybody; the rest follows."""
    served = [
        one["id"]
        for one in new["fallthrough"]["variations"]
        if one["rollout"][1] > one["rollout"][0]
    ]
    flag = NewFlag(
        key=new["key"],
        name=new["name"],
        description=new.get("description") or "",
        variation_type=new["variationType"],
        variations=_variations(new),
        enabled_variation_id=served[0],
        disabled_variation_id=new["disabledVariationId"],
        tags=new["tags"],
        is_enabled=False,
    )
    try:
        return client.create_flag(env_id, flag, reason=comment).document()
    except RefusedError:
        raise
    except ManagementError as error:
        there = _there(client, env_id, flag.key)
        if there:
            raise HalfWrittenError(error, [CREATION], [REST], unknown=False) from None
        if there is None or _may_have_written(error):
            raise HalfWrittenError(error, [], [CREATION, REST], unknown=True) from None
        raise


def _there(client: ManagementClient, env_id: str, key: str) -> bool | None:
    """Tell whether the flag exists, None if that cannot be told."""
    try:
        return bool(client.listed(env_id, key))
    except ManagementError:
        return None


def _steps(old: Json, new: Json) -> list[str]:
    """Return the steps from *old* to *new* in their order."""
    members = differing(old, new)
    other = "turning off" if new["isEnabled"] else "turning on"
    return [step for step in MEMBERS if members & MEMBERS[step] and step != other]


def _undisturbed(client: ManagementClient, env_id: str, seen: Json, last: str) -> Json:
    """Return the flag as it is after the step *last*, before which it was *seen*.

    Raises:
        ManagementError: when more has changed: the steps to come are not meant for it.

    """
    found = client.flag(env_id, seen["key"])
    if found is None:
        raise ManagementError(f'flag "{seen["key"]}" does not exist any more')
    now = found.document()
    theirs = differing(seen, now) - MEMBERS.get(last, frozenset())
    if theirs:
        names = ", ".join(sorted(theirs))
        raise ManagementError(f"somebody else changed {names} meanwhile")
    return now


def _step(
    client: ManagementClient,
    env_id: str,
    flag: ManagedFlag,
    new: Json,
    step: str,
    comment: str,
) -> Written:
    """Take one step on *flag* and return the answer, once a read confirms it."""
    key = flag.key
    match step:
        case "description":
            text = new["description"]
            answer = client.set_description(env_id, key, text, reason=comment)
        case "tags":
            answer = client.set_tags(env_id, key, new["tags"], reason=comment)
        case "variations":
            listed = _variations(new)
            answer = client.set_variations(env_id, flag, listed, reason=comment)
        case "off variation":
            off = new["disabledVariationId"]
            answer = client.set_off_variation(env_id, flag, off, reason=comment)
        case "targeting":
            wanted = {
                "target_users": new["targetUsers"],
                "rules": new["rules"],
                "fallthrough": new["fallthrough"],
            }
            whole = flag.model_copy(update=wanted)
            answer = client.set_targeting(env_id, whole, reason=comment)
        case _:
            answer = client.toggle(env_id, key, new["isEnabled"], reason=comment)
    if answer.confirmed:
        return answer
    notes = "; ".join(answer.notes)
    raise _UnconfirmedError(f"written, but not what is there: {notes}")


def _may_have_written(error: ManagementError) -> bool:
    match error:
        case OutcomeUnknownError() | _UnconfirmedError():
            return True
        case WriteFailedError():
            return not error.settled
        case NoAnswerError():
            return not error.handled and error.request.startswith("POST ")
    return False


def _variations(flag: Json) -> list[Variation]:
    return [Variation.model_validate(one) for one in flag["variations"]]


def _fallthrough(flag: Json) -> object:
    """Return what the fallthrough serves, without what only experiments read."""
    fallthrough = flag["fallthrough"]
    shares = [(one["id"], one["rollout"]) for one in fallthrough["variations"]]
    return fallthrough.get("dispatchKey") or None, shares

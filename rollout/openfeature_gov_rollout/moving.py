"""Move a rollout on its flag, so that flag and records cannot disagree for long.

What may widen is recorded first and written then, on the flag as it was when that was
decided; whoever was faster is shown, and nothing is forced. What only narrows is
written first: neither evidence nor a record store can stand in its way. Between any two
steps a crash leaves the flag in one of two states, and `settle` records which.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from openfeature.exception import OpenFeatureError

from openfeature.contrib.provider.featbit.building import Json
from openfeature.contrib.provider.featbit.parsing import parse_flag
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature_gov import targets
from openfeature_gov.errors import GovernanceError, RecordStoreError
from openfeature_gov.stores.writing import QueuedStore
from openfeature_gov.targets import (
    ConflictError,
    FlagTarget,
    Planned,
    RefusedError,
    Signed,
    Written,
)
from openfeature_gov_rollout.bundles import comment
from openfeature_gov_rollout.looking import Look, recorded
from openfeature_gov_rollout.places import Place
from openfeature_gov_rollout.placing import (
    NotPlacedError,
    SeenOtherwiseError,
    fall,
    move,
    place_of,
)
from openfeature_gov_rollout.plan import ABORTED, ROLLED_BACK
from openfeature_gov_rollout.recording import (
    Move,
    intent,
    kept,
    named,
    new_identity,
    outcome,
)
from openfeature_gov_rollout.stories import Result, Story, Verb, stories

ATTEMPTS = 10
"""How often a fall is tried anew when somebody else was faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Hold what became of a move.

    *place* is where the flag stands now; *transition* is empty when there was nothing
    to do. *unrecorded* says why there is no record although there should be.
    """

    verb: Verb
    start: str
    place: Place
    transition: str = ""
    unrecorded: str = ""
    notes: tuple[str, ...] = ()


def rise(target: FlagTarget, records: Path | str, look: Look, wanted: Move) -> Moved:
    """Move one stage, up or down, on the flag exactly as *look* saw it.

    Raises:
        ConflictError: when somebody changed the flag meanwhile; nothing was changed.
        RefusedError: when it was refused; nothing changed unless the text says so.
        RecordStoreError: when it could not be recorded; nothing was changed.
        UnreachableError: when the target cannot be reached.
        OSError: when a file cannot be read or written.

    """
    identity = new_identity()
    plan = look.plan
    # What only narrows leaves nobody with more, not even who is named one by one.
    mode = plan.stages[plan.order[wanted.end]].mode
    most = mode if wanted.verb is Verb.DEMOTE else None
    edit = move(
        plan,
        wanted.end,
        plan.layers[wanted.end],
        identity,
        at_most=most,
        seen=look.raw,
    )
    with kept(records) as store:
        try:
            first = targets.plan(target, edit, at=_now(), keys=(plan.mode_flag,))
        except SeenOtherwiseError as error:
            raise _conflict(target, look, wanted, error.found) from None
        except NotPlacedError as error:
            raise RefusedError(f"{plan.name}: {error}") from None
        store.commit(
            intent(
                named(store.stamp(), identity),
                target,
                look,
                wanted,
                first,
                end=wanted.end,
            )
        )
        try:
            _unheld(records, look, wanted)
            written = _written(target, look, wanted, edit)
        except Exception as error:
            _conclude(store, target, look, identity, error)
            raise
        return _concluded(store, look, wanted, identity, written)


def _unheld(records: Path | str, look: Look, wanted: Move) -> None:
    """Refuse an advance that somebody held while its evidence was counted."""
    if wanted.verb is not Verb.ADVANCE:
        return
    story = stories(recorded(records)).get(look.plan.name, Story())
    if story.hold is not None:
        told = f"held meanwhile by {story.hold.actor}: {story.hold.reason}"
        raise RefusedError(f"{look.plan.name}: {told}; nothing was changed")


def _written(
    target: FlagTarget,
    look: Look,
    wanted: Move,
    edit: Callable[[Json, Snapshot, str], Json],
) -> Written:
    plan = look.plan
    try:
        with target.locked():
            planned = targets.plan(target, edit, at=_now(), keys=(plan.mode_flag,))
            return target.write(planned, _signed(look, wanted, wanted.end))
    except SeenOtherwiseError as error:
        raise _conflict(target, look, wanted, error.found) from None
    except RefusedError as error:
        if error.why != "stale":
            raise
        found = target.read((plan.mode_flag,)).raw.get(plan.mode_flag)
        raise _conflict(target, look, wanted, found) from None


def drop(target: FlagTarget, records: Path | str, look: Look, wanted: Move) -> Moved:
    """Let a rollout fall to the safest mode in one write, whatever somebody changed.

    Written first and recorded then. A rollout that fell already stays as it is.

    Raises:
        RefusedError: when it was refused; nothing changed unless the text says so.
        UnreachableError: when the target cannot be reached.
        OSError: when the flags cannot be read or written.

    """
    identity = new_identity()
    plan, lowest = look.plan, look.situation.safest
    word = ABORTED if wanted.verb is Verb.ABORT else ROLLED_BACK

    def edit(document: Json, snapshot: Snapshot, at: str) -> Json:
        flag = snapshot.flag_set.flags.get(plan.mode_flag)
        if flag is None:
            raise NotPlacedError(f'flag "{plan.mode_flag}" is not there')
        place = place_of(flag, plan, lowest)
        if not place.altered and place.stage in (word, ABORTED):
            return document
        origin = place.origin or (place.stage if place.stage in plan.order else "")
        layers = fall(flag, plan, place, lowest)
        after = move(plan, word, layers, identity, origin=origin, at_most=lowest)
        return after(document, snapshot, at)

    planned, written = _dropped(target, look, wanted, edit, word)
    if written is None:
        return Moved(verb=wanted.verb, start=word, place=look.situation.place)
    with suppress(RecordStoreError, OSError), kept(records) as store:
        stamp = named(store.stamp(), identity)
        store.commit(intent(stamp, target, look, wanted, planned, end=word))
        return _concluded(store, look, wanted, identity, written)
    place = place_of(written.held.flags.get(plan.mode_flag), plan, lowest)
    return Moved(
        verb=wanted.verb,
        start=look.situation.place.stage,
        place=place,
        transition=identity,
        unrecorded="the record store does not take it; the next check records it",
        notes=written.notes,
    )


def _dropped(
    target: FlagTarget,
    look: Look,
    wanted: Move,
    edit: Callable[[Json, Snapshot, str], Json],
    word: str,
) -> tuple[Planned, Written | None]:
    key = look.plan.mode_flag
    for _ in range(ATTEMPTS):
        with target.locked():
            try:
                planned = targets.plan(target, edit, at=_now(), keys=(key,))
            except NotPlacedError as error:
                raise RefusedError(f"{look.plan.name}: {error}") from None
            if not planned.changes:
                return planned, None
            try:
                return planned, target.write(planned, _signed(look, wanted, word))
            except RefusedError as error:
                if error.why != "stale":
                    raise
    raise RefusedError(
        f"{target.name} changed {ATTEMPTS} times meanwhile; nothing was changed; run "
        f"it again, or stop it: gov flags kill --workflow {look.plan.workflow}"
    )


def _concluded(
    store: QueuedStore, look: Look, wanted: Move, identity: str, written: Written
) -> Moved:
    """Record what was read back after the write."""
    key = look.plan.mode_flag
    place = place_of(written.held.flags.get(key), look.plan, look.situation.safest)
    mine = place.transition == identity and not place.altered
    result = Result.APPLIED if mine else Result.UNVERIFIED
    record = outcome(
        store.stamp(),
        look,
        identity,
        result,
        after=written.held.raw.get(key),
        revision=written.held.snapshot.revision,
    )
    store.commit(record)
    if not mine:
        why = written.failed.get(key) or f"the flag stands at {place}"
        raise RefusedError(f'flag "{key}": written, and not as it was: {why}')
    return Moved(
        verb=wanted.verb,
        start=look.situation.place.stage,
        place=place,
        transition=identity,
        notes=written.notes,
    )


def _conclude(
    store: QueuedStore, target: FlagTarget, look: Look, identity: str, error: Exception
) -> None:
    """Record what became of a write that raised; what is not known stays open."""
    key = look.plan.mode_flag
    with suppress(GovernanceError, OpenFeatureError, OSError):
        flag = target.read((key,)).flags.get(key)
        place = place_of(flag, look.plan, look.situation.safest)
        held = place.transition == identity
        unsure = isinstance(error, RefusedError) and error.why == "unverified"
        result = Result.UNVERIFIED if unsure else Result.NOT_APPLIED
        result = Result.APPLIED if held else result
        store.commit(outcome(store.stamp(), look, identity, result))


def _conflict(
    target: FlagTarget, look: Look, wanted: Move, found: Json | None
) -> ConflictError:
    """Return both sides: what was seen, what is there now, what was wanted."""
    plan = look.plan
    flag = None if found is None else parse_flag(found)
    there = place_of(flag, plan, look.situation.safest)
    side = (
        f"{plan.mode_flag}: when read: {_called(look.situation.place)}; theirs: "
        f"{_called(there)}; yours: {wanted.end}"
    )
    return ConflictError(target.name, [side])


def _called(place: Place) -> str:
    told = place.stage or "no stage"
    by = f" by {place.transition}" if place.transition else ""
    return f"{told}{by}{', altered' if place.altered else ''}"


def _signed(look: Look, wanted: Move, end: str) -> Signed:
    text = comment(
        look.plan, look.situation.place.stage, end, wanted.evidence, wanted.reason
    )
    # The target signs with actor and text; where it records is not its concern.
    return Signed(actor=wanted.actor, reason=text, records=Path())


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

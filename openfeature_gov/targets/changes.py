"""Make a change on a target of flags, and record who made it and why.

A kill takes effect first and is recorded then: no record store can stand in its way.
Whatever may widen authority is recorded first; when that fails nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from openfeature.exception import OpenFeatureError

from openfeature_gov.errors import GovernanceError, RecordStoreError
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.writing import QueuedStore
from openfeature_gov.targets import (
    Change,
    ConflictError,
    FlagTarget,
    Held,
    Keys,
    Planned,
    RefusedError,
    Signed,
    Switch,
    Written,
    differences,
    plan,
)

KIND = "policy_change"
ATTEMPTS = 10
"""How often a change is tried anew when somebody else was faster with another flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Hold what became of a change.

    *written* is what is there now, None when nothing was to be written. *record* is
    the id of its record; *unrecorded* says why there is none although there should be;
    *unmet* what the flags do not show although they should.
    """

    planned: Planned
    written: Written | None = None
    record: str | None = None
    unrecorded: str = ""
    unmet: tuple[str, ...] = ()

    @property
    def applied(self) -> bool:
        """Tell whether any flag was changed, or may have been."""
        return self.written is not None

    @property
    def failed(self) -> Mapping[str, str]:
        """Return by key why a flag was not changed as planned."""
        return {} if self.written is None else self.written.failed

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what else there is to say of the write."""
        return () if self.written is None else self.written.notes

    @property
    def held(self) -> Held:
        """Return the flags as they are, or would be for a change that was tried."""
        return self.planned.after if self.written is None else self.written.held

    @property
    def changes(self) -> tuple[Change, ...]:
        """Return what was changed, or would be."""
        return tuple(one for one in self.planned.changes if one.key not in self.failed)

    @property
    def tokens(self) -> dict[str, str]:
        """Return by key what demands flag data that holds the change."""
        if self.written is None:
            return {}
        held = self.written.held
        return {c.key: held.token(c.key) for c in self.changes if c.key in held.flags}


def tried(target: FlagTarget, switch: Switch, keys: Keys = None) -> Done:
    """Return what *switch* would change on *target*; nothing is written."""
    return Done(planned=plan(target, switch.edit, at=_now(), keys=keys))


def made(target: FlagTarget, switch: Switch, signed: Signed, keys: Keys = None) -> Done:
    """Make the change *switch*, which is about *keys*, on *target*, and record it.

    Raises:
        ConflictError: when somebody changed one of the same flags meanwhile; both
            sides are in it, and nothing changed.
        NotWrittenError: when nothing at all was written.
        RefusedError: when it was refused; nothing changed unless the text says so.
        RecordStoreError: when a widening change could not be recorded; nothing changed.
        UnreachableError: when the target cannot be reached.
        FeatBitEditError: when it names something that is not there.
        FeatBitDataError: when the flags are unusable.
        OSError: when a file cannot be read or written.

    """
    if not switch.widens:
        return _narrowed(target, switch, signed, keys)
    first = plan(target, switch.edit, at=_now(), keys=keys)
    if not first.changes:  # nothing to record, so no database is made for it
        return _unchanged(first, switch)
    with closing(_store(signed)) as store:
        return _widened(target, switch, signed, keys, store, first)


def _unchanged(planned: Planned, switch: Switch) -> Done:
    return Done(planned=planned, unmet=switch.unmet(planned.before.snapshot))


def _narrowed(target: FlagTarget, switch: Switch, signed: Signed, keys: Keys) -> Done:
    done = _applied(target, switch, signed, keys)
    if done.written is None:
        return done
    try:
        with closing(_store(signed)) as store:
            facts = _facts(target, switch, signed, done.changes, done.planned.before)
            facts["revisionAfter"] = done.held.snapshot.revision
            if done.failed:
                facts |= _failed(done.planned, done.written)
            record = note_record(store.stamp(), KIND, **facts)
            store.commit(record)
    except (RecordStoreError, OSError) as error:
        return Done(
            planned=done.planned,
            written=done.written,
            unrecorded=str(error),
            unmet=done.unmet,
        )
    return Done(
        planned=done.planned, written=done.written, record=record.id, unmet=done.unmet
    )


def _applied(target: FlagTarget, switch: Switch, signed: Signed, keys: Keys) -> Done:
    """Plan and write under the lock; who is overtaken all the same plans anew."""
    for _ in range(ATTEMPTS):
        with target.locked():
            planned = plan(target, switch.edit, at=_now(), keys=keys)
            if not (planned.changes or switch.whole):
                return _unchanged(planned, switch)
            try:
                written = target.write(planned, signed)
            except RefusedError as error:
                if error.why != "stale":
                    raise
                continue
        unmet = switch.unmet(written.held.snapshot)
        return Done(planned=planned, written=written, unmet=unmet)
    raise RefusedError(
        f"{target.name} changed {ATTEMPTS} times meanwhile; nothing was changed; run "
        "it again"
    )


def _widened(
    target: FlagTarget,
    switch: Switch,
    signed: Signed,
    keys: Keys,
    store: QueuedStore,
    first: Planned,
) -> Done:
    """Record, then write; the lock is not held while the store takes its time."""
    for attempt in range(ATTEMPTS):
        planned = plan(target, switch.edit, at=_now(), keys=keys) if attempt else first
        if not planned.changes:
            return _unchanged(planned, switch)
        record = _record(store.stamp(), target, switch, signed, planned)
        store.commit(record)
        try:
            with target.locked():
                written = target.write(planned, signed)
        except (GovernanceError, OpenFeatureError, OSError) as error:
            why = error.why if isinstance(error, RefusedError) else "refused"
            _revoke(store, record.id, why)
            if why != "stale":
                raise
            _refuse_conflict(target, planned, keys)
            continue
        if written.failed:
            _revoke(store, record.id, "partial", _failed(planned, written))
        unmet = switch.unmet(written.held.snapshot)
        return Done(planned=planned, written=written, record=record.id, unmet=unmet)
    raise RefusedError(
        f"{target.name} changed {ATTEMPTS} times while this change was being recorded; "
        "nothing was changed; run it again"
    )


def _refuse_conflict(target: FlagTarget, planned: Planned, keys: Keys) -> None:
    """Raise when what was *planned* is about a flag that somebody else changed."""
    found = target.read(keys)
    theirs = {one.key: one for one in differences(planned.before, found)}
    sides = [
        _sides(mine, theirs.get(mine.key), mine.key in found.flags)
        for mine in planned.changes
        if mine.key in theirs
        or (mine.key in planned.before.flags) != (mine.key in found.flags)
    ]
    if sides:
        raise ConflictError(target.name, sides)


def _sides(mine: Change, theirs: Change | None, there: bool) -> str:
    if theirs is None:
        what = "was removed or archived" if not there else "came into being"
        return f"{mine.key}: theirs: it {what}; yours: {_told(mine.now)}"
    was = _told({**mine.was, **theirs.was}) or "no such flag"
    return (
        f"{mine.key}: when read: {was}; theirs: {_told(theirs.now)}; "
        f"yours: {_told(mine.now)}"
    )


def _told(members: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in members.items())


def _revoke(
    store: QueuedStore, ref: str, why: str, facts: Mapping[str, Any] | None = None
) -> None:
    """Record that the change of record *ref* did not happen, may not have, or in part.

    *facts* say which flags of it failed.
    """
    result = why if why in {"unverified", "partial"} else "not_applied"
    with suppress(RecordStoreError):
        store.commit(
            note_record(store.stamp(), KIND, ref, result=result, **(facts or {}))
        )


def _failed(planned: Planned, written: Written) -> dict[str, Any]:
    """Return the flags that were not changed as planned, and how they differ now."""
    found = [
        one
        for one in differences(planned.before, written.held)
        if one.key in written.failed
    ]
    return {"failed": sorted(written.failed), "found": _listed(found)}


def _record(
    stamp: Stamp, target: FlagTarget, switch: Switch, signed: Signed, planned: Planned
) -> Record:
    facts = _facts(target, switch, signed, planned.changes, planned.before)
    return note_record(stamp, KIND, **facts, revisionAfter=planned.revision)


def _facts(
    target: FlagTarget,
    switch: Switch,
    signed: Signed,
    changes: tuple[Change, ...],
    before: Held,
) -> dict[str, Any]:
    return {
        "change": switch.name,
        "actor": signed.actor,
        "reason": signed.reason,
        "scope": switch.facts,
        **target.facts,
        "flags": _listed(changes),
        "revisionBefore": before.snapshot.revision,
    }


def _listed(changes: Iterable[Change]) -> list[dict[str, Any]]:
    return [{"key": one.key, "from": one.was, "to": one.now} for one in changes]


def _store(signed: Signed) -> QueuedStore:
    return open_store(signed.records, sealing=signed.sealing)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

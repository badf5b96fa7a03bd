"""Make a change of a flag file, and record who made it and why.

A kill takes effect first and is recorded then: no record store can stand in its way.
Whatever may widen authority is recorded first; when that fails nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from openfeature.exception import OpenFeatureError

from openfeature_gov.cli.exits import RefusedError
from openfeature_gov.cli.flagfile import Planned, locked, plan, write
from openfeature_gov.cli.switches import Switch
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.stores.sqlite import SqliteStore

KIND = "policy_change"
ATTEMPTS = 10
"""How often a recorded change is tried anew when somebody else was faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Say who changes something and why, and where that is recorded."""

    actor: str
    reason: str
    records: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Hold what became of a change.

    *record* is the id of its record; *unrecorded* says why there is none although
    there should be; *unmet* what the file does not show although it should.
    """

    planned: Planned
    applied: bool = False
    record: str | None = None
    unrecorded: str = ""
    unmet: tuple[str, ...] = ()


def tried(path: Path, switch: Switch) -> Done:
    """Return what *switch* would change; nothing is written."""
    return Done(planned=plan(path, switch.edit, at=_now()))


def made(path: Path, switch: Switch, signed: Signed) -> Done:
    """Make the change *switch* on the flag file *path*, and record it.

    Raises:
        RefusedError: when it was refused; nothing changed unless the text says so.
        RecordStoreError: when a widening change could not be recorded; nothing changed.
        FeatBitEditError: when it names something that is not there.
        FeatBitDataError: when the flag file is unusable.
        OSError: when a file cannot be read or written.

    """
    if not switch.widens:
        return _narrowed(path, switch, signed)
    first = plan(path, switch.edit, at=_now())
    if not first.changes:  # nothing to record, so no database is made for it
        return Done(planned=first, unmet=switch.unmet(first.before.snapshot))
    with _store(signed.records) as store:
        return _widened(path, switch, signed, store, first)


def _narrowed(path: Path, switch: Switch, signed: Signed) -> Done:
    done = _applied(path, switch)
    if not done.applied:
        return done
    try:
        with _store(signed.records) as store:
            record = _record(store.stamp(), path, switch, signed, done.planned)
            store.commit(record)
    except (RecordStoreError, OSError) as error:
        return Done(
            planned=done.planned, applied=True, unrecorded=str(error), unmet=done.unmet
        )
    return Done(planned=done.planned, applied=True, record=record.id, unmet=done.unmet)


def _applied(path: Path, switch: Switch) -> Done:
    with locked(path):
        planned = plan(path, switch.edit, at=_now())
        if not planned.changes:
            return Done(planned=planned, unmet=switch.unmet(planned.before.snapshot))
        written = write(planned)
    unmet = switch.unmet(written.snapshot)
    return Done(planned=planned, applied=True, unmet=unmet)


def _widened(
    path: Path, switch: Switch, signed: Signed, store: SqliteStore, first: Planned
) -> Done:
    """Record, then write; the lock is not held while the store takes its time."""
    for attempt in range(ATTEMPTS):
        planned = plan(path, switch.edit, at=_now()) if attempt else first
        if not planned.changes:
            return Done(planned=planned, unmet=switch.unmet(planned.before.snapshot))
        record = _record(store.stamp(), path, switch, signed, planned)
        store.commit(record)
        try:
            with locked(path):
                written = write(planned)
        except (RefusedError, OpenFeatureError, OSError) as error:
            why = error.why if isinstance(error, RefusedError) else "refused"
            _revoke(store, record.id, why)
            if why == "stale":
                continue
            raise
        unmet = switch.unmet(written.snapshot)
        return Done(planned=planned, applied=True, record=record.id, unmet=unmet)
    raise RefusedError(
        f"{path} changed {ATTEMPTS} times while this change was being recorded; "
        "nothing was changed; run it again"
    )


def _revoke(store: SqliteStore, ref: str, why: str) -> None:
    """Record that the change of record *ref* did not happen, or may not have."""
    result = "unverified" if why == "unverified" else "not_applied"
    with suppress(RecordStoreError):
        store.commit(note_record(store.stamp(), KIND, ref, result=result))


def _record(
    stamp: Stamp, path: Path, switch: Switch, signed: Signed, planned: Planned
) -> Record:
    return note_record(
        stamp,
        KIND,
        change=switch.name,
        actor=signed.actor,
        reason=signed.reason,
        scope=switch.facts,
        file=path.name,
        flags=[
            {"key": one.key, "from": one.was, "to": one.now} for one in planned.changes
        ],
        revisionBefore=planned.before.snapshot.revision,
        revisionAfter=planned.revision,
    )


@contextmanager
def _store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    try:
        yield store
    finally:
        store.close()


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

"""Record what is done to a rollout: before, after, and what leaves the flag alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from openfeature.contrib.provider.featbit.building import Json
from openfeature_gov.contracts import digest_of
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.writing import QueuedStore
from openfeature_gov.targets import FlagTarget, Planned
from openfeature_gov_rollout.bundles import Facts
from openfeature_gov_rollout.looking import Look
from openfeature_gov_rollout.plan import Plan
from openfeature_gov_rollout.stories import CHANGE, NAMED, NOTE, Result, Verb

NOBODY = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Ask for one move of a rollout: who wants it and why, on which evidence.

    *end* is the stage to go to, empty for a fall. *override* says that a person waived
    what was not proven.
    """

    verb: Verb
    actor: str
    reason: str
    evidence: Facts
    end: str = ""
    override: bool = False


def note(records: Path | str, look: Look, verb: Verb, actor: str, reason: str) -> str:
    """Record a hold, a pause or their end; return the record's id.

    Raises:
        RecordStoreError: when it could not be recorded.

    """
    place = look.situation.place
    with kept(records) as store:
        record = note_record(
            store.stamp(),
            NOTE,
            plan=look.plan.name,
            workflow=look.plan.workflow,
            verb=verb.value,
            actor=actor,
            reason=reason,
            stage=place.stage,
            transition=place.transition,
        )
        store.commit(record)
    return record.id


def intent(
    stamp: Stamp,
    target: FlagTarget,
    look: Look,
    wanted: Move,
    planned: Planned,
    *,
    end: str,
) -> Record:
    """Return the record of a move to *end*: what is planned, by whom, on what."""
    start = look.situation.place.stage
    flags = [{"key": c.key, "from": c.was, "to": c.now} for c in planned.changes]
    return note_record(
        stamp,
        CHANGE,
        change=NAMED,
        actor=wanted.actor,
        reason=wanted.reason,
        scope=scope_of(look, wanted.verb, start, end),
        **target.facts,
        flags=flags,
        revisionBefore=planned.before.snapshot.revision,
        revisionAfter=planned.revision,
        flagBefore=version(planned.before.raw.get(look.plan.mode_flag)),
        planDigest=look.plan.digest,
        override=wanted.override,
        skipped=_skipped(look.plan, end),
        evidence=wanted.evidence,
        evidenceDigest=digest_of(wanted.evidence),
    )


def _skipped(plan: Plan, end: str) -> Facts | None:
    """Return why the plan skips a rung to the stage *end*, and who decided that."""
    given = None if end not in plan.order else plan.stages[plan.order[end]].override
    return None if given is None else {"reason": given.reason, "by": given.by}


def outcome(
    stamp: Stamp,
    look: Look,
    identity: str,
    result: Result,
    *,
    after: Json | None = None,
    revision: str | None = None,
    settled: bool = False,
) -> Record:
    """Return the record of what became of the move *identity*.

    *after* is the flag as it was read back, *revision* that of all flags; a move that
    is *settled* later goes by the flag as *look* has it.
    """
    return note_record(
        stamp,
        CHANGE,
        identity,
        result=result.value,
        flagAfter=version(look.raw if settled else after),
        revisionAfter=look.revision if settled else revision,
        settled=settled,
    )


def scope_of(look: Look, verb: Verb, start: str, end: str) -> Facts:
    """Return what a move is about."""
    return {
        "plan": look.plan.name,
        "workflow": look.plan.workflow,
        "tools": list(look.plan.tools),
        "verb": verb.value,
        "from": start,
        "to": end,
    }


def version(raw: Mapping[str, Any] | None) -> str | None:
    """Return the revision of a flag: FeatBit's own, or its time in a file."""
    return None if raw is None else str(raw.get("revision") or raw.get("updatedAt"))


def named(stamp: Stamp, identity: str) -> Stamp:
    """Return *stamp* with the id that the flag names."""
    return stamp._replace(id=identity)


def new_identity() -> str:
    """Return the id of a new transition."""
    return f"rollout-{token_hex(8)}"


@contextmanager
def kept(records: Path | str) -> Iterator[QueuedStore]:
    """Lend the record store, opened now.

    Raises:
        RecordStoreError: when it cannot be opened.

    """
    store = open_store(records)
    try:
        yield store
    finally:
        store.close()

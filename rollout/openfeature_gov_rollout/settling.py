"""Settle what a crash left behind: the flag says which of two states holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from openfeature_gov.evidence.records import Record, note_record
from openfeature_gov.stores.writing import QueuedStore
from openfeature_gov_rollout.looking import Look
from openfeature_gov_rollout.plan import ABORTED
from openfeature_gov_rollout.recording import NOBODY, kept, named, outcome, scope_of
from openfeature_gov_rollout.stories import CHANGE, NAMED, Event, Result, Verb

SETTLED_US = 60_000_000
"""After how long a transition that nobody concluded counts as left behind."""


def settle(
    records: Path | str,
    looks: list[Look],
    *,
    after_us: int = SETTLED_US,
) -> int:
    """Record what became of transitions that were left behind; return how many.

    The flag says it: a transition whose id it holds was applied, another was not. One
    that is younger than *after_us*, microseconds, may still be under way, and is only
    settled if the flag holds it. A fall that the flag holds and no record tells of is
    recorded now.

    Raises:
        RecordStoreError: when it could not be recorded.

    """
    left = [*_left(looks, after_us)]
    if not left:
        return 0
    with kept(records) as store:
        for make in left:
            for record in make(store):
                store.commit(record)
    return len(left)


Make = Callable[[QueuedStore], list[Record]]


def _left(looks: list[Look], after_us: int) -> Iterator[Make]:
    for look in looks:
        place, now = look.situation.place, look.situation.now_us
        for event in look.situation.story.open:
            held = event.id == place.transition
            if held or now - event.at_us >= after_us:
                yield _settling(look, event, applied=held)
        told = look.situation.story.transition(place.transition)
        if place.fallen and told is None:
            yield _finding(look)


def _settling(look: Look, event: Event, *, applied: bool) -> Make:
    result = Result.APPLIED if applied else Result.NOT_APPLIED
    return lambda store: [outcome(store.stamp(), look, event.id, result, settled=True)]


def _finding(look: Look) -> Make:
    """Return what records a fall that the flag holds, and that a crash kept from it."""
    place = look.situation.place
    verb = Verb.ABORT if place.stage == ABORTED else Verb.ROLLBACK

    def make(store: QueuedStore) -> list[Record]:
        stamp = named(store.stamp(), place.transition)
        scope = scope_of(look, verb, place.origin, place.stage)
        reason = "found on the flag; whoever wrote it could not record it"
        found = note_record(
            stamp,
            CHANGE,
            change=NAMED,
            actor=NOBODY,
            reason=reason,
            scope=scope,
            flags=[],
            revisionAfter=look.revision,
            planDigest=look.plan.digest,
            settled=True,
        )
        done = outcome(
            store.stamp(), look, place.transition, Result.APPLIED, settled=True
        )
        return [found, done]

    return make

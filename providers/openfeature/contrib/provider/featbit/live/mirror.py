"""What a live environment holds, item by item: every rule on which item counts.

A full sync replaces everything, whatever the versions say: an item of it may be a
newer change that carries an older stamp. A patch is last-writer-wins for each item.

Kills are latched: a flag that was once seen off or archived stays so until an item
with a newer stamp arrives over a fresh connection. A full sync of a server that lags,
or a push that comes late, cannot bring it back. A kill that comes with an older stamp
counts too, until a full sync shows a newer item: two servers' clocks may differ.
"""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self

from openfeature.contrib.provider.featbit.conditions import Test, compile_segment
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.flagset import Flag, FlagSet, Segment
from openfeature.contrib.provider.featbit.live.frames import DataSync
from openfeature.contrib.provider.featbit.live.items import (
    Item,
    read_flags,
    read_segments,
    unquoted,
)
from openfeature.contrib.provider.featbit.snapshot import (
    Snapshot,
    compile_flag,
)

FLAG, SEGMENT = "flag", "segment"
Name = tuple[str, str]
"""`FLAG` and a key, or `SEGMENT` and an id."""
Items = Mapping[str, Item]

LONGEST_MEMORY = 10_000
"""Kills that are remembered; the oldest are forgotten first."""


NOTHING = Snapshot(FlagSet({}, {}), "", MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Latch:
    """The newest stamp with which each flag was seen off or archived, by flag key.

    *holding* are the flags for which something else was said since, in vain.
    """

    stamps: Mapping[str, int] = field(default_factory=dict)
    holding: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Mirror:
    """All items that are held, and the snapshot made of them; never changed."""

    flags: Items = field(default_factory=dict, repr=False)
    segments: Items = field(default_factory=dict, repr=False)
    latch: Latch = field(default_factory=Latch)
    tests: Mapping[str, Test] = field(default_factory=dict, repr=False)
    snapshot: Snapshot = NOTHING

    def replaced(
        self, sync: DataSync, *, keep: frozenset[Name] = frozenset()
    ) -> tuple[Self, bool]:
        """Hold what a full *sync* says, and what was pushed (*keep*) while it came.

        Also tell whether every item of it could be told to be some flag or segment.
        """
        said_flags, nameless = read_flags(sync.flags, self.flags)
        said_segments, more = read_segments(sync.segments, self.segments)
        settling = _Settling(self.latch)
        flags = {}
        said = {**_newest(said_flags), **_kept(self.flags, FLAG, keep)}
        for key, item in said.items():
            held = settling.settle(key, item, self.flags.get(key), fresh=True)
            if held is not None:
                flags[key] = held
        segments = {**_newest(said_segments), **_kept(self.segments, SEGMENT, keep)}
        made = self._with(flags, segments, settling.latch())
        return made, not (nameless or more)

    def patched(self, sync: DataSync, *, fresh: bool) -> tuple[Self, bool]:
        """Hold the items of a patch; also tell whether it left no doubt.

        An item with an older stamp than the held one leaves doubt: it may be late, or
        newer than its stamp. Only over a *fresh* connection does an item release.
        """
        said_flags, nameless = read_flags(sync.flags, self.flags)
        said_segments, more = read_segments(sync.segments, self.segments)
        certain = not (nameless or more)
        settling = _Settling(self.latch)
        flags, segments = dict(self.flags), dict(self.segments)
        for key, item in said_flags:
            known = flags.get(key)
            late = known is not None and item.stamp < known.stamp
            certain &= not late
            if known is not None and late and (known.killed or not item.killed):
                continue
            held = settling.settle(key, item, known, fresh=fresh)
            certain &= held is item
            if held is not None:
                flags[key] = held
        for key, item in said_segments:
            known = segments.get(key)
            if known is not None and item.stamp < known.stamp:
                certain = False
            else:
                segments[key] = item
        return self._with(flags, segments, settling.latch()), certain

    def _with(self, flags: Items, segments: Items, latch: Latch) -> Self:
        changed = _differing(self.flags, flags)
        moved = _differing(self.segments, segments)
        if not (changed or moved or latch != self.latch):
            return self
        if moved:
            changed.update(
                k for k, i in flags.items() if not moved.isdisjoint(i.segments)
            )
        tests = {id_: test for id_, test in self.tests.items() if id_ not in moved}
        tests |= _compiled(segments, moved)
        snapshot = _snapshot(self.snapshot, flags, segments, changed, tests)
        snapshot = replace(snapshot, latched=latch.holding)
        return type(self)(flags, segments, latch, tests, snapshot)


class _Settling:
    """Decide, item by item, between what is said and what the latch holds."""

    def __init__(self, latch: Latch) -> None:
        self._stamps, self._holding = dict(latch.stamps), set(latch.holding)

    def settle(
        self, key: str, item: Item, held: Item | None, *, fresh: bool
    ) -> Item | None:
        kill = self._stamps.get(key)
        if item.killed:
            self._holding.discard(key)
            self._stamps[key] = max(item.stamp, item.stamp if kill is None else kill)
            return item
        if kill is None:
            return item
        if fresh and item.stamp > kill:
            del self._stamps[key]
            self._holding.discard(key)
            return item
        self._holding.add(key)
        return held

    def latch(self) -> Latch:
        while len(self._stamps) > LONGEST_MEMORY:
            del self._stamps[next(iter(self._stamps))]
        return Latch(self._stamps, frozenset(self._holding))


def _kept(items: Items, kind: str, keep: frozenset[Name]) -> dict[str, Item]:
    return {key: items[key] for which, key in keep if which == kind and key in items}


def _differing(old: Items, new: Items) -> set[str]:
    if old is new:
        return set()
    changed = {key for key, item in new.items() if old.get(key) is not item}
    return changed.union(key for key in old if key not in new)


def _newest(said: Iterable[tuple[str, Item]]) -> dict[str, Item]:
    newest: dict[str, Item] = {}
    for key, item in said:
        other = newest.get(key)
        if other is None or (item.stamp, item.killed) >= (other.stamp, other.killed):
            newest[key] = item
    return newest


def _compiled(segments: Items, ids: Iterable[str]) -> dict[str, Test]:
    # A segment that cannot be compiled is left out: the flags that name it are refused.
    tests = {}
    for segment_id in ids:
        item = segments.get(segment_id)
        if item is not None and isinstance(item.value, Segment):
            with suppress(FeatBitDataError):
                tests[segment_id] = compile_segment(item.value)
    return tests


def _snapshot(
    old: Snapshot,
    flags: Items,
    segments: Items,
    changed: Iterable[str],
    tests: Mapping[str, Test],
) -> Snapshot:
    parsed, compiled = dict(old.flag_set.flags), dict(old.flags)
    refused, unserved = dict(old.refused), dict(old.unserved)
    archived = set(old.flag_set.archived_flags)
    for key in changed:
        for table in (parsed, compiled, refused, unserved):
            table.pop(key, None)
        archived.discard(key)
        item = flags.get(key)
        if item is None:
            continue
        if isinstance(item.value, Flag):
            try:
                compiled[key] = compile_flag(item.value, tests)
                parsed[key] = item.value
                continue
            except FeatBitDataError as error:
                refused[key] = unquoted(str(error), f'"{key}"')
        elif item.archived:
            archived.add(key)
        else:
            refused[key] = item.problem or "refused"
        unserved[key] = item.stamp // 1000
    return Snapshot(
        FlagSet(
            MappingProxyType(parsed),
            MappingProxyType(_live(segments)),
            frozenset(archived),
            frozenset(key for key, item in segments.items() if item.archived),
        ),
        _revision(flags, segments),
        MappingProxyType(compiled),
        refused=MappingProxyType(refused),
        unserved=MappingProxyType(unserved),
    )


def _live(segments: Items) -> dict[str, Segment]:
    return {k: i.value for k, i in segments.items() if isinstance(i.value, Segment)}


def _revision(flags: Items, segments: Items) -> str:
    digest = hashlib.sha256()
    for items in (flags, segments):
        digest.update(len(items).to_bytes(8))
        digest.update(b"".join(items[key].digest for key in sorted(items)))
    return digest.hexdigest()

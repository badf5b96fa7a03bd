"""What a live environment holds, item by item: every rule on which item counts.

A full sync replaces everything. An item of it with an older stamp than the held one
may be a newer change, made on a server whose clock is behind, or come from a server
that lags: it counts once a late push said the same, or a second full sync some time
later. A patch is last-writer-wins for each item.

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
from typing import Any, Self

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
from openfeature.contrib.provider.featbit.strict_json import read_json

FLAG, SEGMENT = "flag", "segment"
Name = tuple[str, str]
"""`FLAG` and a key, or `SEGMENT` and an id."""
Items = Mapping[str, Item]
Digests = Mapping[Name, bytes]

LONGEST_MEMORY = 10_000
"""Kills that are remembered; the oldest are forgotten first."""


NOTHING = Snapshot(FlagSet({}, {}), "", MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Latch:
    """By flag key, the newest stamp with which it was seen off or archived.

    Also the newest with which it was seen at all until then, which a push must exceed.
    *holding* are the flags for which something else was said since, in vain.
    """

    stamps: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    holding: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Mirror:
    """All items that are held, and the snapshot made of them; never changed.

    *late* and *behind* are digests of older versions that a push, or a full sync, said
    and that do not count yet.
    """

    flags: Items = field(default_factory=dict, repr=False)
    segments: Items = field(default_factory=dict, repr=False)
    latch: Latch = field(default_factory=Latch)
    tests: Mapping[str, Test] = field(default_factory=dict, repr=False)
    snapshot: Snapshot = NOTHING
    late: Digests = field(default_factory=dict, repr=False)
    behind: Digests = field(default_factory=dict, repr=False)

    def replaced(
        self,
        sync: DataSync,
        *,
        keep: frozenset[Name] = frozenset(),
        confirming: bool = True,
    ) -> "tuple[Mirror, bool]":
        """Hold what a full *sync* says, and what was pushed (*keep*) while it came.

        Older versions that were *behind* before count if this one is *confirming*.
        Also tell whether every item of it could be told to be some flag or segment.
        """
        said_flags, nameless = read_flags(sync.flags, self.flags)
        said_segments, more = read_segments(sync.segments, self.segments)
        settling = _Settling(self.latch)
        seen = _Seen(self.late, self.behind if confirming else {})
        flags, segments = {}, {}
        said = {**_newest(said_flags), **_kept(self.flags, FLAG, keep)}
        for key, item in said.items():
            known = self.flags.get(key)
            held = settling.settle(key, item, known, full=True)
            held = seen.believed((FLAG, key), held, known)
            if held is not None:
                flags[key] = held
        said = {**_newest(said_segments), **_kept(self.segments, SEGMENT, keep)}
        for key, item in said.items():
            known = self.segments.get(key)
            segments[key] = seen.believed((SEGMENT, key), item, known) or item
        made = self._with(flags, segments, settling.latch())
        return _noting(made, {}, seen.behind), not (nameless or more)

    def patched(self, sync: DataSync, *, fresh: bool) -> "tuple[Mirror, bool]":
        """Hold the items of a patch; also tell whether it left no doubt.

        An item with an older stamp than the held one leaves doubt: it may be late, or
        newer than its stamp. Only over a *fresh* connection does an item release.
        """
        said_flags, nameless = read_flags(sync.flags, self.flags)
        said_segments, more = read_segments(sync.segments, self.segments)
        certain = not (nameless or more)
        settling = _Settling(self.latch)
        flags, segments, late = dict(self.flags), dict(self.segments), dict(self.late)
        for key, item in said_flags:
            known = flags.get(key)
            if known is not None and item.stamp < known.stamp:
                certain = False
                late[FLAG, key] = item.digest
                if known.killed or not item.killed:
                    continue
            held = settling.settle(key, item, known, fresh=fresh)
            certain &= held is item
            if held is not None:
                flags[key] = held
        for key, item in said_segments:
            known = segments.get(key)
            if known is not None and item.stamp < known.stamp:
                certain = False
                late[SEGMENT, key] = item.digest
            else:
                segments[key] = item
        made = self._with(flags, segments, settling.latch())
        return _noting(made, late, self.behind), certain

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
        return replace(
            self,
            flags=flags,
            segments=segments,
            latch=latch,
            tests=tests,
            snapshot=snapshot,
        )


def not_older(mirror: Mirror, data: bytes) -> tuple[Mirror, frozenset[Name]]:
    """Return *mirror* with what a flag file says, and what of it was held off.

    *data* is a whole data-sync message that `read_snapshot` takes. However often it
    is said, what is older than what is held does not count, unless it is a kill.
    """
    whole: Any = read_json(data)
    flags, segments = whole["data"]["featureFlags"], whole["data"]["segments"]
    sync = DataSync(full=True, flags=tuple(flags), segments=tuple(segments))
    made, _ = mirror.replaced(sync, confirming=False)
    said_flags, _ = read_flags(flags, made.flags)
    said_segments, _ = read_segments(segments, made.segments)
    held = [(FLAG, k) for k, one in said_flags if made.flags.get(k) is not one]
    held += [(SEGMENT, k) for k, one in said_segments if made.segments[k] is not one]
    return made, frozenset(held)


def _noting(mirror: Mirror, late: Digests, behind: Digests) -> Mirror:
    if late == mirror.late and behind == mirror.behind:
        return mirror
    return replace(mirror, late=late, behind=behind)


class _Seen:
    """Decide which older versions of a full sync count, and note which do not."""

    def __init__(self, *confirmed: Digests) -> None:
        self._confirmed = confirmed
        self.behind: dict[Name, bytes] = {}

    def believed(self, name: Name, item: Item | None, held: Item | None) -> Item | None:
        if item is None or held is None or item.stamp >= held.stamp or item.killed:
            return item
        if any(one.get(name) == item.digest for one in self._confirmed):
            return item
        self.behind[name] = item.digest
        return held


class _Settling:
    """Decide, item by item, between what is said and what the latch holds."""

    def __init__(self, latch: Latch) -> None:
        self._stamps, self._holding = dict(latch.stamps), set(latch.holding)

    def settle(
        self,
        key: str,
        item: Item,
        held: Item | None,
        *,
        full: bool = False,
        fresh: bool = True,
    ) -> Item | None:
        known = self._stamps.get(key)
        kill, newest = known or (item.stamp, item.stamp)
        if item.killed:
            self._holding.discard(key)
            if held is not None:
                newest = max(newest, held.stamp)
            self._stamps[key] = (max(item.stamp, kill), max(item.stamp, newest))
            return item
        if known is None:
            return item
        if fresh and item.stamp > (kill if full else newest):
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

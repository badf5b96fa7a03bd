"""Compile a flag set to an immutable snapshot and evaluate flags against it.

All parsing and every result object is made here, once; an evaluation looks up and
compares. This file and all that it imports are pure: no I/O, no clock, no threads.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson
from openfeature.flag_evaluation import FlagMetadata, Reason

from openfeature.contrib.provider.featbit.buckets import compile_split
from openfeature.contrib.provider.featbit.conditions import (
    Attributes,
    Test,
    compile_condition,
    compile_segment,
    segment_ids,
)
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.flagset import (
    Condition,
    Flag,
    FlagSet,
    Rollout,
    Rule,
    Value,
    Variation,
)
from openfeature.contrib.provider.featbit.parsing import parse_flag_set


@dataclass(frozen=True, slots=True)
class Resolution:
    """One possible answer of one flag; shared by all evaluations that give it."""

    content: Value
    variant: str
    reason: Reason
    metadata: FlagMetadata

    @property
    def value(self) -> Any:
        """The value; of a ``json`` flag a fresh copy each time."""
        if isinstance(self.content, bytes):
            return orjson.loads(self.content)
        return self.content


Split = Callable[[str, Attributes], Resolution]


@dataclass(frozen=True, slots=True)
class Served:
    """What a rule or the fallthrough serves: one answer, or a split of several."""

    tests: tuple[Test, ...]
    answer: Resolution | None
    split: Split


@dataclass(frozen=True, slots=True, eq=False)
class CompiledFlag:
    """A live flag, ready to be evaluated; it belongs to one snapshot."""

    kind: str
    off: Resolution | None
    targets: Mapping[str, Resolution]
    rules: tuple[Served, ...]

    def evaluate(self, targeting_key: str, attributes: Attributes) -> Resolution:
        """Answer for one user: off, then targets, then rules, then the fallthrough.

        Raises:
            InvalidContextError: a percentage is dealt by an attribute that is missing.

        """
        if self.off is not None:
            return self.off
        hit = self.targets.get(targeting_key)
        if hit is not None:
            return hit
        for served in self.rules:
            for test in served.tests:
                if not test(targeting_key, attributes):
                    break
            else:
                break
        # INVARIANT: the last of the rules is the fallthrough and has no tests.
        return served.answer or served.split(targeting_key, attributes)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All flags of an environment at one moment; replaced whole, never changed.

    *revision* identifies the content from which it was made. Of a live environment,
    *refused* says by flag key why one cannot be served, *unserved* has the versions of
    those and of archived ones, *latched* are held off against what was said since.
    """

    flag_set: FlagSet
    revision: str
    flags: Mapping[str, CompiledFlag] = field(repr=False)
    refused: Mapping[str, str] = field(default_factory=dict, repr=False)
    unserved: Mapping[str, int] = field(default_factory=dict, repr=False)
    latched: frozenset[str] = frozenset()

    def version(self, flag_key: str) -> int | None:
        """Return the version of a flag, None if it is not there.

        An archived flag of a file is as good as not there.
        """
        flag = self.flag_set.flags.get(flag_key)
        return self.unserved.get(flag_key) if flag is None else flag.version

    def evaluate(
        self, flag_key: str, targeting_key: str, attributes: Attributes
    ) -> Resolution | None:
        """Answer for one user; None when the flag is unknown or archived.

        *attributes* are text only, without the names of `conditions.KEY_NAMES`.

        Raises:
            InvalidContextError: a percentage is dealt by an attribute that is missing.

        """
        flag = self.flags.get(flag_key)
        return None if flag is None else flag.evaluate(targeting_key, attributes)


def read_snapshot(data: bytes | str) -> Snapshot:
    """Parse and compile a full data-sync message; the revision is its SHA-256.

    Raises:
        FeatBitDataError: *data* was refused; the message names flag and field.

    """
    raw = data.encode() if isinstance(data, str) else data
    revision = hashlib.sha256(raw).hexdigest()
    return compile_snapshot(parse_flag_set(raw), revision=revision)


def compile_snapshot(flag_set: FlagSet, *, revision: str) -> Snapshot:
    """Compile every flag and segment of *flag_set*.

    Raises:
        FeatBitDataError: a condition that cannot be compiled.

    """
    segments = {}
    for segment_id, segment in flag_set.segments.items():
        try:
            segments[segment_id] = compile_segment(segment)
        except FeatBitDataError as error:
            raise FeatBitDataError(f'segment "{segment_id}": {error}') from None
    flags = {k: compile_flag(f, segments) for k, f in flag_set.flags.items()}
    return Snapshot(flag_set, revision, MappingProxyType(flags))


def compile_flag(flag: Flag, segments: Mapping[str, Test]) -> CompiledFlag:
    """Compile one flag over the compiled *segments*, by id.

    Raises:
        FeatBitDataError: a condition that cannot be compiled.

    """
    by_id = {variation.id: variation for variation in flag.variations}
    off = None
    if not flag.enabled:
        off = _resolution(flag, by_id[flag.off_id], Reason.DISABLED)
    targets: dict[str, Resolution] = {}
    for target in flag.targets:
        hit = _resolution(flag, by_id[target.variation_id], Reason.TARGETING_MATCH)
        for key in target.keys:
            targets.setdefault(key, hit)
    rules = [_compile_rule(flag, rule, by_id, segments) for rule in flag.rules]
    reason = Reason.DEFAULT if rules or targets else Reason.STATIC
    last = _serve(flag, flag.fallthrough, by_id, reason=reason)
    return CompiledFlag(flag.kind, off, targets, (*rules, last))


def changed_keys(old: FlagSet, new: FlagSet) -> tuple[str, ...]:
    """Return the keys of the flags that may answer differently in *new*, sorted.

    That includes flags that came, went or were archived, and flags of which a
    segment changed.
    """
    segments = _differing(old.segments, new.segments)
    changed = _differing(old.flags, new.flags)
    for key, flag in new.flags.items():
        if segments and not segments.isdisjoint(_segments_of(flag.conditions())):
            changed.add(key)
    return tuple(sorted(changed))


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> set[str]:
    # Most are the same object: comparing those by value would cost the most.
    return {
        key
        for key in {*old, *new}
        if (was := old.get(key)) is not (now := new.get(key)) and was != now
    }


def _segments_of(conditions: Iterable[Condition]) -> set[str]:
    return {one for condition in conditions for one in segment_ids(condition)}


def _compile_rule(
    flag: Flag,
    rule: Rule,
    by_id: Mapping[str, Variation],
    segments: Mapping[str, Test],
) -> Served:
    tests = []
    for at, condition in enumerate(rule.conditions):
        try:
            tests.append(compile_condition(condition, segments))
        except FeatBitDataError as error:
            where = f'flag "{flag.key}": rule "{rule.id}": conditions[{at}]'
            raise FeatBitDataError(f"{where}: {error}") from None
    reason = Reason.TARGETING_MATCH
    return _serve(flag, rule.rollout, by_id, reason=reason, rule=rule, tests=tests)


def _serve(
    flag: Flag,
    rollout: Rollout,
    by_id: Mapping[str, Variation],
    *,
    reason: Reason,
    rule: Rule | None = None,
    tests: Iterable[Test] = (),
) -> Served:
    live = [share for share in rollout.shares if share.end > share.start]
    whole = len({share.variation_id for share in live}) == 1
    shown = reason if whole else Reason.SPLIT
    shares = [
        (share.end, _resolution(flag, by_id[share.variation_id], shown, rule))
        for share in live
    ]
    split = compile_split(flag.key, rollout.dispatch_key, shares)
    return Served(tuple(tests), shares[0][1] if whole else None, split)


def _resolution(
    flag: Flag, variation: Variation, reason: Reason, rule: Rule | None = None
) -> Resolution:
    metadata: dict[str, bool | int | float | str] = {"version": flag.version}
    if flag.env_id is not None:
        metadata["flagSetId"] = flag.env_id
    if variation.name is not None:
        metadata["variationName"] = variation.name
    if rule is not None:
        metadata["rule"] = rule.id
    return Resolution(variation.value, variation.id, reason, MappingProxyType(metadata))

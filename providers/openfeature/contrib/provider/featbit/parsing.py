"""Parse FeatBit's data-sync JSON into a validated `FlagSet`, or refuse it whole."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import TypeVar

from openfeature.contrib.provider.featbit import fields, timestamps
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.fields import JsonObject, refuse
from openfeature.contrib.provider.featbit.flagset import (
    Condition,
    Flag,
    FlagSet,
    Rollout,
    Rule,
    Segment,
    Share,
    Target,
    Variation,
)
from openfeature.contrib.provider.featbit.strict_json import read_json
from openfeature.contrib.provider.featbit.values import read_value

ROUNDING = 1e-9
"""Two shares touch when they differ by less: percentages are added as doubles."""

T = TypeVar("T")


def parse_flag_set(data: bytes | str) -> FlagSet:
    """Parse a full ``data-sync`` message; unknown members are ignored.

    Raises:
        FeatBitDataError: *data* is not such a message, or any flag or segment in it
            could not be evaluated for every user. The message names flag and field.

    """
    message = fields.as_object(read_json(data), "document")
    _expect(message, "messageType", "data-sync", "document")
    body = fields.as_object(fields.member(message, "data", "document"), "data")
    _expect(body, "eventType", "full", "data")
    flags, archived_flags = _collect(body, "featureFlags", "key", parse_flag)
    segments, archived_segments = _collect(body, "segments", "id", parse_segment)
    return FlagSet(flags, segments, archived_flags, archived_segments)


def parse_flag(item: JsonObject) -> Flag:
    """Parse one flag that is not archived.

    Raises:
        FeatBitDataError: a field needed to evaluate it is missing or wrong.

    """
    key = fields.name(item, "key", "flag")
    where = f'flag "{key}"'
    fields.name(item, "id", where)
    kind = fields.text(item, "variationType", where)
    variations = _each(item, "variations", where, lambda v, at: _variation(kind, v, at))
    if not variations:
        raise refuse(where, "variations is empty")
    flag = Flag(
        key=key,
        env_id=fields.optional_text(item, "envId", where),
        version=_version(item, where),
        kind=kind,
        enabled=fields.truth(item, "isEnabled", where),
        off_id=fields.name(item, "disabledVariationId", where),
        variations=variations,
        targets=_each(item, "targetUsers", where, _target),
        rules=_each(item, "rules", where, _rule),
        fallthrough=_rollout(
            fields.as_object(
                fields.member(item, "fallthrough", where), f"{where}: fallthrough"
            ),
            f"{where}: fallthrough",
        ),
    )
    _check_variations(flag, where)
    return flag


def parse_segment(item: JsonObject) -> Segment:
    """Parse one segment that is not archived.

    Raises:
        FeatBitDataError: a field needed to evaluate it is missing or wrong.

    """
    segment_id = fields.name(item, "id", "segment")
    where = f'segment "{segment_id}"'
    return Segment(
        id=segment_id,
        version=_version(item, where),
        included=frozenset(fields.texts(item, "included", where)),
        excluded=frozenset(fields.texts(item, "excluded", where)),
        rules=_each(
            item, "rules", where, lambda r, at: _each(r, "conditions", at, _condition)
        ),
    )


def _expect(item: JsonObject, field: str, wanted: str, where: str) -> None:
    if (seen := fields.member(item, field, where)) != wanted:
        raise refuse(where, f'{field} must be "{wanted}", not {seen!r}')


def _collect(
    body: JsonObject, field: str, label: str, parse: Callable[[JsonObject], T]
) -> tuple[Mapping[str, T], frozenset[str]]:
    live: dict[str, T] = {}
    archived: set[str] = set()
    for at, raw in enumerate(fields.items(body, field, "data")):
        where = f"data: {field}[{at}]"
        item = fields.as_object(raw, where)
        key = fields.name(item, label, where)
        if key in live or key in archived:
            raise refuse(where, f'{label} "{key}" appears twice')
        if fields.truth(item, "isArchived", f'{where} "{key}"'):
            archived.add(key)
        else:
            live[key] = parse(item)
    return MappingProxyType(live), frozenset(archived)


def _each(
    item: JsonObject, field: str, where: str, parse: Callable[[JsonObject, str], T]
) -> tuple[T, ...]:
    parsed = []
    for at, raw in enumerate(fields.items(item, field, where)):
        place = f"{where}: {field}[{at}]"
        parsed.append(parse(fields.as_object(raw, place), place))
    return tuple(parsed)


def _version(item: JsonObject, where: str) -> int:
    stamp = fields.text(item, "updatedAt", where)
    try:
        return timestamps.version(stamp)
    except ValueError as error:
        raise refuse(where, f"updatedAt is no ISO 8601 time: {error}") from None


def _variation(kind: str, item: JsonObject, where: str) -> Variation:
    text = fields.text(item, "value", where)
    try:
        value = read_value(kind, text)
    except FeatBitDataError as error:
        raise refuse(where, f"value: {error}") from None
    return Variation(
        id=fields.name(item, "id", where),
        name=fields.optional_text(item, "name", where),
        value=value,
    )


def _target(item: JsonObject, where: str) -> Target:
    return Target(
        keys=fields.texts(item, "keyIds", where),
        variation_id=fields.text(item, "variationId", where),
    )


def _rule(item: JsonObject, where: str) -> Rule:
    return Rule(
        id=fields.name(item, "id", where),
        conditions=_each(item, "conditions", where, _condition),
        rollout=_rollout(item, where),
    )


def _condition(item: JsonObject, where: str) -> Condition:
    return Condition(
        attribute=fields.name(item, "property", where),
        op=fields.optional_text(item, "op", where),
        value=fields.text(item, "value", where),
    )


def _rollout(item: JsonObject, where: str) -> Rollout:
    shares = sorted(
        _each(item, "variations", where, _share), key=lambda s: (s.start, s.end)
    )
    _check_coverage(shares, where)
    return Rollout(
        dispatch_key=fields.optional_text(item, "dispatchKey", where),
        shares=tuple(shares),
    )


def _share(item: JsonObject, where: str) -> Share:
    ends = fields.items(item, "rollout", where)
    if len(ends) != 2:
        raise refuse(where, f"rollout must be [from, to], not {len(ends)} values")
    start = fields.fraction(ends[0], "rollout[0]", where)
    end = fields.fraction(ends[1], "rollout[1]", where)
    if start > end:
        raise refuse(where, f"rollout [{start}, {end}] runs backwards")
    return Share(fields.text(item, "id", where), start, end)


def _check_coverage(shares: list[Share], where: str) -> None:
    # A gap makes the SDK raise, or the server serve an empty value, for the users
    # who fall into it.
    edges = [(0.0, 0.0), *((s.start, s.end) for s in shares), (1.0, 1.0)]
    for (_, end), (start, _) in pairwise(edges):
        if abs(start - end) > ROUNDING:
            what = "nothing serves" if start > end else "two shares overlap on"
            low, high = sorted((end, start))
            raise refuse(where, f"rollouts must cover 0 to 1: {what} [{low}, {high}]")


def _check_variations(flag: Flag, where: str) -> None:
    known = [variation.id for variation in flag.variations]
    if len(set(known)) < len(known):
        raise refuse(where, f"variations repeat an id: {', '.join(known)}")
    used = [("disabledVariationId", flag.off_id)]
    used += [("targetUsers", target.variation_id) for target in flag.targets]
    rollouts = [(f'rule "{rule.id}"', rule.rollout) for rule in flag.rules]
    for place, rollout in [*rollouts, ("fallthrough", flag.fallthrough)]:
        used += [(place, share.variation_id) for share in rollout.shares]
    for place, variation_id in used:
        if variation_id not in known:
            problem = f'{place} serves unknown variation "{variation_id}"'
            raise refuse(where, f"{problem}; it has {', '.join(known)}")

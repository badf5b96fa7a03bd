"""One flag or segment as FeatBit sent it, and what could be made of it."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from openfeature.contrib.provider.featbit import fields, timestamps
from openfeature.contrib.provider.featbit.conditions import segment_ids
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.flagset import Condition, Flag, Segment
from openfeature.contrib.provider.featbit.live.frames import RawItem
from openfeature.contrib.provider.featbit.parsing import parse_flag, parse_segment

FLAG_FIELDS = (
    *("id", "key", "envId", "variationType", "variations", "targetUsers", "rules"),
    *("isEnabled", "disabledVariationId", "fallthrough", "isArchived", "updatedAt"),
)
SEGMENT_FIELDS = ("id", "included", "excluded", "rules", "isArchived", "updatedAt")
QUOTED = re.compile(r"['\"].*['\"]", re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A flag or segment of one version; *value* is None if archived or refused.

    *stamp* is ``updatedAt`` in microseconds, *digest* that of all that matters,
    *problem* why it was refused, *segments* the ids that a flag's rules name.
    *killed* says of a flag that it is off or archived, even if the rest is unusable.
    """

    stamp: int
    digest: bytes
    archived: bool
    killed: bool
    raw: RawItem = field(repr=False)
    value: Flag | Segment | None = field(repr=False)
    problem: str | None
    segments: frozenset[str]


def read_flags(
    raw: Iterable[object], known: Mapping[str, Item]
) -> tuple[list[tuple[str, Item]], int]:
    """Read flags, with their keys; also count what cannot be told to be any flag.

    An item equal to the *known* one is that one: nothing is parsed again.
    """
    return _read(raw, known, "key", FLAG_FIELDS, parse_flag)


def read_segments(
    raw: Iterable[object], known: Mapping[str, Item]
) -> tuple[list[tuple[str, Item]], int]:
    """Read segments, with their ids; otherwise as `read_flags`."""
    return _read(raw, known, "id", SEGMENT_FIELDS, parse_segment)


def unquoted(problem: str, label: str) -> str:
    """Return *problem* without what it quotes, which may be a value of the flag."""
    head, found, rest = problem.partition(label)
    return head + found + QUOTED.sub("…", rest)


def _read(
    raw: Iterable[object],
    known: Mapping[str, Item],
    label: str,
    names: tuple[str, ...],
    parse: Callable[[RawItem], Flag | Segment],
) -> tuple[list[tuple[str, Item]], int]:
    found, nameless = [], 0
    for one in raw:
        key = one.get(label) if isinstance(one, dict) else None
        if isinstance(one, dict) and isinstance(key, str) and key.strip():
            found.append((key, _item(one, known.get(key), key, names, parse)))
        else:
            nameless += 1
    return found, nameless


def _item(
    raw: RawItem,
    known: Item | None,
    key: str,
    names: tuple[str, ...],
    parse: Callable[[RawItem], Flag | Segment],
) -> Item:
    # A push carries more than a full sync: who changed it, its revision.
    matter = {name: raw[name] for name in names if name in raw}
    where = f'{"flag" if parse is parse_flag else "segment"} "{key}"'
    digest, problem = _digest(matter, where)
    if known is not None and known.digest == digest:
        return known
    value, segments = None, frozenset[str]()
    archived = raw.get("isArchived") is True
    # A stamp that nobody can read does not make the item older than the held one.
    stamp = 0 if known is None else known.stamp
    try:
        stamp = _stamp(raw, where)
        if problem is None and not fields.truth(raw, "isArchived", where):
            value = parse(raw)
            segments = _named(value)
    except FeatBitDataError as error:
        value, problem = None, unquoted(str(error), where)
    killed = archived or raw.get("isEnabled") is False
    return Item(stamp, digest, archived, killed, raw, value, problem, segments)


def _digest(matter: RawItem, where: str) -> tuple[bytes, str | None]:
    """Return what tells two versions apart, and why this one cannot be read if so."""
    try:
        encoded, problem = orjson.dumps(matter, option=orjson.OPT_SORT_KEYS), None
    except TypeError:  # what orjson reads at a depth of 1,024 it writes to 254 only
        encoded, problem = repr(matter).encode(), f"{where} is nested too deep"
    return hashlib.sha256(encoded).digest(), problem


def _stamp(raw: RawItem, where: str) -> int:
    try:
        return timestamps.microseconds(fields.text(raw, "updatedAt", where))
    except ValueError:
        raise fields.refuse(where, "updatedAt is no ISO 8601 time with Z") from None


def _named(value: Flag | Segment) -> frozenset[str]:
    conditions: Iterable[Condition] = ()
    if isinstance(value, Flag):
        conditions = value.conditions()
    return frozenset(one for each in conditions for one in segment_ids(each))

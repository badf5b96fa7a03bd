"""The structural difference of two flags or segments. Pure.

Lists whose items carry an id are compared item by item, and their order for itself:
FeatBit's own instructions say nothing when rules change places, though the first rule
that matches wins.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

import orjson

SHOWN = 120
"""How many characters of a value are shown to people."""


class _Absent(Enum):
    ABSENT = "absent"

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent.ABSENT
"""The value of a member that one side does not have."""


class Change(NamedTuple):
    """One place that differs: its *path*, and the value on each side or `ABSENT`."""

    path: str
    before: Any
    after: Any


def difference(before: Any, after: Any, path: str = "") -> list[Change]:
    """Return where the JSON values *before* and *after* differ, in canonical order."""
    return list(_changes(before, after, path))


def described(
    changes: Iterable[Change], *, before: str = "before", after: str = "after"
) -> list[str]:
    """Return one printable line a change, with the names of the two sides."""
    return [
        f"{_escaped(one.path) or 'all'}: {before} {shown(one.before)},"
        f" {after} {shown(one.after)}"
        for one in changes
    ]


def shown(value: Any) -> str:
    """Return *value* as canonical JSON, escaped to printable ASCII and cut."""
    if value is ABSENT:
        return "absent"
    text = _escaped(canonical(value).decode("utf-8"))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def canonical(value: Any) -> bytes:
    """Return the JSON of *value* with sorted members; whole floats as integers."""
    return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _members(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(before, after, path)
    elif type(before) is bool or type(after) is bool:
        if before is not after:
            yield Change(path, before, after)
    elif before != after:
        yield Change(path, before, after)


def _members(
    before: dict[str, Any], after: dict[str, Any], path: str
) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        place = f"{path}.{name}" if path else name
        yield from _changes(before.get(name, ABSENT), after.get(name, ABSENT), place)


def _items(before: list[Any], after: list[Any], path: str) -> Iterator[Change]:
    mine, theirs = _named(before), _named(after)
    if mine is None or theirs is None:
        if canonical(before) != canonical(after):
            yield Change(path, before, after)
        return
    common = [name for name in mine if name in theirs]
    order = [name for name in theirs if name in mine]
    if common != order:
        yield Change(f"{path} (order)", common, order)
    for name in sorted(mine.keys() | theirs.keys()):
        place = f"{path}[{name}]"
        yield from _changes(mine.get(name, ABSENT), theirs.get(name, ABSENT), place)


def _named(items: Sequence[Any]) -> dict[str, Any] | None:
    """Return *items* by their id or variation, None if they have no such names."""
    if not all(isinstance(item, dict) for item in items):
        return None
    for field in ("id", "variationId"):
        names = [item.get(field) for item in items]
        if all(isinstance(name, str) for name in names) and len(set(names)) == len(
            names
        ):
            return dict(zip(names, items, strict=True))
    return None


def _escaped(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    escaped = text.encode("unicode_escape").decode("ascii")
    return escaped if escaped.isprintable() else repr(escaped)

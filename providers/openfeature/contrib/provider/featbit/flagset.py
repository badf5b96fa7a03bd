"""The flags and segments of one environment, as validated values.

FeatBit's word *variation* is OpenFeature's *variant*: one of the values that a flag
can serve. Nothing here refers to the raw JSON; unknown members were dropped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Value = bool | int | float | str | bytes
"""A parsed variation value; bytes are the compact JSON of a ``json`` flag."""


@dataclass(frozen=True, slots=True)
class Variation:
    """One value that a flag can serve."""

    id: str
    name: str | None
    value: Value


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of an attribute; *op* is None for segment membership."""

    attribute: str
    op: str | None
    value: str

    @property
    def operator(self) -> str:
        """Name the operation; FeatBit writes segment membership as the attribute."""
        return self.op or self.attribute


@dataclass(frozen=True, slots=True)
class Share:
    """The part [start, end) of the bucket range [0, 1] that serves one variation."""

    variation_id: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """Shares in ascending order that cover [0, 1] without gap or overlap.

    *dispatch_key* is the property that is bucketed; None is the targeting key.
    """

    dispatch_key: str | None
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """Serve *rollout* to users for whom every condition holds."""

    id: str
    conditions: tuple[Condition, ...]
    rollout: Rollout


@dataclass(frozen=True, slots=True)
class Target:
    """Serve one variation to the users named one by one."""

    keys: tuple[str, ...]
    variation_id: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A named set of users: excluded beats included beats any matching rule."""

    id: str
    version: int
    included: frozenset[str]
    excluded: frozenset[str]
    rules: tuple[tuple[Condition, ...], ...]


@dataclass(frozen=True, slots=True)
class Flag:
    """One live flag; *version* is its ``updatedAt`` in milliseconds."""

    key: str
    env_id: str | None
    version: int
    kind: str
    enabled: bool
    off_id: str
    variations: tuple[Variation, ...]
    targets: tuple[Target, ...]
    rules: tuple[Rule, ...]
    fallthrough: Rollout

    def conditions(self) -> Iterator[Condition]:
        """Yield the conditions of all rules."""
        for rule in self.rules:
            yield from rule.conditions


@dataclass(frozen=True, slots=True)
class FlagSet:
    """All flags and segments of an environment; of archived ones only the names."""

    flags: Mapping[str, Flag]
    segments: Mapping[str, Segment]
    archived_flags: frozenset[str] = frozenset()
    archived_segments: frozenset[str] = frozenset()

"""Whom a stage reaches, laid over whom the stages before it reached. Pure.

A stage only ever raises: who is in its audience gets its mode, or keeps a higher one,
and everybody else keeps what they had. So no expansion takes anything from anyone,
whatever its slices are. Percentages are dealt by the targeting key, which the server
issues, in the bucket that FeatBit gives that key; it is the same in every stage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from openfeature_gov.ladder import Mode

Attribute = Literal[
    "accountId",
    "agentId",
    "environment",
    "toolName",
    "targetSystem",
    "riskClass",
    "reversibility",
    "intent",
    "region",
    "stage",
    "amountBand",
]
"""What an audience may ask for: the closed set of flag attributes; ``workflow`` is the
plan's own."""
ALL = Decimal(1)
Shares = tuple[tuple[Mode, Decimal], ...]
"""Modes with the end of each one's part of [0, 1]; highest mode first."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Name a part of an audience: *share* of those with these attributes.

    *where* lists for an attribute the values that it may have; *segments* are ids of
    FeatBit segments, of which one must hold the user. Nothing named is everybody.
    """

    where: Mapping[str, frozenset[str]]
    segments: frozenset[str]
    share: Decimal


@dataclass(frozen=True, slots=True)
class Layer:
    """Say what those get who meet every condition; the first layer that fits counts.

    Each of *segments* is a set of which one must hold the user.
    """

    where: Mapping[str, frozenset[str]]
    segments: frozenset[frozenset[str]]
    shares: Shares

    def within(self, other: Layer) -> bool:
        """Say whether everybody of this layer meets the conditions of *other*."""
        return other.segments <= self.segments and all(
            name in self.where and self.where[name] <= values
            for name, values in other.where.items()
        )


def everybody(where: Mapping[str, frozenset[str]], mode: Mode) -> tuple[Layer, ...]:
    """Return the one layer that serves *mode* to all that *where* describes."""
    return (Layer(where, frozenset(), ((mode, ALL),)),)


def raised(
    below: tuple[Layer, ...], slices: Iterable[Slice], mode: Mode
) -> tuple[Layer, ...]:
    """Return *below* with everybody in *slices* raised to *mode* at least."""
    for one in slices:
        over = [made for layer in below if (made := _over(one, layer, mode))]
        below = _tidy((*over, *below))
    return below


def _over(one: Slice, layer: Layer, mode: Mode) -> Layer | None:
    """Return whom slice and layer have in common, raised; None if that is nobody."""
    where = dict(layer.where)
    for name, values in one.where.items():
        where[name] = where.get(name, values) & values
        if not where[name]:
            return None
    segments = layer.segments | ({one.segments} if one.segments else frozenset())
    return Layer(where, segments, _raised(layer.shares, mode, one.share))


def _raised(shares: Shares, mode: Mode, share: Decimal) -> Shares:
    """Return *shares* in which nobody of the first *share* has less than *mode*."""
    parts: list[tuple[Mode, Decimal]] = []
    start = Decimal(0)
    for held, end in shares:
        if start < share:
            parts.append((max(held, mode), min(end, share)))
        if share < end:
            parts.append((held, end))
        start = end
    # Of neighbours with the same mode the last one's end is that of them all.
    merged = dict(parts)
    return tuple(merged.items())


def _tidy(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Drop layers that nobody reaches, and those that change nothing."""
    kept: list[Layer] = []
    for one in layers:
        if not any(one.within(other) for other in kept):
            kept.append(one)
    needed: list[Layer] = []
    for one in reversed(kept):
        following = needed[-1] if needed else None
        same = following is not None and one.shares == following.shares
        if not (following is not None and same and one.within(following)):
            needed.append(one)
    return tuple(reversed(needed))


def lowered(
    layers: Iterable[Layer], most: Mode, among: Collection[Mode] = tuple(Mode)
) -> tuple[Layer, ...]:
    """Return *layers* in which nobody has more than *most*, and all modes are *among*.

    What is not among them drops to the next lower one that is.

    Raises:
        ValueError: when none is low enough.

    """
    capped = (
        Layer(one.where, one.segments, _capped(one.shares, most, among))
        for one in layers
    )
    return _tidy(tuple(capped))


def _capped(shares: Shares, most: Mode, among: Collection[Mode]) -> Shares:
    return tuple(
        {
            max(one for one in among if one <= min(mode, most)): end
            for mode, end in shares
        }.items()
    )

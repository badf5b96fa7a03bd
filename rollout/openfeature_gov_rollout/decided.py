"""How many calls of a plan were decided how, over time. Read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import SCHEMES

BARS = 48


@dataclass(frozen=True, slots=True)
class Decided:
    """Hold counts by effect for each of `BARS` equal spans from *from_us*."""

    from_us: int
    until_us: int
    bars: tuple[Mapping[str, int], ...]

    @property
    def effects(self) -> dict[str, int]:
        """Return the count of each effect over all."""
        found: dict[str, int] = {}
        for bar in self.bars:
            for effect, number in bar.items():
                found[effect] = found.get(effect, 0) + number
        return dict(sorted(found.items()))


def decided(
    records: Path | str, tools: tuple[str, ...], from_us: int, until_us: int
) -> Decided:
    """Return how calls of *tools* were decided between two times, in microseconds.

    Raises:
        RecordStoreError: when the records cannot be read.

    """
    width = max(1, -(-(until_us - from_us) // BARS))
    bars: list[dict[str, int]] = [{} for _ in range(BARS)]
    if not str(records).startswith(SCHEMES) and not Path(records).exists():
        return Decided(from_us, until_us, tuple(bars))
    named = {f"tool{number}": tool for number, tool in enumerate(tools)}
    marks = ", ".join(f":{name}" for name in named)
    with opened(records) as log:
        rows = log.rows(
            "SELECT (at_us - :start) / :width, effect, count(*) FROM records"  # noqa: S608 - marks
            f" WHERE kind = 'decision' AND tool IN ({marks})"
            " AND at_us >= :start AND at_us < :until GROUP BY 1, 2",
            {**named, "start": from_us, "width": width, "until": until_us},
        )
        for bar, effect, number in rows:
            bars[min(int(bar), BARS - 1)][str(effect)] = int(number)
    return Decided(from_us, until_us, tuple(bars))

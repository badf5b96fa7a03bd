"""What the flag layer found: one reading a flag, and the state of its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openfeature_gov.contracts import NOTHING


class Reading(NamedTuple):
    """Hold one flag as it was evaluated. *fault* is None only for a legal value.

    *value* has been checked against the closed set of its kind and copied; with a
    fault it is None and means nothing.
    """

    key: str
    value: Any
    variant: str | None = None
    reason: str | None = None
    fault: str | None = None
    version: str | None = None
    metadata: Mapping[str, Any] = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Hold every flag that a contract names, with the source's state at that moment.

    *flags* holds a reading by kind (``switch``, ``mode``, ``approval``, ``denylist``,
    ``fallback``); a kind that is absent is not named by the contract. *age_ns* is the
    time since the source was last known to be current, None when nothing vouches for
    it. *standing* is None for a source that may be believed, else a reason code.
    *epoch* names the source's connection or start, within which *generation* counts;
    *demanded* is the freshness token that the caller asked for, *latched* the flags
    that a kill holds although the source says otherwise.
    """

    flags: Mapping[str, Reading] = field(default_factory=dict)
    provider: str = ""
    status: str = ""
    standing: str | None = None
    age_ns: int | None = None
    generation: int = 0
    revision: str = ""
    source: str = ""
    epoch: str = ""
    demanded: str = ""
    latched: tuple[str, ...] = ()

    def get(self, kind: str) -> Reading | None:
        """Return the reading of *kind*, None when the contract names no such flag."""
        return self.flags.get(kind)

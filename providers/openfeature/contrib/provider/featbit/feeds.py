"""Where flag data comes from: the seam between a provider and its source.

A feed reads a source and tells the `Sink`, its provider, three things: here is
another snapshot, the one you hold is still current, or I cannot tell and why.
"""

from typing import Protocol

from openfeature.contrib.provider.featbit.freshness import Freshness
from openfeature.contrib.provider.featbit.snapshot import Snapshot


class Sink(Protocol):
    """What a feed needs of its provider; callable from any thread."""

    def freshness(self) -> Freshness:
        """Return what is held now."""

    def replace(
        self, snapshot: Snapshot, *, verified_ns: int | None = None
    ) -> tuple[str, ...]:
        """Hold *snapshot* from now on; return the keys of the changed flags."""

    def confirm(self, *, verified_ns: int | None = None) -> None:
        """Note that the held snapshot equals its source."""

    def degrade(self, problem: str) -> None:
        """Note that the source cannot be used; the held snapshot stays."""


class Feed(Protocol):
    """A source of snapshots; owned by one provider, lives from start to stop."""

    source: str
    """One word for `Freshness.source`."""

    def start(self, sink: Sink) -> None:
        """Put a first snapshot into *sink* and follow the source, or raise."""

    def check(self) -> tuple[str, ...]:
        """Look at the source now; return the keys of the changed flags."""

    def stop(self) -> None:
        """Stop following; safe to call again. The sink keeps what it holds."""

    def restart_in_child(self) -> None:
        """Follow again in a forked child, where the parent's threads are gone."""

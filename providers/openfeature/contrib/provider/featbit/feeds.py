"""Where flag data comes from: the seam between a provider and its source.

A feed reads a source and tells the `Sink`, its provider, four things: here is
another snapshot, the one you hold is still current, I cannot tell and why, or I will
never be able to tell.
"""

from collections.abc import Callable
from typing import Protocol

from openfeature.contrib.provider.featbit.freshness import Freshness
from openfeature.contrib.provider.featbit.snapshot import Snapshot


class Sink(Protocol):
    """What a feed needs of its provider; callable from any thread."""

    def freshness(self) -> Freshness:
        """Return what is held now."""

    def replace(
        self,
        snapshot: Snapshot,
        *,
        verified_ns: int | None = None,
        source: str | None = None,
        problem: str | None = None,
    ) -> tuple[str, ...]:
        """Hold *snapshot* from now on; return the keys of the changed flags.

        *problem* is what is still wrong with the source.
        """

    def confirm(
        self,
        *,
        verified_ns: int | None = None,
        source: str | None = None,
        problem: str | None = None,
    ) -> None:
        """Note that the held snapshot equals its source."""

    def degrade(self, problem: str) -> None:
        """Note that the source cannot be used; the held snapshot stays."""

    def fail(self, problem: str) -> None:
        """Note that the source will never be usable; the held snapshot stays."""


class Feed(Protocol):
    """A source of snapshots; owned by one provider, lives from start to stop."""

    source: str
    """One word for `Freshness.source`."""

    def start(self, sink: Sink) -> None:
        """Put a first snapshot into *sink* and follow the source, or raise."""

    def check(self) -> tuple[str, ...]:
        """Look at the source now; return the keys of the changed flags."""

    def catch_up(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        """Look at the source until *reached*, and tell whether it was in time."""

    def stop(self) -> None:
        """Stop following; safe to call again. The sink keeps what it holds."""

    def restart_in_child(self) -> None:
        """Follow again in a forked child, where the parent's threads are gone."""

"""The OpenFeature provider: typed answers from one swapped snapshot."""

import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
from openfeature.hook import Hook
from openfeature.provider import AbstractProvider, Metadata

from openfeature.contrib.provider.featbit.answers import Answers
from openfeature.contrib.provider.featbit.feeds import Feed
from openfeature.contrib.provider.featbit.file_feed import FileFeed
from openfeature.contrib.provider.featbit.freshness import NEVER, Freshness
from openfeature.contrib.provider.featbit.snapshot import (
    Snapshot,
    changed_keys,
    read_snapshot,
)

METADATA = Metadata(name="featbit-snapshot")
STATIC = "static"


class FeatBitProvider(AbstractProvider):
    """Evaluate FeatBit flags in process; one instance an application.

    Build it with `from_file` or `from_json`. Evaluations take no lock and read one
    snapshot, which is replaced whole. Every error is returned as error details with
    the caller's default, never raised.

    A provider compares by identity: the registry of OpenFeature keys on it.
    """

    def __init__(self, feed: Feed | None = None) -> None:
        super().__init__()
        self._feed = feed
        self._hooks: list[Hook] = []
        self._answers = Answers(None, 0)
        self._problem: str | None = None
        self._lock = threading.RLock()
        self._survives_fork = False
        source = STATIC if feed is None else feed.source
        self._freshness = Freshness(0, NEVER, source, "")

    @classmethod
    def from_file(cls, path: str | Path, *, poll_seconds: float = 0.5) -> Self:
        """Serve the flags of a data-sync JSON file, read again every *poll_seconds*.

        The file is first read by `initialize`. Replace it with `write_document` or
        by an atomic rename.

        Raises:
            ValueError: *poll_seconds* is not above 0.

        """
        return cls(FileFeed(path, poll_seconds=poll_seconds))

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Serve the flags of a data-sync message that is always current.

        Raises:
            FeatBitDataError: *data* was refused; the message names flag and field.

        """
        provider = cls()
        provider.replace(read_snapshot(data))
        return provider

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - the name is part of OpenFeature's contract
        """Load the flags and follow their source.

        Raises:
            FeatBitDataError: there is no usable flag data (status ERROR).

        """
        if self._feed is None:
            return
        with self._lock:
            self._problem = None
        self._feed.start(self)
        self._follow_forks()

    def shutdown(self) -> None:
        """Stop following the source; what is held stays readable and ages."""
        if self._feed is not None:
            self._feed.stop()

    def get_metadata(self) -> Metadata:
        """Name the provider; a constant."""
        return METADATA

    def get_provider_hooks(self) -> list[Hook]:
        """Return no hooks; the same empty list each time."""
        return self._hooks

    @property
    def generation(self) -> int:
        """How many snapshots this provider has held so far."""
        return self._freshness.generation

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot held now; None before the first."""
        return self._answers.snapshot

    def pinned(self) -> Answers:
        """Return the answers of one snapshot, for several flags of one decision."""
        return self._answers

    def freshness(self) -> Freshness:
        """Return what is held and when it was last known to be current."""
        held = self._freshness
        if held.source == STATIC and held.generation:
            return held._replace(verified_ns=time.monotonic_ns())
        return held

    def reload(self) -> tuple[str, ...]:
        """Look at the source now; return the keys of the flags that changed.

        Raises:
            FeatBitDataError: the source is not usable; the held snapshot stays and
                the status is STALE.

        """
        return () if self._feed is None else self._feed.check()

    def replace(
        self, snapshot: Snapshot, *, verified_ns: int | None = None
    ) -> tuple[str, ...]:
        """Serve *snapshot* from now on; return the keys of the flags that changed.

        *verified_ns* is when it was read (`time.monotonic_ns`), now by default.
        Emits READY after a problem, and CONFIGURATION_CHANGED if anything changed.
        """
        with self._lock:
            old = self._answers.snapshot
            generation = self._freshness.generation + 1
            # The answers first: who reads a new generation must not meet old flags.
            self._answers = Answers(snapshot, generation)
            self._freshness = self._freshness._replace(
                generation=generation,
                verified_ns=_now(verified_ns),
                revision=snapshot.revision,
            )
            self._recover()
            if old is None:
                return ()
            changed = changed_keys(old.flag_set, snapshot.flag_set)
            if changed:
                self._announce(
                    ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, changed=changed
                )
            return changed

    def confirm(self, *, verified_ns: int | None = None) -> None:
        """Note that the held snapshot equals its source; emit READY after a problem."""
        with self._lock:
            self._freshness = self._freshness._replace(verified_ns=_now(verified_ns))
            self._recover()

    def degrade(self, problem: str) -> None:
        """Keep what is held, and emit STALE once for each distinct *problem*."""
        with self._lock:
            if problem != self._problem:
                self._problem = problem
                self._announce(ProviderEvent.PROVIDER_STALE, message=problem)

    def emit(self, event: ProviderEvent, details: ProviderEventDetails) -> None:
        """Send *event* if a registry is attached."""
        # Read once: the registry may detach between a check and a second read.
        on_emit = getattr(self, "_on_emit", None)
        if on_emit is not None:
            on_emit(self, event, details)

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Answer for a flag declared ``boolean``."""
        return self._answers.resolve_boolean_details(
            flag_key, default_value, evaluation_context
        )

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Answer for a flag declared ``string``."""
        return self._answers.resolve_string_details(
            flag_key, default_value, evaluation_context
        )

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Answer for a flag declared ``number`` whose value is integral."""
        return self._answers.resolve_integer_details(
            flag_key, default_value, evaluation_context
        )

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Answer for a flag declared ``number``; integers are widened."""
        return self._answers.resolve_float_details(
            flag_key, default_value, evaluation_context
        )

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Answer for a flag declared ``json``: a dict or list of the caller's own."""
        return self._answers.resolve_object_details(
            flag_key, default_value, evaluation_context
        )

    def _recover(self) -> None:
        if self._problem is not None:
            self._problem = None
            self._announce(ProviderEvent.PROVIDER_READY, message="flag data is current")

    def _announce(
        self,
        event: ProviderEvent,
        *,
        message: str | None = None,
        changed: tuple[str, ...] | None = None,
    ) -> None:
        held = self._freshness
        details = ProviderEventDetails(
            flags_changed=None if changed is None else list(changed),
            message=message,
            metadata={
                "generation": held.generation,
                "revision": held.revision,
                "source": held.source,
            },
        )
        self.emit(event, details)

    def _follow_forks(self) -> None:
        if not self._survives_fork:
            self._survives_fork = True
            os.register_at_fork(after_in_child=_restarting(weakref.ref(self)))

    def _restart_in_child(self) -> None:
        # Another thread of the parent may have held the lock when it forked.
        self._lock = threading.RLock()
        if self._feed is not None:
            self._feed.restart_in_child()


def _restarting(reference: weakref.ref[FeatBitProvider]) -> Callable[[], None]:
    def restart() -> None:
        provider = reference()
        if provider is not None:
            provider._restart_in_child()  # noqa: SLF001 - of this file

    return restart


def _now(verified_ns: int | None) -> int:
    return time.monotonic_ns() if verified_ns is None else verified_ns

"""The OpenFeature provider: typed answers from one swapped snapshot."""

import os
import secrets
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import (
    ErrorCode,
    FlagNotFoundError,
    ProviderNotReadyError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType
from openfeature.hook import Hook
from openfeature.provider import AbstractProvider, Metadata

from openfeature.contrib.provider.featbit.answers import Answers
from openfeature.contrib.provider.featbit.feeds import Feed
from openfeature.contrib.provider.featbit.file_feed import FileFeed
from openfeature.contrib.provider.featbit.freshness import NEVER, Freshness
from openfeature.contrib.provider.featbit.sleeps import sleeps
from openfeature.contrib.provider.featbit.snapshot import (
    Snapshot,
    changed_keys,
    read_snapshot,
)

if TYPE_CHECKING:
    from openfeature.contrib.provider.featbit.live import Timing

METADATA = Metadata(name="featbit-snapshot")
STATIC = "static"
LONGEST_MEMORY = 1024
"""Freshness tokens that are remembered; the oldest are forgotten first."""


class FeatBitProvider(AbstractProvider):
    """Evaluate FeatBit flags in process; one instance an application.

    Build it with `from_file`, `from_json` or `live`. Evaluations take no lock and read
    one snapshot, which is replaced whole. Every error is returned as error details
    with the caller's default, never raised.

    A provider compares by identity: the registry of OpenFeature keys on it.
    """

    def __init__(
        self, feed: Feed | None = None, *, hooks: list[Hook] | None = None
    ) -> None:
        super().__init__()
        self._feed = feed
        self._hooks: list[Hook] = [] if hooks is None else hooks
        self._caught_up: dict[str, None] = {}
        self._answers = Answers(None, 0)
        self._problem: str | None = None
        self._lock = threading.RLock()
        source = STATIC if feed is None else feed.source
        self._freshness = Freshness(0, NEVER, source, "", _epoch())

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

    @classmethod
    def live(
        cls,
        *,
        streaming_url: str,
        event_url: str,
        secret: str,
        start_wait_s: float = 5.0,
        last_good: str | Path | None = None,
        bootstrap: str | Path | None = None,
        insights: Literal["off", "keys"] = "off",
        ca_file: str | Path | None = None,
        timing: "Timing | None" = None,
    ) -> Self:
        """Serve the flags of a live environment: a stream, checked by full pulls.

        *secret* is the environment's server secret. `initialize` waits *start_wait_s*
        for data. *last_good* is a file of this provider's own in which the last data is
        kept; without a server it is served STALE with its true age, and without it
        *bootstrap*, a flag file, whose age is unknown and counts as the oldest.
        *insights* ``keys`` reports flag keys and variants to FeatBit, and no user.
        *ca_file* holds the certificates to trust instead of the system's.

        Raises:
            ValueError: a URL, the secret, *start_wait_s* or *insights* is unusable.

        """
        from openfeature.contrib.provider.featbit.live import build  # noqa: PLC0415 - FeatBit's SDK is loaded only for live use

        feed, hooks = build.live(
            streaming_url=streaming_url,
            event_url=event_url,
            secret=secret,
            start_wait_s=start_wait_s,
            last_good=last_good,
            bootstrap=bootstrap,
            insights=insights,
            ca_file=ca_file,
            timing=timing,
        )
        return cls(feed, hooks=hooks)

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - the name is part of OpenFeature's contract
        """Load the flags and follow their source.

        On a live environment this waits for data: under asyncio call it in a thread.

        Raises:
            FeatBitDataError: there is no usable flag data (status ERROR).
            ProviderNotReadyError: a live server did not answer in time and nothing
                was kept; READY follows when it does.
            ProviderFatalError: a live server refused the secret.

        """
        if self._feed is None:
            return
        with self._lock:
            self._problem = None
            self._caught_up = {}
            self._freshness = self._freshness._replace(epoch=_epoch())
        _initialized.add(self)
        try:
            self._feed.start(self)
        except ProviderNotReadyError as error:
            with self._lock:
                self._problem = str(error)
            raise

    def shutdown(self) -> None:
        """Stop following the source; what is held stays readable and ages."""
        if self._feed is not None:
            self._feed.stop()

    def get_metadata(self) -> Metadata:
        """Name the provider; a constant."""
        return METADATA

    def get_provider_hooks(self) -> list[Hook]:
        """Return the hook that reports insights, if any; the same list each time."""
        return self._hooks

    @property
    def generation(self) -> int:
        """How many snapshots this provider has held so far."""
        return self._freshness.generation

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot held now; None before the first."""
        return self._answers.snapshot

    @property
    def latched(self) -> tuple[str, ...]:
        """The flags held off because nothing newer than their kill was seen since."""
        held = self._answers.snapshot
        return () if held is None else tuple(sorted(held.latched))

    def pinned(self) -> Answers:
        """Return the answers of one snapshot, for several flags of one decision."""
        return self._answers

    def freshness(self) -> Freshness:
        """Return what is held and when it was last known to be current."""
        held = self._freshness
        if held.source == STATIC and held.generation:
            return held._replace(verified_ns=time.monotonic_ns())
        verified_ns = sleeps.backdated(held.verified_ns)
        if verified_ns == held.verified_ns:
            return held
        return held._replace(verified_ns=verified_ns)

    def reload(self) -> tuple[str, ...]:
        """Look at the source now; return the keys of the flags that changed.

        Raises:
            FeatBitDataError: the source is not usable; the held snapshot stays and
                the status is STALE.

        """
        return () if self._feed is None else self._feed.check()

    def token(self, flag_key: str) -> str:
        """Return what `catch_up` takes for the held version of a flag.

        Raises:
            FlagNotFoundError: the flag is unknown, or archived in a file.

        """
        version = self._version(flag_key)
        if version is None:
            raise FlagNotFoundError(f"flag {flag_key!r} is unknown or archived")
        return f"{flag_key}@{version}"

    def catch_up(self, token: str, timeout_s: float) -> bool:
        """Tell whether the held data is at least as new as *token*; wait if it is not.

        *token* is ``<flag key>@<updatedAt in ms>`` of a change. Versions of two servers
        do not compare, so a version above the token's counts only if it was read after
        this call began. Waits *timeout_s* seconds at most, for files one read: under
        asyncio call it in a thread.

        Raises:
            ValueError: *token* is none.

        """
        flag_key, wanted = _token(token)

        def reached() -> bool:
            version = self._version(flag_key)
            return version is not None and version >= wanted

        if self._version(flag_key) == wanted:
            return True
        if token in self._caught_up and reached():
            return True
        if self._feed is None:
            return reached()
        if not self._feed.catch_up(reached, timeout_s):
            return False
        with self._lock:
            self._caught_up[token] = None
            if len(self._caught_up) > LONGEST_MEMORY:
                del self._caught_up[next(iter(self._caught_up))]
        return True

    def replace(
        self,
        snapshot: Snapshot,
        *,
        verified_ns: int | None = None,
        source: str | None = None,
        problem: str | None = None,
    ) -> tuple[str, ...]:
        """Serve *snapshot* from now on; return the keys of the flags that changed.

        *verified_ns* is when it was read (`time.monotonic_ns`), now by default;
        *source* where, by default as before; *problem* what is wrong there. Emits
        STALE or READY as *problem* comes or goes, and CONFIGURATION_CHANGED if
        anything changed.
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
                source=source or self._freshness.source,
            )
            self._settle(problem)
            if old is None:
                return ()
            changed = changed_keys(old.flag_set, snapshot.flag_set)
            touched = {*changed, *(old.latched ^ snapshot.latched)}
            if touched:
                self._announce(
                    ProviderEvent.PROVIDER_CONFIGURATION_CHANGED,
                    message=_latched(snapshot),
                    changed=tuple(sorted(touched)),
                )
            return changed

    def confirm(
        self,
        *,
        verified_ns: int | None = None,
        source: str | None = None,
        problem: str | None = None,
    ) -> None:
        """Note that the held snapshot equals its source; arguments as in `replace`."""
        with self._lock:
            self._freshness = self._freshness._replace(
                verified_ns=_now(verified_ns), source=source or self._freshness.source
            )
            self._settle(problem)

    def degrade(self, problem: str) -> None:
        """Keep what is held, and emit STALE once for each distinct *problem*."""
        with self._lock:
            if problem != self._problem:
                self._problem = problem
                self._announce(ProviderEvent.PROVIDER_STALE, message=problem)

    def fail(self, problem: str) -> None:
        """Keep what is held, and emit a fatal ERROR: nothing newer will come."""
        with self._lock:
            self._problem = problem
            self._announce(
                ProviderEvent.PROVIDER_ERROR,
                message=problem,
                error_code=ErrorCode.PROVIDER_FATAL,
            )

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

    def _version(self, flag_key: str) -> int | None:
        held = self._answers.snapshot
        return None if held is None else held.version(flag_key)

    def _settle(self, problem: str | None) -> None:
        if problem is not None:
            self.degrade(problem)
        elif self._problem is not None:
            self._problem = None
            self._announce(ProviderEvent.PROVIDER_READY, message="flag data is current")

    def _announce(
        self,
        event: ProviderEvent,
        *,
        message: str | None = None,
        changed: tuple[str, ...] | None = None,
        error_code: ErrorCode | None = None,
    ) -> None:
        held = self._freshness
        details = ProviderEventDetails(
            flags_changed=None if changed is None else list(changed),
            message=message,
            error_code=error_code,
            metadata={
                "generation": held.generation,
                "revision": held.revision,
                "source": held.source,
                "epoch": held.epoch,
                "latched": ",".join(self.latched),
            },
        )
        self.emit(event, details)

    def _restart_in_child(self) -> None:
        # Another thread of the parent may have held the lock when it forked.
        self._lock = threading.RLock()
        self._freshness = self._freshness._replace(epoch=_epoch())
        if self._feed is not None:
            self._feed.restart_in_child()


_initialized: weakref.WeakSet[FeatBitProvider] = weakref.WeakSet()


def _restart_all() -> None:
    for provider in tuple(_initialized):
        provider._restart_in_child()  # noqa: SLF001 - of this file


os.register_at_fork(after_in_child=_restart_all)


def _now(verified_ns: int | None) -> int:
    return time.monotonic_ns() if verified_ns is None else verified_ns


def _epoch() -> str:
    return secrets.token_hex(8)


def _token(token: str) -> tuple[str, int]:
    flag_key, at, version = token.rpartition("@")
    if not (flag_key and at and version.isascii() and version.isdigit()):
        raise ValueError(f"{token!r} is no <flag key>@<milliseconds>")
    return flag_key, int(version)


def _latched(snapshot: Snapshot) -> str | None:
    if not snapshot.latched:
        return None
    keys = ", ".join(sorted(snapshot.latched))
    return f"held off until something newer than their kill is seen: {keys}"

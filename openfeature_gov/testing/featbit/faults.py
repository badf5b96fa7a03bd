"""What can go wrong on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Faults:
    """The switches of one simulated server; each may be set at any time.

    Evaluation server: *frozen* accepts and reads, and answers and pushes nothing,
    on the stream and over HTTP; *frozen_stream* does so on the stream alone.
    *half_open* accepts connections and never answers the upgrade. *refuse_code*
    closes each stream right after accepting it (4003, 1011). *slow_sync_s* delays
    each full or patch answer. *http_down* answers 503 on every HTTP route.
    *always_full* answers every sync with ``full``. *stale_snapshot* keeps serving,
    in answers, the flags that were stored when it was set: a lagging node.
    *evaluation_clock_skew_ms* moves the clock that checks the age of tokens.

    Pushes: *drop_pushes* stores changes and never pushes them. *duplicate_items* puts
    another flag that the client already holds first into each push. *out_of_order*
    holds each push back until the next one has gone. *malformed_frame_once* cuts the
    next push off in the middle, and resets itself.

    Management API: *clock_skew_ms* moves the clock that stamps changes (fractions
    are microseconds). *save_then_500* lets a write change the store, then answers 500
    and loses its push, audit entry and webhook.
    """

    def __init__(self, capture: Callable[[], Any]) -> None:
        self._capture = capture
        self._stale: Any = None
        self.frozen = False
        self.frozen_stream = False
        self.half_open = False
        self.refuse_code: int | None = None
        self.slow_sync_s = 0.0
        self.http_down = False
        self.always_full = False
        self.evaluation_clock_skew_ms = 0.0
        self.drop_pushes = False
        self.duplicate_items = False
        self.out_of_order = False
        self.malformed_frame_once = False
        self.clock_skew_ms = 0.0
        self.save_then_500 = False

    @property
    def stale_snapshot(self) -> bool:
        """Whether answers come from the copy that was taken when this was set."""
        return self._stale is not None

    @stale_snapshot.setter
    def stale_snapshot(self, on: bool) -> None:
        self._stale = self._capture() if on else None

    @property
    def stale_copy(self) -> Any:
        """The copy, or None."""
        return self._stale

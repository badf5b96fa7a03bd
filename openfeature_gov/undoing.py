"""Run the undos that are due, and let the clock go round while a Governor lives.

An undo is an action: its record is durable before it runs, under a step that one
process alone can take, and its outcome is recorded after. What breaks off in between is
unknown and handed over to a person; it is never tried again.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import orjson

from openfeature_gov.errors import LostRaceError, RecordStoreError
from openfeature_gov.evidence.records import outcome_record
from openfeature_gov.flags.reader import FlagReader
from openfeature_gov.judging import Judge
from openfeature_gov.locks import Bell
from openfeature_gov.reviews import ending, steps
from openfeature_gov.reviews.ending import Ended
from openfeature_gov.reviews.queue import Kept, ReviewQueue
from openfeature_gov.reviews.review import Review
from openfeature_gov.reviews.states import DUE, State
from openfeature_gov.reviews.undos import acted, stopped, undo_record
from openfeature_gov.running import finished_work
from openfeature_gov.stores import RecordStore
from openfeature_gov.tools import Tool, Undo, Undoing

EVERY_S = 1.0
"""How often a Governor with reviewed tools looks what is due."""
CLOSE_S = 30.0
"""How long who closes waits for a round that is under way."""
logger = logging.getLogger(__name__)
_every: weakref.WeakSet[Rounds] = weakref.WeakSet()


class Undoer:
    """Move the reviews in *queue* on, and run the undos of *tools*. Safe to share.

    *clock* counts monotonic nanoseconds.
    """

    def __init__(
        self,
        judge: Judge,
        reader: FlagReader,
        queue: ReviewQueue,
        records: RecordStore,
        tools: Mapping[str, Tool],
        clock: Callable[[], int],
    ) -> None:
        self._judge, self._reader, self._queue = judge, reader, queue
        self._records, self._tools, self._clock = records, tools, clock

    def settle(self) -> Iterator[Review]:
        """Do what the clock asks for and run what is due here; yield what changed.

        Raises:
            RecordStoreError: when nothing could be recorded; the rest stays due.

        """
        yield from self._queue.tick()
        for kept in self._queue.shelf.reviews(states=DUE):
            tool = self._tools.get(kept.review.tool)
            if tool is not None and tool.undo is not None:
                after = self._undone(kept, tool, tool.undo)
                if after is not None:
                    yield after

    def _undone(self, kept: Kept, tool: Tool, undo: Undo) -> Review | None:
        """Return the review after its undo, None where another process was faster."""
        review, stamp = kept.review, self._judge.stamp()
        try:
            contract, rules = acted(review), self._judge.rules(tool)
        except ValueError:
            return self._handed_over(review, "review_damaged")
        flags = self._reader.read(contract, rules)
        stop = stopped(contract, rules, flags)
        if review.state is State.EXPIRED and stop is not None:
            return self._handed_over(review, stop.reason)
        begun = steps.undo(review, stamp.id)
        if not isinstance(begun, Review):
            return None
        record = undo_record(stamp, review, begun, kept.version, flags)
        under_way = Kept(begun, kept.version + 1)
        try:
            self._records.commit(record)
        except LostRaceError:
            return None
        except RecordStoreError:
            # The record may still be written: then so is that nothing ran.
            return self._ended(under_way, "not_run")
        return self._run(under_way, undo)

    def _run(self, under_way: Kept, undo: Undo) -> Review | None:
        review, started = under_way.review, self._clock()
        try:
            given = orjson.loads(review.reference or b"{}").get("reference")
            finished_work(
                undo(
                    Undoing(
                        arguments=orjson.loads(review.arguments),
                        reference=given,
                        action=review.record_id,
                        record=review.undo_id,
                    )
                )
            )
        except Exception as error:  # noqa: BLE001 - it is recorded and handed over
            return self._ended(under_way, "failed", type(error).__name__, started)
        except BaseException as error:
            self._ended(under_way, "cancelled", type(error).__name__, started)
            raise
        return self._ended(under_way, "executed", "", started)

    def _ended(
        self, kept: Kept, status: str, error: str = "", started: int | None = None
    ) -> Review | None:
        """Record how an undo ended; what cannot be is reconciled to unknown."""
        step = steps.undone(kept.review, status)
        if not isinstance(step, Review):
            return None
        ended = Ended(step, kept.version)
        record = outcome_record(
            self._judge.stamp(),
            kept.review.undo_id,
            status=status,
            ran="" if started is None else "undo",
            error=error,
            latency_us=None if started is None else (self._clock() - started) // 1000,
            **ending.told(ended),
        )
        with suppress(RecordStoreError):
            self._records.commit(record._replace(change=ending.change_of(ended)))
        return step

    def _handed_over(self, review: Review, why: str) -> Review | None:
        step = self._queue.hand_over(review.id, why)
        return step if isinstance(step, Review) else None


class Rounds:
    """Go round every *every_s* seconds in a thread, from `begin` until `end`."""

    def __init__(self, go: Callable[[], object], every_s: float = EVERY_S) -> None:
        self._go, self._every_s = go, every_s
        self._over, self._bell = False, Bell()
        self._threads: dict[int, threading.Thread] = {}
        _every.add(self)

    def begin(self) -> None:
        """Start unless it runs; a fork has no thread, and gets one of its own."""
        if (me := os.getpid()) in self._threads or self._over:
            return
        thread = threading.Thread(target=self._run, name="gov-reviews", daemon=True)
        if self._threads.setdefault(me, thread) is thread:
            thread.start()

    def end(self) -> None:
        """Start no other round; wait a while for one that is under way; idempotent."""
        self._over = True
        self._bell.ring()
        thread = self._threads.get(os.getpid())
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_S)

    def restart(self) -> None:
        """Go on in a forked child, if the parent did."""
        if self._threads and not self._over:
            self.begin()

    def _run(self) -> None:
        while not (self._bell.heard(self._every_s) or self._over):
            try:
                self._go()
            except RecordStoreError as error:
                logger.warning("reviews wait: %s", error)
            except Exception:  # the next round may do better
                logger.exception("reviews wait: a round failed")


def _restart_all() -> None:
    for one in tuple(_every):
        one.restart()


os.register_at_fork(after_in_child=_restart_all)

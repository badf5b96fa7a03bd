"""`Sealer`: signed checkpoints over the record log, made beside it, never in its way.

A leaf of the tree is the stored body of one record, byte for byte, and the leaves stand
in the order of the log: whatever evidence a record holds is inside its leaf. Which
tree goes on, and when another begins, is for its `Chain`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from openfeature_gov.evidence.chain import Books, Chain
from openfeature_gov.evidence.keys import rotation
from openfeature_gov.evidence.notes import Signer, link
from openfeature_gov.evidence.posting import Post
from openfeature_gov.evidence.published import Published
from openfeature_gov.evidence.publishers import Publisher
from openfeature_gov.evidence.records import note_record
from openfeature_gov.evidence.sealed import Log
from openfeature_gov.locks import Bell

EVERY, SECONDS = 1_000, 10.0
PAUSE_S = 0.04
PUBLISH_S = 10.0
"""How long a checkpoint waits for its publishers; who takes longer is behind."""
STALL_NS = 2_000_000_000
"""How long a checkpoint may take before the log counts as behind."""
CLOSE_S = 30.0
ROTATED = "key_rotation"
"""The kind of the records of a new key."""
SEEN = "lastCheckpoint"
"""The key under which records tell of the checkpoint that was the last one then."""
logger = logging.getLogger(__name__)


class Sealing(NamedTuple):
    """Say when a log is sealed, with which key, and where its checkpoints go.

    A checkpoint is due after *every* records or, with any new one, *seconds*. *key* is
    the file of the signing key, made on first use, or returns a signer of your own, a
    KMS for example; *checkpoints* is the file that they are published to. Where they
    are None both files stand beside the log. Each of *publish* gets every new one.
    """

    every: int = EVERY
    seconds: float = SECONDS
    key: Path | Callable[[], Signer] | None = None
    checkpoints: Path | None = None
    publish: tuple[Publisher, ...] = ()


def seen(number: int, note: str) -> dict[str, Any]:
    """Return how a record tells of the checkpoint *number*, *note*, the last one yet.

    Who takes every checkpoint away still leaves what records tell of them.
    """
    return {"number": number, "digest": link(note)}


def last_seen(bodies: Iterable[bytes]) -> int:
    """Return the highest number of what *bodies* tell of, 0 for nothing."""
    found = 0
    for body in bodies:
        with suppress(ValueError, LookupError, TypeError):  # that may be anything
            found = max(found, int(orjson.loads(body)[SEEN]["number"]))
    return found


class Sealer:
    """Seal one log from a thread of its own. Lives as long as the store it belongs to.

    *signer* returns the key as it is now, so that a rotation reaches every process.
    *broken* says of an error that the log itself cannot be read any more;
    `broken_since` is since when that is so, None while it can be.

    Raises:
        RecordStoreError: when the key file cannot be used.
        OSError: when it can be neither read nor made.

    """

    def __init__(
        self,
        log: Log,
        books: Books,
        signer: Callable[[], Signer],
        published: Published,
        sealing: Sealing,
        *,
        now: Callable[[], int] = time.time_ns,
        clock: Callable[[], int] = time.monotonic_ns,
        broken: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        self._log, self._books, self.signer = log, books, signer
        self._broken = broken
        self.broken_since: int | None = None
        self._published, self._sealing = published, sealing
        self._now, self._clock = now, clock
        self._lock, self._handing = threading.Lock(), threading.Lock()
        self._due = Bell()
        self._closing = self._resting = False
        self._unsealed = 0
        self._behind_since: int | None = None
        self._busy_since: int | None = None
        self._chain = Chain(log, books, signer, published, now)
        self._posts = [Post(publish) for publish in sealing.publish]
        self._thread = threading.Thread(
            target=self._run, name="gov-sealing", daemon=True
        )

    def start(self) -> None:
        """Compare the log with its last checkpoint, and seal from now on.

        A finding is on record before this returns, or is tried again.
        """
        self._attempt(self._open)
        self._thread.start()

    def wrote(self, rows: int) -> None:
        """Take note that *rows* more records are durable."""
        self._unsealed += rows
        if self._unsealed >= self._sealing.every:
            self._due.ring()

    def behind_ns(self) -> int:
        """Return since when a checkpoint that was due was not made or not published.

        One that takes long, or hangs, counts from when it was due. 0 says that all
        went well at the last time.
        """
        since, busy, now = self._behind_since, self._busy_since, self._clock()
        if since is None and busy is not None and now - busy >= STALL_NS:
            since = busy
        return 0 if since is None else max(1, now - since)

    def seal(self) -> None:
        """Sign and publish a checkpoint over all durable records, if any are new.

        Raises:
            sqlite3.Error: when the store cannot be read or written.
            OSError: when the checkpoint could not be published; it will be.
            RecordStoreError: when the key file cannot be used, or a finding could not
                be recorded.

        """
        with self._lock:
            self._chain.seal()
        self._hand_out()

    def rotate(self, new: Signer, install: Callable[[], None]) -> None:
        """Let *new* sign from now on; *install* makes it what every process reads.

        Raises:
            NoteError: when *new* does not have the name of the old key.
            RecordStoreError: when the rotation could not be recorded; nothing changed.
            OSError: as *install* and `seal` do.

        """
        self.seal()
        old = self.signer()
        note = rotation(old, new)
        facts = {"note": note, "old": old.vkey, "new": new.vkey}
        self._books.commit(note_record(self._books.stamp(), ROTATED, **facts))
        install()
        self.seal()

    def stop(self) -> None:
        """End the thread, while what it finds can still be recorded; idempotent."""
        self._closing = True
        self._due.ring()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            logger.error("the sealing of the record log hangs, and is left behind")
            return
        self._attempt(self._check_first)

    def close(self) -> None:
        """Seal what is left and let go; what cannot be sealed now is at next start.

        Never raises: the records themselves are safe already.
        """
        self.stop()
        if self._thread.is_alive():
            return
        self._tick()
        self._log.close()

    def rest(self, wait_s: float) -> bool:
        """Do nothing until `go_on`, if what is under way ends within *wait_s*."""
        self._resting = self._lock.acquire(timeout=wait_s)
        if self._resting:
            self._log.rest()
        return self._resting

    def go_on(self) -> None:
        """Go on after `rest`."""
        if self._resting:
            self._resting = False
            self._lock.release()

    def abandon(self) -> None:
        """Leave everything to the parent, in a forked child."""
        self._published.abandon()
        self._log.abandon()

    def _run(self) -> None:
        self._attempt(self._check_first)
        deadline = time.monotonic() + self._sealing.seconds
        while not self._closing:
            left = max(0.0, deadline - time.monotonic())
            goes_on = self._chain.checking()
            urgent = self._due.heard(min(left, PAUSE_S) if goes_on else left)
            if self._closing:
                return
            if urgent or time.monotonic() >= deadline:
                self._unsealed = 0
                self._tick()
                deadline = time.monotonic() + self._sealing.seconds
            elif goes_on:
                self._attempt(self._check_a_little)

    def _tick(self) -> None:
        due = self._busy_since = self._clock()
        if self._attempt(self.seal):
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = due
        self._busy_since = None

    def _attempt(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except Exception as error:  # records go on; the unsealed window grows
            if self._broken(error) and self.broken_since is None:
                self.broken_since = self._clock()
            what = f"{type(error).__name__}: {error}"
            logger.error(  # noqa: TRY400 - a trace tells who reads it at night nothing
                "the record log could not be sealed, which is tried again: %s", what
            )
            logger.debug("how it came to that", exc_info=True)
            return False
        self.broken_since = None
        return True

    def _open(self) -> None:
        with self._lock:
            self._chain.opened()

    def _check_first(self) -> None:
        while self._chain.eager():
            self._check_a_little()

    def _check_a_little(self) -> None:
        with self._lock:
            self._chain.check_a_little()

    def _hand_out(self) -> None:
        """Give each publisher the newest note; it covers those that one missed."""
        with self._handing:
            note = self._chain.made
            if note is None:
                return
            ready = [post.hand(note) for post in self._posts]
        deadline = time.monotonic() + PUBLISH_S
        # Who hangs with an older one was waited for then.
        problems = [
            post.problem(deadline - time.monotonic() if waits else 0.0)
            for post, waits in zip(self._posts, ready, strict=True)
        ]
        if any(problems):
            raise OSError(f"a publisher failed: {'; '.join(filter(None, problems))}")

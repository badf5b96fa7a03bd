"""Follow one JSON file: the feed that needs no server."""

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.feeds import Sink
from openfeature.contrib.provider.featbit.live.mirror import FLAG, Mirror, not_older
from openfeature.contrib.provider.featbit.reading import read_regular
from openfeature.contrib.provider.featbit.sleeps import sleeps
from openfeature.contrib.provider.featbit.snapshot import Snapshot, read_snapshot

logger = logging.getLogger(__name__)

LONGEST_STOP = 5.0
"""Seconds that `FileFeed.stop` waits for a read in progress."""


class FileFeed:
    """Read a file every *poll_seconds* and compare its content, never its mtime.

    Content is what counts because a file can be replaced by an older one, and twice
    within the resolution of a time stamp. One daemon thread, from `start` to `stop`.

    A flag or segment whose ``updatedAt`` is older than what was served before, or a
    killed flag that is on again without a newer one, is held off: the newer one goes
    on being served. An older kill counts.
    """

    source = "file"

    def __init__(self, path: str | Path, *, poll_seconds: float) -> None:
        if not (math.isfinite(poll_seconds) and poll_seconds > 0):
            raise ValueError(f"poll_seconds must be above 0, not {poll_seconds}")
        self._path = Path(path)
        self._poll_seconds = poll_seconds
        self._sink: Sink | None = None
        self._refused: tuple[str, str] | None = None
        self._warned: str | None = None
        self._mirror = Mirror()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def start(self, sink: Sink) -> None:
        """Load the file into *sink* and start to watch it.

        Raises:
            FeatBitDataError: the file cannot be read or was refused.

        """
        self.stop()
        with self._lock:
            self._sink = sink
            self._update(sink)
        self._watch()

    def check(self) -> tuple[str, ...]:
        """Compare the file with what the sink holds and bring it up to date.

        Raises:
            FeatBitDataError: the file cannot be read or was refused; the sink was
                told and keeps what it holds.

        """
        with self._lock:
            return self._checked()

    def catch_up(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        """Look at the file once, and tell whether that was enough.

        Waits *timeout_s* seconds at most for a look that another thread has begun: a
        file system that is away may never let it end.
        """
        if not self._lock.acquire(timeout=timeout_s):
            return False
        try:
            with suppress(FeatBitDataError):
                self._checked()
                return reached()
            return False
        finally:
            self._lock.release()

    def stop(self) -> None:
        """End the watch; returns within `LONGEST_STOP` seconds."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(LONGEST_STOP)

    def restart_in_child(self) -> None:
        """Watch again if the parent did; the first look comes after one interval."""
        # Another thread of the parent may have held the lock when it forked.
        self._lock = threading.Lock()
        if self._thread is not None:
            self._watch()

    def _watch(self) -> None:
        self._stopping = threading.Event()
        thread = threading.Thread(
            target=self._follow,
            args=(self._stopping,),
            name="featbit-file",
            daemon=True,
        )
        thread.start()
        self._thread = thread

    def _follow(self, stopping: threading.Event) -> None:
        while not stopping.wait(self._poll_seconds):
            self._look()

    def _look(self) -> None:
        # The watch must outlive anything that one look runs into; if it cannot
        # look, the age of the data tells.
        try:
            self.check()
        except FeatBitDataError as error:
            logger.debug("flag file not usable: %s", error)
        except Exception:
            logger.exception("looking at the flag file failed")

    def _checked(self) -> tuple[str, ...]:
        sink = self._sink
        if sink is None:
            raise FeatBitDataError(f"{self._path}: not started")
        try:
            changed = self._update(sink)
        except FeatBitDataError as error:
            self._warn(str(error))
            sink.degrade(str(error))
            raise
        self._warn(None)
        return changed

    def _update(self, sink: Sink) -> tuple[str, ...]:
        sleeps.look()  # before it: what is read from now on was not slept over
        verified_ns = time.monotonic_ns()
        data = self._read()
        revision = hashlib.sha256(data).hexdigest()
        if revision == sink.freshness().revision:
            sink.confirm(verified_ns=verified_ns)
            return ()
        if self._refused is not None and self._refused[0] == revision:
            raise FeatBitDataError(self._refused[1])
        try:
            snapshot = read_snapshot(data)
        except FeatBitDataError as error:
            problem = f"{self._path}: {error}"
            self._refused = (revision, problem)
            raise FeatBitDataError(problem) from None
        return sink.replace(self._settled(snapshot, data), verified_ns=verified_ns)

    def _settled(self, snapshot: Snapshot, data: bytes) -> Snapshot:
        """Return *snapshot*, of *data*, with what is newer in the place of older."""
        self._mirror, held = not_older(self._mirror, data)
        if not held:
            return snapshot
        logger.warning(
            "%s: held off, because this process served newer data before: %s; to let "
            "it count change it anew (gov flags) or set a newer updatedAt",
            self._path,
            ", ".join(f'{kind} "{name}"' for kind, name in sorted(held)),
        )
        return replace(
            self._mirror.snapshot,
            revision=snapshot.revision,
            latched=frozenset(name for kind, name in held if kind == FLAG),
        )

    def _warn(self, problem: str | None) -> None:
        """Log each distinct *problem* of the file once, and once that it is over."""
        if problem == self._warned:
            return
        self._warned = problem
        if problem is None:
            logger.warning("%s: the flag file can be read again", self._path)
        else:
            logger.warning(
                "flag file not usable, so authority falls with the age of what was "
                "read last: %s",
                problem,
            )

    def _read(self) -> bytes:
        try:
            return read_regular(self._path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise FeatBitDataError(f"{self._path}: cannot be read: {reason}") from None

"""Whether the held data is the current data: the rules of a live connection.

Data is *verified* at the time of each frame while the stream is in sync: the full
sync of this connection has come, and nothing since was lost or left doubt. A pull
verifies at the time at which it began. What nothing verified for a while is stale.
"""

import math
import threading
from collections.abc import Callable

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.feeds import Sink
from openfeature.contrib.provider.featbit.freshness import NEVER
from openfeature.contrib.provider.featbit.live.frames import DataSync, read_frame
from openfeature.contrib.provider.featbit.live.mirror import (
    FLAG,
    SEGMENT,
    Mirror,
    Name,
)
from openfeature.contrib.provider.featbit.live.timing import SECOND, Timing
from openfeature.contrib.provider.featbit.sleeps import sleeps

REFUSED = (
    "the evaluation server refused the connection (close code 4003): the secret is "
    "wrong or not of type server, or this clock is more than 30 s off"
)
LOST = "there is no connection to the evaluation server"
SILENT = "the evaluation server is silent"
STREAM, PULL = "stream", "pull"
SETTLE_NS = SECOND // 10
"""After `Sync.speak`: OpenFeature says READY when initialize has returned."""


class Sync:
    """Keep one mirror and tell the sink about it; lives from a start to a stop.

    Every time is `time.monotonic_ns`, given by the caller; every method may be called
    from any thread. *pull* asks for a pull and returns at once, *ask* asks the server
    for everything over the stream.
    """

    def __init__(
        self,
        sink: Sink,
        mirror: Mirror,
        timing: Timing,
        *,
        pull: Callable[[], None],
        ask: Callable[[], None],
        verified_ns: int,
    ) -> None:
        self._sink, self._timing, self._pull, self._ask = sink, timing, pull, ask
        self._lock = threading.Lock()
        self.mirror = mirror
        self.verified_ns = verified_ns
        self.in_sync = threading.Event()
        self.answered = threading.Event()
        self.is_refused = False
        self.has_data = False
        self._serving = False
        self._opened_ns: int | None = None
        self._asked_ns = self._whole_ns = NEVER
        self._behind_ns: int | None = None
        self._awaiting = False
        self._last_frame_ns = NEVER
        self._doubts: tuple[int, int] | None = None
        self._pulled_ns = NEVER
        self._pushes: dict[Name, int] = {}
        self._trouble: str | None = LOST
        self._aloud_ns: float = math.inf
        self._over = False

    def serve(self, kept: Callable[[], bool]) -> bool:
        """Let *kept* put something into the sink unless there is data already."""
        with self._lock:
            return self.has_data or kept()

    @property
    def settled(self) -> bool:
        """Whether the stream is in sync and nothing is in doubt."""
        return self.in_sync.is_set() and self._doubts is None

    def speak(self, now: int, *, serving: bool) -> None:
        """Let the sink hear of trouble from now on, once it is *serving* something."""
        with self._lock:
            self._aloud_ns, self._serving = now + SETTLE_NS, self._serving or serving

    def end(self) -> None:
        """Change nothing any more."""
        with self._lock:
            self._over = True

    def refused(self) -> None:
        """Note that the server will never accept this connection."""
        with self._lock:
            if not self._over:
                self._over = self.is_refused = True
                self.answered.set()
                if self._aloud_ns < math.inf:
                    self._sink.fail(REFUSED)

    def opened(self, now: int) -> None:
        """Note that a connection is open and was asked for a full sync."""
        with self._lock:
            self._opened_ns = self._asked_ns = self._last_frame_ns = now
            self._awaiting = True
            self.in_sync.clear()

    def dropped(self, now: int) -> None:
        """Note that there is no connection any more."""
        with self._lock:
            self._lose(LOST, now)

    def frame(self, text: bytes | str, now: int) -> None:
        """Take in one message of the stream."""
        with self._lock:
            if self._over:
                return
            # What was on its way when the machine fell asleep says nothing of now.
            last_ns = sleeps.backdated(self._last_frame_ns)
            silent = now - last_ns > self._timing.stale_s * SECOND
            self._last_frame_ns = now
            if silent:
                self._doubt(now)
            try:
                message = read_frame(text)
            except FeatBitDataError:
                self._doubt(now)
                return
            if message is None:
                self._publish(self.mirror, now, now)
            elif message.full:
                self._full(message, now)
            else:
                self._patch(message, now, fresh=not silent)

    def pulled(self, message: DataSync, begun: int, now: int) -> bool:
        """Take in a full pull; tell whether a push came during it: pull again."""
        with self._lock:
            if self._over:
                return False
            keep = frozenset(n for n, at in self._pushes.items() if at >= begun)
            mirror, _ = self._replaced(message, keep, begun)
            self._pushes = {name: self._pushes[name] for name in keep}
            self._pulled_ns = begun
            self._whole_ns = max(self._whole_ns, begun)
            self._settle(begun)
            self._publish(mirror, begun, now)
            return bool(keep)

    def _replaced(
        self, message: DataSync, keep: frozenset[Name], since: int
    ) -> tuple[Mirror, bool]:
        """Take in a full sync that was asked for at *since*."""
        long_ago = since - self._timing.poll_s * SECOND
        confirming = self._behind_ns is not None and self._behind_ns <= long_ago
        mirror, certain = self.mirror.replaced(
            message, keep=keep, confirming=confirming
        )
        if not mirror.behind:
            self._behind_ns = None
        elif self._behind_ns is None or confirming:
            self._behind_ns = since
        return mirror, certain

    def unpulled(self, now: int) -> None:
        """Note that a pull failed: then the stream has to say what there is."""
        with self._lock:
            if self._over or self._opened_ns is None or self._awaiting:
                return
            self._asked_ns, self._awaiting = now, True
        self._ask()

    def tick(self, now: int) -> bool:
        """Grow stale if it is time; tell whether the connection has to be cut."""
        with self._lock:
            if self._over:
                return False
            if now - self.verified_ns > self._timing.stale_s * SECOND:
                self._trouble = self._trouble or SILENT
            self._complain(now)
            if self._opened_ns is None:
                return False
            # What arrives shows that the stream lives, not that nothing was lost.
            whole = now - max(self._whole_ns, self._opened_ns)
            if whole > 2 * self._timing.pull_s * SECOND and self._doubts is None:
                self._doubt(now)
            first_doubt = now if self._doubts is None else self._doubts[0]
            # Pongs and pulls go on when the request for a full sync was lost.
            unanswered = now if self.in_sync.is_set() else self._asked_ns
            waiting = now - min(self._last_frame_ns, first_doubt, unanswered)
            if waiting <= self._timing.reconnect_s * SECOND:
                return False
            self._lose(SILENT, now)
            return True

    def _lose(self, why: str, now: int) -> None:
        if self._over:
            return
        self.in_sync.clear()
        self._opened_ns = None
        self._trouble = self._trouble or why
        self._complain(now)
        self._pull()

    def _full(self, message: DataSync, now: int) -> None:
        opened = self._opened_ns
        since = now if opened is None else self._asked_ns
        first, self._awaiting = not self.in_sync.is_set(), False
        if opened is not None:
            self.in_sync.set()
        if self._pulled_ns > since:
            # It may be older than the pull, and newer as well: only another can tell.
            self._doubt(now)
            self._publish(self.mirror, now, now)
        else:
            keep = frozenset(name for name, at in self._pushes.items() if at >= since)
            mirror, certain = self._replaced(message, keep, since)
            self._settle(since)
            self._whole_ns = max(self._whole_ns, since)
            if not certain:
                self._doubt(now)
            self._publish(mirror, now, now)
        if opened is not None:
            self.answered.set()
        if first:
            self._pull()

    def _patch(self, message: DataSync, now: int, *, fresh: bool) -> None:
        fresh = fresh and self.in_sync.is_set()
        mirror, certain = self.mirror.patched(message, fresh=fresh)
        for kind, label, raw in (
            (FLAG, "key", message.flags),
            (SEGMENT, "id", message.segments),
        ):
            names = [one.get(label) for one in raw if isinstance(one, dict)]
            self._pushes |= {(kind, n): now for n in names if isinstance(n, str)}
        if not certain:
            self._doubt(now)
        self._publish(mirror, now, now)

    def _doubt(self, now: int) -> None:
        self._doubts = (now if self._doubts is None else self._doubts[0], now)
        self._pull()

    def _settle(self, begun: int) -> None:
        if self._doubts is not None and self._doubts[1] <= begun:
            self._doubts = None

    def _publish(self, mirror: Mirror, verified: int, now: int) -> None:
        if mirror.behind:
            # Not asking: what lags needs a while, and the next pull is soon.
            self._doubts = (now if self._doubts is None else self._doubts[0], now)
        streaming = self.in_sync.is_set()
        pulled = verified == self._pulled_ns and not mirror.behind
        current = streaming and self._doubts is None
        if pulled or current:
            self.verified_ns = max(self.verified_ns, verified)
        if current and now - self.verified_ns <= self._timing.stale_s * SECOND:
            self._trouble = None
        changed = mirror.snapshot is not self.mirror.snapshot
        self.mirror = mirror
        if changed or not self.has_data:
            if self.has_data or pulled or streaming:
                self._replace(now)
        elif pulled or current:
            self._sink.confirm(
                verified_ns=self.verified_ns,
                source=self._source(),
                problem=self._problem(now),
            )

    def _replace(self, now: int) -> None:
        self._sink.replace(
            self.mirror.snapshot,
            verified_ns=self.verified_ns,
            source=self._source(),
            problem=self._problem(now),
        )
        self.has_data = self._serving = True

    def _source(self) -> str:
        return STREAM if self.in_sync.is_set() else PULL

    def _problem(self, now: int) -> str | None:
        return self._trouble if now >= self._aloud_ns else None

    def _complain(self, now: int) -> None:
        problem = self._problem(now)
        if self._serving and problem is not None:
            self._sink.degrade(problem)

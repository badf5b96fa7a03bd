"""Pull everything when asked, and from time to time; keep it on disk."""

import logging
import threading
import time

from openfeature.contrib.provider.featbit.live.last_good import LastGood
from openfeature.contrib.provider.featbit.live.mirror import Mirror
from openfeature.contrib.provider.featbit.live.pulling import Http, PullError
from openfeature.contrib.provider.featbit.live.sync import Sync
from openfeature.contrib.provider.featbit.live.timing import Timing
from openfeature.contrib.provider.featbit.sleeps import sleeps

logger = logging.getLogger(__name__)

LOOK_S = 0.25
"""How soon changed data is on disk."""


class Puller:
    """All requests of one session, in one daemon thread, from `start` to `stop`."""

    def __init__(self, http: Http, timing: Timing, last_good: LastGood | None) -> None:
        self._http, self._timing, self._last_good = http, timing, last_good
        self._changed = threading.Condition()
        self._wanted = True
        self._finished_ns: int | None = None
        self._problem: str | None = None
        self._stopping = threading.Event()
        self._saved: Mirror | None = None
        self._thread: threading.Thread | None = None

    def start(self, sync: Sync) -> None:
        """Pull into *sync* from now on, at once for the first time."""
        self._thread = threading.Thread(
            target=self._run, args=(sync,), name="featbit-pull", daemon=True
        )
        self._thread.start()

    def ask(self) -> None:
        """Let the next pull begin as soon as possible; returns at once."""
        with self._changed:
            self._wanted = True
            self._changed.notify_all()

    def pulled(self, timeout_s: float) -> str | None:
        """Wait for a pull that begins after this call; None if it succeeded.

        Otherwise what went wrong.
        """
        asked_ns = time.monotonic_ns()
        self.ask()
        with self._changed:
            self._changed.wait_for(lambda: self._done(asked_ns), timeout_s)
            if self._finished_ns is None or self._finished_ns < asked_ns:
                return "no answer in time"
            return self._problem

    def stop(self, longest_s: float) -> None:
        """Stop; waits *longest_s* seconds at most for a request in progress."""
        self._stopping.set()
        self.ask()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(longest_s)

    def _done(self, asked_ns: int) -> bool:
        finished = self._finished_ns is not None and self._finished_ns >= asked_ns
        return finished or self._stopping.is_set()

    def _run(self, sync: Sync) -> None:
        due = 0.0
        while not self._stopping.is_set():
            if self._take() or time.monotonic() >= due:
                self._pull(sync)
                self._save(sync)
                due = time.monotonic() + self._period(sync)
            elif sync.mirror is not self._saved:
                self._save(sync)
            self._sleep(min(due - time.monotonic(), self._period(sync), LOOK_S))
        if sync.mirror is not self._saved:
            self._save(sync)

    def _take(self) -> bool:
        with self._changed:
            wanted, self._wanted = self._wanted, False
            return wanted

    def _sleep(self, seconds: float) -> None:
        with self._changed:
            if not self._wanted:
                self._changed.wait(max(0.0, seconds))

    def _period(self, sync: Sync) -> float:
        timing = self._timing
        return timing.pull_s if sync.settled else timing.poll_s

    def _pull(self, sync: Sync) -> None:
        begun, problem = time.monotonic_ns(), None
        try:
            data = self._http.pull(self._stopping)
            if sync.pulled(data, begun, time.monotonic_ns()):
                self.ask()
        except PullError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - the thread must outlive one pull
            problem = f"pulling failed: {type(error).__name__}"
        if problem is not None:
            sync.unpulled(time.monotonic_ns())
        if problem is not None and self._problem is None:
            logger.warning("FeatBit cannot be checked: %s", problem)
        with self._changed:
            self._finished_ns, self._problem = begun, problem
            self._changed.notify_all()

    def _save(self, sync: Sync) -> None:
        if self._last_good is None or not sync.has_data:
            return
        # INVARIANT: its time before the data, which may change at any moment and is
        # never older than that; and the data once, so that a change is never missed.
        age_ns = time.monotonic_ns() - sleeps.backdated(sync.verified_ns)
        mirror = sync.mirror
        try:
            self._last_good.save(mirror, (time.time_ns() - age_ns) // 1_000_000)
            self._saved = mirror
        except OSError as error:
            reason = error.strerror or type(error).__name__
            logger.warning("%s: not written: %s", self._last_good.path, reason)

"""One following of a live environment, in one process: its threads and its state."""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from openfeature.contrib.provider.featbit.feeds import Sink
from openfeature.contrib.provider.featbit.live.last_good import LastGood
from openfeature.contrib.provider.featbit.live.mirror import Mirror
from openfeature.contrib.provider.featbit.live.puller import Puller
from openfeature.contrib.provider.featbit.live.pulling import Http
from openfeature.contrib.provider.featbit.live.streaming import (
    Listener,
    Stream,
    connect,
)
from openfeature.contrib.provider.featbit.live.sync import Sync
from openfeature.contrib.provider.featbit.live.timing import Timing
from openfeature.contrib.provider.featbit.sleeps import sleeps

LONGEST_STOP = 0.9
"""Seconds that each of two threads may take to end."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where an environment is and how it is followed; the secret is never shown."""

    streaming_url: str
    event_url: str
    secret: str = field(repr=False)
    start_wait_s: float
    last_good: LastGood | None
    bootstrap: Path | None
    ca_file: str | None
    timing: Timing


class Session:
    """Stream, pull and watch, from `start` to `stop`; used once."""

    def __init__(
        self, settings: Settings, sink: Sink, mirror: Mirror, *, verified_ns: int
    ) -> None:
        self._settings = settings
        self._http = Http(
            settings.event_url, settings.secret, settings.timing, settings.ca_file
        )
        self._puller = Puller(self._http, settings.timing, settings.last_good)
        self.sync = Sync(
            sink,
            mirror,
            settings.timing,
            pull=self._puller.ask,
            ask=self._ask,
            verified_ns=verified_ns,
        )
        self._stopping = threading.Event()
        self._stream: Stream | None = None

    def start(self) -> None:
        """Start all threads."""
        settings, sync, now = self._settings, self.sync, time.monotonic_ns
        listener = Listener(
            opened=lambda: sync.opened(now()),
            frame=lambda text: sync.frame(text, now()),
            dropped=lambda: sync.dropped(now()),
            refused=self._refused,
        )
        self._stream = connect(
            settings.streaming_url,
            settings.secret,
            listener,
            settings.timing,
            settings.ca_file,
        )
        self._puller.start(sync)
        threading.Thread(target=self._watch, name="featbit-watch", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Whether this session is over, by `stop` or because it was refused."""
        return self._stopping.is_set()

    def pulled(self, timeout_s: float) -> str | None:
        """Wait for a pull that begins now; None if it succeeded, else the problem."""
        return self._puller.pulled(timeout_s)

    def stop(self) -> None:
        """Stop all threads; returns within two seconds."""
        self.sync.end()
        self._stopping.set()
        if self._stream is not None:
            self._stream.end(LONGEST_STOP)
        self._puller.stop(LONGEST_STOP)
        self._http.close()

    def let_go(self) -> None:
        """Forget the connection in a forked child, where it is the parent's."""
        if self._stream is not None:
            self._stream.let_go()

    def _ask(self) -> None:
        if self._stream is not None:
            self._stream.ask()

    def _refused(self) -> None:
        self.sync.refused()
        self._stopping.set()
        self._puller.stop(0)

    def _watch(self) -> None:
        while not self._stopping.wait(self._settings.timing.tick_s):
            sleeps.look()
            self._http.expire()
            if self.sync.tick(time.monotonic_ns()) and self._stream is not None:
                self._stream.cut()

"""The feed of a live environment: what is served until and whenever there is data."""

import logging
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from openfeature.exception import ProviderFatalError, ProviderNotReadyError

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.feeds import Sink
from openfeature.contrib.provider.featbit.freshness import NEVER
from openfeature.contrib.provider.featbit.live.insights import KeyInsights
from openfeature.contrib.provider.featbit.live.last_good import Kept
from openfeature.contrib.provider.featbit.live.mirror import Latch, Mirror
from openfeature.contrib.provider.featbit.live.session import Session, Settings
from openfeature.contrib.provider.featbit.live.sync import REFUSED, STREAM
from openfeature.contrib.provider.featbit.reading import read_regular
from openfeature.contrib.provider.featbit.snapshot import (
    changed_keys,
    read_snapshot,
)

logger = logging.getLogger(__name__)

PAUSE_S = 0.05
"""Between two pulls of a server that lags."""


class LiveFeed:
    """Follow one environment in sessions: one a start, one in each forked child."""

    source = STREAM

    def __init__(self, settings: Settings, insights: KeyInsights | None) -> None:
        self._settings, self._insights = settings, insights
        self._sink: Sink | None = None
        self._session: Session | None = None

    def start(self, sink: Sink) -> None:
        """Wait for data, or serve what was kept.

        Raises:
            ProviderNotReadyError: there is none yet; the feed goes on trying.
            ProviderFatalError: the server refused the secret.

        """
        latch = Latch() if self._session is None else self._session.sync.mirror.latch
        self._halt()
        kept, mirror = self._kept(), Mirror(latch=latch)
        if kept is not None:
            mirror, _ = mirror.replaced(kept.data)
        session = Session(self._settings, sink, mirror, verified_ns=NEVER)
        self._sink, self._session = sink, session
        session.start()
        if self._insights is not None:
            self._insights.start()
        session.sync.answered.wait(self._settings.start_wait_s)
        found = session.sync.serve(lambda: self._serve(sink, kept, mirror))
        session.sync.speak(time.monotonic_ns(), serving=found)
        if session.sync.is_refused:
            self.stop()
            raise ProviderFatalError(REFUSED)
        if not found:
            waited = f"no data within {self._settings.start_wait_s:g} s"
            raise ProviderNotReadyError(f"{self._where()}: {waited}; still trying")

    def check(self) -> tuple[str, ...]:
        """Pull now; return the keys of the flags that changed since.

        Raises:
            FeatBitDataError: there was no usable answer; what is held stays.

        """
        session, sink = self._session, self._sink
        if session is None or sink is None:
            raise FeatBitDataError(f"{self._where()}: not started")
        before = session.sync.mirror.snapshot
        problem = session.pulled(self._settings.timing.http_s * 2)
        if problem is not None:
            raise FeatBitDataError(f"{self._where()}: {problem}")
        return changed_keys(before.flag_set, session.sync.mirror.snapshot.flag_set)

    def catch_up(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        """Pull until *reached*, after each pull, or until *timeout_s* is over."""
        session = self._session
        deadline = time.monotonic() + timeout_s
        while session is not None:
            problem = session.pulled(deadline - time.monotonic())
            if problem is None and reached():
                return True
            left = deadline - time.monotonic()
            if left <= PAUSE_S or session.ended:
                return False
            time.sleep(PAUSE_S)
        return False

    def stop(self) -> None:
        """Stop following; returns within two seconds."""
        self._halt()

    def _halt(self) -> None:
        if self._insights is not None:
            self._insights.stop()
        if self._session is not None:
            self._session.stop()

    def restart_in_child(self) -> None:
        """Connect anew if the parent followed; its connection stays untouched."""
        session, sink = self._session, self._sink
        if session is None or sink is None or session.ended:
            return
        session.let_go()
        verified_ns = sink.freshness().verified_ns
        mirror = session.sync.mirror
        self._session = Session(self._settings, sink, mirror, verified_ns=verified_ns)
        self._session.start()
        self._session.sync.speak(
            time.monotonic_ns(), serving=sink.freshness().generation > 0
        )
        if self._insights is not None:
            self._insights.start()

    def _kept(self) -> Kept | None:
        last_good = self._settings.last_good
        try:
            return None if last_good is None else last_good.load()
        except FeatBitDataError as error:
            logger.warning("last good data not used: %s", error)
            return None

    def _serve(self, sink: Sink, kept: Kept | None, mirror: Mirror) -> bool:
        if kept is not None:
            age_ns = time.time_ns() - kept.verified_ms * 1_000_000
            # Kept in the future: this clock was set back, and no age can be told.
            verified = time.monotonic_ns() - age_ns if age_ns >= 0 else NEVER
            sink.replace(mirror.snapshot, verified_ns=verified, source="last_good")
            return True
        path = self._settings.bootstrap
        if path is None:
            return False
        try:
            snapshot = read_snapshot(read_regular(path))
        except (OSError, FeatBitDataError) as error:
            logger.warning("%s: not used: %s", path, type(error).__name__)
            return False
        sink.replace(snapshot, verified_ns=NEVER, source="bootstrap")
        return True

    def _where(self) -> str:
        return urlsplit(self._settings.streaming_url).netloc

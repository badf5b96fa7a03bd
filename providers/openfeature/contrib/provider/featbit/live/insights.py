"""Report which variants were served, without users: statistics, no evidence."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.hook import Hook, HookContext, HookHints

from openfeature.contrib.provider.featbit.live.pulling import Http, PullError

logger = logging.getLogger(__name__)

USER = {"keyId": "openfeature", "name": "openfeature", "customizedProperties": []}
"""The same for every evaluation."""
WAITING, BATCH, EVERY_S = 1000, 50, 1.0


class KeyInsights(Hook):
    """Note each evaluation's flag key and variant and post them, best effort.

    At most `WAITING` notes are held; the oldest are lost first. One daemon thread,
    from `start` to `stop`.
    """

    def __init__(self, connect: Callable[[], Http]) -> None:
        self._connect = connect
        self._notes: deque[tuple[str, str, int]] = deque(maxlen=WAITING)
        self._stopping = threading.Event()

    def after(
        self,
        hook_context: HookContext,  # noqa: ARG002 - OpenFeature's signature
        details: FlagEvaluationDetails[Any],
        hints: HookHints,  # noqa: ARG002 - OpenFeature's signature
    ) -> None:
        """Note a successful evaluation."""
        if details.variant is not None:
            now = time.time_ns() // 1_000_000
            self._notes.append((details.flag_key, details.variant, now))

    def start(self) -> None:
        """Post from now on; in a forked child, without what its parent noted."""
        self.stop()
        self._notes.clear()
        self._stopping = threading.Event()
        threading.Thread(
            target=self._post,
            args=(self._stopping, self._connect()),
            name="featbit-insights",
            daemon=True,
        ).start()

    def stop(self) -> None:
        """Stop posting; returns at once."""
        self._stopping.set()

    def _post(self, stopping: threading.Event, http: Http) -> None:
        while not stopping.wait(EVERY_S):
            while self._notes and not stopping.is_set():
                size = min(BATCH, len(self._notes))
                batch = [_event(*self._notes.popleft()) for _ in range(size)]
                try:
                    http.send_insights(orjson.dumps(batch))
                except PullError as error:
                    logger.debug("insights lost: %s", error)
                except Exception as error:  # noqa: BLE001 - what it says may be secret
                    logger.debug("insights lost: %s", type(error).__name__)


def _event(flag_key: str, variant: str, at_ms: int) -> Mapping[str, object]:
    note = {
        "featureFlagKey": flag_key,
        "variation": {"id": variant, "value": ""},
        "sendToExperiment": False,
        "timestamp": at_ms,
    }
    return {"user": USER, "variations": [note]}

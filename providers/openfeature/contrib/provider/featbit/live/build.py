"""Check what `FeatBitProvider.live` was given and build a feed of it."""

import logging
import math
import re
from pathlib import Path
from urllib.parse import urlsplit

from openfeature.hook import Hook

from openfeature.contrib.provider.featbit.live.feed import LiveFeed
from openfeature.contrib.provider.featbit.live.insights import KeyInsights
from openfeature.contrib.provider.featbit.live.last_good import LastGood
from openfeature.contrib.provider.featbit.live.pulling import Http
from openfeature.contrib.provider.featbit.live.session import Settings
from openfeature.contrib.provider.featbit.live.timing import Timing

logger = logging.getLogger(__name__)

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def live(
    *,
    streaming_url: str,
    event_url: str,
    secret: str,
    start_wait_s: float,
    last_good: str | Path | None,
    bootstrap: str | Path | None,
    insights: str,
    ca_file: str | Path | None,
    timing: Timing | None,
) -> tuple[LiveFeed, list[Hook]]:
    """Return a feed, not started, and the hooks that belong to it.

    Raises:
        ValueError: an argument is unusable; the message never shows the secret.

    """
    _check_url("streaming_url", streaming_url, ("ws", "wss"))
    _check_url("event_url", event_url, ("http", "https"))
    if not (isinstance(secret, str) and re.fullmatch(r"[!-~]+", secret)):
        raise ValueError(
            "secret must be the environment's server secret: printable ASCII without "
            "blanks or line ends"
        )
    if not (math.isfinite(start_wait_s) and start_wait_s >= 0):
        raise ValueError(f"start_wait_s must be 0 or more, not {start_wait_s}")
    if insights not in ("off", "keys"):
        raise ValueError(f'insights must be "off" or "keys", not {insights!r}')
    certificates = None if ca_file is None else str(ca_file)
    times = Timing() if timing is None else timing
    kept = None if last_good is None else LastGood(Path(last_good), secret.encode())
    settings = Settings(
        streaming_url=streaming_url,
        event_url=event_url,
        secret=secret,
        start_wait_s=start_wait_s,
        last_good=kept,
        bootstrap=None if bootstrap is None else Path(bootstrap),
        ca_file=certificates,
        timing=times,
    )
    if insights == "off":
        return LiveFeed(settings, None), []
    hook = KeyInsights(lambda: Http(event_url, secret, times, certificates))
    return LiveFeed(settings, hook), [hook]


def _check_url(name: str, url: str, schemes: tuple[str, ...]) -> None:
    parts = urlsplit(url)
    wanted = " or ".join(f"{scheme}://host" for scheme in schemes)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"{name} must be {wanted}")
    if parts.scheme in ("ws", "http") and parts.hostname not in LOOPBACK:
        logger.warning("%s: the secret goes to %s unencrypted", name, parts.hostname)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"{name} must be {wanted}, without user, query or fragment")

"""How long a live feed waits for what, in seconds."""

from dataclasses import dataclass

SECOND = 1_000_000_000
"""Nanoseconds."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The intervals of a live feed, in seconds; tests compress them.

    The server answers a ping every *ping_s*. Data that nothing has proved current for
    *stale_s* is stale; a connection silent for *reconnect_s* is cut. Everything is
    pulled every *pull_s*, and every *poll_s* while the stream is not in sync. *http_s*
    bounds one request. Reconnects back off from *first_retry_s*, an int because the
    SDK's thread dies of an OverflowError otherwise, to *longest_retry_s*.
    """

    ping_s: float = 10.0
    stale_s: float = 12.0
    reconnect_s: float = 20.0
    pull_s: float = 30.0
    poll_s: float = 5.0
    http_s: float = 5.0
    tick_s: float = 0.25
    first_retry_s: int = 1
    longest_retry_s: float = 15.0

    def __post_init__(self) -> None:
        if not 0 < self.ping_s < self.stale_s < self.reconnect_s:
            raise ValueError("timing needs 0 < ping_s < stale_s < reconnect_s")
        rest = (self.pull_s, self.poll_s, self.http_s, self.tick_s)
        if min(*rest, self.longest_retry_s) <= 0:
            raise ValueError("every interval must be above 0 seconds")
        if type(self.first_retry_s) is not int or self.first_retry_s < 1:
            raise ValueError("first_retry_s must be an int of 1 or more")

"""`RedisRates`: rates that many processes share, in Redis or Valkey. Extra ``redis``.

The sliding window of `limits` counts by the server's clock, in one script, so that no
two processes take the same place; it takes what began in the window before as spread
evenly over it. `limits` has no token bucket: ours is one script as well, and exact.
Budgets never stand here: what Redis forgets, such as all of it at a restart without
persistence, must not be money.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from secrets import token_hex
from typing import Any

from openfeature_gov.allowances.rates import RatesDownError

SCHEMES = ("redis://", "rediss://", "redis+unix://")
REST_NS = 1_000_000_000
"""How long a server that failed is left alone: not every call shall wait for it."""
PREFIX = "gov-rates"
SENTINEL = f"{PREFIX}:mark"
BUCKET = """
local width, count, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local used, at = 0, now
local kept = redis.call('GET', KEYS[1])
if kept then
    local first, second = string.match(kept, '^(%d+):(%d+)$')
    used, at = tonumber(first), tonumber(second)
end
local passed = math.max(0, now - at)
if passed * count >= used then used = 0 else used = used - passed * count end
if used + width > burst * width then
    return 0
end
used = used + width
local last = math.ceil(used / count / 1000) + 1
redis.call('SET', KEYS[1], string.format('%.0f:%.0f', used, now), 'PX', last)
return 1
"""
"""A bucket of *burst* that *count* in *width* microseconds refill, as `Bucket` counts.
Its numbers stay whole and below 2^53, so that they are exact."""


@lru_cache(maxsize=4_096)
def _keys(key: str) -> tuple[str, str]:
    """Return the keys of the window before and of this one, on one node of a cluster.

    *key* may name an account, which may lead to a person: its digest stands there.
    """
    name = f"{{{PREFIX}:{sha256(key.encode()).hexdigest()[:32]}}}"
    return f"{name}/-1", name


class RedisRates:
    """Count in the Redis or Valkey server at *url* (``redis://HOST:PORT/DB``).

    *timeout_s* is how long one call waits for the server, in seconds: no call may hang
    at a limit. *processes* is among how many a limit is parted while the server is away
    or was emptied. Safe to share between threads and across a fork.

    Raises:
        ImportError: without the extra ``redis``.
        ValueError: for a URL that is none, or fewer than one process.

    """

    remote = True

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 0.25,
        processes: int = 10,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        from limits.storage import RedisStorage  # noqa: PLC0415 - the extra redis
        from redis import exceptions  # noqa: PLC0415 - the extra redis
        from redis.backoff import NoBackoff  # noqa: PLC0415 - the extra redis
        from redis.retry import Retry  # noqa: PLC0415 - the extra redis

        if not url.startswith(SCHEMES):
            raise ValueError(
                f"use one of {', '.join(SCHEMES)}; Valkey speaks it as well"
            )
        if processes < 1:
            raise ValueError("processes is at least 1")
        self.processes, self._clock = processes, clock
        self._faults = (exceptions.RedisError, OSError)
        self._unknown = exceptions.NoScriptError
        self._rest_until = self._emptied_ns = 0
        self._mark: object = None
        options: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "redis_connect_func": self._met,
        }
        self._storage = RedisStorage(url, **options)
        self._bucket = self._storage.storage.register_script(BUCKET)

    def take(self, key: str, count: int, seconds: int, burst: int = 0) -> bool:
        """Say whether one more may begin under *key*, and count it if so.

        Raises:
            RatesDownError: while the server is away, and after it came back empty for
                one window, or for as long as it takes to refill the bucket.

        """
        now = self._clock()
        if now < self._rest_until:
            raise RatesDownError("the shared counters are away")
        try:
            free = self._taken(key, count, seconds, burst)
        except self._faults as error:
            self._rest_until = self._clock() + REST_NS
            told = type(error).__name__
            raise RatesDownError(f"the shared counters are away: {told}") from error
        lasts = max(seconds * 10**9, burst * seconds * 10**9 // max(count, 1))
        if self._emptied_ns and now - self._emptied_ns < lasts:
            raise RatesDownError("the shared counters were emptied")
        return free

    def _taken(self, key: str, count: int, seconds: int, burst: int) -> bool:
        """Run the script by its name, which costs little more than a bare call."""
        keys: tuple[str, ...] = _keys(key)
        if burst:
            script, keys = self._bucket, (f"{keys[1]}/bucket",)
            values = (seconds * 1_000_000, count, burst)
        else:
            script = self._storage.lua_acquire_sliding_window
            values = (count, seconds, 1)
        client = self._storage.storage
        try:
            return bool(client.evalsha(script.sha, len(keys), *keys, *values))
        except self._unknown:
            return bool(script(keys, values))

    def close(self) -> None:
        """Let go of the connections; idempotent."""
        self._storage.storage.close()

    def _met(self, connection: Any) -> None:
        """Look, on each new connection, whether the server still knows what it did.

        Whoever comes first leaves a mark. A server with another mark than the one that
        this process met before has lost its counters as well.
        """
        connection.on_connect()
        connection.send_command("SET", SENTINEL, token_hex(8), "NX")
        connection.read_response()
        connection.send_command("GET", SENTINEL)
        mark = connection.read_response()
        known, self._mark = self._mark, mark
        if known not in (None, mark):
            self._emptied_ns = self._clock()

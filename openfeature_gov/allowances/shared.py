"""`RedisRates`: rates that many processes share, in Redis or Valkey. Extra ``redis``.

The sliding window of `limits` counts by the server's clock, in one script, so that no
two processes take the same place; it takes what began in the window before as spread
evenly over it. `limits` has no token bucket: ours is one script as well, and exact.
Budgets never stand here: what Redis forgets, such as all of it at a restart without
persistence, must not be money. Beside the counts stands a mark with the time since when
there are any. Each script looks at it: a server that was emptied, whoever asks and
however it came about, is not believed before every count would have run out anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Any

from openfeature_gov.allowances.rates import RatesDownError

SCHEMES = ("redis://", "rediss://", "redis+unix://")
REST_NS = 1_000_000_000
"""How long a server that failed is left alone: not every call shall wait for it."""
PREFIX = "gov-rates"
SINCE = f"{PREFIX}:since"
MARKED = """
local asked = redis.call('TIME')
local micros = tonumber(asked[1]) * 1000000 + tonumber(asked[2])
local since = tonumber(redis.call('GET', KEYS[#KEYS]) or nil)
if not since then
    since = micros
    redis.call('SET', KEYS[#KEYS], string.format('%.0f', since))
end
local known = micros - since >= tonumber(ARGV[#ARGV])
local function counted()
{count}
end
local free = counted()
return {{(free and free ~= 0) and 1 or 0, known and 1 or 0}}
"""
"""Count, and say whether the server has counted for as many microseconds as matter."""
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

    A new server cannot be told from one that was emptied, so that the first start waits
    for one window, or until the bucket would be full; `begin` says that it is new.

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
            raise ValueError(f"processes is {processes}; it is at least 1")
        self.processes, self._clock = processes, clock
        self._faults = (exceptions.RedisError, OSError)
        self._unknown = exceptions.NoScriptError
        self._rest_until = 0
        options: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
        }
        self._storage = RedisStorage(url, **options)
        register = self._storage.storage.register_script
        window = self._storage.SCRIPT_ACQUIRE_SLIDING_WINDOW.decode()
        self._window = register(MARKED.format(count=window))
        self._bucket = register(MARKED.format(count=BUCKET))

    def take(self, key: str, count: int, seconds: int, burst: int = 0) -> bool:
        """Say whether one more may begin under *key*, and count it if so.

        Raises:
            RatesDownError: while the server is away, and after it was emptied for one
                window, or for as long as it takes to refill the bucket.

        """
        now = self._clock()
        if now < self._rest_until:
            raise RatesDownError("the shared counters are away")
        try:
            free, known = self._taken(key, count, seconds, burst)
        except self._faults as error:
            self._rest_until = self._clock() + REST_NS
            told = type(error).__name__
            raise RatesDownError(f"the shared counters are away: {told}") from error
        if not known:
            raise RatesDownError("the shared counters were emptied, or are new")
        return bool(free)

    def _taken(self, key: str, count: int, seconds: int, burst: int) -> list[int]:
        """Run the script by its name, which costs little more than a bare call."""
        before, name = _keys(key)
        width = seconds * 1_000_000
        keys: tuple[str, ...]
        if burst:
            script, keys = self._bucket, (f"{name}/bucket", SINCE)
            refilled = -(-burst * width // max(count, 1))
            values = (width, count, burst, max(width, refilled))
        else:
            script, keys = self._window, (before, name, SINCE)
            values = (count, seconds, 1, width)
        client = self._storage.storage
        try:
            found: list[int] = client.evalsha(script.sha, len(keys), *keys, *values)
        except self._unknown:
            found = script(keys, values)
        return found

    def begin(self) -> None:
        """Say that the server is new: that nothing was counted which it should know.

        For the first start of a deployment, once. After a server was emptied it gives
        every limit anew, to calls that had used it up.

        Raises:
            RatesDownError: while the server is away.

        """
        try:
            self._storage.storage.set(SINCE, 0)
        except self._faults as error:
            told = type(error).__name__
            raise RatesDownError(f"the shared counters are away: {told}") from error

    def close(self) -> None:
        """Let go of the connections; idempotent."""
        self._storage.storage.close()

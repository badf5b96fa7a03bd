"""Rates in Redis: shared, by the server's clock, and never assumed when it is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from openfeature_gov import CallContext, Effect, ToolCall
from openfeature_gov.allowances.rates import RatesDownError
from openfeature_gov.allowances.shared import REST_NS, SINCE, RedisRates
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, Desk, Make
from tests.integration.redis_server import PROGRAM, REASON, RedisServer, running
from tests.test_allowances import READ, limited, pay

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=REASON)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Lend a Redis server of its own."""
    with running(tmp_path) as one:
        yield one


class Clock:
    """Be a monotonic clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.ns = 10**15

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    """Return a clock to be set."""
    return Clock()


@pytest.fixture
def rates(server: RedisServer, clock: Clock) -> Iterator[RedisRates]:
    """Lend the counters in the server."""
    one = RedisRates(server.url, timeout_s=20, clock=clock)
    one.begin()
    yield one
    one.close()


def grants(rates: RedisRates, tries: int, count: int, key: str = "k") -> int:
    return sum(rates.take(key, count, 3_600) for _ in range(tries))


def pass_time(server: RedisServer, seconds: int) -> None:
    """Let so much time pass since the server began to count, if it did."""
    if not seconds:
        return
    with redis.Redis(port=server.port) as client:
        client.decrby(SINCE, seconds * 1_000_000)


def emptied(server: RedisServer, clock: Clock, *, live: bool) -> None:
    """Let the server forget all, on *live* connections or by a restart."""
    if live:
        with redis.Redis(port=server.port) as client:
            client.flushall()
    else:
        server.kill()
        server.start()
        clock.ns += REST_NS


def test_two_processes_count_together(server: RedisServer, rates: RedisRates) -> None:
    """What one took is gone for the other; another key is another count."""
    other = RedisRates(server.url, timeout_s=20)
    assert (grants(rates, 6, 10), grants(other, 6, 10)) == (6, 4)
    assert grants(rates, 1, 10) == 0
    assert grants(other, 3, 2, "z") == 2
    other.close()


def test_many_take_no_more_from_a_bucket_than_it_holds(
    server: RedisServer, rates: RedisRates
) -> None:
    """However many ask at the same moment; nothing of a day's rate comes back soon."""
    others = [RedisRates(server.url, timeout_s=20) for _ in range(4)]
    begin = threading.Barrier(16)

    def take(number: int) -> int:
        begin.wait(60)
        one = others[number % 4]
        return sum(one.take("k", 1, 86_400, 40) for _ in range(10))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, range(16))) == 40
    assert not rates.take("k", 1, 86_400, 40)
    assert rates.take("other", 1, 86_400, 1)
    for one in others:
        one.close()


def test_a_bucket_in_redis_refills_at_its_rate(rates: RedisRates) -> None:
    """No more than burst + rate * t begin, and what was taken comes back."""
    began, granted = time.monotonic(), 0
    while granted < 40:
        granted += rates.take("k", 200, 1, 5)
        assert granted <= 5 + 200 * (time.monotonic() - began)
        assert time.monotonic() - began < 60


def test_a_bucket_leaves_no_name_and_no_key_for_long(
    server: RedisServer, rates: RedisRates
) -> None:
    """Its one key is a digest and goes when the bucket is full again."""
    assert rates.take("pay|acct-77", 6, 3_600, 5)
    with redis.Redis(port=server.port) as client:
        (key,) = client.keys("*bucket")
        assert b"acct" not in key
        assert 0 < client.pttl(key) <= 600_001


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("old", [True, False])
def test_an_emptied_bucket_is_not_believed_until_it_would_be_full(
    server: RedisServer, rates: RedisRates, clock: Clock, live: bool, old: bool
) -> None:
    """Ten a day refill twenty in two days: so long nothing is granted.

    To no process, whether it met the server before or not, and however it was emptied.
    """
    assert sum(rates.take("k", 10, 86_400, 20) for _ in range(30)) == 20
    emptied(server, clock, live=live)
    other = rates if old else RedisRates(server.url, timeout_s=20, clock=clock)
    for passed in (0, 86_400, 80_000):
        pass_time(server, passed)
        with pytest.raises(RatesDownError, match="emptied"):
            other.take("k", 10, 86_400, 20)
    pass_time(server, 6_400)
    assert other.take("k", 10, 86_400, 20)
    other.close()


@pytest.mark.parametrize("burst", [0, 5])
def test_a_first_start_waits_unless_it_is_told_to_begin(
    server: RedisServer, burst: int
) -> None:
    """A new server may be an emptied one: only somebody who knows says which."""
    rates = RedisRates(server.url, timeout_s=20)
    with pytest.raises(RatesDownError, match="or are new"):
        rates.take("k", 5, 3_600, burst)
    rates.begin()
    assert rates.take("k", 5, 3_600, burst)
    server.kill()
    with pytest.raises(RatesDownError, match="away"):
        rates.begin()
    rates.close()


def test_a_set_clock_moves_no_window(
    server: RedisServer, rates: RedisRates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is the server's: a host whose clock is a day off gets nothing more."""
    assert grants(rates, 3, 2) == 2
    real = time.time
    for off in (86_400, -86_400):
        monkeypatch.setattr(time, "time", lambda off=off: real() + off)
        assert grants(rates, 2, 2) == 0


def test_no_name_stands_in_redis(server: RedisServer, rates: RedisRates) -> None:
    """Keys are digests: an account may lead to a person."""
    rates.take("pay|acct-77", 5, 60)
    with redis.Redis(port=server.port) as client:
        keys = client.keys()
        assert len(keys) == 2, "the count, and since when there is one"
        assert not any(b"acct" in key for key in keys)
        assert client.ttl(max(keys, key=len)) in range(1, 121)


def test_a_server_that_is_away_says_so_and_is_left_alone(
    server: RedisServer, rates: RedisRates, clock: Clock
) -> None:
    """Nothing is assumed, and not every call waits for what does not answer."""
    assert rates.take("k", 5, 60)
    server.kill()
    with pytest.raises(RatesDownError, match="ConnectionError"):
        rates.take("k", 5, 60)
    with pytest.raises(RatesDownError, match=r"away$"):
        rates.take("k", 5, 60)
    clock.ns += REST_NS
    with pytest.raises(RatesDownError, match="ConnectionError"):
        rates.take("k", 5, 60)


def test_a_server_that_came_back_empty_is_not_believed(
    server: RedisServer, rates: RedisRates, clock: Clock
) -> None:
    """What it forgot may have been taken: it counts, but is trusted a window later."""
    assert grants(rates, 5, 5) == 5
    other = RedisRates(server.url, timeout_s=20, clock=clock)
    assert grants(other, 1, 5) == 0
    server.kill()
    for one in (rates, other):
        with pytest.raises(RatesDownError):
            one.take("k", 5, 3_600)
    server.start()
    clock.ns += REST_NS
    late = RedisRates(server.url, timeout_s=20, clock=clock)
    for passed in (0, 3_000):
        pass_time(server, passed)
        for one in (rates, other, late):
            with pytest.raises(RatesDownError, match="emptied"):
                one.take("k", 7, 3_600)
    for one in (other, late):
        one.close()
    pass_time(server, 600)
    # It counted meanwhile.
    assert grants(rates, 5, 7) == 1


def test_many_who_meet_a_new_server_agree(server: RedisServer) -> None:
    """It was begun or it was not, however many connect at the same moment."""
    with redis.Redis(port=server.port) as client, ThreadPoolExecutor(16) as pool:
        for _ in range(20):
            client.flushall()
            fresh = RedisRates(server.url, timeout_s=20)
            fresh.begin()
            begin = threading.Barrier(16)

            def take(_: int, rates: RedisRates = fresh, at: Any = begin) -> bool:
                at.wait(60)
                return rates.take("k", 100, 3_600)

            assert all(pool.map(take, range(16)))
            fresh.close()


def test_a_server_that_hangs_does_not_hang_the_call(server: RedisServer) -> None:
    """A frozen server ends the wait, with the strictest verdict."""
    rates = RedisRates(server.url, timeout_s=0.2)
    with server.frozen(), pytest.raises(RatesDownError, match="Timeout"):
        rates.take("k", 5, 60)
    rates.close()


def test_a_server_that_refuses_to_write_is_away(
    server: RedisServer, rates: RedisRates
) -> None:
    """Out of memory, or a replica that only reads: nothing was counted."""
    with redis.Redis(port=server.port) as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(RatesDownError, match="away"):
            rates.take("k", 5, 60)


def test_the_governor_holds_to_its_share(server: RedisServer, desk: Make) -> None:
    """Away: what is consequential stops at once, reads go on within the share."""
    shared = RedisRates(server.url, timeout_s=20, processes=4)
    shared.begin()
    one = limited(desk, "{rate: 8/hour}", rates=shared)
    two = limited(desk, "{rate: 8/hour}", rates=shared, **READ)
    assert pay(one, 1).effect is Effect.ALLOW
    server.kill()
    assert pay(one, 1).reason == "rate_unavailable"
    assert [pay(two, 1).effect.value for _ in range(3)] == ["allow", "allow", "deny"]
    shared.close()


def test_a_frozen_server_denies(server: RedisServer, desk: Make) -> None:
    """The wait ends by itself, and the call is denied and recorded."""
    shared = RedisRates(server.url, timeout_s=0.2)
    one = limited(desk, "{rate: 8/hour}", rates=shared)
    with server.frozen():
        assert pay(one, 1).reason == "rate_unavailable"
    shared.close()
    one.governor.close()
    (record,) = history.records(one.records, kind="decision")
    assert record["reason"] == "rate_unavailable"


async def _many(one: Desk, context: CallContext) -> list[str]:
    call = ToolCall("pay", {"cents": 1}, context)
    return [(await one.governor.arun(call)).reason for _ in range(4)]


def test_async_calls_do_not_block_the_loop(server: RedisServer, desk: Make) -> None:
    """The wait for the server happens in a thread; the count is the same."""
    import asyncio

    shared = RedisRates(server.url, timeout_s=20)
    shared.begin()
    one = limited(desk, "{rate: 3/hour}", rates=shared)
    reasons = asyncio.run(_many(one, CONTEXT))
    assert reasons.count("rate_limited") == 1
    shared.close()


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:6379", "http://127.0.0.1", "valkey://h"]
)
def test_an_address_that_is_none(url: str) -> None:
    """Only the schemes of Redis; what was given may hold a secret and is not said."""
    with pytest.raises(ValueError, match="use one of redis://"):
        RedisRates(url)


@pytest.mark.parametrize("processes", [0, -1])
def test_a_share_needs_a_process(processes: int) -> None:
    """A limit cannot be parted among none."""
    with pytest.raises(ValueError, match="at least 1"):
        RedisRates("redis://127.0.0.1:1", processes=processes)

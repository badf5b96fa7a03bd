"""Neither a signal handler nor a forked child waits for ever at a lock.

A handler runs in the thread that it interrupts, so what it does is tried here by the
thread that holds the lock; another thread watches, for it may never end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as settled
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from openfeature_gov import locks
from openfeature_gov.allowances.aside import Aside, Held
from openfeature_gov.allowances.rates import LocalRates
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.controls.budget import Charge
from openfeature_gov.evidence.entries import Purse, Settle, Spend
from openfeature_gov.governance import Governance
from openfeature_gov.governance.envelopes import Budget as Envelope
from openfeature_gov.identity.identities import Identities
from openfeature_gov.identity.key_sets import KeySet
from openfeature_gov.observing import Observer
from openfeature_gov.policies.budget import Budget, OverrunError
from openfeature_gov.running import Runner
from openfeature_gov.stores.waiting import Wait
from openfeature_gov.threads import Threads
from tests.guarding import ACTION, NOW, ruled
from tests.interrupting import interrupted

NOBODY: Any = None


def ended(work: Callable[[], object]) -> bool:
    """Say whether *work* ends, in a thread that may be left behind."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    return not thread.is_alive()


@contextmanager
def held(lock: Any) -> Iterator[None]:
    """Let another thread hold *lock* for the block."""
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            over.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(30)
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def observing(settings: str = "kind: refusals, count: 3") -> tuple[Observer, Any]:
    rules = ruled(settings)
    return Observer(Governance({"tool": rules}), lambda: NOW), rules


def spent() -> Held:
    envelope = Envelope(
        name="b", unit="calls", ceiling=Decimal(50), per="day", awayShare=5
    )
    spend = Spend(Purse("b", "a"), "r", "calls", 1, 50, 1, 1)
    return Held(Charge(envelope, "a", "", 1), spend)


KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
"""The public key of RFC 8037, appendix A.2."""
LOCKED: dict[str, tuple[Callable[[], Any], str]] = {
    "policies": (Budget, "_lock"),
    "rates": (LocalRates, "_lock"),
    "shares": (lambda: Aside(lambda: 0), "_lock"),
    "guardrails": (lambda: observing()[0], "_lock"),
    "threads": (lambda: Threads("test"), "_lock"),
    "approvals": (lambda: ApprovalQueue(NOBODY, NOBODY, NOBODY), "_one_by_one"),
    "identities": (Identities, "_lock"),
    "keys": (lambda: KeySet.of({"keys": [KEY]}), "_lock"),
}


@pytest.mark.parametrize("name", LOCKED)
def test_a_child_finds_no_lock_held_by_a_thread_that_it_has_not(name: str) -> None:
    make, lock = LOCKED[name]
    one = make()
    with held(getattr(one, lock)):
        locks._renew_all()  # as a fork does in the child
        assert getattr(one, lock).acquire(blocking=False)


def test_what_is_gone_is_renewed_no_more() -> None:
    """A Governor that was closed and dropped leaves nothing behind for forks."""
    before = len(locks._all)
    one: Any = Budget()
    assert len(locks._all) == before + 1
    del one
    assert len(locks._all) == before


def test_a_handler_may_not_begin_what_is_being_counted() -> None:
    """Both would find the same place free."""
    rates = LocalRates()
    found: list[bool] = []

    def work() -> None:
        with rates._lock:
            found.append(rates.take("key", 5, 60))

    assert ended(work)
    assert found == [False]
    assert rates.take("key", 5, 60)


def test_a_handler_takes_no_share_that_is_being_counted() -> None:
    shares, one = Aside(lambda: 0), spent()
    reserved = shares.reserve([one])
    shares.kept(reserved)
    found: list[Any] = []

    def work() -> None:
        with shares._lock:
            found.extend([shares.take([one]), shares.reserve([one])])
            found.extend([shares.corrected(one, 1), shares.forgo([one.spend.of])])
            found.extend([shares.returned(), shares.undone(reserved)])
            shares.kept(reserved)

    assert ended(work)
    assert found == [one.charge, (), False, False, (), []]
    assert isinstance(shares.take([one]), tuple)
    (back,) = shares.returned()
    assert isinstance(back, Settle)
    assert back.cost == one.spend.amount


def test_guardrails_know_nothing_for_a_handler() -> None:
    """What it interrupts is half noted, so that nothing may begin on it."""
    observer, rules = observing("kind: money, limit: 9, currency: USD, per: customer")
    found: list[Any] = []

    def work() -> None:
        with observer._lock:
            found.append(observer.situation(ACTION, rules))
            found.append(observer.begin(ACTION, (), "r-1", full=True))

    assert ended(work)
    assert (found[0].spent, found[1]) == ({}, False)
    assert observer.situation(ACTION, rules).spent == {"money": 0}


def test_what_a_handler_notes_counts_once_who_it_interrupts_goes_on() -> None:
    observer, rules = observing()

    def work() -> None:
        with observer._lock:
            observer.refused("agent-1", "task-1", NOW)
            observer.end("r-1", "executed")
            assert len(observer._ends) == 2

    assert ended(work)
    assert observer.situation(ACTION, rules).refusals == {"refusals": (NOW,)}


def test_a_handler_may_close_whom_it_interrupts() -> None:
    """SIGTERM may come while a policy is asked, or a tool begun in a thread."""
    budget, runner = Budget(), Runner(NOBODY, NOBODY)
    threads = runner._threads
    said: list[str] = []

    def work() -> None:
        with budget._lock, threads._lock:
            budget.close()
            runner.close()
            try:
                budget.run(lambda: True, 60)
            except OverrunError as error:
                said.append(str(error))

    assert ended(work)
    assert said == ["somebody is being asked right now"]
    with pytest.raises(OverrunError, match="any more"):
        budget.run(lambda: True, 60)
    assert threads.begin(NOBODY) is None


def test_who_answers_just_when_he_is_given_up_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer may come between the two looks of the one who gives up."""
    budget, begun, goes_on = Budget(1), threading.Event(), threading.Event()
    cancel = Future.cancel

    def answered(future: Future[Any]) -> bool:
        assert begun.wait(30)
        found = cancel(future)
        goes_on.set()
        assert not settled([future], 30).not_done
        return found

    def policy() -> bool:
        begun.set()
        return goes_on.wait(60)

    def work() -> None:
        with pytest.raises(OverrunError, match="no answer"):
            budget.run(policy, 0)

    class Waits(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            assert begun.wait(30)
            return super().result(timeout)

    monkeypatch.setattr(Future, "cancel", answered)
    monkeypatch.setattr("openfeature_gov.policies.budget.Future", Waits)
    assert ended(work)
    monkeypatch.undo()
    assert budget.run(lambda: True, 60)
    assert not budget._late


def test_two_may_tell_one_who_waits() -> None:
    """The writer, and who closes it while it hangs."""
    wait: Any = Wait()
    wait._silence = Silence(wait._silence)
    wait(None)
    assert wait.told(0)


class Silence:
    """A lock that another thread lets go between a look and the next step."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self.acquire = lock.acquire

    def locked(self) -> bool:
        found = bool(self._lock.locked())
        self._lock.release()
        return found

    def release(self) -> None:
        self._lock.release()


def test_an_interrupted_ring_leaves_a_bell_that_rings() -> None:
    """A handler may raise between any two steps, even of taking a lock."""
    bell = locks.Bell()

    def rings(_: int) -> None:
        bell.heard(0)
        assert ended(bell.ring)
        assert bell.heard(30)

    interrupted(bell.ring, rings)


def test_a_ring_is_heard_once_whenever_it_was() -> None:
    bell = locks.Bell()
    assert not bell.heard(0)
    bell.ring()
    bell.ring()
    assert bell.heard(0)
    assert not bell.heard(0)

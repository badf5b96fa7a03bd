"""Properties that are computed once, and keep nobody waiting."""

from __future__ import annotations

import functools
import inspect
import threading
from contextlib import nullcontext
from types import ModuleType

import pytest

from openfeature_gov.governance import contract, envelopes, guardrails
from openfeature_gov.once import cached_property
from openfeature_gov.targets import featbit
from openfeature_gov_rollout import plan


class Slow:
    """Compute a value that may take long."""

    def __init__(self, goes_on: threading.Event) -> None:
        self.goes_on, self.computed = goes_on, 0
        self.begun = threading.Event()

    @cached_property
    def value(self) -> int:
        """Return seven, in the end."""
        self.computed += 1
        self.begun.set()
        assert self.goes_on.wait(60)
        return 7


def test_it_is_computed_once_an_instance() -> None:
    done = threading.Event()
    done.set()
    one = Slow(done)
    assert (one.value, one.value, one.computed) == (7, 7, 1)
    assert Slow.value.__doc__ == "Return seven, in the end."


def test_who_computes_keeps_nobody_else_waiting() -> None:
    """Were there a lock, a child forked now would wait for it for ever."""
    goes_on, done = threading.Event(), threading.Event()
    done.set()
    slow, quick = Slow(goes_on), Slow(done)
    computing = threading.Thread(target=lambda: slow.value)
    computing.start()
    try:
        assert slow.begun.wait(30)
        found: list[int] = []
        reading = threading.Thread(target=lambda: found.append(quick.value))
        reading.start()
        reading.join(30)
        assert found == [7]
    finally:
        goes_on.set()
        computing.join(60)


@pytest.mark.parametrize("module", [contract, envelopes, guardrails, featbit, plan])
def test_what_decisions_read_is_computed_without_a_lock(module: ModuleType) -> None:
    found = [
        value
        for _, kind in inspect.getmembers(module, inspect.isclass)
        for value in vars(kind).values()
        if isinstance(value, functools.cached_property)
    ]
    assert found
    for one in found:
        assert isinstance(vars(one).get("lock", nullcontext()), nullcontext)

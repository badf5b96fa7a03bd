"""The Governor and tools: which it takes, and which results are a finished run."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from openfeature_gov import RegistrationError
from tests.conftest import Make
from tests.mailing import MAIL, SEARCH, call, log


def test_registration_refuses_what_cannot_be_governed(desk: Make) -> None:
    """No contract, a taken name, unnameable parameters, generators, mixed colours."""
    one = desk(MAIL + "---\n" + SEARCH)
    register = one.governor.tool

    async def later(to: str) -> None:
        """Be async."""

    def stream(to: str) -> Any:
        yield to

    bad: list[Callable[[], Any]] = [
        lambda: register("nope")(one.spy),
        lambda: register("mail")(lambda *args: None),
        lambda: register("mail")(stream),
        lambda: register("mail", draft=later)(lambda to: None),
    ]
    for attempt in bad:
        with pytest.raises(RegistrationError):
            attempt()
    register("mail")(one.spy)
    with pytest.raises(RegistrationError):
        register("mail")(one.spy)


def test_unfinished_work_is_no_execution(desk: Make) -> None:
    """A sync tool that returns a coroutine, a task or a generator has failed."""

    async def later() -> None:
        """Run later."""

    def lazy() -> Any:
        return (number for number in range(3))

    async def stream() -> AsyncIterator[int]:
        yield 1

    class Task:
        """Be awaitable, as tasks are."""

        def __await__(self) -> Iterator[None]:
            yield

    class Pair(NamedTuple):
        """Hold two results."""

        first: Any
        second: Any

    def returning(work: Callable[[], Any]) -> Callable[..., Any]:
        return lambda to: work()

    waited: Future[None] = Future()
    several: list[Callable[[], Any]] = [
        *(later, lazy, Task, lambda: waited),
        *(lambda: map(str, "ab"), lambda: zip("a", "b", strict=True)),
        *(lambda: filter(None, "ab"), lambda: iter([1]), lambda: csv.reader(["a"])),
        *(lambda: [later(), later()], lambda: (1, waited), lambda: ["a", lazy()]),
        *(lambda: Pair(1, later()), stream),
    ]
    for work in several:
        one = desk(MAIL)
        one.governor.tool("mail")(returning(work))
        with pytest.raises(RegistrationError, match="unfinished"):
            one.governor.run(call(to="x"))
        assert [r["status"] for r in log(one, "outcome")] == ["failed"]


def test_finished_work_is_passed_on_as_it_is(desk: Make) -> None:
    """Containers of results, ranges, lazy-looking types and open files are results."""
    one = desk(MAIL)
    given: list[Any] = [[], [1, [2]], (1, {"a": iter("")}), {1}, range(3), b"a", int]
    given += [io.StringIO("a"), [io.BytesIO(b"a")], [datetime.now(UTC)]]
    one.governor.tool("mail")(lambda to: given[to])
    for at, value in enumerate(given):
        assert one.governor.run(call(to=at)).value is value

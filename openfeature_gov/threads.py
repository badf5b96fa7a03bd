"""`Threads`: run sync code for tasks, in threads that nobody else keeps busy.

The threads that a loop lends are its host's: what fills them would keep decisions
waiting, and what waits there for a decision would wait for ever.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from openfeature_gov.locks import interrupted, renewed

T = TypeVar("T")


class _Work:
    """Know how deep work is that others may wait for, until it ended.

    Its context outlives it, in tasks that it began: nobody waits for it through them.
    """

    __slots__ = ("_above", "_ended", "depth")
    depth: int
    _above: _Work | None
    _ended: bool

    def __init__(self, above: _Work | None) -> None:
        while above is not None and above._ended:  # noqa: SLF001 - of this class
            above = above._above  # noqa: SLF001 - of this class
        self._above, self._ended = above, False
        self.depth = 0 if above is None else above.depth + 1

    def done(self, work: Callable[[], T]) -> T:
        """Do *work*, within a context that knows of it."""
        _work.set(self)
        try:
            return work()
        finally:
            self._ended = True


_work: contextvars.ContextVar[_Work | None] = contextvars.ContextVar(
    "gov_work", default=None
)


class Threads:
    """Lend threads called *name* until `close`. Safe to share.

    What runs in a thread may wait for what runs in another one. Each depth has threads
    of its own, at most *most*, so that none waits for a thread that waits for it.
    """

    def __init__(self, name: str, most: int | None = None) -> None:
        self._name, self._most = name, most
        self.closed = False
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin without threads: those of the parent are not there after a fork."""
        self._lock = threading.RLock()
        self._pools: list[ThreadPoolExecutor] = []

    def begin(self, work: Callable[[], T]) -> Future[T] | None:
        """Let *work* begin within this context, None where this or all is closed."""
        context, begun = contextvars.copy_context(), _Work(_work.get())
        with self._lock:
            if self.closed:
                return None
            for _ in range(len(self._pools), begun.depth + 1):
                self._pools.append(ThreadPoolExecutor(self._most, self._name))
            try:
                return self._pools[begun.depth].submit(context.run, begun.done, work)
            except RuntimeError:  # the interpreter ends, or a handler closed this
                return None

    def close(self) -> None:
        """Begin nothing more, wait for what runs; idempotent.

        A signal handler that interrupts who begins does not wait: he could not go on.
        """
        self.closed = True
        if interrupted(self._lock):
            return
        with self._lock:
            pools = tuple(self._pools)
        for one in pools:
            one.shutdown(wait=True)

"""Who in this process is inside SQLite, which a fork waits for.

SQLite keeps its locks in memory, and a fork copies them as they are: a child made while
another thread was inside waits for one that nobody gives back, or takes one for granted
that it does not have. Such a child uses SQLite no more, and says so.

Source: https://www.sqlite.org/howtocorrupt.html, 2.6.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from openfeature_gov.errors import RecordStoreError

PROOF_S = 5.0
"""How long SQLite may take to answer in a forked child."""
LOOK_S = 0.0005
"""How often who forks, or waits for one who does, looks."""
ADVICE = (
    "this process has no records: it was forked while {} of its parent was inside"
    " SQLite; fork while nothing reads or writes records, or start it by spawn"
)


class Inside:
    """Count the threads inside SQLite, and keep others out while one forks."""

    def __init__(self) -> None:
        self.unfit = ""
        # INVARIANT: no lock. Ctrl-C may come between any two steps, even of taking one.
        self._visits: dict[object, int] = {}
        self._forker = 0

    def require(self) -> None:
        """Raise `RecordStoreError` in a child that may not use SQLite."""
        if self.unfit:
            raise RecordStoreError(self.unfit)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be inside for the block.

        Raises:
            RecordStoreError: in a child that may not use SQLite.

        """
        self.require()
        visit = object()
        try:
            self._enter(visit)
            yield
        finally:  # of a generator, perhaps by another thread
            self._visits.pop(visit, None)

    def _enter(self, visit: object) -> None:
        """Be inside as *visit*, once nobody forks whom this thread need wait for."""
        me = threading.get_ident()
        # INVARIANT: in before it looks: who forks looks after he says that he does.
        self._visits[visit] = me
        # Who is inside already, or forks, would wait for himself.
        while self._forker not in (0, me) and self._threads().count(me) < 2:
            del self._visits[visit]
            time.sleep(LOOK_S)
            self._visits[visit] = me

    def _threads(self) -> tuple[int, ...]:
        return tuple(self._visits.values())

    def rest(self, wait_s: float) -> bool:
        """Let nobody in before a fork; say whether all are out within *wait_s*."""
        me, deadline = threading.get_ident(), time.monotonic() + wait_s
        self._forker = me
        while set(self._threads()) - {me}:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
        return me not in self._threads()

    def go_on(self) -> None:
        """Let others in again, after a fork."""
        self._forker = 0

    def begin_anew(self, *, rested: bool) -> None:
        """Begin as a forked child, whose parent was or was not at rest."""
        me, visits = threading.get_ident(), self._visits.items()
        self._visits = {visit: thread for visit, thread in visits if thread == me}
        self._forker = 0
        if not rested:
            self.unfit = self.unfit or ADVICE.format("a thread")

    def prove(self, path: Path) -> None:
        """Learn in a forked child whether SQLite answers about the file *path*.

        A part of the program that this package knows nothing of may have been inside.
        """
        if self.unfit:
            return
        asking = threading.Thread(target=_ask, args=(path,), daemon=True)
        asking.start()
        asking.join(PROOF_S)
        if asking.is_alive():
            self.unfit = ADVICE.format("another part")


inside = Inside()
"""The one of this process."""


def _ask(path: Path) -> None:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as found:
        found.execute("SELECT randomblob(8), count(*) FROM sqlite_schema").fetchone()

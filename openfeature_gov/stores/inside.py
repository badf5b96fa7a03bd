"""Who in this process is inside SQLite, which a fork waits for.

SQLite keeps its locks in memory, and a fork copies them as they are: a child made while
another thread was inside waits for one that nobody gives back, or takes one for granted
that it does not have. Such a child uses SQLite no more, and says so.

Source: https://www.sqlite.org/howtocorrupt.html, 2.6.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from openfeature_gov.errors import RecordStoreError

PROOF_S = 5.0
"""How long SQLite may take to answer in a forked child."""
ADVICE = (
    "this process has no records: it was forked while {} of its parent was inside"
    " SQLite; fork while nothing reads or writes records, or start it by spawn"
)


class Inside:
    """Count the threads inside SQLite, and keep others out while one forks."""

    def __init__(self) -> None:
        self.unfit = ""
        self._restart(Counter())

    def _restart(self, threads: Counter[int]) -> None:
        self._threads = threads
        self._forker: int | None = None
        self._changed = threading.Condition()

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
        me = threading.get_ident()
        with self._changed:
            # Who is inside already, or forks, would wait for himself.
            if not self._threads[me]:
                self._changed.wait_for(lambda: self._forker in (None, me))
            self._threads[me] += 1
        try:
            yield
        finally:  # of a generator, perhaps by another thread
            with self._changed:
                self._threads[me] -= 1
                if not self._threads[me]:
                    del self._threads[me]
                self._changed.notify_all()

    def rest(self, wait_s: float) -> bool:
        """Let nobody in before a fork; say whether all are out within *wait_s*."""
        me = threading.get_ident()
        with self._changed:
            self._forker = me
            own = self._threads[me]
            out = self._changed.wait_for(
                lambda: self._threads.total() == self._threads[me], wait_s
            )
            return out and not own

    def go_on(self) -> None:
        """Let others in again, after a fork."""
        with self._changed:
            self._forker = None
            self._changed.notify_all()

    def begin_anew(self, *, rested: bool) -> None:
        """Begin as a forked child, whose parent was or was not at rest."""
        me = threading.get_ident()
        self._restart(Counter({me: self._threads[me]}))
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

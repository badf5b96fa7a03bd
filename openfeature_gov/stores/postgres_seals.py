"""The seals of record logs in PostgreSQL: a tree a writer, and a ledger over them all.

Every checkpoint of a writer's log becomes a record of the ledger, a log that all
writers share. The ledger has a tree and checkpoints of its own: its root is the root
over all logs, and its checkpoints alone are published. Whoever holds one of them can
tell whether any log was cut, changed or dropped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from hashlib import sha256
from typing import LiteralString, NamedTuple

import psycopg

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence import keys
from openfeature_gov.evidence.chain import Books
from openfeature_gov.evidence.notes import Signer
from openfeature_gov.evidence.published import Published
from openfeature_gov.evidence.publishers import Publisher
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.evidence.sealing import SEEN, Sealer, Sealing, seen
from openfeature_gov.stores import postgres_schema as schema
from openfeature_gov.stores import postgres_sessions as sessions
from openfeature_gov.stores import postgres_statements as statements
from openfeature_gov.stores.postgres_sealed import PostgresLog
from openfeature_gov.stores.statements import row

LEDGER = "ledger"
"""The writer of the records that hold checkpoints."""
CHECKPOINT = "checkpoint"
LEDGER_LOCK = schema.SETUP_LOCK + 1
logger = logging.getLogger(__name__)
HEAD: LiteralString = """
SELECT number, note FROM checkpoints WHERE writer = %s ORDER BY number DESC LIMIT 1
"""


class Seals(NamedTuple):
    """Hold what seals in one process: its own log, and the ledger of all."""

    own: Sealer
    ledger: Sealer
    bury: Callable[[], None]
    """Seals what the dead left."""

    def stop(self) -> None:
        """End the threads, while what they find can still be recorded."""
        self.own.stop()
        try:
            self.bury()
        except Exception:  # their checkpoints are missing, not their records
            logger.exception("the logs of dead writers could not be sealed")

    def close(self) -> None:
        """Seal what is left and let go."""
        self.own.close()
        self.ledger.close()

    def abandon(self) -> None:
        """Leave everything to the parent, in a forked child."""
        self.own.abandon()
        self.ledger.abandon()


def seals(
    url: str,
    books: Books,
    sealing: Sealing,
    died: threading.Event,
    *,
    now: Callable[[], int],
    clock: Callable[[], int],
) -> Seals:
    """Return what seals the log at *url* that *books* writes, and the ledger.

    While *died* is set, logs of writers that have ended are looked for and sealed to
    their end, with the next checkpoint of this one.

    Raises:
        RecordStoreError: when no key or no file of checkpoints is named, or the key
            cannot be used.
        psycopg.Error: when the database does not answer.
        OSError: when a file cannot be used.

    """
    signer, path = _signer(sealing, url), sealing.checkpoints
    if path is None:
        raise RecordStoreError(
            f"{sessions.place(url)}: name the file that checkpoints are published to"
        )
    with ExitStack() as opened:
        log = opened.enter_context(closing(PostgresLog(url, LEDGER)))
        mine = opened.enter_context(closing(PostgresLog(url, books.writer)))
        _begin(Published(path), log, now)
        made = partial(Sealer, now=now, clock=clock)
        ledger = made(log, Voice(books, LEDGER), signer, Published(path), sealing)
        enter = partial(_enter, url, books, ledger)

        def sealer(its: PostgresLog, writer: str, *publish: Publisher) -> Sealer:
            apart = sealing._replace(publish=publish)
            return made(its, Voice(books, writer), signer, Unpublished(its), apart)

        def bury(*_: str) -> None:
            if not died.is_set():
                return
            died.clear()
            try:
                for writer in log.unfinished():
                    with closing(PostgresLog(url, writer)) as last:
                        sealer(last, writer).seal()
                        if head := last.head():
                            enter(writer, head.note)
            except BaseException:
                died.set()
                raise

        own = sealer(mine, books.writer, partial(enter, books.writer), bury)
        opened.pop_all()
        return Seals(own, ledger, bury)


def _signer(sealing: Sealing, url: str) -> Callable[[], Signer]:
    if sealing.key is None:
        raise RecordStoreError(
            f"{sessions.place(url)}: name the key that seals; all writers share it"
        )
    return sealing.key if callable(sealing.key) else partial(keys.open_key, sealing.key)


def _begin(published: Published, log: PostgresLog, now: Callable[[], int]) -> None:
    """Let a host that is new to this database go on from the ledger's last checkpoint.

    It can only trust that one, as any first sight: the others hold older ones.
    """
    if not published.path.exists():
        head = log.head()
        first = [] if head is None else [head.note]
        published.extend(lambda last: first if last is None else [], now() // 1000)


def _enter(url: str, books: Books, ledger: Sealer, writer: str, note: str) -> None:
    """Make *note*, of *writer*, a record of the ledger, once, and seal the ledger."""
    stamp = books.stamp()
    identity = f"checkpoint-{sha256(note.encode()).hexdigest()[:32]}"
    mine = Stamp(identity, stamp.at_us, LEDGER)
    with psycopg.connect(sessions.reached(url, f"gov-ledger {writer}")) as connection:
        connection.execute("SET LOCAL synchronous_commit = on")
        # Who stops in here must not keep the others from the ledger for long.
        connection.execute("SET LOCAL lock_timeout = '10s'")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = '10s'")
        # INVARIANT: kept until commit, so that no number shows before a lower one.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LEDGER_LOCK,))
        found = connection.execute("SELECT 1 FROM records WHERE id = %s", (identity,))
        if found.fetchone() is None:
            [(last,)] = connection.execute(
                "SELECT coalesce(max(seq), 0) FROM records WHERE writer = %s", (LEDGER,)
            )
            head = connection.execute(HEAD, (LEDGER,)).fetchone()
            told = {} if head is None else {SEEN: seen(*head)}
            record = note_record(mine, CHECKPOINT, writer, note=note, **told)
            connection.execute(statements.INSERT, (last + 1, *row(record, LEDGER)))
    ledger.seal()


class Voice:
    """Let a Sealer speak of the log of *writer* in the records of *books*."""

    def __init__(self, books: Books, writer: str) -> None:
        self._books, self.writer = books, writer

    def stamp(self) -> Stamp:
        """Return the identity of a record of the log itself."""
        return self._books.stamp()

    def append(self, record: Record) -> None:
        """Take *record*, which becomes durable soon."""
        self._books.append(record)

    def commit(self, record: Record) -> None:
        """Take *record* and return once it is durable."""
        self._books.commit(record)


class Unpublished(Published):
    """Publish nothing by itself: the ledger holds every checkpoint of the log."""

    def __init__(self, log: PostgresLog) -> None:
        self._log = log

    def last(self) -> str | None:
        """Return the last checkpoint of the log.

        Raises:
            FileNotFoundError: when there is none.

        """
        head = self._log.head()
        if head is None:
            raise FileNotFoundError("no checkpoint yet")
        return head.note

    def begin(self) -> None:
        """Do nothing."""

    def extend(
        self,
        missing: Callable[[str | None], list[str]],  # noqa: ARG002
        at_us: int,  # noqa: ARG002
    ) -> int:
        """Do nothing; the notes are handed out one by one."""
        return 0

    def abandon(self) -> None:
        """Do nothing."""

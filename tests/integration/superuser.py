"""A superuser of a PostgreSQL database who edits its logs, and covers the traces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from openfeature_gov.canonical import encode
from openfeature_gov.evidence.keys import FileSigner
from tests.integration.attacker import Attacker

LEDGER = "ledger"
TABLES = ("records", "checkpoints", "archives")


class Session:
    """Let SQL that SQLite understands reach PostgreSQL."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, text: str, values: Sequence[object] = ()) -> Any:
        """Execute *text*, with question marks for *values*."""
        if not values:
            return self._connection.execute(text.encode())
        return self._connection.execute(text.replace("?", "%s").encode(), values)


class Superuser(Attacker):
    """Change the log of *writer* in the database *url*; *folder* holds key and file.

    What it executes sees the rows of that log alone, through views of these names.
    """

    def __init__(self, folder: Path, url: str, writer: str) -> None:
        super().__init__(folder, folder)
        self.url, self.writer = url, writer
        self.between_us = 0

    def on(self, writer: str) -> Superuser:
        """Return the same person at work on another log."""
        return Superuser(self.folder, self.url, writer)

    @contextmanager
    def open(self) -> Iterator[Session]:
        """Lend a session for which nothing is append-only."""
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            session = Session(connection)
            for table in TABLES:
                session.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for table in TABLES:
                session.execute(
                    f"CREATE TEMP VIEW {table} AS SELECT * FROM public.{table}"
                    f" WHERE writer = '{self.writer}'"
                )
            yield session
            for table in TABLES:
                for event in ("change", "truncate"):
                    session.execute(
                        f"ALTER TABLE public.{table}"
                        f" ENABLE ALWAYS TRIGGER {table}_no_{event}"
                    )

    def bare(self, *statements: str) -> None:
        """Execute *statements* on the tables as they are."""
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def truncate(self) -> None:
        """Go back to an earlier checkpoint of the log, in the ledger too."""
        with self.open() as session:
            (size,) = session.execute("SELECT min(size) FROM checkpoints").fetchone()
            session.execute("DELETE FROM records WHERE seq > ?", (size,))
            session.execute("DELETE FROM checkpoints WHERE size > ?", (size,))

    def seal(self, signer: FileSigner, *, origin: str | None = None) -> None:
        """Make all checkpoints anew, enter them in the ledger, and seal that anew."""
        notes = iter(self.sealed(signer, origin))
        ledger = self.on(LEDGER)
        with ledger.open() as session:
            for seq, body in session.execute(
                "SELECT seq, body FROM records ORDER BY seq"
            ).fetchall():
                facts = json.loads(body)
                if facts["ref"] == self.writer:
                    facts["note"] = next(notes)
                    self.write(session, seq, encode(facts))
        ledger.sealed(signer, None)

    def restore(self) -> None:
        """Let all logs be as a backup from between the two Governors has them."""
        self.run(
            f"DELETE FROM public.records WHERE at_us > {self.between_us}",
            f"DELETE FROM public.checkpoints WHERE at_us > {self.between_us}",
        )


def ledger(tamper: Callable[[Attacker], object]) -> Callable[[Attacker], object]:
    """Return how to do to the ledger what *tamper* does."""

    def done(it: Attacker) -> None:
        assert isinstance(it, Superuser)
        tamper(it.on(LEDGER))

    return done

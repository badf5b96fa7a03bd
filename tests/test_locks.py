"""Reading a log drops none of the locks that its own process holds on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from openfeature_gov.evidence.records import note_record
from openfeature_gov.evidence.standalone.gov_verify import open_evidence
from openfeature_gov.stores import history
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.sqlite import SqliteStore

OTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM records").fetchone()
connection.close()
"""
"""Another process that opens the log and leaves: the last one removes its index."""


def asked(path: Path) -> None:
    with opened(path) as log:
        log.recorded("true")


def verified(path: Path) -> None:
    open_evidence(path).close()  # type: ignore[union-attr] # a database


READS: dict[str, Callable[[Path], object]] = {
    "history": history.records,
    "query": asked,
    "verifier": verified,
}


@pytest.mark.parametrize("read", READS)
def test_a_reader_leaves_the_writers_locks(tmp_path: Path, read: str) -> None:
    """Nobody then takes the log from under the writer."""
    path = tmp_path / "records.db"
    store = SqliteStore(path, sealing=None)
    try:
        READS[read](path)
        command = [sys.executable, "-c", OTHER, str(path)]
        subprocess.run(command, check=True, timeout=30)
        assert path.with_name("records.db-shm").exists()
        store.commit(note_record(store.stamp(), "mark"))
        kinds = [one["kind"] for one in history.records(path)]
        assert kinds == ["start", "mark"]
    finally:
        store.close()

"""A process that ends without a goodbye leaves its records whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores import history, leaving

ROOT = Path(__file__).parents[1]
ROOTS = [str(ROOT / name) for name in ("", "providers", "rollout")]
HEAD = f"""
import sys, threading
sys.path[:0] = {ROOTS!r}
from pathlib import Path
from openfeature_gov.evidence.records import note_record
from openfeature_gov.stores.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
"""
ENDS = {
    "at its end": "store.append(note_record(store.stamp(), 'last'))",
    "by exit": "store.append(note_record(store.stamp(), 'last')); sys.exit(3)",
    "by an error": "store.append(note_record(store.stamp(), 'last')); raise OSError",
    "in a thread": """
def last():
    store.append(note_record(store.stamp(), 'last'))
threading.Thread(target=last).start()
sys.exit(3)
""",
}
KEPT = """
from openfeature_gov.stores import leases
leases.WAIT_S = 0.05
turn = leases.Turn(store.path).taken()
turn.__enter__()
sys.exit(3)
"""
"""Another writer never ends its batch."""


def ended(path: Path, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", HEAD + code, str(path)]
    return subprocess.run(
        command, check=False, timeout=120, capture_output=True, text=True
    )


@pytest.mark.parametrize("way", ENDS)
def test_what_was_handed_over_is_written_at_exit(tmp_path: Path, way: str) -> None:
    path = tmp_path / "records.db"
    done = ended(path, ENDS[way])
    assert done.returncode == {"at its end": 0, "by an error": 1}.get(way, 3)
    assert ("Traceback" in done.stderr) is (way == "by an error")
    kinds = [one["kind"] for one in history.records(path)]
    assert kinds == ["start", "last", "stop"]


def test_what_cannot_be_written_at_exit_is_told_and_keeps_the_exit_code(
    tmp_path: Path,
) -> None:
    done = ended(tmp_path / "records.db", KEPT)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "were left unwritten" in done.stderr


def test_each_store_is_closed_whatever_becomes_of_the_others() -> None:
    class Store:
        closed = False

        def close(self) -> None:
            self.closed = True
            raise RecordStoreError("the disk is full")

    stores = [Store(), Store()]
    for one in stores:
        leaving.watch(one)
    leaving._close_all()
    for one in stores:
        leaving.forget(one)
    assert [one.closed for one in stores] == [True, True]

"""Sealed logs in files, for tests: made, altered, looked at and checked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.evidence import keys
from openfeature_gov.evidence.merkle import Tree, leaf_hash
from openfeature_gov.evidence.notes import (
    Verifier,
    link,
    open_checkpoint,
)
from openfeature_gov.evidence.published import notes
from openfeature_gov.evidence.records import note_record
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.stores import history, seals
from openfeature_gov.stores.sqlite import SqliteStore

NEVER = Sealing(every=1_000_000, seconds=3600)
"""Seals nothing by itself: a test says when."""


BODIES = "SELECT body FROM records ORDER BY seq"


class opened:  # noqa: N801 - reads as a function
    """Open the store at *path* for a block."""

    def __init__(self, path: Path, how: Sealing | None = NEVER, **options: Any) -> None:
        self.store = SqliteStore(path, sealing=how, **options)

    def __enter__(self) -> SqliteStore:
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


def add(store: SqliteStore, count: int = 1) -> None:
    for number in range(count):
        store.append(note_record(store.stamp(), "note", number=number))
    store.flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
def log(path: Path) -> Path:
    """A log of three sealed runs of ten records each."""
    for _ in range(3):
        with opened(path) as store:
            add(store, 10)
    return path


def seal(store: SqliteStore) -> None:
    assert store.sealer is not None
    store.sealer.seal()


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def alter(path: Path, *statements: str) -> None:
    """Do to the file what someone with write access can."""
    with closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def size(path: Path) -> int:
    return int(rows(path, "SELECT count(*) FROM records")[0][0])


def sizes(path: Path) -> list[int]:
    """Return what the checkpoints cover, but the first one over nothing."""
    query = "SELECT size FROM checkpoints WHERE size > 0 ORDER BY number"
    return [one for (one,) in rows(path, query)]


def findings(path: Path) -> list[str]:
    return [str(one["finding"]) for one in history.records(path, kind="tamper")]


def public(path: Path) -> Verifier:
    return keys.read_key(seals.key_file(path)).verifier


def sound(path: Path, pinned: Verifier | None = None) -> list[tuple[str, int]]:
    """Require that every published checkpoint is right; return origins and sizes.

    The first, over nothing, is left out.
    """
    tree = Tree([leaf_hash(one) for (one,) in rows(path, BODIES)])
    held = list(notes(seals.checkpoint_file(path)))
    made = [open_checkpoint(note, [pinned or public(path)]) for note in held]
    before = ""
    for number, (note, one) in enumerate(zip(held, made, strict=True), 1):
        assert one.root == tree.root(one.size)
        assert (one.number, one.before) == (number, link(before))
        before = note
    return [(one.origin, one.size) for one in made if one.size]


def end_unsealed(store: SqliteStore) -> None:
    """Take the Sealer away, as a kill before the last seal does."""
    store.sealer, kept = None, store.sealer
    assert kept is not None
    kept.stop()
    kept._log.close()

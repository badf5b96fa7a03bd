"""Several processes on one record file, sealed every few records, killed and forked.

Run ``python tests/integration/sealing.py kill ROUNDS FOLDER`` or ``fork CHILDREN
FOLDER``; prints one JSON line. ``kill`` lets four processes append, kills each with -9
at a random moment, and starts again. ``fork`` forks children that go on appending.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.merkle import Tree, leaf_hash
from openfeature_gov.evidence.notes import open_checkpoint
from openfeature_gov.evidence.published import notes
from openfeature_gov.evidence.records import note_record
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.stores.seals import checkpoint_file, key_file
from openfeature_gov.stores.sqlite import SqliteStore

OFTEN = Sealing(every=7, seconds=0.02)
PROCESSES = 4


def append(path: Path, report: int) -> None:
    """Append until killed; acknowledge every record that is durable."""
    store = SqliteStore(path, sealing=OFTEN)
    while True:
        record = note_record(store.stamp(), "note")
        store.commit(record)
        os.write(report, f"{record.id}\n".encode())


def round_of(path: Path, chance: random.Random) -> list[str]:
    """Fork the processes, kill all, return the ids that they acknowledged."""
    children, pipes = [], []
    for _ in range(PROCESSES):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                append(path, writer)
            finally:
                os._exit(3)
        os.close(writer)
        children.append(child)
        pipes.append(reader)
    select.select([chance.choice(pipes)], [], [], 20)
    time.sleep(chance.uniform(0, 0.08))
    for child in chance.sample(children, len(children)):
        os.kill(child, signal.SIGKILL)
    said = b""
    for child, pipe in zip(children, pipes, strict=True):
        with os.fdopen(pipe, "rb") as stream:
            said += stream.read()
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            raise SystemExit("a process ended by itself")
    return said.decode().split()


def kill(rounds: int, path: Path) -> list[str]:
    """Return the ids that were acknowledged before their processes were killed."""
    chance = random.Random(3)
    return [one for _ in range(rounds) for one in round_of(path, chance)]


def fork(children: int, path: Path) -> list[str]:
    """Fork under load; return the ids that parent and children acknowledged."""
    store = SqliteStore(path, sealing=OFTEN)
    reader, writer = os.pipe()
    kept = []
    for _ in range(children):
        for _ in range(5):
            kept.append(note_record(store.stamp(), "note"))
            store.commit(kept[-1])
        if os.fork() == 0:
            mine = [note_record(store.stamp(), "note") for _ in range(20)]
            for record in mine:
                store.commit(record)
            store.close()
            os.write(writer, "".join(f"{one.id}\n" for one in mine).encode())
            os._exit(0)
    for _ in range(children):
        _, status = os.wait()
        if status:
            raise SystemExit(f"a child ended with {status}")
    store.close()
    os.close(writer)
    with os.fdopen(reader) as stream:
        return [*(one.id for one in kept), *stream.read().split()]


def main(what: str, count: int, folder: Path) -> dict[str, int]:
    """Return what a look at the file finds afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "records.db"
    acknowledged = {"kill": kill, "fork": fork}[what](count, path)
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT id, kind, body FROM records ORDER BY seq"
        ).fetchall()
        stored = connection.execute("SELECT note FROM checkpoints ORDER BY number")
        stored_notes = [note for (note,) in stored]
    tree = Tree([leaf_hash(body) for *_, body in rows])
    key = read_key(key_file(path)).verifier
    published = list(notes(checkpoint_file(path)))
    made = [open_checkpoint(note, [key]) for note in published]
    return {
        "acknowledged": len(acknowledged),
        "lost": len(set(acknowledged) - {one for one, *_ in rows}),
        "tampered": sum(kind == "tamper" for _, kind, _ in rows),
        "checkpoints": len(made),
        "unpublished": len(set(stored_notes) - set(published)),
        "out_of_order": int(stored_notes != published),
        "wrong": sum(one.root != tree.root(one.size) for one in made),
        "origins": len({one.origin for one in made}),
        "unsealed": len(rows) - made[-1].size,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))

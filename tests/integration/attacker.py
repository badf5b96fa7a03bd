"""Whoever owns the machine of a record file: edits it, and covers the traces."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from openfeature_gov.canonical import encode
from openfeature_gov.evidence.keys import FileSigner, generate, read_key
from openfeature_gov.evidence.merkle import Frontier, leaf_hash
from openfeature_gov.evidence.notes import Checkpoint, parse_vkey, sign
from openfeature_gov.evidence.records import COLUMNS, Stamp, derived, note_record
from openfeature_gov.stores.sqlite import SqliteStore
from tests.worked import worked

Facts = dict[str, Any]
RECORDS, KEY, PUBLISHED = "records.db", "records.db.key", "records.db.checkpoints"


class Attacker:
    """Change the log in *folder*; *older* holds its files as they were before.

    The triggers are gone while it works and are put back, so that nothing is found but
    what was done.
    """

    writer = ""
    """The log that is attacked, where there are several."""

    def __init__(self, folder: Path, older: Path) -> None:
        self.folder, self.older = folder, older
        self.db = folder / RECORDS

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Lend a connection for which nothing is append-only."""
        with closing(sqlite3.connect(self.db, isolation_level=None)) as connection:
            triggers = connection.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
            ).fetchall()
            for name, _ in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            yield connection
            for _, text in triggers:
                connection.execute(text)

    def run(self, *statements: str) -> None:
        """Execute *statements*."""
        with self.open() as connection:
            for statement in statements:
                connection.execute(statement)

    def bare(self, *statements: str) -> None:
        """Execute *statements* with the triggers in force, as far as they are."""
        with closing(sqlite3.connect(self.db, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def change(self, what: str, edit: Callable[[Facts], object]) -> None:
        """Edit the body of one record of the kind *what*, and every column with it."""
        with self.open() as connection:
            seq, body = self.pick(connection, what)
            facts = json.loads(body)
            edit(facts)
            self.write(connection, seq, encode(facts))

    def write(self, connection: Any, seq: int, body: bytes) -> None:
        """Make *body* the record *seq*, and its columns what it says."""
        values = dict(zip(COLUMNS, derived(json.loads(body)), strict=True))
        pairs = ", ".join(f"{name} = ?" for name in (*values, "body"))
        connection.execute(
            f"UPDATE records SET {pairs} WHERE seq = ?", (*values.values(), body, seq)
        )

    def pick(self, connection: Any, what: str) -> tuple[int, bytes]:
        """Return a record of the kind *what*: one that says much."""
        found: tuple[int, bytes] = connection.execute(
            "SELECT seq, body FROM records WHERE kind = ? ORDER BY executes DESC,"
            " amount IS NULL, length(body) DESC, seq LIMIT 1",
            (what,),
        ).fetchone()
        return found

    def spell(self) -> None:
        """Write one record in another way that means the same."""
        with self.open() as connection:
            seq, body = self.pick(connection, "decision")
            connection.execute(
                "UPDATE records SET body = ? WHERE seq = ?", (body[:-1] + b" }", seq)
            )

    def personal(self, *, recorded: bool = False, **said: str) -> None:
        """Let a personal part say *said*; *recorded* also edits its digest."""
        with self.open() as connection:
            seq, body = self.pick(connection, "decision")
            part = connection.execute(
                "SELECT personal FROM records WHERE seq = ?", (seq,)
            ).fetchone()[0]
            facts = {**json.loads(part), **said}
            connection.execute(
                "UPDATE records SET personal = ? WHERE seq = ?", (encode(facts), seq)
            )
            if recorded:
                digest = sha256(encode(facts)).hexdigest()
                told = {**json.loads(body), "personalDigest": digest}
                self.write(connection, seq, encode(told))

    def insert(self, at: int | None) -> None:
        """Put a record of our own at *at*, or at the end; what follows moves up."""
        with self.open() as connection:
            (count,) = connection.execute("SELECT count(*) FROM records").fetchone()
            at = count + 1 if at is None else at
            for seq in range(count, at - 1, -1):
                connection.execute(
                    "UPDATE records SET seq = ? WHERE seq = ?", (seq + 1, seq)
                )
            _, body = self.pick(connection, "outcome")
            self.add(connection, at, encode({**json.loads(body), "id": "forged"}))

    def add(self, connection: Any, seq: int, body: bytes) -> None:
        """Insert *body* as record *seq*."""
        values = (seq, *derived(json.loads(body)), body)
        names = ", ".join(("seq", *COLUMNS, "body"))
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO records ({names}) VALUES ({marks})", values)

    def delete(self, seq: int) -> None:
        """Delete record *seq*; what follows moves down."""
        with self.open() as connection:
            connection.execute("DELETE FROM records WHERE seq = ?", (seq,))
            connection.execute("UPDATE records SET seq = 1 - seq WHERE seq > ?", (seq,))
            connection.execute("UPDATE records SET seq = -seq WHERE seq < 0")

    def truncate(self) -> None:
        """Go back to an earlier checkpoint: records, rows and published file."""
        with self.open() as connection:
            (size,) = connection.execute("SELECT min(size) FROM checkpoints").fetchone()
            connection.execute("DELETE FROM records WHERE seq > ?", (size,))
            connection.execute("DELETE FROM checkpoints WHERE size > ?", (size,))
        published = self.folder / PUBLISHED
        published.write_text(published.read_text("utf-8").splitlines()[0] + "\n")

    def frontier(self) -> None:
        """Let the checkpoints be of another tree."""
        with self.open() as connection:
            connection.execute("UPDATE checkpoints SET frontier = ?", (bytes(40),))

    def note(self) -> None:
        """Let a signed note say another size."""
        with self.open() as connection:
            for number, note in connection.execute(
                "SELECT number, note FROM checkpoints WHERE size > 0"
            ).fetchall():
                origin, size, rest = note.split("\n", 2)
                connection.execute(
                    "UPDATE checkpoints SET note = ? WHERE number = ?",
                    (f"{origin}\n{int(size) - 1}\n{rest}", number),
                )

    def view(self) -> None:
        """Show some of the records through a view of that name."""
        self.bare(
            "ALTER TABLE records RENAME TO held",
            "CREATE VIEW records AS SELECT * FROM held WHERE seq < 9",
        )

    def erase_and_seal(self) -> None:
        """Do the same where an honest process goes on, which seals what it finds."""
        self.erase()
        worked(self.folder)

    def erase(self) -> None:
        """Empty every personal part, and append a record that tells of it."""
        with closing(sqlite3.connect(self.db, isolation_level=None)) as connection:
            found = connection.execute("SELECT id FROM records WHERE personal NOT NULL")
            ids = [one for (one,) in found]
            connection.execute("UPDATE records SET personal = NULL")
            (last,) = connection.execute("SELECT max(seq) FROM records").fetchone()
            record = note_record(Stamp("e-1", 1, "w"), "erasure", records=ids)
            self.add(connection, last + 1, record.encoded().body)

    def index(self, name: str) -> None:
        """Let the index *name* leave out an agent, and say that it does not."""
        with closing(sqlite3.connect(self.db, isolation_level=None)) as connection:
            query = "SELECT sql FROM sqlite_schema WHERE name = ?"
            (text,) = connection.execute(query, (name,)).fetchone()
            connection.execute(f"DROP INDEX {name}")
            connection.execute(f"{text} AND agent IS NOT 'bot-b'")
        self.schema("sql = ?", name, text)

    def weaken(self) -> None:
        """Let a record without a writer vanish as it is written."""
        new = "sql = replace(sql, ?, 'writer TEXT NOT NULL ON CONFLICT IGNORE')"
        self.schema(new, "records", "writer TEXT NOT NULL")

    def schema(self, new: str, name: str, *values: str) -> None:
        """Edit what the file says that *name* is."""
        with closing(sqlite3.connect(self.db, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute(
                f"UPDATE sqlite_schema SET {new} WHERE name = ?", (*values, name)
            )

    def replay(self) -> None:
        """Append an outcome once more, under another id."""
        with self.open() as connection:
            (last,) = connection.execute("SELECT max(seq) FROM records").fetchone()
            _, body = self.pick(connection, "outcome")
            self.add(connection, last + 1, encode({**json.loads(body), "id": "again"}))

    def replace(self) -> None:
        """Forge a row past the triggers: INSERT OR REPLACE, without recursion."""
        with closing(sqlite3.connect(self.db, isolation_level=None)) as connection:
            connection.execute("PRAGMA recursive_triggers=OFF")
            seq, body = self.pick(connection, "decision")
            values = (seq, *derived(json.loads(body)), body.replace(b"allow", b"alloy"))
            names = ", ".join(("seq", *COLUMNS, "body"))
            marks = ", ".join("?" * len(values))
            connection.execute(
                f"INSERT OR REPLACE INTO records ({names}) VALUES ({marks})", values
            )

    def swap(self, first: int, second: int, names: str = "*") -> None:
        """Let two records change places, or only their columns *names*."""
        if names == "*":
            self.run(
                f"UPDATE records SET seq = -1 WHERE seq = {first}",
                f"UPDATE records SET seq = {first} WHERE seq = {second}",
                f"UPDATE records SET seq = {second} WHERE seq = -1",
            )
            return
        other = f"(SELECT {names} FROM records o WHERE o.seq = {{}})"
        with self.open() as connection:
            (one,) = connection.execute(f"SELECT {other.format(second)}").fetchone()
            connection.execute(
                f"UPDATE records SET {names} = {other.format(first)} WHERE seq = ?",
                (second,),
            )
            connection.execute(
                f"UPDATE records SET {names} = ? WHERE seq = ?", (one, first)
            )

    def real_key(self) -> FileSigner:
        """Return the key of the log itself: the operator has it."""
        return read_key(self.folder / KEY)

    def own_key(self) -> FileSigner:
        """Return another key under the name of the log's."""
        return generate(parse_vkey(self.real_key().vkey).name)

    def seal(self, signer: FileSigner, *, origin: str | None = None) -> None:
        """Make all checkpoints anew over what stands there now, and publish them."""
        lines = [
            json.dumps({"atUs": 1, "note": note}) + "\n"
            for note in self.sealed(signer, origin)
        ]
        (self.folder / PUBLISHED).write_text("".join(lines), "utf-8")

    def sealed(self, signer: FileSigner, origin: str | None) -> list[str]:
        """Make all checkpoints anew, return their notes."""
        notes = []
        with self.open() as connection:
            bodies = connection.execute("SELECT body FROM records ORDER BY seq")
            leaves = [leaf_hash(body) for (body,) in bodies.fetchall()]
            stored = connection.execute(
                "SELECT number, origin, size FROM checkpoints ORDER BY number"
            ).fetchall()
            for number, told, size in stored:
                tree = Frontier()
                tree.extend(leaves[:size])
                stated = Checkpoint(origin or told, tree.size, tree.root())
                notes.append(sign(stated.text(), signer))
                connection.execute(
                    "UPDATE checkpoints SET origin = ?, size = ?, last_seq = ?,"
                    " frontier = ?, note = ? WHERE number = ?",
                    (
                        stated.origin,
                        *(tree.size, tree.size, tree.to_bytes()),
                        *(notes[-1], number),
                    ),
                )
        return notes

    def roll_back(self, *names: str) -> None:
        """Put back the files *names* as they were before, and no other."""
        for name in (*names, *(f"{name}-wal" for name in names)):
            (self.folder / name).unlink(missing_ok=True)
            if (self.older / name).exists():
                shutil.copy2(self.older / name, self.folder / name)

    def fork(self) -> None:
        """Go on from an older copy, under the same key, with another history."""
        self.roll_back(RECORDS, PUBLISHED)
        with closing(SqliteStore(self.db)) as store:
            for count in range(300):
                store.append(note_record(store.stamp(), "mark", count=count))

    def other(self) -> None:
        """Present a log that another key seals."""
        for name in (RECORDS, KEY, PUBLISHED):
            (self.folder / name).unlink()
        worked(self.folder)

    def bytes(self, edit: Callable[[bytes], bytes]) -> None:
        """Edit the file itself."""
        self.bare("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode=DELETE")
        self.db.write_bytes(edit(self.db.read_bytes()))


def says(what: str, *where: str | int, **facts: Any) -> Callable[[Attacker], None]:
    """Return how to let a record of the kind *what* say *facts*, at *where* in it."""

    def edit(body: Facts) -> None:
        place: Any = body
        for step in where:
            place = place[step]
        place.update(facts)

    return lambda it: it.change(what, edit)


def sql(*statements: str) -> Callable[[Attacker], None]:
    """Return how to execute *statements* with the triggers out of the way."""
    return lambda it: it.run(*statements)


def bare(*statements: str) -> Callable[[Attacker], None]:
    """Return how to execute *statements* as any program could."""
    return lambda it: it.bare(*statements)


def lie(*, sealed_by: str | None = None) -> Callable[[Attacker], None]:
    """Return how to turn an allowed call into a denied one, and seal that anew."""

    def tell(it: Attacker) -> None:
        says("decision", effect="deny")(it)
        it.seal(it.own_key() if sealed_by == "another" else it.real_key())

    return tell

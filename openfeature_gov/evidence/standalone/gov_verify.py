#!/usr/bin/env python3
"""Verify the records of an agent's decisions, offline, with nothing but a pinned key.

    python gov_verify.py EVIDENCE... --key VKEY --checkpoint FILE

EVIDENCE is a bundle (``gov audit export``), the proof of one record (``gov audit
prove``) or a record file (SQLite). VKEY is the key that you pinned when you began to
watch this log (``gov audit key show``); never take it from the evidence. FILE holds the
checkpoints that you received: keep them all, the newest alone does not show what was
altered before it was signed. Where each process keeps a log of its own (PostgreSQL),
give the evidence of all logs at once: one of them, the ledger, holds the checkpoints of
the others. Needs Python 3.11 and `cryptography`.

How it is shown that nothing was changed:

1. The records of a log are the leaves of a Merkle tree (RFC 9162, SHA-256), byte for
   byte, in their order. Its root changes with any bit of any record, with their order
   and with their number.
2. A checkpoint is ``origin, number of records, root, place``, signed (C2SP signed
   note, Ed25519). This file computes the root again at the size of every checkpoint,
   stored in the evidence or held by you. All must agree: then each extends the one
   before. Its place is a number and the hash of the one before, and records tell of
   checkpoints as well, so that none can be taken away: of a bundle, none in its range
   (and none at all of a log with up to 5000). The evidence must reach the newest that
   you hold (``--partial``: a bundle that was made before need not).
3. Whatever stands beside a record in a database is derived from the record again. The
   personal part, which may be erased, must have the digest that the record holds, or a
   sealed record must tell of its erasure, signed by a key of the log.

What cannot be shown: that records behind the last checkpoint were not changed (their
number is reported; ``--sealed`` allows none), and that what was recorded is true.

4. Records that were archived are hashes in the database, and records in bundles. The
   hashes must lead to the same roots; with ``--archives FOLDER`` the bundles are put in
   their place, and every record is verified as if it had never left. Without, nobody
   was shown these records, and the log is not verified.

Exit codes: 0 verified; 2 wrong usage; 3 a file cannot be read; 4 not verified. 1 is a
defect of this program, and no verification either.
"""

from __future__ import annotations

import argparse
import binascii
import json
import os
import re
import sqlite3
import struct
import sys
import zipfile
import zlib
from base64 import b64decode, b64encode
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from hashlib import file_digest, sha256
from io import BufferedReader
from itertools import cycle, islice, takewhile
from operator import itemgetter
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, Any, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

VERIFIED, USAGE, UNREADABLE, REFUSED = 0, 2, 3, 4
MAX_NOTE, MAX_SIGNATURES = 100_000, 100
MAX_NOTES = 256 * 1024 * 1024
MAX_RECORD = 1024 * 1024
MAX_RATIO = 300
"""How far a bundle may expand: a hostile one would not end."""
MAX_FINDINGS = 20
PORTION, MANY = 2_000, 50_000
"""How many records are looked at in one go; how many are worth more processes."""
CLOCK_STEP_US = 60_000_000


class Refused(Exception):  # noqa: N818 - a finding, not a fault
    """Report what makes the evidence worthless: a *code*, and what was seen.

    All that reads evidence here raises it for what is malformed or does not hold.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


class UsageError(Exception):
    """Report that a key or a checkpoint to verify against is missing or no such."""


# ---- Signed notes and checkpoints (c2sp.org/signed-note, c2sp.org/tlog-checkpoint)


class Key(NamedTuple):
    """Hold a public key with its name and the four bytes that identify it."""

    name: str
    id: bytes
    public: bytes

    def __str__(self) -> str:
        return f"{shown(self.name)}+{self.id.hex()}"


class Checkpoint(NamedTuple):
    """Say that the log *origin* held *size* records with the Merkle root *root*.

    It is checkpoint *number* of the log, and *before* is the `link` to the one before;
    former releases did not say: 0.
    """

    origin: str
    size: int
    root: bytes
    number: int = 0
    before: str = ""


class Note(NamedTuple):
    """Hold a signed text, unverified: (name, key id) → signature."""

    text: str
    signatures: dict[tuple[str, bytes], bytes]


def parse_key(vkey: str) -> Key:
    """Return the key of the line *vkey*, ``name+hash+base64``."""
    parts = vkey.strip().split("+", 2)
    if len(parts) != 3 or not re.fullmatch(r"[^\s+\x00-\x1f]+", parts[0]):
        raise Refused("key", "a verifier key reads name+hash+base64")
    name, hashed, encoded = parts
    raw = unbase64(encoded, "key")
    if len(raw) != 33 or raw[0] != 1:
        raise Refused("key", f"key {shown(name)}: not an Ed25519 key")
    made = sha256(name.encode("utf-8", "replace") + b"\n" + raw).digest()[:4]
    if made.hex() != hashed:
        raise Refused("key", f"key {shown(name)}: its hash is {made.hex()}")
    return Key(name, made, raw[1:])


def parse_note(note: str) -> Note:
    """Return the text and the signatures of *note*, none of them verified."""
    text, empty_line, rest = note.rpartition("\n\n")
    lines = rest.split("\n")
    if not empty_line or lines.pop() or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise Refused("note", f"not a signed note: {shown(note)}")
    if len(note) > MAX_NOTE or any(one < " " and one != "\n" for one in text):
        raise Refused("note", "a note that is too long, or with a control character")
    signatures: dict[tuple[str, bytes], bytes] = {}
    for line in lines:
        dash, _, signed = line.partition(" ")
        name, _, encoded = signed.partition(" ")
        raw = unbase64(encoded, "signature")
        if dash != "\u2014" or not name or len(raw) < 5:
            raise Refused("note", f"not a signature: {shown(line)}")
        signatures.setdefault((name, raw[:4]), raw[4:])
    return Note(text + "\n", signatures)


def signed_by(note: Note, keys: Iterable[Key]) -> Key | None:
    """Return the key of *keys* that signed *note*, None when none did.

    Signatures of other keys are passed over: witnesses add theirs.
    """
    signer = None
    for key in keys:
        signature = note.signatures.get((key.name, key.id))
        if signature is None:
            continue
        try:
            public = Ed25519PublicKey.from_public_bytes(key.public)
            public.verify(signature, note.text.encode("utf-8", "surrogatepass"))
        except (InvalidSignature, ValueError):
            raise Refused("signature", f"that of {key} does not verify") from None
        signer = key
    return signer


def parse_checkpoint(note: Note) -> Checkpoint:
    """Return the checkpoint that *note* states; believe it once it was verified."""
    lines = note.text.split("\n")
    if len(lines) < 4 or not all(lines[:-1]):
        raise Refused("note", f"not a checkpoint: {shown(note.text)}")
    origin, size, encoded = lines[:3]
    root = unbase64(encoded, "root")
    if not re.fullmatch(r"0|[1-9][0-9]{0,15}", size, re.ASCII) or len(root) != 32:
        raise Refused("note", f"not a checkpoint: {shown(note.text)}")
    for line in lines[3:-1]:
        found = re.fullmatch(r"gov-chain/1 ([1-9][0-9]{0,15}) (\S{44})", line, re.ASCII)
        if found is not None:
            return Checkpoint(origin, int(size), root, int(found[1]), found[2])
        if line.startswith("gov-chain/"):
            raise Refused("note", f"not a place in a chain: {shown(line)}")
    return Checkpoint(origin, int(size), root)


def link(text: str) -> str:
    """Return what the checkpoint behind the one of *text* says of it."""
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    return b64encode(digest).decode("ascii")


def read_notes(data: bytes) -> list[str]:
    """Return the notes of a file that holds one after the other."""
    lines = decoded(data).split("\n")
    notes, begin = [], 0
    for at, line in enumerate(lines[:-1]):
        if line.startswith("\u2014 ") and not lines[at + 1].startswith("\u2014 "):
            notes.append("\n".join(lines[begin : at + 1]) + "\n")
            begin = at + 1
    if lines[begin:] != [""]:
        raise Refused("note", f"not a signed note: {shown(lines[begin])}")
    return notes


def read_published(data: bytes) -> list[str]:
    """Return the notes of a file as a log publishes them, one a line as JSON.

    A last line that a crash cut short does not count.
    """
    lines = decoded(data).split("\n")[:-1]
    try:
        return [json.loads(line)["note"] + "" for line in lines]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise Refused("note", "a line that holds no published checkpoint") from None


def decoded(data: bytes) -> str:
    """Return *data* as text."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("note", "not UTF-8") from None


def unbase64(text: str, what: str) -> bytes:
    """Return the bytes of *text* if it is their one spelling in base64."""
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if b64encode(raw).decode("ascii") != text:
        raise Refused("note", f"{what}: not base64: {shown(text)}")
    return raw


class Rotation(NamedTuple):
    """Say that the key *new* follows the key *old*: both signed that.

    *named* says that *old* stands in what *new* signed, so that no other can be put in
    its place.
    """

    old: Key
    new: Key
    named: bool


def read_rotation(body: Any) -> Rotation:
    """Return what the record *body* of a new key says."""
    note = parse_note(str(body.get("note")))
    lines = note.text.split("\n")
    named = len(lines) == 5 and lines[1] == "gov-key-rotation/2"
    if not named and (len(lines) != 4 or lines[1] != "gov-key-rotation/1"):
        raise Refused("rotation", f"not a key rotation: {shown(note.text)}")
    old, new = parse_key(str(body.get("old"))), parse_key(lines[-2])
    if named and parse_key(lines[2]) != old:
        raise Refused("rotation", f"{new} does not follow {old}")
    for key in (new, old):
        if key.name != lines[0] or signed_by(note, [key]) is None:
            raise Refused("rotation", f"not signed by the key {key}")
    return Rotation(old, new, named)


class Keys:
    """Know whose signature counts at this point of the log, which only goes forward.

    *pinned* are valid from the beginning. A ``key_rotation`` record makes the successor
    of a valid key valid, and the predecessor of one a former key, and so on: what a
    former key signed must verify, and counts for nothing beside that. A record of
    format 1 does not name the predecessor: it leads forward only. With the first
    checkpoint that a key signs, all keys before it are revoked. A rotation that stands
    in another log (*elsewhere*) counts from the beginning.
    """

    def __init__(self, pinned: Iterable[Key], elsewhere: Iterable[Rotation]) -> None:
        self.valid = list(pinned)
        self.revoked: list[Key] = []
        self._former: list[Key] = []
        self._before: dict[Key, Key] = {}
        self._strangers: dict[tuple[str, bytes], str] = {}
        told = set(elsewhere)
        olds = {
            one.new: {other.old for other in told if other.new == one.new}
            for one in told
        }
        for one in list(told) * len(told):  # in whatever order they were found
            with suppress(Refused):
                if len(olds[one.new]) == 1:
                    self.rotate(one)

    def rotate(self, told: Rotation) -> None:
        """Take what a ``key_rotation`` record says."""
        old, new, named = told
        if not named and old not in (*self.valid, *self._former):
            what = f"by format 1 any key could claim that {new} follows it: pin {old}"
            raise Refused("rotation", what)
        if self._before.setdefault(new, old) != old:
            raise Refused("rotation", f"{new} is said to follow two keys")
        if old in self.valid:
            self.valid += [] if new in self.valid else [new]
        elif new in (*self.valid, *self._former):
            if old not in self._former:
                self._former.append(old)
            self._strangers.pop((old.name, old.id), None)
        elif old not in self._former:  # that one may name a key that was never used
            raise Refused("rotation", f"{new} was named by a key that is not valid")

    def signer(self, note: Note, what: str) -> Key | None:
        """Return who signed *note*, None for a key that counts for nothing."""
        key = signed_by(note, [*self.valid, *self._former])
        if key is None:
            for stranger in note.signatures:
                self._strangers[stranger] = what
            return None
        counts = key in self.valid
        older = self._before.get(key)
        while older is not None:
            self.revoked += [older] if older in (*self.valid, *self._former) else []
            self.valid = [one for one in self.valid if one != older]
            self._former = [one for one in self._former if one != older]
            older = self._before.get(older)
        return key if counts else None

    def require(self, note: Note, code: str = "key", *, former: bool = False) -> None:
        """Check that a key that is valid, or *former*, signed *note*."""
        known = [*self.valid, *self._former] if former else self.valid
        if signed_by(note, known) is None:
            raise Refused(code, f"not signed by {', '.join(map(str, self.valid))}")

    def unknown(self) -> Iterator[str]:
        """Yield what was signed by keys that no pinned key has to do with."""
        for (name, key_id), what in self._strangers.items():
            yield f"{what} is signed by {shown(name)}+{key_id.hex()}, not a valid key"


# ---- The Merkle tree (RFC 9162, section 2.1)


class Tree:
    """Keep the roots of the perfect subtrees, largest first: O(log n) memory."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def add(self, root: bytes, level: int) -> None:
        """Add a perfect subtree of ``2 ** level`` leaves."""
        at = self.size >> level
        if at << level != self.size:
            raise Refused("cover", f"no subtree of level {level} begins at {self.size}")
        self.size += 1 << level
        while at & 1:
            root, at = sha256(b"\1" + self._roots.pop() + root).digest(), at >> 1
        self._roots.append(root)

    def extend(self, leaves: list[bytes]) -> None:
        """Add leaf hashes, whole subtrees of them at a time."""
        done = 0
        while left := len(leaves) - done:
            level = min(self.size & -self.size or left, left).bit_length() - 1
            row = leaves[done : done + (1 << level)]
            for _ in range(level):
                pairs = zip(row[::2], row[1::2], strict=True)
                row = [sha256(b"\1" + one + other).digest() for one, other in pairs]
            self.add(row[0], level)
            done += 1 << level

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        if not self._roots:
            return sha256(b"").digest()
        root = self._roots[-1]
        for left in self._roots[-2::-1]:
            root = sha256(b"\1" + left + root).digest()
        return root


def root_of_path(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes | None:
    """Return the root that an inclusion proof leads to (RFC 9162, 2.1.3.2).

    None when the proof is too long or too short, or there is no such leaf.
    """
    at, last, root = index, size - 1, leaf
    if at > last:
        return None
    for one in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            root = sha256(b"\1" + one + root).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            root = sha256(b"\1" + root + one).digest()
        at, last = at >> 1, last >> 1
    return root if last == 0 else None


# ---- Evidence: where records come from. A source yields what the tree is made of.


class Block(NamedTuple):
    """Stand for ``2 ** level`` records that are not in the evidence."""

    level: int
    root: bytes


class Leaf(NamedTuple):
    """Hold one record; *seq* is None for one that a bundle shows beside its range.

    *columns* is what a database holds beside it.
    """

    seq: int | None
    body: bytes
    columns: dict[str, Any] | None = None


class Archive(NamedTuple):
    """Stand for the records *first* to *last* of *log*, which are in a *bundle*.

    *record* is the id of the record that tells of it, *digest* the SHA-256 of the
    bundle, *frontier* the roots of the perfect subtrees up to *last*; *cover* holds
    what the tree is made of in their place, as the ``left`` of a bundle's cover does.
    """

    first: int
    last: int
    record: str
    bundle: str
    digest: str
    frontier: bytes
    cover: bytes
    log: str = ""

    def entries(self) -> list[Block | Leaf]:
        """Return what the tree is made of in place of the records."""
        return _cover(_json(self.cover, dict), "left")

    def facts(self) -> dict[str, Any]:
        """Return what the record of the archive must say."""
        return {
            "log": self.log,
            "firstSeq": self.first,
            "lastSeq": self.last,
            "bundle": self.bundle,
            "sha256": self.digest,
            "root": b64encode(_root_of(self.frontier)).decode("ascii"),
        }


class Evidence(Protocol):
    """Give the stored checkpoints, in order, and what the tree is made of."""

    stored: list[str]
    whole: bool
    """Whether every checkpoint of the log must be in *stored*."""
    archives: list[Archive]
    """What became of the first records, in order: they are not among the entries."""

    def entries(self, *, quick: bool = False) -> Iterator[Block | Leaf]:
        """Yield the records that are left, in order; *quick* without columns."""

    def personal(self, record_id: str) -> bytes | None:
        """Return the personal part of the record that was yielded last."""

    def rotations(self) -> list[bytes]:
        """Return the records of new keys that another log may need."""

    def loose(self) -> Iterator[str]:
        """Yield what else does not hold; ask once all was yielded."""

    def close(self) -> None:
        """Let go of the file."""


def opened(path: Path) -> sqlite3.Connection:
    """Return the database in the file *path*, which stays as it is.

    One with a write-ahead log needs files beside it. Where they cannot be made and no
    log is there, nobody writes to it, and it is read as it stands.
    """
    target = path.resolve()
    uri = f"{target.as_uri()}?mode=ro"
    made = sqlite3.connect(uri, uri=True)
    try:
        made.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        made.close()
        unable = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
        logs = [target.with_name(target.name + end) for end in ("-wal", "-journal")]
        if error.sqlite_errorcode & 0xFF not in unable or any(map(Path.exists, logs)):
            raise
        return sqlite3.connect(f"{uri}&immutable=1", uri=True)
    return made


class Database:
    """Read a record file of SQLite; the file stays as it is.

    A file that is *mapped* is read twice as fast, but a disk that fails, or whoever
    makes the file shorter, ends the process: that is for a `Helper`, which may end.
    """

    whole = True

    def __init__(self, path: Path, *, mapped: bool = False) -> None:
        self._db = opened(path)
        try:
            if mapped:
                self._db.execute(f"PRAGMA mmap_size={1 << 40}")
            self._db.execute("PRAGMA trusted_schema=OFF")
            self._db.execute("PRAGMA cell_size_check=ON")
            self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * MAX_RECORD)
            self._db.execute("BEGIN")  # one snapshot, whatever others write meanwhile
            self.path = path
            self.looking: Helper | None = None
            self._names = self._columns("records")
            self._personal: bytes | None = None
            names = "number, origin, size, last_seq, frontier, note"
            self.sealed = self._all("checkpoints", names, "number")
            self.stored = [note for *_, note in self.sealed]
            names = "first_seq, last_seq, record, bundle, sha256, frontier, cover"
            self.archives = [
                Archive(*one) for one in self._all("archives", names, "last_seq")
            ]
        except BaseException:
            self._db.close()
            raise

    def _columns(self, table: str) -> list[str]:
        held = self._db.execute(f"PRAGMA table_xinfo({table})").fetchall()
        kind = self._db.execute(
            "SELECT type, sql FROM sqlite_schema WHERE name = ?", (table,)
        ).fetchall()
        tables = [sql for one, sql in kind if one == "table"]
        if len(tables) != 1 or not tables[0].startswith("CREATE TABLE"):
            raise Refused("schema", f"no table {table}: not a sealed record file")
        if any(hidden for *_, hidden in held):
            raise Refused("schema", f"table {table} has columns that are computed")
        return [str(name) for _, name, *_ in held]

    def _all(self, table: str, names: str, order: str) -> list[tuple[Any, ...]]:
        self._columns(table)
        query = f"SELECT {names} FROM {table} ORDER BY {order}"  # noqa: S608 - fixed names
        return self._db.execute(query).fetchall()

    def loose(self) -> Iterator[str]:
        """Yield what is wrong with the schema, the indexes, and rows beside the log."""
        if self.looking is not None and self.looking.read() == b"ok\n":
            return
        missing = set(SCHEMA)
        for kind, name, text in self._db.execute(
            "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
        ).fetchall():
            if kind == "index" and text is None:
                continue  # SQLite's own, for a UNIQUE
            missing.discard(name)
            if described(str(text)) not in (SCHEMA.get(name), ELSEWHERE.get(name)):
                yield f"{shown(kind)} {shown(name)} was changed, or is not ours"
        for name in sorted(missing):
            yield f"{name} is missing in the schema"
        for (what,) in self._db.execute("PRAGMA integrity_check(3)").fetchall():
            if what != "ok":
                yield f"the file contradicts itself: {shown(what)}"
        yield from loose_rows(self.sealed)
        query = "SELECT count(*) FROM records WHERE seq <= ?"
        if left := self._one(query, archived(self.archives)):
            yield f"{left} rows stand where records were archived"

    def entries(self, *, quick: bool = False) -> Iterator[Block | Leaf]:
        """Yield the records that are left, in the order of ``seq``."""
        yield from self.leaves(archived(self.archives), 1 << 60, quick=quick)

    def leaves(self, after: int, limit: int, *, quick: bool) -> Iterator[Leaf]:
        """Yield up to *limit* records behind *after*."""
        rows = self.rows(after, limit, quick=quick)
        for seq, body, self._personal, *values in rows:
            if not isinstance(body, bytes) or len(body) > MAX_RECORD:
                raise Refused("body", f"record {seq!r} is not the bytes of a record")
            columns = None if quick else dict(zip(COLUMNS, values, strict=True))
            yield Leaf(seq, body, columns)

    def rows(self, after: int, limit: int, *, quick: bool) -> Iterator[tuple[Any, ...]]:
        """Yield up to *limit* rows behind *after*: number, body, personal, columns.

        Then yield the one behind them, if it is not the next: it has the number of one
        of them, and who went on behind that number would not see it.
        """
        missing = [name for name in (*COLUMNS, "personal") if name not in self._names]
        if missing:
            raise Refused("schema", f"records have no columns {', '.join(missing)}")
        names = "NULL" if quick else f"personal, {', '.join(COLUMNS)}"
        query = f"SELECT seq, body, {names} FROM records WHERE seq > ?"  # noqa: S608 - fixed names
        rows = self._db.execute(f"{query} ORDER BY seq LIMIT ?", (after, limit + 1))
        yield from islice(rows, limit)
        yield from (row for row in rows if row[0] != after + limit + 1)

    def last(self) -> int:
        """Return the number of the last record, 0 for none."""
        return int(self._one("SELECT max(seq) FROM records") or 0)

    def bare(self, first: int, last: int) -> int:
        """Return how many of the records *first* to *last* have no personal part."""
        span = "seq BETWEEN ? AND ? AND personal IS NULL"
        query = f"SELECT count(*) FROM records WHERE {span}"  # noqa: S608 - fixed text
        return int(self._one(query, first, last))

    def _one(self, query: str, *values: int) -> Any:
        return self._db.execute(query, values).fetchone()[0]

    def rotations(self) -> list[bytes]:
        """Return the records of new keys."""
        found = self._db.execute(
            "SELECT body FROM records WHERE kind = 'key_rotation' ORDER BY seq LIMIT ?",
            (MAX_SIGNATURES,),
        )
        here = [body for (body,) in found if isinstance(body, bytes)]
        return [*archived_rotations(self.archives), *here]

    def personal(self, record_id: str) -> bytes | None:  # noqa: ARG002 - of the row
        """Return the personal part of the row that was yielded last."""
        return self._personal

    def close(self) -> None:
        """Let go of the file."""
        if self.looking is not None:
            self.looking.close()
        self._db.close()


def archived(archives: list[Archive]) -> int:
    """Return the number of the last record that was archived, 0 for none."""
    return archives[-1].last if archives else 0


def archived_rotations(archives: Iterable[Archive]) -> Iterator[bytes]:
    """Yield the records of new keys that were archived, from what stands for them."""
    for archive in archives:
        for entry in archive.entries():
            if isinstance(entry, Leaf) and b'"kind":"key_rotation"' in entry.body:
                yield entry.body


def loose_rows(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """Yield what *rows* of checkpoints say that their notes do not."""
    for count, (number, origin, size, last_seq, frontier, text) in enumerate(rows, 1):
        try:
            made = parse_checkpoint(parse_note(text))
            same = (number, origin, size) == (count, made.origin, made.size)
            if not same or last_seq != size or not isinstance(frontier, bytes):
                yield f"checkpoint {count}: its row says something else"
            elif frontier[:8] != size.to_bytes(8, "big"):
                yield f"checkpoint {count}: its frontier is of another size"
            elif _root_of(frontier) != made.root:
                yield f"checkpoint {count}: its frontier is that of another tree"
        except (Refused, TypeError, AttributeError, ValueError) as error:
            yield f"checkpoint {count}: {error}"


def _root_of(frontier: bytes) -> bytes:
    hashes = [frontier[at : at + 32] for at in range(8, len(frontier), 32)]
    size, tree = int.from_bytes(frontier[:8], "big"), Tree()
    levels = [level for level in range(63, -1, -1) if size >> level & 1]
    for level, one in zip(levels, hashes, strict=True):
        tree.add(one, level)
    return tree.root()


PARTS = {
    "records.jsonl": 1 << 40,
    "personal.jsonl": 1 << 40,
    "cover.json": MAX_NOTES,
    "checkpoints.txt": MAX_NOTES,
    "manifest.json": 65_536,
}
"""The files of a bundle in their order, and how long each may be."""
FORMAT = "gov.bundle/1"
ROTATING = {"schema", "kind", "id", "atUs", "writer", "ref", "note", "old", "new"}
"""What the record of a new key holds, and nothing else."""
SPACED = 5_000
"""How many checkpoints outside its range a bundle holds, evenly spaced if there are
more; it holds all of those inside."""


class Bundle:
    """Read a bundle: a range of records, and hashes in place of the others.

    All that stands in it is what an exporter writes, byte for byte: nobody may read in
    it what no checkpoint or digest vouches for.
    """

    whole = False

    def __init__(self, path: Path) -> None:
        self.archives: list[Archive] = []
        self._zip = unzipped(path)
        self._files: list[BufferedReader[Any]] = []
        try:
            manifest = self._whole("manifest.json")
            self._rotations = _check_format(manifest)
            data = self._whole("cover.json")
            cover = _json(data, dict)
            self._left, self._right = _cover(cover, "left"), _cover(cover, "right")
            _check_written("cover.json", data, cover, ("left", "right"))
            self.stored = read_notes(self._whole("checkpoints.txt"))
            self._check_manifest(manifest)
            self._parts = self._lines("personal.jsonl")
            self._part = next(self._parts, None)
        except BaseException:
            self.close()
            raise

    def _check_manifest(self, data: bytes) -> None:
        """Check that the manifest *data* says what the rest of the bundle says."""
        if not self.stored:
            raise Refused("bundle", "there is no checkpoint in it")
        head, said = parse_checkpoint(parse_note(self.stored[-1])), _json(data, dict)
        self._head = head
        self.first = _covered(self._left) + 1
        self.last = head.size - _covered(self._right)
        made = {
            "format": FORMAT,
            "origin": head.origin,
            "size": head.size,
            "firstSeq": self.first,
            "lastSeq": self.last,
        }
        for name, one in made.items():
            if said.get(name) != one:
                what = f"manifest.json: {name} is {shown(said.get(name))}, not"
                raise Refused("bundle", f"{what} {shown(one)}")
        names = (*made, *({"rotations"} & said.keys()))  # the first ones have none
        _check_written("manifest.json", data, said | made, names)

    def _whole(self, name: str) -> bytes:
        with self._zip.open(name) as file:
            data = file.read(PARTS[name] + 1)
        if len(data) > PARTS[name]:
            raise Refused("bundle", f"{name} is too long")
        return data

    def _lines(self, name: str) -> Iterator[bytes]:
        file = BufferedReader(self._zip.open(name), 1 << 18)  # type: ignore[type-var] # typeshed: no RawIOBase
        self._files.append(file)
        while line := file.readline(MAX_RECORD + 1):
            if not line.endswith(b"\n") or line == b"\n":
                raise Refused("bundle", f"{name}: a line that is no record")
            yield line[:-1]

    def entries(self, *, quick: bool = False) -> Iterator[Block | Leaf]:  # noqa: ARG002 - a bundle has no columns
        """Yield the left cover, the records of the range, and the right cover."""
        yield from self._left
        yield from self.records(self.first - 1)
        yield from self._right

    def within(self, size: int) -> bool:
        """Say whether a checkpoint over *size* records has to be in it."""
        few = self._head.number <= SPACED and size <= self._head.size
        return few or self.first <= size <= self.last

    def records(self, before: int) -> Iterator[Leaf]:
        """Yield the records of the range, of which *before* is the number before."""
        for count, body in enumerate(self._lines("records.jsonl"), before + 1):
            yield Leaf(count, body)

    def rotations(self) -> list[bytes]:
        """Return the records of new keys, of this log and of others."""
        return self._rotations[:MAX_SIGNATURES]

    def personal(self, record_id: str) -> bytes | None:
        """Return the next personal part if it is that of *record_id*."""
        if self._part is None:
            return None
        held = _json(self._part, dict)
        part = held.get("personal")
        _check_written("personal.jsonl", self._part, held, ("id", "personal"))
        if held["id"] != record_id or not isinstance(part, str):
            return None
        self._part = next(self._parts, None)
        return part.encode("utf-8", "surrogatepass")

    def loose(self) -> Iterator[str]:
        """Yield what belongs to no record; ask once all records were yielded."""
        if self._part is not None:
            yield f"a personal part that is no record's: {shown(self._part)}"

    def close(self) -> None:
        """Let go of the file."""
        for file in self._files:
            file.close()
        self._zip.close()


def unzipped(path: Path) -> zipfile.ZipFile:
    """Return the archive *path* once it is known to be small, ours and nothing else.

    Raises:
        Refused: when it holds anything beside the files of a bundle.
        BadZipFile: when it is no archive.
        OSError: when it cannot be read.

    """
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - 42))
        tail = file.read()
    # A bundle ends with the 22 bytes of a directory's end; no comment, no zip64.
    end = struct.unpack("<4s4H2LH", tail[-22:]) if len(tail) == 42 else (b"",) * 8
    if end[0] != b"PK\5\6" or end[3:5] != (len(PARTS),) * 2 or end[5] > 4096:
        raise Refused("bundle", "not the five files of a bundle")
    if tail[:4] == b"PK\6\7":
        raise Refused("bundle", "an archive of 2 GB or more")
    archive = zipfile.ZipFile(path)
    try:
        with path.open("rb") as file:
            _check_files(file, archive.infolist(), length, end)
    except BaseException:
        archive.close()
        raise
    return archive


def _check_files(
    file: IO[bytes], held: list[zipfile.ZipInfo], length: int, end: tuple[Any, ...]
) -> None:
    """Check that *file* is what was *held* in it, its directory and the *end* of it."""
    if [one.filename for one in held] != list(PARTS):
        raise Refused("bundle", "not the five files of a bundle in their order")
    if sum(one.file_size for one in held) > MAX_RATIO * length:
        raise Refused("bundle", f"it would expand to over {MAX_RATIO} times its size")
    for one in held:
        _check_packed(file, one)
    long = sum(20 for one in held if one.file_size > zipfile.ZIP64_LIMIT)
    size, at = sum(46 + len(name) for name in PARTS) + long, file.tell()
    if end[1:3] + end[5:] != (0, 0, size, at, 0) or length != at + size + 22:
        raise Refused("bundle", "there is more in it than its files")


def _check_packed(file: IO[bytes], one: zipfile.ZipInfo) -> None:
    """Check that the next in *file* is *one* as its directory says, and read it.

    Who reads an archive from its beginning believes that, and not the directory.
    """
    name = one.filename.encode()
    sizes = (one.compress_size, one.file_size)
    head = (b"PK\3\4", 0, zipfile.ZIP_DEFLATED, one.CRC)
    short = (*head, *sizes, len(name), 0), name
    both = struct.pack("<2H2Q", 1, 16, *sizes[::-1])  # zip64, as streams are written
    long = (*head, *(0xFFFFFFFF,) * 2, len(name), len(both)), name + both
    begins = file.tell() == one.header_offset
    *fixed, extra = struct.unpack("<4s2x2H4x3L2H", file.read(30).ljust(30))
    rest = file.read(len(name) + min(extra, len(both)))
    if not begins or ((*fixed, extra), rest) not in (short, long):
        raise Refused("bundle", f"{one.filename} does not begin as the directory says")
    if not _inflates(file, *sizes):
        raise Refused("bundle", f"{one.filename} is not as long as the directory says")


def _inflates(file: IO[bytes], packed: int, unpacked: int) -> bool:
    """Say whether the next *packed* bytes are one stream of *unpacked* and no more."""
    stream, data = zlib.decompressobj(-15), b""
    while packed and not data and (data := file.read(min(packed, 1 << 18))):
        packed, full = packed - len(data), True
        while (data or full) and not stream.eof and unpacked >= 0:
            out = stream.decompress(data, 1 << 20)
            full, unpacked = len(out) == 1 << 20, unpacked - len(out)
            data = stream.unconsumed_tail
    return stream.eof and not (packed or unpacked or data or stream.unused_data)


def _check_format(manifest: bytes) -> list[bytes]:
    """Return the records of new keys that *manifest* holds, each a sound one."""
    said = _json(manifest, dict)
    if said.get("format") != FORMAT:
        raise Refused("bundle", f"not a bundle of the format {FORMAT}")
    told = said.get("rotations", [])
    if not isinstance(told, list):
        raise Refused("bundle", "manifest.json: no list of rotations")
    bodies = [str(one).encode("utf-8", "surrogatepass") for one in told]
    for body in bodies:
        facts = canonical(body)
        new, kind = read_rotation(facts).new, facts.get("kind")
        same = "new" not in facts or parse_key(str(facts["new"])) == new
        if not same or kind != "key_rotation" or not facts.keys() <= ROTATING:
            raise Refused("bundle", "manifest.json: a rotation that is no such record")
    return bodies


def _check_written(
    name: str, data: bytes, said: dict[str, Any], names: Iterable[str]
) -> None:
    """Check that *data* is what *said* holds under *names*, in the one way to write."""
    try:
        again = _WRITE.encode({one: said[one] for one in names}).encode("utf-8")
    except (KeyError, ValueError, RecursionError) as error:
        raise Refused("bundle", f"{name}: {shown(repr(error))}") from None
    if again != data:
        raise Refused("bundle", f"{name} is not as an exporter writes it")


def _covered(entries: Iterable[Block | Leaf]) -> int:
    return sum(1 << one.level if isinstance(one, Block) else 1 for one in entries)


def _cover(cover: dict[str, Any], side: str) -> list[Block | Leaf]:
    entries: list[Block | Leaf] = []
    for one in cover.get(side) or ():
        match one:
            case [int(level), str(encoded)] if type(level) is int and 0 <= level < 64:
                root = unbase64(encoded, "cover")
                if len(root) != 32:
                    raise Refused("cover", "a hash that is not 32 bytes long")
                entries.append(Block(level, root))
            case ["record", str(body)]:
                entries.append(Leaf(None, body.encode("utf-8", "surrogatepass")))
            case _:
                raise Refused("cover", f"neither hash nor record: {shown(one)}")
    return entries


class Proof(NamedTuple):
    """Hold the proof that one record is in the tree (c2sp.org/tlog-proof)."""

    body: bytes
    at: int
    path: list[bytes]
    note: str


def read_proof(data: bytes) -> Proof:
    """Return the proof that the file *data* holds, its record as ``extra``."""
    text, _, note = data.decode("utf-8", "replace").partition("\n\n")
    found = re.fullmatch(
        r"c2sp\.org/tlog-proof@v1\nextra (\S+)\nindex (0|[1-9][0-9]{0,15})((?:\n\S+)*)",
        text,
        re.ASCII,
    )
    if found is None:
        raise Refused("proof", "not a proof that holds its record")
    path = [unbase64(line, "proof") for line in found[3].split()]
    if len(path) > 64 or any(len(one) != 32 for one in path):
        raise Refused("proof", "hashes that are not 32 bytes long, or too many")
    return Proof(unbase64(found[1], "record"), int(found[2]), path, note)


# ---- What a record says, and what must agree with it


def _floatless(text: str) -> Any:
    raise ValueError(f"a number that is no integer: {text[:40]}")


_PARSE = json.JSONDecoder(parse_constant=_floatless)
_PARSE_STRICTLY = json.JSONDecoder(parse_constant=_floatless, parse_float=_floatless)
_WRITE = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def _json(data: bytes, kind: type[Any], decoder: json.JSONDecoder = _PARSE) -> Any:
    """Return the JSON value of *data* if it is a *kind*."""
    try:
        value = decoder.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused("body", f"not JSON: {shown(error)}") from None
    if not isinstance(value, kind):
        raise Refused("body", f"JSON, but no {kind.__name__}: {shown(data)}")
    return value


def canonical(body: bytes) -> Any:
    """Return what *body* says in the one way to write it (RFC 8785, integers)."""
    value = _json(body, dict, _PARSE_STRICTLY)
    try:
        again = _WRITE.encode(value).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Refused("canonical", shown(error)) from None
    if again != body:
        raise Refused("canonical", "the record is not in its canonical form")
    return value


COLUMNS = (
    *("id", "kind", "at_us", "writer", "ref", "tool", "agent", "task", "effect"),
    *("reason", "executes", "target", "variant", "amount", "reviewer"),
)


def described(text: str) -> str:
    """Return the digest of what the statement *text* makes, whatever its spaces.

    A table is its columns and keys, in no order: the tools that migrate a database
    write ``PRIMARY KEY (seq)`` where the store writes ``seq INTEGER PRIMARY KEY``.
    """
    spaced = re.sub(r" ?([(),]) ?", r"\1", " ".join(text.split()))
    head, _, rest = spaced.partition("(")
    if not head.startswith("CREATE TABLE"):
        return sha256(spaced.encode()).hexdigest()[:40]
    inside, _, options = rest.rpartition(")")
    parts = [head, options]
    for part in re.split(r",(?![^(]*\))", inside):
        keyed = re.fullmatch(r"([a-z_]+)( [A-Z ]+?) (UNIQUE|PRIMARY KEY)", part)
        parts += [keyed[1] + keyed[2], f"{keyed[3]}({keyed[1]})"] if keyed else [part]
    return sha256("\n".join(sorted(parts)).encode()).hexdigest()[:40]


SCHEMA = {
    "records": "f169f85f764f1b6d1a1aed87ce2c22bf6385b5a3",
    "checkpoints": "092302edb9941c969326cc40b375dcd8ba6067ce",
    "archives": "6d7ca169dedfea72fd86a55b757ce24dbd32b4f8",
    "approvals": "6953224d68b15319fe1fd68c0ba5ded7bd6149f1",
    "reviews": "2ddc391fc762ac92822f18b7a5f626781c9b7f30",
    "records_ref": "75308ca360c1ced8f7653d7a24e7cb3d52b6ef2f",
    "records_log": "f400edd0d6f764eb950714f5ab64a68432221bd1",
    "records_open": "f802a27ec544fea2c2fcbe29a9240d396e6fcd16",
    "records_at": "48eaa74702015e7bab5649a716060b2fa9ec033e",
    "records_decided": "c9638c3a7207b937df0bef36474493eaf96d5b34",
    "records_task": "f17d499d59393d05297d215da2cc5497fe0e613a",
    "records_reviewer": "b4388824d2f442af593e3d273c2d0c50e58ffcf6",
    "records_cost": "fc941f8c3d6dc95a72ec5ecc63d987fc67eeeb9d",
    "approvals_state": "c74b40bf0fbee48d08a279696f129c8f14dccb08",
    "approvals_due": "159c88207dd7ada5098cb55d2bdb22776d7e31ed",
    "approvals_digest": "eb2e927b532cb825bdff11495ded90a613101a8e",
    "approvals_pending": "4690cc7022d9866c54831730f7c8ed5f47ca82ac",
    "reviews_state": "84dd1ea43e80320960e7fc246ac18590c5c26f82",
    "reviews_due": "20e46455a1b747a3d30f2214ade718562a0b6607",
    "reviews_digest": "ec14e27f50bb29bc289e9f1e082e07ca952ebc2b",
    "records_no_update": "c1a0d19509434684cda2c9f6fe549844709bf4f1",
    "records_no_delete": "194ed0c4ecfb08158526f8c3519b1e41ce48c5a5",
    "checkpoints_no_update": "f2356fa2d021932273940ad0b4e6336ea0028d3f",
    "checkpoints_no_delete": "aaaa23486b15b1584ef10b0dcf61b1ef9a4b89be",
    "archives_no_update": "c980efe50bfaf84d07d6b57150a4e088ffb58912",
    "archives_no_delete": "fd6670d03f1c102e4f09e877db596606cfcb9c41",
    "approvals_step": "939742c7de559ab9e618ac2a03487c5205be89f3",
    "approvals_no_delete": "7c1ae32b295f6be71a8f5b593de2c4ad68adba59",
    "reviews_step": "a08919415c8ee1dda026c44531d2caed28805391",
    "reviews_no_delete": "aa7e977f9dcc763d50a42462b6ded94621928b40",
}
"""All that must stand in a record file, with the digest of what it is: a trigger or an
index of somebody else's could keep records from being written or found."""
ELSEWHERE = {
    "alembic_version": "7cbe636e06650d573a14aeb1bccab8b3b39a412f",
    "sqlite_stat1": "6c59dda2e3630693aa6eb92b28d1151c0827948c",
    "sqlite_stat4": "e50ec73e37979e20826a5bfad81971b34d1dc3a3",
    "budgets": "6e1d6108d26d2fbf4d392836f0aad177c721ad80",
    "holds": "442806ae354780efb5dfd557fefecf540fc6e097",
    "budgets_at": "2c370ab028f5a78a324db0c17ae0c6fd32d09f13",
    "approvals_step": "4e9d9cf644c165da9a0873b67d5ca330899a7896",
    "reviews_step": "7e263e5eda9efcb05882b41011fe6614d3643d10",
}
"""What migrations and ANALYZE leave there, the ledger that younger files have, and the
guards of version 5, which are stricter."""


MALFORMED = (LookupError, TypeError, ValueError, AttributeError)
"""What a record raises that is not written as records are."""


def derived(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what a database must hold beside the record *facts*."""
    kind = facts["kind"]
    decided = facts if kind == "decision" else {}
    context, amount = decided.get("context") or {}, decided.get("amount")
    flags = [one for one in decided.get("flags") or () if one["kind"] == "mode"]
    reasons = {"decision": facts.get("reason"), "outcome": facts.get("status")}
    return {
        "id": facts["id"],
        "kind": kind,
        "at_us": facts["atUs"],
        "writer": facts.get("writer"),
        "ref": facts.get("ref"),
        "tool": decided.get("tool"),
        "agent": context.get("agent"),
        "task": context.get("task"),
        "effect": decided.get("effect"),
        "reason": reasons.get(kind),
        "executes": int(facts.get("executes") is True),
        "target": decided.get("targetSystem") or None,
        "variant": flags[0]["variant"] if flags else None,
        "amount": None if amount is None else float(amount),
        "reviewer": facts.get("reviewer") or None,
    }


def check_columns(facts: dict[str, Any], columns: tuple[Any, ...]) -> None:
    """Check that the *columns* of a row say what its record says."""
    try:
        wanted = derived(facts)
    except MALFORMED as error:
        raise Refused("columns", f"cannot be derived: {shown(error)}") from None
    former = facts.get("schema") == "gov.record/1" and "unencodable" in facts
    for (name, want), value in zip(wanted.items(), columns, strict=True):
        same = type(value) is type(want) and value == want
        if not same and not (former and value is None):
            what = f"{name} is {shown(value)}, the record says {shown(want)}"
            raise Refused("columns", what)


def _list(facts: dict[str, Any], name: str) -> list[Any]:
    found = facts.get(name)
    return found if type(found) is list else []


def check_erasure(facts: dict[str, Any], keys: Keys) -> bool:
    """Check that a key of the log signed the record *facts* of an erasure.

    Say whether that key counts: one that was replaced at that moment does not, and the
    erasure must be recorded again, behind it, and say the same.
    """
    said = {name: one for name, one in facts.items() if name != "note"}
    if len(said) == len(facts):
        raise Refused("erasure", "no key of the log signed it")
    note = parse_note(str(facts["note"]))
    digest = b64encode(sha256(_WRITE.encode(said).encode()).digest()).decode("ascii")
    if note.text.split("\n")[1:] != ["gov-erasure/1", digest, ""]:
        raise Refused("erasure", "it says something else than what was signed")
    if signed_by(note, keys.revoked) is not None:
        return False
    keys.require(note, "erasure", former=True)
    return True


TOLD = ("key_rotation", "checkpoint", "tamper", "archive", "erasure")
TELLING = re.compile(f'"kind":"(?:{"|".join(TOLD)})"'.encode())
SEEN = "lastCheckpoint"
"""What the records hold whose contents the verification of a log goes by."""


def telling(body: bytes) -> bool:
    """Say whether the verification may go by what *body* says."""
    return b'"lastCheckpoint":' in body or TELLING.search(body) is not None


def matters(facts: dict[str, Any]) -> bool:
    """Say whether the verification goes by what a record says, its *facts*."""
    return facts.get("kind") in (*TOLD, "gap") or SEEN in facts


class Said(NamedTuple):
    """Hold what matters of one record; all its *facts* where others may matter, too."""

    id: str
    at_us: Any
    writer: str
    digest: Any
    facts: dict[str, Any] | None = None


def said_by(facts: dict[str, Any]) -> Said:
    """Return what matters of a record that says *facts*."""
    identity, writer = str(facts.get("id")), str(facts.get("writer"))
    return Said(identity, facts.get("atUs"), writer, facts.get("personalDigest"))


# ---- Bodies that are known again: what they say, without parsing them

LONG, LONGEST, KNOWN, FORMS, WIDEST = 200, 16_384, 8, 16, 8_000
CREDIT, PRICED = 4_096, 16
"""What may be learned at first, and how many letters cost what one body spares."""
FLAGS, CONTEXT = '"flags":', '"context":'
AT, REASON, EXECUTES, VARIANT, AMOUNT = 2, 9, 10, 12, 13
_TEXT, _CAUGHT = r'"[^"\\\x00-\x1f]*+"', r'"([^"\\\x00-\x1f]*+)"'
_NUMBER = r"0|-?[1-9][0-9]{0,17}+"
_VALUE = rf"(?:{_TEXT}|null|true|false|{_NUMBER})"
_VALUES = rf"\[(?:{_VALUE}(?:,{_VALUE})*+)?+\]"
_FILLED = rf'(?:""|{_CAUGHT}|null)'
_SPELT = {"id": _CAUGHT, "atUs": f"({_NUMBER})", "writer": _CAUGHT}
_SPELT |= {"executes": "(?:(true)|false|null)"}
_SPELT |= {"targetSystem": _FILLED, "reviewer": _FILLED}
_ALWAYS = "id kind atUs writer ref - - - - - executes - - - reviewer personalDigest"
_DECIDED = (
    "id kind atUs writer ref tool context.agent context.task effect reason executes"
    " targetSystem - amount reviewer personalDigest"
)
"""Where the columns stand in a record, in their order, and the digest behind them; "-"
says nowhere, and is no name."""


class Form:
    """Know bodies again that are written as one that was parsed and is canonical.

    They have its names in its order, and in their places any values that need no
    escape. Members that are long and repeat are among those that were parsed; *varied*
    are those that do not repeat. So they are canonical, too, and need no parsing.

    Raises:
        ValueError: when this cannot be said of records like that of *facts*.

    """

    def __init__(self, facts: dict[str, Any], varied: Container[str]) -> None:
        self._kind, self._varied = facts["kind"], varied
        self._variant = derived(facts)["variant"]
        types = [type(facts.get("context", {})), type(facts.get("flags", []))]
        if types != [dict, list] or not isinstance(self._variant, str | None):
            raise ValueError("what is cut out must be of its own type")
        names = (_DECIDED if self._kind == "decision" else _ALWAYS).split()
        if self._kind == "outcome":
            names[REASON] = "status"
        self._places = [None if one == "-" else tuple(one.split(".")) for one in names]
        self._caught: list[tuple[Any, ...]] = []
        self.known: dict[str, dict[str, str | None]] = {}
        self.pattern = self._written(facts, ())
        at: dict[Any, int] = {one: place for place, one in enumerate(self._caught)}
        self._pick = itemgetter(*(at.get(one, -1) for one in self._places))

    @cached_property
    def _match(self) -> Callable[[str], re.Match[str] | None]:
        return re.compile(self.pattern).fullmatch

    def _written(self, value: Any, path: tuple[Any, ...]) -> str:
        if path in self._places:
            self._caught.append(path)
            known = f'"({re.escape(self._kind)})"' if path == ("kind",) else None
            return known or _SPELT.get(path[-1], rf"(?:{_CAUGHT}|null)")
        if len(path) == 1 and self._repeats(f'"{path[0]}":', value):
            return "\0"
        if isinstance(value, dict):
            members = (
                f"{re.escape(_WRITE.encode(name))}:{self._written(one, (*path, name))}"
                for name, one in value.items()
            )
            return rf"\{{{','.join(members)}\}}"
        if not isinstance(value, list):
            return _VALUE
        if not any(isinstance(one, dict | list) for one in value):
            return _VALUES
        items = (self._written(one, (*path, at)) for at, one in enumerate(value))
        return rf"\[{','.join(items)}\]"

    def _repeats(self, name: str, value: Any) -> bool:
        text = _WRITE.encode(value)
        parted = isinstance(value, dict | list) and len(text) > LONG
        if name == FLAGS or (parted and name not in self._varied):
            self.known[name] = {text: self._variant if name == FLAGS else None}
        return name in self.known

    def read(self, text: str) -> tuple[Said, tuple[Any, ...]] | None:
        """Return what the body *text* says, and its columns; None: it must be parsed.

        Raises:
            ValueError: when it must be parsed, too.

        """
        parts, at, variant = [], 0, None
        for name, known in self.known.items():
            start = text.find(name, at) + len(name)
            for one in known:
                if text.startswith(one, start):
                    break
            else:
                return None
            variant = known[one] if name == FLAGS else variant
            parts.append(text[at:start])
            at = start + len(one)
        # No body that matches has such a character: all of them are ours, and what is
        # before one ends with its name.
        match = self._match("\0".join([*parts, text[at:]]) if parts else text)
        if match is None:
            return None
        *row, digest = self._pick((*match.groups(), None))
        row[AT], row[VARIANT] = int(row[AT]), variant
        row[EXECUTES] = 0 if row[EXECUTES] is None else 1
        if row[AMOUNT] is not None:
            row[AMOUNT] = float(row[AMOUNT])
        return Said(row[0], row[AT], row[3], digest), tuple(row)


class Reader:
    """Read what records say, by themselves; parse those that are in no known form.

    *deep* also writes each anew and compares: those in a known form are canonical.
    """

    def __init__(self, *, deep: bool) -> None:
        self._deep, self._credit = deep, CREDIT
        self._forms: dict[str, Form] = {}
        self._varied = {CONTEXT}

    def read(self, body: bytes, columns: tuple[Any, ...] | None) -> Said:
        """Return what *body* says, once the *columns* beside it say the same."""
        said = self._again(body, columns)
        if said is not None:
            self._credit += 1
            return said
        facts = canonical(body) if self._deep else _json(body, dict)
        if columns is not None:
            check_columns(facts, columns)
        if self._credit > 0:
            self._learn(body, facts)
        return said_by(facts)._replace(facts=facts)

    def _again(self, body: bytes, columns: tuple[Any, ...] | None) -> Said | None:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return None
        for form in self._forms.values():
            try:
                found = form.read(text)
            except ValueError:
                continue
            if found is not None:
                said, row = found
                same = columns is None or (
                    columns == row
                    and type(columns[AT]) is type(columns[EXECUTES]) is int
                    and type(columns[AMOUNT]) is type(row[AMOUNT])
                )
                return said if same else None
        return None

    def _learn(self, body: bytes, facts: dict[str, Any]) -> None:
        """Know *body* and its like again, at a price that such bodies must pay."""
        self._credit -= 1 + min(len(body), LONGEST) // PRICED
        if matters(facts) or "unencodable" in facts or len(body) > LONGEST:
            return
        with suppress(Refused, RecursionError, *MALFORMED):
            canonical(body)
            made = Form(facts, self._varied)
            if made.pattern not in self._forms:
                if len(self._forms) >= FORMS or len(made.pattern) > WIDEST:
                    return
                self._credit -= len(made.pattern) // PRICED
            form = self._forms.pop(made.pattern, made)
            for name, texts in made.known.items():
                form.known[name].update(texts)
                if len(form.known[name]) > KNOWN:
                    self._varied.add(name)
                    return
            wanted = said_by(facts), tuple(derived(facts).values())
            if form.read(body.decode("utf-8")) == wanted:
                self._forms[made.pattern] = form


# ---- Many records at once, by several processes: what is not in order is left to one


@dataclass
class Batch:
    """Hold what matters of the records from *first* on, none of them wrong by itself.

    *told* are bodies that the verification may go by, by their numbers. *clocks* hold
    of each writer its first record here, and the times of that and of its last one;
    *times* are the first and the last of all. Of *bare* records, which have no personal
    part, *missing* had one.
    """

    first: int
    hashes: list[bytes] = field(default_factory=list)
    told: dict[int, bytes] = field(default_factory=dict)
    clocks: dict[str, list[int]] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)
    bare: int = 0

    def add(self, at: int, body: bytes, said: Said, personal: bytes | None) -> bool:
        """Take record *at*; say whether that is all there is to it."""
        at_us = said.at_us
        if type(at_us) is not int:
            return False
        clock = self.clocks.setdefault(said.writer, [at, at_us, at_us])
        if at_us < clock[2] - CLOCK_STEP_US:
            return False
        clock[2] = at_us
        self.times = [*self.times[:1], at_us]
        if said.facts is not None and matters(said.facts):
            self.told[at] = body
        if type(personal) is bytes:
            return bool(sha256(personal).hexdigest() == said.digest)
        self.bare += 1
        if said.digest is not None:
            self.missing[said.id] = at
        return personal is None


def batch(
    first: int, rows: Iterable[tuple[Any, ...]], reader: Reader | None
) -> Batch | None:
    """Return what *rows* hold, None where they are to be looked at one by one.

    Without a *reader* only hashes are looked at, not what records say.
    """
    made = Batch(first)
    try:
        for at, row in enumerate(rows, first):
            body = row[1]
            if type(row[0]) is not int or row[0] != at:
                return None
            if type(body) is not bytes or len(body) > MAX_RECORD:
                return None
            made.hashes.append(sha256(b"\0" + body).digest())
            if reader is None and telling(body):
                made.told[at] = body
            if reader and not made.add(at, body, reader.read(body, row[3:]), row[2]):
                return None
    except (Refused, sqlite3.Error):
        return None  # one by one it is seen where
    return made


HELP = "--part"
ALONE = {
    "isolated": "-I",
    "safe_path": "-P",
    "ignore_environment": "-E",
    "no_user_site": "-s",
    "no_site": "-S",
}
"""What keeps foreign code out of Python: who asked for it has it everywhere."""


class Helper:
    """Run this file once more, to look at the parts of *path* that *words* say.

    It only ever spares work: what it does not find in order is looked at again here.
    """

    def __init__(self, path: Path, *words: object) -> None:
        alone = [one for name, one in ALONE.items() if getattr(sys.flags, name)]
        command = [sys.executable, *alone, __file__, HELP, str(path), *map(str, words)]
        self._process = Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)  # noqa: S603 - this file

    def read(self, size: int = -1) -> bytes:
        """Return *size* bytes of what it writes, by default a line."""
        file = self._process.stdout
        assert file is not None  # noqa: S101 - it is piped
        return file.readline() if size < 0 else file.read(size)

    def batch(self) -> Batch | None:
        """Return its next batch, None where it has none."""
        try:
            line = json.loads(self.read())
            data = self.read(32 * line["hashes"])
            line["hashes"] = [data[at : at + 32] for at in range(0, len(data), 32)]
            told = line["told"].items()
            line["told"] = {int(at): body.encode("latin-1") for at, body in told}
            return Batch(**line)
        except MALFORMED:
            return None

    def close(self) -> None:
        """End it."""
        with self._process as process:
            process.kill()


def help_with(path: str, what: str, *numbers: str) -> None:
    """Write what a `Helper` is asked for: "ok" where nothing is *loose*, or batches."""
    out = sys.stdout.buffer
    with closing(Database(Path(path), mapped=True)) as database:
        if what == "loose":
            out.write(b"loose\n" if any(database.loose()) else b"ok\n")
            return
        portion, first, last, step = map(int, numbers)
        reader = None if what == "quick" else Reader(deep=what == "deep")
        for after in range(first, last, step):
            rows = database.rows(after, portion, quick=reader is None)
            made = batch(after + 1, rows, reader)
            if made is None:
                return
            told = {at: body.decode("latin-1") for at, body in made.told.items()}
            line = {**vars(made), "told": told, "hashes": len(made.hashes)}
            out.write(json.dumps(line).encode() + b"\n" + b"".join(made.hashes))
            out.flush()


def helped(database: Database, how: How, after: int) -> Iterator[Batch]:
    """Yield what other processes find in order behind record *after*, while they do.

    Each reads the file as it is by then: what was erased meanwhile is not in order.
    """
    last, what = (
        database.last(),
        "quick" if how.quick else "deep" if how.deep else "all",
    )
    if how.jobs < 2 or last - after < MANY:
        return
    step, helpers = how.jobs * PORTION, []
    with ExitStack() as stack:
        try:
            for start in range(after, after + step, PORTION):
                helper = Helper(database.path, what, PORTION, start, last, step)
                stack.callback(helper.close)
                helpers.append(helper)
            if not how.quick:
                database.looking = Helper(database.path, "loose")
        except (OSError, TypeError):
            return  # no more processes here, or no such program
        for helper in cycle(helpers):
            made, end = helper.batch(), after + PORTION
            if made is None or (made.first, len(made.hashes)) != (after + 1, PORTION):
                return
            if made.missing and database.bare(after + 1, end) != made.bare:
                return
            yield made
            after = end


def looked_through(
    database: Database, how: How, reader: Reader | None
) -> Iterator[Leaf | Batch]:
    """Yield all records of *database*, one by one where they are not in order."""
    after = archived(database.archives)
    for made in helped(database, how, after):
        yield made
        after += len(made.hashes)
    while True:
        rows = database.rows(after, PORTION, quick=how.quick)
        found = batch(after + 1, rows, reader)
        if found is None:
            for leaf in database.leaves(after, PORTION, quick=how.quick):
                yield leaf
                after += 1
        elif found.hashes:
            yield found
            after += len(found.hashes)
        else:
            return


class Contents:
    """Check what each record says, one after the other; lives for one verification."""

    def __init__(self, *, deep: bool) -> None:
        self.reader = Reader(deep=deep)
        self.missing: dict[str, int] = {}
        self.erased: dict[str, int] = {}
        self.late: dict[int, int] = {}
        """By which record each erasure was recorded again that a revoked key signed."""
        self._late: dict[bytes, list[int]] = {}
        self.ledger: list[tuple[int, str]] = []
        self.seen: list[tuple[int, Any, Any]] = []
        self._entered: dict[str, int] = {}
        self.archived: dict[str, dict[str, Any]] = {}
        self._clocks: dict[str, int] = {}
        self.notes: list[str] = []
        self.first_us: int | None = None
        self.last_us: int | None = None

    def check(self, leaf: Leaf, at: int, evidence: Evidence, keys: Keys) -> None:
        """Check record *at*, and take what it says of keys, erasures and the log."""
        columns = None if leaf.columns is None else tuple(leaf.columns.values())
        said = self.reader.read(leaf.body, columns)
        if leaf.seq is not None:
            if type(said.at_us) is not int:
                raise Refused("body", "a record without a time")
            self._tick(said.writer, leaf.seq, said.at_us, said.at_us)
            self._span(said.at_us, said.at_us)
            self._personal(said, leaf.seq, evidence.personal(said.id))
        if said.facts is not None:
            self._learn(said.facts, at, keys)

    def take(self, batch: Batch) -> None:
        """Take what is known of the records of *batch*, but for what it tells."""
        for writer, (seq, first_us, last_us) in batch.clocks.items():
            self._tick(writer, seq, first_us, last_us)
        if batch.times:
            self._span(batch.times[0], batch.times[-1])
        self.missing.update(batch.missing)

    def _learn(self, facts: dict[str, Any], at: int, keys: Keys) -> None:
        """Take what record *at* says of keys, erasures and the log."""
        last = facts.get(SEEN)
        if isinstance(last, dict):
            self.seen.append((at, last.get("number"), last.get("digest")))
        match facts.get("kind"):
            case "key_rotation":
                keys.rotate(read_rotation(facts))
            case "erasure":
                self._erasure(facts, at, counts=check_erasure(facts, keys))
            case "checkpoint":
                self._enter(at, str(facts.get("note")))
            case "archive":
                self.archived[str(facts.get("id"))] = facts
            case "tamper":
                found = shown(facts.get("finding"))
                what = f"the log itself found that it was altered ({found})"
                raise Refused("tamper", f"{what} and began another tree")
            case "gap":
                lost = f"{shown(facts.get('lost'))} denied calls were not kept"
                self.notes.append(f"record {at}: {lost}")

    def _erasure(self, facts: dict[str, Any], at: int, *, counts: bool) -> None:
        """Take the erasure of record *at*; one that *counts* excuses its like."""
        own = ("id", "atUs", "writer", "note")
        said = {name: one for name, one in facts.items() if name not in own}
        digest = sha256(_WRITE.encode(said).encode()).digest()
        if not counts:
            self._late.setdefault(digest, []).append(at)
            self.late[at] = 0
            return
        self.late |= dict.fromkeys(self._late.pop(digest, ()), at)
        listed = [str(one) for one in _list(facts, "records")]
        listed += [f"request {one}" for one in _list(facts, "requests")]
        for one in listed:
            self.erased.setdefault(one, at)

    def _enter(self, at: int, note: str) -> None:
        """Take a checkpoint of another log from the ledger."""
        due = _due(note)
        self.ledger.append((at, note))
        if due.size < self._entered.get(due.origin, 0):
            raise Refused("ledger", f"{due} was entered after a larger one")
        self._entered[due.origin] = due.size

    def _personal(self, said: Said, seq: int, personal: bytes | None) -> None:
        if said.digest is not None and personal is None:
            self.missing[said.id] = seq
        elif personal is not None and sha256(personal).hexdigest() != said.digest:
            raise Refused("personal", "the personal part is not the one recorded")

    def _tick(self, writer: str, seq: int, first_us: int, last_us: int) -> None:
        """Take the times of records of *writer*, the first of them *seq*."""
        if first_us < self._clocks.get(writer, 0) - CLOCK_STEP_US:
            self.notes.append(f"record {seq}: the clock of its writer was set back")
        self._clocks[writer] = last_us

    def _span(self, first_us: int, last_us: int) -> None:
        self.first_us = first_us if self.first_us is None else self.first_us
        self.last_us = last_us


# ---- The verification


@dataclass(frozen=True)
class Finding:
    """Say what is wrong, and in which records; None where it is in none of them."""

    code: str
    what: str
    first_seq: int | None = None
    last_seq: int | None = None

    def __str__(self) -> str:
        where = ""
        if self.first_seq is not None and self.first_seq == self.last_seq:
            where = f"record {self.first_seq}: "
        elif self.first_seq is not None:
            where = f"records {self.first_seq} to {self.last_seq}: "
        return f"{self.code}: {where}{self.what}"


@dataclass
class Report:
    """Tell what of one log was verified; *verified* says that there is no finding.

    *quick* says that only hashes and signatures were looked at, not what records say.
    The last checkpoint covers *size* records; *unsealed* follow it, and could be
    changed unseen. The first *archived* ones are in so many *bundles*, of which
    *restored* were verified in their place. *record* is the one that a proof is about.
    """

    evidence: str = ""
    verified: bool = False
    quick: bool = False
    origin: str | None = None
    size: int = 0
    first_seq: int | None = None
    last_seq: int | None = None
    first_us: int | None = None
    last_us: int | None = None
    checkpoints: int = 0
    unsealed: int = 0
    archived: int = 0
    bundles: int = 0
    restored: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    record: str | None = None


class _Due(NamedTuple):
    """Wait for the tree to reach the size of a checkpoint."""

    checkpoint: Checkpoint
    note: Note
    held: bool = False
    told: bool = False
    """Whether the ledger holds it: its tree vouches for what a former key signed."""

    @property
    def origin(self) -> str:
        """The log that it is of."""
        return self.checkpoint.origin

    @property
    def size(self) -> int:
        """How many records it covers."""
        return self.checkpoint.size

    def __str__(self) -> str:
        whose = "the ledger's checkpoint" if self.told else "your checkpoint"
        whose = whose if self.held else "the stored checkpoint"
        return f"{whose} over {self.size} records"


class How(NamedTuple):
    """Say how to verify; each is an option of the command line, too.

    *deep* also writes each record anew and compares; *quick* looks only at hashes and
    signatures, not at what records say; *sealed* demands that nothing follows the last
    checkpoint. A bundle must reach the newest checkpoint that you hold of its log; one
    that was made before is accepted where *partial* says so. *archives* is the folder
    with the bundles of records that are no more in a database: they are verified in
    their place. *jobs* processes share the records of a large file.
    """

    deep: bool = False
    quick: bool = False
    sealed: bool = False
    partial: bool = False
    archives: Path | None = None
    jobs: int = 1


class Audit:
    """Verify the *evidence* of one log against *keys* of its own; report the findings.

    *alone* says that there is no other evidence. *told* are the records of archives by
    their ids.
    """

    def __init__(self, evidence: str, keys: Keys, how: How, *, alone: bool) -> None:
        self._how, self._alone = how, alone
        self._held: list[_Due] = []
        self._keys = keys
        self._contents = Contents(deep=how.deep)
        self._tree = Tree()
        self._waiting: list[_Due] = []
        self._stored: list[_Due] = []
        self._strange_origins: set[str] = set()
        self._agreed = self._agreed_held = 0
        self._broken = False
        self.report = Report(evidence, quick=how.quick)
        self.told = self._contents.archived
        self._archives: list[Archive] = []

    def read(self, opener: Callable[[], Evidence | Proof], held: list[_Due]) -> bool:
        """Read what *opener* returns, whatever it holds; say whether that was done.

        What *held* says of other logs is passed over; where it says nothing of this
        one, and there are others, that is left for later.

        Raises:
            OSError: when the evidence cannot be opened.

        """
        try:
            evidence = opener()
            if isinstance(evidence, Proof):
                return self._prove(evidence, held)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - what hostile bytes raise in a reader
            self._found(finding(error))
            return True
        with closing(evidence):
            try:
                known = {_due(one).origin for one in evidence.stored}
                self._held = [one for one in held if self._alone or one.origin in known]
                if not self._held:
                    return False
                self._read(evidence)
            except Exception as error:  # noqa: BLE001 - as above
                self._found(finding(error, self._tree.size + 1))
        report, contents = self.report, self._contents
        report.notes += contents.notes[:MAX_FINDINGS]
        report.first_us, report.last_us = contents.first_us, contents.last_us
        return True

    def origins(self) -> set[str]:
        """Return the origins of the checkpoints that were held of this log."""
        return {due.origin for due in self._held}

    def ledger(self) -> Iterator[str]:
        """Yield the checkpoints of other logs that are sealed in this one."""
        for at, note in self._contents.ledger:
            if at <= self.report.size:
                yield note

    def erased(self) -> Iterator[tuple[str, bool]]:
        """Yield of which records an erasure is told, and whether that is sealed."""
        for identity, at in self._contents.erased.items():
            yield identity, at <= self.report.size

    def settle(
        self, erased: dict[str, bool], told: dict[str, dict[str, Any]]
    ) -> Report:
        """Return the report; *erased* and *told* are known of all logs."""
        if not self._held and not self.report.findings:
            self._find("checkpoint", "you hold none of this log, nor does a ledger")
        for at, again in self._contents.late.items():
            if not at < again <= self.report.size:
                self._find("erasure", "the key that signed it was revoked before", at)
            elif len(self.report.notes) < MAX_FINDINGS:
                what = f"its key was replaced; record {again} says the same"
                self.report.notes.append(f"record {at}: an erasure; {what}")
        for record_id, seq in self._contents.missing.items():
            why = ", and no record tells of an erasure"
            why = "; its erasure is not sealed yet" if record_id in erased else why
            if not erased.get(record_id):
                self._find("personal", f"the personal part is missing{why}", seq)
        for archive in self._archives:
            said = told.get(archive.record, {})
            if any(said.get(name) != one for name, one in archive.facts().items()):
                what = "no record tells that they were archived as they are"
                self._find("archive", what, archive.first, archive.last)
        self.report.verified = not self.report.findings
        return self.report

    def _prove(self, proof: Proof, held: list[_Due]) -> bool:
        """Check *proof*: its record, below a checkpoint that is *held*."""
        due = _due(proof.note)
        origin, size, root, *_ = due.checkpoint
        self._held = [one for one in held if one.checkpoint == due.checkpoint]
        if not self._held and not self._alone:
            return False
        if not self._held:
            raise Refused("checkpoint", "it is made for one that you do not hold")
        self._keys.require(due.note)
        leaf = sha256(b"\0" + proof.body).digest()
        if root_of_path(proof.at, size, leaf, proof.path) != root:
            raise Refused("root", "the record does not lead to the root")
        canonical(proof.body)
        report, seq = self.report, proof.at + 1
        report.origin, report.size, report.checkpoints = origin, size, 1
        report.first_seq, report.last_seq = seq, seq
        report.record = proof.body.decode("utf-8")
        return True

    def _read(self, evidence: Evidence) -> None:
        self._plan(evidence)
        self._meet()
        check = self._glance if self._how.quick else self._check
        for source, entries in self._sources(evidence):
            for entry in entries:
                if isinstance(entry, Batch):
                    self._take(entry, source)
                elif isinstance(entry, Block):
                    self._tree.add(entry.root, entry.level)
                else:
                    self._count(entry.seq)
                    self._tree.extend([sha256(b"\0" + entry.body).digest()])
                    check(entry, source)
                self._meet()
        self._end(evidence)

    def _take(self, batch: Batch, evidence: Evidence) -> None:
        """Take the records of *batch*, and meet the checkpoints among them."""
        self._count(batch.first)
        self._contents.take(batch)
        start = self._tree.size
        end = start + len(batch.hashes)
        among = takewhile(lambda due: due.size < end, reversed(self._waiting))
        for stop in sorted({*batch.told, *(due.size for due in among), end}):
            self._tree.extend(batch.hashes[self._tree.size - start : stop - start])
            if stop in batch.told:
                self._check(Leaf(None, batch.told[stop]), evidence)
            self._meet()
        self.report.last_seq = end

    def _sources(
        self, evidence: Evidence
    ) -> Iterator[tuple[Evidence, Iterable[Block | Leaf | Batch]]]:
        """Yield what the tree is made of, one source after the other."""
        for archive in evidence.archives:
            before, report = self._tree.size, self.report
            if archive.first != before + 1:
                raise Refused("archive", f"record {archive.first} is the next archived")
            bundle = self._bundle(archive)
            if bundle is None:
                yield evidence, archive.entries()
            else:
                with closing(bundle):
                    yield bundle, bundle.records(before)
                    for what in () if self._how.quick else bundle.loose():
                        self._find("loose", what)
            if _root_of(archive.frontier) != self._tree.root():
                what = "what stands for them is of another tree"
                self._find("archive", what, archive.first, archive.last)
            self._archives.append(archive)
            report.archived, report.bundles = archive.last, report.bundles + 1
        if isinstance(evidence, Database):
            reader = None if self._how.quick else self._contents.reader
            yield evidence, looked_through(evidence, self._how, reader)
        else:
            yield evidence, evidence.entries(quick=self._how.quick)

    def _bundle(self, archive: Archive) -> Bundle | None:
        """Return the bundle of *archive*, None where it is not asked for or no good."""
        if self._how.archives is None:
            return None
        try:
            path = self._how.archives / Path(archive.bundle).name
            _check_digest(path, archive.digest)
            bundle = Bundle(path)
        except (Refused, OSError, ValueError) as error:
            what = f"the bundle {shown(archive.bundle)}: {shown(error)}"
            self._find("archive", what, archive.first, archive.last)
            return None
        self.report.restored += 1
        return bundle

    def _plan(self, evidence: Evidence) -> None:
        """Line up all checkpoints by size; a stored one must follow the one before."""
        self.report.origin = self._held[-1].origin
        stored: list[_Due] = []
        sizes: dict[str, int] = {}
        for text in evidence.stored:
            due = _due(text)
            if due.size <= sizes.get(due.origin, -1):
                self._find("checkpoints", f"{due} follows a larger one")
            sizes[due.origin] = due.size
            stored.append(due)
        within = evidence.within if isinstance(evidence, Bundle) else None
        for what in unchained(stored, within):
            self._find("checkpoints", what)
        self._stored = stored
        if evidence.whole and stored and stored[0].size and stored[0].checkpoint.number:
            what = "records stood there before the first checkpoint"
            self.report.notes.append(f"{stored[0].size} {what}")
        known = {due.checkpoint for due in stored}
        for due in self._held:
            last = max(sizes.values(), default=0)
            if due.checkpoint not in known and (
                within is None or (due.origin in sizes and within(due.size))
            ):
                self._find(
                    "rolled_back",
                    f"{due} is not among those stored; the last of them covers {last}",
                )
        self._waiting = sorted(
            [*stored, *self._held], key=lambda due: due.size, reverse=True
        )

    def _count(self, seq: int | None) -> None:
        """Check that record *seq* is the next of the log."""
        expected = self._tree.size + 1
        if seq is None:
            return
        if type(seq) is not int or seq != expected:
            raise Refused("sequence", f"{shown(seq)} stands in its place")
        self.report.first_seq = self.report.first_seq or expected
        self.report.last_seq = expected

    def _check(self, leaf: Leaf, evidence: Evidence) -> None:
        try:
            self._contents.check(leaf, self._tree.size, evidence, self._keys)
        except Refused as refused:
            self._find(refused.code, refused.detail, self._tree.size)

    def _glance(self, leaf: Leaf, evidence: Evidence) -> None:
        if telling(leaf.body):
            self._check(leaf._replace(seq=None, columns=None), evidence)

    def _meet(self) -> None:
        """Check every checkpoint that the tree has reached."""
        while self._waiting and self._waiting[-1].size <= self._tree.size:
            due = self._waiting.pop()
            try:
                self._compare(due)
            except Refused as refused:
                self._find(refused.code, f"{due}: {refused.detail}")

    def _compare(self, due: _Due) -> None:
        origin, size, root, *_ = due.checkpoint
        counts = True
        if due.held:
            self._keys.require(due.note, former=due.told)
        else:
            counts = self._keys.signer(due.note, str(due)) is not None
        if origin not in self.origins():
            self._strange_origins.add(origin)
            return
        if size < self._tree.size:
            raise Refused("cover", "the bundle was not made for it: export it anew")
        if self._tree.root() != root:
            if not self._broken:
                what = f"do not lead to the root of {due}"
                self._find("root", what, self._agreed + 1, size)
            self._broken = True
            return
        self.report.checkpoints += 1
        if due.held:
            self._agreed_held = size
        if counts:
            self._agreed = self.report.size = size

    def _end(self, evidence: Evidence) -> None:
        """Look at what only the end shows."""
        report, size = self.report, self._tree.size
        self._end_of_checkpoints(whole=evidence.whole)
        if size == 0 and all(due.size for due in self._held):
            self._find("empty", "there is no record")
        for what in self._keys.unknown():
            self._find("key", what)
        for origin in sorted(self._strange_origins):
            self._find("origin", f"a checkpoint of the log {shown(origin)}")
        for what in () if self._how.quick else evidence.loose():
            self._find("loose", what)
        if report.bundles and self._how.archives is None:
            what = f"are in {report.bundles} bundles: show these too (--archives)"
            self._find("archived", what, 1, report.archived)
        report.unsealed = size - report.size
        if self._broken:
            return  # what the last checkpoint covers is not known then
        if not report.checkpoints:
            self._find("unsealed", "no checkpoint holds")
        elif report.unsealed and (self._how.sealed or not evidence.whole):
            what = "follow the last checkpoint and could be anything"
            self._find("unsealed", what, report.size + 1, size)

    def _end_of_checkpoints(self, *, whole: bool) -> None:
        """Look for those that the tree did not reach, and those that are gone."""
        size, late, last = self._tree.size, self._waiting, self.report.last_seq
        ends = f"the log ends after {size} records"
        if not whole:
            ends = f"the bundle ends after {size} records: ask for a new one"
        if self._how.partial and not whole and self._agreed_held >= (last or size):
            # Its records are below one that you hold; what it ended before is not lost.
            newer = [due for due in late if due.held and not due.told]
            late = [due for due in late if not due.held]
            self.report.notes += [f"{one} covers more: {ends}" for one in newer[:1]]
        if late:
            what = f"{late[0]} covers more: {ends}"
            self._find("truncated", what, size + 1, late[0].size)
        for at, number, digest in self._contents.seen:
            if not saw(self._stored, at, number, digest, whole=whole):
                what = f"it tells of checkpoint {shown(number)}, which is not stored"
                self._find("rolled_back", what, at)

    def _find(
        self, code: str, what: str, first: int | None = None, last: int | None = None
    ) -> None:
        self._found(Finding(code, what, first, first if last is None else last))

    def _found(self, found: Finding) -> None:
        if len(self.report.findings) < MAX_FINDINGS:
            self.report.findings.append(found)


def _check_digest(path: Path, wanted: str) -> None:
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    if digest != wanted:
        raise Refused("archive", f"its SHA-256 is {digest}, not {shown(wanted)}")


def finding(error: Exception, seq: int | None = None) -> Finding:
    """Return *error*, met at record *seq*, as a finding."""
    if isinstance(error, Refused):
        return Finding(error.code, error.detail, seq, seq)
    return Finding("unreadable", f"{type(error).__name__}: {shown(error)}", seq, seq)


def unchained(
    stored: list[_Due], within: Callable[[int], bool] | None = None
) -> Iterator[str]:
    """Yield which of *stored* does not follow the one before it.

    All must be there; of a bundle those *within*, and of others one in so many.
    """
    last, text, inside = 0, "", False
    thinned = within is not None and stored and not within(0)
    step = stored[-1].checkpoint.number // SPACED + 1 if thinned else 1
    for place, due in enumerate(stored, 1):
        number, before = due.checkpoint[3:]
        was, inside = inside, within is None or within(due.size)
        if number == 0 and last:
            yield f"{due} does not say which one it follows"
        elif number and not thinned and number != place:
            yield f"{due} is the log's checkpoint {number}, and {place} are stored"
        elif number and number <= last:
            yield f"{due} follows one that came later"
        elif number and last and number - last > (1 if was and inside else step):
            yield f"{due} is the log's checkpoint {number}, and {last} is before it"
        elif number and (not thinned or number == last + 1) and before != link(text):
            yield f"{due} does not follow the one before it"
        last, text = number, due.note.text


def saw(stored: list[_Due], at: int, number: Any, digest: Any, *, whole: bool) -> bool:
    """Say whether *stored* has what record *at* tells of the last one before it.

    What is not *whole* may lack it; nothing that came before may cover the record.
    """
    known = type(number) is int and number > 0
    if whole:
        due = stored[number - 1] if known and number <= len(stored) else None
        return due is not None and due.size < at and link(due.note.text) == digest
    place = bisect_right(stored, number, key=lambda due: due.checkpoint.number)
    due = stored[place - 1] if known and place else None
    if due is None or due.checkpoint.number == 0:
        return known
    same = due.checkpoint.number != number or link(due.note.text) == digest
    return due.size < at and same


def _due(text: str, *, held: bool = False, told: bool = False) -> _Due:
    # The size is used before the signature was verified, for the order alone.
    note = parse_note(text)
    return _Due(parse_checkpoint(note), note, held, told)


def open_evidence(path: Path) -> Evidence | Proof:
    """Return the evidence in the file *path*."""
    if _is_database(path):
        return Database(path)
    with path.open("rb") as file:
        head = file.read(MAX_NOTE)
    if head.startswith(b"PK"):
        return Bundle(path)
    if head.startswith(b"c2sp.org/tlog-proof@v1\n"):
        return read_proof(head)
    raise Refused("evidence", "neither a bundle nor a record file nor a proof")


def _is_database(path: Path) -> bool:
    """Say whether SQLite takes *path* for a database of its own that is not empty.

    SQLite has to look first: closing a file that one opened by oneself drops the locks
    that other connections of the process hold on it.
    """
    if not path.is_file():
        return False
    try:
        with closing(opened(path)) as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            return bool(pages)
    except sqlite3.DatabaseError as error:
        other = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN)
        return error.sqlite_errorcode & 0xFF not in other


def files(paths: Iterable[Path]) -> dict[str, Callable[[], Evidence | Proof]]:
    """Return what `verify` reads: the evidence in *paths*, by their names."""
    return {str(path): partial(open_evidence, path) for path in paths}


def verify(
    evidence: Mapping[str, Callable[[], Evidence | Proof]],
    keys: Iterable[str],
    held: Iterable[str],
    **how: Any,
) -> list[Report]:
    """Return what each *evidence* is worth: a name, and the function that opens it.

    *keys* are the pinned keys, ``name+hash+base64``; *held* the checkpoints that you
    hold, as signed notes; *how* is what `How` holds. Of several logs none may be
    missing of which you hold a checkpoint.

    Raises:
        UsageError: when there is nothing to verify, or to verify against.
        OSError: when the evidence cannot be opened.

    """
    try:
        pinned = [parse_key(one) for one in keys]
        dues = [_due(one, held=True) for one in held]
    except Refused as error:
        raise UsageError(f"--key or --checkpoint: {error}") from None
    if not (pinned and dues and evidence):
        raise UsageError("evidence, key and checkpoint are needed: one is missing")
    alone = len(evidence) == 1
    told = rotations(evidence.values())
    audits = {
        Audit(name, Keys(pinned, told), How(**how), alone=alone): opener
        for name, opener in evidence.items()
    }
    waiting = list(audits)
    while waiting:
        later = [one for one in waiting if not one.read(audits[one], dues)]
        if len(later) == len(waiting):
            break
        for audit in waiting:
            dues += [_due(one, held=True, told=True) for one in audit.ledger()]
        waiting = later
    erased: dict[str, bool] = {}
    for audit in audits:
        for one, is_sealed in audit.erased():
            erased[one] = is_sealed or erased.get(one, False)
    told_of = {one: facts for audit in audits for one, facts in audit.told.items()}
    reports = [audit.settle(erased, told_of) for audit in audits]
    seen = {origin for audit in audits for origin in audit.origins()}
    absent = () if alone else sorted({due.origin for due in dues} - seen)
    gone = Finding("absent", "there is a checkpoint of this log, but not the log")
    return reports + [Report(origin=one, findings=[gone]) for one in absent]


def rotations(openers: Iterable[Callable[[], Evidence | Proof]]) -> list[Rotation]:
    """Return what the records of new keys say, in all logs.

    Raises:
        OSError: when the evidence cannot be opened.

    """
    told: list[bytes] = []
    for opener in openers:
        try:
            evidence = opener()
            if not isinstance(evidence, Proof):
                with closing(evidence):
                    told += evidence.rotations()
        except OSError:
            raise
        except Exception:  # noqa: BLE001, S112 - it is a finding once it is read
            continue
    found = []
    for body in told[:MAX_SIGNATURES]:
        with suppress(Refused):
            found.append(read_rotation(_json(body, dict)))
    return found


# ---- The command line


def shown(value: object) -> str:
    """Return *value* in printable ASCII, cut: it may be meant for your terminal."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    cut = text if len(text) <= 120 else f"{text[:120]}..."
    return cut.encode("unicode_escape").decode("ascii")


def told(report: Report) -> str:
    """Return *report* for people."""
    word = "VERIFIED" if report.verified else "NOT VERIFIED"
    word += " (quick: hashes and signatures alone)" if report.quick else ""
    unknown = "unknown: no checkpoint that you hold could be matched to it"
    log = unknown if report.origin is None else shown(report.origin)
    lines: list[tuple[str, object]] = [("log", log)]
    if report.archived:
        what = f"1 to {report.archived}, in {report.bundles} bundles"
        done = f"{report.restored} of them verified"
        done = done if report.restored else "to be verified as well (--archives)"
        lines.append(("archived", f"{what}, {done}"))
    if report.first_seq is not None:
        span = f"{report.first_seq} to {report.last_seq}{when(report)}"
        lines.append(("records", span))
    hold = f"{report.checkpoints} hold, over {report.size} records"
    lines.append(("checkpoints", hold))
    lines.append(("since then", f"{report.unsealed} records, which nothing protects"))
    lines += [("note", note) for note in report.notes]
    if report.record is not None:
        lines.append(("record", report.record.encode("unicode_escape").decode()))
    first = [f"{word} {shown(report.evidence)}".rstrip()]
    first += [f"  {finding}" for finding in report.findings]
    return "\n".join([*first, *(f"  {name:14}{what}" for name, what in lines)]) + "\n"


def summary(reports: list[Report]) -> dict[str, Any]:
    """Return *reports* as JSON knows them; *verified* says it of all of them."""
    logs = [asdict(report) for report in reports]
    return {"verified": all(report.verified for report in reports), "logs": logs}


def when(report: Report) -> str:
    """Return the times of the first and the last record."""
    try:
        first, last = (
            f"{datetime.fromtimestamp(one / 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"
            for one in (report.first_us or 0, report.last_us or 0)
        )
    except (ValueError, OverflowError, OSError):
        return ""
    return f", {first} to {last} UTC"


OPTIONS: dict[str, tuple[type, str, str, str]] = {
    "--key": (str, "VKEY", "append", "a key that you pinned; repeatable"),
    "--checkpoint": (Path, "FILE", "append", "checkpoints that you hold; repeatable"),
    "--archives": (Path, "FOLDER", "store", "bundles of archived records to verify"),
    "--jobs": (int, "N", "store", "how many processes share a large record file"),
}
SWITCHES = {
    "--deep": "also write each record anew and compare",
    "--quick": "only hashes and signatures",
    "--sealed": "nothing may follow the last checkpoint",
    "--partial": "a bundle may end before the newest checkpoint that you hold",
    "--json": "print JSON",
}


def arguments() -> argparse.ArgumentParser:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="gov_verify.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = "bundles, record files or proofs"
    parser.add_argument("evidence", type=Path, nargs="+", help=what)
    for name, (kind, shape, action, text) in OPTIONS.items():
        parser.add_argument(name, type=kind, metavar=shape, action=action, help=text)
    for name, text in SWITCHES.items():
        parser.add_argument(name, action="store_true", help=text)
    parser.set_defaults(jobs=os.cpu_count() or 1)
    return parser


def held_in(paths: Iterable[Path]) -> list[str]:
    """Return the notes of the files *paths*.

    Raises:
        UsageError: when one holds none.
        OSError: when one cannot be read.

    """
    held = []
    for path in paths:
        with path.open("rb") as file:
            data = file.read(MAX_NOTES + 1)
        if len(data) > MAX_NOTES:
            raise UsageError(f"{path}: over {MAX_NOTES} bytes; give it in parts")
        try:
            found = (read_published if data[:1] == b"{" else read_notes)(data)
        except Refused as error:
            raise UsageError(f"{path}: {error}") from None
        if not found:
            raise UsageError(f"{path}: no checkpoint in it")
        held += found
    return held


def main(argv: list[str] | None = None) -> int:
    """Run the command line, return the exit code."""
    if argv is None and sys.argv[1:2] == [HELP]:
        help_with(*sys.argv[2:])
        return VERIFIED
    parser = arguments()
    given = parser.parse_args(argv)
    if not given.key or not given.checkpoint:
        parser.error("--key and --checkpoint are needed: without them nothing is shown")
    try:
        reports = verify(
            files(given.evidence),
            given.key,
            held_in(given.checkpoint),
            **{name: getattr(given, name) for name in How._fields},
        )
    except UsageError as error:
        parser.error(str(error))
    except OSError as error:
        sys.stderr.write(f"gov_verify.py: {error}\n")
        return UNREADABLE
    if given.json:
        sys.stdout.write(json.dumps(summary(reports), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(map(told, reports)))
    return VERIFIED if all(report.verified for report in reports) else REFUSED


if __name__ == "__main__":
    sys.exit(main())

"""A log that another hand wrote and sealed, and its evidence: what to verify against.

Nothing here uses the product's own tree, notes or keys: what the verifier believes is
compared with a plain reading of the RFC and of C2SP's formats.
"""

from __future__ import annotations

import json
import sqlite3
import zipfile
from base64 import b64encode
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from openfeature_gov.evidence import records
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.stores import schema

ORIGIN = "gov.example/log"


class Signer:
    """An Ed25519 key under a name."""

    def __init__(self, name: str = "gov.example") -> None:
        self.name, self._key = name, Ed25519PrivateKey.generate()
        raw = b"\1" + self._key.public_key().public_bytes_raw()
        self.id = sha256(name.encode() + b"\n" + raw).digest()[:4]
        self.vkey = f"{name}+{self.id.hex()}+{b64encode(raw).decode()}"

    def line(self, text: str) -> str:
        """Return the signature line of *text*."""
        signature = self._key.sign(text.encode())
        return f"\u2014 {self.name} {b64encode(self.id + signature).decode()}\n"

    def note(self, text: str, *others: Signer) -> str:
        """Return *text* signed."""
        return text + "\n" + "".join(one.line(text) for one in (self, *others))


def canonical(facts: Any) -> bytes:
    """Return the bytes of *facts* as records are written."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def linked(text: str) -> str:
    """Return how the checkpoint behind that of *text* names it."""
    return b64encode(sha256(text.encode()).digest()).decode()


def root(leaves: list[bytes]) -> bytes:
    """Return the root over *leaves* as RFC 9162 defines it, top down."""
    if len(leaves) < 2:
        return sha256(b"\0" + leaves[0] if leaves else b"").digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root(leaves[:split]) + root(leaves[split:])).digest()


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """Return the inclusion proof of leaf *index*."""
    if len(leaves) < 2:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*path(index, leaves[:split]), root(leaves[split:])]
    return [*path(index - split, leaves[split:]), root(leaves[:split])]


def decision(number: int, **facts: Any) -> tuple[bytes, bytes]:
    """Return the body and the personal part of a decision."""
    personal = canonical({"salt": f"{number:032x}", "user": f"user-{number}"})
    body = {
        "schema": "gov.record/2",
        "kind": "decision",
        "id": f"d-{number}",
        "atUs": 1_700_000_000_000_000 + number,
        "writer": "w",
        "tool": "refund",
        "context": {"agent": "agent-1", "task": "t-1"},
        "targetSystem": "billing",
        "effect": "allow",
        "reason": "allowed",
        "amount": "12.50",
        "flags": [
            {"kind": "switch", "variant": "on"},
            {"kind": "mode", "variant": "a"},
        ],
        "executes": True,
        "note": "ü \u2028 \u0001 \U0001f600",
        "personalDigest": sha256(personal).hexdigest(),
        **facts,
    }
    return canonical(body), personal


def event(number: int, kind: str, **facts: Any) -> tuple[bytes, None]:
    """Return the body of a record of the log itself."""
    at = 1_700_000_000_000_000 + number
    body = {"kind": kind, "id": f"e-{number}", "atUs": at, "writer": "w", **facts}
    return canonical({"schema": "gov.record/2", **body}), None


def respelled(note: str, at: int = 0) -> str:
    """Return *note* with a signature that means the same in other letters.

    With *at*, how far from its end another letter stands, it means something else.
    """
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    place = at or note.rindex("=") - 1
    head, last, tail = note[:place], note[place], note[place:][1:]
    return head + letters[letters.index(last) ^ 1] + tail


class Log:
    """A log in memory, with its checkpoints; written to a file or a bundle."""

    def __init__(self, count: int = 0, every: int = 7, *, chained: bool = True) -> None:
        self.signer = Signer()
        self.rows: list[tuple[bytes, bytes | None]] = []
        self.notes: list[tuple[int, str, str]] = []
        self.chained = chained
        for number in range(1, count + 1):
            self.add(*decision(number))
            if number % every == 0 or number == count:
                self.seal()

    @property
    def leaves(self) -> list[bytes]:
        """The bodies."""
        return [body for body, _ in self.rows]

    def add(self, body: bytes, personal: bytes | None = None) -> None:
        """Append one record."""
        self.rows.append((body, personal))

    def seal(self, size: int | None = None, origin: str = ORIGIN) -> str:
        """Sign a checkpoint over the first *size* records."""
        size = len(self.rows) if size is None else size
        top = b64encode(root(self.leaves[:size])).decode()
        text = f"{origin}\n{size}\n{top}\n"
        if self.chained:
            before = (
                self.notes[-1][2].rpartition("\n\n")[0] + "\n" if self.notes else ""
            )
            text += f"gov-chain/1 {len(self.notes) + 1} {linked(before)}\n"
        note = self.signer.note(text)
        self.notes.append((size, origin, note))
        return note

    def seal_after(self, last: tuple[int, str, str], size: int) -> tuple[int, str, str]:
        """Return a checkpoint over *size* records that follows *last*."""
        held, self.notes = self.notes, [last]
        self.seal(size)
        made, self.notes = self.notes[-1], held
        return made

    def rotate(self, new: Signer, version: int = 2) -> None:
        """Record that *new* follows the key, and sign with it from now on."""
        old = f"{self.signer.vkey}\n" if version == 2 else ""
        text = f"{new.name}\ngov-key-rotation/{version}\n{old}{new.vkey}\n"
        note = self.signer.note(text, new)
        said = {"note": note, "old": self.signer.vkey}
        self.add(*event(len(self.rows) + 1, "key_rotation", **said))
        self.signer = new

    def erase(self, *ids: str, by: Signer | None = None, reason: str = "asked") -> None:
        """Record, signed, that the personal parts of *ids* were erased."""
        number = len(self.rows) + 1
        said = {"records": [*ids], "by": "user", "reason": reason}
        body, _ = event(number, "erasure", **said)
        digest = b64encode(sha256(body).digest()).decode()
        signer = by or self.signer
        note = signer.note(f"{signer.name}\ngov-erasure/1\n{digest}\n")
        self.add(canonical({**json.loads(body), "note": note}))

    def frontier(self, size: int) -> bytes:
        """Return the roots of the perfect subtrees, as a store keeps them."""
        data, at = size.to_bytes(8, "big"), 0
        for level in range(40, -1, -1):
            if size >> level & 1:
                data += root(self.leaves[at : at + (1 << level)])
                at += 1 << level
        return data

    def database(self, target: Path) -> Path:
        """Write a record file."""
        names = ("seq", *records.COLUMNS, "body", "personal")
        with closing(sqlite3.connect(target)) as db:
            for statement in (*schema.TABLES, *schema.INDEXES, *schema.TRIGGERS):
                db.execute(statement)
            for seq, (body, personal) in enumerate(self.rows, 1):
                row = (seq, *records.derived(json.loads(body)), body, personal)
                marks = ", ".join("?" * len(row))
                db.execute(
                    f"INSERT INTO records ({', '.join(names)}) VALUES ({marks})", row
                )
            for number, (size, origin, note) in enumerate(self.notes, 1):
                db.execute(
                    "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (number, origin, size, size, self.frontier(size), note, number),
                )
            db.commit()
        return target

    def block(self, start: int, end: int) -> list[Any]:
        """Return the cover of the records *start* to *end*, cut at the checkpoints."""
        entries: list[Any] = []
        cuts = sorted({end, *(size for size, *_ in self.notes if start < size < end)})
        for stop in cuts:
            while start < stop:
                level = (stop - start).bit_length() - 1
                while start % (1 << level):
                    level -= 1
                top = root(self.leaves[start : start + (1 << level)])
                entries.append([level, b64encode(top).decode()])
                start += 1 << level
        return entries

    def parts(self, first: int, last: int) -> dict[str, bytes]:
        """Return the files of a bundle of the records *first* to *last*, inclusive."""
        end = max((size for size, *_ in self.notes), default=last)
        cover = {"left": self.block(0, first - 1), "right": self.block(last, end)}
        inside = self.rows[first - 1 : last]
        personal = [
            canonical({"id": json.loads(body)["id"], "personal": part.decode()}) + b"\n"
            for body, part in inside
            if part is not None
        ]
        origin = self.notes[-1][1] if self.notes else ORIGIN
        manifest = {"origin": origin, "size": end, "firstSeq": first, "lastSeq": last}
        return {
            "records.jsonl": b"".join(body + b"\n" for body, _ in inside),
            "personal.jsonl": b"".join(personal),
            "cover.json": canonical(cover),
            "checkpoints.txt": "".join(note for *_, note in self.notes).encode(),
            "manifest.json": canonical({"format": "gov.bundle/1", **manifest}),
        }


def packed(target: Path, parts: dict[str, bytes]) -> Path:
    """Write a zip of *parts*."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return target


def verified(
    log: Log, evidence: Path, held: list[str] | None = None, **options: Any
) -> gov_verify.Report:
    """Verify *evidence* with the key of *log* and by default its last checkpoint."""
    keys = options.pop("keys", [log.signer.vkey])
    held = [log.notes[-1][2]] if held is None else held
    files = gov_verify.files([evidence])
    (report,) = gov_verify.verify(files, keys, held, deep=True, **options)
    return report


def codes(report: gov_verify.Report) -> list[str]:
    """Return the codes of the findings."""
    assert report.verified == (not report.findings)
    return [finding.code for finding in report.findings]


def proof(
    log: Log, index: int, at: int | None = None, hashes: list[bytes] | None = None
) -> bytes:
    """Return the proof of record *index*, stated to be *at*, by *hashes*."""
    lines = ["c2sp.org/tlog-proof@v1"]
    lines.append(f"extra {b64encode(log.leaves[index]).decode()}")
    lines.append(f"index {index if at is None else at}")
    steps = path(index, log.leaves) if hashes is None else hashes
    lines += [b64encode(one).decode() for one in steps]
    return ("\n".join(lines) + "\n\n" + log.notes[-1][2]).encode()

"""Hand evidence to others: a bundle of a range of records, or the proof of one record.

A bundle is a zip. ``records.jsonl`` holds the bodies, one a line: a line is a leaf of
the Merkle tree. ``cover.json`` holds hashes in place of all other records, cut at the
checkpoints, so that the root of each checkpoint can be computed again; records beside
the range that the verifier must know (a new key, an erasure, an archive, an alteration
that the log found) stand in it themselves. ``checkpoints.txt`` holds the signed notes.
``personal.jsonl`` holds the parts that may be erased, each beside the id of its record.
Whoever received it verifies it with `standalone.gov_verify` alone.
"""

from __future__ import annotations

from base64 import b64encode
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple, cast
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openfeature_gov.canonical import encode
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.merkle import Frontier, leaf_hash, node_hash
from openfeature_gov.evidence.standalone.gov_verify import (
    FORMAT,
    SPACED,
    Block,
    Checkpoint,
    Evidence,
    Leaf,
    parse_checkpoint,
    parse_note,
)

TOLD = frozenset({"key_rotation", "erasure", "tamper", "archive"})
"""The kinds of records that a verifier must know, wherever in the log they stand."""
MAX_BYTES = (1 << 31) - 1
CHUNK = 1 << 20


class Span(NamedTuple):
    """Hold the sequence numbers of the *first* and the *last* record of a range."""

    first: int
    last: int


def span(evidence: Evidence, from_us: int | None, to_us: int | None) -> Span | None:
    """Return the shortest range that holds every record of a time, None for none.

    *from_us* and *to_us*, exclusive, count in microseconds since 1970; None is no
    bound. A clock may have been set: between the first and the last may be others.
    """
    low = 0 if from_us is None else from_us
    high = 1 << 63 if to_us is None else to_us
    first = last = 0
    for leaf in _leaves(evidence):
        if low <= (leaf.columns or {})["at_us"] < high:
            last = int(leaf.seq or 0)
            first = first or last
    return Span(first, last) if first else None


class Cover:
    """Join leaf hashes to perfect subtrees that reach over none of *cuts*."""

    def __init__(self, at: int, cuts: Collection[int]) -> None:
        self.entries: list[list[Any]] = []
        self._at, self._cuts = at, cuts
        self._open: list[tuple[int, bytes]] = []

    def add(self, entry: Block | Leaf) -> None:
        """Take the next record, or what stands for some."""
        if isinstance(entry, Block):
            self._join(entry.root, entry.level)
        elif entry.columns is None or entry.columns["kind"] in TOLD:
            self._close()
            self.entries.append(["record", entry.body.decode("utf-8")])
            self._at += 1
        else:
            self._join(leaf_hash(entry.body), 0)
        if self._at in self._cuts:
            self._close()

    def _join(self, root: bytes, level: int) -> None:
        end = self._at + (1 << level)
        while self._at >> level & 1 and self._open and self._open[-1][0] == level:
            root, level = node_hash(self._open.pop()[1], root), level + 1
        self._open.append((level, root))
        self._at = end

    def _close(self) -> None:
        for level, root in self._open:
            self.entries.append([level, b64encode(root).decode("ascii")])
        self._open.clear()

    def done(self) -> list[list[Any]]:
        """Return the entries, once all records were taken."""
        self._close()
        return self.entries


def export(
    evidence: Evidence,
    wanted: Span | None,
    target: Path,
    *,
    held: Iterable[str] = (),
    rotations: Iterable[bytes] = (),
    upto: int | None = None,
) -> Span:
    """Write a bundle of the records *wanted* to *target*, return what is in it.

    Records behind the last checkpoint stay out: nothing proves them yet. With None no
    record is in it, and it shows that the log goes on. *held* are checkpoints that the
    bundle must be comparable with, as signed notes; *rotations* are records of new keys
    in other logs. It ends at the checkpoint over *upto* records, or the last before.

    Raises:
        RecordStoreError: when no checkpoint covers the range, or the log has a gap.
        OSError: when *target* cannot be written.

    """
    notes = [one for one in _notes(evidence) if upto is None or one[0].size <= upto]
    size = notes[-1][0].size if notes else 0
    first, last = (size + 1, size) if wanted is None else wanted
    span = Span(first, min(last, size))
    if not notes or not 1 <= span.first <= span.last + (wanted is None):
        raise RecordStoreError(
            f"no checkpoint covers records {span.first} on (the last covers {size}); "
            "seal the log first"
        )
    head = notes[-1][0]
    stated = [parse_checkpoint(parse_note(one)) for one in held]
    known = {one.size for one in stated if one.origin == head.origin}
    kept = [one for one in notes if one[0].size in _chosen(notes, span, known)]
    cuts = {checkpoint.size for checkpoint, _ in kept} | known
    told = dict.fromkeys((*rotations, *evidence.rotations()))
    manifest = _manifest(head, span, told)
    part = target.with_name(f"{target.name}.part")
    try:
        with ZipFile(part, "w", ZIP_DEFLATED) as archive:
            left, right = _write_records(archive, evidence, span, size, cuts)
            _write(archive, "cover.json", encode({"left": left, "right": right}))
            checkpoints = "".join(note for _, note in kept)
            _write(archive, "checkpoints.txt", checkpoints.encode())
            _write(archive, "manifest.json", encode(manifest))
        if part.stat().st_size > MAX_BYTES:
            raise RecordStoreError(
                f"{target}: over {MAX_BYTES} bytes; export shorter ranges"
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return span


def _manifest(
    head: Checkpoint, span: Span, rotations: Iterable[bytes]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "origin": head.origin,
        "size": head.size,
        "firstSeq": span.first,
        "lastSeq": span.last,
        "rotations": [body.decode("utf-8") for body in rotations],
    }


def _write_records(
    archive: ZipFile, evidence: Evidence, span: Span, size: int, cuts: Collection[int]
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Write records and personal parts of *span*, return the cover left and right."""
    left, right = Cover(0, cuts), Cover(span.last, cuts)
    with TemporaryFile() as personal:
        with archive.open(_info("records.jsonl"), "w", force_zip64=True) as file:
            for entry, seq in _sealed(evidence, size):
                if seq < span.first:
                    left.add(entry)
                elif seq > span.last:
                    right.add(entry)
                elif isinstance(entry, Leaf) and entry.columns is not None:
                    file.write(entry.body + b"\n")
                    personal.write(_personal(evidence, entry))
                else:
                    raise RecordStoreError(
                        f"records {span.first} to {evidence.archives[-1].last} were"
                        " archived: hand over their bundles"
                    )
        personal.seek(0)
        with archive.open(_info("personal.jsonl"), "w", force_zip64=True) as file:
            while chunk := personal.read(CHUNK):
                file.write(chunk)
    return left.done(), right.done()


def _personal(evidence: Evidence, leaf: Leaf) -> bytes:
    record_id = str((leaf.columns or {})["id"])
    part = evidence.personal(record_id)
    if part is None:
        return b""
    return encode({"id": record_id, "personal": part.decode("utf-8")}) + b"\n"


def prove(evidence: Evidence, record_id: str, held: Iterable[str] = ()) -> str:
    """Return the proof that *record_id* is below a checkpoint, as C2SP's tlog-proof.

    The checkpoint is the last of *held* that covers it, or the last one stored. The
    record itself is the proof's ``extra``.

    Raises:
        RecordStoreError: when there is no such record, or no checkpoint covers it.

    """
    found = find(evidence, record_id)
    if found is None:
        raise RecordStoreError(f"no record {record_id!r}")
    seq, body = found
    stated = [(parse_checkpoint(parse_note(one)), one) for one in held]
    notes = [one for one in stated or _notes(evidence) if one[0].size >= seq]
    if not notes:
        raise RecordStoreError(f"{record_id}: no checkpoint covers record {seq} yet")
    head, note = notes[-1]
    siblings = _siblings(seq - 1, head.size)
    starts = sorted([seq - 1, *siblings])
    trees = [Frontier() for _ in starts]
    for entry, count in _sealed(evidence, head.size):
        tree = trees[bisect_right(starts, count - 1) - 1]
        if isinstance(entry, Block):
            tree.add(entry.root, entry.level)
        else:
            tree.append(leaf_hash(entry.body))
    path = [trees[starts.index(start)].root() for start in siblings]
    lines = ["c2sp.org/tlog-proof@v1", f"extra {b64encode(body).decode('ascii')}"]
    lines.append(f"index {seq - 1}")
    lines += [b64encode(root).decode("ascii") for root in path]
    return "\n".join(lines) + f"\n\n{note}"


def _siblings(index: int, size: int) -> list[int]:
    """Return where the subtrees begin that stand beside the way of *index* to the top.

    They and the leaf itself are all of the tree (RFC 9162, 2.1.3.1).
    """
    start, end, starts = 0, size, []
    while end - start > 1:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        starts.append(middle if index < middle else start)
        start, end = (start, middle) if index < middle else (middle, end)
    return starts[::-1]


def find(evidence: Evidence, record_id: str) -> tuple[int, bytes] | None:
    """Return number and body of the record *record_id*, None where there is none."""
    for leaf in _leaves(evidence):
        if leaf.columns is not None and leaf.columns["id"] == record_id:
            return int(leaf.seq or 0), leaf.body
    return None


def _leaves(evidence: Evidence) -> Iterator[Leaf]:
    return cast("Iterator[Leaf]", evidence.entries())


def _sealed(evidence: Evidence, size: int) -> Iterator[tuple[Block | Leaf, int]]:
    """Yield what the first *size* records are, each with the number of its last."""
    count = 0
    for archive in evidence.archives:
        for entry in archive.entries():
            count += 1 << entry.level if isinstance(entry, Block) else 1
            yield entry, count
    for leaf in _leaves(evidence):
        count += 1
        if leaf.seq != count:
            raise RecordStoreError(
                f"record {count} is missing: verify the log (gov audit verify)"
            )
        yield leaf, count
        if count == size:
            return
    raise RecordStoreError(
        f"the log ends after {count} of {size} sealed records: verify it"
    )


def _notes(evidence: Evidence) -> list[tuple[Checkpoint, str]]:
    """Return the checkpoints of the log's last tree."""
    notes = [(parse_checkpoint(parse_note(one)), one) for one in evidence.stored]
    return [one for one in notes if one[0].origin == notes[-1][0].origin]


def _chosen(
    notes: list[tuple[Checkpoint, str]], span: Span, wanted: Collection[int]
) -> set[int]:
    """Return the sizes of the checkpoints to hand over, all *wanted* among them."""
    sizes = [checkpoint.size for checkpoint, _ in notes]
    inside = {size for size in sizes if span.first <= size <= span.last}
    outside = [size for size in sizes if size not in inside]
    spaced = outside[:: len(outside) // SPACED + 1]
    return {*inside, *spaced, *wanted, *sizes[-1:]}


def _info(name: str) -> ZipInfo:
    """Return an entry without the time of day: one range gives one bundle."""
    info = ZipInfo(name)
    info.compress_type = ZIP_DEFLATED
    return info


def _write(archive: ZipFile, name: str, data: bytes) -> None:
    archive.writestr(_info(name), data)

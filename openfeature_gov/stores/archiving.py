"""Archive the oldest records of a log into bundles, and take them out of the store.

For each bundle: write it, make it durable, read it back as anyone would who verifies
it, record that, and only then let the store remove the records, all in one transaction
with what stands for them. A crash between any two steps loses nothing: the next run
finds what was begun, verifies it again, and goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence import bundles
from openfeature_gov.evidence.archives import (
    ARCHIVE,
    LISTED,
    Asked,
    archive_record,
    archives_in,
    bundle_name,
    pending,
    standing,
)
from openfeature_gov.evidence.bundles import Span
from openfeature_gov.evidence.chain import Books
from openfeature_gov.evidence.keys import lineage
from openfeature_gov.evidence.notes import parse_vkey
from openfeature_gov.evidence.sealed import rotations
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Archive, Evidence
from openfeature_gov.stores.keeping import NOTES, Source, Stop
from openfeature_gov.stores.logs import opened

BUNDLE = 10_000
"""How many records a bundle holds, and one transaction removes: writers wait for it."""
CARRIED = """
SELECT d.id FROM records o JOIN records d ON d.id = o.ref
WHERE o.kind = 'outcome' AND d.kind IN ('decision', 'undo')
  AND d.seq BETWEEN :first AND :last
"""


class Done(NamedTuple):
    """Tell of one bundle, and of the record that tells of it."""

    log: str
    span: Span
    bundle: str
    sha256: str
    record: str


def archive(
    source: Source,
    to: Stop,
    folder: Path,
    books: Books,
    asked: Asked,
    vkeys: Iterable[str],
) -> Iterator[Done]:
    """Archive *source* up to *to* into *folder*; yield each bundle once it is done.

    *books* takes the records of it. *vkeys* are the keys that signed the log.

    Raises:
        RecordStoreError: when the log or a bundle does not verify, or the store does
            not take it; what was yielded is done.
        OSError: when *folder* cannot be written.

    """
    keys = [*vkeys]
    _require_whole(source, keys)
    done = to.first - 1
    while done < to.last:
        with closing(source.opener()) as evidence:
            one = _archived(source, evidence, to, folder, books, asked, keys)
        done = one.span.last
        yield one


def _archived(
    source: Source,
    evidence: Evidence,
    to: Stop,
    folder: Path,
    books: Books,
    asked: Asked,
    keys: list[str],
) -> Done:
    first = gov_verify.archived(evidence.archives) + 1
    span = Span(first, min(first + BUNDLE - 1, to.last))
    begun = pending(_bodies(source.records, ARCHIVE), evidence, source.log)
    if begun is not None and begun[0].last <= to.last:
        span = begun[0]
    path = folder / bundle_name(_stated(evidence.stored[-1]).origin, span)
    _write(source, evidence, span, path)
    digest = _read_back(source, evidence, span, path, keys)
    stands = standing(evidence, span)
    record = books.stamp()
    if begun is not None and begun[::2] == (span, digest):
        record = record._replace(id=begun[1])
    kept = Archive(
        *span, record.id, path.name, digest, stands.frontier, stands.cover, source.log
    )
    if begun is None or record.id != begun[1]:
        carried = _carried(source, span)
        books.commit(archive_record(record, kept, stands, carried, asked))
    source.remove(kept, record.at_us)
    return Done(source.log, span, path.name, digest, record.id)


def _write(source: Source, evidence: Evidence, span: Span, path: Path) -> None:
    """Write the bundle *path* of *span*, and make it durable.

    What is there already is never replaced: it may be all that is left of a log.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        bundles.export(
            evidence,
            span,
            fresh,
            rotations=_bodies(source.records, "key_rotation"),
            upto=_covering(source, evidence, span),
        )
        if path.exists() and _digest(path) != _digest(fresh):
            raise RecordStoreError(
                f"{path}: is there already and holds something else; move it away"
            )
        _sync(fresh)
        fresh.replace(path)
        _sync(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


def _covering(source: Source, evidence: Evidence, span: Span) -> int:
    """Return the size of the first checkpoint over *span* and its erasures."""
    origin = _stated(evidence.stored[-1]).origin
    last = max([span.last, *_erasures(source, span, own=True)])
    stated = [_stated(note) for note in evidence.stored]
    sizes = [one.size for one in stated if one.origin == origin and one.size >= last]
    if not sizes:
        raise RecordStoreError(f"record {last} is not sealed yet: seal the log first")
    return min(sizes)


def _erasures(source: Source, span: Span, *, own: bool) -> set[int]:
    """Return which records of the log erased parts of *span*; else which it lost so.

    Where the log is not its *own*, the record of an erasure is in that of another.
    """
    found: set[int] = set()
    with opened(source.records) as log:
        for body in log.recorded(f"kind = 'erasure' AND {NOTES}"):
            erased = [
                one["seq"]
                for one in log.named("id", body["records"])
                if span.first <= one["seq"] <= span.last
                and (log.one_log or one["writer"] == source.log)
            ]
            here = log.one_log or body["writer"] == source.log
            if erased and here is own:
                found |= {body["seq"]} if own else set(erased)
    return found


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _read_back(
    source: Source, evidence: Evidence, span: Span, path: Path, keys: list[str]
) -> str:
    """Return the SHA-256 of the bundle *path* once it proves what *span* was.

    Raises:
        RecordStoreError: when it does not.

    """
    with closing(gov_verify.Bundle(path)) as bundle:
        held = bundle.stored[-1:]
    if held[0] not in evidence.stored:
        raise RecordStoreError(f"{path}: its checkpoint is not one of the log's")
    (report,) = gov_verify.verify(gov_verify.files([path]), keys, held)
    elsewhere = _erasures(source, span, own=False)
    wrong = [
        found
        for found in report.findings
        if found.code != "personal" or found.first_seq not in elsewhere
    ]
    if wrong or (report.first_seq, report.last_seq) != span:
        raise RecordStoreError(f"{path}: does not verify: {_listed(wrong)}")
    return _digest(path)


def _require_whole(source: Source, keys: list[str]) -> None:
    with closing(source.opener()) as evidence:
        held = evidence.stored[-1:]
    if not held:
        raise RecordStoreError(f"{source.log or source.records}: is not sealed")
    openers = {source.log: source.opener}
    (report,) = gov_verify.verify(openers, keys, held, quick=True)
    # What was archived before is shown by its bundles. Where every writer has a log,
    # another one's tells of it.
    known = ("archived", "archive") if source.log else ("archived",)
    wrong = [one for one in report.findings if one.code not in known]
    if wrong:
        why = _listed(wrong)
        raise RecordStoreError(f"nothing was archived: the log does not verify: {why}")


def _listed(findings: list[gov_verify.Finding]) -> str:
    return "; ".join(map(str, findings)) or "it holds other records"


def _stated(note: str) -> gov_verify.Checkpoint:
    return gov_verify.parse_checkpoint(gov_verify.parse_note(note))


def _bodies(records: str, kind: str) -> list[bytes]:
    with opened(records) as log:
        query = f"SELECT body FROM records WHERE kind = :kind AND {NOTES}"  # noqa: S608 - constants
        order = log.ordered("ASC", narrow=True)
        rows = log.rows(f"{query} ORDER BY {order}", {"kind": kind})
        return [bytes(body) for (body,) in rows]


def signers(records: str, vkey: str) -> list[str]:
    """Return *vkey* and the keys before it, as rotations that both signed name them.

    Raises:
        RecordStoreError: when the log cannot be read.

    """
    told = rotations(_bodies(records, "key_rotation"))
    return [key.vkey for key in lineage(parse_vkey(vkey), told)]


def _carried(source: Source, span: Span) -> list[str]:
    """Return the decisions of *span* whose outcomes are behind it."""
    with opened(source.records) as log:
        if log.one_log:
            query, values = f"{CARRIED} AND o.seq > :last", {}
        else:
            query = (
                f"{CARRIED} AND d.writer = :log AND (o.seq > :last OR o.writer <> :log)"
            )
            values = {"log": source.log}
        found = log.rows(query, {"first": span.first, "last": span.last, **values})
        return sorted(identity for (identity,) in found)


def bundles_of(records: str, identity: str) -> list[dict[str, Any]]:
    """Return the records of the archives that the record *identity* may be in.

    Raises:
        RecordStoreError: when the log cannot be read.

    """
    told = [orjson.loads(body) for body in _bodies(records, ARCHIVE)]
    with opened(records) as log:
        query = "SELECT cover FROM archives ORDER BY last_seq"
        for (cover,) in log.rows(query, {}) if log.archives else ():
            told += archives_in(bytes(cover))
    return [
        facts
        for facts in told
        if len(facts["writers"]) >= LISTED
        or any(identity.startswith(f"{writer}-") for writer in facts["writers"])
    ]

"""Archive the oldest records of a log, and hold others from that: what is said of it.

The records of a range go into a bundle. In the log stay the hashes of their subtrees,
and a record that names the bundle, its digest, who wanted it and why. A hold is a
record too: what it is on is neither archived nor erased until another record releases
it. Nothing here reads or writes a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from openfeature_gov.canonical import encode
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.bundles import Cover, Span
from openfeature_gov.evidence.merkle import Frontier, leaf_hash
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.evidence.standalone.gov_verify import (
    Archive,
    Evidence,
    Leaf,
    archived,
    parse_checkpoint,
    parse_note,
)
from openfeature_gov.evidence.texts import readable

ARCHIVE, HOLD, RELEASE = "archive", "hold", "release"
"""The kinds of records."""
LISTED = 100
"""How many writers the record of an archive names."""
END_US = 10**16 - 1
"""No record is younger."""


class Asked(NamedTuple):
    """Say who wants something done, and why; both stay in the log."""

    actor: str
    reason: str


class Standing(NamedTuple):
    """Hold what the tree is made of once a range is archived, and what was in it."""

    frontier: bytes
    cover: bytes
    first_us: int
    last_us: int
    writers: tuple[str, ...]


def standing(evidence: Evidence, span: Span) -> Standing:
    """Return what is to stand in *evidence* for the records of *span*, its first ones.

    Raises:
        RecordStoreError: when the log does not begin with them.

    """
    cuts = {parse_checkpoint(parse_note(one)).size for one in evidence.stored}
    before = evidence.archives[-1].frontier if evidence.archives else b""
    tree = Frontier.from_bytes(before) if before else Frontier()
    cover = Cover(tree.size, cuts)
    times: list[int] = []
    writers: dict[str, None] = {}
    for entry in evidence.entries():
        if not isinstance(entry, Leaf) or entry.seq != tree.size + 1:
            break
        cover.add(entry)
        tree.append(leaf_hash(entry.body))
        columns = entry.columns or {}
        times = [*times[:1], columns["at_us"]]
        writers[columns["writer"]] = None
        if tree.size == span.last:
            data = encode({"left": cover.done()})
            few = tuple(writers)[:LISTED]
            return Standing(tree.to_bytes(), data, times[0], times[-1], few)
    raise RecordStoreError(
        f"record {tree.size + 1} is not where it belongs: verify the log"
    )


def archive_record(
    stamp: Stamp,
    archive: Archive,
    stands: Standing,
    carried: Sequence[str],
    asked: Asked,
) -> Record:
    """Return the record that tells of *archive*.

    *carried* are decisions in it whose outcomes are behind it: no outcome is lost.
    """
    return note_record(
        stamp,
        ARCHIVE,
        **archive.facts(),
        records=archive.last - archive.first + 1,
        fromUs=stands.first_us,
        toUs=stands.last_us,
        writers=list(stands.writers),
        carried=list(carried),
        **_said(asked),
    )


def archives_in(cover: bytes) -> list[dict[str, Any]]:
    """Return what *cover* holds of records of archives that were archived in turn."""
    found = []
    for kind, value in orjson.loads(cover)["left"]:
        facts = orjson.loads(value) if kind == "record" else {}
        found += [facts] if facts.get("kind") == ARCHIVE else []
    return found


def pending(
    told: Iterable[bytes], evidence: Evidence, log: str
) -> tuple[Span, str, str] | None:
    """Return what one of *told* began to archive and nobody finished.

    *told* are bodies of records of archives. Span, the record's id, and the digest of
    the bundle.
    """
    first = archived(evidence.archives) + 1
    for body in told:
        facts = orjson.loads(body)
        if facts.get("log") == log and facts.get("firstSeq") == first:
            span = Span(first, int(facts["lastSeq"]))
            return span, str(facts["id"]), str(facts["sha256"])
    return None


def bundle_name(origin: str, span: Span) -> str:
    """Return the name of the bundle with the records *span* of the log *origin*."""
    letters = (one if one.isalnum() else "-" for one in origin.rpartition("/")[2])
    return f"{''.join(letters)}-{span.first:012}-{span.last:012}.zip"


class Hold(NamedTuple):
    """Hold what is held: one *task*, or the time *from_us* to *to_us*, exclusive."""

    task: str = ""
    from_us: int = 0
    to_us: int = END_US

    def ref(self) -> str:
        """Return it as the record of the hold refers to it."""
        if self.task:
            return f"task:{self.task}"
        return f"time:{self.from_us:016}:{self.to_us:016}"


def hold_of(ref: str) -> Hold:
    """Return what `Hold.ref` said.

    Raises:
        ValueError: when it is no such text.

    """
    kind, _, rest = ref.partition(":")
    if kind == "task" and rest:
        return Hold(rest)
    start, _, end = rest.partition(":")
    if kind != "time":
        raise ValueError(f"no hold: {readable(ref)}")
    return Hold("", int(start), int(end))


def hold_record(stamp: Stamp, hold: Hold, asked: Asked) -> Record:
    """Return the record that puts *hold* in force.

    Raises:
        ValueError: when it is on nothing.

    """
    if not 0 <= hold.from_us < hold.to_us <= END_US:
        raise ValueError("a hold needs a task, or a time whose end is after its start")
    return note_record(stamp, HOLD, hold.ref(), **_said(asked))


def release_record(stamp: Stamp, held: str, asked: Asked) -> Record:
    """Return the record that ends the hold *held*, the id of its record."""
    return note_record(stamp, RELEASE, held, **_said(asked))


def why_held(record: str, hold: Mapping[str, Any]) -> str:
    """Return by whom and why *record* is held, as the record *hold* says."""
    told = (hold.get("id"), hold.get("actor"), hold.get("reason"))
    identity, actor, reason = (readable(str(one)) for one in told)
    return f"{record} is held by {identity} ({actor}: {reason}); release it first"


def _said(asked: Asked) -> dict[str, str]:
    return {"actor": readable(asked.actor), "reason": readable(asked.reason)}

"""Findings: what in a record log does not add up, and what to do about it. Pure.

A finding says where to look. Whether the log was tampered with is for verification to
say: a log can be whole and still tell of an action that never got an outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from openfeature_gov.evidence.records import DIGEST

TOLERANCE_US = 5_000_000
"""How far a writer's times may go back: a record is stamped before it waits in line."""


NOTHING_ARCHIVED: Mapping[str, int] = MappingProxyType({})


class Meaning(NamedTuple):
    """Say what a finding asks of a person; *serious* ones must be looked at."""

    serious: bool
    advice: str


MEANINGS: Mapping[str, Meaning] = {
    "outcome_missing": Meaning(
        True, "its writer has ended: find out in the target system whether it ran"
    ),
    "outcome_pending": Meaning(
        False,
        "its writer has no end yet: wait while it runs; the next start settles it",
    ),
    "outcome_unknown": Meaning(
        True, "the process died in between: find out in the target system if it ran"
    ),
    "outcome_unmatched": Meaning(
        True, "the decision that it belongs to is not in the log: verify the log"
    ),
    "outcome_repeated": Meaning(
        True,
        "a decision has one outcome: the last is shown, find out who wrote another",
    ),
    "outcome_forbidden": Meaning(
        True, "the decision let nothing run: find out what ran, and how"
    ),
    "sequence_gap": Meaning(True, "records are gone from the log: verify the log"),
    "clock_step": Meaning(
        True, "times around it are not to be relied on: check the host's clock"
    ),
    "records_lost": Meaning(
        True, "these calls were denied, and not even that could be kept"
    ),
    "record_refused": Meaning(
        True, "the database could not take this record; see what wrote it"
    ),
    "record_unencodable": Meaning(
        True, "its content could not be written; see what wrote it"
    ),
    "personal_missing": Meaning(
        True, "no erasure names it: find out who removed the personal part"
    ),
    "personal_altered": Meaning(
        True, "the personal part is not what was recorded: verify the log"
    ),
    "erasure_unfinished": Meaning(
        True, "an erasure names it and its personal part is still there: erase again"
    ),
    "policy_unread": Meaning(
        True, "changes of policy in this time are not in the log: read them in FeatBit"
    ),
    "policy_change": Meaning(True, "look at this change of policy"),
    "tamper": Meaning(True, "the log was found altered: verify the log"),
    "unsealed": Meaning(False, "no checkpoint covered these records when it started"),
    "rolled_back": Meaning(
        True, "the database went back in time: verify it against a checkpoint"
    ),
    "writer_unfinished": Meaning(
        False, "it runs, or died without an end; the next start settles it"
    ),
}
NOTED = {
    "gap": "records_lost",
    "unwritable": "record_refused",
    "policy_gap": "policy_unread",
    "tamper": "tamper",
    "unsealed": "unsealed",
    "rolled_back": "rolled_back",
}
"""Records of the log itself that are findings as they stand, by kind."""
SHOWN = frozenset({"schema", "kind", "id", "atUs", "writer", "ref", "note"})


class Finding(NamedTuple):
    """Say what is wrong, with which record, and what to do.

    *seq* is its place in the log, *record* its id where it has one.
    """

    name: str
    seq: int
    record: str
    detail: str = ""

    @property
    def meaning(self) -> Meaning:
        """Return whether it is serious, and what to do."""
        return MEANINGS[self.name]

    def facts(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return {**self._asdict(), **self.meaning._asdict()}


class Entry(NamedTuple):
    """Hold one record as it is stored, in the order of the log."""

    seq: int
    id: str
    kind: str
    at_us: int
    writer: str
    body: bytes
    personal: bytes | None


def read(
    entries: Iterable[Entry],
    erased: frozenset[str],
    *,
    one_log: bool = True,
    archived: Mapping[str, int] = NOTHING_ARCHIVED,
) -> Iterator[Finding]:
    """Yield what the records themselves show; an erasure names the ids *erased*.

    All are numbered in *one_log*, or every writer has numbers of its own. *archived* is
    the last number that was archived, by writer, or of the one log by no name.
    """
    last = dict(archived)
    latest: dict[tuple[str, bool], int] = {}
    for entry in entries:
        numbers = "" if one_log else entry.writer
        lacks = entry.seq - last.get(numbers, 0) - 1
        if lacks:
            detail = f"{lacks} records before it are not there"
            yield Finding("sequence_gap", entry.seq, entry.id, detail)
        last[numbers] = entry.seq
        # A note may overtake records that had to wait: each kind has its own order.
        line = (entry.writer, entry.kind in ("decision", "outcome"))
        before = latest.get(line, entry.at_us)
        if entry.at_us < before - TOLERANCE_US:
            detail = f"{(before - entry.at_us) / 1e6:.1f} s before the record before it"
            yield Finding("clock_step", entry.seq, entry.id, detail)
            before = entry.at_us
        latest[line] = max(before, entry.at_us)
        if MARK in entry.body or len(entry.body) < SHORT:
            yield from _content(entry, erased)


def noted(record: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what a record of the log itself says is wrong."""
    seq, identity, kind = record["seq"], str(record.get("id")), record.get("kind")
    if kind == "policy_change":
        for name in record.get("findings") or ():
            detail = f"{name}: {record.get('key')}"
            yield Finding("policy_change", seq, identity, detail)
    elif kind in NOTED:
        rest = (f"{key} {one}" for key, one in record.items() if key not in SHOWN)
        told = ", ".join(one for one in rest if not one.startswith("seq "))
        yield Finding(NOTED[kind], seq, identity, told)


def _content(entry: Entry, erased: frozenset[str]) -> Iterator[Finding]:
    if len(entry.body) < SHORT and UNENCODABLE in entry.body:
        yield Finding("record_unencodable", entry.seq, entry.id)
    if MARK not in entry.body:
        return
    if entry.personal is None:
        if entry.id not in erased:
            yield Finding("personal_missing", entry.seq, entry.id)
        return
    if entry.id in erased:
        yield Finding("erasure_unfinished", entry.seq, entry.id)
    if sha256(entry.personal).hexdigest() != _digest(entry.body):
        yield Finding("personal_altered", entry.seq, entry.id)


def _digest(body: bytes) -> str | None:
    """Return what *body* says of the personal part, without parsing all of it."""
    start = body.find(MARK)
    if body.rfind(MARK) != start:  # one of them is somebody else's
        own = orjson.loads(body).get(DIGEST)
        return own if isinstance(own, str) else None
    start += len(MARK) + 1
    return body[start : start + 64].decode("ascii", "replace")


MARK = f'"{DIGEST}":'.encode()
UNENCODABLE = b'"unencodable":'
SHORT = 4_096
"""A record that could not be encoded says little more than that."""

"""Erase what is personal in records, and record that it was done.

Whom a record was about is in its personal part. An erasure makes that null and leaves
every body, and so every proof, as it was. First a record says which parts go, by whose
hand and why; it names no person. Copies elsewhere, such as bundles and backups, are
not reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import orjson

from openfeature_gov.errors import GovernanceError
from openfeature_gov.evidence.records import Record, Stamp, note_record, readable
from openfeature_gov.evidence.texts import FIELD_LIMIT, reference

KIND = "erasure"
LISTED = 1_000
"""How many records one record of an erasure names."""
By = Literal["user", "account", "targetRecord"]


class Subject(NamedTuple):
    """Say whom to forget: everything of one user, account or target record."""

    by: By
    key: str


class Parts(Protocol):
    """Hold personal parts, and append records, as the record stores do."""

    def personal(self) -> Iterator[tuple[str, bytes]]:
        """Yield the id and the personal part of every record that has one."""

    def held(self, ids: Sequence[str]) -> list[str]:
        """Return of each record of *ids* that is held by whom and why."""

    def erase(self, ids: Sequence[str]) -> bool:
        """Make the personal parts of *ids* null; say whether no trace is left."""

    def stamp(self) -> Stamp:
        """Return the identity of a record of the log itself."""

    def commit(self, record: Record) -> None:
        """Take *record* and return once it is durable."""


class HeldError(GovernanceError):
    """Report that records are held: by whom, why, and what to do."""


class Erased(NamedTuple):
    """Tell of which *records* the personal part is gone, and by which *evidence*.

    *traceless* is False while the database's own files keep an older copy: for
    something that still reads it, or because PostgreSQL has not used the place again.
    The next erasure, of nothing even, tries again.
    """

    records: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    traceless: bool = True


def about(parts: Iterable[tuple[str, bytes]], subject: Subject) -> tuple[str, ...]:
    """Return the ids of the records whose personal part is about *subject*.

    Raises:
        ValueError: for an empty key.

    """
    if not subject.key:
        raise ValueError(f"{subject.by}: whom? the key is empty")
    # What was no id is recorded as its digest.
    keys = {subject.key, reference(subject.key)}
    return tuple(
        identity
        for identity, personal in parts
        if orjson.loads(personal).get(subject.by) in keys
    )


def erase(store: Parts, subject: Subject, *, actor: str, reason: str) -> Erased:
    """Erase the personal part of every record about *subject*, for good.

    *actor* and *reason* stay in the log. What is recorded about *subject* from now on
    is not touched. When this fails half way, do it again.

    Raises:
        ValueError: for an empty key or *actor*, and for a *reason* that is empty, too
            long, or holds the key.
        HeldError: when a record about *subject* is held; nothing was erased.
        RecordStoreError: when it cannot be recorded or erased.

    """
    if not actor or not 1 <= len(reason) <= FIELD_LIMIT:
        raise ValueError(
            f"an erasure needs an actor, and a reason of at most {FIELD_LIMIT} letters"
        )
    if subject.key in reason:
        raise ValueError("the reason holds the key to erase; it would stay for ever")
    ids = about(store.personal(), subject)
    if held := store.held(ids):
        more = f" (and {len(held) - 1} more)" if len(held) > 1 else ""
        raise HeldError(f"nothing was erased: {held[0]}{more}")
    evidence = []
    for start in range(0, len(ids), LISTED):
        record = note_record(
            store.stamp(),
            KIND,
            by=subject.by,
            records=ids[start : start + LISTED],
            actor=readable(actor),
            reason=readable(reason),
        )
        store.commit(record)
        evidence.append(record.id)
    return Erased(ids, tuple(evidence), store.erase(ids))

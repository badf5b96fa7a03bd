"""Erase what is personal in records, and record that it was done.

Whom a record was about is in its personal part. An erasure makes that null and leaves
every body, and so every proof, as it was. First a record says which parts go, by whose
hand and why; it names no person, and the key that seals the log signs it: whoever can
write to the database, and no more, cannot make a part lawfully missing. Copies
elsewhere, such as bundles and backups, are not reached.
"""

from __future__ import annotations

from abc import abstractmethod
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from openfeature_gov.canonical import encode
from openfeature_gov.errors import GovernanceError
from openfeature_gov.evidence.notes import Signer, parse_vkey, sign
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.evidence.texts import FIELD_LIMIT, readable, reference

KIND = "erasure"
SIGNED = "gov-erasure/1"
LISTED = 1_000
"""How many records one record of an erasure names."""
By = Literal["user", "account", "targetRecord"]


PERSONAL = frozenset(
    {"user", "account", "targetRecord", "consequence", "sources", "alternatives"}
)
"""What of the card of a request or a review is personal."""
BLANK: Mapping[str, Any] = MappingProxyType(
    {
        "arguments": "{}",
        "reference": "",
        "requesters": [],
        "reason": "",
        "questions": [],
    }
)
SAID = ("votes", "callers")
"""What people said, by who they are."""


class Ended(NamedTuple):
    """Hold a request for approval, or a review, that has ended: a row of *table*."""

    table: str
    id: str
    packed: bytes


class Subject(NamedTuple):
    """Say whom to forget: everything of one user, account or target record."""

    by: By
    key: str


class Parts(Protocol):
    """Hold personal parts, and append records, as the record stores do."""

    @abstractmethod
    def personal(self) -> Iterator[tuple[str, bytes]]:
        """Yield the id and the personal part of every record that has one.

        Raises:
            RecordStoreError: when they cannot be read.

        """

    @abstractmethod
    def held(self, ids: Sequence[str]) -> list[str]:
        """Return of each record of *ids* that is held by whom and why.

        Raises:
            RecordStoreError: when the log cannot be read.

        """

    @abstractmethod
    def ended(self) -> Iterator[Ended]:
        """Yield every request for approval and every review that has ended.

        Raises:
            RecordStoreError: when they cannot be read.

        """

    @abstractmethod
    def erase(self, ids: Sequence[str], ended: Sequence[Ended] = ()) -> bool:
        """Make the personal parts of *ids* null, and put each of *ended* in its place.

        Say whether no trace is left.

        Raises:
            RecordStoreError: when it could not be done, or in part: do it again.

        """

    @abstractmethod
    def signer(self) -> Signer | None:
        """Return the key that seals the log, None where nothing seals it.

        Raises:
            RecordStoreError: when the log is sealed, and not by this process.

        """

    def stamp(self) -> Stamp:
        """Return the identity of a record of the log itself."""

    def commit(self, record: Record) -> None:
        """Take *record* and return once it is durable."""


class HeldError(GovernanceError):
    """Report that records are held: by whom, why, and what to do."""


class Erased(NamedTuple):
    """Tell of which *records* the personal part is gone, and by which *evidence*.

    *requests* are the requests for approval, and the reviews, that were emptied; one
    that still waits for an answer is not, so erase again once it has ended.
    *traceless* is False while the database's own files keep an older copy: for
    something that still reads it, or because PostgreSQL has not used the place again.
    The next erasure, of nothing even, tries again.
    """

    records: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    traceless: bool = True
    requests: tuple[str, ...] = ()


def about(parts: Iterable[tuple[str, bytes]], subject: Subject) -> tuple[str, ...]:
    """Return the ids of the records whose personal part is about *subject*.

    Raises:
        ValueError: for an empty key.

    """
    keys = _keys(subject)
    return tuple(
        identity
        for identity, personal in parts
        if orjson.loads(personal).get(subject.by) in keys
    )


def asked_about(
    ended: Iterable[Ended], subject: Subject, ids: Sequence[str]
) -> tuple[Ended, ...]:
    """Return what of *ended* is about *subject*, or about a record of *ids*, emptied.

    Raises:
        ValueError: for an empty key.

    """
    keys, records = _keys(subject), {*ids}
    found = []
    for one in ended:
        held = orjson.loads(one.packed)
        if held["record_id"] in records or held["facts"].get(subject.by) in keys:
            packed = emptied(held)
            if len(packed) < len(one.packed):
                found.append(one._replace(packed=packed))
    return tuple(found)


def emptied(held: Mapping[str, Any]) -> bytes:
    """Return *held*, what a request or a review says, without what is personal.

    What a refusal refuses, and what ran once, stays: its digest, by whom, and when.
    """
    facts = {
        name: type(one)() if name in PERSONAL else one
        for name, one in held["facts"].items()
    }
    blank = {name: one for name, one in BLANK.items() if name in held}
    silent = {name: dict.fromkeys(held[name], "") for name in SAID if name in held}
    return encode({**held, **blank, **silent, "facts": facts})


def _keys(subject: Subject) -> set[str]:
    if not subject.key:
        raise ValueError(f"{subject.by}: whom? the key is empty")
    # What was no id is recorded as its digest.
    return {subject.key, reference(subject.key)}


def erasure_record(stamp: Stamp, signer: Signer | None, **facts: Any) -> Record:
    """Return the record of an erasure, *facts*, signed by the key that seals the log.

    What is signed is the digest of the body without the signature. Without a key it is
    not signed: nobody could verify the log anyway.
    """
    bare = note_record(stamp, KIND, **facts)
    if signer is None:
        return bare
    digest = b64encode(sha256(bare.encoded().body).digest()).decode("ascii")
    name = parse_vkey(signer.vkey).name
    note = sign(f"{name}\n{SIGNED}\n{digest}\n", signer)
    return note_record(stamp, KIND, **facts, note=note)


def erase(store: Parts, subject: Subject, *, actor: str, reason: str) -> Erased:
    """Erase the personal part of every record about *subject*, for good.

    *actor* and *reason* stay in the log. What is recorded about *subject* from now on
    is not touched. When this fails half way, do it again.

    Raises:
        ValueError: for an empty key or *actor*, and for a *reason* that is empty, too
            long, or holds the key.
        HeldError: when a record about *subject* is held; nothing was erased.
        RecordStoreError: when it cannot be recorded or erased, or the log is sealed
            with a key that is not here.

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
    ended = asked_about(store.ended(), subject, ids)
    requests = tuple(one.id for one in ended)
    evidence: list[str] = []
    for start in range(0, max(len(ids), len(requests)), LISTED):
        evidence += _recorded(
            store,
            by=subject.by,
            records=ids[start : start + LISTED],
            requests=requests[start : start + LISTED],
            actor=readable(actor),
            reason=readable(reason),
        )
    return Erased(ids, tuple(evidence), store.erase(ids, ended), requests)


def _recorded(store: Parts, **facts: Any) -> Iterator[str]:
    """Record an erasure, *facts*, under a key that counts at its place in the log.

    A key that is replaced meanwhile may have been revoked before that place: then it
    is recorded again under the new one. Yield the ids of the records.
    """
    signer = store.signer()
    while True:
        record = erasure_record(store.stamp(), signer, **facts)
        store.commit(record)
        yield record.id
        before, signer = signer, store.signer()
        # INVARIANT: asked for after the record is durable. Whoever seals with a newer
        # key asked for it later still, and seals the record, too.
        if before is None or signer is None or before.vkey == signer.vkey:
            return

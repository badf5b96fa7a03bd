"""Records: the audit evidence of a decision before, and of its outcome after.

The body is canonical JSON in the integer-only domain (money and ratios are decimal
text, times are integer microseconds since 1970), so that its bytes can be hashed,
signed and recomputed elsewhere. Beside it stands the personal part, of which the body
holds a salted digest: it can be erased and the body stays as it was signed. The fields
are those of the audit lists of articles 000 to 004; ``record-schema-2.json`` describes
them, and what later versions may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from openfeature_gov.canonical import encode
from openfeature_gov.evidence.entries import Entry, order
from openfeature_gov.evidence.texts import decimal, readable, reference, scalar

SCHEMA = "gov.record/2"
DIGEST = "personalDigest"
"""The body's key for the digest of the personal part."""
COLUMNS = (
    "id",
    "kind",
    "at_us",
    "writer",
    "ref",
    "tool",
    "agent",
    "task",
    "effect",
    "reason",
    "executes",
    "target",
    "variant",
    "amount",
    "reviewer",
)
"""What stores keep beside body and personal part, for queries. All of it is derived."""


class Encoded(NamedTuple):
    """Hold the canonical bytes of a record: the *body*, and what may be erased."""

    body: bytes
    personal: bytes | None = None


class Record(NamedTuple):
    """Hold one record: the columns that queries need, and how to encode the whole.

    *encoded* is a function of frozen values only, so that the writer can call it
    later, off the path of the decision. *ref* is the id of the decision that an
    outcome belongs to; *executes* says that something was about to run, so that a
    missing outcome is a finding; *variant* is that of the mode flag. *change* and
    *entries* are made in the transaction of the record, or none of them is.
    """

    id: str
    kind: str
    at_us: int
    encoded: Callable[[], Encoded]
    ref: str | None = None
    tool: str | None = None
    agent: str | None = None
    task: str | None = None
    effect: str | None = None
    reason: str | None = None
    executes: bool = False
    target: str | None = None
    variant: str | None = None
    amount: Decimal | None = None
    reviewer: str | None = None
    change: Change | None = None
    entries: tuple[Entry, ...] = ()


class Change(NamedTuple):
    """Put one request for approval in place of its version *was*, 0 for none.

    *packed* is the whole request; the rest are the columns that it is found by. Of one
    *binding* a single request waits at a time. The *table* of a review is another.
    """

    id: str
    was: int
    state: str
    digest: str
    deadline_us: int
    created_us: int
    packed: bytes
    binding: str
    table: str = "approvals"


class Stamp(NamedTuple):
    """Give a record its identity: *id*, wall time *at_us*, and the *writer*'s id.

    *secret* makes the salt of a personal part; whoever knows it can guess what was
    erased, so it must be random and is kept nowhere.
    """

    id: str
    at_us: int
    writer: str
    secret: bytes = b""

    def __repr__(self) -> str:
        return f"Stamp({self.id!r}, {self.at_us}, {self.writer!r})"


def encoded_now(record: Record) -> Record:
    """Return *record* with its bytes; raises what a writer would have to forgive."""
    done = record.encoded()
    return record._replace(encoded=lambda: done)


def written(record: Record, writer: str) -> tuple[Record, Encoded]:
    """Return what *writer* writes of *record*: its columns and its bytes.

    A record that cannot be encoded, which only foreign code can bring about, keeps its
    place in the log and says so.
    """
    try:
        return record, record.encoded()
    except Exception as error:  # noqa: BLE001 - one record must not stop the log
        facts = {
            "schema": SCHEMA,
            "kind": record.kind,
            "id": record.id,
            "atUs": record.at_us,
            "writer": writer,
            "ref": record.ref,
            "executes": record.executes,
            "unencodable": type(error).__name__,
        }
        kept = Record(record.id, record.kind, record.at_us, record.encoded, record.ref)
        return kept._replace(executes=record.executes), Encoded(encode(facts))


def changes(records: Iterable[Record]) -> Iterator[Change]:
    """Yield the changes that *records* carry, in order."""
    for record in records:
        if record.change is not None:
            yield record.change


def entries(records: Iterable[Record]) -> list[Entry]:
    """Return the ledger entries that *records* carry, in the order to make them.

    By purse, so that two writers never wait for each other; a spend before its end, and
    first what goes back of a share that a process had set aside.
    """
    found = [entry for record in records for entry in record.entries]
    return sorted(found, key=order) if len(found) > 1 else found


def columns(record: Record, writer: str) -> tuple[object, ...]:
    """Return the values of `COLUMNS` for *record*, written by *writer*."""
    amount = record.amount
    return (
        record.id,
        record.kind,
        record.at_us,
        writer,
        record.ref,
        record.tool,
        record.agent,
        record.task,
        record.effect,
        record.reason,
        int(record.executes),
        record.target or None,
        scalar(record.variant),
        None if amount is None else float(amount),
        record.reviewer or None,
    )


def derived(body: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the values of `COLUMNS` as a parsed *body* implies them.

    A store whose columns say anything else was tampered with. Rows that a release
    before ``gov.record/2`` wrote may hold nothing in the last four.
    """
    kind = body["kind"]
    told = {"decision": body.get("reason"), "outcome": body.get("status")}
    said = body if kind == "decision" else {}
    context, amount = said.get("context") or {}, said.get("amount")
    variants = [f["variant"] for f in said.get("flags") or () if f["kind"] == "mode"]
    return (
        body["id"],
        kind,
        body["atUs"],
        body.get("writer"),
        body.get("ref"),
        said.get("tool"),
        context.get("agent"),
        context.get("task"),
        said.get("effect"),
        told.get(kind),
        int(body.get("executes") is True),
        said.get("targetSystem") or None,
        variants[0] if variants else None,
        None if amount is None else float(amount),
        body.get("reviewer") or None,
    )


def merged(body: bytes, personal: bytes | None) -> dict[str, Any]:
    """Return one record as people read it: the body, and what was not erased of it."""
    whole: dict[str, Any] = orjson.loads(body)
    if personal is not None:
        whole.update(orjson.loads(personal))
        whole.pop("salt", None)
    elif DIGEST in whole:
        whole["erased"] = True
    return whole


def outcome_record(
    stamp: Stamp,
    ref: str,
    *,
    status: str,
    ran: str = "",
    error: str = "",
    latency_us: int | None = None,
    cost: Decimal | None = None,
    undo: str = "",
    hand_over: str = "",
    incident: str = "",
    output: str = "",
    review: tuple[str, str] | None = None,
) -> Record:
    """Return the record of what became of decision *ref*, or of an undo.

    *status* is executed, failed, cancelled, not_run or unknown; *ran* names the
    function that ran (``tool``, or the handler's mode); *error* is the exception's
    class, never its text. *undo* is the result of an undo, *incident* a reference,
    *output* where what came out is kept, or a keyed digest of it: the body is for
    ever, and a bare digest of what is personal could be guessed. *review* is the id of
    the review that goes on with it, and its state from now on.
    """
    body = {
        **head(stamp, "outcome"),
        "ref": ref,
        "status": status,
        "ran": ran,
        # Mostly empty, and every call passes here.
        "error": "" if error == "" else readable(error),
        "latencyUs": latency_us,
        "cost": decimal(cost),
        "undo": "" if undo == "" else readable(undo),
        "handOver": "" if hand_over == "" else readable(hand_over),
        "incident": "" if incident == "" else readable(incident),
        "output": "" if output == "" else reference(output),
    }
    if review is not None:
        body |= {"review": review[0], "reviewState": review[1]}
    return Record(
        stamp.id, "outcome", stamp.at_us, partial(_plain, body), ref, reason=status
    )


def note_record(
    stamp: Stamp, kind: str, ref: str | None = None, **facts: Any
) -> Record:
    """Return a record of the log itself: start, stop, gap, reconciled, policy_change.

    *facts* are plain JSON values in the integer-only domain.
    """
    body = {**head(stamp, kind), "ref": ref, **facts}
    return Record(
        stamp.id,
        kind,
        stamp.at_us,
        partial(_plain, body),
        ref,
        reviewer=facts.get("reviewer"),
    )


def parted_record(
    stamp: Stamp,
    kind: str,
    ref: str | None,
    personal: Mapping[str, Any],
    *,
    salt: str,
    **facts: Any,
) -> Record:
    """Return a `note_record` whose *personal* facts stand beside the body.

    They can be erased; the body holds their digest, which a random *salt* that is kept
    nowhere else makes unguessable.
    """
    part = encode({"salt": salt, **personal})
    digest = {DIGEST: sha256(part).hexdigest()}
    body = {**head(stamp, kind), "ref": ref, **facts, **digest}
    made = note_record(stamp, kind, ref, reviewer=facts.get("reviewer"))
    return made._replace(encoded=partial(_parted, body, part))


def head(stamp: Stamp, kind: str) -> dict[str, Any]:
    """Return what every body begins with."""
    return {
        "schema": SCHEMA,
        "kind": kind,
        "id": stamp.id,
        "atUs": stamp.at_us,
        "writer": stamp.writer,
    }


def _plain(body: Mapping[str, Any]) -> Encoded:
    return Encoded(encode(body))


def _parted(body: Mapping[str, Any], personal: bytes) -> Encoded:
    return Encoded(encode(body), personal)

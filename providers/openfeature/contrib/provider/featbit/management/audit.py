"""Walk a window of the audit log, and check that one change follows another.

FeatBit returns pages, newest first, without a tiebreaker, and answers 500 for a whole
page if it cannot serve one entry of it. The walk therefore moves by time, not by page
number, cuts a window that fails in halves, and at last asks one by one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from openfeature.contrib.provider.featbit.management.entries import (
    BROKEN,
    AuditEntry,
    entry,
    gap_entry,
)
from openfeature.contrib.provider.featbit.management.errors import (
    ManagementError,
    NoAnswerError,
)

PAGE = 100
GIVE_UP = 16
"""So many single entries in a row that fail are an outage, not poison."""


class Page(NamedTuple):
    """One page of the log, newest first, and how many entries the window holds."""

    entries: list[AuditEntry]
    total: int


Fetch = Callable[[int, int, int, int], Page]
"""Return the page for (start ms, end ms, page index, page size)."""


def page(data: object, path: str) -> Page:
    """Return the page in the *data* of an answer.

    Raises:
        ManagementError: it is none.

    """
    if isinstance(data, dict) and isinstance(data.get("items"), list):
        total = data.get("totalCount")
        if isinstance(total, int):
            return Page([entry(item) for item in data["items"]], total)
    raise ManagementError(f"GET /api/v1{path}: unexpected answer: no page of entries")


def walk(fetch: Fetch, start_ms: int, end_ms: int) -> Iterator[AuditEntry]:
    """Yield the entries from *start_ms* to *end_ms*, newest first, each once.

    Where an entry cannot be served, a gap entry stands in its place; windows of such
    gaps that touch become one, as one entry may lie on the edge of both.

    Raises:
        NoAnswerError: the server does not answer at all.
        ManagementError: as *fetch*.

    """
    seen: set[str] = set()
    gap: AuditEntry | None = None
    for one in _windows(fetch, start_ms, end_ms):
        if one.gap is not None:
            if gap is not None and gap.gap and one.gap[1] >= gap.gap[0]:
                gap = gap_entry(one.gap[0], gap.gap[1])
                continue
            if gap is not None:
                yield gap
            gap = one
        elif one.id not in seen:
            if gap is not None and gap.gap and one.created_ms < gap.gap[0] - 1:
                yield gap
                gap = None
            seen.add(one.id)
            yield one
    if gap is not None:
        yield gap


def _windows(fetch: Fetch, start_ms: int, end_ms: int) -> Iterator[AuditEntry]:
    windows = [(start_ms, end_ms)]
    while windows:
        start, end = windows.pop()
        if start > end:
            continue
        try:
            entries, total = fetch(start, end, 0, PAGE)
        except NoAnswerError as error:
            if error.status != 500:
                raise
            if end - start <= 1:
                yield from _singly(fetch, start, end)
            else:
                # Both hold the middle: an entry may lie within that millisecond.
                middle = (start + end) // 2
                windows += [(start, middle), (middle, end)]
            continue
        yield from entries
        if len(entries) < total:
            oldest = min((one.created_us for one in entries), default=end * 1000)
            edge = -(-oldest // 1000)
            if start < edge < end:
                windows.append((start, edge))
            elif end - start <= 1:
                yield from _singly(fetch, start, end)
            else:
                windows += [(start, end - 1), (end - 1, end)]


def _singly(fetch: Fetch, start: int, end: int) -> Iterator[AuditEntry]:
    """Yield the entries of a window that cannot be cut, one request each."""
    index, failed, total = 0, 0, None
    found: set[str] = set()
    while total is None or index < total:
        try:
            one, total = fetch(start, end, index, 1)
        except NoAnswerError as error:
            failed += 1
            if error.status != 500 or (total is None and failed >= GIVE_UP):
                raise
        else:
            found.update(entry.id for entry in one)
            yield from one
        index += 1
    if failed or len(found) < (total or 0):
        yield gap_entry(start, end)


def chained(
    entries: Iterable[AuditEntry], known: Mapping[str, set[str]]
) -> list[AuditEntry]:
    """Return *entries* with a finding on each that does not follow a known revision.

    *known* are the revisions seen earlier, by flag id. The first entry of a flag
    starts its chain. The note of a segment's change carries a revision that was never
    stored, so that nothing follows it.
    """
    listed = sorted(entries, key=lambda one: one.created_us)
    seen = {ref: set(revisions) for ref, revisions in known.items()}
    for one in listed:
        if one.kind == "flag" and not one.cascaded and one.revision_after:
            seen.setdefault(one.ref_id, set()).add(one.revision_after)
    started = set(known)
    return [_linked(one, started, seen) for one in listed]


def _linked(
    one: AuditEntry, started: set[str], seen: dict[str, set[str]]
) -> AuditEntry:
    if one.kind != "flag":
        return one
    revisions = seen.setdefault(one.ref_id, set())
    follows = not one.revision_before or one.revision_before in revisions
    broken = not follows and one.ref_id in started
    if not follows or one.operation == "Create":
        started.add(one.ref_id)
    revisions.add(one.revision_before)
    return one._replace(findings=(*one.findings, BROKEN)) if broken else one

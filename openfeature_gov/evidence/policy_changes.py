"""`PolicyChanges`: who changed the policy, and why, from FeatBit's audit log.

Each entry becomes one record. Windows overlap and entries are told apart by id, so
that none is lost and none is kept twice; where to go on after a restart stands in the
records themselves. A webhook may ask for a poll, and is otherwise not believed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from openfeature.contrib.provider.featbit.management.audit import chained
from openfeature.contrib.provider.featbit.management.entries import AuditEntry
from openfeature_gov.evidence.policy_facts import facts
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.evidence.texts import readable

CHANGE, GAP, POLL = "policy_change", "policy_gap", "policy_poll"
"""The kinds of records: one entry, a window that could not be read, one poll."""
OVERLAP_MS = 10 * 60 * 1000
"""How far a window reaches back behind the last, and ahead of our clock: for servers
whose clocks differ."""
_recording = threading.Lock()


class AuditLogs(Protocol):
    """Read an audit log, as FeatBit's `ManagementClient` does."""

    def audit_logs(
        self, env_id: str, *, start_ms: int, end_ms: int
    ) -> Iterator[AuditEntry]:
        """Yield the entries of a window, newest first, each once."""


class Log(Protocol):
    """Keep records, as every record store does."""

    writer: str

    def append(self, record: Record) -> None:
        """Take *record*; it becomes durable soon."""

    def commit(self, record: Record) -> None:
        """Take *record* and return once it, and all before it, is durable."""


class Past(Protocol):
    """Read the records of one kind back, as ``stores.history.records`` does."""

    def __call__(self, *, kind: str) -> Iterable[Mapping[str, Any]]:
        """Return the bodies in the order of the log."""


class Finding(NamedTuple):
    """Say what to look at: *name* of the finding, of which entry, of which flag."""

    name: str
    key: str
    entry_id: str


class Poll(NamedTuple):
    """Tell what one poll found in the window, and what of it was new."""

    start_ms: int
    end_ms: int
    changes: int
    gaps: int
    findings: tuple[Finding, ...]


class PolicyChanges:
    """Turn new audit entries of one environment into records. Thread-safe.

    *client* reads the audit log, *records* keeps, *past* reads back what it kept; with
    an empty log the first window starts at *since_ms*. Several pollers may share a log.
    """

    def __init__(
        self,
        client: AuditLogs,
        env_id: str,
        records: Log,
        past: Past,
        *,
        since_ms: int = 0,
    ) -> None:
        self._client = client
        self._env_id = env_id
        self._records = records
        self._past = past
        self._since_ms = since_ms
        self._known: _Known | None = None

    def poll(self, now_ms: int) -> Poll:
        """Record what is new at *now_ms*, unix milliseconds.

        Raises:
            ManagementError: the audit log could not be read; the next poll starts
                where this one did.
            RecordStoreError: it could not be recorded; the next poll goes on.

        """
        known = self._known = self._known or self._read()
        # By the stamps of what is kept: our own clock may be ahead of FeatBit's.
        start = max(self._since_ms, known.until_ms - OVERLAP_MS)
        end = now_ms + OVERLAP_MS
        found = list(self._client.audit_logs(self._env_id, start_ms=start, end_ms=end))
        poll = Poll(start, end, 0, 0, ())
        if any(map(known.lacks, found)):
            with _recording:
                poll = self._record(found, poll, now_ms)
                self._known = self._read()
        return poll

    def _read(self) -> _Known:
        known = _Known({}, {}, [], self._since_ms)
        for body in self._past(kind=CHANGE):
            if body.get("envId") == self._env_id:
                known = known.with_change(body)
        for body in self._past(kind=GAP):
            if body.get("envId") == self._env_id:
                known = known.with_gap(body)
        return known

    def _record(self, found: list[AuditEntry], poll: Poll, now_ms: int) -> Poll:
        # Another poller may have recorded some of it meanwhile.
        known = self._read()
        linked = chained([one for one in found if not one.gap], known.revisions)
        new = [*filter(known.lacks, linked)]
        gaps = [one for one in found if one.gap and known.lacks(one)]
        for one in new:
            self._records.append(self._change(one, now_ms))
        for one in gaps:
            self._records.append(self._gap(one, now_ms))
        poll = poll._replace(
            changes=len(new), gaps=len(gaps), findings=_findings([*new, *gaps])
        )
        if new or gaps:
            self._records.commit(self._poll(poll, now_ms, (new + gaps)[-1]))
        return poll

    def _change(self, entry: AuditEntry, now_ms: int) -> Record:
        stamp = self._stamp(f"policy-{readable(entry.id)}", now_ms)
        return note_record(stamp, CHANGE, envId=self._env_id, **facts(entry))

    def _gap(self, entry: AuditEntry, now_ms: int) -> Record:
        start, end = entry.gap or (0, 0)
        stamp = self._stamp(f"policy-{self._env_id}-{entry.id}", now_ms)
        return note_record(stamp, GAP, envId=self._env_id, startMs=start, endMs=end)

    def _poll(self, poll: Poll, now_ms: int, last: AuditEntry) -> Record:
        # Named after what it found: no two polls record the same.
        stamp = self._stamp(f"policy-poll-{self._env_id}-{readable(last.id)}", now_ms)
        return note_record(
            stamp,
            POLL,
            envId=self._env_id,
            startMs=poll.start_ms,
            endMs=poll.end_ms,
            changes=poll.changes,
            gaps=poll.gaps,
            findings=len(poll.findings),
        )

    def _stamp(self, record_id: str, now_ms: int) -> Stamp:
        return Stamp(record_id, now_ms * 1000, self._records.writer)


class _Known(NamedTuple):
    """What the records hold already, and until when they reach."""

    ids: dict[str, None]
    revisions: dict[str, set[str]]
    gaps: list[tuple[int, int]]
    until_ms: int

    def with_change(self, body: Mapping[str, Any]) -> _Known:
        self.ids[body["entryId"]] = None
        if body["subject"] == "flag":
            seen = self.revisions.setdefault(body["refId"], set())
            seen.add(body["revisionBefore"])
            if not body["cascaded"]:
                seen.add(body["revisionAfter"])
        return self._until(body["createdMs"], body)

    def with_gap(self, body: Mapping[str, Any]) -> _Known:
        self.gaps.append((body["startMs"], body["endMs"]))
        return self._until(body["endMs"], body)

    def _until(self, stamp_ms: int, body: Mapping[str, Any]) -> _Known:
        # A server whose clock is ahead must not move us past what others still write.
        at_ms = min(stamp_ms, body["atUs"] // 1000)
        return self._replace(until_ms=max(self.until_ms, at_ms))

    def lacks(self, entry: AuditEntry) -> bool:
        if entry.gap is None:
            return readable(entry.id) not in self.ids
        first, last = entry.gap
        return not any(start <= first and last <= end for start, end in self.gaps)


def _findings(entries: Iterable[AuditEntry]) -> tuple[Finding, ...]:
    return tuple(
        Finding(name, entry.key, entry.id)
        for entry in entries
        for name in entry.findings
    )

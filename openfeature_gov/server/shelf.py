"""Requests as the inbox reads them: page by page, and whether anything changed."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.shelves import RecordShelf

CURSOR = re.compile(r"([0-9]{1,18})\.([A-Za-z0-9_-]{1,64})")
MOST = 10_000
"""Requests that a look for changes covers, the oldest first."""
WAITING = f"state = '{State.PENDING.value}'"


class Page(NamedTuple):
    """Hold requests, the oldest first, and where the next page starts, if anywhere."""

    requests: list[Request]
    after: str | None


class InboxShelf(RecordShelf):
    """Keep requests beside the records of *store*, which is open at *records*."""

    def page(self, after: str | None, limit: int) -> Page:
        """Return at most *limit* requests that wait for a person, after a cursor.

        Raises:
            ValueError: when *after* is no cursor, as `CURSOR` says it.
            RecordStoreError: when they cannot be read.

        """
        where, values = WAITING, {}
        if after is not None:
            match = CURSOR.fullmatch(after)
            if match is None:
                raise ValueError("no cursor of this list")
            where = f"{where} AND (created_us, id) > (:created, :id)"
            values = {"created": int(match[1]), "id": match[2]}
        found = self._read(f"{where} ORDER BY created_us, id", values, limit + 1)
        requests = [kept.request for kept in found[:limit]]
        if len(found) <= limit:
            return Page(requests, None)
        last = requests[-1]
        return Page(requests, f"{last.created_us}.{last.id}")

    def revision(self, request_id: str = "") -> str:
        """Return what differs whenever the list does, or the request *request_id*.

        Raises:
            RecordStoreError: when the requests cannot be read.

        """
        where = "id = :id" if request_id else WAITING
        values = {"id": request_id} if request_id else {}
        query = (
            f"SELECT id, version FROM approvals WHERE {where}"  # noqa: S608 - constants
            f" ORDER BY created_us, id LIMIT {MOST}"
        )
        with opened(self._records) as log:
            seen = "\n".join(
                f"{one} {version}" for one, version in log.rows(query, values)
            )
        return sha256(seen.encode()).hexdigest()[:24]

"""A real server on a free port, with reviewers and requests, for one test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.logins import Login
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import change
from openfeature_gov.approvals.states import State
from openfeature_gov.canonical import encode
from openfeature_gov.decisions import Constraint
from openfeature_gov.evidence.records import note_record
from openfeature_gov.reviews import states as reviews
from openfeature_gov.reviews.review import Review
from openfeature_gov.reviews.review import change as reviewed
from openfeature_gov.server import hosting
from openfeature_gov.server.desk import Desk, Limits, Rate
from openfeature_gov.server.shelf import InboxShelf
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import open_store

MINUTE_US = 60_000_000
GROUPS = {
    "bob": "support",
    "cy": "support",
    "dan": "sales",
    "user-1": "support",
    "di": "duty",
    "ed": "duty",
}
BINDING = sha256(b"binding").hexdigest()
FREE = Limits(*[Rate(1e6, 10**6)] * 3)
"""Nobody is held up."""
FACTS: dict[str, Any] = {
    "consequence": "Ann Muster gets 129.90 EUR back on her card.",
    "intent": "update",
    "targetSystem": "billing",
    "targetRecord": "order-17",
    "riskClass": "external_effect",
    "reversibility": "manual",
    "amount": "129.90",
    "currency": "EUR",
    "records": 1,
    "account": "acct-9",
    "user": "user-1",
    "environment": "production",
    "stage": "approval_required",
    "cost": None,
    "confidence": "0.82",
    "sources": ["ticket-4711"],
    "alternatives": ["voucher"],
    "reason": "approval_required",
    "mode": "approval_required",
    "verdicts": [
        {"control": "mode", "cap": "approval_required", "reason": "mode_flag"},
        {"control": "approval", "cap": "approval_required", "reason": "flag_on"},
    ],
    "flags": [
        {
            "kind": "mode",
            "key": "refund.mode",
            "variant": "approval_required",
            "version": "17",
            "fault": None,
        }
    ],
    "contract": "a" * 64,
    "timeout": "draft_write",
    "rollbackOwner": "team-billing",
}


def _binding(number: int) -> str:
    """Return what the request *number* binds: of one binding a single one waits."""
    return sha256(f"binding {number}".encode()).hexdigest()


def token(subject: str) -> str:
    """Return the token of the reviewer *subject*."""
    return f"token-of-{subject}"


def reviewers(*subjects: str) -> str:
    """Return a reviewers file that names *subjects*."""
    lines = ["reviewers:"]
    for one in subjects:
        digest = sha256(token(one).encode()).hexdigest()
        lines += [
            f"  - subject: {one}",
            f"    groups: [{GROUPS[one]}]",
            f"    tokenSha256: '{digest}'",
        ]
    return "\n".join(lines) + "\n"


class Office:
    """Requests in a store, people in a file, and the desk. Lives for one test."""

    def __init__(self, folder: Path, limits: Limits = FREE) -> None:
        self.records = folder / "records.db"
        self.file = folder / "reviewers.yaml"
        self.employ(*GROUPS)
        self.store = open_store(self.records)
        self.shelf = InboxShelf(self.store, self.records)
        self.people = ReviewerDirectory(self.file)
        self.queue = ApprovalQueue(self.shelf, self.people, self.now)
        self.passed_us = 0
        self.made = 0
        self.url = ""
        self.clients: list[httpx.Client] = []
        self.limits = limits
        self.login: Callable[[ReviewerDirectory], Login] | None = None

    def desk(self, *, secure: bool = False) -> Desk:
        return Desk(
            self.shelf,
            self.people,
            self.queue,
            self.now,
            lambda: time.monotonic() + self.passed_us / 1e6,
            secure,
            self.limits,
            self.login(self.people) if self.login else None,
        )

    def now(self) -> int:
        return time.time_ns() // 1_000 + self.passed_us

    def employ(self, *subjects: str) -> None:
        self.file.write_text(reviewers(*subjects))
        self.file.chmod(0o600)

    def put(self, **changes: Any) -> Request:
        """Store a request; *changes* replace parts, ``facts`` and ``values`` add."""
        self.made += 1
        values = changes.pop("values", {"order": "order-17", "amount": 129})
        facts = {**FACTS, **changes.pop("facts", {})}
        found = Request(
            **{
                "id": f"r{self.made:05d}",
                "state": State.PENDING,
                "digest": "d" * 64,
                "binding": BINDING if self.made == 1 else _binding(self.made),
                "tool": "refund",
                "workflow": "returns",
                "task": "task-1",
                "agent": "agent-1",
                "group": "support",
                "quorum": 1,
                "created_us": self.now(),
                "deadline_us": self.now() + 30 * MINUTE_US,
                "call_id": "",
                "record_id": "rec-1",
                "requesters": ("user-1", "agent-1"),
                "escalation": ("lead",),
                "reassign_to": ("sales",),
                "break_glass": "duty",
                "arguments": encode(values),
                "facts": facts,
                "constraints": (Constraint("rows", 10),),
                **changes,
            }
        )
        record = note_record(self.shelf.stamp(), "decision")
        self.shelf.commit(record._replace(change=change(found, 0)))
        return found

    def look(self, **changes: Any) -> Review:
        """Store a review of what just ran; *changes* replace parts of it."""
        self.made += 1
        values = {
            "id": f"v{self.made:05d}",
            "state": reviews.State.OPEN,
            "digest": "d" * 64,
            "binding": _binding(1_000_000 + self.made),
            "tool": "refund",
            "workflow": "returns",
            "task": "task-1",
            "agent": "agent-1",
            "group": "support",
            "quorum": 1,
            "owner": "team-billing",
            "created_us": self.now(),
            "deadline_us": self.now() + 30 * MINUTE_US,
            "within_us": 30 * MINUTE_US,
            "on_expiry": "undo",
            "undoable": True,
            "record_id": "rec-1",
            "requesters": ("user-1", "agent-1"),
            "arguments": encode({"order": "order-17", "amount": 129}),
            "facts": FACTS,
            **changes,
        }
        found = Review(**values)
        record = note_record(self.shelf.stamp(), "decision")
        self.shelf.commit(record._replace(change=reviewed(found, 0)))
        return found

    def request(self, one: Request) -> Request:
        """Return *one* as it stands."""
        found = self.queue.get(one.id)
        assert found is not None
        return found

    def answers(self) -> list[dict[str, Any]]:
        """Return what was recorded about requests."""
        with opened(self.records) as log:
            return log.recorded("kind = 'approval' ORDER BY seq")

    def denials(self) -> list[str]:
        """Return the reason codes of the denied answers in the records."""
        return [one["denied"] for one in self.answers() if one["denied"]]

    def caller(self, subject: str | None = "bob", **more: Any) -> httpx.Client:
        """Return a client of the API that bears the token of *subject*."""
        held = {"Authorization": f"Bearer {token(subject)}"} if subject else {}
        headers = {**held, **more.pop("headers", {})}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, **more)


@contextmanager
def served(
    folder: Path,
    limits: Limits = FREE,
    *,
    secure: bool = False,
    login: Callable[[ReviewerDirectory], Login] | None = None,
) -> Iterator[Office]:
    """Lend a served office."""
    office = Office(folder, limits)
    office.login = login
    with closing(office.store), listening(office.desk(secure=secure)) as url:
        office.url = url
        yield office
        for client in office.clients:
            client.close()


@contextmanager
def listening(desk: Desk) -> Iterator[str]:
    """Serve *desk* on a free port within the block."""
    server = hosting.server(desk)
    with hosting.listen("127.0.0.1", 0) as bound:
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        end = time.monotonic() + 30
        while not server.started and time.monotonic() < end:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)

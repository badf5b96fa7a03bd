"""Who answers from the command line, and the requests as `gov approvals` needs them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.steps import Denied, Step
from openfeature_gov.cli import runs
from openfeature_gov.cli.options import sealing_of
from openfeature_gov.evidence.records import Record, Stamp
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.server import reasons
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from openfeature_gov.stores.writing import QueuedStore
from openfeature_gov.targets import RefusedError

ADVICE = {
    "approval_unknown": "there is no such request; see gov approvals list",
    "deadline_passed": "its time is up; gov approvals expire settles it",
    "shown_something_else": "that is not its fingerprint; look at gov approvals show",
    "reviewer_unauthenticated": "the reviewers file names nobody with this OS user",
    "reviewer_unknown": "you were taken out of the reviewers file",
    "reviewer_not_asked": "you are in no group that was asked",
    "self_approval": "you stand behind this action; somebody else must answer",
    "already_voted": "you did already; somebody else is needed",
    "reason_missing": "say why; the agent gets it as its answer",
    "deadline_invalid": "a deadline moves later, to a day from now at most",
}


class LateShelf(RecordShelf):
    """Keep requests in *records*; open them for writing only with the first step.

    Opening for writing leaves records of its own, which a mere look must not.
    """

    def __init__(self, records: str, sealing: Sealing | None = None) -> None:
        self._records, self._sealing = records, sealing
        self._open: QueuedStore | None = None

    def stamp(self) -> Stamp:
        """Return the identity of a new record.

        Raises:
            RecordStoreError: when the records cannot be opened for writing.

        """
        return self._writer().stamp()

    def commit(self, record: Record) -> None:
        """Make *record*, and the change that it carries, durable together.

        Raises:
            LostRaceError: when the request has another version by now.
            RecordStoreError: when it could not be made durable.

        """
        self._writer().commit(record)

    def close(self) -> None:
        """Let go of the records."""
        if self._open is not None:
            self._open.close()

    def _writer(self) -> QueuedStore:
        if self._open is None:
            self._open = open_store(self._records, sealing=self._sealing)
        return self._open


class Nobody:
    """Know no reviewers: for what the clock does, and for a look."""

    def groups(self, subject: str) -> frozenset[str]:
        """Return no group for *subject*."""
        del subject
        return frozenset()

    def aliases(self, subject: str) -> frozenset[str]:
        """Return no name for *subject*."""
        del subject
        return frozenset()


@contextmanager
def queue_of(
    records: str,
    people: ReviewerDirectory | None = None,
    *,
    key: Path | None = None,
    checkpoints: Path | None = None,
) -> Iterator[ApprovalQueue]:
    """Lend the queue in *records*, answered by *people*, sealed as the options say.

    Raises:
        RecordStoreError: when the records cannot be opened, read or written.

    """
    sealing = sealing_of(key, checkpoints)
    shelf = LateShelf(runs.reachable(records), sealing)
    try:
        yield ApprovalQueue(shelf, people or Nobody(), now_us)
    finally:
        shelf.close()


def caller(people: ReviewerDirectory) -> Reviewer:
    """Return who runs this command, as the operating system says.

    Someone whom *people* does not name is authenticated in no way, so that the queue
    refuses the answer, and records it.

    Raises:
        RefusedError: when the operating system does not say.

    """
    name = os_user()
    return people.by_os_user(name) or Reviewer(name)


def somebody(people: ReviewerDirectory) -> Reviewer:
    """Return who runs this command, a reviewer or not, as the operating system says.

    Raises:
        RefusedError: when the operating system does not say.

    """
    name = os_user()
    return people.by_os_user(name) or Reviewer(name, way="cli")


def os_user() -> str:
    """Return the name of the user that owns this process; variables cannot change it.

    Raises:
        RefusedError: when the operating system does not say.

    """
    try:
        import pwd  # noqa: PLC0415 - not everywhere

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        raise refused("reviewer_unauthenticated", "the OS does not name you") from None


def taken(step: Step) -> Request:
    """Return the request after *step*.

    Raises:
        RefusedError: when it was denied; begins with the reason code.

    """
    if isinstance(step, Denied):
        told = reasons.WORDS.get(step.reason, f"the request is {step.state.value}")
        advice = ADVICE.get(step.reason, told)
        raise refused(step.reason, advice)
    return step


def refused(reason: str, advice: str) -> RefusedError:
    """Return the error that ends the command with the *reason* code."""
    return RefusedError(f"{reason}: {advice}", why=reason)


def now_us() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1_000

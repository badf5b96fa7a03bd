"""Who answers from the command line: what `gov approvals` and `gov reviews` share.

Who answers is the operating-system user of the process, found in the reviewers file;
no option claims a name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.people import Directory, Reviewer
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.states import State
from openfeature_gov.approvals.steps import LONGEST_EXTENSION_US, MINUTE_US, Denied
from openfeature_gov.cli import output, runs
from openfeature_gov.cli.lending import lent
from openfeature_gov.cli.options import (
    RECORDS,
    CheckpointFile,
    KeyFile,
    Records,
    sealing_of,
)
from openfeature_gov.evidence.records import Record, Stamp
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.reviews.review import Review
from openfeature_gov.server import reasons
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from openfeature_gov.stores.writing import QueuedStore
from openfeature_gov.targets import RefusedError

REVIEWERS = Path("reviewers.yaml")
MOST = 10_000
ADVICE = {
    "approval_unknown": "there is no such request; see gov approvals list",
    "review_unknown": "there is no such review; see gov reviews list",
    "deadline_passed": "its time is up; gov {noun} expire settles it",
    "shown_something_else": "that is not its fingerprint; look at gov {noun} show",
    "reviewer_unauthenticated": "the reviewers file names nobody with this OS user",
    "reviewer_unknown": "you were taken out of the reviewers file",
    "reviewer_not_asked": "you are in no group that was asked",
    "self_approval": "you stand behind this action; somebody else must answer",
    "already_voted": "you did already; somebody else is needed",
    "reason_missing": "say why; it is recorded",
    "deadline_invalid": "a deadline moves later, by a day at most",
    "not_open": "it still runs; nobody knows yet what came of it",
}
Id = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
Reviewers = Annotated[
    Path,
    typer.Option(
        "--reviewers",
        envvar="GOV_REVIEWERS",
        help="File that says who reviews.",
        readable=False,
    ),
]
Limit = Annotated[int, typer.Option(min=1, max=MOST, help="How many.")]
Full = Annotated[bool, typer.Option("--full", help="Hide no byte.")]
Seen = Annotated[
    str, typer.Option(metavar="FINGERPRINT", help="As show ends; what you looked at.")
]
Why = Annotated[str, typer.Option("--reason", help="Why; recorded.")]
Minutes = Annotated[
    int,
    typer.Option(
        metavar="MINUTES", min=1, max=LONGEST_EXTENSION_US // MINUTE_US, help="+"
    ),
]
T = TypeVar("T")
Q = TypeVar("Q")


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


@dataclass(frozen=True, slots=True)
class Seat:
    """Hold from where somebody answers, and how the answer is told."""

    records: str
    reviewers: Path
    sealing: Sealing | None
    as_json: bool | None

    def take(
        self,
        queue: Callable[[LateShelf, Directory, Callable[[], int]], Q],
        step: Callable[[Q, Reviewer], T | Denied],
        who: Callable[[ReviewerDirectory], Reviewer] | None = None,
    ) -> T:
        """Return what came of *step*, taken in the *queue* by *who* runs the command.

        Raises:
            RefusedError: when it was denied; begins with the reason code.
            InvalidContractError: when the reviewers file is refused.
            RecordStoreError: when the records cannot be opened, read or written.
            OSError: when the reviewers file cannot be read.

        """
        directory = ReviewerDirectory(self.reviewers)
        me = (who or caller)(directory)
        with shelf_of(self.records, self.sealing) as shelf:
            taken = step(queue(shelf, directory, now_us), me)
        if isinstance(taken, Denied):
            raise refused(taken.reason, told(taken))
        return taken


def seat(
    *,
    records: Records = RECORDS,
    reviewers: Reviewers = REVIEWERS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> Seat:
    """Return where the options say that somebody answers."""
    return Seat(records, reviewers, sealing_of(key_file, checkpoint_file), as_json)


seated = lent(seat)
"""Give a command, whose first argument is a `Seat`, the options of `seat`."""


@contextmanager
def shelf_of(records: str, sealing: Sealing | None = None) -> Iterator[LateShelf]:
    """Lend what waits in *records*, sealed with *sealing* once something is written.

    Raises:
        RecordStoreError: when the records cannot be opened, read or written.

    """
    shelf = LateShelf(runs.reachable(records), sealing)
    try:
        yield shelf
    finally:
        shelf.close()


def reader(reviewers: Path) -> tuple[Reviewer, ReviewerDirectory]:
    """Return who runs this command, for a look that reviewers alone may take.

    Raises:
        RefusedError: when the reviewers file does not name them.
        InvalidContractError: when it is refused.
        OSError: when it cannot be read.

    """
    directory = ReviewerDirectory(reviewers)
    me = caller(directory)
    if not me.way:
        raise refused("reviewer_unauthenticated", f"{me.subject} is no reviewer")
    return me, directory


def binding(held: Request | Review | None, seen: str) -> str:
    """Return the binding that *seen* stands for, if it is that of *held*."""
    typed = seen.strip().lower()
    same = held is not None and typed in (held.fingerprint, held.binding)
    return held.binding if held is not None and same else typed


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


def told(denied: Denied) -> str:
    """Return what to do about a step that was *denied*."""
    noun = "approvals" if isinstance(denied.state, State) else "reviews"
    one = f"the {noun[:-1]} is {denied.state.value}"
    words = ADVICE.get(denied.reason) or reasons.WORDS.get(denied.reason, one)
    return words.format(noun=noun)


def refused(reason: str, advice: str) -> RefusedError:
    """Return the error that ends the command with the *reason* code."""
    return RefusedError(f"{reason}: {advice}", why=reason)


def now_us() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1_000

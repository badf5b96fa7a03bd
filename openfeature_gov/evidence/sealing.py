"""`Sealer`: signed checkpoints over the record log, made beside it, never in its way.

A leaf of the tree is the stored body of one record, byte for byte, and the leaves stand
in the order of the log: whatever evidence a record holds is inside its leaf. The tree
of a log has an origin, ``<key name>/<id of the writer that began it>``. Where the
stored log does not extend what was published, the Sealer records the finding, says so
loudly, and begins a new tree: it never signs two histories under one origin.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from openfeature_gov.evidence.keys import rotation
from openfeature_gov.evidence.notes import Checkpoint, Signer, link, parse_vkey, sign
from openfeature_gov.evidence.posting import Post
from openfeature_gov.evidence.published import Published
from openfeature_gov.evidence.publishers import Publisher
from openfeature_gov.evidence.records import Record, Stamp, note_record
from openfeature_gov.evidence.sealed import (
    AlteredError,
    Check,
    Log,
    Sealed,
    Tree,
    checked,
    checking,
    followed,
    grown,
    require_length,
    resumed,
    trusted,
)
from openfeature_gov.evidence.texts import readable
from openfeature_gov.locks import Bell

EVERY, SECONDS = 1_000, 10.0
EAGER = 10_000
"""How many sealed records are read again before the first checkpoint of a process; what
is younger is read again after it, slowly, so that decisions do not wait."""
PAUSE_S = 0.04
TRIES = 10
PUBLISH_S = 10.0
"""How long a checkpoint waits for its publishers; who takes longer is behind."""
STALL_NS = 2_000_000_000
"""How long a checkpoint may take before the log counts as behind."""
CLOSE_S = 30.0
TAMPER, UNSEALED, ROTATED = "tamper", "unsealed", "key_rotation"
"""The kinds of records: a finding; records no checkpoint covered yet; a new key."""
SEEN = "lastCheckpoint"
"""The key under which records tell of the checkpoint that was the last one then."""
logger = logging.getLogger(__name__)


class Sealing(NamedTuple):
    """Say when a log is sealed, with which key, and where its checkpoints go.

    A checkpoint is due after *every* records or, with any new one, *seconds*. *key* is
    the file of the signing key, made on first use, or returns a signer of your own, a
    KMS for example; *checkpoints* is the file that they are published to. Where they
    are None both files stand beside the log. Each of *publish* gets every new one.
    """

    every: int = EVERY
    seconds: float = SECONDS
    key: Path | Callable[[], Signer] | None = None
    checkpoints: Path | None = None
    publish: tuple[Publisher, ...] = ()


def seen(number: int, note: str) -> dict[str, Any]:
    """Return how a record tells of the checkpoint *number*, *note*, the last one yet.

    Who takes every checkpoint away still leaves what records tell of them.
    """
    return {"number": number, "digest": link(note)}


def last_seen(bodies: Iterable[bytes]) -> int:
    """Return the highest number of what *bodies* tell of, 0 for nothing."""
    found = 0
    for body in bodies:
        with suppress(ValueError, LookupError, TypeError):  # that may be anything
            found = max(found, int(orjson.loads(body)[SEEN]["number"]))
    return found


class Books(Protocol):
    """Take what a Sealer has to record; every record store does."""

    writer: str

    def stamp(self) -> Stamp:
        """Return the identity of a record of the log itself."""

    def append(self, record: Record) -> None:
        """Take *record*, which becomes durable soon."""

    def commit(self, record: Record) -> None:
        """Take *record* and return once it is durable."""


class Sealer:
    """Seal one log from a thread of its own. Lives as long as the store it belongs to.

    *signer* returns the key as it is now, so that a rotation reaches every process.
    *broken* says of an error that the log itself cannot be read any more;
    `broken_since` is since when that is so, None while it can be.

    Raises:
        RecordStoreError: when the key file cannot be used.
        OSError: when it can be neither read nor made.

    """

    def __init__(
        self,
        log: Log,
        books: Books,
        signer: Callable[[], Signer],
        published: Published,
        sealing: Sealing,
        *,
        now: Callable[[], int] = time.time_ns,
        clock: Callable[[], int] = time.monotonic_ns,
        broken: Callable[[Exception], bool] = lambda _: False,
    ) -> None:
        self._log, self._books, self.signer = log, books, signer
        self._broken = broken
        self.broken_since: int | None = None
        self._published, self._sealing = published, sealing
        self._now, self._clock = now, clock
        self._lock, self._handing = threading.Lock(), threading.Lock()
        self._due = Bell()
        self._closing = self._resting = False
        self._unsealed = self._trees = 0
        self._behind_since: int | None = None
        self._busy_since: int | None = None
        self._vkey = signer().vkey
        self._tree: Tree | None = None
        self._found: AlteredError | None = None
        self._check: Check | None = None
        self._unread = False
        self._made: str | None = None
        self._posts = [Post(publish) for publish in sealing.publish]
        self._thread = threading.Thread(
            target=self._run, name="gov-sealing", daemon=True
        )

    def start(self) -> None:
        """Compare the log with its last checkpoint, and seal from now on.

        A finding is on record before this returns, or is tried again.
        """
        self._attempt(self._open)
        self._thread.start()

    def wrote(self, rows: int) -> None:
        """Take note that *rows* more records are durable."""
        self._unsealed += rows
        if self._unsealed >= self._sealing.every:
            self._due.ring()

    def behind_ns(self) -> int:
        """Return since when a checkpoint that was due was not made or not published.

        One that takes long, or hangs, counts from when it was due. 0 says that all
        went well at the last time.
        """
        since, busy, now = self._behind_since, self._busy_since, self._clock()
        if since is None and busy is not None and now - busy >= STALL_NS:
            since = busy
        return 0 if since is None else max(1, now - since)

    def seal(self) -> None:
        """Sign and publish a checkpoint over all durable records, if any are new.

        Raises:
            sqlite3.Error: when the store cannot be read or written.
            OSError: when the checkpoint could not be published; it will be.
            RecordStoreError: when the key file cannot be used, or a finding could not
                be recorded.

        """
        with self._lock:
            try:
                self._opened()
                while self._eager():
                    self._check_on()
                self._advance(self._opened())
            except AlteredError as found:
                self._advance(self._begin_anew(found))
            self._publish()
        self._hand_out()

    def rotate(self, new: Signer, install: Callable[[], None]) -> None:
        """Let *new* sign from now on; *install* makes it what every process reads.

        Raises:
            NoteError: when *new* does not have the name of the old key.
            RecordStoreError: when the rotation could not be recorded; nothing changed.
            OSError: as *install* and `seal` do.

        """
        self.seal()
        old = self.signer()
        note = rotation(old, new)
        self._books.commit(self._note(ROTATED, note=note, old=old.vkey, new=new.vkey))
        install()
        self.seal()

    def stop(self) -> None:
        """End the thread, while what it finds can still be recorded; idempotent."""
        self._closing = True
        self._due.ring()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            logger.error("the sealing of the record log hangs, and is left behind")
            return
        self._attempt(self._check_first)

    def close(self) -> None:
        """Seal what is left and let go; what cannot be sealed now is at next start.

        Never raises: the records themselves are safe already.
        """
        self.stop()
        if self._thread.is_alive():
            return
        self._tick()
        self._log.close()

    def rest(self, wait_s: float) -> bool:
        """Do nothing until `go_on`, if what is under way ends within *wait_s*."""
        self._resting = self._lock.acquire(timeout=wait_s)
        if self._resting:
            self._log.rest()
        return self._resting

    def go_on(self) -> None:
        """Go on after `rest`."""
        if self._resting:
            self._resting = False
            self._lock.release()

    def abandon(self) -> None:
        """Leave everything to the parent, in a forked child."""
        self._published.abandon()
        self._log.abandon()

    def _run(self) -> None:
        self._attempt(self._check_first)
        deadline = time.monotonic() + self._sealing.seconds
        while not self._closing:
            left = max(0.0, deadline - time.monotonic())
            goes_on = self._check is not None and not self._unread
            urgent = self._due.heard(min(left, PAUSE_S) if goes_on else left)
            if self._closing:
                return
            if urgent or time.monotonic() >= deadline:
                self._unsealed = 0
                self._tick()
                deadline = time.monotonic() + self._sealing.seconds
            elif goes_on:
                self._attempt(self._check_a_little)

    def _tick(self) -> None:
        due = self._busy_since = self._clock()
        if self._attempt(self.seal):
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = due
        self._busy_since = None

    def _attempt(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except Exception as error:  # records go on; the unsealed window grows
            if self._broken(error) and self.broken_since is None:
                self.broken_since = self._clock()
            what = f"{type(error).__name__}: {error}"
            logger.error(  # noqa: TRY400 - a trace tells who reads it at night nothing
                "the record log could not be sealed, which is tried again: %s", what
            )
            logger.debug("how it came to that", exc_info=True)
            return False
        self.broken_since = None
        return True

    def _open(self) -> None:
        with self._lock:
            self._opened()

    def _opened(self) -> Tree:
        """Return the tree to go on with; at first find it, and record what is wrong."""
        if self._found is not None:
            return self._begin_anew(self._found)
        if self._tree is None:
            try:
                self._tree = self._resumed()
            except AlteredError as found:
                return self._begin_anew(found)
        return self._tree

    def _resumed(self) -> Tree:
        found = resumed(self._log, self._published, self.signer)
        if found is None:
            self._published.begin()
            tree = self._new_tree(None)
        else:
            tree, head = found
            if head.number == 1:  # the file must not be empty once there is another
                self._publish()
            if head.origin == self._origin():
                self._trees = 1
            keys = trusted(self._log, self.signer)
            self._check = checking(head, keys)
        waiting = self._log.unsealed(tree.last_seq)
        if waiting:
            self._books.append(
                self._note(UNSEALED, records=waiting, sealed=tree.frontier.size)
            )
        return tree

    def _new_tree(self, head: Sealed | None) -> Tree:
        """Return an empty tree, whose first checkpoint follows *head*."""
        signer = self.signer()
        self._vkey = signer.vkey
        self._trees += 1
        again = f"-{self._trees}" if self._trees > 1 else ""
        origin = f"{self._origin()}{again}"
        if head is None:
            return Tree(origin, 0)
        return Tree(origin, head.number, before=link(str(head.note)))

    def _origin(self) -> str:
        return f"{parse_vkey(self._vkey).name}/{self._books.writer}"

    def _begin_anew(self, found: AlteredError) -> Tree:
        """Record *found*, and begin a tree over what is there, finding included."""
        self._found, self._check = found, None
        logger.critical("the record log was altered: %s", found)
        head, before = self._log.head(), self._tree
        tree = self._new_tree(head)
        sealed = before.frontier.size if before else head.size if head else 0
        origin = before.origin if before else head.origin if head else ""
        note = self._note(
            TAMPER,
            finding=found.finding,
            detail=found.detail,
            origin=readable(origin),
            sealed=sealed,
            begins=tree.origin,
        )
        self._books.commit(note)
        # INVARIANT: on record first; a crash before this line finds it all again.
        self._tree, self._found = tree, None
        return tree

    def _note(self, kind: str, **facts: Any) -> Record:
        return note_record(self._books.stamp(), kind, **facts)

    def _check_first(self) -> None:
        while self._eager():
            self._check_a_little()

    def _eager(self) -> bool:
        """Say whether more must be read again before anything else is done."""
        check = self._check
        return check is not None and (self._unread or check.tree.frontier.size < EAGER)

    def _check_a_little(self) -> None:
        with self._lock:
            try:
                self._check_on()
            except AlteredError as found:
                self._begin_anew(found)

    def _check_on(self) -> None:
        self._unread = True
        if self._tree is not None:
            self._followed(self._tree, self._log.head())
        if self._check is not None:
            self._check = checked(self._log, self._check)
        self._unread = False

    def _advance(self, tree: Tree) -> None:
        """Follow the others from *tree*, and seal what is new; the first one wins."""
        wanted = self._log.last_seq()
        for _ in range(TRIES):
            tree = self._followed(tree, self._log.head())
            require_length(self._log, tree.last_seq)
            if tree.last_seq >= wanted:
                return  # whoever was first sealed all that was there
            longer = grown(self._log, tree)
            if longer.frontier.size == tree.frontier.size:
                return
            signer = self.signer()
            # INVARIANT: a new key seals all that the old one signed: whatever was there
            # before that key was asked for. An erasure would count for nothing else.
            if self._keep(grown(self._log, longer), self._same(signer)):
                return
        raise TimeoutError(f"others were first {TRIES} times; nothing was sealed")

    def _followed(self, tree: Tree, head: Sealed | None) -> Tree:
        """Return the tree with what other processes sealed."""
        number = 0 if head is None else head.number
        if number < tree.number:
            raise AlteredError("rolled_back", f"checkpoint {tree.number} is gone")
        if head is None or number == tree.number:
            return tree
        self._tree = followed(self._log, tree, head, trusted(self._log, self.signer))
        if head.origin != tree.origin:
            self._check = None  # another process began anew, and said why
        return self._tree

    def _keep(self, tree: Tree, signer: Signer) -> bool:
        frontier = tree.frontier
        number, root = tree.number + 1, frontier.root()
        stated = Checkpoint(tree.origin, frontier.size, root, number, tree.before)
        sealed = Sealed(
            number,
            tree.origin,
            frontier.size,
            tree.last_seq,
            frontier.to_bytes(),
            sign(stated.text(), signer),
        )
        # INVARIANT: stored before published; a note that is out can be found again.
        if not self._log.keep(sealed, self._now() // 1000):
            return False
        self._tree = tree._replace(number=number, before=link(sealed.note))
        self._made = sealed.note
        return True

    def _same(self, signer: Signer) -> Signer:
        """Return *signer*, once it is the last one or that one's successor."""
        if signer.vkey != self._vkey:
            if parse_vkey(self._vkey) not in trusted(self._log, self.signer):
                raise AlteredError("key", "another key is in place of the log's")
            self._vkey = signer.vkey
        return signer

    def _publish(self) -> None:
        self._published.extend(self._unpublished, self._now() // 1000)

    def _unpublished(self, last: str | None) -> list[str]:
        known = None if last is None else self._log.number_of(last)
        if known is None:
            known = self._log.before("" if self._tree is None else self._tree.origin)
        return [one.note for one in self._log.since(known)]

    def _hand_out(self) -> None:
        """Give each publisher the newest note; it covers those that one missed."""
        with self._handing:
            note = self._made
            if note is None:
                return
            ready = [post.hand(note) for post in self._posts]
        deadline = time.monotonic() + PUBLISH_S
        # Who hangs with an older one was waited for then.
        problems = [
            post.problem(deadline - time.monotonic() if waits else 0.0)
            for post, waits in zip(self._posts, ready, strict=True)
        ]
        if any(problems):
            raise OSError(f"a publisher failed: {'; '.join(filter(None, problems))}")

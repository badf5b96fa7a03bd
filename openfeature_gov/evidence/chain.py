"""`Chain`: the signed checkpoints of one log, each over more of it than the last.

The tree of a log has an origin, ``<key name>/<id of the writer that began it>``. Where
the stored log does not extend what was published, the chain records the finding, says
so loudly, and begins a new tree: it never signs two histories under one origin.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from openfeature_gov.evidence.notes import Checkpoint, Signer, link, parse_vkey, sign
from openfeature_gov.evidence.published import Published
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

EAGER = 10_000
"""How many sealed records are read again before the first checkpoint of a process; what
is younger is read again after it, slowly, so that decisions do not wait."""
TRIES = 10
TAMPER, UNSEALED = "tamper", "unsealed"
"""The kinds of records: a finding; records that no checkpoint covered yet."""
logger = logging.getLogger(__name__)


class Books(Protocol):
    """Take what a Sealer has to record; every record store does."""

    writer: str

    def stamp(self) -> Stamp:
        """Return the identity of a record of the log itself."""

    def append(self, record: Record) -> None:
        """Take *record*, which becomes durable soon."""

    def commit(self, record: Record) -> None:
        """Take *record* and return once it is durable."""


class Chain:
    """Make the checkpoints of *log*, which *books* writes; *signer* signs them.

    The Sealer that owns it lets one thread at a time in. A finding is on record before
    anything more is signed. What *log* raises is passed on by every method.

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
        now: Callable[[], int],
    ) -> None:
        self._log, self._books, self._signer = log, books, signer
        self._published, self._now = published, now
        self._trees = 0
        self._vkey = signer().vkey
        self._tree: Tree | None = None
        self._found: AlteredError | None = None
        self._check: Check | None = None
        self._unread = False
        self.made: str | None = None
        """The newest checkpoint that this process made."""

    def seal(self) -> None:
        """Sign and publish a checkpoint over all durable records, if any are new.

        Raises:
            OSError: when the checkpoint could not be published; it will be.
            RecordStoreError: when the key file cannot be used, or a finding could not
                be recorded.

        """
        try:
            self.opened()
            while self.eager():
                self._check_on()
            self._advance(self.opened())
        except AlteredError as found:
            self._advance(self._begin_anew(found))
        self._publish()

    def opened(self) -> Tree:
        """Return the tree to go on with; at first find it, and record what is wrong.

        Raises:
            OSError: when what was published cannot be read.
            RecordStoreError: as `seal` does.

        """
        if self._found is not None:
            return self._begin_anew(self._found)
        if self._tree is None:
            try:
                self._tree = self._resumed()
            except AlteredError as found:
                return self._begin_anew(found)
        return self._tree

    def _resumed(self) -> Tree:
        found = resumed(self._log, self._published, self._signer)
        if found is None:
            self._published.begin()
            tree = self._new_tree(None)
        else:
            tree, head = found
            if head.number == 1:  # the file must not be empty once there is another
                self._publish()
            if head.origin == self._origin():
                self._trees = 1
            keys = trusted(self._log, self._signer)
            self._check = checking(head, keys)
        waiting = self._log.unsealed(tree.last_seq)
        if waiting:
            self._books.append(
                self._note(UNSEALED, records=waiting, sealed=tree.frontier.size)
            )
        return tree

    def _new_tree(self, head: Sealed | None) -> Tree:
        """Return an empty tree, whose first checkpoint follows *head*."""
        signer = self._signer()
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

    def eager(self) -> bool:
        """Say whether more must be read again before anything else is done."""
        check = self._check
        return check is not None and (self._unread or check.tree.frontier.size < EAGER)

    def checking(self) -> bool:
        """Say whether what was sealed is still read again, and can be read."""
        return self._check is not None and not self._unread

    def check_a_little(self) -> None:
        """Read some of what was sealed again; what was altered is recorded.

        Raises:
            RecordStoreError: as `seal` does.

        """
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
            signer = self._signer()
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
        self._tree = followed(self._log, tree, head, trusted(self._log, self._signer))
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
        self.made = sealed.note
        return True

    def _same(self, signer: Signer) -> Signer:
        """Return *signer*, once it is the last one or that one's successor."""
        if signer.vkey != self._vkey:
            if parse_vkey(self._vkey) not in trusted(self._log, self._signer):
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

    def _note(self, kind: str, **facts: Any) -> Record:
        return note_record(self._books.stamp(), kind, **facts)

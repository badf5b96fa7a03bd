"""What a log holds of its seals, and whether the records still fit them.

A `Tree` is the Merkle tree of a log as far as it is read. Nothing here writes: the
`Sealer` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple, Protocol

import orjson

from openfeature_gov.errors import GovernanceError
from openfeature_gov.evidence.keys import lineage
from openfeature_gov.evidence.merkle import Frontier, leaf_hash
from openfeature_gov.evidence.notes import (
    Checkpoint,
    NoteError,
    Signer,
    Verifier,
    link,
    open_checkpoint,
    parse_vkey,
)
from openfeature_gov.evidence.published import Published
from openfeature_gov.evidence.texts import readable

CHUNK = 256


class Sealed(NamedTuple):
    """Hold one stored checkpoint: its place, what it covers, and the signed note."""

    number: int
    origin: str
    size: int
    last_seq: int
    frontier: bytes
    note: str


class Log(Protocol):
    """Give a Sealer the rows of one log, and keep its checkpoints."""

    def rows(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return sequence numbers and bodies behind *after*, in order."""

    def last_seq(self) -> int:
        """Return the last sequence number, 0 for an empty log."""

    def archived(self) -> bytes:
        """Return the frontier of the records that were archived, empty for none."""

    def unsealed(self, after: int) -> int:
        """Return how many records behind *after* are of writers that have ended."""

    def rotations(self) -> list[bytes]:
        """Return the bodies of the records of key rotations, in order."""

    def head(self) -> Sealed | None:
        """Return the last checkpoint."""

    def since(self, number: int) -> list[Sealed]:
        """Return the checkpoints behind *number*, in order."""

    def told(self) -> int:
        """Return the number of the last checkpoint that the last records tell of."""

    def number_of(self, note: str) -> int | None:
        """Return the number of the checkpoint *note*, None for an unknown one."""

    def before(self, origin: str) -> int:
        """Return the number before the first checkpoint of *origin*, 0 for none."""

    def keep(self, sealed: Sealed, at_us: int) -> bool:
        """Store *sealed* durably, unless another writer took its number."""

    def rest(self) -> None:
        """Close what is open until it is needed again."""

    def close(self) -> None:
        """Let go of the log."""

    def abandon(self) -> None:
        """Let go in a forked child of what belongs to the parent."""


class AlteredError(GovernanceError):
    """Report that the stored log is not the one that was sealed."""

    def __init__(self, finding: str, detail: str) -> None:
        self.finding, self.detail = finding, readable(detail)
        super().__init__(f"{finding}: {self.detail}")


FIRST = link("")


class Tree(NamedTuple):
    """Hold the tree *origin* up to record *last_seq*, and its last checkpoint's number.

    *before* is the link to that checkpoint. The frontier is never changed in place.
    """

    origin: str
    number: int
    last_seq: int = 0
    frontier: Frontier = Frontier()
    before: str = FIRST


def resumed(
    log: Log, published: Published, signer: Callable[[], Signer]
) -> tuple[Tree, Sealed] | None:
    """Return the last checkpoint and its tree, if it was published; None for none.

    Raises:
        AlteredError: when log, checkpoint and published checkpoints do not fit.
        OSError: when what was published cannot be read.

    """
    head = log.head()
    last = _last_published(head, published)
    if head is None and last is not None:
        # Another process may have stored and published the first one meanwhile.
        head = log.head()
    if head is None:
        if last is not None:
            raise AlteredError("rolled_back", "the database holds no checkpoint")
        _require_told(log, 0)
        return None
    if last is not None and log.number_of(last) is None:
        raise AlteredError(
            "rolled_back", "the database does not hold the last published one"
        )
    opened(head, trusted(log, signer))
    _require_told(log, head.number)
    require_length(log, head.last_seq)
    archived = _archived(log)
    if archived is None or archived.size > head.size:
        raise AlteredError(
            "archived", f"not what {head.size} sealed records begin with"
        )
    frontier = Frontier.from_bytes(head.frontier)
    before = link(head.note)
    return Tree(head.origin, head.number, head.last_seq, frontier, before), head


def _require_told(log: Log, number: int) -> None:
    """Require that *number*, the last checkpoint, is none before what records tell of.

    Raises:
        AlteredError: when a checkpoint is gone.

    """
    told = log.told()
    if told <= number:
        return
    head = log.head()  # another process may have made one since
    if head is None or head.number < told:
        what = f"records tell of checkpoint {told}; the last one is {number}"
        raise AlteredError("rolled_back", what)


def _last_published(head: Sealed | None, published: Published) -> str | None:
    try:
        last = published.last()
    except FileNotFoundError:
        if head is None:
            return None
        raise AlteredError("published", "their file is missing") from None
    except ValueError:
        raise AlteredError("published", "its last line holds no note") from None
    # INVARIANT: the file is there before the first checkpoint is stored, and a crash
    # between storing and publishing leaves one checkpoint too many.
    if last is None and head is not None and head.number > 1:
        raise AlteredError("published", f"none of {head.number} is in their file")
    return last


def require_length(log: Log, last_seq: int) -> None:
    """Require that *log* reaches *last_seq*.

    Raises:
        AlteredError: when it ends before.

    """
    last = log.last_seq()
    if last < last_seq:
        raise AlteredError("truncated", f"records {last + 1} to {last_seq} are gone")


def opened(head: Sealed, keys: list[Verifier]) -> Checkpoint:
    """Return the checkpoint of *head* once signature and frontier bear it out.

    Raises:
        AlteredError: when no key of *keys* signed it, or its columns say otherwise.

    """
    try:
        made = open_checkpoint(head.note, keys)
        whole = Frontier.from_bytes(head.frontier)
    except NoteError as error:
        raise AlteredError("key", str(error)) from None
    except ValueError as error:
        raise AlteredError("checkpoint", str(error)) from None
    said = (head.origin, head.size, whole.root())
    fits = made[:3] == said and whole.size == head.size
    if not fits or made.number not in (0, head.number):
        raise AlteredError("checkpoint", f"number {head.number} was edited")
    return made


def trusted(log: Log, signer: Callable[[], Signer]) -> list[Verifier]:
    """Return the key of *signer*, and those that named it their successor."""
    return lineage(parse_vkey(signer().vkey), rotations(log.rotations()))


def rotations(bodies: Iterable[bytes]) -> Iterator[str]:
    """Yield the notes that *bodies*, the records of new keys, hold."""
    for body in bodies:
        with suppress(ValueError, LookupError, TypeError):  # that may be anything
            yield str(orjson.loads(body)["note"])


def grown(log: Log, tree: Tree, size: int | None = None) -> Tree:
    """Return *tree* with the records of *log* behind it, up to *size* or to the end.

    Where it is behind what was archived it goes on from there, be that beyond *size*.
    """
    found = _read(log, tree, size)
    # INVARIANT: looked at after the rows, which go only once this is there.
    archived = _archived(log)
    if archived is None or archived.size <= tree.last_seq:
        return found
    return grown(log, tree._replace(frontier=archived, last_seq=archived.size), size)


def _archived(log: Log) -> Frontier | None:
    """Return the frontier of what was archived, None where that is no frontier."""
    data = log.archived()
    try:
        return Frontier.from_bytes(data) if data else Frontier()
    except ValueError:
        return None


def _read(log: Log, tree: Tree, size: int | None) -> Tree:
    frontier, seq = tree.frontier.copy(), tree.last_seq
    while size is None or frontier.size < size:
        limit = CHUNK if size is None else min(CHUNK, size - frontier.size)
        rows = log.rows(seq, limit)
        if rows:
            seq = rows[-1][0]
            frontier.extend([leaf_hash(body) for _, body in rows])
        if len(rows) < limit:
            break
    return tree._replace(frontier=frontier, last_seq=seq)


def followed(log: Log, tree: Tree, head: Sealed, keys: list[Verifier]) -> Tree:
    """Return *tree* up to *head*, which another process sealed, by our own count.

    Raises:
        AlteredError: when the records are not those that were sealed.

    """
    theirs = opened(head, keys)
    base = tree if head.origin == tree.origin else Tree(head.origin, 0)
    found = grown(log, base, head.size)
    found = found._replace(number=head.number, before=link(head.note))
    if (newer := _overtaken(log, found, head)) is not None:
        return followed(log, tree, newer, keys)
    _require_same(found, head, theirs)
    return found


def _overtaken(log: Log, tree: Tree, head: Sealed) -> Sealed | None:
    """Return the last checkpoint where *head* was archived while *tree* was read."""
    newer = log.head() if tree.frontier.size > head.size else None
    return newer if newer is not None and newer.number > head.number else None


class Check(NamedTuple):
    """Hold how far what *head* seals, as *stated*, was read again: up to *tree*."""

    head: Sealed
    stated: Checkpoint
    tree: Tree


def checking(head: Sealed, keys: list[Verifier]) -> Check:
    """Begin to read all that *head* seals again, from the first.

    Raises:
        AlteredError: when it is not signed by one of *keys*, or says something else.

    """
    return Check(head, opened(head, keys), Tree(head.origin, 0))


def checked(log: Log, check: Check) -> Check | None:
    """Read on from *check*; return how far, None once all is as it was sealed.

    Where *log* cannot be read, *check* is where to go on once it can be.

    Raises:
        AlteredError: when the records are not those that were sealed.

    """
    head, stated, tree = check
    if tree.frontier.size < head.size:
        step = grown(log, tree, min(head.size, tree.frontier.size + CHUNK))
        if step.frontier.size > tree.frontier.size:
            return check._replace(tree=step)
    if _overtaken(log, tree, head) is None:
        _require_same(tree, head, stated)
    return None


def _require_same(tree: Tree, head: Sealed, stated: Checkpoint) -> None:
    if tree.frontier.size < stated.size:
        missing = f"{tree.frontier.size} of {stated.size} records are there"
        raise AlteredError("truncated", missing)
    if tree.frontier.root() != stated.root or tree.last_seq != head.last_seq:
        raise AlteredError("edited", f"records 1 to {head.last_seq}")

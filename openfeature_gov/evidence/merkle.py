"""The Merkle tree of RFC 9162 (SHA-256): roots, proofs, and their verification. Pure.

A `Frontier` is all that a writer keeps: one hash for each set bit of the size. A `Tree`
keeps every node and answers with proofs. The verifying functions need neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of the leaf *data*."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above *left* and *right*."""
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """Append leaf hashes in O(log n) memory; lives as long as its log is written.

    *size* counts the leaves; *hashes* are the roots of the perfect subtrees, largest
    first.
    """

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if size < 0 or size.bit_count() != len(hashes):
            raise ValueError(f"{len(hashes)} hashes cannot be those of {size} leaves")
        if any(len(one) != HASH_BYTES for one in hashes):
            raise ValueError(f"a hash that is not {HASH_BYTES} bytes long")
        self.size = size
        self.hashes = list(hashes)

    def append(self, leaf: bytes) -> None:
        """Add the leaf hash *leaf*."""
        self.add(leaf, 0)

    def add(self, subtree: bytes, level: int) -> None:
        """Add the root of a perfect subtree of ``2 ** level`` leaves.

        Raises:
            ValueError: where a subtree of that size cannot begin.

        """
        size = self.size >> level
        if size << level != self.size:
            raise ValueError(f"no subtree of level {level} begins at {self.size}")
        self.size += 1 << level
        while size & 1:
            subtree, size = node_hash(self.hashes.pop(), subtree), size >> 1
        self.hashes.append(subtree)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add many leaf hashes, faster than one by one."""
        done, count = 0, len(leaves)
        while done < count:
            aligned = (self.size & -self.size) or count
            level = min(aligned, count - done).bit_length() - 1
            row = leaves[done : done + (1 << level)]
            for _ in range(level):
                row = _above(row)
            self.add(row[0], level)
            done += 1 << level

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def copy(self) -> Frontier:
        """Return a frontier that goes on by itself."""
        return Frontier(self.size, self.hashes)

    def to_bytes(self) -> bytes:
        """Return the size in 8 bytes, big-endian, and the hashes."""
        return self.size.to_bytes(8, "big") + b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Frontier:
        """Return the frontier that `to_bytes` wrote.

        Raises:
            ValueError: for any other bytes.

        """
        hashes = [data[at : at + HASH_BYTES] for at in range(8, len(data), HASH_BYTES)]
        return cls(int.from_bytes(data[:8], "big") if len(data) >= 8 else -1, hashes)


class Tree:
    """Hold every node over *leaves*, the leaf hashes; 64 bytes of memory a leaf."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        level = list(leaves)
        self.size = len(level)
        self._levels = [level]
        while len(level) > 1:
            level = _above(level)
            self._levels.append(level)

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first *size* leaves, all of them by default.

        Raises:
            ValueError: when there are fewer leaves.

        """
        size = self.size if size is None else size
        self._require(0 <= size <= self.size, f"a root of {size}")
        return self._range(0, size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the proof that leaf *index* is in the tree of the first *size*.

        Raises:
            ValueError: when there is no such leaf or tree.

        """
        wanted = f"an inclusion proof of {index} in {size}"
        self._require(0 <= index < size <= self.size, wanted)
        start, proof = 0, []
        while size - start > 1:
            middle = start + _split(size - start)
            if index < middle:
                proof.append(self._range(middle, size))
                size = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        return proof[::-1]

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the tree of *new* leaves extends that of *old*.

        Raises:
            ValueError: when there are no such trees.

        """
        self._require(
            0 <= old <= new <= self.size, f"a consistency proof of {old} and {new}"
        )
        if old in (0, new):
            return []
        start, proof = 0, []
        while old != new:
            middle = start + _split(new - start)
            if old <= middle:
                proof.append(self._range(middle, new))
                new = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        # The old root itself is known to whoever asks.
        return ([self._range(start, old)] if start else []) + proof[::-1]

    def _nodes(self, start: int, end: int) -> list[bytes]:
        return [self._levels[level][at >> level] for at, level in _blocks(start, end)]

    def _range(self, start: int, end: int) -> bytes:
        root: bytes | None = None
        for block in reversed(self._nodes(start, end)):
            root = block if root is None else node_hash(block, root)
        return EMPTY_ROOT if root is None else root

    def _require(self, held: bool, wanted: str) -> None:
        if not held:
            raise ValueError(f"{wanted}: the tree has {self.size} leaves")


def _blocks(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (first leaf, level) of the perfect subtrees that cover *start* to *end*."""
    while start < end:
        fits = (end - start).bit_length() - 1
        aligned = (start & -start).bit_length() - 1 if start else fits
        level = min(fits, aligned)
        yield start, level
        start += 1 << level


def _above(row: Sequence[bytes]) -> list[bytes]:
    """Return the nodes above *row*; an odd one at its end has none yet."""
    pairs = zip(row[::2], row[1::2], strict=False)
    return [sha256(b"\1" + left + right).digest() for left, right in pairs]


def _split(size: int) -> int:
    """Return the largest power of two below *size*."""
    return 1 << (size - 1).bit_length() - 1


def includes(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Say whether *proof* shows the leaf hash *leaf* at *index* below *root*.

    *size* is the number of leaves below *root* (RFC 9162, 2.1.3.2).
    """
    if not 0 <= index < size or not _hashes(leaf, root, *proof):
        return False
    at, last, seen = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            seen = node_hash(one, seen)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            seen = node_hash(seen, one)
        at, last = at >> 1, last >> 1
    return last == 0 and seen == root


def extends(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Say whether *proof* shows that *new_root* only adds leaves to *old_root*.

    *old* and *new* are the numbers of leaves (RFC 9162, 2.1.4.2).
    """
    if not 0 <= old <= new or not _hashes(old_root, new_root, *proof):
        return False
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old == new:
        return not proof and old_root == new_root
    path = [old_root, *proof] if old & (old - 1) == 0 else [*proof]
    return len(proof) > 0 and _climbs(old, new, path) == (old_root, new_root)


def _climbs(old: int, new: int, path: list[bytes]) -> tuple[bytes, bytes] | None:
    """Return the two roots that *path* leads to, None when it has another length."""
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = path[0]
    for one in path[1:]:
        if last == 0:
            return None
        if at & 1 or at == last:
            before, after = node_hash(one, before), node_hash(one, after)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, one)
        at, last = at >> 1, last >> 1
    return (before, after) if last == 0 else None


def _hashes(*values: bytes) -> bool:
    return all(len(one) == HASH_BYTES for one in values)

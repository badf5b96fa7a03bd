"""The Merkle tree of RFC 9162 (SHA-256), as whoever writes a log needs it. Pure.

A `Frontier` is all that a writer keeps: one hash for each set bit of the size.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def _above(row: Sequence[bytes]) -> list[bytes]:
    """Return the nodes above *row*, a power of two of them."""
    pairs = zip(row[::2], row[1::2], strict=True)
    return [sha256(b"\1" + left + right).digest() for left, right in pairs]

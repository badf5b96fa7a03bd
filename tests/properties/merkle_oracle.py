"""Say what pymerkle makes of the trees of `test_merkle`, one line of JSON a size.

It runs alone, under a Python that has pymerkle 7 (GPL, so not in this project's own
environment): ``python merkle_oracle.py 2000``. A line holds the root over the first
*size* leaves, and one digest over all its inclusion and consistency proofs.
"""

import hashlib
import importlib
import json
import sys
from typing import Any

pymerkle: Any = importlib.import_module("pymerkle")


def leaf(number: int) -> bytes:
    return f"leaf {number}".encode()


def consistency(tree: Any, old: int, new: int) -> list[bytes]:
    """Return pymerkle's path as RFC 9162 writes it.

    Where the old tree ends at a perfect subtree, pymerkle goes down to the first leaf
    behind it; the RFC has one hash for that side, and leaves out a known old root.
    """
    if old in (0, new):
        return []
    proof = tree.prove_consistency(old, new)
    right, at = proof.path[0], 1
    while not proof.subset[at]:
        right = hashlib.sha256(b"\1" + right + proof.path[at]).digest()
        at += 1
    known = old & (old - 1) == 0
    return [*([] if known else [proof.path[at]]), right, *proof.path[at + 1 :]]


def main(last: int) -> None:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for size in range(last + 1):
        seen = hashlib.sha256()
        for index in range(size):
            path = tree.prove_inclusion(index + 1, size).path
            seen.update(b"".join(path[1:]) + b"|")  # the first is the leaf itself
        for old in range(size + 1):
            seen.update(b"".join(consistency(tree, old, size)) + b"|")
        root = tree.get_root(size).hex()
        print(json.dumps([size, root, seen.hexdigest()]), flush=True)
        tree.append_entry(leaf(size))


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""Say what pymerkle makes of the trees of `test_merkle`, one line of JSON a size.

It runs alone, under a Python that has pymerkle 7 (GPL, so not in this project's own
environment): ``python merkle_oracle.py 600``. A line holds the root over the first
*size* leaves, and one digest over all its inclusion proofs.
"""

import hashlib
import importlib
import json
import sys
from typing import Any

pymerkle: Any = importlib.import_module("pymerkle")


def leaf(number: int) -> bytes:
    return f"leaf {number}".encode()


def main(last: int) -> None:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for size in range(last + 1):
        seen = hashlib.sha256()
        for index in range(size):
            path = tree.prove_inclusion(index + 1, size).path
            seen.update(b"".join(path[1:]) + b"|")  # the first is the leaf itself
        root = tree.get_root(size).hex()
        print(json.dumps([size, root, seen.hexdigest()]), flush=True)
        tree.append_entry(leaf(size))


if __name__ == "__main__":
    main(int(sys.argv[1]))

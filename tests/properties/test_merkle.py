"""The Merkle tree agrees with the RFC, with a naive reading of it, and with pymerkle.

``GOV_PYMERKLE_PYTHON=/path/to/python`` names a Python that has pymerkle 7; with it
every proof of every tree of 0 to 2,000 leaves is compared, which takes minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature_gov.evidence.merkle import (
    EMPTY_ROOT,
    Frontier,
    Tree,
    extends,
    includes,
    leaf_hash,
    node_hash,
)

LAST = 2_000
ORACLE = Path(__file__).with_name("merkle_oracle.py")
LEAVES = tuple(leaf_hash(f"leaf {number}".encode()) for number in range(LAST))
TREE = Tree(LEAVES)
CT = [
    leaf_hash(bytes.fromhex(text))
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
"""The eight leaves that Certificate Transparency's implementations are tested with."""
CT_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
small = st.integers(0, 40)


def naive_root(leaves: tuple[bytes, ...]) -> bytes:
    """RFC 9162, 2.1.1, read literally; leaves are hashed already."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    k = half(len(leaves))
    return sha256(b"\1" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: tuple[bytes, ...]) -> list[bytes]:
    """RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = half(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(
    m: int, leaves: tuple[bytes, ...], *, known: bool = True
) -> list[bytes]:
    """RFC 9162, 2.1.4.1: SUBPROOF, with *known* as its third argument."""
    if m == len(leaves):
        return [] if known else [naive_root(leaves)]
    k = half(len(leaves))
    if m <= k:
        return [*naive_proof(m, leaves[:k], known=known), naive_root(leaves[k:])]
    return [*naive_proof(m - k, leaves[k:], known=False), naive_root(leaves[:k])]


@cache
def half(size: int) -> int:
    """Return the largest power of two below *size*."""
    return max(1 << power for power in range(20) if 1 << power < size)


def test_golden_roots_of_certificate_transparency() -> None:
    """The eight trees over the common test leaves have the published roots."""
    assert EMPTY_ROOT.hex().startswith("e3b0c442")
    assert EMPTY_ROOT.hex().endswith("7852b855")
    found = [Tree(CT).root(size).hex() for size in range(1, 9)]
    assert found == list(CT_ROOTS)


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, []),
        (0, 8, ["96a296d2", "5f083f0a", "6b47aaf2"]),
        (5, 8, ["bc1a0643", "ca854ea1", "d37ee418"]),
        (2, 3, ["fac54203"]),
        (1, 5, ["6e340b9c", "5f083f0a", "bc1a0643"]),
    ],
)
def test_golden_inclusion_proofs(index: int, size: int, path: list[str]) -> None:
    """Certificate Transparency's inclusion proofs come out, by their first bytes."""
    found = Tree(CT).inclusion(index, size)
    assert [one.hex()[:8] for one in found] == path
    root = bytes.fromhex(CT_ROOTS[size - 1])
    assert includes(index, size, CT[index], found, root)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        (1, 1, []),
        (1, 8, ["96a296d2", "5f083f0a", "6b47aaf2"]),
        (6, 8, ["0ebc5d34", "ca854ea1", "d37ee418"]),
        (2, 5, ["5f083f0a", "bc1a0643"]),
    ],
)
def test_golden_consistency_proofs(old: int, new: int, path: list[str]) -> None:
    """Certificate Transparency's consistency proofs come out, by their first bytes."""
    found = Tree(CT).consistency(old, new)
    assert [one.hex()[:8] for one in found] == path
    before, after = [bytes.fromhex(CT_ROOTS[size - 1]) for size in (old, new)]
    assert extends(old, new, before, after, found)


def test_example_of_the_rfc() -> None:
    """RFC 9162, 2.1.5: the tree of seven leaves, its nodes and proofs by name."""
    d = [leaf_hash(bytes([number])) for number in range(7)]
    a, b, c, e, f, j = d[0], d[1], d[2], d[3], d[4], d[6]
    g, h, i = node_hash(a, b), node_hash(c, e), node_hash(f, d[5])
    k, m = node_hash(g, h), node_hash(i, j)
    tree = Tree(d)
    assert tree.root() == node_hash(k, m)
    assert tree.inclusion(0, 7) == [b, h, m]
    assert tree.inclusion(3, 7) == [c, g, m]
    assert tree.inclusion(4, 7) == [d[5], j, k]
    assert tree.inclusion(6, 7) == [i, k]
    assert tree.consistency(3, 7) == [c, e, g, m]
    assert tree.consistency(4, 7) == [m]
    assert tree.consistency(6, 7) == [i, j, k]


@pytest.mark.parametrize("size", range(66))
def test_proofs_are_those_of_the_naive_reading(size: int) -> None:
    """Every proof of a small tree is the RFC's, and verifies."""
    leaves = LEAVES[:size]
    root = TREE.root(size)
    assert root == naive_root(leaves)
    for index in range(size):
        proof = TREE.inclusion(index, size)
        assert proof == naive_path(index, leaves)
        assert includes(index, size, leaves[index], proof, root)
    for old in range(size + 1):
        shown = TREE.consistency(old, size)
        assert shown == (naive_proof(old, leaves) if old else [])
        assert extends(old, size, naive_root(leaves[:old]), root, shown)


def test_every_way_of_growing_gives_the_same_root() -> None:
    """One by one, in bulk, and by the tree: all 2,001 roots are the same."""
    single, bulk, at = Frontier(), Frontier(), 0
    for size in range(LAST + 1):
        assert single.root() == TREE.root(size)
        if size in (0, 1, 3, 4, 100, 101, 1_024, 1_536, LAST):
            bulk.extend(LEAVES[at:size])
            assert (bulk.size, bulk.hashes) == (size, single.hashes)
            at = size
        if size < LAST:
            single.append(LEAVES[size])


@given(st.lists(small, max_size=6))
def test_bulk_of_any_cut_is_one_by_one(cuts: list[int]) -> None:
    """However the leaves are cut into portions, the frontier is the same."""
    bulk, single, at = Frontier(), Frontier(), 0
    for cut in cuts:
        portion = LEAVES[at : at + cut]
        bulk.extend(portion)
        for leaf in portion:
            single.append(leaf)
        at += cut
    assert (bulk.size, bulk.hashes) == (single.size, single.hashes)


def test_altered_inclusion_proofs_fail() -> None:
    """A proof fails once it, its place, its size, its leaf or its root is another."""
    for size in range(1, 18):
        root = TREE.root(size)
        for index in range(size):
            proof = TREE.inclusion(index, size)
            leaf = LEAVES[index]
            for other in alterations(proof):
                assert not includes(index, size, leaf, other, root), (index, size)
            for at in (*range(-1, size + 1), *range(size + 1, 40)):
                if at != index:
                    assert not includes(at, size, leaf, proof, root), (index, at)
            assert not includes(index, size, LEAVES[20], proof, root)
            assert not includes(index, size, leaf, proof, LEAVES[20])
            assert not includes(index, size, leaf[:31], proof, root)


def test_altered_consistency_proofs_fail() -> None:
    """A proof fails once it, or a root, or a size is another."""
    for new in range(1, 18):
        for old in range(1, new + 1):
            before, after = TREE.root(old), TREE.root(new)
            proof = TREE.consistency(old, new)
            for other in alterations(proof):
                assert not extends(old, new, before, after, other), (old, new)
            assert not extends(old, new, LEAVES[20], after, proof)
            assert not extends(old, new, before, LEAVES[20], proof)
            assert not extends(-old, new, before, after, proof)
            assert not extends(new + 1, new, before, after, proof)
            for size in range(1, 18):
                if size != old:
                    assert not extends(size, new, before, after, proof), (old, size)


def test_nothing_is_consistent_with_an_empty_log_but_an_empty_proof() -> None:
    """From size 0 there is one proof, and the old root must be that of nothing."""
    root = TREE.root(5)
    assert extends(0, 5, EMPTY_ROOT, root, [])
    assert not extends(0, 5, EMPTY_ROOT, root, [root])
    assert not extends(0, 5, root, root, [])
    assert not includes(0, 0, LEAVES[0], [], EMPTY_ROOT)


def test_a_leaf_cannot_pass_for_a_node() -> None:
    """The two hashes differ for the same bytes, so no record can forge a subtree."""
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)


def test_bytes_cannot_move_between_hashes() -> None:
    """A byte more here and less there hashes alike, and is refused all the same."""
    one, two = LEAVES[:2]
    root = node_hash(one, two)
    assert includes(0, 2, one, [two], root)
    assert node_hash(one[:31], one[31:] + two) == root
    assert not includes(0, 2, one[:31], [one[31:] + two], root)
    assert extends(1, 2, one, root, [two])
    assert not extends(1, 2, one[:31], root, [one[31:] + two])


@given(st.binary(max_size=200))
def test_frontier_of_hostile_bytes_is_refused_or_round_trips(data: bytes) -> None:
    """Bytes are a frontier exactly when it writes them again."""
    try:
        found = Frontier.from_bytes(data)
    except ValueError:
        return
    assert found.to_bytes() == data


@given(st.integers(0, LAST))
def test_frontier_survives_being_written(size: int) -> None:
    """What was written reads back, and goes on to the same root."""
    before = Frontier()
    before.extend(LEAVES[:size])
    after = Frontier.from_bytes(before.to_bytes())
    after.extend(LEAVES[size:])
    assert after.root() == TREE.root()


@given(
    st.integers(-2, 1 << 70),
    st.integers(-2, 1 << 70),
    st.lists(st.binary(min_size=31, max_size=33) | st.sampled_from(LEAVES[:4])),
)
def test_hostile_proofs_end_in_a_no(one: int, two: int, proof: list[bytes]) -> None:
    """No sizes and no hashes make the verification raise, or believe."""
    assert not includes(one, two, LEAVES[5], proof, LEAVES[6])
    assert not extends(one, two, LEAVES[5], LEAVES[6], proof)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: TREE.root(LAST + 1),
        lambda: TREE.inclusion(5, 5),
        lambda: TREE.inclusion(-1, 5),
        lambda: TREE.consistency(6, 5),
        lambda: TREE.consistency(1, LAST + 1),
        lambda: Frontier(3, LEAVES[:1]),
        lambda: Frontier(1, [b"short"]),
        lambda: Frontier(1, LEAVES[:1]).add(LEAVES[1], 1),
    ],
)
def test_what_no_tree_holds_is_refused(ask: object) -> None:
    """There is no proof, root or frontier of leaves that are not there."""
    with pytest.raises(ValueError):
        ask()  # type: ignore[operator] # each is a callable


def alterations(hashes: list[bytes]) -> list[list[bytes]]:
    """Return *hashes* with one missing, one more, one altered, and two swapped."""
    found = [[*hashes, LEAVES[30]], [LEAVES[30], *hashes]]
    for at, one in enumerate(hashes):
        flipped = bytes([one[0] ^ 1]) + one[1:]
        found.append(hashes[:at] + hashes[at + 1 :])
        found.append([*hashes[:at], flipped, *hashes[at + 1 :]])
        found.append([*hashes[:at], one[:31], *hashes[at + 1 :]])
        swapped = [*hashes[:at], *hashes[at : at + 2][::-1], *hashes[at + 2 :]]
        found.extend([swapped] if swapped != hashes else [])
    return found


def test_pymerkle_agrees_on_every_proof() -> None:
    """All proofs of all trees of 0 to 2,000 leaves are pymerkle's, and verify."""
    python = os.environ.get("GOV_PYMERKLE_PYTHON")
    if not python:
        pytest.skip("GOV_PYMERKLE_PYTHON names no Python that has pymerkle 7")
    if subprocess.run([python, "-c", "import pymerkle"], check=False).returncode:
        pytest.skip(f"{python} has no pymerkle; pip install 'pymerkle>=7,<8' there")
    command = [python, str(ORACLE), str(LAST)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as oracle:
        assert oracle.stdout is not None
        lines = [agreed(json.loads(line)) for line in oracle.stdout]
    assert (oracle.returncode, len(lines)) == (0, LAST + 1)


def agreed(line: list[object]) -> int:
    """Compare one line of the oracle, and verify each proof behind it."""
    size = int(str(line[0]))
    root, seen = TREE.root(size), sha256()
    for index in range(size):
        proof = TREE.inclusion(index, size)
        seen.update(b"".join(proof) + b"|")
        assert includes(index, size, LEAVES[index], proof, root), (index, size)
    for old in range(size + 1):
        proof = TREE.consistency(old, size)
        seen.update(b"".join(proof) + b"|")
        assert extends(old, size, TREE.root(old), root, proof), (old, size)
    assert line[1:] == [root.hex(), seen.hexdigest()], size
    return size

"""The Merkle tree agrees with the RFC, with a naive reading of it, and with pymerkle.

It is written twice, for who seals (`Frontier`) and for who verifies without us
(`gov_verify`); both are held against the reading of `tests.foreign_log`.

``GOV_PYMERKLE_PYTHON=/path/to/python`` names a Python that has pymerkle 7; with it
every inclusion proof of every tree of 0 to 600 leaves is compared, which takes minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature_gov.evidence.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash
from openfeature_gov.evidence.standalone.gov_verify import Tree, root_of_path
from tests.foreign_log import path, root

LAST = 600
ORACLE = Path(__file__).with_name("merkle_oracle.py")
DATA = [f"leaf {number}".encode() for number in range(LAST)]
LEAVES = [leaf_hash(one) for one in DATA]
CT = [
    bytes.fromhex(text)
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


def grown(leaves: list[bytes]) -> Frontier:
    """Return the frontier of the leaf hashes *leaves*."""
    found = Frontier()
    found.extend(leaves)
    return found


def test_golden_roots_of_certificate_transparency() -> None:
    """The eight trees over the common test leaves have the published roots."""
    assert EMPTY_ROOT.hex().startswith("e3b0c442")
    assert EMPTY_ROOT.hex().endswith("7852b855")
    leaves = [leaf_hash(one) for one in CT]
    found = [grown(leaves[:size]).root().hex() for size in range(1, 9)]
    assert found == list(CT_ROOTS)


@pytest.mark.parametrize(
    ("index", "size", "first"),
    [
        (0, 1, []),
        (0, 8, ["96a296d2", "5f083f0a", "6b47aaf2"]),
        (5, 8, ["bc1a0643", "ca854ea1", "d37ee418"]),
        (2, 3, ["fac54203"]),
        (1, 5, ["6e340b9c", "5f083f0a", "bc1a0643"]),
    ],
)
def test_golden_inclusion_proofs(index: int, size: int, first: list[str]) -> None:
    """Certificate Transparency's inclusion proofs, by their first bytes, verify."""
    proof = path(index, CT[:size])
    assert [one.hex()[:8] for one in proof] == first
    found = root_of_path(index, size, leaf_hash(CT[index]), proof)
    assert found == bytes.fromhex(CT_ROOTS[size - 1])


def test_example_of_the_rfc() -> None:
    """RFC 9162, 2.1.5: the tree of seven leaves, its nodes and proofs by name."""
    d = [leaf_hash(bytes([number])) for number in range(7)]
    a, b, c, e, f, j = d[0], d[1], d[2], d[3], d[4], d[6]
    g, h, i = node_hash(a, b), node_hash(c, e), node_hash(f, d[5])
    k, m = node_hash(g, h), node_hash(i, j)
    top = node_hash(k, m)
    assert grown(d).root() == top
    assert root_of_path(0, 7, a, [b, h, m]) == top
    assert root_of_path(3, 7, e, [c, g, m]) == top
    assert root_of_path(4, 7, f, [d[5], j, k]) == top
    assert root_of_path(6, 7, j, [i, k]) == top


@pytest.mark.parametrize("size", range(66))
def test_proofs_of_the_naive_reading_verify(size: int) -> None:
    """Every proof of a small tree leads to the root that the RFC gives it."""
    top = root(DATA[:size])
    assert grown(LEAVES[:size]).root() == top
    for index in range(size):
        proof = path(index, DATA[:size])
        assert root_of_path(index, size, LEAVES[index], proof) == top


def test_every_way_of_growing_gives_the_same_root() -> None:
    """One by one, in bulk, and by the verifier: all 601 roots are the same."""
    single, bulk, theirs, at = Frontier(), Frontier(), Tree(), 0
    for size in range(LAST + 1):
        assert single.root() == root(DATA[:size])
        if size in (0, 1, 3, 4, 100, 101, 256, 384, LAST):
            bulk.extend(LEAVES[at:size])
            theirs.extend(LEAVES[at:size])
            assert (bulk.size, bulk.hashes) == (size, single.hashes)
            assert (theirs.size, theirs.root()) == (size, single.root())
            at = size
        if size < LAST:
            single.append(LEAVES[size])


@given(st.lists(small, max_size=6))
def test_bulk_of_any_cut_is_one_by_one(cuts: list[int]) -> None:
    """However the leaves are cut into portions, the frontier is the same."""
    bulk, single, theirs, at = Frontier(), Frontier(), Tree(), 0
    for cut in cuts:
        portion = LEAVES[at : at + cut]
        bulk.extend(portion)
        theirs.extend(portion)
        for leaf in portion:
            single.append(leaf)
        at += cut
    assert (bulk.size, bulk.hashes) == (single.size, single.hashes)
    assert theirs.root() == single.root()


def test_altered_inclusion_proofs_fail() -> None:
    """A proof leads elsewhere once it, its place or its leaf is another."""
    for size in range(1, 18):
        top = root(DATA[:size])
        for index in range(size):
            proof, leaf = path(index, DATA[:size]), LEAVES[index]
            for other in alterations(proof):
                assert root_of_path(index, size, leaf, other) != top, (index, size)
            for at in range(40):
                if at != index:
                    assert root_of_path(at, size, leaf, proof) != top, (index, at)
            assert root_of_path(index, size, LEAVES[20], proof) != top


def test_a_leaf_cannot_pass_for_a_node() -> None:
    """The two hashes differ for the same bytes, so no record can forge a subtree."""
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)


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
    after = Frontier.from_bytes(grown(LEAVES[:size]).to_bytes())
    after.extend(LEAVES[size:])
    assert after.root() == grown(LEAVES).root()


@given(
    st.integers(0, 1 << 70),
    st.integers(0, 1 << 70),
    st.lists(st.binary(min_size=31, max_size=33) | st.sampled_from(LEAVES[:4])),
)
def test_hostile_proofs_end_in_a_no(one: int, two: int, proof: list[bytes]) -> None:
    """No sizes and no hashes make the verification raise, or believe."""
    assert root_of_path(one, two, LEAVES[5], proof) != LEAVES[6]


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Frontier(3, LEAVES[:1]),
        lambda: Frontier(1, [b"short"]),
        lambda: Frontier(1, LEAVES[:1]).add(LEAVES[1], 1),
    ],
)
def test_what_is_no_frontier_is_refused(ask: object) -> None:
    """There is no frontier of leaves that are not there."""
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
    """All inclusion proofs of trees of up to 600 leaves are pymerkle's, and verify."""
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
    top, seen = grown(LEAVES[:size]).root(), sha256()
    for index in range(size):
        proof = path(index, DATA[:size])
        seen.update(b"".join(proof) + b"|")
        assert root_of_path(index, size, LEAVES[index], proof) == top, (index, size)
    assert line[1:] == [top.hex(), seen.hexdigest()], size
    return size

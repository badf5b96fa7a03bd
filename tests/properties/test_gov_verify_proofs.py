"""The verifier reads proofs and grows trees as the RFC and `merkle` do.

The tree is written twice, for who seals and for who verifies without us. `test_merkle`
holds the first against the RFC and pymerkle; here the second is held against both.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openfeature_gov.evidence.merkle import leaf_hash, node_hash
from openfeature_gov.evidence.standalone.gov_verify import Tree, root_of_path
from tests.properties.test_merkle import CT, CT_ROOTS, LEAVES, TREE, alterations


def grown(leaves: list[bytes]) -> bytes:
    """Return the root that the verifier finds over the leaf hashes *leaves*."""
    tree = Tree()
    tree.extend(leaves)
    return tree.root()


def test_golden_roots_of_certificate_transparency() -> None:
    """The eight trees over the common test leaves have the published roots."""
    assert [grown(CT[:size]).hex() for size in range(1, 9)] == list(CT_ROOTS)


def test_example_of_the_rfc() -> None:
    """RFC 9162, 2.1.5: the tree of seven leaves, its nodes and proofs by name."""
    d = [leaf_hash(bytes([number])) for number in range(7)]
    a, b, c, e, f, j = d[0], d[1], d[2], d[3], d[4], d[6]
    g, h, i = node_hash(a, b), node_hash(c, e), node_hash(f, d[5])
    k, m = node_hash(g, h), node_hash(i, j)
    top = node_hash(k, m)
    assert grown(d) == top
    assert root_of_path(0, 7, a, [b, h, m]) == top
    assert root_of_path(3, 7, e, [c, g, m]) == top
    assert root_of_path(4, 7, f, [d[5], j, k]) == top
    assert root_of_path(6, 7, j, [i, k]) == top


@pytest.mark.parametrize("size", [*range(66), 1_023, 1_024, 1_025, 2_000])
def test_every_proof_leads_to_the_root(size: int) -> None:
    """Of every leaf of the tree, as of the tree itself."""
    top = TREE.root(size)
    assert grown([*LEAVES[:size]]) == top
    for index in range(size):
        proof = TREE.inclusion(index, size)
        assert root_of_path(index, size, LEAVES[index], proof) == top


@given(st.lists(st.integers(0, 40), max_size=6))
def test_leaves_that_come_in_any_portions_have_one_root(cuts: list[int]) -> None:
    """However the leaves are cut, the root is the same."""
    tree, at = Tree(), 0
    for cut in cuts:
        tree.extend([*LEAVES[at : at + cut]])
        at += cut
    assert (tree.size, tree.root()) == (at, TREE.root(at))


def test_altered_proofs_lead_elsewhere() -> None:
    """A proof is of one leaf in one place, and of all its hashes."""
    for size in range(1, 18):
        top = TREE.root(size)
        for index in range(size):
            proof, leaf = TREE.inclusion(index, size), LEAVES[index]
            for other in alterations(proof):
                assert root_of_path(index, size, leaf, other) != top, (index, size)
            for at in {*range(40)} - {index}:
                assert root_of_path(at, size, leaf, proof) != top, (index, at)
            assert root_of_path(index, size, LEAVES[20], proof) != top


@given(
    st.integers(0, 1 << 70),
    st.integers(0, 1 << 70),
    st.lists(st.binary(min_size=31, max_size=33) | st.sampled_from(LEAVES[:4])),
)
def test_hostile_proofs_end_in_a_no(one: int, two: int, proof: list[bytes]) -> None:
    """No sizes and no hashes make the verification raise, or believe."""
    assert root_of_path(one, two, LEAVES[5], proof) != LEAVES[6]

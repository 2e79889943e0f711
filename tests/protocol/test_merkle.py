"""Merkle trees, plain and compiled: what two independent implementations say, and what must not verify."""

from hashlib import sha256
from importlib import import_module
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from merkletools import MerkleTools
from pymerkle import InmemoryTree

from grange import merkle
from grange.errors import Misuse
from grange.units import HASH_BYTES, LEAF_BYTES

counts = st.integers(1, 70)


@pytest.fixture(scope="module", params=["merkle", "merkle_compiled"])
def hashing(request: pytest.FixtureRequest) -> ModuleType:
    """The reference, and the kernel where it is installed."""
    if request.param == "merkle_compiled":
        pytest.importorskip("grange_kernel", reason="the kernel is not built (scripts/kernel)")
    return import_module(f"grange.{request.param}")


def leaves(count: int) -> list[bytes]:
    return [number.to_bytes(LEAF_BYTES) for number in range(count)]


def hashes(count: int) -> bytes:
    return merkle.leaf_hashes(b"".join(leaves(count)))


@st.composite
def a_leaf(draw: st.DrawFn) -> tuple[int, int]:
    """An index and a count above it."""
    count = draw(counts)
    return draw(st.integers(0, count - 1)), count


@given(counts)
def test_root_is_that_of_merkletools(hashing: ModuleType, count: int) -> None:
    oracle = MerkleTools()
    for leaf in leaves(count):
        oracle.add_leaf(sha256(leaf).hexdigest())
    oracle.make_tree()
    assert hashing.merkle_root(b"".join(leaves(count))).hex() == oracle.get_merkle_root()


@given(a_leaf())
def test_path_is_that_of_merkletools(hashing: ModuleType, at: tuple[int, int]) -> None:
    index, count = at
    oracle = MerkleTools()
    oracle.add_leaf([sha256(leaf).hexdigest() for leaf in leaves(count)])
    oracle.make_tree()
    siblings = [next(iter(step.values())) for step in oracle.get_proof(index)]
    assert [node.hex() for node in hashing.path(hashes(count), index)] == siblings


@given(a_leaf())
def test_root_and_path_are_those_of_an_rfc_9162_tree_without_prefixes(
    hashing: ModuleType, at: tuple[int, int]
) -> None:
    index, count = at
    oracle = InmemoryTree(algorithm="sha256", disable_security=True)
    for leaf in leaves(count):
        oracle.append_entry(leaf)
    assert hashing.merkle_root(b"".join(leaves(count))) == oracle.get_root()
    own_hash, *siblings = oracle.prove_inclusion(index + 1).path
    assert own_hash == sha256(leaves(count)[index]).digest()
    assert hashing.path(hashes(count), index) == siblings


def split_root(level: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, word for word: split at the largest power of two smaller than n."""
    if len(level) == 1:
        return level[0]
    split = 1 << (len(level) - 1).bit_length() - 1
    return sha256(split_root(level[:split]) + split_root(level[split:])).digest()


@given(st.integers(1, 300))
def test_root_follows_the_definition(hashing: ModuleType, count: int) -> None:
    level = [sha256(leaf).digest() for leaf in leaves(count)]
    assert hashing.root_of_hashes(b"".join(level)) == split_root(level)


@given(pieces=st.integers(1, 12), piece_leaves=st.sampled_from([1, 2, 8]), data=st.data())
def test_a_slots_root_is_the_root_over_its_piece_roots_and_its_paths_are_joined(
    hashing: ModuleType, pieces: int, piece_leaves: int, data: st.DataObject
) -> None:
    slot_hashes = hashes(pieces * piece_leaves)
    size = piece_leaves * HASH_BYTES
    piece_hashes = [slot_hashes[start : start + size] for start in range(0, len(slot_hashes), size)]
    roots = b"".join(hashing.root_of_hashes(one) for one in piece_hashes)
    assert hashing.root_of_hashes(roots) == hashing.root_of_hashes(slot_hashes)
    index = data.draw(st.integers(0, pieces * piece_leaves - 1))
    piece, within = divmod(index, piece_leaves)
    joined = hashing.path(piece_hashes[piece], within) + hashing.path(roots, piece)
    assert joined == hashing.path(slot_hashes, index)


@pytest.mark.parametrize("count", [*range(1, 20), 31, 32, 33, 64])
def test_the_path_of_every_leaf_verifies_and_has_the_length_foretold(hashing: ModuleType, count: int) -> None:
    all_hashes = hashes(count)
    root = hashing.root_of_hashes(all_hashes)
    for index in range(count):
        path = hashing.path(all_hashes, index)
        leaf_hash = all_hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]
        assert len(path) == merkle.path_length(index, count)
        assert merkle.verify(root, leaf_hash, index, count, path)


@given(a_leaf(), st.data())
def test_no_other_index_verifies(hashing: ModuleType, at: tuple[int, int], data: st.DataObject) -> None:
    index, count = at
    all_hashes = hashes(count)
    other = data.draw(st.integers(-1, 2 * count).filter(lambda one: one != index))
    leaf_hash = sha256(leaves(count)[index]).digest()
    path = hashing.path(all_hashes, index)
    assert not merkle.verify(hashing.root_of_hashes(all_hashes), leaf_hash, other, count, path)


@given(a_leaf())
def test_a_count_under_which_the_paths_shape_differs_does_not_verify(
    hashing: ModuleType, at: tuple[int, int]
) -> None:
    index, count = at
    all_hashes = hashes(count)
    root = hashing.root_of_hashes(all_hashes)
    leaf_hash = sha256(leaves(count)[index]).digest()
    path = hashing.path(all_hashes, index)
    for other in range(2 * count + 2):
        if other <= index or merkle.path_length(index, other) != len(path):
            assert not merkle.verify(root, leaf_hash, index, other, path)


@given(a_leaf(), st.data())
def test_any_flipped_bit_in_leaf_path_or_root_is_noticed(
    hashing: ModuleType, at: tuple[int, int], data: st.DataObject
) -> None:
    index, count = at
    all_hashes = hashes(count)
    nodes = [hashing.root_of_hashes(all_hashes), sha256(leaves(count)[index]).digest()]
    nodes += hashing.path(all_hashes, index)
    bit = data.draw(st.integers(0, len(nodes) * 256 - 1))
    number, bit = divmod(bit, 256)
    nodes[number] = (int.from_bytes(nodes[number]) ^ 1 << bit).to_bytes(HASH_BYTES)
    root, leaf_hash, *path = nodes
    assert not merkle.verify(root, leaf_hash, index, count, path)


@given(a_leaf())
def test_a_path_too_long_too_short_or_of_odd_hashes_does_not_verify(
    hashing: ModuleType, at: tuple[int, int]
) -> None:
    index, count = at
    all_hashes = hashes(count)
    root = hashing.root_of_hashes(all_hashes)
    leaf_hash = sha256(leaves(count)[index]).digest()
    path = hashing.path(all_hashes, index)
    assert not merkle.verify(root, leaf_hash, index, count, [*path, bytes(32)])
    assert not merkle.verify(root, leaf_hash[:-1], index, count, path)
    if path:
        assert not merkle.verify(root, leaf_hash, index, count, path[:-1])
        assert not merkle.verify(root, leaf_hash, index, count, [path[0] + b"\0", *path[1:]])
    with pytest.raises(Misuse, match="hashes, not"):
        merkle.root_from_path(leaf_hash, index, count, [*path, bytes(32)])


def test_a_node_does_not_pass_for_a_leaf(hashing: ModuleType) -> None:
    """A leaf is 512 bytes, a node 64: a shorter tree over the same nodes has another root for every leaf."""
    root = hashing.merkle_root(bytes(LEAF_BYTES) * 4)
    inner = hashes(2)
    with pytest.raises(Misuse):
        hashing.leaf_hashes(inner)
    assert not merkle.verify(root, sha256(inner).digest(), 0, 4, hashing.path(hashes(2), 0))


@given(st.integers(1, 9), st.lists(st.integers(0, 3 * LEAF_BYTES), max_size=12), st.booleans())
def test_the_piece_hasher_gives_the_root_whatever_the_chunks(
    hashing: ModuleType, count: int, cuts: list[int], views: bool
) -> None:
    data = b"".join(leaves(count))
    hasher = hashing.PieceHasher()
    rest = memoryview(data)
    for cut in [*cuts, len(data)]:
        chunk, rest = rest[:cut], rest[cut:]
        hasher.update(chunk if views else bytes(chunk))
    assert hasher.size_bytes == len(data)
    assert hasher.root() == hashing.merkle_root(data)
    assert hasher.leaf_hashes() == hashing.leaf_hashes(data)


def test_the_piece_hasher_can_be_asked_on_the_way(hashing: ModuleType) -> None:
    hasher = hashing.PieceHasher()
    hasher.update(bytes(LEAF_BYTES))
    assert hasher.root() == hashing.merkle_root(bytes(LEAF_BYTES))
    hasher.update(bytes(LEAF_BYTES))
    assert hasher.root() == hashing.merkle_root(bytes(2 * LEAF_BYTES))


@pytest.mark.parametrize("size_bytes", [0, 1, LEAF_BYTES - 1, LEAF_BYTES + 1])
def test_parts_of_leaves_have_no_root(hashing: ModuleType, size_bytes: int) -> None:
    data = bytes(size_bytes)
    hasher = hashing.PieceHasher()
    hasher.update(data)
    for ask in (lambda: hashing.merkle_root(data), lambda: hashing.leaf_hashes(data), hasher.root):
        with pytest.raises(Misuse, match="whole number of leaves"):
            ask()


@pytest.mark.parametrize("size_bytes", [0, 31, 33])
def test_parts_of_hashes_have_no_root(hashing: ModuleType, size_bytes: int) -> None:
    with pytest.raises(Misuse, match="whole number of hashes"):
        hashing.root_of_hashes(bytes(size_bytes))


@pytest.mark.parametrize(("index", "count"), [(-1, 4), (4, 4), (0, 0)])
def test_there_is_no_path_outside_of_the_tree(hashing: ModuleType, index: int, count: int) -> None:
    with pytest.raises(Misuse):
        hashing.path(bytes(count * HASH_BYTES), index)
    with pytest.raises(Misuse):
        merkle.path_length(index, count)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(hashing: ModuleType, kind: type) -> None:
    data = b"".join(leaves(3))
    assert hashing.merkle_root(kind(data)) == hashing.merkle_root(data)
    assert hashing.root_of_hashes(kind(hashes(3))) == hashing.root_of_hashes(hashes(3))

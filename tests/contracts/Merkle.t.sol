// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bits} from "../../contracts/libraries/Bits.sol";
import {Epochs} from "../../contracts/libraries/Epochs.sol";
import {Merkle} from "../../contracts/libraries/Merkle.sol";
import {vm} from "./support/Cheats.sol";
import {Reference} from "./support/Reference.sol";

/// @title Paths lead to the root that the definition gives, and to no other
contract MerkleTest {
    uint256 private constant LEAF_WORDS = 16;

    function rootOf(
        bytes32[] calldata words,
        uint256 cursor,
        uint256 index,
        uint256 count
    ) external view returns (bytes32, uint256) {
        return Merkle.rootOf(words, cursor, index, count);
    }

    function _leaf(uint256 index) private pure returns (bytes32[] memory words) {
        words = new bytes32[](LEAF_WORDS);
        for (uint256 i = 0; i < LEAF_WORDS; ++i) words[i] = keccak256(abi.encode(index, i));
    }

    function _hashes(uint256 count) private pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) hashes[i] = sha256(abi.encodePacked(_leaf(i)));
    }

    /// Must hold: for any leaf of any count, leaf and path give the root of RFC 9162 and take the words they should.
    function testFuzz_pathLeadsToTheRoot(uint256 index, uint256 count, uint256 before) external view {
        count = _within(count, 1, 70);
        index = _within(index, 0, count - 1);
        before = _within(before, 0, 5);
        bytes32[] memory hashes = _hashes(count);
        bytes32[] memory path = Reference.merklePath(hashes, index, 0, count);
        bytes32[] memory words = Reference.joined(new bytes32[](before), Reference.joined(_leaf(index), path));
        vm.assertEq(Merkle.pathLength(index, count), path.length, "path length");
        (bytes32 root, uint256 next) = this.rootOf(words, before, index, count);
        vm.assertEq(root, Reference.merkleRoot(hashes, 0, count), "root");
        vm.assertEq(next, words.length, "words taken");
    }

    /// Must hold: any flipped bit in leaf or path gives another root.
    function testFuzz_anyFlippedBitIsNoticed(uint256 index, uint256 count, uint256 bit) external view {
        count = _within(count, 1, 40);
        index = _within(index, 0, count - 1);
        bytes32[] memory hashes = _hashes(count);
        bytes32[] memory words = Reference.joined(_leaf(index), Reference.merklePath(hashes, index, 0, count));
        bit = _within(bit, 0, words.length * 256 - 1);
        words[bit / 256] ^= bytes32(1 << (bit % 256));
        (bytes32 root, ) = this.rootOf(words, 0, index, count);
        vm.assertTrue(root != Reference.merkleRoot(hashes, 0, count), "another root");
    }

    /// Must hold: a leaf does not pass for one at another index, where the paths are equally long.
    function testFuzz_anotherIndexIsNoticed(uint256 index, uint256 other, uint256 count) external view {
        count = _within(count, 2, 40);
        index = _within(index, 0, count - 1);
        other = _within(other, 0, count - 1);
        vm.assume(other != index && Merkle.pathLength(index, count) == Merkle.pathLength(other, count));
        bytes32[] memory hashes = _hashes(count);
        bytes32[] memory words = Reference.joined(_leaf(index), Reference.merklePath(hashes, index, 0, count));
        (bytes32 root, ) = this.rootOf(words, 0, other, count);
        vm.assertTrue(root != Reference.merkleRoot(hashes, 0, count), "another root");
    }

    /// Must hold: bits are counted as one by one.
    function testFuzz_popcount(uint32 x) external pure {
        uint256 expected = 0;
        for (uint256 i = 0; i < 32; ++i) expected += (x >> i) & 1;
        vm.assertEq(Bits.popcount(x), expected, "set bits");
    }

    /// Must hold: the same for a whole word.
    function testFuzz_popcountOfAWord(uint256 x) external pure {
        uint256 expected = 0;
        for (uint256 i = 0; i < 256; ++i) expected += (x >> i) & 1;
        vm.assertEq(Bits.popcountWord(x), expected, "set bits");
    }

    /// Must hold: so many set bits that their number needs a ninth bit are counted too, and one less.
    function test_popcountOfFullWords() external pure {
        vm.assertEq(Bits.popcountWord(type(uint256).max), 256, "all");
        for (uint256 i = 0; i < 256; ++i) vm.assertEq(Bits.popcountWord(~(uint256(1) << i)), 255, "all but one");
        vm.assertEq(Bits.popcount(type(uint32).max), 32, "all of 32");
    }

    /// Must hold: the mask of a range has just the bits of the range.
    function testFuzz_bitsOfARange(uint256 low, uint256 high, uint256 bit) external pure {
        low = _within(low, 0, 255);
        high = _within(high, low + 1, 256);
        bit = _within(bit, 0, 255);
        bool set = (Epochs.bits(low, high) >> bit) & 1 == 1;
        vm.assertTrue(set == (low <= bit && bit < high), "bit");
    }

    function _within(uint256 x, uint256 low, uint256 high) private pure returns (uint256) {
        return low + (x % (high - low + 1));
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Bits} from "./Bits.sol";

/// @title SHA-256 Merkle trees over leaves of 512 bytes
/// @dev The shape is that of RFC 9162, section 2.1.1, without its prefixes: what is hashed is 512 bytes for a leaf
/// and 64 for a node, so neither passes for the other, and index and count fix the length of a path.
library Merkle {
    uint256 internal constant LEAF_WORDS = 16;

    /// @dev The number of hashes in the path of leaf `index` of `count`; index < count.
    /// Up to the level where the leaf and the last leaf have the same ancestor every level has a sibling;
    /// above it only those in which that ancestor is a right child.
    function pathLength(uint256 index, uint256 count) internal pure returns (uint256) {
        uint256 inner = _inner(index, count);
        return inner + Bits.popcount(index >> inner);
    }

    /// @dev The root that leaf words [cursor, cursor + 16) and the path behind them lead to, and the first word after both.
    /// The caller has checked that the words are there.
    function rootOf(
        bytes32[] calldata words,
        uint256 cursor,
        uint256 index,
        uint256 count
    ) internal pure returns (bytes32 node, uint256 next) {
        node = sha256(abi.encodePacked(words[cursor:cursor + LEAF_WORDS]));
        cursor += LEAF_WORDS;
        uint256 inner = _inner(index, count);
        for (uint256 level = 0; level < inner; ++level) {
            node = (index >> level) & 1 == 0 ? _hash(node, words[cursor]) : _hash(words[cursor], node);
            ++cursor;
        }
        for (uint256 rest = Bits.popcount(index >> inner); rest > 0; --rest) {
            node = _hash(words[cursor], node);
            ++cursor;
        }
        next = cursor;
    }

    /// @dev Levels below the first common ancestor of leaf `index` and the last leaf.
    function _inner(uint256 index, uint256 count) private pure returns (uint256) {
        uint256 differing = index ^ (count - 1);
        return differing == 0 ? 0 : Math.log2(differing) + 1;
    }

    function _hash(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(bytes.concat(left, right));
    }
}

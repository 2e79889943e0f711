// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Entry} from "../types/Types.sol";
import {Bits} from "./Bits.sol";
import {Words} from "./Words.sol";

/// @dev Counts are below 2**32, so there are never more peaks.
uint256 constant MAX_PEAKS = 32;

/// @title An append-only Merkle mountain range of keccak hashes
/// @dev With `count` entries there is a peak of height h for every set bit h of `count`, kept as a stack: the highest
/// at position 0. Below a peak of height h is a perfect tree of 2**h entries. What lies above the stack is stale.
library Mountain {
    /// @dev The hash of an entry: of 7 words, so that no node, the hash of 2, passes for it.
    function entryHash(Entry memory entry) internal pure returns (bytes32 hash) {
        // keccak256(abi.encode(entry)), which would copy what lies in memory just so: 390 gas a slot in `place`.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            hash := keccak256(entry, 0xe0)
        }
    }

    /// @dev The peak at a position below MAX_PEAKS.
    function peak(bytes32[MAX_PEAKS] storage peaks, uint256 position) internal view returns (bytes32 value) {
        // The compiler would check the position and shift as if elements were smaller than a word, and load what it is
        // about to overwrite: without both assemblies 280 gas a slot more in `place`.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            value := sload(add(peaks.slot, position))
        }
    }

    /// @dev Appends to a range of `count` entries: every trailing set bit is a peak that the new one absorbs.
    function append(bytes32[MAX_PEAKS] storage peaks, uint256 count, bytes32 node) internal {
        uint256 position = Bits.popcount(count);
        // There is a peak for every set bit.
        unchecked {
            for (uint256 rest = count; rest & 1 == 1; rest >>= 1) {
                node = Hashes.efficientKeccak256(peak(peaks, --position), node);
            }
        }
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            sstore(add(peaks.slot, position), node)
        }
    }

    /// @dev Where entry `index` of `count` is: the position and height of its peak; index < count.
    /// The highest bit in which the two differ is set in `count`, and is the height of that peak.
    function locate(uint256 index, uint256 count) internal pure returns (uint256 position, uint256 height) {
        unchecked {
            height = Math.log2(index ^ count);
            position = Bits.popcount(count >> (height + 1));
        }
    }

    /// @dev The peak of this height that an entry and the path in words [cursor, cursor + height) lead to.
    /// The caller has checked that the words are there.
    function peakOf(
        bytes32 node,
        uint256 index,
        uint256 height,
        bytes32[] calldata words,
        uint256 cursor
    ) internal pure returns (bytes32) {
        unchecked {
            for (uint256 level = 0; level < height; ++level) {
                bytes32 sibling = Words.load(words, cursor + level);
                node =
                    (index >> level) & 1 == 0
                        ? Hashes.efficientKeccak256(node, sibling)
                        : Hashes.efficientKeccak256(sibling, node);
            }
            return node;
        }
    }
}

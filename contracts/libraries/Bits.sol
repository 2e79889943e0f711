// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Counting bits
library Bits {
    /// @dev The number of set bits of a number below 2**32, in parallel: of pairs, of fours, of bytes, then summed.
    function popcount(uint256 x) internal pure returns (uint256) {
        unchecked {
            x -= (x >> 1) & 0x55555555;
            x = (x & 0x33333333) + ((x >> 2) & 0x33333333);
            x = (x + (x >> 4)) & 0x0f0f0f0f;
            return ((x * 0x01010101) >> 24) & 0xff;
        }
    }
}

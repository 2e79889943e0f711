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

    /// @dev The number of set bits of a word, in the same way: the sums of bytes are at most 255 but for all ones.
    function popcountWord(uint256 x) internal pure returns (uint256) {
        if (x == type(uint256).max) return 256;
        unchecked {
            uint256 ones = type(uint256).max;
            x -= (x >> 1) & (ones / 3);
            x = (x & (ones / 5)) + ((x >> 2) & (ones / 5));
            x = (x + (x >> 4)) & (ones / 17);
            // 255 divides all ones.
            // slither-disable-next-line divide-before-multiply
            return (x * (ones / 255)) >> 248;
        }
    }
}

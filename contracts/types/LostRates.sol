// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev How much of a book was given up, in all or at its front, in one word, from the lowest bit: the last epoch in which
/// something was (32), the rate lost before that epoch (80), the rate lost in it (80), the grid date of the book (32). A book
/// takes the place of one that ended, and leaves that one's words as they are: they are of another date.
type LostRates is uint256;

using LostRatesLibrary for LostRates global;

/// @title Reading and making lost rates
library LostRatesLibrary {
    function lostEpoch(LostRates lost) internal pure returns (uint256) {
        return uint32(LostRates.unwrap(lost));
    }

    function lostBefore(LostRates lost) internal pure returns (uint256) {
        return uint80(LostRates.unwrap(lost) >> 32);
    }

    function lostAdded(LostRates lost) internal pure returns (uint256) {
        return uint80(LostRates.unwrap(lost) >> 112);
    }

    /// @dev What is stored, if it is of the book of this date. Nothing was given up of that yet if it is of another.
    function ofBook(LostRates lost, uint256 grid) internal pure returns (LostRates) {
        return uint32(LostRates.unwrap(lost) >> 192) == grid ? lost : LostRates.wrap(0);
    }

    function lostTotal(LostRates lost) internal pure returns (uint256) {
        return lost.lostBefore() + lost.lostAdded();
    }

    /// @dev What is no longer asked for in an epoch that is not before lostEpoch.
    function lostAtStart(LostRates lost, uint256 epoch) internal pure returns (uint256) {
        return lost.lostEpoch() < epoch ? lost.lostTotal() : lost.lostBefore();
    }

    /// @dev With so much lost more in an epoch, of the book of this date. It is part of the book's total, which fits.
    function plus(LostRates lost, uint256 rate, uint256 epoch, uint256 grid) internal pure returns (LostRates) {
        (uint256 before, uint256 added) = lost.lostEpoch() == epoch
            ? (lost.lostBefore(), lost.lostAdded())
            : (lost.lostTotal(), 0);
        return LostRates.wrap(epoch | (before << 32) | ((added + rate) << 112) | (grid << 192));
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev A book's totals in one word, from the lowest bit: grid date (32), count of entries (32), the last epoch in
/// which one was added (32), the total rate without what was added in that epoch (80), the rate added in it (80).
/// A value type, as a packed struct would be written field by field. Zero before the first use: no book has date 0.
type BookHeader is uint256;

using BookHeaders for BookHeader global;

/// @title Reading and making book headers
library BookHeaders {
    /// @dev All values fit: the rates of a live book are part of a farmer's committed rate, which is below 2**80.
    function pack(
        uint256 grid_,
        uint256 count_,
        uint256 addedEpoch_,
        uint256 rateBefore_,
        uint256 rateAdded_
    ) internal pure returns (BookHeader) {
        return
            BookHeader.wrap(grid_ | (count_ << 32) | (addedEpoch_ << 64) | (rateBefore_ << 96) | (rateAdded_ << 176));
    }

    function grid(BookHeader header) internal pure returns (uint256) {
        return uint32(BookHeader.unwrap(header));
    }

    function count(BookHeader header) internal pure returns (uint256) {
        return uint32(BookHeader.unwrap(header) >> 32);
    }

    function addedEpoch(BookHeader header) internal pure returns (uint256) {
        return uint32(BookHeader.unwrap(header) >> 64);
    }

    function rateBefore(BookHeader header) internal pure returns (uint256) {
        return uint80(BookHeader.unwrap(header) >> 96);
    }

    function rateAdded(BookHeader header) internal pure returns (uint256) {
        return BookHeader.unwrap(header) >> 176;
    }

    /// @dev The rate of all entries.
    function rateTotal(BookHeader header) internal pure returns (uint256) {
        return header.rateBefore() + header.rateAdded();
    }

    /// @dev What counts in an epoch that is not before addedEpoch, while the book is live.
    function rateAtStart(BookHeader header, uint256 epoch) internal pure returns (uint256) {
        return header.addedEpoch() < epoch ? header.rateTotal() : header.rateBefore();
    }
}

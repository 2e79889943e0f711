// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Whether an order's slots may be handed over, and how many were lately, from the lowest bit: how many (7), in which grid
/// period, as the number of grid dates from then to the order's end (4), whether it is allowed (1). It lies in an
/// order's first word. Zero for an order whose renter forbids it.
type HandOverTally is uint16;

using HandOverTallies for HandOverTally global;

/// @title Counting hand-overs
library HandOverTallies {
    uint256 private constant ALLOWED = 1 << 11;

    function begin(bool allowed) internal pure returns (HandOverTally) {
        return HandOverTally.wrap(allowed ? uint16(ALLOWED) : 0);
    }

    function isAllowed(HandOverTally tally) internal pure returns (bool) {
        return HandOverTally.unwrap(tally) & ALLOWED != 0;
    }

    /// @dev With one more in the grid period `datesLeft` dates before the order's end; and how many there are in that.
    function plusOne(HandOverTally tally, uint256 datesLeft) internal pure returns (HandOverTally, uint256 count) {
        uint256 word = HandOverTally.unwrap(tally);
        count = (word >> 7) & 0xf == datesLeft ? (word & 0x7f) + 1 : 1;
        return (HandOverTally.wrap(uint16((word & ALLOWED) | (datesLeft << 7) | count)), count);
    }
}

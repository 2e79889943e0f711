// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev What every call about a farmer reads, in one word, from the lowest bit: committed rate per epoch (80), the grid
/// date up to which books that ended are taken out of it (32), the epoch up to which all is proven or recorded as
/// missed (32), the low bits of the id of the order in which it was last given a slot (64), missed epochs (32).
/// A value type, as a packed struct would be written field by field.
type Standing is uint256;

using Standings for Standing global;

/// @title Reading and making standings
library Standings {
    function pack(
        uint256 committedRate_,
        uint256 sweptGrid_,
        uint256 settledEpoch_,
        uint256 lastOrder_,
        uint256 misses_
    ) internal pure returns (Standing) {
        return
            Standing.wrap(
                committedRate_ | (sweptGrid_ << 80) | (settledEpoch_ << 112) | (lastOrder_ << 144) | (misses_ << 208)
            );
    }

    function committedRate(Standing standing) internal pure returns (uint256) {
        return uint80(Standing.unwrap(standing));
    }

    function sweptGrid(Standing standing) internal pure returns (uint256) {
        return uint32(Standing.unwrap(standing) >> 80);
    }

    function settledEpoch(Standing standing) internal pure returns (uint256) {
        return uint32(Standing.unwrap(standing) >> 112);
    }

    function lastOrder(Standing standing) internal pure returns (uint256) {
        return uint64(Standing.unwrap(standing) >> 144);
    }

    function misses(Standing standing) internal pure returns (uint256) {
        return Standing.unwrap(standing) >> 208;
    }

    /// @dev With the committed rate taken at a grid date.
    function swept(Standing standing, uint256 rate, uint256 grid) internal pure returns (Standing) {
        return pack(rate, grid, standing.settledEpoch(), standing.lastOrder(), standing.misses());
    }

    /// @dev Settled up to an epoch, with so many misses more.
    function settled(Standing standing, uint256 epoch, uint256 missed) internal pure returns (Standing) {
        return
            pack(
                standing.committedRate(),
                standing.sweptGrid(),
                epoch,
                standing.lastOrder(),
                standing.misses() + missed
            );
    }

    /// @dev With a committed rate, because of an order.
    function committed(Standing standing, uint256 rate, uint256 order) internal pure returns (Standing) {
        return pack(rate, standing.sweptGrid(), standing.settledEpoch(), order, standing.misses());
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev What every call about a farmer reads, in one word, from the lowest bit: committed rate per epoch (80), the grid
/// date up to which books that ended are taken out of it (32), the epoch up to which every epoch is proven, recorded as
/// missed, or had nothing to prove (32), a mark (40), missed epochs (32), strikes (8), flags (8), collateral epochs (16).
/// The mark is the low bits of the id of the order in which the farmer was last given a slot, and of an evicted farmer,
/// which is given none any more, the block of its eviction.
/// A value type, as a packed struct would be written field by field.
type Standing is uint256;

using Standings for Standing global;

/// @title Reading and making standings
library Standings {
    /// @dev It keeps nothing any more, from settledEpoch + 1 on.
    uint256 private constant LAPSED = 1 << 224;
    /// @dev Its stake has become the collateral of its slots.
    uint256 private constant EVICTED = 1 << 225;
    /// @dev Its second ring of books was ever used.
    uint256 private constant EXTENDED = 1 << 226;
    /// @dev It ever declared a slot lost.
    uint256 private constant LOST = 1 << 227;
    /// @dev A slot that was added in epoch settledEpoch + 1 counts only after it.
    uint256 private constant ADDED = 1 << 228;
    /// @dev A slot that was declared lost in epoch settledEpoch + 1 is still asked for in it.
    uint256 private constant GIVEN_UP = 1 << 229;
    /// @dev Extensions that it accepted since it was last swept begin on the next grid date.
    uint256 private constant STARTING = 1 << 230;

    function registered(uint256 grid, uint256 epoch) internal pure returns (Standing) {
        return Standing.wrap((grid << 80) | (epoch << 112));
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
        return uint40(Standing.unwrap(standing) >> 144);
    }

    /// @dev Zero unless evicted.
    function evictedBlock(Standing standing) internal pure returns (uint256) {
        return standing.isEvicted() ? standing.lastOrder() : 0;
    }

    function misses(Standing standing) internal pure returns (uint256) {
        return uint32(Standing.unwrap(standing) >> 184);
    }

    /// @dev Misses less proofs since, never below zero.
    function strikes(Standing standing) internal pure returns (uint256) {
        return uint8(Standing.unwrap(standing) >> 216);
    }

    /// @dev How many epochs of its pay each slot of an evicted farmer has of the stake.
    function collateralEpochs(Standing standing) internal pure returns (uint256) {
        return Standing.unwrap(standing) >> 232;
    }

    function isLapsed(Standing standing) internal pure returns (bool) {
        return Standing.unwrap(standing) & LAPSED != 0;
    }

    function isEvicted(Standing standing) internal pure returns (bool) {
        return Standing.unwrap(standing) & EVICTED != 0;
    }

    function hasExtended(Standing standing) internal pure returns (bool) {
        return Standing.unwrap(standing) & EXTENDED != 0;
    }

    function hasLost(Standing standing) internal pure returns (bool) {
        return Standing.unwrap(standing) & LOST != 0;
    }

    function hasAdded(Standing standing) internal pure returns (bool) {
        return Standing.unwrap(standing) & ADDED != 0;
    }

    function hasGivenUp(Standing standing) internal pure returns (bool) {
        return Standing.unwrap(standing) & GIVEN_UP != 0;
    }

    function hasStarting(Standing standing) internal pure returns (bool) {
        return Standing.unwrap(standing) & STARTING != 0;
    }

    /// @dev With the committed rate taken at a later grid date: what was to begin has begun.
    function swept(Standing standing, uint256 rate, uint256 grid) internal pure returns (Standing) {
        return Standing.wrap((Standing.unwrap(standing) & ~(_mask(0, 112) | STARTING)) | rate | (grid << 80));
    }

    /// @dev Settled up to an epoch: what was added or given up in the next one before is forgotten.
    function settled(Standing standing, uint256 epoch) internal pure returns (Standing) {
        return Standing.wrap((Standing.unwrap(standing) & ~(_mask(112, 32) | ADDED | GIVEN_UP)) | (epoch << 112));
    }

    /// @dev With so many missed epochs more, each of them a strike. The sums fit: strikes never exceed MAX_MISSES.
    function missed(Standing standing, uint256 count) internal pure returns (Standing) {
        return Standing.wrap(Standing.unwrap(standing) + (count << 184) + (count << 216));
    }

    /// @dev With a proof, which makes good for a strike.
    function proven(Standing standing) internal pure returns (Standing) {
        return standing.strikes() == 0 ? standing : Standing.wrap(Standing.unwrap(standing) - (1 << 216));
    }

    function lapsed(Standing standing) internal pure returns (Standing) {
        return Standing.wrap(Standing.unwrap(standing) | LAPSED);
    }

    /// @dev With nothing committed, and what became of the stake.
    function evicted(Standing standing, uint256 blockNumber, uint256 epochs) internal pure returns (Standing) {
        uint256 kept = Standing.unwrap(standing) & ~(_mask(0, 80) | _mask(144, 40));
        return Standing.wrap(kept | EVICTED | (uint256(uint40(blockNumber)) << 144) | (epochs << 232));
    }

    /// @dev With a committed rate, because of a slot in an order, added in epoch `current`.
    function committed(
        Standing standing,
        uint256 rate,
        uint256 mark,
        uint256 current,
        bool extension
    ) internal pure returns (Standing) {
        uint256 word = (Standing.unwrap(standing) & ~(_mask(0, 80) | _mask(144, 40))) | rate | (mark << 144);
        if (extension) word |= EXTENDED | STARTING;
        else if (standing.settledEpoch() < current) word |= ADDED;
        return Standing.wrap(word);
    }

    /// @dev With so much less committed, because of slots declared lost in epoch `current`.
    function lessened(Standing standing, uint256 rate, uint256 current) internal pure returns (Standing) {
        uint256 word = (Standing.unwrap(standing) - rate) | LOST;
        return Standing.wrap(standing.settledEpoch() < current ? word | GIVEN_UP : word);
    }

    function _mask(uint256 low, uint256 bits) private pure returns (uint256) {
        return ((1 << bits) - 1) << low;
    }
}

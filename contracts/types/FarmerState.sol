// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev What every call about a farmer reads, in one word, from the lowest bit: committed rate per epoch (80), the grid
/// date up to which books that ended are taken out of it (32), the epoch up to which every epoch is proven, recorded as
/// missed, or had nothing to prove (32), proven epochs (40), missed epochs (32), strikes (8), flags (8), ceiling (24).
/// Of an evicted farmer, which is given no slot any more, the collateral epochs are in the place of the ceiling.
/// A value type, as a packed struct would be written field by field.
type FarmerState is uint256;

using FarmerStates for FarmerState global;

/// @title Reading and making farmer states
library FarmerStates {
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

    /// @dev A ceiling is the highest 18 bits of a rate, and how many bits follow (6): in a word of its own it would cost
    /// 2,100 gas for each slot that is placed. Zero is no ceiling.
    uint256 private constant CEILING_DIGITS = 18;
    uint256 private constant CEILING_SHIFT_BITS = 6;

    function registered(uint256 grid, uint256 epoch) internal pure returns (FarmerState) {
        return FarmerState.wrap((grid << 80) | (epoch << 112));
    }

    function committedRate(FarmerState state) internal pure returns (uint256) {
        return uint80(FarmerState.unwrap(state));
    }

    function sweptGrid(FarmerState state) internal pure returns (uint256) {
        return uint32(FarmerState.unwrap(state) >> 80);
    }

    function settledEpoch(FarmerState state) internal pure returns (uint256) {
        return uint32(FarmerState.unwrap(state) >> 112);
    }

    function epochsProven(FarmerState state) internal pure returns (uint256) {
        return uint40(FarmerState.unwrap(state) >> 144);
    }

    function misses(FarmerState state) internal pure returns (uint256) {
        return uint32(FarmerState.unwrap(state) >> 184);
    }

    /// @dev Misses less proofs since, never below zero.
    function strikes(FarmerState state) internal pure returns (uint256) {
        return uint8(FarmerState.unwrap(state) >> 216);
    }

    /// @dev How many epochs of its pay each slot of an evicted farmer has of the stake. To be asked only once evicted.
    function collateralEpochs(FarmerState state) internal pure returns (uint256) {
        return FarmerState.unwrap(state) >> 232;
    }

    /// @dev The committed rate up to which the operator may take on slots. Not to be asked once evicted.
    function ceiling(FarmerState state) internal pure returns (uint256) {
        uint256 packed = FarmerState.unwrap(state) >> 232;
        if (packed == 0) return type(uint80).max;
        return (packed >> CEILING_SHIFT_BITS) << (packed & ((1 << CEILING_SHIFT_BITS) - 1));
    }

    function isLapsed(FarmerState state) internal pure returns (bool) {
        return FarmerState.unwrap(state) & LAPSED != 0;
    }

    function isEvicted(FarmerState state) internal pure returns (bool) {
        return FarmerState.unwrap(state) & EVICTED != 0;
    }

    function hasExtended(FarmerState state) internal pure returns (bool) {
        return FarmerState.unwrap(state) & EXTENDED != 0;
    }

    function hasLost(FarmerState state) internal pure returns (bool) {
        return FarmerState.unwrap(state) & LOST != 0;
    }

    function hasAdded(FarmerState state) internal pure returns (bool) {
        return FarmerState.unwrap(state) & ADDED != 0;
    }

    function hasGivenUp(FarmerState state) internal pure returns (bool) {
        return FarmerState.unwrap(state) & GIVEN_UP != 0;
    }

    function hasStarting(FarmerState state) internal pure returns (bool) {
        return FarmerState.unwrap(state) & STARTING != 0;
    }

    /// @dev With the committed rate taken at a later grid date: what was to begin has begun.
    function swept(FarmerState state, uint256 rate, uint256 grid) internal pure returns (FarmerState) {
        return FarmerState.wrap((FarmerState.unwrap(state) & ~(_mask(0, 112) | STARTING)) | rate | (grid << 80));
    }

    /// @dev Settled up to an epoch: what was added or given up in the next one before is forgotten.
    function settled(FarmerState state, uint256 epoch) internal pure returns (FarmerState) {
        return FarmerState.wrap((FarmerState.unwrap(state) & ~(_mask(112, 32) | ADDED | GIVEN_UP)) | (epoch << 112));
    }

    /// @dev With so many missed epochs more, each of them a strike. The sums fit: strikes never exceed MAX_MISSES.
    function missed(FarmerState state, uint256 count) internal pure returns (FarmerState) {
        return FarmerState.wrap(FarmerState.unwrap(state) + (count << 184) + (count << 216));
    }

    /// @dev With a proof, which makes good for a strike. No chain lasts for 2**40 epochs.
    function proven(FarmerState state) internal pure returns (FarmerState) {
        uint256 word = FarmerState.unwrap(state) + (1 << 144);
        return FarmerState.wrap(state.strikes() == 0 ? word : word - (1 << 216));
    }

    /// @dev With a ceiling, rounded down to what is kept of it. Not to be set once evicted.
    function withCeiling(FarmerState state, uint256 rate) internal pure returns (FarmerState) {
        uint256 shift = 0;
        while (rate >> shift >= 1 << CEILING_DIGITS) ++shift;
        uint256 packed = ((rate >> shift) << CEILING_SHIFT_BITS) | shift;
        if (rate == 0) packed = 1;
        else if (rate == type(uint80).max) packed = 0;
        return FarmerState.wrap((FarmerState.unwrap(state) & _mask(0, 232)) | (packed << 232));
    }

    function lapsed(FarmerState state) internal pure returns (FarmerState) {
        return FarmerState.wrap(FarmerState.unwrap(state) | LAPSED);
    }

    /// @dev With nothing committed, and what became of the stake.
    function evicted(FarmerState state, uint256 epochs) internal pure returns (FarmerState) {
        uint256 kept = FarmerState.unwrap(state) & ~(_mask(0, 80) | _mask(232, 24));
        return FarmerState.wrap(kept | EVICTED | (epochs << 232));
    }

    /// @dev With a committed rate, because of a slot in an order, added in epoch `current`.
    function committed(
        FarmerState state,
        uint256 rate,
        uint256 current,
        bool extension
    ) internal pure returns (FarmerState) {
        uint256 word = (FarmerState.unwrap(state) & ~_mask(0, 80)) | rate;
        if (extension) word |= EXTENDED | STARTING;
        else if (state.settledEpoch() < current) word |= ADDED;
        return FarmerState.wrap(word);
    }

    /// @dev With so much less committed, because of slots declared lost in epoch `current`.
    function lessened(FarmerState state, uint256 rate, uint256 current) internal pure returns (FarmerState) {
        uint256 word = (FarmerState.unwrap(state) - rate) | LOST;
        return FarmerState.wrap(state.settledEpoch() < current ? word | GIVEN_UP : word);
    }

    function _mask(uint256 low, uint256 bits) private pure returns (uint256) {
        return ((1 << bits) - 1) << low;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Arithmetic of blocks, epochs and grid dates
/// @dev A grid date is the number g of the epoch g * gridEpochs. A book of date g is live in epoch e when
/// g * gridEpochs > e, which is g > e / gridEpochs; the dates live in e begin with `firstLiveGrid`.
library Epochs {
    /// @dev The epoch of a block.
    function epochOf(uint256 blockNumber, uint256 epochBlocks) internal pure returns (uint256) {
        return blockNumber / epochBlocks;
    }

    /// @dev The first block of an epoch, whose hash is the epoch's seed.
    function firstBlock(uint256 epoch, uint256 epochBlocks) internal pure returns (uint256) {
        return epoch * epochBlocks;
    }

    /// @dev The last grid date that is not after the epoch: a book of this date has ended.
    function gridOf(uint256 epoch, uint256 gridEpochs) internal pure returns (uint256) {
        return epoch / gridEpochs;
    }

    /// @dev The first grid date after the epoch: a book of this date is live.
    function firstLiveGrid(uint256 epoch, uint256 gridEpochs) internal pure returns (uint256) {
        return epoch / gridEpochs + 1;
    }

    /// @dev A word with the bits from `low` to before `high` set; low < high <= 256.
    function bits(uint256 low, uint256 high) internal pure returns (uint256) {
        return (type(uint256).max >> (256 - (high - low))) << low;
    }
}

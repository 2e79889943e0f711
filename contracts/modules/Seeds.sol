// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISeeds} from "../interfaces/ISeeds.sol";
import {SeedBlocks} from "../libraries/SeedBlocks.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {Epoch} from "../types/Types.sol";
import {State} from "./State.sol";

/// @title The seeds of audits
/// @dev Decides what the leaves of an epoch are drawn with. What is drawn with it is decided by Audits.
///
/// Invariants:
///   a seed that was recorded never changes, and is not zero
///   it is the hash of a block of the epoch, before the one in which it was recorded
abstract contract Seeds is ISeeds, State {
    /// @inheritdoc ISeeds
    function recordSeed() external returns (bytes32) {
        return _recordSeed(_currentEpoch());
    }

    /// @inheritdoc ISeeds
    function seed(Epoch epoch) external view returns (bytes32) {
        return _seeds[epoch];
    }

    function _recordSeed(uint256 current) internal returns (bytes32 recorded) {
        Epoch epoch = Epoch.wrap(uint32(current));
        recorded = _seeds[epoch];
        if (recorded != 0) return recorded;
        recorded = SeedBlocks.seedFrom(Epochs.firstBlock(current, EPOCH_BLOCKS));
        if (recorded == 0) revert SeedUnavailable(epoch);
        _seeds[epoch] = recorded;
        emit SeedRecorded(epoch, recorded);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch} from "../types/Types.sol";

/// @title The seeds of audits
interface ISeeds {
    /// @notice The epoch's seed is fixed.
    event SeedRecorded(Epoch indexed epoch, bytes32 seed);

    /// @notice It is the first block of the epoch, whose hash is not there yet, or the chain does not have the hash that it should.
    error SeedUnavailable(Epoch epoch);

    /// @notice Fixes the seed of the current epoch, if it is not yet. By anyone.
    /// @dev It is the hash of the epoch's first block, if this is called in one of the 8,191 blocks after it. Else of block
    /// first + j * 4096, for the least j that is still to be had: who could keep all others silent would have another draw
    /// with each 4,096 blocks. So it is called early, by anyone.
    /// @return The seed: fixed by this call or before it.
    function recordSeed() external returns (bytes32);

    /// @notice The seed of an epoch; zero if it was not recorded.
    /// @param epoch The epoch whose seed is asked for.
    /// @return Its seed, or zero.
    function seed(Epoch epoch) external view returns (bytes32);
}

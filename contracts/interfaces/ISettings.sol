// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, Parameters} from "../types/Types.sol";

/// @title The market's parameters and its clock
/// @notice Parameters are fixed at deployment; nobody can change them.
interface ISettings {
    /// @notice The hash of the block before this one is not there, or not what the history contract (EIP-2935) answers: on this
    /// chain seeds would be missing, or be known in advance.
    error BlockHashesNotServed(bytes32 hash, bytes32 kept);

    /// @notice The token has no code.
    error TokenHasNoCode(address token);

    /// @notice An epoch needs a block after its first; and the longer it is, the more blocks may come to give its seed.
    error EpochBlocksOutOfRange(uint256 epochBlocks, uint256 least, uint256 most);

    /// @notice A farmer could pass many dates before it lapses, or the longest term, gridEpochs * maxBooks, is too long:
    /// either is beyond what one call can settle.
    error GridEpochsOutOfRange(uint256 gridEpochs, uint256 least, uint256 most);

    /// @notice There are no books, or too many to walk in one call.
    error MaxBooksOutOfRange(uint256 maxBooks, uint256 least, uint256 most);

    /// @notice So little would be audited that a slot taken for its bounty need not be kept, or more than one call can verify:
    /// samples * fine must be at least 1 + (penalty + fine) / 2.
    error SamplesOutOfRange(uint256 samples, uint256 least, uint256 most);

    /// @notice A farmer would never lapse for its misses, or with more of them than one call can settle.
    error MaxMissesOutOfRange(uint256 maxMisses, uint256 least, uint256 most);

    /// @notice A renter would have nothing for a missed epoch, or more than is reasonable.
    error PenaltyOutOfRange(uint256 penalty, uint256 least, uint256 most);

    /// @notice A miss would cost nothing where farmer and renter are one, or more than is reasonable.
    error FineOutOfRange(uint256 fine, uint256 least, uint256 most);

    /// @notice Half of the stake must cover every miss up to the lapse: 2 * maxMisses * (penalty + fine) is the least.
    error CollateralEpochsOutOfRange(uint256 collateralEpochs, uint256 least, uint256 most);

    /// @notice The bounty must rise, and within the longest term.
    error AuctionEpochsOutOfRange(uint256 auctionEpochs, uint256 least, uint256 most);

    /// @notice Renters' withdrawals must wait, and not longer than the longest term.
    error WithdrawDelayOutOfRange(uint256 withdrawDelayEpochs, uint256 least, uint256 most);

    /// @notice A name would cost nothing.
    error MinStakeOutOfRange(uint256 minStake, uint256 least, uint256 most);

    /// @notice What a key signed that was taken from its farmer would count for too long.
    error FormerOperatorBlocksOutOfRange(uint256 formerOperatorBlocks, uint256 least, uint256 most);

    /// @notice The parameters given at deployment.
    /// @return All of them; they never change.
    function parameters() external view returns (Parameters memory);

    /// @notice The epoch of the current block.
    /// @return block.number / epochBlocks.
    function currentEpoch() external view returns (Epoch);
}

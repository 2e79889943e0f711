// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, Parameters} from "../types/Types.sol";

/// @title The market's parameters and its clock
/// @notice Parameters are fixed at deployment; nobody can change them.
interface ISettings {
    /// @notice The token has no code.
    error TokenHasNoCode(address token);

    /// @notice An epoch needs a block after its first, and the first block's hash must stay available throughout it.
    error EpochBlocksOutOfRange(uint256 epochBlocks, uint256 least, uint256 most);

    /// @notice The grid is empty, or the longest term, gridEpochs * maxBooks, is beyond what one call can settle.
    error GridEpochsOutOfRange(uint256 gridEpochs, uint256 least, uint256 most);

    /// @notice There are no books, or too many to walk in one call.
    error MaxBooksOutOfRange(uint256 maxBooks, uint256 least, uint256 most);

    /// @notice Nothing would be audited, or more than one call can verify.
    error SamplesOutOfRange(uint256 samples, uint256 least, uint256 most);

    /// @notice Farmers would have nothing at stake, or more than is reasonable.
    error CollateralEpochsOutOfRange(uint256 collateralEpochs, uint256 least, uint256 most);

    /// @notice The parameters given at deployment.
    function parameters() external view returns (Parameters memory);

    /// @notice The epoch of the current block.
    function currentEpoch() external view returns (Epoch);
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BookView, Epoch, FarmerId} from "../types/Types.sol";

/// @title What each farmer must keep, by the date on which it ends
interface IBooks {
    /// @notice Orders end on multiples of `gridEpochs`.
    error EndOffGrid(Epoch end, uint256 gridEpochs);

    /// @notice What a farmer was paid for in an epoch gone by is not kept.
    error EpochIsPast(Epoch epoch, Epoch current);

    /// @notice The farmer's book that ends at `end`.
    function book(FarmerId farmer, Epoch end) external view returns (BookView memory);

    /// @notice The total rate that counts for the farmer in `epoch`: what an audit of it draws from and pays.
    /// @dev Of the current epoch or, as far as orders are placed by now, of a later one.
    function rateAt(FarmerId farmer, Epoch epoch) external view returns (uint256);
}

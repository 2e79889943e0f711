// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BookView, Epoch, FarmerId} from "../types/Types.sol";

/// @title What each farmer must keep, by the date on which it ends
interface IBooks {
    /// @notice Orders end on multiples of `gridEpochs`.
    error EndOffGrid(Epoch end, uint256 gridEpochs);

    /// @notice What a farmer was paid for in an epoch gone by is not kept.
    error EpochIsPast(Epoch epoch, Epoch current);

    /// @notice A farmer's pay per epoch is kept in 80 bits.
    error RateTooLarge(FarmerId farmer, uint256 rate, uint256 limit);

    /// @notice Of the `all` that positions in the book are drawn from `lost` is lost: so little would be left that no proof is
    /// short enough.
    error BookMostlyLost(FarmerId farmer, uint256 all, uint256 lost);

    /// @notice The farmer's book that ends at `end`; that of `extension` holds what orders were extended by.
    /// @param farmer The farmer whose book is asked for.
    /// @param end The date on which everything in the book ends: a multiple of `gridEpochs`.
    /// @param extension True for the book of extensions, false for the book of all other slots.
    /// @return Its totals and its peaks. All zero when nothing in it is live.
    function book(FarmerId farmer, Epoch end, bool extension) external view returns (BookView memory);

    /// @notice The total rate that is asked of the farmer in `epoch`, and paid for.
    /// @dev Of the current epoch or, as far as orders are placed so far, of a later one.
    /// @param farmer The farmer that is asked about.
    /// @param epoch The current epoch or a later one.
    /// @return Token base units per epoch. Zero for a farmer that has lapsed.
    function rateAt(FarmerId farmer, Epoch epoch) external view returns (uint256);
}

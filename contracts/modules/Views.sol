// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../interfaces/IBooks.sol";
import {Bits} from "../libraries/Bits.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {MAX_PEAKS, Mountain} from "../libraries/Mountain.sol";
import {BookHeader} from "../types/BookHeader.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {LostRates} from "../types/LostRates.sol";
import {BookView, Epoch, FarmerId} from "../types/Types.sol";
import {Settlement} from "./Settlement.sol";

/// @title What anyone may read of books
/// @dev Decides nothing.
abstract contract Views is IBooks, Settlement {
    using Mountain for bytes32[MAX_PEAKS];

    /// @inheritdoc IBooks
    function book(FarmerId id, Epoch end, bool extension) external view returns (BookView memory shown) {
        uint256 grid = Epochs.gridOf(Epoch.unwrap(end), GRID_EPOCHS);
        if (grid * GRID_EPOCHS != Epoch.unwrap(end)) revert EndOffGrid(end, GRID_EPOCHS);
        Book storage stored = _bookOf(id, grid, extension);
        BookHeader header = stored.header;
        if (header.grid() != grid || grid <= Epochs.gridOf(_currentEpoch(), GRID_EPOCHS)) return shown;
        (LostRates lost, LostRates front) = (stored.lost.ofBook(grid), stored.front.ofBook(grid));
        shown.count = uint32(header.count());
        shown.rateBefore = uint80(header.rateBefore());
        shown.rateAdded = uint80(header.rateAdded());
        shown.addedEpoch = Epoch.wrap(uint32(header.addedEpoch()));
        shown.lostBefore = uint80(lost.lostBefore());
        shown.lostAdded = uint80(lost.lostAdded());
        shown.lostEpoch = Epoch.wrap(uint32(lost.lostEpoch()));
        shown.frontBefore = uint80(front.lostBefore());
        shown.frontAdded = uint80(front.lostAdded());
        shown.frontEpoch = Epoch.wrap(uint32(front.lostEpoch()));
        shown.peaks = new bytes32[](Bits.popcount(header.count()));
        for (uint256 i = 0; i < shown.peaks.length; ++i) shown.peaks[i] = stored.peaks.peak(i);
    }

    /// @inheritdoc IBooks
    function rateAt(FarmerId farmer, Epoch epoch) external view returns (uint256 asked) {
        uint256 current = _currentEpoch();
        if (Epoch.unwrap(epoch) < current) revert EpochIsPast(epoch, Epoch.wrap(uint32(current)));
        Farmer storage stored = _existing(farmer);
        FarmerState state = _outcome(farmer, stored.stake, stored.state, current).state;
        if (!state.isLapsed()) (, , asked) = _drawn(farmer, state, Epoch.unwrap(epoch));
    }
}

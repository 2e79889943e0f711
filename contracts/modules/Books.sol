// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../interfaces/IBooks.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {MAX_PEAKS, Mountain} from "../libraries/Mountain.sol";
import {BookHeader, BookHeaders} from "../types/BookHeader.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {LostRates} from "../types/LostRates.sol";
import {Entry, Epoch, FarmerId, Rate} from "../types/Types.sol";
import {Balances} from "./Balances.sol";

/// @title What each farmer must keep, by the date on which it ends
/// @dev Decides how slots are entered and what counts in which epoch. Whether a slot may be entered is decided by
/// `Tenures`, what is done about it in an epoch by `Settlement` and `Audits`.
///
/// A farmer's books are two rings: the book of grid date g is at position g % MAX_BOOKS of its ring. In epoch e the live
/// dates are (e / GRID_EPOCHS, e / GRID_EPOCHS + MAX_BOOKS], one for each position, so a new book takes the place of one
/// that has ended. Before it does, the farmer is settled and swept, which read the old one for the last time.
///
/// The second ring is for extensions, which are entered in the grid period before the date on which they begin. So in
/// either ring what has not begun is what was added last, and the header alone tells how much of a book counts.
///
/// Invariants, for a live book with entries i = 0, 1, ...:
///   first(i) = sum(rate(j), j < i)
///   rateBefore + rateAdded = sum(rate)
///   rateBefore = sum(rate(i), from(i) <= addedEpoch), and from(i) = addedEpoch + 1 for all others
///   entries drawn in epoch e, first(i) < rateAtStart(e), have from(i) <= e
///   anyone who declares a loss or adds a slot leaves 1 / MAX_DEAD_SHARE of the book's rate alive, or none of it
abstract contract Books is Balances {
    using Mountain for bytes32[MAX_PEAKS];

    /// @dev A proof shows a position in a lost slot for what it is and goes on to the next: this bounds how many there
    /// are. With the most samples 16 * 32 positions are drawn on average, and 15 million gas are enough for 1,600.
    uint256 internal constant MAX_DEAD_SHARE = 32;

    /// @dev The book of a date, or the one whose place it will take.
    function _bookOf(FarmerId farmer, uint256 grid, bool extension) internal view returns (Book storage) {
        return _books[farmer][(grid % MAX_BOOKS) + (extension ? MAX_BOOKS : 0)];
    }

    /// @dev Enters a slot; `entry.first` is set here. The farmer has been settled and swept in this epoch, and the rate is
    /// part of what it is committed to, which fits.
    function _append(FarmerId farmer, FarmerState state, uint256 grid, bool extension, Entry memory entry) internal {
        Book storage stored = _bookOf(farmer, grid, extension);
        BookHeader header = stored.header;
        uint256 addedEpoch = Epoch.unwrap(entry.from) - 1;
        uint256 count = 0;
        uint256 rateBefore = 0;
        uint256 rateAdded = 0;
        if (header.grid() == grid) {
            count = header.count();
            if (header.addedEpoch() == addedEpoch) (rateBefore, rateAdded) = (header.rateBefore(), header.rateAdded());
            else rateBefore = header.rateTotal();
        }
        if (state.hasLost()) _checkLost(farmer, stored, count, rateBefore + rateAdded + Rate.unwrap(entry.rate));
        entry.first = uint80(rateBefore + rateAdded);
        stored.header = BookHeaders.pack(grid, count + 1, addedEpoch, rateBefore, rateAdded + Rate.unwrap(entry.rate));
        stored.peaks.append(count, Mountain.entryHash(entry));
    }

    function _checkAlive(FarmerId farmer, uint256 all, uint256 lost) internal pure {
        if ((all - lost) * MAX_DEAD_SHARE < all) revert IBooks.BookMostlyLost(farmer, all, lost);
    }

    /// @dev What positions are drawn from in `epoch`, book by book: by ascending date, those of the second ring after
    /// those of the first; and what is paid for a proof. A book of which all is lost is not drawn from.
    function _drawn(
        FarmerId farmer,
        FarmerState state,
        uint256 epoch
    ) internal view returns (uint256[] memory weights, uint256 total, uint256 pay) {
        weights = new uint256[](state.hasExtended() ? 2 * MAX_BOOKS : MAX_BOOKS);
        uint256 firstGrid = Epochs.firstLiveGrid(epoch, GRID_EPOCHS);
        for (uint256 i = 0; i < weights.length; ++i) {
            bool extension = i >= MAX_BOOKS;
            uint256 grid = firstGrid + (extension ? i - MAX_BOOKS : i);
            Book storage stored = _bookOf(farmer, grid, extension);
            BookHeader header = stored.header;
            if (header.grid() != grid) continue;
            uint256 started = header.rateAtStart(epoch);
            uint256 asked = state.hasLost() ? started - stored.lost.lostAtStart(epoch) : started;
            if (asked == 0) continue;
            weights[i] = started;
            total += started;
            pay += asked;
        }
    }

    /// @dev With books that ended by `epoch` taken out of the committed rate.
    function _swept(FarmerId farmer, FarmerState state, uint256 epoch) internal view returns (FarmerState) {
        uint256 grid = Epochs.gridOf(epoch, GRID_EPOCHS);
        uint256 sweptGrid = state.sweptGrid();
        if (grid == sweptGrid) return state;
        uint256 rate = state.committedRate();
        if (grid - sweptGrid >= MAX_BOOKS) return state.swept(0, grid); // later dates were not open when last swept
        for (uint256 date = sweptGrid + 1; date <= grid && rate > 0; ++date) {
            rate -= _rateKept(farmer, state, date, false);
            if (state.hasExtended()) rate -= _rateKept(farmer, state, date, true);
        }
        return state.swept(rate, grid);
    }

    /// @dev What was added in `epoch` with the first ring, and so does not count in it.
    function _rateAddedIn(FarmerId farmer, uint256 epoch) internal view returns (uint256 rate) {
        uint256 grid = Epochs.firstLiveGrid(epoch, GRID_EPOCHS);
        for (uint256 date = grid; date < grid + MAX_BOOKS; ++date) {
            BookHeader header = _bookOf(farmer, date, false).header;
            if (header.grid() == date && header.addedEpoch() == epoch) rate += header.rateAdded();
        }
    }

    /// @dev The rate of a book, without what was declared lost; zero if the book is of another date.
    function _rateKept(
        FarmerId farmer,
        FarmerState state,
        uint256 grid,
        bool extension
    ) internal view returns (uint256) {
        Book storage stored = _bookOf(farmer, grid, extension);
        BookHeader header = stored.header;
        if (header.grid() != grid) return 0;
        return state.hasLost() ? header.rateTotal() - stored.lost.lostTotal() : header.rateTotal();
    }

    /// @dev Before a book of `count` entries gets one more, which makes its rate `all`. With none it takes the place of
    /// one that ended, and what was lost of that.
    function _checkLost(FarmerId farmer, Book storage stored, uint256 count, uint256 all) private {
        if (all > type(uint80).max) revert IBooks.RateTooLarge(farmer, all, type(uint80).max);
        if (count == 0) stored.lost = LostRates.wrap(0);
        else _checkAlive(farmer, all, stored.lost.lostTotal());
    }
}

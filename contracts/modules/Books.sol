// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../interfaces/IBooks.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {LiveBook} from "../libraries/LiveBooks.sol";
import {MAX_PEAKS, Mountain} from "../libraries/Mountain.sol";
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
///   entries drawn in epoch e, first(i) < started(e), have from(i) <= e
///   whoever declares a loss or adds a slot leaves 1 / MAX_DEAD_SHARE of the book's rate alive, or none of it
abstract contract Books is Balances {
    using Mountain for bytes32[MAX_PEAKS];

    /// @dev A proof shows a position in a lost slot for what it is and goes on to the next: this bounds how many there
    /// are. With the most samples 32 * 32 positions are drawn on average, and 15 million gas are enough for 2,900.
    uint256 internal constant MAX_DEAD_SHARE = 32;

    /// @dev The book of a date, or the one whose place it will take.
    function _bookOf(FarmerId farmer, uint256 grid, bool extension) internal view returns (Book storage) {
        return _books[farmer][grid % MAX_BOOKS + (extension ? MAX_BOOKS : 0)];
    }

    /// @dev Enters a slot; `entry.first` is set here. The farmer has been settled and swept in this epoch.
    function _append(
        FarmerId farmer,
        Standing memory standing,
        uint256 grid,
        bool extension,
        Entry memory entry
    ) internal {
        Book storage stored = _bookOf(farmer, grid, extension);
        Header memory header = stored.header;
        uint32 addedEpoch = Epoch.unwrap(entry.from) - 1;
        if (header.grid != grid) {
            header = Header(uint32(grid), 0, addedEpoch, 0, 0);
            if (standing.lost) delete stored.lost;
        } else if (header.addedEpoch != addedEpoch) {
            header.rateBefore += header.rateAdded;
            header.rateAdded = 0;
            header.addedEpoch = addedEpoch;
        }
        uint256 first = uint256(header.rateBefore) + header.rateAdded;
        uint256 all = first + Rate.unwrap(entry.rate);
        if (all > type(uint80).max) revert IBooks.RateTooLarge(farmer, all, type(uint80).max);
        if (standing.lost) {
            LostRates memory lost = stored.lost;
            _checkAlive(farmer, all, uint256(lost.lostBefore) + lost.lostAdded);
        }
        entry.first = uint80(first);
        stored.peaks.append(header.count, Mountain.entryHash(entry));
        header.count += 1;
        header.rateAdded += Rate.unwrap(entry.rate);
        stored.header = header;
    }

    function _checkAlive(FarmerId farmer, uint256 all, uint256 lost) internal pure {
        if ((all - lost) * MAX_DEAD_SHARE < all) revert IBooks.BookMostlyLost(farmer, all, lost);
    }

    /// @dev The farmer's books that are live in `epoch`, in the order in which positions are drawn from them: by
    /// ascending date, those of the second ring after those of the first.
    function _liveBooks(
        FarmerId farmer,
        Standing memory standing,
        uint256 epoch
    ) internal view returns (LiveBook[] memory books) {
        books = new LiveBook[](standing.extended ? 2 * MAX_BOOKS : MAX_BOOKS);
        uint256 firstGrid = Epochs.firstLiveGrid(epoch, GRID_EPOCHS);
        for (uint256 i = 0; i < books.length; ++i) {
            bool extension = i >= MAX_BOOKS;
            uint256 grid = firstGrid + (extension ? i - MAX_BOOKS : i);
            Book storage stored = _bookOf(farmer, grid, extension);
            Header memory header = stored.header;
            if (header.grid != grid) continue;
            LiveBook memory book = books[i];
            book.end = grid * GRID_EPOCHS;
            book.addedEpoch = header.addedEpoch;
            book.before = header.rateBefore;
            book.all = uint256(header.rateBefore) + header.rateAdded;
            if (!standing.lost) continue;
            LostRates memory lost = stored.lost;
            book.lostEpoch = lost.lostEpoch;
            book.lostBefore = lost.lostBefore;
            book.lostAll = uint256(lost.lostBefore) + lost.lostAdded;
        }
    }

    /// @dev The sum of the rates kept until dates in (sweptGrid, grid], which end with it.
    function _rateEnding(FarmerId farmer, Standing memory standing, uint256 grid) internal view returns (uint256 total) {
        uint256 swept = standing.sweptGrid;
        if (grid > swept + MAX_BOOKS) grid = swept + MAX_BOOKS; // later dates were not open when last swept
        for (uint256 date = swept + 1; date <= grid; ++date) {
            total += _rateKept(farmer, standing, date, false);
            if (standing.extended) total += _rateKept(farmer, standing, date, true);
        }
    }

    function _rateKept(
        FarmerId farmer,
        Standing memory standing,
        uint256 grid,
        bool extension
    ) private view returns (uint256 rate) {
        Book storage stored = _bookOf(farmer, grid, extension);
        Header memory header = stored.header;
        if (header.grid != grid) return 0;
        rate = uint256(header.rateBefore) + header.rateAdded;
        if (!standing.lost) return rate;
        LostRates memory lost = stored.lost;
        rate -= uint256(lost.lostBefore) + lost.lostAdded;
    }
}

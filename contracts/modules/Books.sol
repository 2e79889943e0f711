// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../interfaces/IBooks.sol";
import {Bits} from "../libraries/Bits.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {MAX_PEAKS, Mountain} from "../libraries/Mountain.sol";
import {Header, Headers} from "../types/Header.sol";
import {BookView, Entry, Epoch, FarmerId, Rate} from "../types/Types.sol";
import {Settings} from "./Settings.sol";

/// @title What each farmer must keep, by the date on which it ends
/// @dev Decides how slots are entered and what counts in which epoch. Whether a slot may be entered is decided by
/// `Orders`, what is done about it in an epoch by `Audits`.
///
/// A farmer's books are a ring: the book of grid date g is at position g % MAX_BOOKS. In epoch e the live dates are
/// (e / GRID_EPOCHS, e / GRID_EPOCHS + MAX_BOOKS], one for each position, so a new book takes the place of one that has
/// ended. Before it does, the farmer is settled and swept, which read the old one for the last time.
///
/// Invariants, for a live book with entries i = 0, 1, ...:
///   first(i) = sum(rate(j), j < i)
///   rateBefore + rateAdded = sum(rate)
///   rateBefore = sum(rate(i), from(i) <= addedEpoch)
///   entries drawn in epoch e, first(i) < rateAtStart(e), have from(i) <= e
abstract contract Books is IBooks, Settings {
    using Mountain for bytes32[MAX_PEAKS];

    struct Book {
        Header header;
        bytes32[MAX_PEAKS] peaks;
    }

    mapping(FarmerId farmer => mapping(uint256 position => Book)) private _books;

    /// @inheritdoc IBooks
    function book(FarmerId farmer, Epoch end) external view returns (BookView memory shown) {
        uint256 grid = Epochs.gridOf(Epoch.unwrap(end), GRID_EPOCHS);
        if (grid * GRID_EPOCHS != Epoch.unwrap(end)) revert EndOffGrid(end, GRID_EPOCHS);
        Book storage stored = _bookOf(farmer, grid);
        Header header = stored.header;
        if (header.grid() != grid) return shown;
        shown.count = uint32(header.count());
        shown.rateBefore = uint80(header.rateBefore());
        shown.rateAdded = uint80(header.rateAdded());
        shown.addedEpoch = Epoch.wrap(uint32(header.addedEpoch()));
        shown.peaks = new bytes32[](Bits.popcount(header.count()));
        for (uint256 i = 0; i < shown.peaks.length; ++i) shown.peaks[i] = stored.peaks.peak(i);
    }

    /// @inheritdoc IBooks
    function rateAt(FarmerId farmer, Epoch epoch) external view returns (uint256 total) {
        uint256 current = _currentEpoch();
        if (Epoch.unwrap(epoch) < current) revert EpochIsPast(epoch, Epoch.wrap(uint32(current)));
        (, total) = _ratesAtStart(farmer, Epoch.unwrap(epoch));
    }

    /// @dev The book of a date, or the one whose place it will take.
    function _bookOf(FarmerId farmer, uint256 grid) internal view returns (Book storage) {
        return _books[farmer][grid % MAX_BOOKS];
    }

    /// @dev Enters a slot; `entry.first` is set here. The farmer has been settled and swept in this epoch.
    function _append(FarmerId farmer, uint256 grid, uint256 current, Entry memory entry) internal {
        Book storage stored = _bookOf(farmer, grid);
        Header header = stored.header;
        uint256 count = 0;
        uint256 rateBefore = 0;
        uint256 rateAdded = 0;
        if (header.grid() == grid) {
            count = header.count();
            if (header.addedEpoch() == current) (rateBefore, rateAdded) = (header.rateBefore(), header.rateAdded());
            else rateBefore = header.rateTotal();
        }
        entry.first = uint80(rateBefore + rateAdded);
        stored.header = Headers.pack(grid, count + 1, current, rateBefore, rateAdded + Rate.unwrap(entry.rate));
        stored.peaks.append(count, Mountain.entryHash(entry));
    }

    /// @dev What each live book counts for in `epoch`, by ascending date, and the sum.
    function _ratesAtStart(
        FarmerId farmer,
        uint256 epoch
    ) internal view returns (uint256[] memory rates, uint256 total) {
        rates = new uint256[](MAX_BOOKS);
        uint256 grid = Epochs.firstLiveGrid(epoch, GRID_EPOCHS);
        for (uint256 i = 0; i < rates.length; ++i) {
            Header header = _bookOf(farmer, grid + i).header;
            if (header.grid() != grid + i) continue;
            rates[i] = header.rateAtStart(epoch);
            total += rates[i];
        }
    }

    /// @dev The sum of the rates of books with dates in (swept, grid], which end with it.
    function _rateEnding(FarmerId farmer, uint256 swept, uint256 grid) internal view returns (uint256 total) {
        if (grid > swept + MAX_BOOKS) grid = swept + MAX_BOOKS; // later dates were not open when last swept
        for (uint256 date = swept + 1; date <= grid; ++date) {
            Header header = _bookOf(farmer, date).header;
            if (header.grid() == date) total += header.rateTotal();
        }
    }

    /// @dev The epochs [first, end) after `settled` and before `current` in which the farmer had something to prove.
    ///
    /// A farmer is settled before anything is entered, so addedEpoch <= settled + 1 in every book, and a book counts
    /// from settled + 1, or from settled + 2 if it was begun in settled + 1, until its end. Such spans have no gap.
    function _owed(
        FarmerId farmer,
        uint256 settled,
        uint256 current
    ) internal view returns (uint256 first, uint256 end) {
        if (settled + 1 >= current) return (0, 0);
        first = current;
        uint256 grid = Epochs.firstLiveGrid(settled + 1, GRID_EPOCHS);
        for (uint256 date = grid; date < grid + MAX_BOOKS; ++date) {
            Header header = _bookOf(farmer, date).header;
            if (header.grid() != date) continue;
            uint256 start = header.addedEpoch() == settled + 1 && header.rateBefore() == 0 ? settled + 2 : settled + 1;
            if (start < first) first = start;
            end = date * GRID_EPOCHS;
        }
        if (end > current) end = current;
        if (first >= end) return (0, 0);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {MAX_PEAKS, Mountain} from "../libraries/Mountain.sol";
import {Entry, Epoch, OrderId, Rate} from "../types/Types.sol";
import {Settlement} from "./Settlement.sol";

/// @title That a slot is in a farmer's book
/// @dev Decides whether words that a farmer sends name one of its slots: for `prove` and for `declareLoss`. What is
/// proven about the slot is decided by these.
abstract contract Proofs is Settlement {
    using Mountain for bytes32[MAX_PEAKS];

    /// @dev Words before what is proven about a slot: the order, the slot's numbers, its range of positions.
    uint256 internal constant HEAD_WORDS = 3;

    /// @dev What is cut off here is cut off before anything is checked, so all checks see the same values.
    function _readHead(
        uint256 number,
        bytes32[] calldata words,
        uint256 cursor
    ) internal pure returns (Entry memory entry, uint256 index) {
        _need(number, cursor + HEAD_WORDS, words);
        uint256 numbers = uint256(words[cursor + 1]);
        uint256 range = uint256(words[cursor + 2]);
        index = uint32(numbers >> 72);
        entry = Entry({
            order: OrderId.wrap(words[cursor]),
            slot: uint8(numbers),
            root: 0,
            leafCount: uint32(numbers >> 8),
            from: Epoch.wrap(uint32(numbers >> 40)),
            first: uint80(range >> 128),
            rate: Rate.wrap(uint80(range))
        });
    }

    /// @dev Verifies by the path in the words from `cursor` on that the book has `entry` at `index`, and returns where
    /// the path ends.
    function _verifyEntry(
        uint256 number,
        Book storage stored,
        Entry memory entry,
        uint256 index,
        bytes32[] calldata words,
        uint256 cursor
    ) internal view returns (uint256) {
        uint256 count = stored.header.count();
        if (index >= count) revert IAudits.NoSuchEntry(number, index, count);
        (uint256 peakPosition, uint256 height) = Mountain.locate(index, count);
        _need(number, cursor + height, words);
        bytes32 computed = Mountain.peakOf(Mountain.entryHash(entry), index, height, words, cursor);
        bytes32 peak = stored.peaks.peak(peakPosition);
        if (computed != peak) revert IAudits.WrongPeak(number, computed, peak);
        return cursor + height;
    }

    /// @dev The date of the book in which a slot was given up.
    function _gridOf(Loss storage loss) internal view returns (uint256) {
        return Epochs.gridOf(loss.lostEpoch, GRID_EPOCHS) + loss.dates;
    }

    function _need(uint256 number, uint256 needed, bytes32[] calldata words) internal pure {
        if (needed > words.length) revert IAudits.ProofTooShort(number, needed, words.length);
    }
}

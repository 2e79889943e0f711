// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {Merkle} from "../libraries/Merkle.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {Entry, Epoch, FarmerId, Rate} from "../types/Types.sol";
import {Proofs} from "./Proofs.sol";
import {Seeds} from "./Seeds.sol";

/// @title Proofs of storage, and pay
/// @dev Decides what is asked of a farmer in an epoch, whether a proof answers it, and what follows.
///
/// A sample is one 256-bit hash of seed, farmer and number. Its high half draws a position among the rates of the live
/// books, and so a slot with the probability of its part in the pay; its low half draws a leaf of the slot. Rates are
/// below 2**80 and leaf counts below 2**32, so the modulo favours none by more than 2**-48.
///
/// Positions in slots declared lost in earlier epochs are shown to be such and drawn again, never counted: so a farmer
/// cannot hide what it dropped among slots that it gave up. Those before the front of a book are not drawn.
///
/// Invariants:
///   a farmer is credited for an epoch at most once, with rateAt(farmer, epoch), and only within the epoch
///   SAMPLES leaves of slots that are paid for were proven for it
abstract contract Audits is IAudits, Proofs, Seeds {
    /// @dev One call's proof: what is the same for all positions drawn.
    struct Draw {
        bytes32 seed;
        FarmerId farmer;
        uint256 current;
        uint256 total; // of `weights`
        uint256[] weights; // of the books, as Books draws from them
        bool lost; // whether the farmer ever declared a slot lost
    }

    /// @inheritdoc IAudits
    function settle(FarmerId id) external {
        Farmer storage stored = _existing(id);
        stored.state = _settled(id, stored, stored.state, _currentEpoch());
    }

    /// @inheritdoc IAudits
    function prove(FarmerId id, Epoch epoch, bytes32[] calldata words) external {
        uint256 current = _currentEpoch();
        if (Epoch.unwrap(epoch) != current) revert EpochNotCurrent(epoch, Epoch.wrap(uint32(current)));
        Farmer storage stored = _existing(id);
        FarmerState state = stored.state;
        if (state.settledEpoch() >= current) revert EpochSettled(id, epoch);
        state = _settledUnlapsed(id, stored, state, current);

        Draw memory draw;
        uint256 pay;
        (draw.weights, draw.total, pay) = _drawn(id, state, current);
        if (pay == 0) revert NothingToProve(id, epoch);
        draw.seed = _recordSeed(current);
        draw.farmer = id;
        draw.current = current;
        draw.lost = state.hasLost();
        uint256 cursor = 0;
        uint256 number = 0;
        for (uint256 proven = 0; proven < SAMPLES; ++number) {
            bool counts;
            (cursor, counts) = _verify(draw, number, words, cursor);
            if (counts) ++proven;
        }
        if (cursor != words.length) revert ProofTooLong(cursor, words.length);

        stored.state = state.settled(current).proven();
        _earn(stored.owner, pay);
        emit Proven(id, epoch, pay);
    }

    /// @inheritdoc IAudits
    function missed(FarmerId id, Epoch epoch) external view returns (bool) {
        Farmer storage stored = _existing(id);
        Outcome memory outcome = _outcome(id, stored.stake, stored.state, _currentEpoch());
        for (uint256 i = 0; i < outcome.count; ++i) {
            if (outcome.missed[i] == Epoch.unwrap(epoch)) return true;
        }
        return _isMissed(id, Epoch.unwrap(epoch));
    }

    /// @dev Verifies what answers for position `number`, in the words from `cursor` on. Returns where the next begins, and
    /// whether a leaf was proven.
    function _verify(
        Draw memory draw,
        uint256 number,
        bytes32[] calldata words,
        uint256 cursor
    ) private view returns (uint256, bool) {
        uint256 drawn = uint256(keccak256(abi.encode(draw.seed, draw.farmer, number)));
        uint256 position = (drawn >> 128) % draw.total;
        uint256 nth = 0;
        while (position >= draw.weights[nth]) position -= draw.weights[nth++];
        bool extension = nth >= MAX_BOOKS;
        uint256 grid = Epochs.firstLiveGrid(draw.current, GRID_EPOCHS) + (extension ? nth - MAX_BOOKS : nth);
        Book storage stored = _bookOf(draw.farmer, grid, extension);
        if (draw.lost) {
            position += stored.front.ofBook(grid).lostAtStart(draw.current);
            _need(number, cursor + 1, words);
            if (_isLost(draw, number, grid, extension, position, words[cursor])) return (cursor + 1, false);
        }
        (Entry memory entry, uint256 index) = _readHead(number, words, cursor);
        if (entry.leafCount == 0) revert NoLeaves(number);
        if (draw.lost) _checkNotLost(draw.current, number, entry);
        if (position < entry.first || position - entry.first >= Rate.unwrap(entry.rate)) {
            revert WrongSlot(number, position, entry.first, Rate.unwrap(entry.rate));
        }
        uint256 leaf = uint128(drawn) % entry.leafCount;
        cursor += HEAD_WORDS;
        _need(number, cursor + Merkle.LEAF_WORDS + Merkle.pathLength(leaf, entry.leafCount), words);
        (entry.root, cursor) = Merkle.rootOf(words, cursor, leaf, entry.leafCount);
        return (_verifyEntry(number, stored, entry, index, words, cursor), true);
    }

    /// @dev Whether the word names a slot that was lost; if so, it must be the one drawn.
    function _isLost(
        Draw memory draw,
        uint256 number,
        uint256 grid,
        bool extension,
        uint256 position,
        bytes32 tenure
    ) private view returns (bool) {
        Loss storage loss = _losses[tenure];
        if (loss.rate == 0) return false;
        if (
            FarmerId.unwrap(loss.farmer) != FarmerId.unwrap(draw.farmer) ||
            _gridOf(loss) != grid ||
            loss.extension != extension ||
            loss.lostEpoch >= draw.current ||
            position < loss.first ||
            position - loss.first >= loss.rate
        ) revert NotLost(number, tenure);
        return true;
    }

    function _checkNotLost(uint256 current, uint256 number, Entry memory entry) private view {
        bytes32 tenure = _tenure(entry.order, entry.slot, entry.from);
        Loss storage loss = _losses[tenure];
        if (loss.rate != 0 && loss.lostEpoch < current) revert SlotLost(number, tenure);
    }
}

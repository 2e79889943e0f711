// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";
import {IAudits} from "../interfaces/IAudits.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {Merkle} from "../libraries/Merkle.sol";
import {MAX_PEAKS, Mountain} from "../libraries/Mountain.sol";
import {Standing} from "../types/Standing.sol";
import {Entry, Epoch, FarmerId, OrderId, Rate} from "../types/Types.sol";
import {Farmers} from "./Farmers.sol";

/// @title Proofs of storage, pay and misses
/// @dev Decides what is asked of a farmer in an epoch, whether a proof answers it, and what follows.
///
/// A sample is one 256-bit hash of seed, farmer and number. Its high half draws a position among the rates of the live
/// books, and so a slot with the probability of its part in the pay; its low half draws a leaf of the slot. Rates are
/// below 2**80 and leaf counts below 2**32, so the modulo favours none by more than 2**-48.
///
/// Invariants:
///   a farmer is credited for an epoch at most once, with rateAt(farmer, epoch), and only within the epoch
///   misses = set bits of the miss map; no epoch is both proven and missed
abstract contract Audits is IAudits, Farmers {
    using Mountain for bytes32[MAX_PEAKS];

    /// @dev One call's proof: what is the same for all samples.
    struct Draw {
        bytes32 seed;
        FarmerId farmer;
        uint256 firstGrid; // the date of rates[0]
        uint256 total;
        uint256[] rates;
    }

    /// @dev Words of a sample before the leaf: the order, the slot's numbers, its range of positions.
    uint256 private constant HEAD_WORDS = 3;
    uint256 private constant MISS_BITS = 256;

    mapping(Epoch epoch => bytes32) private _seeds;
    mapping(FarmerId farmer => mapping(uint256 word => uint256)) private _missMap;

    /// @inheritdoc IAudits
    function recordSeed() external returns (bytes32) {
        return _recordSeed(_currentEpoch());
    }

    /// @inheritdoc IAudits
    function settle(FarmerId id) external {
        Farmer storage stored = _existing(id);
        stored.standing = _settled(id, stored.standing, _currentEpoch());
    }

    /// @inheritdoc IAudits
    function prove(FarmerId id, Epoch epoch, bytes32[] calldata words) external {
        uint256 current = _currentEpoch();
        if (Epoch.unwrap(epoch) != current) revert EpochNotCurrent(epoch, Epoch.wrap(uint32(current)));
        Farmer storage stored = _existing(id);
        Standing standing = stored.standing;
        if (standing.settledEpoch() >= current) revert EpochSettled(id, epoch);
        standing = _settled(id, standing, current);

        Draw memory draw;
        (draw.rates, draw.total) = _ratesAtStart(id, current);
        if (draw.total == 0) revert NothingToProve(id, epoch);
        draw.seed = _recordSeed(current);
        draw.farmer = id;
        draw.firstGrid = Epochs.firstLiveGrid(current, GRID_EPOCHS);
        uint256 cursor = 0;
        for (uint256 sample = 0; sample < SAMPLES; ++sample) cursor = _verify(draw, sample, words, cursor);
        if (cursor != words.length) revert ProofTooLong(cursor, words.length);

        stored.standing = standing.settled(current, 0);
        _credit(stored.owner, draw.total);
        emit Proven(id, epoch, draw.total);
    }

    /// @inheritdoc IAudits
    function seed(Epoch epoch) external view returns (bytes32) {
        return _seeds[epoch];
    }

    /// @inheritdoc IAudits
    function missed(FarmerId id, Epoch epoch) external view returns (bool) {
        uint256 number = Epoch.unwrap(epoch);
        (uint256 first, uint256 end) = _owed(id, _existing(id).standing.settledEpoch(), _currentEpoch());
        if (first <= number && number < end) return true;
        return (_missMap[id][number / MISS_BITS] >> (number % MISS_BITS)) & 1 == 1;
    }

    /// @dev Records what was missed before the current epoch. Bounded: a farmer owes at most the longest term.
    function _settled(FarmerId id, Standing standing, uint256 current) internal returns (Standing) {
        if (standing.settledEpoch() + 1 >= current) return standing;
        (uint256 first, uint256 end) = _owed(id, standing.settledEpoch(), current);
        if (first < end) _recordMisses(id, first, end);
        return standing.settled(current - 1, end - first);
    }

    function _recordMisses(FarmerId id, uint256 first, uint256 end) private {
        for (uint256 from = first; from < end;) {
            uint256 word = from / MISS_BITS;
            uint256 to = (word + 1) * MISS_BITS;
            if (to > end) to = end;
            _missMap[id][word] |= Epochs.bits(from - word * MISS_BITS, to - word * MISS_BITS);
            from = to;
        }
        emit Missed(id, Epoch.wrap(uint32(first)), Epoch.wrap(uint32(end - 1)));
    }

    function _recordSeed(uint256 current) private returns (bytes32 recorded) {
        Epoch epoch = Epoch.wrap(uint32(current));
        recorded = _seeds[epoch];
        if (recorded != 0) return recorded;
        recorded = Blockhash.blockHash(Epochs.firstBlock(current, EPOCH_BLOCKS));
        if (recorded == 0) revert SeedUnavailable(epoch);
        _seeds[epoch] = recorded;
        emit SeedRecorded(epoch, recorded);
    }

    /// @dev Verifies the sample whose words begin at `cursor`, and returns where the next begins.
    function _verify(
        Draw memory draw,
        uint256 sample,
        bytes32[] calldata words,
        uint256 cursor
    ) private view returns (uint256) {
        uint256 drawn = uint256(keccak256(abi.encode(draw.seed, draw.farmer, sample)));
        (Book storage stored, uint256 position) = _drawnBook(draw, (drawn >> 128) % draw.total);
        _need(sample, cursor + HEAD_WORDS, words);
        (Entry memory entry, uint256 index) = _shownEntry(sample, position, words, cursor);
        uint256 count = stored.header.count();
        if (index >= count) revert NoSuchEntry(sample, index, count);

        uint256 leaf = uint128(drawn) % entry.leafCount;
        cursor += HEAD_WORDS;
        _need(sample, cursor + Merkle.LEAF_WORDS + Merkle.pathLength(leaf, entry.leafCount), words);
        (entry.root, cursor) = Merkle.rootOf(words, cursor, leaf, entry.leafCount);

        (uint256 peakPosition, uint256 height) = Mountain.locate(index, count);
        _need(sample, cursor + height, words);
        bytes32 computed = Mountain.peakOf(Mountain.entryHash(entry), index, height, words, cursor);
        bytes32 peak = stored.peaks.peak(peakPosition);
        if (computed != peak) revert WrongPeak(sample, computed, peak);
        return cursor + height;
    }

    /// @dev The book that a position among the rates of all live books is in, and the position within it.
    function _drawnBook(Draw memory draw, uint256 position) private view returns (Book storage, uint256) {
        uint256 nth = 0;
        while (position >= draw.rates[nth]) position -= draw.rates[nth++];
        return (_bookOf(draw.farmer, draw.firstGrid + nth), position);
    }

    /// @dev The slot that the sample's first words show, without its root, and its index in the mountain range; checked
    /// to be the one at the position if it is in the book. Its `from` needs no check: positions below the rate at the
    /// start of an epoch belong to entries from before it.
    function _shownEntry(
        uint256 sample,
        uint256 position,
        bytes32[] calldata words,
        uint256 cursor
    ) private pure returns (Entry memory entry, uint256 index) {
        uint256 numbers = uint256(words[cursor + 1]);
        uint256 range = uint256(words[cursor + 2]);
        (uint256 first, uint256 rate) = (range >> 128, uint128(range));
        // What would be cut off below must not count here.
        if ((first | rate) > type(uint80).max || position < first || position - first >= rate) {
            revert WrongSlot(sample, position, first, rate);
        }
        index = numbers >> 72;
        entry.order = OrderId.wrap(words[cursor]);
        entry.slot = uint8(numbers);
        entry.leafCount = uint32(numbers >> 8);
        entry.from = Epoch.wrap(uint32(numbers >> 40));
        entry.first = uint80(first);
        entry.rate = Rate.wrap(uint80(rate));
        if (entry.leafCount == 0) revert NoLeaves(sample);
    }

    function _need(uint256 sample, uint256 needed, bytes32[] calldata words) private pure {
        if (needed > words.length) revert ProofTooShort(sample, needed, words.length);
    }
}

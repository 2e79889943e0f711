// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, FarmerId} from "../types/Types.sol";

/// @title Proofs of storage, pay and misses
interface IAudits {
    /// @notice The farmer proved the epoch, and `amount` was credited to its owner's earnings.
    event Proven(FarmerId indexed farmer, Epoch indexed epoch, uint256 amount);

    /// @notice In every epoch from `first` to `last` the farmer had something to prove and did not.
    event Missed(FarmerId indexed farmer, Epoch first, Epoch last);

    /// @notice With its last miss the farmer lapsed: from `vacantFrom` on its slots are vacant.
    event Lapsed(FarmerId indexed farmer, Epoch vacantFrom);

    /// @notice Only the current epoch can be proven.
    error EpochNotCurrent(Epoch epoch, Epoch current);

    /// @notice The farmer has proven this epoch, or registered in it.
    error EpochSettled(FarmerId farmer, Epoch epoch);

    /// @notice No slot of the farmer counts in this epoch.
    error NothingToProve(FarmerId farmer, Epoch epoch);

    /// @notice Sample number `sample` would end at word `needed`, and only `given` were sent.
    error ProofTooShort(uint256 sample, uint256 needed, uint256 given);

    /// @notice The samples took `used` words, and more were sent.
    error ProofTooLong(uint256 used, uint256 given);

    /// @notice The slot sent to be passed over was not lost where the position drawn lies, or only in this epoch.
    error NotLost(uint256 sample, bytes32 tenure);

    /// @notice The slot sent was declared lost in an earlier epoch: its leaves do not count.
    error SlotLost(uint256 sample, bytes32 tenure);

    /// @notice The slot sent for a sample has no leaves.
    error NoLeaves(uint256 sample);

    /// @notice The position drawn within the book is not one of those of the slot that was sent.
    error WrongSlot(uint256 sample, uint256 position, uint256 first, uint256 rate);

    /// @notice The book has `count` entries.
    error NoSuchEntry(uint256 sample, uint256 index, uint256 count);

    /// @notice Leaf, slot and paths do not lead to the book's peak.
    error WrongPeak(uint256 sample, bytes32 computed, bytes32 peak);

    /// @notice Records the farmer's missed epochs up to the one before the current. By anyone.
    /// @param farmer The farmer whose missed epochs are recorded.
    function settle(FarmerId farmer) external;

    /// @notice Proves that the farmer keeps what it is paid for, and pays it for `epoch`, the current one. By anyone.
    /// @dev Paths lead to the peaks as they are when the call is mined: if an order was placed with the farmer in
    /// between, the proof may have to be made again. What is drawn does not change within the epoch.
    /// @param farmer The farmer that proves, and whose owner is paid.
    /// @param epoch The current epoch, as the proof was made for it.
    /// @param words The samples one after another, each: the order; slot | leafCount << 8 | from << 40 |
    /// index in the mountain range << 72; first << 128 | rate; the leaf's 16 words; the path from the leaf to
    /// the slot's root; the path from the slot's entry to its peak. Lengths follow from counts and indices.
    /// Where the position drawn lies in a slot that was declared lost in an earlier epoch there is but one word,
    /// keccak256(abi.encode(order, slot, from)), and the next position is drawn: it does not count as a sample.
    function prove(FarmerId farmer, Epoch epoch, bytes32[] calldata words) external;

    /// @notice Whether the farmer missed the epoch, recorded or not.
    /// @param farmer The farmer that is asked about.
    /// @param epoch An epoch before the current one.
    /// @return True if it had something to prove in that epoch and did not.
    function missed(FarmerId farmer, Epoch epoch) external view returns (bool);
}

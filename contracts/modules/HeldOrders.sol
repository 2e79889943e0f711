// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOrders} from "../interfaces/IOrders.sol";
import {Epoch, FarmerId, Held, OrderId, OrderView, Slot} from "../types/Types.sol";
import {State} from "./State.sol";

/// @title Orders with their slots, as they are handed in again
/// @dev Decides whether slots in calldata are those of an order: the order keeps no more than their hash.
abstract contract HeldOrders is State {
    /// @dev Words of a slot in an order's hash: farmer, root, rate, highest price for reading, from.
    uint256 internal constant SLOT_WORDS = 5;

    /// @dev The order whose slots are handed in.
    function _heldOrder(Held calldata held) internal view returns (OrderView memory) {
        return _checked(held, _wordsOf(held));
    }

    /// @dev The same with its slots, and the words that are hashed, in which the slots lie: what is changed in a slot is changed
    /// there too.
    function _heldSlots(
        Held calldata held
    ) internal view returns (OrderView memory stored, Slot[] memory slots, bytes32[] memory words) {
        words = _wordsOf(held);
        stored = _checked(held, words);
        uint256 n = held.slots.length;
        // Decoded once more they would be the same words elsewhere: 350 gas a slot.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            slots := mload(0x40)
            mstore(slots, n)
            let next := add(slots, 0x20)
            let end := add(next, shl(5, n))
            mstore(0x40, end)
            for {
                let slot := add(words, 0xa0)
            } lt(next, end) {
                next := add(next, 0x20)
                slot := add(slot, 0xa0)
            } {
                mstore(next, slot)
            }
        }
    }

    /// @dev The order as it is shown.
    function _shown(OrderId id) internal view returns (OrderView memory) {
        Order storage stored = _orders[id];
        return
            OrderView({
                renter: stored.renter,
                from: Epoch.wrap(Epoch.unwrap(stored.end) - stored.termEpochs),
                end: stored.end,
                k: stored.k,
                n: stored.n,
                handOvers: stored.handOvers,
                mandate: stored.mandate,
                slotsHash: stored.slotsHash
            });
    }

    /// @dev keccak256(abi.encode(leafCount, pieceLeaves, slots)), where one of the slots goes to a farmer, from an epoch on.
    function _slotsHashWith(
        Held calldata held,
        uint256 index,
        FarmerId farmer,
        Epoch from
    ) internal pure returns (bytes32) {
        bytes32[] memory words = _wordsOf(held);
        uint256 first = 4 + SLOT_WORDS * index;
        words[first] = bytes32(uint256(FarmerId.unwrap(farmer)));
        words[first + 4] = bytes32(uint256(Epoch.unwrap(from)));
        return _hashOf(words);
    }

    function _checked(Held calldata held, bytes32[] memory words) private view returns (OrderView memory stored) {
        stored = _shown(held.order);
        if (stored.renter == address(0)) revert IOrders.UnknownOrder(held.order);
        bytes32 given = _hashOf(words);
        if (given != stored.slotsHash) revert IOrders.WrongSlots(held.order, given, stored.slotsHash);
    }

    /// @dev What is hashed, in words: leafCount, pieceLeaves, the offset of the array, its length, and five for each slot. Those
    /// are copied as they are in calldata: where bits are set that no slot has, the hash is that of no order.
    function _wordsOf(Held calldata held) private pure returns (bytes32[] memory words) {
        Slot[] calldata slots = held.slots;
        words = new bytes32[](4 + SLOT_WORDS * slots.length);
        words[0] = bytes32(uint256(held.leafCount));
        words[1] = bytes32(uint256(held.pieceLeaves));
        words[2] = bytes32(uint256(0x60));
        words[3] = bytes32(slots.length);
        // Decoded and encoded again, which makes the same words of a slot that is one: 400 gas a slot.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            calldatacopy(add(words, 0xa0), slots.offset, mul(0xa0, slots.length))
        }
    }

    function _hashOf(bytes32[] memory words) internal pure returns (bytes32 hash) {
        // keccak256(abi.encodePacked(words)), which would copy what lies in memory just so.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            hash := keccak256(add(words, 0x20), shl(5, mload(words)))
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOrders} from "../interfaces/IOrders.sol";
import {Epoch, Held, OrderId, OrderView, Slot} from "../types/Types.sol";
import {State} from "./State.sol";

/// @title Orders with their slots, as they are handed in again
/// @dev Decides whether slots in calldata are those of an order: the order keeps no more than their hash.
abstract contract HeldOrders is State {
    /// @dev Words before the slots, where they are made into a hash: leafCount, pieceLeaves, how many slots there are.
    uint256 internal constant SHAPE_WORDS = 3;

    /// @dev Words of a slot there: farmer, root, rate, highest price for reading, from.
    uint256 internal constant SLOT_WORDS = 5;

    /// @dev The order whose slots are handed in, its slots, and the words that are hashed, in which the slots lie: what is changed
    /// in a slot is changed there too.
    function _heldSlots(
        Held calldata held
    ) internal view returns (OrderView memory stored, Slot[] memory slots, bytes32[] memory words) {
        words = _wordsOf(held);
        stored = _checked(held.order, _hashOf(words));
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
                let slot := add(words, 0x80)
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

    /// @dev The order, if this is the hash of its slots.
    function _checked(OrderId id, bytes32 given) internal view returns (OrderView memory stored) {
        stored = _shown(id);
        if (stored.renter == address(0)) revert IOrders.UnknownOrder(id);
        if (given != stored.slotsHash) revert IOrders.WrongSlots(id, given, stored.slotsHash);
    }

    /// @dev The hash of an order's slots: of leafCount, pieceLeaves, how many slots there are, the hash of each group of them, and
    /// all farmers in four bytes each. So a farmer that parts with one slot hands in its group only, and still shows
    /// who has the others.
    /// @param words leafCount, pieceLeaves, how many slots there are, and five for each slot.
    function _hashOf(bytes32[] memory words) internal pure returns (bytes32 hash) {
        // In Solidity, where farmers are written byte by byte: 600 gas a slot more.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let n := mload(add(words, 0x60))
            let slots := add(words, 0x80)
            let end := add(slots, mul(n, 0xa0))
            let hashed := mload(0x40)
            let next := add(hashed, 0x60)
            let farmers := add(next, shl(5, shr(2, add(n, 3))))
            // Each is written over the 28 bytes before it, so from the last to the first, and before what stands before them.
            for {
                let slot := end
                let farmer := add(farmers, sub(shl(2, n), 0x1c))
            } gt(slot, slots) {} {
                slot := sub(slot, 0xa0)
                farmer := sub(farmer, 4)
                mstore(farmer, mload(slot))
            }
            for {
                let slot := slots
            } lt(next, farmers) {
                next := add(next, 0x20)
            } {
                let groupEnd := add(slot, 0x280)
                if gt(groupEnd, end) {
                    groupEnd := end
                }
                mstore(next, keccak256(slot, sub(groupEnd, slot)))
                slot := groupEnd
            }
            mcopy(hashed, add(words, 0x20), 0x60)
            hash := keccak256(hashed, sub(add(farmers, shl(2, n)), hashed))
        }
    }

    /// @dev Of the slots as they are in calldata: where bits are set that no slot has, the hash is that of no order.
    function _wordsOf(Held calldata held) private pure returns (bytes32[] memory words) {
        Slot[] calldata slots = held.slots;
        words = new bytes32[](SHAPE_WORDS + SLOT_WORDS * slots.length);
        words[0] = bytes32(uint256(held.leafCount));
        words[1] = bytes32(uint256(held.pieceLeaves));
        words[2] = bytes32(slots.length);
        // Decoded and encoded again, which makes the same words of a slot that is one: 400 gas a slot.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            calldatacopy(add(words, 0x80), slots.offset, mul(0xa0, slots.length))
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRepairs} from "../interfaces/IRepairs.sol";
import {Epoch, FarmerId, HeldGroup, OrderView, Slot} from "../types/Types.sol";
import {HeldOrders} from "./HeldOrders.sol";

/// @title Orders of which one group of slots is handed in
/// @dev Decides whether slots in calldata are those of a group of an order, and what the order keeps of its slots once one of them
/// passes on. Of an order of 30 slots it is a quarter of the calldata of all.
abstract contract HeldGroups is HeldOrders {
    /// @dev Slots in a group; in the last there may be fewer.
    uint256 internal constant GROUP_SLOTS = 4;

    uint256 private constant FARMER_BYTES = 4;

    /// @dev The order of which the group with the slot at `index` is handed in; that slot; and what the order is to keep of its slots
    /// once this one goes to a farmer, from an epoch on.
    function _heldGroup(
        HeldGroup calldata held,
        uint256 index,
        FarmerId farmer,
        Epoch from
    ) internal view returns (OrderView memory order, Slot memory slot, bytes32 next) {
        uint256 n = held.farmers.length / FARMER_BYTES;
        if (index >= n || index / GROUP_SLOTS > held.groups.length) revert IRepairs.NoSuchSlot(index, n);
        bytes32 given;
        (given, next) = _hashes(held, index, farmer, from);
        order = _checked(held.order, given);
        slot = held.slots[index % GROUP_SLOTS];
    }

    /// @dev Whether a farmer has one of the slots, of those but one.
    function _hasOther(HeldGroup calldata held, uint256 index, FarmerId farmer) internal pure returns (bool found) {
        bytes calldata farmers = held.farmers;
        // A slice for each costs 200 gas more.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let own := add(farmers.offset, shl(2, index))
            let end := add(farmers.offset, farmers.length)
            for {
                let next := farmers.offset
            } lt(next, end) {
                next := add(next, 4)
            } {
                if eq(shr(224, calldataload(next)), farmer) {
                    if iszero(eq(next, own)) {
                        found := 1
                    }
                }
            }
        }
    }

    /// @dev The hash of the order's slots as they are handed in, as in `_hashOf`; and with the farmer and the epoch in that at `index`,
    /// whose group is not after the last. If the first is the order's, all lengths are right.
    function _hashes(
        HeldGroup calldata held,
        uint256 index,
        FarmerId farmer,
        Epoch from
    ) private pure returns (bytes32 given, bytes32 next) {
        Slot[] calldata slots = held.slots;
        bytes32[] calldata groups = held.groups;
        bytes calldata farmers = held.farmers;
        (uint256 leafCount, uint256 pieceLeaves) = (held.leafCount, held.pieceLeaves);
        // Twice the same in memory, but for three values: encoded for each hash it costs 2,000 gas more.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let group := mload(0x40)
            let size := mul(slots.length, 0xa0)
            calldatacopy(group, slots.offset, size)
            let hashed := add(group, size)
            mstore(hashed, leafCount)
            mstore(add(hashed, 0x20), pieceLeaves)
            mstore(add(hashed, 0x40), shr(2, farmers.length))
            let before := shl(5, shr(2, index))
            calldatacopy(add(hashed, 0x60), groups.offset, before)
            let groupHash := add(add(hashed, 0x60), before)
            mstore(groupHash, keccak256(group, size))
            calldatacopy(add(groupHash, 0x20), add(groups.offset, before), sub(shl(5, groups.length), before))
            let packed := add(add(hashed, 0x80), shl(5, groups.length))
            calldatacopy(packed, farmers.offset, farmers.length)
            size := sub(add(packed, farmers.length), hashed)
            given := keccak256(hashed, size)

            let slot := add(group, mul(and(index, 3), 0xa0))
            mstore(slot, farmer)
            mstore(add(slot, 0x80), from)
            mstore(groupHash, keccak256(group, sub(hashed, group)))
            let own := add(packed, shl(2, index))
            mstore(own, or(shl(224, farmer), shr(32, shl(32, mload(own)))))
            next := keccak256(hashed, size)
        }
    }
}

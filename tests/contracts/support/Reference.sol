// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FarmerId, HeldGroup, OrderId, Slot} from "../../../contracts/types/Types.sol";

/// @title The trees as their definitions say, slow and recursive, to hold the contract's short cuts against
/// @dev And what an order keeps of its slots.
library Reference {
    /// @dev RFC 9162, section 2.1.1, over hashes [low, high): split at the largest power of two below the size.
    function merkleRoot(bytes32[] memory hashes, uint256 low, uint256 high) internal pure returns (bytes32) {
        if (high - low == 1) return hashes[low];
        uint256 middle = low + split(high - low);
        return sha256(bytes.concat(merkleRoot(hashes, low, middle), merkleRoot(hashes, middle, high)));
    }

    /// @dev RFC 9162, section 2.1.3.1, bottom up.
    function merklePath(
        bytes32[] memory hashes,
        uint256 index,
        uint256 low,
        uint256 high
    ) internal pure returns (bytes32[] memory) {
        if (high - low == 1) return new bytes32[](0);
        uint256 middle = low + split(high - low);
        return
            index < middle
                ? joined(merklePath(hashes, index, low, middle), merkleRoot(hashes, middle, high))
                : joined(merklePath(hashes, index, middle, high), merkleRoot(hashes, low, middle));
    }

    /// @dev The mountains' peaks, highest first: a perfect tree for every set bit of the count, from the top.
    function peaks(bytes32[] memory entries) internal pure returns (bytes32[] memory found) {
        found = new bytes32[](0);
        uint256 low = 0;
        for (uint256 bit = 1 << 31; bit > 0; bit >>= 1) {
            if (entries.length & bit == 0) continue;
            found = joined(found, perfectRoot(entries, low, low + bit));
            low += bit;
        }
    }

    /// @dev The path of an entry to its peak.
    function mountainPath(bytes32[] memory entries, uint256 index) internal pure returns (bytes32[] memory) {
        uint256 low = 0;
        for (uint256 bit = 1 << 31; bit > 0; bit >>= 1) {
            if (entries.length & bit == 0) continue;
            if (index < low + bit) return perfectPath(entries, index, low, low + bit);
            low += bit;
        }
        revert("no such entry");
    }

    /// @dev The keccak root of a perfect tree.
    function perfectRoot(bytes32[] memory hashes, uint256 low, uint256 high) internal pure returns (bytes32) {
        if (high - low == 1) return hashes[low];
        uint256 middle = (low + high) / 2;
        return keccak256(bytes.concat(perfectRoot(hashes, low, middle), perfectRoot(hashes, middle, high)));
    }

    /// @dev The path in a perfect tree, bottom up.
    function perfectPath(
        bytes32[] memory hashes,
        uint256 index,
        uint256 low,
        uint256 high
    ) internal pure returns (bytes32[] memory) {
        if (high - low == 1) return new bytes32[](0);
        uint256 middle = (low + high) / 2;
        return
            index < middle
                ? joined(perfectPath(hashes, index, low, middle), perfectRoot(hashes, middle, high))
                : joined(perfectPath(hashes, index, middle, high), perfectRoot(hashes, low, middle));
    }

    /// @dev The largest power of two below `size`, which is at least 2.
    function split(uint256 size) internal pure returns (uint256 power) {
        power = 1;
        while (power * 2 < size) power *= 2;
    }

    /// @dev A list and one more.
    function joined(bytes32[] memory list, bytes32 last) internal pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) longer[i] = list[i];
        longer[list.length] = last;
    }

    /// @dev Two lists.
    function joined(bytes32[] memory list, bytes32[] memory rest) internal pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + rest.length);
        for (uint256 i = 0; i < list.length; ++i) longer[i] = list[i];
        for (uint256 i = 0; i < rest.length; ++i) longer[list.length + i] = rest[i];
    }

    uint256 internal constant GROUP_SLOTS = 4;

    /// @dev The slots of one group, which is a part of all.
    function group(Slot[] memory slots, uint256 number) internal pure returns (Slot[] memory part) {
        uint256 first = number * GROUP_SLOTS;
        uint256 count = slots.length - first < GROUP_SLOTS ? slots.length - first : GROUP_SLOTS;
        part = new Slot[](count);
        for (uint256 i = 0; i < count; ++i) part[i] = slots[first + i];
    }

    function groupHash(Slot[] memory part) internal pure returns (bytes32) {
        bytes memory content = "";
        for (uint256 i = 0; i < part.length; ++i) content = bytes.concat(content, abi.encode(part[i]));
        return keccak256(content);
    }

    function packedFarmers(Slot[] memory slots) internal pure returns (bytes memory packed) {
        packed = "";
        for (uint256 i = 0; i < slots.length; ++i) {
            packed = bytes.concat(packed, bytes4(FarmerId.unwrap(slots[i].farmer)));
        }
    }

    /// @dev What an order keeps of its slots.
    function slotsHash(uint256 leafCount, uint256 pieceLeaves, Slot[] memory slots) internal pure returns (bytes32) {
        bytes memory content = abi.encode(leafCount, pieceLeaves, slots.length);
        for (uint256 i = 0; i * GROUP_SLOTS < slots.length; ++i) {
            content = bytes.concat(content, groupHash(group(slots, i)));
        }
        return keccak256(bytes.concat(content, packedFarmers(slots)));
    }

    /// @dev An order with the group of a slot, as it is handed in.
    function heldGroup(
        OrderId order,
        uint32 leafCount,
        uint32 pieceLeaves,
        Slot[] memory slots,
        uint256 slot
    ) internal pure returns (HeldGroup memory held) {
        uint256 own = slot / GROUP_SLOTS;
        held = HeldGroup({
            order: order,
            leafCount: leafCount,
            pieceLeaves: pieceLeaves,
            farmers: packedFarmers(slots),
            groups: new bytes32[](0),
            slots: group(slots, own)
        });
        for (uint256 i = 0; i * GROUP_SLOTS < slots.length; ++i) {
            if (i != own) held.groups = joined(held.groups, groupHash(group(slots, i)));
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MAX_PEAKS, Mountain} from "../../contracts/libraries/Mountain.sol";
import {Bits} from "../../contracts/libraries/Bits.sol";
import {Entry, Epoch, OrderId, Rate} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {Reference} from "./support/Reference.sol";

/// @title The stack of peaks is what the definition gives, at every count
contract MountainTest {
    using Mountain for bytes32[MAX_PEAKS];

    bytes32[MAX_PEAKS] private _peaks;

    function peakOf(
        bytes32 node,
        uint256 index,
        uint256 height,
        bytes32[] calldata words,
        uint256 cursor
    ) external pure returns (bytes32) {
        return Mountain.peakOf(node, index, height, words, cursor);
    }

    function _filled(uint256 count, bytes32 salt) private returns (bytes32[] memory entries) {
        entries = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            entries[i] = keccak256(abi.encode(salt, i));
            _peaks.append(i, entries[i]);
        }
    }

    /// Must hold: after any number of appends the stack is the peaks of the definition, whatever was there before.
    function testFuzz_peaks(uint256 count, uint256 stale, bytes32 salt) external {
        _filled(_within(stale, 0, 70), "stale");
        bytes32[] memory entries = _filled(_within(count, 1, 70), salt);
        bytes32[] memory expected = Reference.peaks(entries);
        vm.assertEq(Bits.popcount(entries.length), expected.length, "number of peaks");
        for (uint256 i = 0; i < expected.length; ++i) vm.assertEq(_peaks.peak(i), expected[i], "peak");
    }

    /// Must hold: every entry's path leads to the peak that holds it.
    function testFuzz_pathLeadsToThePeak(uint256 index, uint256 count, uint256 before) external {
        bytes32[] memory entries = _filled(_within(count, 1, 70), "");
        index = _within(index, 0, entries.length - 1);
        before = _within(before, 0, 5);
        bytes32[] memory path = Reference.mountainPath(entries, index);
        (uint256 position, uint256 height) = Mountain.locate(index, entries.length);
        vm.assertEq(height, path.length, "height");
        bytes32[] memory words = Reference.joined(new bytes32[](before), path);
        vm.assertEq(this.peakOf(entries[index], index, height, words, before), _peaks.peak(position), "peak");
    }

    /// Must hold: any flipped bit in the path, and any other index of the same height, leads elsewhere.
    function testFuzz_wrongPathIsNoticed(uint256 index, uint256 count, uint256 bit) external {
        bytes32[] memory entries = _filled(_within(count, 2, 70), "");
        index = _within(index, 0, entries.length - 1);
        bytes32[] memory path = Reference.mountainPath(entries, index);
        vm.assume(path.length > 0);
        (uint256 position, uint256 height) = Mountain.locate(index, entries.length);
        uint256 flipped = index ^ (1 << (bit % height));
        vm.assertTrue(this.peakOf(entries[index], flipped, height, path, 0) != _peaks.peak(position), "other index");
        bit = _within(bit, 0, path.length * 256 - 1);
        path[bit / 256] ^= bytes32(1 << (bit % 256));
        vm.assertTrue(this.peakOf(entries[index], index, height, path, 0) != _peaks.peak(position), "flipped bit");
    }

    /// Must hold: an entry's place is found at counts as large as they come, by walking the peaks from the top.
    function testFuzz_locate(uint32 index, uint32 count) external pure {
        vm.assume(index < count);
        (uint256 position, uint256 height) = Mountain.locate(index, count);
        uint256 low = 0;
        uint256 passed = 0;
        for (uint256 h = 31; ; --h) {
            if (count & (1 << h) == 0) continue;
            if (index < low + (1 << h)) {
                vm.assertEq(height, h, "height");
                vm.assertEq(position, passed, "position");
                return;
            }
            low += 1 << h;
            ++passed;
        }
    }

    /// Must hold: an entry's hash is that of its ABI encoding.
    function testFuzz_entryHash(Entry calldata entry) external pure {
        vm.assertEq(Mountain.entryHash(entry), keccak256(abi.encode(entry)), "hash");
        vm.assertEq(
            Mountain.entryHash(entry),
            keccak256(
                abi.encode(
                    OrderId.unwrap(entry.order),
                    entry.slot,
                    entry.root,
                    entry.leafCount,
                    Epoch.unwrap(entry.from),
                    entry.first,
                    Rate.unwrap(entry.rate)
                )
            ),
            "hash of the fields"
        );
    }

    function _within(uint256 x, uint256 low, uint256 high) private pure returns (uint256) {
        return low + (x % (high - low + 1));
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {vm} from "./support/Cheats.sol";
import {Story} from "./support/Story.sol";

/// @title Whatever happens, the market owes what it holds
contract StoriesTest is Story {
    uint256 private constant STEPS = 40;
    uint256 private constant STEPS_PER_CHECK = 8;
    uint256 private constant TOLD = 12;
    /// @dev Of so many steps one is a block that the chain may go back to, and one goes back.
    uint256 private constant STEPS_PER_REORG = 16;

    /// Must hold, all through a story: what is held is what is owed to renters, farmers, repairers and the fire, to the
    /// last unit; a farmer is paid for an epoch once; one that proves every epoch keeps its stake. And in the end, when all
    /// orders are closed and everyone has taken what is theirs, nothing is left. Also on a chain that is reorganized.
    function testFuzz_story(uint256 seed) external {
        _begin();
        _tell(seed);
        _unwind();
    }

    /// Must hold: in some stories, always the same, each call of the market is made that changes anything: one that does not
    /// reach a call shows nothing of it.
    function test_storiesReachEveryCall() external {
        _begin();
        uint256[] memory counts = new uint256[](uint256(type(Done).max) + 1);
        for (uint256 seed = 0; seed < TOLD; ++seed) {
            uint256 start = vm.snapshotState();
            uint256[] memory more = this.told(seed);
            for (uint256 i = 0; i < counts.length; ++i) counts[i] += more[i];
            vm.revertToState(start);
        }
        string memory all = "how often what was done, of which one never:";
        for (uint256 i = 0; i < counts.length; ++i) all = string.concat(all, " ", vm.toString(counts[i]));
        for (uint256 i = 0; i < counts.length; ++i) vm.assertTrue(counts[i] > 0, all);
    }

    /// @dev How often what was done in a story. A call of its own, so that the memory it takes is free afterwards.
    function told(uint256 seed) external returns (uint256[] memory counts) {
        _tell(seed);
        _unwind();
        counts = new uint256[](uint256(type(Done).max) + 1);
        for (uint256 i = 0; i < counts.length; ++i) counts[i] = _count[Done(i)];
    }

    function _tell(uint256 seed) private {
        uint256 block_ = vm.snapshotState();
        uint256 forks = 0;
        for (uint256 i = 0; i < STEPS; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            uint256 kind = (random >> 128) % STEPS_PER_REORG;
            if (kind == 0) block_ = vm.snapshotState();
            if (kind == 1) {
                vm.revertToState(block_);
                _fork = ++forks;
                block_ = vm.snapshotState();
            }
            _step(random);
            if (i % STEPS_PER_CHECK == STEPS_PER_CHECK - 1) _checkWhole();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Story} from "./support/Story.sol";

/// @title Whatever happens, the market owes what it holds
contract StoriesTest is Story {
    uint256 private constant STEPS = 40;
    uint256 private constant STEPS_PER_CHECK = 8;

    /// Must hold, all through a story: what is held is what is owed to renters, farmers, repairers and the fire, to the
    /// last unit; a farmer is paid for an epoch once; one that proves every epoch keeps its stake. And in the end, when all
    /// orders are closed and everyone has taken what is theirs, nothing is left.
    function testFuzz_story(uint256 seed) external {
        _begin();
        for (uint256 i = 0; i < STEPS; ++i) {
            _step(uint256(keccak256(abi.encode(seed, i))));
            if (i % STEPS_PER_CHECK == STEPS_PER_CHECK - 1) _checkWhole();
        }
        _unwind();
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Which block an epoch's seed is the hash of
/// @dev The blocks that may give a seed are `first + j * SEED_STEP_BLOCKS`, where `first` is the epoch's first: the one of least j
/// whose hash the chain still has. EIP-2935 has those of SERVED_BLOCKS, so one more comes into question for each
/// SEED_STEP_BLOCKS in which nobody records the seed. It is at least SEED_STEP_BLOCKS old then, and so beyond reorganisations.
library SeedBlocks {
    uint256 internal constant SERVED_BLOCKS = 8191;
    uint256 internal constant SEED_STEP_BLOCKS = 4096;

    /// @dev The hash that is the seed if it is recorded now; zero if there is none.
    function seedFrom(uint256 first) internal view returns (bytes32 found) {
        uint256 age = block.number - first;
        uint256 steps = age > SERVED_BLOCKS ? Math.ceilDiv(age - SERVED_BLOCKS, SEED_STEP_BLOCKS) : 0;
        // Two at the most are served. On a chain that lacks the hash of one, zero is passed over and never taken for a hash.
        for (uint256 i = first + steps * SEED_STEP_BLOCKS; i < block.number; i += SEED_STEP_BLOCKS) {
            found = Blockhash.blockHash(i);
            if (found != 0) break;
        }
    }

    /// @dev The hash of the block before this one, as the chain and as its history contract (EIP-2935) have it. Where they are
    /// not the same, `block.number` does not count the chain's own blocks, or nobody could prove a long epoch.
    function previous() internal view returns (bytes32 hash, bytes32 kept) {
        hash = blockhash(block.number - 1);
        // It takes a number without a selector, and refuses by reverting with nothing.
        // slither-disable-next-line low-level-calls
        (bool success, bytes memory answer) = Blockhash.HISTORY_STORAGE_ADDRESS.staticcall(
            abi.encode(block.number - 1)
        );
        if (success && answer.length == 32) kept = bytes32(answer);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";
import {vm} from "./Cheats.sol";

/// @title The contract that keeps the hashes of 8,191 blocks (EIP-2935), which Hardhat's chain does not have
/// @dev Its code is that of the EIP. On a chain the system fills it block by block; here a test says what it has.
library History {
    address internal constant AT = Blockhash.HISTORY_STORAGE_ADDRESS;
    uint256 internal constant KEPT_BLOCKS = 8191;
    uint256 private constant OPCODE_BLOCKS = 256;
    bytes private constant CODE =
        hex"3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500";

    function install() internal {
        vm.etch(AT, CODE);
    }

    /// @dev Gives a block before this one its hash, for as long as a chain shows it.
    function set(uint256 number, bytes32 hash) internal {
        vm.store(AT, bytes32(number % KEPT_BLOCKS), hash);
        if (block.number - number <= OPCODE_BLOCKS) vm.setBlockhash(number, hash);
    }
}

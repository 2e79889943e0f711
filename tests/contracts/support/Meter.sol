// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {vm} from "./Cheats.sol";

/// @title What transactions cost, and where it is written down
/// @dev `scripts/gas-snapshots` keeps the figures in tests/contracts/gas.json and compares them.
abstract contract Meter {
    uint256 private constant TRANSACTION = 21_000;

    /// @dev The gas of a transaction, for tests in isolation: there a call is one already, but for the floor of EIP-7623.
    function _gasOf(address sender, address target, bytes memory data) internal returns (uint256 gas) {
        vm.prank(sender);
        (bool done, bytes memory reason) = target.call(data);
        gas = vm.lastCallGas().gasTotalUsed;
        if (!done) {
            assembly ("memory-safe") {
                revert(add(reason, 0x20), mload(reason))
            }
        }
        uint256 tokens = 0;
        for (uint256 i = 0; i < data.length; ++i) tokens += data[i] == 0 ? 1 : 4;
        uint256 floor = TRANSACTION + 10 * tokens;
        if (gas < floor) gas = floor;
    }

    function _note(string memory what, uint256 gas) internal {
        vm.snapshotValue("gas", what, gas);
    }
}

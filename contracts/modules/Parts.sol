// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC165Checker} from "@openzeppelin/contracts/utils/introspection/ERC165Checker.sol";
import {IParts} from "../interfaces/IParts.sol";
import {ISettings} from "../interfaces/ISettings.sol";
import {Parameters} from "../types/Types.sol";

/// @title Handing calls on to the next part of the market
/// @dev Decides which contract can be the next part, and runs its code for every call that this one does not have. What is
/// called most comes first: each step costs 2,600 gas, and a call that is found here pays for no part behind this one.
///
/// Invariants:
///   a part answers to its own calls and to those of all parts behind it, and all of them have the same parameters
abstract contract Parts is IParts {
    address private immutable NEXT;

    /// @dev Who deploys all parts could deploy anything: this finds mistakes. Before you use a market that strangers
    /// deployed, compare its code, and that of its parts.
    constructor(Parameters memory p, address next, bytes4 interfaceId) {
        if (!ERC165Checker.supportsERC165InterfaceUnchecked(next, interfaceId)) revert NotThisPart(next, interfaceId);
        // The last part answers. Each in between was given what it answered then.
        if (keccak256(abi.encode(ISettings(next).parameters())) != keccak256(abi.encode(p))) {
            revert OtherParameters(next);
        }
        NEXT = next;
    }

    /// @dev Runs the next part's code on the storage of this contract. In assembly, since a fallback can return what it was
    /// given in no other way; memory is overwritten from its start, as nothing is done after.
    // solhint-disable-next-line no-complex-fallback
    fallback() external {
        address next = NEXT;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), next, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(done) {
                revert(0, returndatasize())
            }
            return(0, returndatasize())
        }
    }

    /// @inheritdoc IParts
    function parts() external view returns (address[] memory addresses) {
        address[] memory behind = IParts(NEXT).parts();
        addresses = new address[](behind.length + 1);
        addresses[0] = NEXT;
        for (uint256 i = 0; i < behind.length; ++i) addresses[i + 1] = behind[i];
    }
}

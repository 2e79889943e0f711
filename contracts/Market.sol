// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC165Checker} from "@openzeppelin/contracts/utils/introspection/ERC165Checker.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {EXTENSION_INTERFACE, MARKET_INTERFACE} from "./interfaces/IMarket.sol";
import {IParts} from "./interfaces/IParts.sol";
import {ISettings} from "./interfaces/ISettings.sol";
import {Repairs} from "./modules/Repairs.sol";
import {State} from "./modules/State.sol";
import {Vouchers} from "./modules/Vouchers.sol";
import {Parameters} from "./types/Types.sol";

/// @title Grange's market for storage
/// @notice Renters place orders with farmers; farmers prove each epoch that they keep what they are paid for. Anyone who
/// reads or calls it does so by `IMarket`.
/// @dev The code of all modules is above what one contract may have, so it is in two: here the calls that go over
/// many slots or signatures, and in `MarketExtension`, which is deployed before this one, all others. Both are composed of
/// modules over the same base: Settings (parameters and clock), State (all that is stored), Balances, Books (what each
/// farmer must keep), Settlement (misses).
/// There is no owner, no pause and no upgrade.
contract Market is IERC165, IParts, Repairs, Vouchers {
    address private immutable EXTENSION;

    /// @dev Who deploys both could deploy anything: this finds mistakes. Before you use a market that strangers deployed,
    /// compare its code, and that of its parts.
    constructor(Parameters memory p, address extension) State(p) {
        if (!ERC165Checker.supportsERC165InterfaceUnchecked(extension, EXTENSION_INTERFACE)) {
            revert NotThisPart(extension, EXTENSION_INTERFACE);
        }
        if (keccak256(abi.encode(ISettings(extension).parameters())) != keccak256(abi.encode(p))) {
            revert OtherParameters(extension);
        }
        EXTENSION = extension;
    }

    /// @dev Runs the code of the market extension on the storage of this contract. In assembly, since a fallback can return what it was
    /// given in no other way; memory is overwritten from its start, as nothing is done after.
    // solhint-disable-next-line no-complex-fallback
    fallback() external {
        address extension = EXTENSION;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), extension, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(done) {
                revert(0, returndatasize())
            }
            return(0, returndatasize())
        }
    }

    /// @inheritdoc IParts
    function parts() external view returns (address[] memory addresses) {
        addresses = new address[](1);
        addresses[0] = EXTENSION;
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC165).interfaceId || interfaceId == MARKET_INTERFACE;
    }
}

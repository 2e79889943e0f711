// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {ACCOUNTS_INTERFACE} from "./interfaces/IMarket.sol";
import {IParts} from "./interfaces/IParts.sol";
import {Mandates} from "./modules/Mandates.sol";
import {SettingsViews} from "./modules/SettingsViews.sol";
import {Delegates} from "./modules/Delegates.sol";
import {State} from "./modules/State.sol";
import {Vault} from "./modules/Vault.sol";
import {Vouchers} from "./modules/Vouchers.sol";
import {Parameters} from "./types/Types.sol";

/// @title The part of the market's code that has the calls about accounts
/// @notice Not to be called: the market runs it on its own storage. What is done here itself concerns no market.
/// @dev Balances, vouchers, delegates and mandates, and as the last part, parameters and clock. It is deployed first, by a
/// transaction of its own.
contract MarketAccounts is IERC165, IParts, Mandates, SettingsViews, Vault, Vouchers, Delegates {
    constructor(Parameters memory p) State(p) {}

    /// @inheritdoc IParts
    // solhint-disable-next-line no-empty-blocks
    function parts() external pure returns (address[] memory) {}

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC165).interfaceId || interfaceId == ACCOUNTS_INTERFACE;
    }
}

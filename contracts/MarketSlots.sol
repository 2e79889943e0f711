// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {ACCOUNTS_INTERFACE, SLOTS_INTERFACE} from "./interfaces/IMarket.sol";
import {Parts} from "./modules/Parts.sol";
import {Recoveries} from "./modules/Recoveries.sol";
import {State} from "./modules/State.sol";
import {Parameters} from "./types/Types.sol";

/// @title The part of the market's code that has the calls about slots that their farmer parts with
/// @notice Not to be called: the market runs it on its own storage. What is done here itself concerns no market.
/// @dev Losses, hand-overs and recoveries. It is deployed by a transaction of its own, after `MarketAccounts`, to which it hands
/// on what it does not have, and before `MarketFarmers`. All they share is declared in `State`.
contract MarketSlots is IERC165, Recoveries, Parts {
    constructor(Parameters memory p, address accounts) State(p) Parts(p, accounts, ACCOUNTS_INTERFACE) {}

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC165).interfaceId || interfaceId == SLOTS_INTERFACE;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {ACCOUNTS_INTERFACE, FARMERS_INTERFACE} from "./interfaces/IMarket.sol";
import {Audits} from "./modules/Audits.sol";
import {Farmers} from "./modules/Farmers.sol";
import {Losses} from "./modules/Losses.sol";
import {Parts} from "./modules/Parts.sol";
import {State} from "./modules/State.sol";
import {Views} from "./modules/Views.sol";
import {Parameters} from "./types/Types.sol";

/// @title The part of the market's code that has the calls about farmers
/// @notice Not to be called: the market runs it on its own storage. What is done here itself concerns no market.
/// @dev Farmers, proofs, losses and books. It is deployed by a transaction of its own, after `MarketAccounts`, to which it
/// hands on what it does not have, and before `Market`. All they share is declared in `State`.
contract MarketFarmers is IERC165, Farmers, Audits, Losses, Views, Parts {
    constructor(Parameters memory p, address accounts) State(p) Parts(p, accounts, ACCOUNTS_INTERFACE) {}

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC165).interfaceId || interfaceId == FARMERS_INTERFACE;
    }
}

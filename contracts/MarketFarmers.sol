// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {FARMERS_INTERFACE, SLOTS_INTERFACE} from "./interfaces/IMarket.sol";
import {Audits} from "./modules/Audits.sol";
import {Farmers} from "./modules/Farmers.sol";
import {Parts} from "./modules/Parts.sol";
import {State} from "./modules/State.sol";
import {Views} from "./modules/Views.sol";
import {Parameters} from "./types/Types.sol";

/// @title The part of the market's code that has the calls about farmers
/// @notice Not to be called: the market runs it on its own storage. What is done here itself concerns no market.
/// @dev Farmers, proofs and books. It is deployed by a transaction of its own, after `MarketSlots`, to which it
/// hands on what it does not have, and before `Market`. All they share is declared in `State`.
contract MarketFarmers is IERC165, Farmers, Audits, Views, Parts {
    constructor(Parameters memory p, address slots) State(p) Parts(p, slots, SLOTS_INTERFACE) {}

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC165).interfaceId || interfaceId == FARMERS_INTERFACE;
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {FARMERS_INTERFACE, MARKET_INTERFACE} from "./interfaces/IMarket.sol";
import {Parts} from "./modules/Parts.sol";
import {MandateExtensions} from "./modules/MandateExtensions.sol";
import {State} from "./modules/State.sol";
import {Parameters} from "./types/Types.sol";

/// @title Grange's market for storage
/// @notice Renters place orders with farmers; farmers prove each epoch that they keep what they are paid for. Anyone who
/// reads or calls it does so by `IMarket`.
/// @dev The code of all modules is above what one contract may have, so it is in parts: here the calls that give slots to
/// farmers, in `MarketFarmers` those about farmers, in `MarketSlots` those by which farmers part with slots, in
/// `MarketAccounts` those about accounts. The other parts are deployed
/// before this one. All are composed of modules over the same base: Settings (parameters and clock), State (all that is
/// stored), Balances, Books (what each farmer must keep), Settlement (misses).
/// There is no owner, no pause and no upgrade.
contract Market is IERC165, MandateExtensions, Parts {
    constructor(Parameters memory p, address farmers) State(p) Parts(p, farmers, FARMERS_INTERFACE) {}

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC165).interfaceId || interfaceId == MARKET_INTERFACE;
    }
}

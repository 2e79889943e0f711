// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {EXTENSION_INTERFACE} from "./interfaces/IMarket.sol";
import {Audits} from "./modules/Audits.sol";
import {Farmers} from "./modules/Farmers.sol";
import {Losses} from "./modules/Losses.sol";
import {State} from "./modules/State.sol";
import {Vault} from "./modules/Vault.sol";
import {Views} from "./modules/Views.sol";
import {Parameters} from "./types/Types.sol";

/// @title The other half of the market's code
/// @notice Not to be called: the market runs it on its own storage. What is done here itself concerns no market.
/// @dev Farmers, proofs, losses and balances. It is deployed by a transaction of its own, before `Market`, which refuses
/// one with other parameters; all they share is declared in `State`.
contract MarketExtension is IERC165, Farmers, Audits, Losses, Vault, Views {
    constructor(Parameters memory p) State(p) {}

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IERC165).interfaceId || interfaceId == EXTENSION_INTERFACE;
    }
}

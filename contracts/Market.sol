// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Orders} from "./modules/Orders.sol";
import {Settings} from "./modules/Settings.sol";
import {Parameters} from "./types/Types.sol";

/// @title Grange's market for storage
/// @notice Renters place orders with farmers; farmers prove each epoch that they keep what they are paid for.
/// @dev Composed of modules, each over the ones before it: Settings (parameters and clock), Vault (balances), Books
/// (what each farmer must keep), Farmers (who they are), Audits (proofs, pay and misses), Orders (`place`).
/// There is no owner, no pause and no upgrade.
contract Market is Orders {
    constructor(Parameters memory p) Settings(p) EIP712("Grange", "1") {}
}

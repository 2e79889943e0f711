// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "./IAudits.sol";
import {IBooks} from "./IBooks.sol";
import {IFarmers} from "./IFarmers.sol";
import {ILosses} from "./ILosses.sol";
import {IOrders} from "./IOrders.sol";
import {IRepairs} from "./IRepairs.sol";
import {ISettings} from "./ISettings.sol";
import {IVault} from "./IVault.sol";
import {IVouchers} from "./IVouchers.sol";

/// @title Everything that the market answers to at its one address
// solhint-disable-next-line no-empty-blocks
interface IMarket is IAudits, IBooks, IFarmers, ILosses, IOrders, IRepairs, ISettings, IVault, IVouchers {}

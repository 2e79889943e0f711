// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../../contracts/interfaces/IAudits.sol";
import {IBooks} from "../../../contracts/interfaces/IBooks.sol";
import {IFarmers} from "../../../contracts/interfaces/IFarmers.sol";
import {IOrders} from "../../../contracts/interfaces/IOrders.sol";
import {ISettings} from "../../../contracts/interfaces/ISettings.sol";
import {IVault} from "../../../contracts/interfaces/IVault.sol";
import {Entry, Epoch, FarmerId} from "../../../contracts/types/Types.sol";

/// @title The market as tests call it: by its interfaces, so that its code is not compiled into each of them
interface IMarket is ISettings, IVault, IBooks, IFarmers, IAudits, IOrders {}

/// @title A market into whose books entries can be put as they are, without orders
interface IOpenMarket is IMarket {
    function enter(FarmerId farmer, Epoch end, Entry memory entry) external;
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Market} from "../../../contracts/Market.sol";
import {Entry, Epoch, FarmerId, Parameters} from "../../../contracts/types/Types.sol";

/// @title The market behind `IOpenMarket`
contract OpenMarket is Market {
    constructor(Parameters memory p) Market(p) {}

    function enter(FarmerId farmer, Epoch end, Entry memory entry) external {
        _append(farmer, _farmers[farmer].standing, Epoch.unwrap(end) / GRID_EPOCHS, false, entry);
    }
}

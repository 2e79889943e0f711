// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "../../../contracts/interfaces/IMarket.sol";
import {Entry, Epoch, FarmerId} from "../../../contracts/types/Types.sol";

/// @title A market into whose books entries can be put as they are, without orders
interface IOpenMarket is IMarket {
    function enter(FarmerId farmer, Epoch end, bool extension, Entry memory entry) external;
}

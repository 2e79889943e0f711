// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "../../../contracts/interfaces/IMarket.sol";
import {Entry, Epoch, FarmerId} from "../../../contracts/types/Types.sol";

/// @title A market whose state can be made, where the calls that lead to it would take too long
interface IOpenMarket is IMarket {
    /// @notice Enters a slot in a book as it is, without an order.
    function enter(FarmerId farmer, Epoch end, bool extension, Entry memory entry) external;

    /// @notice Settles a farmer as if it had proven every epoch up to this one.
    function pass(FarmerId farmer, Epoch epoch) external;

    /// @notice Fills a book that is not used yet with so many entries, whose rates are zero.
    function grow(FarmerId farmer, Epoch end, bool extension, uint256 count) external;
}

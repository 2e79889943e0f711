// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, FarmerId, LossView, OrderId} from "../types/Types.sol";

/// @title Slots declared lost
interface ILosses {
    /// @notice The slot is vacant after `lostEpoch`, with `collateral` out of the farmer's stake.
    event LossDeclared(
        OrderId indexed order,
        FarmerId indexed farmer,
        uint8 slot,
        Epoch from,
        Epoch lostEpoch,
        uint256 collateral
    );

    /// @notice No slot was handed in.
    error NoLoss();

    /// @notice The slot is lost already.
    error AlreadyLost(OrderId order, uint8 slot);

    /// @notice The slot's time begins in epoch `from`: it cannot be lost before.
    error SlotNotBegun(OrderId order, uint8 slot, Epoch from);

    /// @notice With these the operator would have declared slots of the rate `lost` lost in this epoch. The farmer's owner
    /// may do so.
    error LossLimitExceeded(FarmerId farmer, uint256 lost, uint256 limit);

    /// @notice The farmer has no live book of this date.
    error NoSuchBook(FarmerId farmer, Epoch end, bool extension);

    /// @notice Gives up slots whose data are lost: their collateral is forfeit, the rest of the business goes on. In this
    /// epoch they are still asked for, as its seed may be known; they are vacant from the next. By the owner, or by the
    /// operator within the limit that the owner set.
    /// @param farmer The farmer that gives the slots up.
    /// @param end The date of the book that holds them.
    /// @param extension Whether that is the book for extensions.
    /// @param words The slots one after another, each: the order; slot | leafCount << 8 | from << 40 | index in the
    /// mountain range << 72; first << 128 | rate; the slot's root; the path from the slot's entry to its peak.
    function declareLoss(FarmerId farmer, Epoch end, bool extension, bytes32[] calldata words) external;

    /// @notice Whether a slot was declared lost by the farmer that had it from epoch `from`.
    /// @param order The order that the slot belongs to.
    /// @param slot The number of the slot in the order.
    /// @param from The first epoch in which that farmer was audited and paid for it.
    /// @return What was declared. All zero when nothing was.
    function loss(OrderId order, uint8 slot, Epoch from) external view returns (LossView memory);
}

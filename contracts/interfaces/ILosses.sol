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

    /// @notice After `epoch` positions in the book are drawn from `front` on: all before was given up. A loss declared at the front
    /// moves it as well, without this event.
    event FrontCut(FarmerId indexed farmer, Epoch end, bool extension, uint256 front, Epoch epoch);

    /// @notice No slot was handed in.
    error NoLoss();

    /// @notice The slot is lost already.
    error AlreadyLost(OrderId order, uint8 slot);

    /// @notice The slot's time begins in epoch `from`: it cannot be lost before.
    error SlotNotBegun(OrderId order, uint8 slot, Epoch from);

    /// @notice With these the operator would have declared slots of the rate `lost` lost in this epoch. The farmer's owner
    /// may do so.
    error LossLimitExceeded(FarmerId farmer, uint256 lost, uint256 limit);

    /// @notice No slot of this tenure was given up at the position `front` of the book.
    error NotAtFront(bytes32 tenure, uint256 front);

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

    /// @notice Has positions in a book drawn behind slots that were given up before all that is alive, from the next epoch on:
    /// proofs get shorter, and the last slots of the book can be given up. By anyone. Slots that are given up in the book's order
    /// need it not: the front moves with them.
    /// @param farmer The farmer whose book it is.
    /// @param end The date of the book.
    /// @param extension Whether that is the book for extensions.
    /// @param tenures What names the slots at the front, in the book's order: keccak256(abi.encode(order, slot, from)).
    function cutFront(FarmerId farmer, Epoch end, bool extension, bytes32[] calldata tenures) external;

    /// @notice Whether a slot was declared lost by the farmer that had it from epoch `from`.
    /// @param order The order that the slot belongs to.
    /// @param slot The number of the slot in the order.
    /// @param from The first epoch in which that farmer was audited and paid for it.
    /// @return What was declared. All zero when nothing was.
    function loss(OrderId order, uint8 slot, Epoch from) external view returns (LossView memory);
}

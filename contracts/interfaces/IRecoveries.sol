// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, FarmerId, HeldGroup, OrderId} from "../types/Types.sol";

/// @title Slots that were declared lost and found again
interface IRecoveries {
    /// @notice The farmer takes the slot back that it had declared lost, for a new time as the `SlotFilled` event behind this one says:
    /// `forfeit` of its collateral was burnt, the rest is stake again, and `refund` went to the renter's vault.
    event SlotRecovered(OrderId indexed order, FarmerId indexed farmer, uint8 slot, uint256 forfeit, uint256 refund);

    /// @notice Its farmer did not declare it lost.
    error SlotNotLost(OrderId order, uint256 slot);

    /// @notice The epoch in which it was declared lost is neither proven nor over.
    error LossNotSettled(OrderId order, uint256 slot, Epoch lostEpoch);

    /// @notice After `lastBlock`, when a quarter of the time is over in which the bounty rises, repairers may be at work on it.
    error RecoveryTooLate(OrderId order, uint256 slot, uint256 lastBlock);

    /// @notice Takes a slot back that the farmer declared lost, from the next epoch on, as long as it is vacant and a quarter of its
    /// auction is not over. It forfeits a quarter of the slot's collateral, rounded up to whole epochs of pay, and needs the stake
    /// for it again. By the owner or the operator. Nobody asks for the bytes now: the next audits do.
    /// @param farmer The farmer that declared it lost.
    /// @param held The order, with the slot's group as it is now.
    /// @param slot The number of the slot in the order.
    function recover(FarmerId farmer, HeldGroup calldata held, uint8 slot) external;
}

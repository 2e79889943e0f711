// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, EvictionView, FarmerId, Held, OrderId, Takeover} from "../types/Types.sol";

/// @title Eviction, repair and the end of an order
interface IRepairs {
    /// @notice Each of the farmer's slots, vacant from `vacantFrom` on, has `collateralEpochs` epochs of its pay to
    /// offer as bounty; `reward` went to the earnings of `by`.
    event Evicted(
        FarmerId indexed farmer,
        address indexed by,
        Epoch vacantFrom,
        uint256 collateralEpochs,
        uint256 reward
    );

    /// @notice The farmer's time with the slot is over and another's begins, as the `SlotFilled` event behind this one
    /// says: `bounty` went to the repairer's earnings and `refund` to the renter's vault.
    event SlotVacated(
        OrderId indexed order,
        FarmerId indexed farmer,
        uint8 slot,
        address indexed repairer,
        uint256 bounty,
        uint256 refund
    );

    /// @notice The order is over. To the renter's vault went `refund`, what it paid for epochs that were not proven, and
    /// `compensation`, out of the stakes of those who did not prove them.
    event OrderClosed(OrderId indexed order, address indexed renter, uint256 refund, uint256 compensation);

    /// @notice The farmer keeps what it accepted, or has not missed enough yet.
    error NotLapsed(FarmerId farmer);

    /// @notice The farmer was evicted before.
    error AlreadyEvicted(FarmerId farmer);

    /// @notice Nobody would be paid.
    error NoRepairer();

    /// @notice There are no takeovers.
    error NothingToRefill();

    /// @notice The order has `count` slots.
    error NoSuchSlot(uint256 slot, uint256 count);

    /// @notice Its farmer has not lapsed, nor lost the slot, or the epoch in which it did is neither proven nor over.
    error SlotNotVacant(uint256 slot, FarmerId farmer);

    /// @notice The order ends before a new farmer could begin.
    error OrderEnding(OrderId order, Epoch end);

    /// @notice The order begins later than a new farmer would.
    error OrderNotBegun(OrderId order, Epoch from);

    /// @notice The order is not over.
    error OrderNotOver(OrderId order, Epoch end, uint256 current);

    /// @notice Makes a lapsed farmer's stake the collateral of its slots. By anyone, for an epoch of the farmer's pay. The
    /// bounties rise since the slots are vacant, whenever that is done.
    /// @dev What is owed to its slots beyond the collateral is its owner's.
    /// @param farmer The farmer that lapsed.
    function evict(FarmerId farmer) external;

    /// @notice Gives vacant slots to farmers that signed `takeovers`, and settles with the renter for those before them.
    /// By anyone; the bounties go to `repairer`, whom the farmers signed for, so there is nothing to win by being first
    /// with what another has sent, but for the reward of an eviction that was still to be made: that is the caller's.
    /// @param held The order, with its slots as they are now.
    /// @param repairer The account that is paid the bounties.
    /// @param takeovers What the new farmers signed, one for each slot that is given away.
    function refill(Held calldata held, address repairer, Takeover[] calldata takeovers) external;

    /// @notice Ends an order that is over, and returns to its renter what was not proven, with compensation. By anyone.
    /// @dev Settles and evicts farmers where it must. If that is too much for a block, `settle` and `evict` come first.
    /// @param held The order, with its slots as they are now.
    function close(Held calldata held) external;

    /// @notice Since when an evicted farmer's slots are vacant, and what they have to offer.
    /// @param farmer The farmer that is asked about.
    /// @return All zero when the farmer was not evicted.
    function eviction(FarmerId farmer) external view returns (EvictionView memory);
}

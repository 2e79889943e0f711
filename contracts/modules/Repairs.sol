// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRepairs} from "../interfaces/IRepairs.sol";
import {Bounty} from "../libraries/Bounty.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {Epoch, EvictionView, FarmerId, Held, OrderId, OrderView, Rate, Slot, Takeover} from "../types/Types.sol";
import {Endings} from "./Endings.sol";
import {Orders} from "./Orders.sol";

/// @title Eviction, repair and the end of an order
/// @dev Decides what becomes of a lapsed farmer's stake, who takes over a vacant slot for which bounty, and what comes
/// back to the renter when a farmer's time with a slot is over.
///
/// Invariants:
///   2 * bounty <= what the new farmer loses if it proves nothing
///   a tenure is closed once: `refill` puts another in its place, `close` deletes the order
abstract contract Repairs is IRepairs, Orders, Endings {
    /// @dev What a call pays out in all.
    struct Payout {
        uint256 refund;
        uint256 compensation;
        uint256 bounty;
    }

    /// @inheritdoc IRepairs
    function evict(FarmerId id) external {
        Farmer storage stored = _existing(id);
        FarmerState state = _settled(id, stored, stored.state, _currentEpoch());
        if (!state.isLapsed()) revert NotLapsed(id);
        if (state.isEvicted()) revert AlreadyEvicted(id);
        _evict(id, stored, state);
    }

    /// @inheritdoc IRepairs
    function refill(Held calldata held, address repairer, Takeover[] calldata takeovers) external {
        if (repairer == address(0)) revert NoRepairer();
        if (takeovers.length == 0) revert NothingToRefill();
        (OrderView memory stored, Slot[] memory slots, bytes32[] memory words) = _heldSlots(held);
        uint256 current = _currentEpoch();
        Epoch from = Epoch.wrap(uint32(current + 1));
        if (Epoch.unwrap(from) >= Epoch.unwrap(stored.end)) revert OrderEnding(held.order, stored.end);
        if (Epoch.unwrap(from) < Epoch.unwrap(stored.from)) revert OrderNotBegun(held.order, stored.from);
        SlotAssignment memory assignment = _newAssignment(held.order, held.leafCount, current, from, stored.end);
        assignment.message.repairer = repairer;
        Payout memory payout;
        for (uint256 i = 0; i < takeovers.length; ++i) _takeOver(assignment, slots, takeovers[i], payout);
        _orders[held.order].slotsHash = _hashOf(words);
        _credit(stored.renter, payout.refund);
        _earn(repairer, payout.bounty);
    }

    /// @inheritdoc IRepairs
    function close(Held calldata held) external {
        (OrderView memory stored, Slot[] memory slots, ) = _heldSlots(held);
        uint256 current = _currentEpoch();
        uint256 end = Epoch.unwrap(stored.end);
        if (current < end) revert OrderNotOver(held.order, stored.end, current);
        Payout memory payout;
        for (uint256 i = 0; i < slots.length; ++i) {
            Ending memory ending = _end(held.order, uint8(i), slots[i], end, end, current);
            payout.refund += ending.refund;
            payout.compensation += ending.compensation + ending.collateral;
        }
        delete _orders[held.order];
        _credit(stored.renter, payout.refund + payout.compensation);
        emit OrderClosed(held.order, stored.renter, payout.refund, payout.compensation);
    }

    /// @inheritdoc IRepairs
    function eviction(FarmerId id) external view returns (EvictionView memory) {
        FarmerState state = _farmers[id].state;
        if (!state.isEvicted()) return EvictionView({vacantBlock: 0, collateralEpochs: 0});
        return EvictionView({vacantBlock: uint64(_vacantBlock(state)), collateralEpochs: state.collateralEpochs()});
    }

    /// @dev Gives one vacant slot to the farmer that signed for it, in `slots` too.
    function _takeOver(
        SlotAssignment memory assignment,
        Slot[] memory slots,
        Takeover calldata takeover,
        Payout memory payout
    ) private {
        (uint8 index, FarmerId farmer) = (takeover.slot, takeover.farmer);
        if (index >= slots.length) revert NoSuchSlot(index, slots.length);
        for (uint256 i = 0; i < slots.length; ++i) {
            if (FarmerId.unwrap(slots[i].farmer) == FarmerId.unwrap(farmer)) revert DuplicateFarmer(index, farmer);
        }
        Slot memory slot = slots[index];
        uint256 from = Epoch.unwrap(assignment.entry.from);
        Ending memory ending = _end(
            assignment.entry.order,
            index,
            slot,
            from,
            Epoch.unwrap(assignment.message.end),
            assignment.current
        );
        if (ending.vacantBlock == 0) revert SlotNotVacant(index, slot.farmer);
        uint256 bounty = _bounty(assignment, slot, ending);
        uint256 refund = ending.refund + ending.compensation + ending.collateral - bounty;
        payout.bounty += bounty;
        payout.refund += refund;
        emit SlotVacated(assignment.entry.order, slot.farmer, index, assignment.message.repairer, bounty, refund);
        _assignTakeover(assignment, slot, takeover);
        slot.farmer = farmer;
        slot.from = assignment.entry.from;
    }

    /// @dev Closes the books on the time up to the epoch `until` that a slot had its farmer, or none, of an order that ends with
    /// `end`.
    function _end(
        OrderId order,
        uint8 index,
        Slot memory slot,
        uint256 until,
        uint256 end,
        uint256 current
    ) private returns (Ending memory) {
        if (FarmerId.unwrap(slot.farmer) == 0) return _endVacancy(slot, until, end);
        return _endTenure(order, index, slot, until, current);
    }

    /// @dev The same for a slot that began vacant. Its bounty rises from the first block in which it can be taken, so that a
    /// farmer that had the slot before, and was left out, can take it for nothing.
    function _endVacancy(Slot memory slot, uint256 until, uint256 end) private view returns (Ending memory ending) {
        uint256 rate = Rate.unwrap(slot.rate);
        uint256 from = Epoch.unwrap(slot.from);
        ending.refund = rate * (until - from);
        ending.collateral = _vacantCollateral(rate, end - from);
        ending.vacantBlock = Epochs.firstBlock(from - 1, EPOCH_BLOCKS);
    }

    /// @dev What is set aside for a slot that begins vacant: the most that its bounty can be.
    function _vacantCollateral(uint256 rate, uint256 epochs) internal view returns (uint256) {
        return Bounty.full(rate, type(uint256).max, epochs, PENALTY + FINE, COLLATERAL_EPOCHS);
    }

    function _bounty(
        SlotAssignment memory assignment,
        Slot memory slot,
        Ending memory ending
    ) private view returns (uint256) {
        uint256 full = Bounty.full(
            Rate.unwrap(slot.rate),
            ending.collateral,
            Epoch.unwrap(assignment.message.end) - Epoch.unwrap(assignment.entry.from),
            PENALTY + FINE,
            COLLATERAL_EPOCHS
        );
        return Bounty.offered(full, block.number - ending.vacantBlock, AUCTION_EPOCHS * EPOCH_BLOCKS);
    }
}

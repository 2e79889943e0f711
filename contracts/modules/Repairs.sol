// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IRepairs} from "../interfaces/IRepairs.sol";
import {Bounty} from "../libraries/Bounty.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {
    Acceptance,
    Epoch,
    EvictionView,
    FarmerId,
    Held,
    OrderId,
    OrderView,
    Rate,
    Slot,
    Takeover
} from "../types/Types.sol";
import {Orders} from "./Orders.sol";

/// @title Eviction, repair and the end of an order
/// @dev Decides what becomes of a lapsed farmer's stake, who takes over a vacant slot for which bounty, and what comes
/// back to the renter when a farmer's time with a slot is over.
///
/// Of a tenure, the epochs [from, vacantFrom) are the farmer's, [vacantFrom, until) nobody's:
///   to the farmer, proof by proof   rate * proven epochs
///   to the renter, here: refund        rate * (missed + vacant epochs)
///                        compensation  PENALTY * rate * missed epochs
///                                      + the slot's collateral if it fell vacant, without the bounty
/// The first two take up rate * (until - from), which the renter paid; the rest came out of the farmer's stake.
///
/// Invariants:
///   a slot's collateral is a whole number of epochs of its pay, at most COLLATERAL_EPOCHS: so nothing is rounded away
///   2 * bounty <= what the new farmer loses if it proves nothing
///   a tenure is closed once: `refill` puts another in its place, `close` deletes the order
abstract contract Repairs is IRepairs, Orders {
    /// @dev How a farmer's time with a slot ended.
    struct Ending {
        uint256 refund;
        uint256 compensation; // without the collateral
        uint256 collateral; // zero if the slot did not fall vacant
        uint256 vacantBlock; // from here the bounty rises; zero if the slot did not fall vacant
    }

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
        Slot[] memory slots = held.slots;
        OrderView memory stored = _heldOrder(held, slots);
        uint256 current = _currentEpoch();
        Epoch from = Epoch.wrap(uint32(current + 1));
        if (Epoch.unwrap(from) >= Epoch.unwrap(stored.end)) revert OrderEnding(held.order, stored.end);
        if (Epoch.unwrap(from) < Epoch.unwrap(stored.from)) revert OrderNotBegun(held.order, stored.from);
        SlotAssignment memory assignment = _newAssignment(held.order, held.leafCount, current, from, stored.end);
        assignment.message.repairer = repairer;
        Payout memory payout;
        for (uint256 i = 0; i < takeovers.length; ++i) _takeOver(assignment, slots, takeovers[i], payout);
        _orders[held.order].slotsHash = _slotsHash(held.leafCount, held.pieceLeaves, slots);
        _credit(stored.renter, payout.refund);
        _earn(repairer, payout.bounty);
    }

    /// @inheritdoc IRepairs
    function close(Held calldata held) external {
        Slot[] memory slots = held.slots;
        OrderView memory stored = _heldOrder(held, slots);
        uint256 current = _currentEpoch();
        uint256 end = Epoch.unwrap(stored.end);
        if (current < end) revert OrderNotOver(held.order, stored.end, current);
        Payout memory payout;
        for (uint256 i = 0; i < slots.length; ++i) {
            Ending memory ending = _endTenure(held.order, uint8(i), slots[i], end, end, current);
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

    /// @dev The stake of a lapsed farmer: an epoch of its pay to the caller, then up to its collateral to its slots, the
    /// same number of epochs of pay to each. What is above the collateral is the owner's; what is short of another whole
    /// epoch is burnt, so that nothing is rounded away. A lapsed farmer is swept to the first epoch of its vacancy.
    function _evict(FarmerId id, Farmer storage stored, FarmerState state) private returns (FarmerState) {
        uint256 vacant = state.committedRate();
        uint256 stake = stored.stake;
        uint256 reward = Math.min(stake, vacant);
        uint256 rest = stake - reward;
        uint256 collateralEpochs = vacant == 0 ? COLLATERAL_EPOCHS : Math.min(rest / vacant, COLLATERAL_EPOCHS);
        _earn(collateralEpochs == COLLATERAL_EPOCHS ? stored.owner : BURNT, rest - collateralEpochs * vacant);
        Epoch vacantFrom = Epoch.wrap(uint32(state.settledEpoch() + 1));
        state = state.evicted(collateralEpochs);
        stored.state = state;
        stored.stake = 0;
        _earn(msg.sender, reward);
        emit Evicted(id, msg.sender, vacantFrom, collateralEpochs, reward);
        return state;
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
        Ending memory ending = _endTenure(
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
        Acceptance memory acceptance = Acceptance({
            farmer: farmer,
            root: slot.root,
            rate: slot.rate,
            deadlineBlock: takeover.deadlineBlock,
            r: takeover.r,
            vs: takeover.vs
        });
        // The tenure that ends: each has another first epoch, so no acceptance serves twice.
        assignment.message.previous = bytes32(uint256(Epoch.unwrap(slot.from)));
        _assign(assignment, index, acceptance);
        slot.farmer = farmer;
        slot.from = assignment.entry.from;
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

    /// @dev The first block of the epoch after the last that counts for a lapsed farmer, whenever it is settled and
    /// evicted, and by whom.
    function _vacantBlock(FarmerState state) private view returns (uint256) {
        return Epochs.firstBlock(state.settledEpoch() + 1, EPOCH_BLOCKS);
    }

    /// @dev What is set aside for a slot that begins vacant: the most that its bounty can be.
    function _vacantCollateral(uint256 rate, uint256 epochs) internal view returns (uint256) {
        return Bounty.full(rate, type(uint256).max, epochs, PENALTY + FINE, COLLATERAL_EPOCHS);
    }

    /// @dev Closes the books on a farmer's time with a slot, up to the epoch `until`, of an order that ends with `end`.
    function _endTenure(
        OrderId order,
        uint8 index,
        Slot memory slot,
        uint256 until,
        uint256 end,
        uint256 current
    ) private returns (Ending memory ending) {
        FarmerId farmer = slot.farmer;
        if (FarmerId.unwrap(farmer) == 0) return _endVacancy(slot, until, end);
        uint256 rate = Rate.unwrap(slot.rate);
        uint256 vacantFrom = until;
        Farmer storage stored = _farmers[farmer];
        FarmerState state = stored.state;
        if (!state.isLapsed() && state.settledEpoch() + 1 < until) {
            state = _settled(farmer, stored, state, current);
            stored.state = state;
        }
        Loss memory loss;
        if (state.hasLost()) loss = _losses[_tenure(order, index, slot.from)];
        if (loss.lostBlock != 0 && loss.lostEpoch <= state.settledEpoch()) {
            vacantFrom = uint256(loss.lostEpoch) + 1;
            ending.vacantBlock = loss.lostBlock;
            ending.collateral = loss.collateralEpochs * rate;
            if (_isMissed(farmer, loss.lostEpoch)) {
                // The stake no longer answered for this slot: its collateral does.
                ending.collateral -= (PENALTY + FINE) * rate;
                _earn(BURNT, FINE * rate);
            }
        } else if (state.isLapsed() && state.settledEpoch() + 1 < until) {
            if (!state.isEvicted()) state = _evict(farmer, stored, state);
            vacantFrom = Math.max(state.settledEpoch() + 1, Epoch.unwrap(slot.from));
            ending.vacantBlock = _vacantBlock(state);
            ending.collateral = state.collateralEpochs() * rate;
        }
        uint256 missed = state.misses() == 0 ? 0 : _missesIn(farmer, Epoch.unwrap(slot.from), vacantFrom);
        ending.refund = rate * (missed + until - vacantFrom);
        ending.compensation = rate * PENALTY * missed;
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
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IFarmers} from "../interfaces/IFarmers.sol";
import {IRecoveries} from "../interfaces/IRecoveries.sol";
import {IRepairs} from "../interfaces/IRepairs.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {Acceptance, Epoch, FarmerId, HeldGroup, OrderView, Rate, Slot} from "../types/Types.sol";
import {Endings} from "./Endings.sol";
import {HandOvers} from "./HandOvers.sol";

/// @title Slots that were declared lost and found again
/// @dev Decides when a farmer may take back what it declared lost, and what that costs it.
///
/// Who declares a loss calls repairers: they read, and pay for it. A farmer that could take the slot back from under them would
/// sell reads that are never used. So it says so before a quarter of the auction is over, in which no repairer of ours begins;
/// and what it forfeits is burnt, and no less than what is offered to a repairer until then: so nothing is won by selling reads to
/// one that begins all the same, and pays no more than it would win (docs/economics.md).
///
/// Invariants:
///   forfeit = a quarter of the epochs of pay that the slot left, rounded up, or what is left of them
///   the bounty that is offered while a slot may be taken back <= forfeit, unless the epoch of the loss was missed
abstract contract Recoveries is IRecoveries, Endings, HandOvers {
    uint256 private constant QUARTER = 4;

    /// @inheritdoc IRecoveries
    function recover(FarmerId id, HeldGroup calldata held, uint8 index) external {
        Farmer storage stored = _existing(id);
        if (msg.sender != stored.owner && msg.sender != stored.operator) {
            revert IFarmers.NotOwnerOrOperator(id, msg.sender);
        }
        uint256 current = _currentEpoch();
        Epoch from = Epoch.wrap(uint32(current + 1));
        OrderView memory order;
        Slot memory slot;
        (order, slot, _orders[held.order].slotsHash) = _heldGroup(held, index, id, from);
        if (Epoch.unwrap(from) >= Epoch.unwrap(order.end)) revert IRepairs.OrderEnding(held.order, order.end);
        if (FarmerId.unwrap(slot.farmer) != FarmerId.unwrap(id)) revert NotItsSlot(index, slot.farmer);
        FarmerState state = _settledUnlapsed(id, stored, stored.state, current);
        stored.state = state;
        uint256 forfeitEpochs = _forfeitEpochs(held, index, slot.from, state);
        Ending memory ending = _endTenure(held.order, index, slot, Epoch.unwrap(from), current);
        uint256 forfeit = Math.min(forfeitEpochs * Rate.unwrap(slot.rate), ending.collateral);
        _earn(BURNT, forfeit);
        _credit(order.renter, ending.refund + ending.compensation);
        uint256 stake = stored.stake + ending.collateral - forfeit;
        if (stake > type(uint96).max) {
            revert IFarmers.StakeTooLarge(ending.collateral - forfeit, type(uint96).max - stored.stake);
        }
        stored.stake = uint96(stake);
        emit SlotRecovered(held.order, id, index, forfeit, ending.refund + ending.compensation);
        SlotAssignment memory assignment = _newAssignment(held.order, held.leafCount, current, from, order.end);
        _take(assignment, index, Acceptance(id, slot.root, slot.rate, slot.maxEgressPricePerGib, 0, 0, 0), stake);
    }

    /// @dev How many epochs of the slot's pay it costs, if it can be taken back now.
    function _forfeitEpochs(
        HeldGroup calldata held,
        uint8 index,
        Epoch from,
        FarmerState state
    ) private view returns (uint256) {
        Loss memory loss = _losses[_tenure(held.order, index, from)];
        if (loss.lostBlock == 0) revert SlotNotLost(held.order, index);
        if (loss.lostEpoch > state.settledEpoch()) revert LossNotSettled(held.order, index, Epoch.wrap(loss.lostEpoch));
        uint256 lastBlock = loss.lostBlock + (AUCTION_EPOCHS * EPOCH_BLOCKS) / QUARTER;
        if (block.number > lastBlock) revert RecoveryTooLate(held.order, index, lastBlock);
        return Math.ceilDiv(loss.collateralEpochs, QUARTER);
    }
}

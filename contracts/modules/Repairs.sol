// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IRepairs} from "../interfaces/IRepairs.sol";
import {Bounty} from "../libraries/Bounty.sol";
import {Epoch, EvictionView, FarmerId, Held, OrderId, OrderView, Rate, Slot, Takeover} from "../types/Types.sol";
import {Orders} from "./Orders.sol";

/// @title Eviction, repair and the end of an order
/// @dev Decides what becomes of a lapsed farmer's stake, who takes over a vacant slot for which bounty, and what comes
/// back to the renter when a farmer's time with a slot is over.
///
/// Of a tenure, the epochs [from, vacantFrom) are the farmer's, [vacantFrom, until) nobody's:
///   to the farmer, proof by proof   rate * proven epochs
///   to the renter, here             rate * (missed + vacant epochs) + PENALTY * rate * missed epochs
///                                   + the slot's collateral if it fell vacant, without the bounty
/// The first two take up rate * (until - from), which the renter paid; the rest came out of the farmer's stake.
///
/// Invariants:
///   a slot's collateral is a whole number of epochs of its pay, at most COLLATERAL_EPOCHS: so nothing is rounded away
///   2 * bounty <= what the new farmer loses if it proves nothing
///   a tenure is closed once: `refill` puts another in its place, `close` deletes the order
abstract contract Repairs is IRepairs, Orders {
    /// @dev How a farmer's time with a slot ended.
    struct Ending {
        uint256 refund; // without the collateral
        uint256 collateral; // zero if the slot did not fall vacant
        uint256 vacantBlock;
    }

    /// @inheritdoc IRepairs
    function evict(FarmerId id) external {
        Farmer storage stored = _existing(id);
        Standing memory standing = stored.standing;
        _settle(id, stored, standing, _currentEpoch());
        if (!standing.lapsed) revert NotLapsed(id);
        if (_evictions[id].evictedBlock != 0) revert AlreadyEvicted(id);
        _evict(id, stored, standing);
    }

    /// @inheritdoc IRepairs
    function refill(Held calldata held, address repairer, Takeover[] calldata takeovers) external {
        if (repairer == address(0)) revert NoRepairer();
        if (takeovers.length == 0) revert NothingToRefill();
        OrderView memory stored = _heldOrder(held);
        uint256 current = _currentEpoch();
        Taking memory taking = Taking({
            order: held.order,
            previous: OrderId.wrap(0),
            repairer: repairer,
            leafCount: held.leafCount,
            current: current,
            from: Epoch.wrap(uint32(current + 1)),
            end: stored.end
        });
        if (Epoch.unwrap(taking.from) >= Epoch.unwrap(stored.end)) revert OrderEnding(held.order, stored.end);
        if (Epoch.unwrap(taking.from) < Epoch.unwrap(stored.from)) revert OrderNotBegun(held.order, stored.from);
        Slot[] memory slots = held.slots;
        uint256 refunds = 0;
        uint256 bounties = 0;
        for (uint256 i = 0; i < takeovers.length; ++i) {
            (uint256 refund, uint256 bounty) = _takeOver(taking, slots, takeovers[i]);
            refunds += refund;
            bounties += bounty;
        }
        _orders[held.order].slotsHash = keccak256(abi.encode(held.leafCount, held.pieceLeaves, slots));
        _credit(stored.renter, refunds);
        _earn(repairer, bounties);
    }

    /// @inheritdoc IRepairs
    function close(Held calldata held) external {
        OrderView memory stored = _heldOrder(held);
        uint256 current = _currentEpoch();
        uint256 end = Epoch.unwrap(stored.end);
        if (current < end) revert OrderNotOver(held.order, stored.end, current);
        uint256 refund = 0;
        for (uint256 i = 0; i < held.slots.length; ++i) {
            Ending memory ending = _endTenure(held.order, uint8(i), held.slots[i], end, current);
            refund += ending.refund + ending.collateral;
        }
        delete _orders[held.order];
        _credit(stored.renter, refund);
        emit OrderClosed(held.order, stored.renter, refund);
    }

    /// @inheritdoc IRepairs
    function eviction(FarmerId id) external view returns (EvictionView memory) {
        Eviction memory stored = _evictions[id];
        return EvictionView({evictedBlock: stored.evictedBlock, collateralEpochs: stored.collateralEpochs});
    }

    /// @dev The stake of a lapsed farmer: an epoch of its pay to the caller, then up to its collateral to its slots, the
    /// same number of epochs of pay to each. What is above the collateral is the owner's; what is short of another whole
    /// epoch is burnt, so that nothing is rounded away.
    function _evict(FarmerId id, Farmer storage stored, Standing memory standing) private {
        uint256 vacantFrom = uint256(standing.settledEpoch) + 1;
        _sweep(id, standing, vacantFrom);
        uint256 vacant = standing.committedRate;
        uint256 stake = stored.stake;
        uint256 reward = Math.min(stake, vacant);
        uint256 rest = stake - reward;
        uint256 collateralEpochs = vacant == 0 ? COLLATERAL_EPOCHS : Math.min(rest / vacant, COLLATERAL_EPOCHS);
        uint256 left = rest - collateralEpochs * vacant;
        _earn(collateralEpochs == COLLATERAL_EPOCHS ? stored.owner : BURNT, left);
        _evictions[id] = Eviction({evictedBlock: uint64(block.number), collateralEpochs: uint32(collateralEpochs)});
        standing.committedRate = 0;
        stored.standing = standing;
        stored.stake = 0;
        _earn(msg.sender, reward);
        emit Evicted(id, msg.sender, Epoch.wrap(uint32(vacantFrom)), collateralEpochs, reward);
    }

    function _takeOver(
        Taking memory taking,
        Slot[] memory slots,
        Takeover calldata takeover
    ) private returns (uint256 refund, uint256 bounty) {
        if (takeover.slot >= slots.length) revert NoSuchSlot(takeover.slot, slots.length);
        for (uint256 i = 0; i < slots.length; ++i) {
            if (FarmerId.unwrap(slots[i].farmer) == FarmerId.unwrap(takeover.farmer)) {
                revert DuplicateFarmer(takeover.slot, takeover.farmer);
            }
        }
        Slot memory slot = slots[takeover.slot];
        Ending memory ending = _endTenure(
            taking.order,
            takeover.slot,
            slot,
            Epoch.unwrap(taking.from),
            taking.current
        );
        if (ending.vacantBlock == 0) revert SlotNotVacant(takeover.slot, slot.farmer);
        bounty = _bounty(taking, slot, ending);
        refund = ending.refund + ending.collateral - bounty;
        emit SlotVacated(taking.order, slot.farmer, takeover.slot, taking.repairer, bounty, refund);
        _take(
            taking,
            Taken({
                slot: takeover.slot,
                farmer: takeover.farmer,
                root: slot.root,
                rate: slot.rate,
                deadlineBlock: takeover.deadlineBlock,
                r: takeover.r,
                vs: takeover.vs
            })
        );
        slot.farmer = takeover.farmer;
        slot.from = taking.from;
    }

    function _bounty(
        Taking memory taking,
        Slot memory slot,
        Ending memory ending
    ) private view returns (uint256) {
        uint256 full = Bounty.full(
            Rate.unwrap(slot.rate),
            ending.collateral,
            Epoch.unwrap(taking.end) - Epoch.unwrap(taking.from),
            PENALTY + FINE,
            COLLATERAL_EPOCHS
        );
        return Bounty.offered(full, block.number - ending.vacantBlock, AUCTION_EPOCHS * EPOCH_BLOCKS);
    }

    /// @dev Closes the books on a farmer's time with a slot, up to the epoch `until`.
    function _endTenure(
        OrderId order,
        uint8 index,
        Slot memory slot,
        uint256 until,
        uint256 current
    ) private returns (Ending memory ending) {
        uint256 from = Epoch.unwrap(slot.from);
        uint256 rate = Rate.unwrap(slot.rate);
        uint256 vacantFrom = until;
        Farmer storage stored = _farmers[slot.farmer];
        Standing memory standing = stored.standing;
        if (!standing.lapsed && standing.settledEpoch + 1 < until) {
            _settle(slot.farmer, stored, standing, current);
            stored.standing = standing;
        }
        Loss memory loss;
        if (standing.lost) loss = _losses[_tenure(order, index, slot.from)];
        if (loss.lostBlock != 0 && loss.lostEpoch <= standing.settledEpoch) {
            vacantFrom = uint256(loss.lostEpoch) + 1;
            ending.vacantBlock = loss.lostBlock;
            ending.collateral = loss.collateralEpochs * rate;
            if (_isMissed(slot.farmer, loss.lostEpoch)) {
                // The stake no longer answered for this slot: its collateral does.
                ending.collateral -= (PENALTY + FINE) * rate;
                _earn(BURNT, FINE * rate);
            }
        } else if (standing.lapsed && standing.settledEpoch + 1 < until) {
            if (_evictions[slot.farmer].evictedBlock == 0) _evict(slot.farmer, stored, standing);
            Eviction memory evicted = _evictions[slot.farmer];
            vacantFrom = uint256(standing.settledEpoch) + 1;
            if (vacantFrom < from) vacantFrom = from;
            ending.vacantBlock = evicted.evictedBlock;
            ending.collateral = evicted.collateralEpochs * rate;
        }
        uint256 missed = _missesIn(slot.farmer, from, vacantFrom);
        ending.refund = rate * (missed * (1 + PENALTY) + until - vacantFrom);
    }
}

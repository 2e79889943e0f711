// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IAudits} from "../interfaces/IAudits.sol";
import {IFarmers} from "../interfaces/IFarmers.sol";
import {IHandOvers} from "../interfaces/IHandOvers.sol";
import {IOrders} from "../interfaces/IOrders.sol";
import {IRepairs} from "../interfaces/IRepairs.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {HandOverTally} from "../types/HandOverTally.sol";
import {
    Entry,
    Epoch,
    FarmerId,
    HeldGroup,
    OrderId,
    OrderView,
    Parting,
    Passing,
    Rate,
    Slot,
    Takeover
} from "../types/Types.sol";
import {HeldGroups} from "./HeldGroups.sol";
import {Losses} from "./Losses.sol";
import {Tenures} from "./Tenures.sol";

/// @title Slots that pass from farmer to farmer
/// @dev Decides who may hand a slot over to whom, and what the one who does answers for. Whether the taker may take it on is
/// decided by `Tenures`.
///
/// Both begin clean. The one that hands over has proven the epoch, so nothing is left to judge of its time with the slot, and no
/// slot passes on that its farmer was not asked for. Neither has strikes: none are shed, and none are passed on.
///
/// Until the taker has proven once the other answers with it: its collateral is bound, and each epoch missed before costs it
/// the fine as well. More would pay a renter whose farmers take slots and keep nothing; without it to lose a slot by way of a
/// farmer that vanishes would be cheaper than to declare it lost (docs/economics.md).
///
/// Invariants:
///   what is bound = sum(min(COLLATERAL_EPOCHS, stake / committedRate, rounded down) * rate) over what was handed over
///   what is bound >= MAX_MISSES * FINE * rate, so no burnt fine is short of it
///   in a grid period at most (n - k) / 2 slots of an order are handed over, none where the renter forbade it
abstract contract HandOvers is IHandOvers, Losses, Tenures, HeldGroups {
    bytes32 private constant HAND_OVER_TYPEHASH = keccak256(
        "HandOver(bytes32 order,uint32 farmer,uint8 slot,bytes32 root,uint32 leafCount,uint80 rate,"
        "uint80 maxEgressPricePerGib,uint32 end,"
        "uint64 deadlineBlock,bytes32 previous,uint32 giver)"
    );

    /// @inheritdoc IHandOvers
    function handOver(FarmerId id, Parting[] calldata partings) external {
        Farmer storage stored = _existing(id);
        if (msg.sender != stored.owner && msg.sender != stored.operator) {
            revert IFarmers.NotOwnerOrOperator(id, msg.sender);
        }
        if (partings.length == 0) revert NothingToHandOver();
        for (uint256 i = 0; i < partings.length; ++i) _handOver(id, stored, partings[i]);
    }

    /// @inheritdoc IHandOvers
    function release(FarmerId id, FarmerId taker, Epoch epoch) external {
        bytes32 key = _handOverKey(id, taker, epoch);
        Bond memory bond = _bonds[key];
        if (bond.rate == 0) revert NothingBound(id, taker, epoch);
        Farmer storage stored = _farmers[taker];
        FarmerState state = _settled(taker, stored, stored.state, _currentEpoch());
        stored.state = state;
        uint256 first = uint256(Epoch.unwrap(epoch)) + 1;
        uint256 last = state.settledEpoch();
        uint256 missed = 0;
        while (first + missed <= last && _isMissed(taker, first + missed)) ++missed;
        if (first + missed > last) {
            if (!state.isLapsed()) revert TakerNotProven(taker, Epoch.wrap(uint32(last)));
            missed = Math.max(missed, 1);
        }
        uint256 burnt = FINE * bond.rate * missed;
        delete _bonds[key];
        _earn(BURNT, burnt);
        _earn(_farmers[id].owner, bond.amount - burnt);
        emit Released(id, taker, epoch, bond.amount - burnt, burnt);
    }

    /// @inheritdoc IHandOvers
    function bound(FarmerId id, FarmerId taker, Epoch epoch) external view returns (uint256) {
        return _bonds[_handOverKey(id, taker, epoch)].amount;
    }

    /// @dev What is decided about the farmer and its book is decided once, for all slots of the book together.
    function _handOver(FarmerId id, Farmer storage stored, Parting calldata parting) private {
        Passing[] calldata passings = parting.passings;
        if (passings.length == 0) revert NothingToHandOver();
        (Losing memory losing, Book storage kept) = _losing(id, stored, parting.end, parting.extension);
        _checkClean(losing);
        bool stays = FarmerId.unwrap(passings[0].takeover.farmer) == FarmerId.unwrap(id);
        if (stays) losing.collateralEpochs = 0;
        Slot[] memory slots = new Slot[](passings.length);
        uint256 rate = 0;
        for (uint256 i = 0; i < passings.length; ++i) {
            slots[i] = _part(losing, kept, passings[i], stays);
            rate += Rate.unwrap(slots[i].rate);
        }
        // Moved from the front to the end of its book, they leave as much alive behind the front as before.
        _giveUp(losing, stored, kept, rate, stays && !losing.extension && losing.front - losing.before == rate);
        _beginAll(losing, parting.end, passings, slots);
    }

    /// @dev Ends the farmer's time with a slot, in its book and for its renter. Returns the slot as it was.
    function _part(
        Losing memory losing,
        Book storage kept,
        Passing calldata passing,
        bool stays
    ) private returns (Slot memory slot) {
        HeldGroup calldata held = passing.held;
        (uint8 index, FarmerId taker) = (passing.takeover.slot, passing.takeover.farmer);
        OrderView memory order;
        (order, slot, _orders[held.order].slotsHash) = _heldGroup(
            held,
            index,
            taker,
            Epoch.wrap(uint32(losing.current + 1))
        );
        if (FarmerId.unwrap(slot.farmer) != FarmerId.unwrap(losing.farmer)) revert NotItsSlot(index, slot.farmer);
        if (stays != (FarmerId.unwrap(taker) == FarmerId.unwrap(losing.farmer))) revert ToItselfAndOthers(index);
        if (_hasOther(held, index, taker)) revert IOrders.DuplicateFarmer(index, taker);
        uint256 collateral = losing.collateralEpochs * Rate.unwrap(slot.rate);
        if (!stays) {
            _count(held.order, order, losing.current);
            _bind(losing, taker, Rate.unwrap(slot.rate), collateral);
        }
        _leave(losing, kept, passing, slot);
        uint256 missed =
            losing.state.misses() == 0 ? 0 : _missesIn(losing.farmer, Epoch.unwrap(slot.from), losing.current + 1);
        uint256 refund = (1 + PENALTY) * Rate.unwrap(slot.rate) * missed;
        _credit(order.renter, refund);
        Epoch epoch = Epoch.wrap(uint32(losing.current));
        emit SlotHandedOver(held.order, losing.farmer, index, slot.from, epoch, taker, collateral, refund);
    }

    /// @dev Counts a hand-over of the order in this grid period.
    function _count(OrderId id, OrderView memory order, uint256 current) private {
        if (!order.handOvers.isAllowed()) revert HandOverForbidden(id);
        uint256 datesLeft = Epochs.gridOf(Epoch.unwrap(order.end), GRID_EPOCHS) - Epochs.gridOf(current, GRID_EPOCHS);
        (HandOverTally tally, uint256 count) = order.handOvers.plusOne(datesLeft);
        uint256 limit = uint256(order.n - order.k) / 2;
        if (count > limit) revert TooManyHandOvers(id, limit);
        _orders[id].handOvers = tally;
    }

    function _checkClean(Losing memory losing) private pure {
        FarmerState state = losing.state;
        if (state.settledEpoch() < losing.current) {
            revert EpochNotProven(losing.farmer, Epoch.wrap(uint32(losing.current)));
        }
        if (state.strikes() != 0) revert HasStrikes(losing.farmer, state.strikes());
    }

    /// @dev Takes the slot out of its farmer's book. At the front nothing has to be remembered of it: it is not drawn any more.
    function _leave(Losing memory losing, Book storage kept, Passing calldata passing, Slot memory slot) private {
        uint8 index = passing.takeover.slot;
        if (Epoch.unwrap(slot.from) > losing.current) revert SlotNotBegun(passing.held.order, index, slot.from);
        Entry memory entry = Entry({
            order: passing.held.order,
            slot: index,
            root: slot.root,
            leafCount: passing.held.leafCount,
            from: slot.from,
            first: passing.first,
            rate: slot.rate
        });
        bytes32 tenure = _tenure(entry.order, index, slot.from);
        if (_losses[tenure].rate != 0) revert AlreadyLost(entry.order, index);
        uint256 used = _verifyEntry(index, kept, entry, passing.index, passing.path, 0);
        if (used != passing.path.length) revert IAudits.ProofTooLong(used, passing.path.length);
        if (passing.first == losing.front) {
            losing.front += Rate.unwrap(slot.rate);
            return;
        }
        Loss storage loss = _losses[tenure];
        loss.first = passing.first;
        loss.rate = Rate.unwrap(slot.rate);
        loss.farmer = losing.farmer;
        loss.lostEpoch = uint32(losing.current);
        loss.dates = uint8(losing.grid - Epochs.gridOf(losing.current, GRID_EPOCHS));
        loss.extension = losing.extension;
    }

    function _bind(Losing memory losing, FarmerId taker, uint256 rate, uint256 collateral) private {
        bytes32 key = _handOverKey(losing.farmer, taker, Epoch.wrap(uint32(losing.current)));
        Bond memory bond = _bonds[key];
        // Both are parts of what is kept in as many bits.
        bond.amount += uint96(collateral);
        bond.rate += uint80(rate);
        _bonds[key] = bond;
    }

    /// @dev Gives each slot to its taker. What strikes that has is known when it is settled, which it is when it takes the slot on.
    function _beginAll(Losing memory losing, Epoch end, Passing[] calldata passings, Slot[] memory slots) private {
        Epoch from = Epoch.wrap(uint32(losing.current + 1));
        if (Epoch.unwrap(from) >= Epoch.unwrap(end)) revert IRepairs.OrderEnding(passings[0].held.order, end);
        SlotAssignment memory assignment = _newAssignment(OrderId.wrap(0), 0, losing.current, from, end);
        assignment.message.typeHash = HAND_OVER_TYPEHASH;
        assignment.message.repairer = address(uint160(FarmerId.unwrap(losing.farmer)));
        for (uint256 i = 0; i < passings.length; ++i) {
            HeldGroup calldata held = passings[i].held;
            assignment.message.order = held.order;
            assignment.message.leafCount = held.leafCount;
            assignment.entry.order = held.order;
            assignment.entry.leafCount = held.leafCount;
            Takeover calldata takeover = passings[i].takeover;
            _assignTakeover(assignment, slots[i], takeover);
            uint256 strikes = _farmers[takeover.farmer].state.strikes();
            if (strikes != 0) revert HasStrikes(takeover.farmer, strikes);
        }
    }

    function _handOverKey(FarmerId id, FarmerId taker, Epoch epoch) private pure returns (bytes32) {
        return keccak256(abi.encode(id, taker, epoch));
    }
}

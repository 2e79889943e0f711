// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {TransientSlot} from "@openzeppelin/contracts/utils/TransientSlot.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IBooks} from "../interfaces/IBooks.sol";
import {IFarmers} from "../interfaces/IFarmers.sol";
import {IOrders} from "../interfaces/IOrders.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {Acceptance, Entry, Epoch, FarmerId, OrderId, Rate, Slot, Takeover} from "../types/Types.sol";
import {Settlement} from "./Settlement.sol";

/// @title Giving a slot to the farmer that accepted it
/// @dev Decides whether an acceptance counts and whether the farmer may take on the slot: the one way into a farmer's
/// books, for `place`, `extend` and `refill`.
///
/// Invariants:
///   every entry was signed by its farmer's operator, or by the one before it in its last blocks, for this use: first
///     placing, extending that order, by mandate with the fee for that extender, taking over from that tenure with the
///     bounty for that repairer, or taking over from that tenure what that farmer hands over; or its farmer takes back what it
///     declared lost
///   the committed rate that a farmer has after taking on a slot is at most its ceiling
///   a farmer that takes on a slot has not lapsed, and stake >= COLLATERAL_EPOCHS * answeredRate
///   answeredRate = committedRate - carriedRate, where carriedRate is at most what ends on the next date, and at most what
///     begins on it: so it is at least what the farmer keeps now, and what it will keep then
abstract contract Tenures is Settlement {
    using TransientSlot for *;

    /// @dev The EIP-712 message that a farmer's operator signs, as it is hashed.
    struct Message {
        bytes32 typeHash;
        OrderId order;
        FarmerId farmer;
        uint8 slot;
        bytes32 root;
        uint32 leafCount;
        Rate rate;
        uint80 maxEgressPricePerGib;
        Epoch end;
        uint64 deadlineBlock;
        bytes32 previous; // the order that is extended; the first epoch of the tenure that is taken over; or zero
        address repairer; // or who extends by mandate, or the number of the farmer that hands over; else zero
    }

    /// @dev What is carried from slot to slot. In message and entry what differs is set for each slot.
    struct SlotAssignment {
        uint256 current;
        uint256 endGrid;
        bool extension;
        Slot[] previous; // the slots of the order that is extended, or none
        Message message;
        Entry entry;
    }

    bytes32 private constant ACCEPTANCE_TYPEHASH = keccak256(
        "Acceptance(bytes32 order,uint32 farmer,uint8 slot,bytes32 root,uint32 leafCount,uint80 rate,"
        "uint80 maxEgressPricePerGib,uint32 end,uint64 deadlineBlock,bytes32 previous,address repairer)"
    );

    /// @dev What is the same for all slots of a call.
    function _newAssignment(
        OrderId order,
        uint32 leafCount,
        uint256 current,
        Epoch from,
        Epoch end
    ) internal view returns (SlotAssignment memory assignment) {
        assignment.current = current;
        assignment.endGrid = Epochs.gridOf(Epoch.unwrap(end), GRID_EPOCHS);
        assignment.message.typeHash = ACCEPTANCE_TYPEHASH;
        assignment.message.order = order;
        assignment.message.leafCount = leafCount;
        assignment.message.end = end;
        assignment.entry.order = order;
        assignment.entry.leafCount = leafCount;
        assignment.entry.from = from;
    }

    /// @dev Gives the slot to the farmer that accepted it. By mandate it may begin with none.
    function _assign(SlotAssignment memory assignment, uint8 slot, Acceptance memory acceptance) internal {
        if (FarmerId.unwrap(acceptance.farmer) == 0 && _isByMandate(assignment)) {
            _emitFilled(assignment, slot, acceptance);
            return;
        }
        if (block.number > acceptance.deadlineBlock) {
            revert IOrders.AcceptanceExpired(slot, acceptance.deadlineBlock, block.number);
        }
        _take(assignment, slot, acceptance, _checkSigned(assignment, slot, acceptance));
    }

    /// @dev Gives the slot to the farmer that takes it over from the one that has it, with all else as it was.
    function _assignTakeover(SlotAssignment memory assignment, Slot memory slot, Takeover calldata takeover) internal {
        // The tenure that ends: each has another first epoch, so no acceptance serves twice.
        assignment.message.previous = bytes32(uint256(Epoch.unwrap(slot.from)));
        Acceptance memory acceptance = Acceptance({
            farmer: takeover.farmer,
            root: slot.root,
            rate: slot.rate,
            maxEgressPricePerGib: slot.maxEgressPricePerGib,
            deadlineBlock: takeover.deadlineBlock,
            r: takeover.r,
            vs: takeover.vs
        });
        _assign(assignment, takeover.slot, acceptance);
    }

    /// @dev Gives the slot to a farmer that wants it, with so much at stake.
    function _take(SlotAssignment memory assignment, uint8 slot, Acceptance memory acceptance, uint256 stake) internal {
        FarmerState state = _commit(assignment, acceptance, stake);
        Entry memory entry = assignment.entry;
        entry.slot = slot;
        entry.root = acceptance.root;
        entry.rate = acceptance.rate;
        _append(acceptance.farmer, state, assignment.endGrid, assignment.extension, entry);
        _emitFilled(assignment, slot, acceptance);
    }

    function _emitFilled(SlotAssignment memory assignment, uint8 slot, Acceptance memory acceptance) private {
        Entry memory entry = assignment.entry;
        emit IOrders.SlotFilled(
            entry.order,
            acceptance.farmer,
            slot,
            acceptance.root,
            acceptance.rate,
            acceptance.maxEgressPricePerGib,
            entry.leafCount,
            entry.from,
            assignment.message.end,
            assignment.extension
        );
    }

    function _isByMandate(SlotAssignment memory assignment) private pure returns (bool) {
        return assignment.extension && assignment.message.repairer != address(0);
    }

    /// @dev Checks that the farmer's operator signed. Returns the farmer's stake, which is beside its operator.
    function _checkSigned(
        SlotAssignment memory assignment,
        uint8 slot,
        Acceptance memory acceptance
    ) private returns (uint256 stake) {
        FarmerId farmer = acceptance.farmer;
        Farmer storage stored = _farmers[farmer];
        address operator;
        (operator, stake) = (stored.operator, stored.stake);
        if (operator == address(0)) revert IFarmers.UnknownFarmer(farmer);
        // An invalid signature recovers to the zero address, which is never an operator.
        // slither-disable-next-line unused-return
        (address signer, , ) = ECDSA.tryRecover(
            _digest(assignment.message, slot, acceptance),
            acceptance.r,
            acceptance.vs
        );
        if (signer != operator && !_isFormer(stored, signer)) revert IOrders.AcceptanceForged(slot, farmer, signer);
        // Repairs and hand-overs look for the farmer among the order's slots, and by mandate each goes on with its own.
        if (assignment.message.repairer == address(0)) _enterOnce(assignment.entry.order, slot, farmer);
    }

    /// @dev Adds the slot to what the farmer answers for with its stake.
    function _commit(
        SlotAssignment memory assignment,
        Acceptance memory acceptance,
        uint256 stake
    ) private returns (FarmerState state) {
        FarmerId farmer = acceptance.farmer;
        Farmer storage stored = _farmers[farmer];
        state = stored.state;
        uint256 missed = state.misses();
        state = _settledUnlapsed(farmer, stored, state, assignment.current);
        if (state.misses() != missed) stake = stored.stake;
        uint256 committed = state.committedRate() + Rate.unwrap(acceptance.rate);
        if (committed > type(uint80).max) revert IBooks.RateTooLarge(farmer, committed, type(uint80).max);
        if (committed > state.ceiling()) revert IFarmers.CeilingExceeded(farmer, committed, state.ceiling());
        uint256 carried =
            assignment.extension
                ? _addStarting(assignment, assignment.message.slot, acceptance, stored, state)
                : _carriedRate(stored, state);
        uint256 needed = (committed - carried) * COLLATERAL_EPOCHS;
        if (stake < needed) revert IFarmers.StakeTooSmall(farmer, stake, needed);
        state = state.committed(committed, assignment.current, assignment.extension);
        stored.state = state;
    }

    /// @dev Counts an extension, which begins on the date after the one up to which the farmer has been swept. For a slot that
    /// it has the stake answers once, at the higher of both rates: it keeps one, and then the other.
    function _addStarting(
        SlotAssignment memory assignment,
        uint8 slot,
        Acceptance memory acceptance,
        Farmer storage stored,
        FarmerState state
    ) private returns (uint256 carried) {
        uint256 rate = Rate.unwrap(acceptance.rate);
        uint256 starting = rate;
        if (state.hasStarting()) {
            starting += stored.startingRate;
            carried = stored.carriedRate;
        }
        Slot memory kept = assignment.previous[slot];
        if (FarmerId.unwrap(kept.farmer) == FarmerId.unwrap(acceptance.farmer)) {
            // What it gave up is not in what it is committed to.
            OrderId previous = OrderId.wrap(assignment.message.previous);
            bool gone = state.hasLost() && _losses[_tenure(previous, slot, kept.from)].lostBlock != 0;
            if (!gone) carried += Math.min(rate, Rate.unwrap(kept.rate));
        }
        stored.startingRate = uint80(starting);
        stored.carriedRate = uint80(carried);
    }

    /// @dev Whether it is the operator that the farmer had before, and its time is not over. Where there was none that is
    /// block 0, so an invalid signature is not that of a former operator either.
    function _isFormer(Farmer storage stored, address signer) private view returns (bool) {
        return signer == stored.formerOperator && block.number <= stored.formerUntilBlock;
    }

    /// @dev An order is filled within one call, so what is remembered until the end of the transaction is enough. The id is
    /// a hash: two of them that differ in their last 32 bits only, or one that is a slot of the guard, are not to be found.
    function _enterOnce(OrderId order, uint8 slot, FarmerId farmer) private {
        bytes32 key = OrderId.unwrap(order) ^ bytes32(uint256(FarmerId.unwrap(farmer)));
        if (key.asBoolean().tload()) revert IOrders.DuplicateFarmer(slot, farmer);
        key.asBoolean().tstore(true);
    }

    function _digest(Message memory message, uint8 slot, Acceptance memory acceptance) private view returns (bytes32) {
        message.farmer = acceptance.farmer;
        message.slot = slot;
        message.root = acceptance.root;
        message.rate = acceptance.rate;
        message.maxEgressPricePerGib = acceptance.maxEgressPricePerGib;
        message.deadlineBlock = acceptance.deadlineBlock;
        // keccak256(abi.encode(message)), which would copy what lies in memory just so: 420 gas a slot.
        bytes32 hash;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            hash := keccak256(message, 0x180)
        }
        return _hashTypedDataV4(hash);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../interfaces/IBooks.sol";
import {IDelegates} from "../interfaces/IDelegates.sol";
import {IOrders} from "../interfaces/IOrders.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {
    Acceptance,
    EXTENDED,
    Epoch,
    FarmerId,
    Held,
    OrderId,
    OrderView,
    Permit,
    Rate,
    Slot,
    Terms
} from "../types/Types.sol";
import {Tenures} from "./Tenures.sol";

/// @title Orders: what renters place with farmers, and extend
/// @dev Decides which orders are sound. Whether a farmer may take on a slot is decided by `Tenures`.
///
/// Invariants:
///   paid(order) = sum(rate of its slots) * (end - from)
///   from = the epoch of `place` + 1, or the end of the order it extends, in whose last grid period it was extended
///   from < end; end is on the grid and at most MAX_BOOKS dates ahead
///   an order has at most one slot with a farmer, and is extended at most once
abstract contract Orders is IOrders, Tenures {
    /// @dev So many that no call about an order exceeds 15 million gas, in whatever state its farmers are.
    uint256 private constant MAX_SLOTS = 80;

    /// @dev A piece is 1 MiB at most: who keeps or rebuilds a slot has some of its pieces in memory.
    uint256 private constant MAX_PIECE_LEAVES = 2048;

    /// @dev The order that is extended: all zero for one that is placed.
    struct Previous {
        OrderId order;
        Slot[] slots;
        address extender; // who is paid for it, by mandate
    }

    /// @dev Words of a slot in an order's hash: farmer, root, rate, from.
    uint256 private constant SLOT_WORDS = 4;

    /// @inheritdoc IOrders
    function place(Terms calldata terms, Acceptance[] calldata acceptances) external nonReentrant returns (OrderId) {
        return _place(msg.sender, terms, acceptances);
    }

    /// @inheritdoc IOrders
    function placeFor(
        address account,
        Terms calldata terms,
        Acceptance[] calldata acceptances
    ) external nonReentrant returns (OrderId) {
        return _place(account, terms, acceptances);
    }

    /// @inheritdoc IOrders
    // The permit is used before anything is written: see `_depositWithPermit`.
    // slither-disable-next-line reentrancy-benign
    function placeWithPermit(
        Terms calldata terms,
        Acceptance[] calldata acceptances,
        Permit calldata permit
    ) external nonReentrant returns (OrderId) {
        _depositWithPermit(permit);
        return _place(msg.sender, terms, acceptances);
    }

    /// @inheritdoc IOrders
    function extend(
        Held calldata previous,
        Terms calldata terms,
        Acceptance[] calldata acceptances
    ) external nonReentrant returns (OrderId) {
        return _extend(previous, terms, acceptances);
    }

    /// @inheritdoc IOrders
    // As in placeWithPermit.
    // slither-disable-next-line reentrancy-benign
    function extendWithPermit(
        Held calldata previous,
        Terms calldata terms,
        Acceptance[] calldata acceptances,
        Permit calldata permit
    ) external nonReentrant returns (OrderId) {
        _depositWithPermit(permit);
        return _extend(previous, terms, acceptances);
    }

    /// @inheritdoc IOrders
    function order(OrderId id) external view returns (OrderView memory) {
        return _orders[id];
    }

    /// @inheritdoc IOrders
    function orderId(address account, address sender, bytes32 salt) external pure returns (OrderId) {
        return _orderId(account, sender, salt);
    }

    /// @dev The order whose slots are handed in; `slots` are those of `held`.
    function _heldOrder(Held calldata held, Slot[] memory slots) internal view returns (OrderView memory stored) {
        stored = _orders[held.order];
        if (stored.renter == address(0)) revert UnknownOrder(held.order);
        bytes32 given = _slotsHash(held.leafCount, held.pieceLeaves, slots);
        if (given != stored.slotsHash) revert WrongSlots(held.order, given, stored.slotsHash);
    }

    /// @dev keccak256(abi.encode(leafCount, pieceLeaves, slots)), where `slots` is a Slot[]: in words leafCount,
    /// pieceLeaves, the offset of the array, its length, and four for each slot.
    function _slotsHash(uint32 leafCount, uint32 pieceLeaves, Slot[] memory slots) internal pure returns (bytes32) {
        return keccak256(abi.encode(leafCount, pieceLeaves, slots));
    }

    /// @dev No two senders have an id in common, so nobody can take the id of an order that another is about to place.
    function _orderId(address account, address sender, bytes32 salt) internal pure returns (OrderId) {
        return OrderId.wrap(keccak256(abi.encode(account, sender, salt)));
    }

    /// @dev The order that is extended with so many acceptances, if it can be now; `slots` are those of `previous`. The new
    /// one is its renter's too.
    function _extensible(
        Held calldata previous,
        Slot[] memory slots,
        uint256 count
    ) internal view returns (OrderView memory old) {
        old = _heldOrder(previous, slots);
        if (count != old.n) {
            revert OtherShape(previous.order, previous.leafCount, previous.pieceLeaves, old.k, old.n);
        }
        uint256 last = Epochs.firstLiveGrid(_currentEpoch(), GRID_EPOCHS) * GRID_EPOCHS;
        if (Epoch.unwrap(old.end) != last) revert NotInLastPeriod(previous.order, old.end, last);
        if (old.mandate == EXTENDED) revert AlreadyExtended(previous.order);
    }

    /// @dev An extension keeps leaves, k and roots.
    function _checkShape(
        Held calldata previous,
        OrderView memory old,
        Terms calldata terms,
        Slot[] memory slots,
        Acceptance[] calldata acceptances
    ) internal pure {
        if (
            terms.leafCount != previous.leafCount || terms.pieceLeaves != previous.pieceLeaves || terms.k != old.k
        ) revert OtherShape(previous.order, previous.leafCount, previous.pieceLeaves, old.k, old.n);
        for (uint256 i = 0; i < slots.length; ++i) {
            bytes32 root = slots[i].root;
            if (acceptances[i].root != root) revert OtherRoot(i, acceptances[i].root, root);
        }
    }

    /// @dev Places an order of `account`, whose vault the caller charges with what it costs. From the end of `previous` on,
    /// if there is one: the caller has looked whether it can be extended.
    function _fillAll(
        OrderId id,
        address account,
        Terms memory terms,
        Acceptance[] calldata acceptances,
        Epoch from,
        Previous memory previous
    ) internal returns (uint256 cost) {
        uint256 current = _currentEpoch();
        uint8 n = _checkedCount(terms, acceptances.length, current, from);
        if (_orders[id].renter != address(0)) revert OrderExists(id);
        emit OrderPlaced(id, account, from, terms.end, terms.leafCount, terms.pieceLeaves, terms.k, n);

        SlotAssignment memory assignment = _newAssignment(id, terms.leafCount, current, from, terms.end);
        assignment.message.previous = OrderId.unwrap(previous.order);
        assignment.message.repairer = previous.extender;
        assignment.previous = previous.slots;
        assignment.extension = OrderId.unwrap(previous.order) != 0;
        (bytes32 slotsHash, uint256 rates) = _assignAll(assignment, terms.pieceLeaves, acceptances);
        cost = rates * (Epoch.unwrap(terms.end) - Epoch.unwrap(from));
        _orders[id] = OrderView({
            renter: account,
            from: from,
            end: terms.end,
            k: terms.k,
            n: n,
            mandate: assignment.extension ? _goOn(id, previous.order) : 0,
            slotsHash: slotsHash
        });
    }

    /// @dev Notes that an order is extended. What extends it has its mandate.
    function _goOn(OrderId id, OrderId previous) private returns (uint16 mandate) {
        OrderView storage old = _orders[previous];
        mandate = old.mandate;
        old.mandate = EXTENDED;
        emit OrderExtended(id, previous);
    }

    function _place(
        address account,
        Terms memory terms,
        Acceptance[] calldata acceptances
    ) private returns (OrderId id) {
        id = _orderId(account, msg.sender, terms.salt);
        Epoch from = Epoch.wrap(uint32(_currentEpoch() + 1));
        Previous memory none;
        uint256 cost = _fillAll(id, account, terms, acceptances, from, none);
        _debit(account, msg.sender, cost, false);
    }

    function _extend(
        Held calldata previous,
        Terms calldata terms,
        Acceptance[] calldata acceptances
    ) private returns (OrderId id) {
        Slot[] memory slots = previous.slots;
        OrderView memory old = _extensible(previous, slots, acceptances.length);
        _checkShape(previous, old, terms, slots, acceptances);
        if (msg.sender != old.renter) _checkHolders(slots, acceptances);
        id = _orderId(old.renter, msg.sender, terms.salt);
        Previous memory before = Previous({order: previous.order, slots: slots, extender: address(0)});
        uint256 cost = _fillAll(id, old.renter, terms, acceptances, old.end, before);
        _debit(old.renter, msg.sender, cost, false);
    }

    /// @dev Only the renter chooses other farmers for data that is placed: a stolen delegate's key must not move it to the
    /// thief's.
    function _checkHolders(Slot[] memory slots, Acceptance[] calldata acceptances) private pure {
        for (uint256 i = 0; i < slots.length; ++i) {
            (FarmerId farmer, FarmerId holder) = (acceptances[i].farmer, slots[i].farmer);
            if (FarmerId.unwrap(farmer) != FarmerId.unwrap(holder)) revert IDelegates.NotHolder(i, farmer, holder);
        }
    }

    /// @dev Gives every slot to the farmer that accepted it.
    /// @return slotsHash As `_slotsHash` gives it.
    /// @return rates The sum of the slots' rates.
    function _assignAll(
        SlotAssignment memory assignment,
        uint32 pieceLeaves,
        Acceptance[] calldata acceptances
    ) private returns (bytes32 slotsHash, uint256 rates) {
        uint256 n = acceptances.length;
        // At most MAX_SLOTS slots with rates below 2**80: nothing here overflows.
        unchecked {
            bytes32[] memory words = new bytes32[](4 + SLOT_WORDS * n);
            words[0] = bytes32(uint256(assignment.entry.leafCount));
            words[1] = bytes32(uint256(pieceLeaves));
            words[2] = bytes32(uint256(0x60));
            words[3] = bytes32(n);
            uint256 next = 4;
            for (uint256 slot = 0; slot < n; ++slot) {
                Acceptance memory acceptance = acceptances[slot];
                if (Rate.unwrap(acceptance.rate) == 0) revert ZeroRate(slot);
                _assign(assignment, uint8(slot), acceptance);
                rates += Rate.unwrap(acceptance.rate);
                words[next++] = bytes32(uint256(FarmerId.unwrap(acceptance.farmer)));
                words[next++] = acceptance.root;
                words[next++] = bytes32(uint256(Rate.unwrap(acceptance.rate)));
                words[next++] = bytes32(uint256(Epoch.unwrap(assignment.entry.from)));
            }
            slotsHash = keccak256(abi.encodePacked(words));
        }
    }

    function _checkedCount(Terms memory terms, uint256 n, uint256 current, Epoch from) private view returns (uint8) {
        if (n == 0 || n > MAX_SLOTS) revert SlotCountOutOfRange(n, MAX_SLOTS);
        if (terms.k == 0 || terms.k > n) revert ThresholdOutOfRange(terms.k, n);
        uint256 pieceLeaves = terms.pieceLeaves;
        if (
            terms.leafCount == 0 ||
            pieceLeaves == 0 ||
            pieceLeaves > MAX_PIECE_LEAVES ||
            pieceLeaves & (pieceLeaves - 1) != 0 ||
            terms.leafCount % pieceLeaves != 0
        ) revert BadPieceLeaves(pieceLeaves, terms.leafCount);

        uint256 end = Epoch.unwrap(terms.end);
        uint256 latest = (Epochs.gridOf(current, GRID_EPOCHS) + MAX_BOOKS) * GRID_EPOCHS;
        if (end % GRID_EPOCHS != 0) revert IBooks.EndOffGrid(terms.end, GRID_EPOCHS);
        if (end <= Epoch.unwrap(from)) revert EndTooSoon(terms.end, Epoch.unwrap(from));
        if (end > latest) revert EndTooLate(terms.end, latest);
        return uint8(n);
    }
}

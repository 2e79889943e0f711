// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../interfaces/IBooks.sol";
import {IDelegates} from "../interfaces/IDelegates.sol";
import {IOrders} from "../interfaces/IOrders.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {HandOverTallies} from "../types/HandOverTally.sol";
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
import {HeldOrders} from "./HeldOrders.sol";
import {Tenures} from "./Tenures.sol";

/// @title Orders: what renters place with farmers, and extend
/// @dev Decides which orders are sound. Whether a farmer may take on a slot is decided by `Tenures`.
///
/// Invariants:
///   paid(order) = sum(rate of its slots) * (end - from)
///   from = the epoch of `place` + 1, or the end of the order it extends, in whose last grid period it was extended
///   from < end; end is on the grid and at most MAX_BOOKS dates ahead
///   an order has at most one slot with a farmer, and is extended at most once
abstract contract Orders is IOrders, Tenures, HeldOrders {
    /// @dev So many that no call about an order exceeds 15 million gas, in whatever state its farmers are.
    uint256 private constant MAX_SLOTS = 80;

    /// @dev A piece is 1 MiB at most: who keeps or rebuilds a slot has some of its pieces in memory.
    uint256 private constant MAX_PIECE_LEAVES = 2048;

    /// @dev The order that is extended: all zero for one that is placed.
    struct Extension {
        OrderId previous;
        Slot[] slots;
        address extender; // who is paid for it, by mandate
    }

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
        return _shown(id);
    }

    /// @inheritdoc IOrders
    function orderId(address account, address sender, bytes32 salt) external pure returns (OrderId) {
        return _orderId(account, sender, salt);
    }

    /// @dev No two senders have an id in common, so nobody can take the id of an order that another is about to place.
    function _orderId(address account, address sender, bytes32 salt) internal pure returns (OrderId) {
        return OrderId.wrap(keccak256(abi.encode(account, sender, salt)));
    }

    /// @dev The order that is extended with so many acceptances, if it can be now, and its slots. The new one is its renter's
    /// too.
    function _extensible(
        Held calldata previous,
        uint256 count
    ) internal view returns (OrderView memory old, Slot[] memory slots) {
        (old, slots, ) = _heldSlots(previous);
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
        Acceptance[] memory acceptances
    ) private pure {
        if (terms.leafCount != previous.leafCount || terms.pieceLeaves != previous.pieceLeaves || terms.k != old.k)
            revert OtherShape(previous.order, previous.leafCount, previous.pieceLeaves, old.k, old.n);
        for (uint256 i = 0; i < slots.length; ++i) {
            bytes32 root = slots[i].root;
            if (acceptances[i].root != root) revert OtherRoot(i, acceptances[i].root, root);
        }
    }

    /// @dev Places an order of `account`, whose vault the caller charges with what it costs. From the end of the one that it extends on,
    /// if there is one: the caller has looked whether it can be extended.
    function _fillAll(
        OrderId id,
        address account,
        Terms memory terms,
        Acceptance[] memory acceptances,
        Epoch from,
        Extension memory extension
    ) internal returns (uint256 cost) {
        uint256 current = _currentEpoch();
        uint8 n = _checkedCount(terms, acceptances.length, current, from);
        if (_orders[id].renter != address(0)) revert OrderExists(id);
        emit OrderPlaced(id, account, from, terms.end, terms.leafCount, terms.pieceLeaves, terms.k, n);

        SlotAssignment memory assignment = _newAssignment(id, terms.leafCount, current, from, terms.end);
        assignment.message.previous = OrderId.unwrap(extension.previous);
        assignment.message.repairer = extension.extender;
        assignment.previous = extension.slots;
        assignment.extension = OrderId.unwrap(extension.previous) != 0;
        (bytes32 slotsHash, uint256 rates) = _assignAll(assignment, terms.pieceLeaves, acceptances);
        cost = rates * (Epoch.unwrap(terms.end) - Epoch.unwrap(from));
        _orders[id] = Order({
            renter: account,
            termEpochs: uint16(Epoch.unwrap(terms.end) - Epoch.unwrap(from)),
            end: terms.end,
            k: terms.k,
            n: n,
            handOvers: HandOverTallies.begin(terms.allowsHandOver),
            mandate: assignment.extension ? _goOn(id, extension.previous) : 0,
            slotsHash: slotsHash
        });
    }

    /// @dev Notes that an order is extended. What extends it has its mandate.
    function _goOn(OrderId id, OrderId previous) private returns (uint16 mandate) {
        Order storage old = _orders[previous];
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
        Extension memory none;
        uint256 cost = _fillAll(id, account, terms, acceptances, from, none);
        _debit(account, msg.sender, cost, false);
    }

    function _extend(
        Held calldata previous,
        Terms calldata terms,
        Acceptance[] calldata acceptances
    ) private returns (OrderId id) {
        (OrderView memory old, Slot[] memory slots) = _extensible(previous, acceptances.length);
        Acceptance[] memory accepted = acceptances;
        _checkShape(previous, old, terms, slots, accepted);
        if (msg.sender != old.renter) _checkHolders(slots, accepted);
        id = _orderId(old.renter, msg.sender, terms.salt);
        Extension memory extension = Extension({previous: previous.order, slots: slots, extender: address(0)});
        uint256 cost = _fillAll(id, old.renter, terms, accepted, old.end, extension);
        _debit(old.renter, msg.sender, cost, false);
    }

    /// @dev Only the renter chooses other farmers for data that is placed: a stolen delegate's key must not move it to the
    /// thief's.
    function _checkHolders(Slot[] memory slots, Acceptance[] memory acceptances) private pure {
        for (uint256 i = 0; i < slots.length; ++i) {
            (FarmerId farmer, FarmerId holder) = (acceptances[i].farmer, slots[i].farmer);
            if (FarmerId.unwrap(farmer) != FarmerId.unwrap(holder)) revert IDelegates.NotHolder(i, farmer, holder);
        }
    }

    /// @dev Gives every slot to the farmer that accepted it.
    /// @return slotsHash What the order keeps of its slots.
    /// @return rates The sum of the slots' rates.
    function _assignAll(
        SlotAssignment memory assignment,
        uint32 pieceLeaves,
        Acceptance[] memory acceptances
    ) private returns (bytes32 slotsHash, uint256 rates) {
        uint256 n = acceptances.length;
        // At most MAX_SLOTS slots with rates below 2**80: nothing here overflows.
        unchecked {
            bytes32[] memory words = new bytes32[](SHAPE_WORDS + SLOT_WORDS * n);
            words[0] = bytes32(uint256(assignment.entry.leafCount));
            words[1] = bytes32(uint256(pieceLeaves));
            words[2] = bytes32(n);
            Epoch from = assignment.entry.from;
            for (uint256 slot = 0; slot < n; ++slot) {
                Acceptance memory acceptance = acceptances[slot];
                if (Rate.unwrap(acceptance.rate) == 0) revert ZeroRate(slot);
                _assign(assignment, uint8(slot), acceptance);
                rates += Rate.unwrap(acceptance.rate);
                // Farmer, root, rate and price for reading are the first words of an acceptance and of a slot: one by one
                // they cost 300 gas a slot more.
                // solhint-disable-next-line no-inline-assembly
                assembly ("memory-safe") {
                    let word := add(add(words, 0x80), mul(slot, 0xa0))
                    mcopy(word, acceptance, 0x80)
                    mstore(add(word, 0x80), from)
                }
            }
            slotsHash = _hashOf(words);
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

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../interfaces/IBooks.sol";
import {IOrders} from "../interfaces/IOrders.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {Acceptance, Epoch, Held, OrderId, OrderView, Permit, Rate, Slot, Terms} from "../types/Types.sol";
import {Tenures} from "./Tenures.sol";

/// @title Orders: what renters place with farmers, and extend
/// @dev Decides which orders are sound. Whether a farmer may take on a slot is decided by `Tenures`.
///
/// Invariants:
///   paid(order) = sum(rate of its slots) * (end - from)
///   from = the epoch of `place` + 1, or the end of the order it extends, in whose last grid period it was extended
///   from < end; end is on the grid and at most MAX_BOOKS dates ahead
///   an order has at most one slot with a farmer
abstract contract Orders is IOrders, Tenures {
    /// @dev A slot's index is kept in 8 bits.
    uint256 private constant MAX_SLOTS = 255;

    /// @inheritdoc IOrders
    function place(Terms calldata terms, Acceptance[] calldata acceptances) external nonReentrant returns (OrderId) {
        return _place(terms, acceptances);
    }

    /// @inheritdoc IOrders
    function placeWithPermit(
        Terms calldata terms,
        Acceptance[] calldata acceptances,
        Permit calldata permit
    ) external nonReentrant returns (OrderId) {
        _depositWithPermit(permit);
        return _place(terms, acceptances);
    }

    /// @inheritdoc IOrders
    function extend(
        Held calldata previous,
        Terms calldata terms,
        Acceptance[] calldata acceptances
    ) external returns (OrderId id) {
        OrderView memory old = _heldOrder(previous);
        if (msg.sender != old.renter) revert NotRenter(previous.order, msg.sender);
        if (
            terms.leafCount != previous.leafCount ||
            terms.pieceLeaves != previous.pieceLeaves ||
            terms.k != old.k ||
            acceptances.length != old.n
        ) revert OtherShape(previous.order);
        for (uint256 i = 0; i < acceptances.length; ++i) {
            bytes32 root = previous.slots[i].root;
            if (acceptances[i].root != root) revert OtherRoot(i, acceptances[i].root, root);
        }
        uint256 current = _currentEpoch();
        uint256 last = Epochs.firstLiveGrid(current, GRID_EPOCHS) * GRID_EPOCHS;
        if (Epoch.unwrap(old.end) != last) revert NotInLastPeriod(previous.order, old.end, last);
        id = _fillAll(terms, acceptances, current, old.end, previous.order);
        emit OrderExtended(id, previous.order);
    }

    /// @inheritdoc IOrders
    function order(OrderId id) external view returns (OrderView memory) {
        return _orders[id];
    }

    /// @inheritdoc IOrders
    function orderId(address renter, bytes32 salt) public pure returns (OrderId) {
        return OrderId.wrap(keccak256(abi.encode(renter, salt)));
    }

    /// @dev The order whose slots are handed in.
    function _heldOrder(Held calldata held) internal view returns (OrderView memory stored) {
        stored = _orders[held.order];
        if (stored.renter == address(0)) revert UnknownOrder(held.order);
        bytes32 given = keccak256(abi.encode(held.leafCount, held.pieceLeaves, held.slots));
        if (given != stored.slotsHash) revert WrongSlots(held.order, given, stored.slotsHash);
    }

    function _place(Terms calldata terms, Acceptance[] calldata acceptances) private returns (OrderId) {
        uint256 current = _currentEpoch();
        return _fillAll(terms, acceptances, current, Epoch.wrap(uint32(current + 1)), OrderId.wrap(0));
    }

    function _fillAll(
        Terms calldata terms,
        Acceptance[] calldata acceptances,
        uint256 current,
        Epoch from,
        OrderId previous
    ) private returns (OrderId) {
        _checkTerms(terms, acceptances.length, current, from);
        Taking memory taking = Taking({
            order: orderId(msg.sender, terms.salt),
            previous: previous,
            repairer: address(0),
            leafCount: terms.leafCount,
            current: current,
            from: from,
            end: terms.end
        });
        if (_orders[taking.order].renter != address(0)) revert OrderExists(taking.order);
        uint8 n = uint8(acceptances.length);
        emit OrderPlaced(taking.order, msg.sender, from, terms.end, terms.leafCount, terms.pieceLeaves, terms.k, n);
        Slot[] memory slots = new Slot[](n);
        uint256 rates = 0;
        for (uint256 i = 0; i < n; ++i) {
            slots[i] = _fill(taking, uint8(i), acceptances[i]);
            rates += Rate.unwrap(slots[i].rate);
        }
        _debit(msg.sender, rates * (Epoch.unwrap(terms.end) - Epoch.unwrap(from)));
        _orders[taking.order] = OrderView({
            renter: msg.sender,
            from: from,
            end: terms.end,
            k: terms.k,
            n: n,
            slotsHash: keccak256(abi.encode(terms.leafCount, terms.pieceLeaves, slots))
        });
        return taking.order;
    }

    function _fill(Taking memory taking, uint8 slot, Acceptance calldata a) private returns (Slot memory) {
        if (Rate.unwrap(a.rate) == 0) revert ZeroRate(slot);
        _take(
            taking,
            Taken({
                slot: slot,
                farmer: a.farmer,
                root: a.root,
                rate: a.rate,
                deadlineBlock: a.deadlineBlock,
                r: a.r,
                vs: a.vs
            })
        );
        return Slot({farmer: a.farmer, root: a.root, rate: a.rate, from: taking.from});
    }

    function _checkTerms(Terms calldata terms, uint256 n, uint256 current, Epoch from) private view {
        if (n == 0 || n > MAX_SLOTS) revert SlotCountOutOfRange(n, MAX_SLOTS);
        if (terms.k == 0 || terms.k > n) revert ThresholdOutOfRange(terms.k, n);
        uint256 pieceLeaves = terms.pieceLeaves;
        if (
            terms.leafCount == 0 ||
            pieceLeaves == 0 ||
            pieceLeaves & (pieceLeaves - 1) != 0 ||
            terms.leafCount % pieceLeaves != 0
        ) revert BadPieceLeaves(pieceLeaves, terms.leafCount);

        uint256 end = Epoch.unwrap(terms.end);
        uint256 latest = (Epochs.gridOf(current, GRID_EPOCHS) + MAX_BOOKS) * GRID_EPOCHS;
        if (end % GRID_EPOCHS != 0) revert IBooks.EndOffGrid(terms.end, GRID_EPOCHS);
        if (end <= Epoch.unwrap(from)) revert EndTooSoon(terms.end, Epoch.unwrap(from));
        if (end > latest) revert EndTooLate(terms.end, latest);
    }
}

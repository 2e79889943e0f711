// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IOrders} from "../interfaces/IOrders.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {Acceptance, Entry, Epoch, OrderId, OrderView, Permit, Rate, Slot, Terms} from "../types/Types.sol";
import {Audits} from "./Audits.sol";

/// @title Orders: what renters place with farmers
/// @dev Decides which orders are sound, which acceptances count, and whether a farmer may take on a slot.
///
/// Invariants:
///   paid(order) = sum(rate of its slots) * (end - from)
///   from = the epoch of `place` + 1 < end; end is on the grid and at most MAX_BOOKS dates ahead
///   an order has at most one slot with a farmer
abstract contract Orders is IOrders, Audits, EIP712 {
    /// @dev What `place` carries from slot to slot.
    struct Placing {
        OrderId id;
        uint256 current;
        Epoch from;
        Epoch end;
        uint256 endGrid;
        uint32 leafCount;
    }

    /// @dev A slot's index is kept in 8 bits.
    uint256 private constant MAX_SLOTS = 255;

    bytes32 private constant ACCEPTANCE_TYPEHASH =
        keccak256(
            "Acceptance(bytes32 order,uint32 farmer,uint8 slot,bytes32 root,uint32 leafCount,uint80 rate,uint32 end,"
            "uint64 deadlineBlock)"
        );

    mapping(OrderId id => OrderView) private _orders;

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
    function order(OrderId id) external view returns (OrderView memory) {
        return _orders[id];
    }

    /// @inheritdoc IOrders
    function orderId(address renter, bytes32 salt) public pure returns (OrderId) {
        return OrderId.wrap(keccak256(abi.encode(renter, salt)));
    }

    function _place(Terms calldata terms, Acceptance[] calldata acceptances) private returns (OrderId) {
        Placing memory placing = _checked(terms, acceptances.length);
        uint8 n = uint8(acceptances.length);
        emit OrderPlaced(
            placing.id,
            msg.sender,
            placing.from,
            placing.end,
            placing.leafCount,
            terms.pieceLeaves,
            terms.k,
            n
        );
        Slot[] memory slots = new Slot[](n);
        uint256 rates = 0;
        for (uint256 i = 0; i < n; ++i) {
            Acceptance calldata acceptance = acceptances[i];
            _fill(placing, uint8(i), acceptance);
            slots[i] = Slot({farmer: acceptance.farmer, root: acceptance.root, rate: acceptance.rate});
            rates += Rate.unwrap(acceptance.rate);
        }
        _debit(msg.sender, rates * (Epoch.unwrap(placing.end) - Epoch.unwrap(placing.from)));
        _orders[placing.id] = OrderView({
            renter: msg.sender,
            from: placing.from,
            end: placing.end,
            k: terms.k,
            n: n,
            slotsHash: keccak256(abi.encode(placing.leafCount, terms.pieceLeaves, slots))
        });
        return placing.id;
    }

    function _checked(Terms calldata terms, uint256 n) private view returns (Placing memory placing) {
        if (n == 0 || n > MAX_SLOTS) revert SlotCountOutOfRange(n, MAX_SLOTS);
        if (terms.k == 0 || terms.k > n) revert ThresholdOutOfRange(terms.k, n);
        uint256 pieceLeaves = terms.pieceLeaves;
        if (
            terms.leafCount == 0 ||
            pieceLeaves == 0 ||
            pieceLeaves & (pieceLeaves - 1) != 0 ||
            terms.leafCount % pieceLeaves != 0
        ) revert BadPieceLeaves(pieceLeaves, terms.leafCount);

        uint256 current = _currentEpoch();
        uint256 end = Epoch.unwrap(terms.end);
        uint256 endGrid = Epochs.gridOf(end, GRID_EPOCHS);
        uint256 latestGrid = Epochs.gridOf(current, GRID_EPOCHS) + MAX_BOOKS;
        if (end != endGrid * GRID_EPOCHS) revert EndOffGrid(terms.end, GRID_EPOCHS);
        if (end <= current + 1) revert EndTooSoon(terms.end, current + 1);
        if (endGrid > latestGrid) revert EndTooLate(terms.end, latestGrid * GRID_EPOCHS);

        OrderId id = orderId(msg.sender, terms.salt);
        if (_orders[id].renter != address(0)) revert OrderExists(id);
        return
            Placing({
                id: id,
                current: current,
                from: Epoch.wrap(uint32(current + 1)),
                end: terms.end,
                endGrid: endGrid,
                leafCount: terms.leafCount
            });
    }

    /// @dev Gives the slot to the farmer that accepted it.
    function _fill(Placing memory placing, uint8 slot, Acceptance calldata acceptance) private {
        if (Rate.unwrap(acceptance.rate) == 0) revert ZeroRate(slot);
        if (block.number > acceptance.deadlineBlock) {
            revert AcceptanceExpired(slot, acceptance.deadlineBlock, block.number);
        }
        Farmer storage stored = _existing(acceptance.farmer);
        (address signer, , ) = ECDSA.tryRecover(_digest(placing, slot, acceptance), acceptance.r, acceptance.vs);
        if (signer != stored.operator) revert AcceptanceForged(slot, acceptance.farmer, signer);
        _commit(placing, slot, acceptance, stored);
        _append(
            acceptance.farmer,
            placing.endGrid,
            placing.current,
            Entry({
                order: placing.id,
                slot: slot,
                root: acceptance.root,
                leafCount: placing.leafCount,
                from: placing.from,
                first: 0,
                rate: acceptance.rate
            })
        );
        emit SlotFilled(
            placing.id,
            acceptance.farmer,
            slot,
            acceptance.root,
            acceptance.rate,
            placing.leafCount,
            placing.from,
            placing.end
        );
    }

    /// @dev Adds the slot to what the farmer answers for with its stake.
    function _commit(
        Placing memory placing,
        uint8 slot,
        Acceptance calldata acceptance,
        Farmer storage stored
    ) private {
        Standing memory standing = stored.standing;
        uint64 mark = uint64(uint256(OrderId.unwrap(placing.id)));
        if (standing.lastOrder == mark) revert DuplicateFarmer(slot, acceptance.farmer);
        standing.lastOrder = mark;
        _settle(acceptance.farmer, standing, placing.current);
        _sweep(acceptance.farmer, standing, placing.current);
        uint256 committed = uint256(standing.committedRate) + Rate.unwrap(acceptance.rate);
        if (committed > type(uint80).max) revert RateTooLarge(acceptance.farmer, committed, type(uint80).max);
        uint256 needed = committed * COLLATERAL_EPOCHS;
        if (stored.stake < needed) revert StakeTooSmall(acceptance.farmer, stored.stake, needed);
        standing.committedRate = uint80(committed);
        stored.standing = standing;
    }

    function _digest(
        Placing memory placing,
        uint8 slot,
        Acceptance calldata acceptance
    ) private view returns (bytes32) {
        return
            _hashTypedDataV4(
                keccak256(
                    abi.encode(
                        ACCEPTANCE_TYPEHASH,
                        placing.id,
                        acceptance.farmer,
                        slot,
                        acceptance.root,
                        placing.leafCount,
                        acceptance.rate,
                        placing.end,
                        acceptance.deadlineBlock
                    )
                )
            );
    }
}

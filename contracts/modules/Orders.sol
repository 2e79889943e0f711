// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IOrders} from "../interfaces/IOrders.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {Standing} from "../types/Standing.sol";
import {Acceptance, Entry, Epoch, FarmerId, OrderId, OrderView, Permit, Rate, Terms} from "../types/Types.sol";
import {Audits} from "./Audits.sol";

/// @title Orders: what renters place with farmers
/// @dev Decides which orders are sound, which acceptances count, and whether a farmer may take on a slot.
///
/// Invariants:
///   paid(order) = sum(rate of its slots) * (end - from)
///   from = the epoch of `place` + 1 < end; end is on the grid and at most MAX_BOOKS dates ahead
///   an order has at most one slot with a farmer
abstract contract Orders is IOrders, Audits, EIP712 {
    /// @dev The EIP-712 message that a farmer's operator signs, as it is hashed.
    struct Message {
        bytes32 typeHash;
        OrderId order;
        FarmerId farmer;
        uint8 slot;
        bytes32 root;
        uint32 leafCount;
        Rate rate;
        Epoch end;
        uint64 deadlineBlock;
    }

    /// @dev What `place` carries from slot to slot. In message and entry what differs is set for each slot.
    struct Placing {
        uint256 current;
        uint256 endGrid;
        Message message;
        Entry entry;
    }

    /// @dev A slot's index is kept in 8 bits.
    uint256 private constant MAX_SLOTS = 255;

    bytes32 private constant ACCEPTANCE_TYPEHASH = keccak256(
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

    function _place(Terms memory terms, Acceptance[] calldata acceptances) private returns (OrderId id) {
        uint256 n = acceptances.length;
        uint256 current = _currentEpoch();
        _check(terms, n, current);
        id = orderId(msg.sender, terms.salt);
        if (_orders[id].renter != address(0)) revert OrderExists(id);
        Epoch from = Epoch.wrap(uint32(current + 1));
        emit OrderPlaced(id, msg.sender, from, terms.end, terms.leafCount, terms.pieceLeaves, terms.k, uint8(n));

        (bytes32 slotsHash, uint256 rates) = _fillAll(_placing(terms, id, current), terms.pieceLeaves, acceptances);
        _debit(msg.sender, rates * (Epoch.unwrap(terms.end) - Epoch.unwrap(from)));
        _orders[id] = OrderView({
            renter: msg.sender,
            from: from,
            end: terms.end,
            k: terms.k,
            n: uint8(n),
            slotsHash: slotsHash
        });
    }

    function _check(Terms memory terms, uint256 n, uint256 current) private view {
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
        uint256 endGrid = Epochs.gridOf(end, GRID_EPOCHS);
        uint256 latestGrid = Epochs.gridOf(current, GRID_EPOCHS) + MAX_BOOKS;
        if (end != endGrid * GRID_EPOCHS) revert EndOffGrid(terms.end, GRID_EPOCHS);
        if (end <= current + 1) revert EndTooSoon(terms.end, current + 1);
        if (endGrid > latestGrid) revert EndTooLate(terms.end, latestGrid * GRID_EPOCHS);
    }

    function _placing(Terms memory terms, OrderId id, uint256 current) private view returns (Placing memory placing) {
        placing.current = current;
        placing.endGrid = Epochs.gridOf(Epoch.unwrap(terms.end), GRID_EPOCHS);
        placing.message.typeHash = ACCEPTANCE_TYPEHASH;
        placing.message.order = id;
        placing.message.leafCount = terms.leafCount;
        placing.message.end = terms.end;
        placing.entry.order = id;
        placing.entry.leafCount = terms.leafCount;
        placing.entry.from = Epoch.wrap(uint32(current + 1));
    }

    /// @dev Gives every slot to the farmer that accepted it.
    /// @return slotsHash keccak256(abi.encode(leafCount, pieceLeaves, slots)), where `slots` is a Slot[]: in words
    /// leafCount, pieceLeaves, the offset of the array, its length, and three for each slot.
    /// @return rates The sum of the slots' rates.
    function _fillAll(
        Placing memory placing,
        uint32 pieceLeaves,
        Acceptance[] calldata acceptances
    ) private returns (bytes32 slotsHash, uint256 rates) {
        uint256 n = acceptances.length;
        // At most 255 slots with rates below 2**80: nothing here overflows.
        unchecked {
            bytes32[] memory words = new bytes32[](4 + 3 * n);
            words[0] = bytes32(uint256(placing.entry.leafCount));
            words[1] = bytes32(uint256(pieceLeaves));
            words[2] = bytes32(uint256(0x60));
            words[3] = bytes32(n);
            uint256 next = 4;
            for (uint256 slot = 0; slot < n; ++slot) {
                Acceptance memory acceptance = acceptances[slot];
                _fill(placing, uint8(slot), acceptance);
                rates += Rate.unwrap(acceptance.rate);
                words[next++] = bytes32(uint256(FarmerId.unwrap(acceptance.farmer)));
                words[next++] = acceptance.root;
                words[next++] = bytes32(uint256(Rate.unwrap(acceptance.rate)));
            }
            slotsHash = keccak256(abi.encodePacked(words));
        }
    }

    function _fill(Placing memory placing, uint8 slot, Acceptance memory acceptance) private {
        if (Rate.unwrap(acceptance.rate) == 0) revert ZeroRate(slot);
        if (block.number > acceptance.deadlineBlock) {
            revert AcceptanceExpired(slot, acceptance.deadlineBlock, block.number);
        }
        _commit(placing, slot, acceptance);
        Entry memory entry = placing.entry;
        entry.slot = slot;
        entry.root = acceptance.root;
        entry.rate = acceptance.rate;
        _append(acceptance.farmer, placing.endGrid, placing.current, entry);
        emit SlotFilled(
            entry.order,
            acceptance.farmer,
            slot,
            acceptance.root,
            acceptance.rate,
            entry.leafCount,
            entry.from,
            placing.message.end
        );
    }

    /// @dev Checks that the farmer's operator signed, and adds the slot to what the farmer answers for with its stake.
    function _commit(Placing memory placing, uint8 slot, Acceptance memory acceptance) private {
        FarmerId farmer = acceptance.farmer;
        Farmer storage stored = _farmers[farmer];
        (address operator, uint256 stake) = (stored.operator, stored.stake);
        if (operator == address(0)) revert UnknownFarmer(farmer);
        bytes32 digest = _digest(placing.message, slot, acceptance);
        (address signer, , ) = ECDSA.tryRecover(digest, acceptance.r, acceptance.vs);
        if (signer != operator) revert AcceptanceForged(slot, farmer, signer);

        Standing standing = stored.standing;
        uint256 mark = uint64(uint256(OrderId.unwrap(placing.entry.order)));
        if (standing.lastOrder() == mark) revert DuplicateFarmer(slot, farmer);
        standing = _swept(farmer, _settled(farmer, standing, placing.current), placing.current);
        uint256 committed = standing.committedRate() + Rate.unwrap(acceptance.rate);
        if (committed > type(uint80).max) revert RateTooLarge(farmer, committed, type(uint80).max);
        uint256 needed = committed * COLLATERAL_EPOCHS;
        if (stake < needed) revert StakeTooSmall(farmer, stake, needed);
        stored.standing = standing.committed(committed, mark);
    }

    function _digest(Message memory message, uint8 slot, Acceptance memory acceptance) private view returns (bytes32) {
        message.farmer = acceptance.farmer;
        message.slot = slot;
        message.root = acceptance.root;
        message.rate = acceptance.rate;
        message.deadlineBlock = acceptance.deadlineBlock;
        // keccak256(abi.encode(message)), which would copy what lies in memory just so: 420 gas a slot.
        bytes32 hash;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            hash := keccak256(message, 0x120)
        }
        return _hashTypedDataV4(hash);
    }
}

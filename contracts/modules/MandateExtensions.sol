// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IDelegates} from "../interfaces/IDelegates.sol";
import {IMandateExtensions} from "../interfaces/IMandateExtensions.sol";
import {Acceptance, Epoch, FarmerId, Held, OrderId, OrderView, Rate, Slot, Terms} from "../types/Types.sol";
import {Repairs} from "./Repairs.sol";

/// @title Orders that go on by their renter's mandate
/// @dev Decides what anyone may do with a mandate. Who gives one is decided by `Mandates`, whether a farmer may take on a slot
/// by `Tenures`.
///
/// Nothing is the extender's to choose but the time within the period, and who of the farmers is left out: end, id and
/// shape follow from the order and its mandate, each slot stays with its farmer, and the rate is what that signed for.
///
/// Invariants:
///   an order is extended once, so it pays one fee
///   cost = sum(rate of its slots) * (end - from) + sum(full bounty of its vacant slots) + fee <= left
///   (n + k) / 2 slots at least have a farmer when an extension by mandate is placed, so k are left after (n - k) / 2 more
abstract contract MandateExtensions is IMandateExtensions, Repairs {
    uint256 private constant LEAF_BYTES = 512;
    uint256 private constant GIB = 1 << 30;

    /// @inheritdoc IMandateExtensions
    // It calls nobody, so it need not be guarded against calls that come back.
    function extendByMandate(
        Held calldata previous,
        Acceptance[] calldata acceptances,
        address extender
    ) external returns (OrderId id) {
        if (extender == address(0)) revert NoExtender();
        Slot[] memory slots = previous.slots;
        OrderView memory old = _extensible(previous, slots, acceptances.length);
        Mandate storage stored = _mandates[old.renter][old.mandate];
        (uint256 price, uint256 fee, uint256 end) = _terms(previous.order, old, stored);
        uint256 from = Epoch.unwrap(old.end);
        uint256 highest = Math.ceilDiv(price * previous.leafCount * LEAF_BYTES, GIB);
        uint256 cost = fee + _bounties(old, slots, acceptances, highest, end - from);

        id = extensionId(previous.order, Epoch.wrap(uint32(end)));
        Terms memory terms = Terms({
            salt: 0,
            end: Epoch.wrap(uint32(end)),
            leafCount: previous.leafCount,
            pieceLeaves: previous.pieceLeaves,
            k: old.k
        });
        Previous memory before = Previous({order: previous.order, slots: slots, extender: extender});
        cost += _fillAll(id, old.renter, terms, acceptances, old.end, before);
        uint256 left = stored.left;
        if (cost > left) revert MandateSpent(old.mandate, left, cost);
        unchecked {
            left -= cost;
        }
        stored.left = uint128(left);
        _debit(old.renter, old.renter, cost, false);
        _earn(extender, fee);
        emit ExtendedByMandate(id, extender);
    }

    /// @inheritdoc IMandateExtensions
    function extensionId(OrderId previous, Epoch end) public pure returns (OrderId) {
        return OrderId.wrap(keccak256(abi.encode(previous, end)));
    }

    /// @dev What the mandate allows for the order: its highest price, its fee, and the end of the extension.
    function _terms(
        OrderId order,
        OrderView memory old,
        Mandate storage stored
    ) private view returns (uint256 price, uint256 fee, uint256 end) {
        uint256 until = stored.until;
        if (until == 0 || stored.revoked) revert NotCovered(order, old.mandate);
        if (Epoch.unwrap(old.end) >= until) revert MandateOver(old.mandate, Epoch.wrap(uint32(until)));
        return (stored.highestPrice, stored.fee, Math.min(uint256(Epoch.unwrap(old.end)) + stored.termEpochs, until));
    }

    /// @dev Checks who keeps which slot at which rate, and returns what is set aside for slots that begin vacant.
    function _bounties(
        OrderView memory old,
        Slot[] memory slots,
        Acceptance[] calldata acceptances,
        uint256 highest,
        uint256 epochs
    ) private view returns (uint256 bounties) {
        uint256 vacant = 0;
        // The roots and farmers of at most 80 slots: nothing here overflows.
        unchecked {
            for (uint256 i = 0; i < slots.length; ++i) {
                Slot memory slot = slots[i];
                Acceptance calldata acceptance = acceptances[i];
                uint256 rate = Rate.unwrap(acceptance.rate);
                if (acceptance.root != slot.root) revert OtherRoot(i, acceptance.root, slot.root);
                if (rate > highest) revert RateAboveMandate(i, acceptance.rate, highest);
                FarmerId farmer = acceptance.farmer;
                if (FarmerId.unwrap(farmer) == 0) {
                    ++vacant;
                    uint256 expected = Math.min(Rate.unwrap(slot.rate), highest);
                    if (rate != expected) revert OtherRate(i, acceptance.rate, expected);
                    bounties += _vacantCollateral(rate, epochs);
                } else if (FarmerId.unwrap(farmer) != FarmerId.unwrap(slot.farmer)) {
                    revert IDelegates.NotHolder(i, farmer, slot.farmer);
                }
            }
        }
        if (vacant == 0) return 0;
        // Who is away for a while is not left out at once.
        uint256 first = Epoch.unwrap(old.end) - (GRID_EPOCHS + 1) / 2;
        uint256 limit = (old.n - old.k) / 2;
        if (vacant > limit || _currentEpoch() < first) revert TooManyVacant(vacant, limit, first);
    }
}

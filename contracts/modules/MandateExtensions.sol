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
    /// @dev What the mandate allows for an order.
    struct MandateLimits {
        uint256 rate; // of a slot
        uint256 egressPrice;
        uint256 fee;
        uint256 end; // of the extension
    }

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
        (OrderView memory old, Slot[] memory slots) = _extensible(previous, acceptances.length);
        Acceptance[] memory accepted = acceptances;
        Mandate storage stored = _mandates[old.renter][old.mandate];
        MandateLimits memory limits = _limits(previous, old, stored);
        uint256 end = limits.end;
        uint256 cost = limits.fee + _bounties(old, slots, accepted, limits);

        id = extensionId(previous.order, Epoch.wrap(uint32(end)));
        Terms memory terms = Terms({
            salt: 0,
            end: Epoch.wrap(uint32(end)),
            leafCount: previous.leafCount,
            pieceLeaves: previous.pieceLeaves,
            k: old.k,
            allowsHandOver: old.handOvers.isAllowed()
        });
        Extension memory extension = Extension({previous: previous.order, slots: slots, extender: extender});
        cost += _fillAll(id, old.renter, terms, accepted, old.end, extension);
        uint256 left = stored.left;
        if (cost > left) revert MandateSpent(old.mandate, left, cost);
        unchecked {
            left -= cost;
        }
        stored.left = uint128(left);
        _debit(old.renter, old.renter, cost, false);
        _earn(extender, limits.fee);
        emit ExtendedByMandate(id, extender);
    }

    /// @inheritdoc IMandateExtensions
    function extensionId(OrderId previous, Epoch end) public pure returns (OrderId) {
        return OrderId.wrap(keccak256(abi.encode(previous, end)));
    }

    function _limits(
        Held calldata previous,
        OrderView memory old,
        Mandate storage stored
    ) private view returns (MandateLimits memory) {
        uint256 until = stored.until;
        if (until == 0 || stored.revoked) revert NotCovered(previous.order, old.mandate);
        uint256 from = Epoch.unwrap(old.end);
        if (from >= until) revert MandateOver(old.mandate, Epoch.wrap(uint32(until)));
        return
            MandateLimits({
                rate: Math.ceilDiv(uint256(stored.highestPrice) * previous.leafCount * LEAF_BYTES, GIB),
                egressPrice: stored.highestEgressPrice,
                fee: stored.fee,
                end: Math.min(from + stored.termEpochs, until)
            });
    }

    /// @dev Checks who keeps which slot at which rate, and returns what is set aside for slots that begin vacant.
    function _bounties(
        OrderView memory old,
        Slot[] memory slots,
        Acceptance[] memory acceptances,
        MandateLimits memory limits
    ) private view returns (uint256 bounties) {
        uint256 vacant = 0;
        uint256 epochs = limits.end - Epoch.unwrap(old.end);
        // The roots and farmers of at most 80 slots: nothing here overflows.
        unchecked {
            for (uint256 i = 0; i < slots.length; ++i) {
                Slot memory slot = slots[i];
                Acceptance memory acceptance = acceptances[i];
                uint256 rate = Rate.unwrap(acceptance.rate);
                if (acceptance.root != slot.root) revert OtherRoot(i, acceptance.root, slot.root);
                uint256 egressPrice = acceptance.maxEgressPricePerGib;
                if (rate > limits.rate) revert RateAboveMandate(i, acceptance.rate, limits.rate);
                if (egressPrice > limits.egressPrice) {
                    revert EgressPriceAboveMandate(i, egressPrice, limits.egressPrice);
                }
                FarmerId farmer = acceptance.farmer;
                if (FarmerId.unwrap(farmer) == 0) {
                    ++vacant;
                    uint256 expected = Math.min(Rate.unwrap(slot.rate), limits.rate);
                    if (rate != expected) revert OtherRate(i, acceptance.rate, expected);
                    expected = Math.min(slot.maxEgressPricePerGib, limits.egressPrice);
                    if (egressPrice != expected) revert OtherEgressPrice(i, egressPrice, expected);
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

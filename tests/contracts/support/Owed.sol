// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Epoch,
    EvictionView,
    FarmerId,
    FarmerView,
    LossView,
    OrderId,
    Rate,
    Slot
} from "../../../contracts/types/Types.sol";
import {vm} from "./Cheats.sol";
import {FarmTest} from "./FarmTest.sol";

/// @title What is owed for orders, epoch by epoch and slot by slot, and to which renter
/// @dev Added up from the market's views, not from what its calls pay out.
abstract contract Owed is FarmTest {
    uint256 internal constant RENTERS = 2;
    address internal constant STRANGER = address(0x57A46E4);

    /// @dev What the market holds for an order: what its farmers may still earn, what its renter has back, and what its
    /// vacant slots have of stakes.
    function _owedFor(OrderId order) internal view returns (uint256 owed) {
        Stored storage stored = _stored[order];
        for (uint256 i = 0; i < stored.slots.length; ++i) owed += _owedForSlot(order, i, stored.slots[i]);
    }

    function _owedForSlot(OrderId order, uint256 index, Slot storage slot) private view returns (uint256 owed) {
        if (FarmerId.unwrap(slot.farmer) == 0) return _owedForVacant(Rate.unwrap(slot.rate), _epochsOf(order));
        FarmerView memory shown = market.farmer(slot.farmer);
        LossView memory loss = market.loss(order, uint8(index), slot.from);
        uint256 rate = Rate.unwrap(slot.rate);
        uint256 end = _stored[order].end;
        uint256 settled = Epoch.unwrap(shown.settledEpoch);
        uint256 vacantFrom = end;
        if (loss.lostBlock != 0) {
            vacantFrom = Epoch.unwrap(loss.lostEpoch) + 1;
            owed = loss.collateral;
            // What the missed epoch of the loss adds below comes out of the collateral.
            if (market.missed(slot.farmer, loss.lostEpoch)) owed -= PENALTY * rate;
        } else if (shown.lapsed && settled + 1 < end) {
            vacantFrom = settled + 1;
            EvictionView memory evicted = market.eviction(slot.farmer);
            if (evicted.vacantBlock != 0) owed = evicted.collateralEpochs * rate;
        }
        for (uint256 epoch = Epoch.unwrap(slot.from); epoch < end; ++epoch) {
            if (epoch >= vacantFrom || epoch > settled) owed += rate;
            else if (market.missed(slot.farmer, Epoch.wrap(uint32(epoch)))) owed += rate * (1 + PENALTY);
        }
    }

    /// @dev For a slot that began vacant: its pay, and the most that its bounty can be.
    function _owedForVacant(uint256 rate, uint256 epochs) internal pure returns (uint256) {
        uint256 atStake = (PENALTY + FINE) * epochs;
        return rate * epochs + (rate * (atStake < COLLATERAL_EPOCHS ? atStake : COLLATERAL_EPOCHS)) / 2;
    }

    function _epochsOf(OrderId order) private view returns (uint256) {
        return _stored[order].end - _stored[order].from;
    }

    /// @dev What the market will hold for the renter in slots [first, last) of an order, when their farmers are settled, and
    /// evicted where they lapsed.
    function _owedWhenSettled(OrderId order, uint256 first, uint256 last) internal returns (uint256 owed) {
        uint256 snapshot = vm.snapshotState();
        Slot[] storage slots = _stored[order].slots;
        for (uint256 i = first; i < last; ++i) {
            if (FarmerId.unwrap(slots[i].farmer) != 0) {
                market.settle(slots[i].farmer);
                _evict(slots[i].farmer);
            }
            owed += _owedForSlot(order, i, slots[i]) - _fineHeld(order, i, slots[i]);
        }
        vm.revertToState(snapshot);
    }

    /// @dev The fine for a slot that was missed in the epoch in which it was given up: it is burnt when the slot's time ends.
    function _fineHeld(OrderId order, uint256 index, Slot storage slot) private view returns (uint256) {
        LossView memory loss = market.loss(order, uint8(index), slot.from);
        if (loss.lostBlock == 0 || !market.missed(slot.farmer, loss.lostEpoch)) return 0;
        return FINE * Rate.unwrap(slot.rate);
    }

    function _vaultsNow() internal view returns (uint256[] memory vaults) {
        vaults = new uint256[](RENTERS);
        for (uint256 i = 0; i < RENTERS; ++i) vaults[i] = market.vault(vm.addr(RENTER_KEY + i));
    }

    /// @dev One renter's vault has so much more than before, and no other's has changed.
    function _checkVaults(uint256[] memory before, address account, uint256 more) internal view {
        for (uint256 i = 0; i < RENTERS; ++i) {
            uint256 expected = before[i] + (vm.addr(RENTER_KEY + i) == account ? more : 0);
            vm.assertEq(market.vault(vm.addr(RENTER_KEY + i)), expected, "a renter's vault");
        }
    }

    function _evict(FarmerId farmer) internal returns (bool done) {
        if (!market.farmer(farmer).lapsed || market.eviction(farmer).vacantBlock != 0) return false;
        vm.prank(STRANGER);
        market.evict(farmer);
        return true;
    }
}

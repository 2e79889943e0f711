// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";
import {IFarmers} from "../interfaces/IFarmers.sol";
import {Bits} from "../libraries/Bits.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {Epoch, FarmerId, OrderId} from "../types/Types.sol";
import {Books} from "./Books.sol";

/// @title What epochs gone by did to a farmer
/// @dev Decides which epochs were missed, what a miss costs, and when a farmer lapses. Every call about a farmer settles
/// it first, so nobody has to report a miss in time.
///
/// A missed epoch moves PENALTY epochs of pay from the stake to the renters, who find them by the miss map when their
/// order is closed, and burns FINE more: without that a farmer that is its own renter would miss for nothing, and could
/// hide what it dropped among slots of its own (docs/economics.md).
///
/// A farmer lapses with the miss that makes MAX_MISSES strikes, or that leaves less than half of its collateral. From the
/// next epoch on all its slots are vacant: nothing is missed any more, and nothing is paid.
///
/// Invariants:
///   committedRate = sum(rate of entries not declared lost) over the farmer's books of dates after sweptGrid
///   misses = set bits of the miss map; no epoch is both proven and missed
///   unless lapsed, 2 * stake >= COLLATERAL_EPOCHS * (committedRate - carriedRate), so the next miss can always be paid in
///     full: what begins later is missed only when what it takes the place of has ended
///   a lapsed farmer stays lapsed, and its settledEpoch is the last before its slots are vacant
abstract contract Settlement is Books {
    /// @dev What a settlement finds.
    struct Outcome {
        FarmerState state; // settled and swept
        uint256 stake;
        uint256 compensation; // moved from the stake to the renters
        uint256 burnt;
        uint256 count; // of `missed`
        uint256[] missed; // epochs, ascending
    }

    uint256 private constant MISS_BITS = 256;

    function _existing(FarmerId id) internal view returns (Farmer storage stored) {
        stored = _farmers[id];
        if (stored.operator == address(0)) revert IFarmers.UnknownFarmer(id);
    }

    /// @dev Settles every epoch before the current one, and sweeps. The caller writes the state.
    function _settled(
        FarmerId id,
        Farmer storage stored,
        FarmerState state,
        uint256 current
    ) internal returns (FarmerState) {
        if (state.isLapsed()) return state;
        if (state.settledEpoch() + 1 >= current) return _swept(id, state, current);
        Outcome memory outcome = _outcome(id, stored.stake, state, current);
        if (outcome.count > 0) _record(id, stored, outcome);
        return outcome.state;
    }

    /// @dev The same for a farmer that must not have lapsed.
    function _settledUnlapsed(
        FarmerId id,
        Farmer storage stored,
        FarmerState state,
        uint256 current
    ) internal returns (FarmerState) {
        state = _settled(id, stored, state, current);
        if (state.isLapsed()) revert IFarmers.FarmerLapsed(id, Epoch.wrap(uint32(state.settledEpoch() + 1)));
        return state;
    }

    /// @dev What settling would find. At most MAX_MISSES epochs are gone through one by one, since none is proven among
    /// them; others are passed over in spans without anything to prove, which end with the first epoch or on a grid date.
    function _outcome(
        FarmerId id,
        uint256 stake,
        FarmerState state,
        uint256 current
    ) internal view returns (Outcome memory outcome) {
        outcome.state = state;
        outcome.stake = stake;
        uint256 first = state.settledEpoch() + 1;
        if (state.isLapsed() || first >= current) return outcome;
        outcome.missed = new uint256[](MAX_MISSES);
        uint256 starts = state.hasStarting() ? (state.sweptGrid() + 1) * GRID_EPOCHS : 0;
        (uint256 starting, uint256 carried) = (0, 0);
        if (starts != 0) (starting, carried) = (_farmers[id].startingRate, _farmers[id].carriedRate);
        uint256 count = 0;
        uint256 unproven = 0; // the rates of the missed epochs, added up
        uint256 last = current - 1;
        bool lapses = false;
        for (uint256 epoch = first; epoch < current;) {
            state = _swept(id, state, epoch);
            uint256 rate = state.committedRate();
            uint256 begun = epoch < starts ? rate - starting : rate;
            if (epoch == first && state.hasAdded()) begun -= _rateAddedIn(id, epoch);
            if (begun == 0 && !(epoch == first && state.hasGivenUp())) {
                if (rate == 0) break;
                epoch = epoch == first ? first + 1 : Epochs.firstLiveGrid(epoch, GRID_EPOCHS) * GRID_EPOCHS;
                continue;
            }
            // What was declared lost in this very epoch is not in `begun`: for that the collateral it left pays, when
            // its tenure is closed.
            stake -= (PENALTY + FINE) * begun;
            if (epoch < starts) rate -= carried;
            // At most MAX_MISSES epochs, and rates below 2**80: nothing here overflows.
            unchecked {
                outcome.missed[count++] = epoch;
                unproven += begun;
                if (state.strikes() + count >= MAX_MISSES || 2 * stake < COLLATERAL_EPOCHS * rate) {
                    (lapses, last) = (true, epoch);
                    break;
                }
                ++epoch;
            }
        }
        outcome.stake = stake;
        outcome.compensation = PENALTY * unproven;
        outcome.burnt = FINE * unproven;
        outcome.count = count;
        state = _swept(id, state, last + 1).missed(count).settled(last);
        outcome.state = lapses ? state.lapsed() : state;
    }

    /// @dev How much of what a farmer is committed to its stake need not answer for, since it begins when as much ends.
    function _carriedRate(Farmer storage stored, FarmerState state) internal view returns (uint256) {
        return state.hasStarting() ? stored.carriedRate : 0;
    }

    /// @dev Names one farmer's time with a slot. Only a slot of an extension whose farmer lapsed before it began is given
    /// to two from the same epoch, and of that time nothing was ever asked.
    function _tenure(OrderId order, uint8 slot, Epoch from) internal pure returns (bytes32) {
        return keccak256(abi.encode(order, slot, from));
    }

    /// @dev Whether the epoch is in the miss map.
    function _isMissed(FarmerId id, uint256 epoch) internal view returns (bool) {
        return (_missMap[id][epoch / MISS_BITS] >> (epoch % MISS_BITS)) & 1 == 1;
    }

    /// @dev How many of the epochs [from, to) are in the miss map.
    function _missesIn(FarmerId id, uint256 from, uint256 to) internal view returns (uint256 misses) {
        while (from < to) {
            // Rounded down on purpose, to the word's first epoch.
            // slither-disable-next-line divide-before-multiply
            uint256 word = from / MISS_BITS;
            uint256 base = word * MISS_BITS;
            uint256 end = base + MISS_BITS < to ? base + MISS_BITS : to;
            misses += Bits.popcountWord(_missMap[id][word] & Epochs.bits(from - base, end - base));
            from = end;
        }
    }

    function _record(FarmerId id, Farmer storage stored, Outcome memory outcome) private {
        stored.stake = uint96(outcome.stake);
        _earn(BURNT, outcome.burnt);
        uint256 count = outcome.count;
        uint256 runFrom = 0;
        uint256 bits = 0;
        // At most MAX_MISSES epochs: nothing here overflows.
        unchecked {
            for (uint256 i = 0; i < count; ++i) {
                uint256 epoch = outcome.missed[i];
                uint256 next = i + 1 < count ? outcome.missed[i + 1] : 0;
                bits |= 1 << (epoch % MISS_BITS);
                if (next / MISS_BITS != epoch / MISS_BITS || next == 0) {
                    _missMap[id][epoch / MISS_BITS] |= bits;
                    bits = 0;
                }
                if (next == epoch + 1) continue;
                emit IAudits.Missed(id, Epoch.wrap(uint32(outcome.missed[runFrom])), Epoch.wrap(uint32(epoch)));
                runFrom = i + 1;
            }
        }
        emit IFarmers.StakeLost(id, outcome.compensation, outcome.burnt, outcome.stake);
        if (outcome.state.isLapsed()) {
            emit IAudits.Lapsed(id, Epoch.wrap(uint32(outcome.state.settledEpoch() + 1)));
        }
    }
}

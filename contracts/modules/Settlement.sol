// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";
import {IFarmers} from "../interfaces/IFarmers.sol";
import {Bits} from "../libraries/Bits.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {LiveBook, LiveBooks} from "../libraries/LiveBooks.sol";
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
///   misses = set bits of the miss map; no epoch is both proven and missed
///   unless lapsed, 2 * stake >= COLLATERAL_EPOCHS * committedRate, so the next miss can always be paid in full
///   a lapsed farmer stays lapsed, and its settledEpoch is the last before its slots are vacant
abstract contract Settlement is Books {
    using LiveBooks for LiveBook[];

    /// @dev What a settlement finds.
    struct Outcome {
        uint256 settledEpoch;
        uint256 strikes;
        bool lapsed;
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

    /// @dev Settles every epoch before the current one. The caller writes the standing.
    function _settle(FarmerId id, Farmer storage stored, Standing memory standing, uint256 current) internal {
        if (standing.lapsed || standing.settledEpoch + 1 >= current) return;
        Outcome memory outcome = _outcome(id, stored, standing, current);
        standing.settledEpoch = uint32(outcome.settledEpoch);
        if (outcome.count == 0) return;
        standing.strikes = uint8(outcome.strikes);
        standing.lapsed = outcome.lapsed;
        standing.misses += uint32(outcome.count);
        stored.stake = uint96(outcome.stake);
        _earn(BURNT, outcome.burnt);
        _recordMisses(id, outcome);
        emit IFarmers.StakeLost(id, outcome.compensation, outcome.burnt, outcome.stake);
        if (outcome.lapsed) emit IAudits.Lapsed(id, Epoch.wrap(uint32(outcome.settledEpoch + 1)));
    }

    /// @dev Takes books that have ended out of the committed rate.
    function _sweep(FarmerId id, Standing memory standing, uint256 current) internal view {
        uint256 grid = Epochs.gridOf(current, GRID_EPOCHS);
        if (grid == standing.sweptGrid) return;
        if (standing.committedRate > 0) standing.committedRate -= uint80(_rateEnding(id, standing, grid));
        standing.sweptGrid = uint32(grid);
    }

    /// @dev What settling would find; for a lapsed or settled farmer what is recorded. At most MAX_MISSES epochs are
    /// gone through one by one, since none is proven among them; others are passed over in spans without anything to
    /// prove, which end with the first epoch or on a grid date.
    function _outcome(
        FarmerId id,
        Farmer storage stored,
        Standing memory standing,
        uint256 current
    ) internal view returns (Outcome memory outcome) {
        outcome.settledEpoch = standing.settledEpoch;
        outcome.strikes = standing.strikes;
        outcome.lapsed = standing.lapsed;
        outcome.stake = stored.stake;
        uint256 first = uint256(standing.settledEpoch) + 1;
        if (standing.lapsed || first >= current) return outcome;
        outcome.missed = new uint256[](MAX_MISSES);
        LiveBook[] memory books = _liveBooks(id, standing, first);
        for (uint256 epoch = first; epoch < current; ) {
            (uint256 asked, uint256 backed, uint256 committed) = books.sums(epoch);
            if (asked == 0) {
                if (committed == 0) break;
                epoch = epoch == first ? first + 1 : Epochs.firstLiveGrid(epoch, GRID_EPOCHS) * GRID_EPOCHS;
                continue;
            }
            _miss(outcome, epoch, backed);
            if (outcome.strikes >= MAX_MISSES || 2 * outcome.stake < COLLATERAL_EPOCHS * committed) {
                outcome.lapsed = true;
                outcome.settledEpoch = epoch;
                return outcome;
            }
            ++epoch;
        }
        outcome.settledEpoch = current - 1;
    }

    /// @dev Names one farmer's time with a slot: a slot is never given to two from the same epoch.
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
            uint256 word = from / MISS_BITS;
            uint256 base = word * MISS_BITS;
            uint256 end = base + MISS_BITS < to ? base + MISS_BITS : to;
            misses += Bits.popcountWord(_missMap[id][word] & Epochs.bits(from - base, end - base));
            from = end;
        }
    }

    /// @dev `backed` is less than what was asked by what was declared lost in this very epoch: for that the collateral
    /// it left pays, when its tenure is closed.
    function _miss(Outcome memory outcome, uint256 epoch, uint256 backed) private view {
        outcome.missed[outcome.count++] = epoch;
        outcome.strikes += 1;
        outcome.compensation += PENALTY * backed;
        outcome.burnt += FINE * backed;
        outcome.stake -= (PENALTY + FINE) * backed;
    }

    function _recordMisses(FarmerId id, Outcome memory outcome) private {
        uint256 runFrom = 0;
        for (uint256 i = 0; i < outcome.count; ++i) {
            uint256 epoch = outcome.missed[i];
            _missMap[id][epoch / MISS_BITS] |= 1 << (epoch % MISS_BITS);
            if (i + 1 < outcome.count && outcome.missed[i + 1] == epoch + 1) continue;
            emit IAudits.Missed(id, Epoch.wrap(uint32(outcome.missed[runFrom])), Epoch.wrap(uint32(epoch)));
            runFrom = i + 1;
        }
    }
}

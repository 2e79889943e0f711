// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IRepairs} from "../interfaces/IRepairs.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {Epoch, FarmerId, OrderId, Rate, Slot} from "../types/Types.sol";
import {Settlement} from "./Settlement.sol";

/// @title The end of a farmer's time with a slot
/// @dev Decides what becomes of a lapsed farmer's stake, and what comes back to the renter when a farmer's time with a slot is
/// over. Who has the slot next is decided by `Repairs` and `Recoveries`.
///
/// Of a tenure, the epochs [from, vacantFrom) are the farmer's, [vacantFrom, until) nobody's:
///   to the farmer, proof by proof   rate * proven epochs
///   to the renter, here: refund        rate * (missed + vacant epochs)
///                        compensation  PENALTY * rate * missed epochs
///                                      + the slot's collateral if it fell vacant, without the bounty
/// The first two take up rate * (until - from), which the renter paid; the rest came out of the farmer's stake.
///
/// Invariants:
///   a slot's collateral is a whole number of epochs of its pay, at most COLLATERAL_EPOCHS: so nothing is rounded away
abstract contract Endings is Settlement {
    /// @dev How a farmer's time with a slot ended.
    struct Ending {
        uint256 refund;
        uint256 compensation; // without the collateral
        uint256 collateral; // zero if the slot did not fall vacant
        uint256 vacantBlock; // from here the bounty rises; zero if the slot did not fall vacant
    }

    /// @dev The stake of a lapsed farmer: an epoch of its pay to the caller, then up to its collateral to its slots, the
    /// same number of epochs of pay to each. What is above the collateral is the owner's; what is short of another whole
    /// epoch is burnt, so that nothing is rounded away. A lapsed farmer is swept to the first epoch of its vacancy.
    function _evict(FarmerId id, Farmer storage stored, FarmerState state) internal returns (FarmerState) {
        uint256 vacant = state.committedRate();
        uint256 stake = stored.stake;
        uint256 reward = Math.min(stake, vacant);
        uint256 rest = stake - reward;
        uint256 collateralEpochs = vacant == 0 ? COLLATERAL_EPOCHS : Math.min(rest / vacant, COLLATERAL_EPOCHS);
        _earn(collateralEpochs == COLLATERAL_EPOCHS ? stored.owner : BURNT, rest - collateralEpochs * vacant);
        Epoch vacantFrom = Epoch.wrap(uint32(state.settledEpoch() + 1));
        state = state.evicted(collateralEpochs);
        stored.state = state;
        stored.stake = 0;
        _earn(msg.sender, reward);
        emit IRepairs.Evicted(id, msg.sender, vacantFrom, collateralEpochs, reward);
        return state;
    }

    /// @dev The first block of the epoch after the last that counts for a lapsed farmer, whenever it is settled and
    /// evicted, and by whom.
    function _vacantBlock(FarmerState state) internal view returns (uint256) {
        return Epochs.firstBlock(state.settledEpoch() + 1, EPOCH_BLOCKS);
    }

    /// @dev Closes the books on a farmer's time with a slot, up to the epoch `until`.
    function _endTenure(
        OrderId order,
        uint8 index,
        Slot memory slot,
        uint256 until,
        uint256 current
    ) internal returns (Ending memory ending) {
        FarmerId farmer = slot.farmer;
        uint256 rate = Rate.unwrap(slot.rate);
        uint256 vacantFrom = until;
        Farmer storage stored = _farmers[farmer];
        FarmerState state = stored.state;
        if (!state.isLapsed() && state.settledEpoch() + 1 < until) {
            state = _settled(farmer, stored, state, current);
            stored.state = state;
        }
        Loss memory loss;
        if (state.hasLost()) loss = _losses[_tenure(order, index, slot.from)];
        if (loss.lostBlock != 0 && loss.lostEpoch <= state.settledEpoch()) {
            vacantFrom = uint256(loss.lostEpoch) + 1;
            ending.vacantBlock = loss.lostBlock;
            ending.collateral = loss.collateralEpochs * rate;
            if (_isMissed(farmer, loss.lostEpoch)) {
                // The stake no longer answered for this slot: its collateral does.
                ending.collateral -= (PENALTY + FINE) * rate;
                _earn(BURNT, FINE * rate);
            }
        } else if (state.isLapsed() && state.settledEpoch() + 1 < until) {
            if (!state.isEvicted()) state = _evict(farmer, stored, state);
            vacantFrom = Math.max(state.settledEpoch() + 1, Epoch.unwrap(slot.from));
            ending.vacantBlock = _vacantBlock(state);
            ending.collateral = state.collateralEpochs() * rate;
        }
        uint256 missed = state.misses() == 0 ? 0 : _missesIn(farmer, Epoch.unwrap(slot.from), vacantFrom);
        ending.refund = rate * (missed + until - vacantFrom);
        ending.compensation = rate * PENALTY * missed;
    }
}

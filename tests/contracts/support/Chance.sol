// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, FarmerId, FarmerView} from "../../../contracts/types/Types.sol";
import {vm} from "./Cheats.sol";
import {Owed} from "./Owed.sol";

/// @title Who does something in a story, by chance, and how often it was done
abstract contract Chance is Owed {
    /// @dev The market's calls, but those that change nothing. All of them happen in stories, or these show nothing of it:
    /// tests/contracts/test_story_calls.py sees that none is left out.
    enum Done {
        Register,
        RegisterWithPermit,
        UpdateFarmer,
        SetOperator,
        SetLimits,
        AddStake,
        Unstake,
        Claim,
        Burn,
        Deposit,
        DepositWithPermit,
        RequestWithdrawal,
        Withdraw,
        Authorize,
        Redeem,
        Place,
        PlaceFor,
        PlaceWithPermit,
        Extend,
        ExtendWithPermit,
        GiveMandate,
        CoverOrders,
        RevokeMandates,
        ExtendByMandate,
        RecordSeed,
        Prove,
        Settle,
        DeclareLoss,
        CutFront,
        HandOver,
        Release,
        Recover,
        Evict,
        Refill,
        Close
    }

    uint256 internal _random;
    FarmerId internal _honest;
    mapping(Done what => uint256) internal _count;

    function _did(Done what) internal {
        ++_count[what];
    }

    /// @dev Up to `count` farmers, one after another from anywhere, that can take on a slot of this rate.
    function _ready(uint256 count, uint256 rate) internal returns (FarmerId[] memory farmers) {
        uint256 all = market.farmerCount();
        uint256 first = _pick(all);
        farmers = new FarmerId[](count);
        uint256 found = 0;
        for (uint256 i = 0; i < all && found < count; ++i) {
            FarmerId farmer = FarmerId.wrap(uint32(1 + ((first + i) % all)));
            if (_canTake(farmer, rate)) farmers[found++] = farmer;
        }
        assembly ("memory-safe") {
            mstore(farmers, found)
        }
    }

    function _canTake(FarmerId farmer, uint256 rate) internal view returns (bool) {
        FarmerView memory shown = market.farmer(farmer);
        // A farmer that lost much of a book may be refused: it takes nothing more.
        for (uint256 i = 0; i < _kept[farmer].length; ++i) {
            if (_kept[farmer][i].lostEpoch != type(uint256).max) return false;
        }
        return !shown.lapsed && shown.stake >= (shown.committedRate - shown.carriedRate + rate) * COLLATERAL_EPOCHS;
    }

    function _anyRenter() internal {
        renter = vm.addr(RENTER_KEY + _pick(RENTERS));
    }

    function _anyFarmer() internal returns (FarmerId) {
        return FarmerId.wrap(uint32(1 + _pick(market.farmerCount())));
    }

    function _isHonest(FarmerId farmer) internal view returns (bool) {
        return FarmerId.unwrap(farmer) == FarmerId.unwrap(_honest);
    }

    /// @dev Whether the farmer keeps its `nth` slot now, and has not given it up.
    function _keepsNow(FarmerId farmer, uint256 nth) internal view returns (bool) {
        Kept storage kept = _kept[farmer][nth];
        return kept.lostEpoch == type(uint256).max && kept.from <= _now() && _now() < kept.end;
    }

    function _hasProven(FarmerId farmer) internal view returns (bool) {
        return Epoch.unwrap(market.farmer(farmer).settledEpoch) >= _now();
    }

    /// @dev A call that is made or refused with one of the errors that a story does not foresee.
    function _isRefused(address sender, bytes memory data, bytes4[] memory errors) internal returns (bool) {
        vm.prank(sender);
        (bool done, bytes memory reason) = address(market).call(data);
        if (done) return false;
        for (uint256 i = 0; i < errors.length; ++i) if (bytes4(reason) == errors[i]) return true;
        assembly ("memory-safe") {
            revert(add(reason, 0x20), mload(reason))
        }
    }

    /// @dev A number below `count`.
    function _pick(uint256 count) internal returns (uint256) {
        _random = uint256(keccak256(abi.encode(_random)));
        return _random % count;
    }
}

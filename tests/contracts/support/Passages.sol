// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../../../contracts/interfaces/IBooks.sol";
import {IFarmers} from "../../../contracts/interfaces/IFarmers.sol";
import {IHandOvers} from "../../../contracts/interfaces/IHandOvers.sol";
import {Epoch, FarmerId, LossView, OrderView, Passing, Slot} from "../../../contracts/types/Types.sol";
import {vm} from "./Cheats.sol";
import {Chance} from "./Chance.sol";

/// @title What farmers of a story do with their slots: give them up, hand them over, take them back
abstract contract Passages is Chance {
    /// @dev What is bound until a taker has proven.
    struct Bond {
        FarmerId giver;
        FarmerId taker;
        uint256 epoch;
    }

    Bond[] internal _bonds;

    function _tryLose() internal {
        (bool found, FarmerId farmer, uint256 nth) = _anyKept();
        if (found) _loseOne(farmer, nth);
    }

    /// @dev A slot of a farmer that is not the honest one, which it keeps; one after another from anywhere.
    function _anyKept() private returns (bool, FarmerId, uint256) {
        uint256 all = market.farmerCount();
        uint256 start = _pick(all);
        for (uint256 j = 0; j < all; ++j) {
            FarmerId farmer = FarmerId.wrap(uint32(1 + ((start + j) % all)));
            uint256 count = _kept[farmer].length;
            if (_isHonest(farmer) || count == 0 || market.farmer(farmer).lapsed) continue;
            uint256 first = _pick(count);
            for (uint256 i = 0; i < count; ++i) {
                uint256 nth = (first + i) % count;
                if (_keepsNow(farmer, nth)) return (true, farmer, nth);
            }
        }
        return (false, FarmerId.wrap(0), 0);
    }

    function _loseOne(FarmerId farmer, uint256 nth) private returns (bool done) {
        Kept memory kept = _kept[farmer][nth];
        bytes32[] memory words = _lossWords(farmer, nth);
        bytes4[] memory errors = new bytes4[](2);
        // Only what leaves too little, in the book or of what covers the rest, is refused.
        (errors[0], errors[1]) = (IBooks.BookMostlyLost.selector, IFarmers.StakeTooSmall.selector);
        bytes memory data = abi.encodeCall(market.declareLoss, (farmer, Epoch.wrap(kept.end), kept.extension, words));
        if (_isRefused(_operator(farmer), data, errors)) return false;
        _giveUp(farmer, nth);
        _did(Done.DeclareLoss);
        return true;
    }

    /// @dev A slot passes to a farmer that is ready to take it, when its own has proven the epoch.
    function _tryHandOver() internal {
        (bool found, FarmerId giver, uint256 nth) = _anyKept();
        if (!found || block.number % EPOCH_BLOCKS == 0) return;
        Kept memory kept = _kept[giver][nth];
        OrderView memory order = market.order(kept.order);
        if (_now() + 1 >= kept.end || order.n - order.k < 2) return;
        if (!_hasProven(giver)) _prove(giver);
        FarmerId[] memory takers = _ready(1, kept.rate);
        if (takers.length == 0 || market.farmer(giver).strikes > 0 || market.farmer(takers[0]).strikes > 0) return;
        for (uint256 i = 0; i < _stored[kept.order].slots.length; ++i) {
            if (FarmerId.unwrap(_stored[kept.order].slots[i].farmer) == FarmerId.unwrap(takers[0])) return;
        }
        uint256 missed = 0;
        for (uint256 epoch = kept.from; epoch <= _now(); ++epoch) {
            if (market.missed(giver, Epoch.wrap(uint32(epoch)))) ++missed;
        }
        uint256[] memory before = _vaultsNow();
        if (!_passTo(giver, nth, takers[0])) return;
        _checkVaults(before, _stored[kept.order].renter, (1 + PENALTY) * kept.rate * missed);
        _did(Done.HandOver);
    }

    function _passTo(FarmerId giver, uint256 nth, FarmerId taker) private returns (bool) {
        Passing[] memory passings = new Passing[](1);
        passings[0] = _passing(giver, nth, taker);
        bytes4[] memory errors = new bytes4[](3);
        errors[0] = IHandOvers.TooManyHandOvers.selector;
        errors[1] = IBooks.BookMostlyLost.selector;
        errors[2] = IFarmers.StakeTooSmall.selector;
        uint256 stake = market.farmer(giver).stake;
        uint256 bound = market.bound(giver, taker, market.currentEpoch());
        bool extension = _kept[giver][nth].extension;
        bytes memory data = abi.encodeCall(market.handOver, (giver, _parting(passings, extension)));
        if (_isRefused(_operator(giver), data, errors)) return false;
        _passed(giver, nth, taker);
        uint256 more = market.bound(giver, taker, market.currentEpoch()) - bound;
        vm.assertEq(stake - market.farmer(giver).stake, more, "what leaves the stake is bound");
        if (bound == 0) _bonds.push(Bond({giver: giver, taker: taker, epoch: _now()}));
        return true;
    }

    function _tryRelease() internal {
        if (_bonds.length > 0) _release(_pick(_bonds.length));
    }

    /// @dev What was bound goes back to the giver, but for the fines of epochs that the taker missed before.
    function _release(uint256 nth) internal {
        Bond memory bond = _bonds[nth];
        Epoch epoch = Epoch.wrap(uint32(bond.epoch));
        uint256 amount = market.bound(bond.giver, bond.taker, epoch);
        address owner = _ownerOf(bond.giver);
        uint256 before = market.earnings(owner);
        bytes4[] memory errors = new bytes4[](1);
        errors[0] = IHandOvers.TakerNotProven.selector;
        bytes memory data = abi.encodeCall(market.release, (bond.giver, bond.taker, epoch));
        market.settle(bond.taker);
        uint256 burnt = market.earnings(BURNT);
        if (_isRefused(STRANGER, data, errors)) return;
        burnt = market.earnings(BURNT) - burnt;
        vm.assertEq(market.earnings(owner) - before, amount - burnt, "what was bound");
        vm.assertEq(market.bound(bond.giver, bond.taker, epoch), 0, "nothing is bound");
        bool missed = market.missed(bond.taker, Epoch.wrap(uint32(bond.epoch + 1)));
        vm.assertTrue(!missed || burnt > 0, "a miss costs the giver the fine");
        _bonds[nth] = _bonds[_bonds.length - 1];
        _bonds.pop();
        _did(Done.Release);
    }

    /// @dev What was lost a moment ago, or is now, is taken back, when its farmer has proven the epoch.
    function _tryRecover() internal {
        (bool found, FarmerId farmer, uint256 nth) = _anyKept();
        if (!found || block.number % EPOCH_BLOCKS == 0 || _now() + 1 >= _kept[farmer][nth].end) return;
        if (!_hasProven(farmer)) _prove(farmer);
        if (!_loseOne(farmer, nth)) return;
        vm.roll(block.number + _pick(EPOCH_BLOCKS - (block.number % EPOCH_BLOCKS)));
        Kept memory kept = _kept[farmer][nth];
        Slot memory slot = _stored[kept.order].slots[kept.slot];
        LossView memory loss = market.loss(kept.order, kept.slot, slot.from);
        uint256 stake = market.farmer(farmer).stake;
        uint256 forfeit = ((loss.collateral / kept.rate + 3) / 4) * kept.rate;
        uint256 back = _owedWhenSettled(kept.order, kept.slot, kept.slot + 1);
        back -= kept.rate * (kept.end - _now() - 1) + loss.collateral;
        uint256[] memory before = _vaultsNow();
        bytes4[] memory errors = new bytes4[](2);
        (errors[0], errors[1]) = (IBooks.BookMostlyLost.selector, IFarmers.StakeTooSmall.selector);
        bytes memory data = abi.encodeCall(market.recover, (farmer, _heldGroup(kept.order, kept.slot), kept.slot));
        if (_isRefused(_operator(farmer), data, errors)) return;
        _stored[kept.order].slots[kept.slot].from = Epoch.wrap(uint32(_now() + 1));
        _keep(kept.order, kept.slot, false);
        _checkVaults(before, _stored[kept.order].renter, back);
        vm.assertEq(market.farmer(farmer).stake, stake + loss.collateral - forfeit, "stake but for the forfeit");
        _did(Done.Recover);
    }

    /// @dev A slot that was lost before the one in front of it is cut off its book.
    function _tryCut() internal {
        (bool found, FarmerId farmer, uint256 nth) = _anyKept();
        if (!found) return;
        Kept memory kept = _kept[farmer][nth];
        uint256 front = _front(farmer, kept.end, kept.extension);
        if (front == nth) return;
        if (!_loseOne(farmer, nth)) return;
        // All in front of it too, from the front.
        while (front < nth) {
            if (_kept[farmer][front].lostEpoch == type(uint256).max) {
                if (!_keepsNow(farmer, front) || !_loseOne(farmer, front)) return;
            } else _cutOne(farmer, kept);
            front = _front(farmer, kept.end, kept.extension);
        }
        if (front == nth) _cutOne(farmer, kept);
    }

    function _cutOne(FarmerId farmer, Kept memory kept) private {
        _cut(farmer, kept.end, kept.extension, 1);
        _did(Done.CutFront);
    }
}

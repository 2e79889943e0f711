// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILosses} from "../../contracts/interfaces/ILosses.sol";
import {Epoch, FarmerId, LossView, OrderId, Passing} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {AttackTest} from "./support/AttackTest.sol";

/// @title What can be gained by handing slots over, and by taking lost ones back
/// @dev As in Attacks: what everyone in on it has in the end, against what they had or would have had.
contract PassingTest is AttackTest {
    FarmerId private _one_;
    FarmerId private _two;
    FarmerId private _second;
    FarmerId private _third;
    OrderId private _order;

    /// @dev An order of three farmers, and one that has nothing yet, with just the stake for one slot of it.
    function _begin() private {
        FarmerId[] memory three = new FarmerId[](3);
        for (uint256 i = 0; i < 3; ++i) three[i] = _register();
        (_one_, _two) = (three[0], _register(COLLATERAL_EPOCHS * R));
        (_second, _third) = (three[1], three[2]);
        _order = _store(three, _date(3), 3, R);
        _enter(_now() + 1);
        _prove(_one_);
    }

    function _release(FarmerId giver, FarmerId taker, uint256 epoch) private {
        market.release(giver, taker, Epoch.wrap(uint32(epoch)));
    }

    function _both() private view returns (uint256) {
        return _worth(_one_) + _worth(_two);
    }

    /// Must hold: two names that pass a slot back and forth, as often as a market lets them, have what one of them would have: the pay
    /// of the epochs that were proven, and their stakes.
    function test_backAndForth() external {
        _begin();
        uint256 had = _both();
        (FarmerId from, FarmerId to) = (_one_, _two);
        uint256 nth = 0;
        uint256 proven = 0;
        for (uint256 turn = 0; turn < 2; ++turn) {
            uint256 epoch = _now();
            _handOver(from, nth, to);
            _enter(epoch + 1);
            _prove(to);
            ++proven;
            _release(from, to, epoch);
            while (_now() % GRID_EPOCHS != 0) {
                _enter(_now() + 1);
                _prove(to);
                ++proven;
            }
            (from, to) = (to, from);
            nth = _kept[from].length - 1;
        }
        vm.assertEq(_both(), had + proven * R, "what one of them would have");
    }

    /// Must hold: a slot that was dropped, passed to a name that vanishes with it, costs more than to declare it lost.
    function test_passedToOneThatVanishes() external {
        _begin();
        uint256 had = _both();
        uint256 snapshot = vm.snapshotState();
        _lose(_one_, 0);
        uint256 declared = had - _both();
        vm.revertToState(snapshot);
        uint256 epoch = _now();
        _handOver(_one_, 0, _two);
        _enter(epoch + MAX_MISSES + 1);
        vm.prank(_ownerOf(_two));
        market.evict(_two);
        _release(_one_, _two, epoch);
        uint256 passed = had - _both();
        vm.assertEq(declared, COLLATERAL_EPOCHS * R, "a loss");
        vm.assertEq(passed, (COLLATERAL_EPOCHS - 1 + FINE * MAX_MISSES) * R, "all but the reward, and the fines twice");
        vm.assertTrue(passed > declared, "dearer");
    }

    /// Must hold: a renter whose farmer takes a slot from an honest one and keeps nothing loses as much as that one loses: the
    /// fine of each epoch that was missed.
    function testFuzz_renterAndTaker(uint256 missed) external {
        missed = _within(missed, 1, MAX_MISSES);
        address own = _asOwnRenter();
        _begin();
        _prove(_second);
        _prove(_third);
        uint256 epoch = _now();
        uint256 end = _stored[_order].end;
        uint256 honest = _worth(_one_);
        // What is prepaid for the slot is the gang's either way, if it does what it should.
        uint256 gang = _money(own) + _worth(_two) + (end - epoch - 1) * R;
        _handOver(_one_, 0, _two);
        while (_now() + 1 < end) {
            _enter(_now() + 1);
            _prove(_second);
            _prove(_third);
            if (_now() > epoch + missed && missed < MAX_MISSES) _prove(_two);
        }
        _enter(end);
        if (missed == MAX_MISSES) {
            vm.prank(_ownerOf(_two));
            market.evict(_two);
        }
        _release(_one_, _two, epoch);
        _close(_order);
        vm.assertEq(honest - _worth(_one_), FINE * missed * R, "what the honest one lost");
        vm.assertEq(gang - _money(own) - _worth(_two), FINE * missed * R, "what the gang lost");
    }

    /// Must hold: who stole the operator's key hands over, to a name of its own that keeps nothing, no more in an epoch than the
    /// owner lets the operator give up, by losses and hand-overs together. The farm loses the fine of each epoch that the name
    /// misses, and no longer has the slots' pay; the thief loses what its name has at stake.
    function testFuzz_byAStolenKey(uint256 missed) external {
        missed = _within(missed, 1, MAX_MISSES);
        _begin();
        FarmerId[] memory three = new FarmerId[](3);
        (three[0], three[1], three[2]) = (_one_, _second, _third);
        _store(three, _date(3), 3, R);
        _enter(_now() + 1);
        _prove(_one_);
        vm.prank(_ownerOf(_one_));
        market.setLimits(_one_, type(uint80).max, uint80(R));
        uint256 epoch = _now();
        uint256 farm = _worth(_one_);
        uint256 thief = _worth(_two);
        _handOver(_one_, 0, _two);
        _nothingMoreInThisEpoch();
        uint256 proven = 0;
        while (_now() + 1 < _stored[_order].end) {
            _enter(_now() + 1);
            _prove(_one_);
            ++proven;
            if (_now() > epoch + missed && missed < MAX_MISSES) _prove(_two);
        }
        _enter(_stored[_order].end);
        if (missed == MAX_MISSES) {
            vm.prank(_ownerOf(_two));
            market.evict(_two);
        }
        _release(_one_, _two, epoch);
        vm.assertEq(farm + proven * R - _worth(_one_), FINE * missed * R, "the fines");
        if (missed == MAX_MISSES) vm.assertEq(thief - _worth(_two), (COLLATERAL_EPOCHS - 1) * R, "all but the reward");
    }

    function _nothingMoreInThisEpoch() private {
        Passing[] memory passings = new Passing[](1);
        passings[0] = _passing(_one_, 1, _register());
        bytes32[] memory words = _lossWords(_one_, 1);
        bytes memory exceeded = abi.encodeWithSelector(ILosses.LossLimitExceeded.selector, _one_, 2 * R, R);
        vm.startPrank(_operator(_one_));
        vm.expectRevert(exceeded);
        market.handOver(_one_, _parting(passings, false));
        vm.expectRevert(exceeded);
        market.declareLoss(_one_, Epoch.wrap(uint32(_date(3))), false, words);
        vm.stopPrank();
    }

    /// Must hold: a gang gathers (n - k) / 2 slots of an order in a grid period, whatever the names and the epochs.
    function test_gathersAnOrder() external {
        FarmerId[] memory nine = new FarmerId[](9);
        for (uint256 i = 0; i < 9; ++i) nine[i] = _register();
        _order = _store(nine, _date(2), 1, R);
        _enter(_now() + 1);
        uint256 passed = 0;
        for (uint256 i = 0; i < 9; ++i) {
            _prove(nine[i]);
            Passing[] memory passings = new Passing[](1);
            FarmerId name = _register();
            passings[0] = _passing(nine[i], 0, name);
            vm.prank(_operator(nine[i]));
            (bool done, ) = address(market).call(abi.encodeCall(market.handOver, (nine[i], _parting(passings, false))));
            if (!done) continue;
            ++passed;
            _passed(nine[i], 0, name);
        }
        vm.assertEq(passed, 4, "(9 - 1) / 2");
    }

    /// Must hold: one that declares a slot lost, sells reads to one that repairs it, for no more than is offered for it then, and
    /// takes it back loses: what is forfeit is more.
    function testFuzz_sellsReadsAndTakesBack(uint256 blocks, uint256 left) external {
        left = _within(left, 4, 18);
        _one_ = _register();
        _two = _register();
        _order = _store(_one_, _date(3), 3, R);
        while (_now() + left < _stored[_order].end) {
            _enter(_now() + 1);
            _prove(_one_);
        }
        uint256 had = _worth(_one_);
        Kept memory kept = _kept[_one_][0];
        _lose(_one_, 0);
        vm.roll(block.number + _within(blocks, 0, (AUCTION_EPOCHS * EPOCH_BLOCKS) / 4));
        uint256 offered = _offered(kept);
        vm.prank(_operator(_one_));
        market.recover(_one_, _heldGroup(_order, kept.slot), kept.slot);
        vm.assertTrue(_worth(_one_) + offered < had, "a loss");
    }

    /// @dev What is offered for a lost slot now, by the formula of the bounty.
    function _offered(Kept memory kept) private view returns (uint256) {
        LossView memory loss = market.loss(kept.order, kept.slot, Epoch.wrap(kept.from));
        uint256 left = kept.end - _now() - 1;
        uint256 most = (PENALTY + FINE) * left < COLLATERAL_EPOCHS ? (PENALTY + FINE) * left : COLLATERAL_EPOCHS;
        uint256 full = (kept.rate * most) / 2;
        if (loss.collateral < full) full = loss.collateral;
        return (full * (block.number - loss.lostBlock)) / (AUCTION_EPOCHS * EPOCH_BLOCKS);
    }

    /// Must hold: to declare what is kept lost and take it back costs the epoch's pay and the forfeit, and nothing is won by it:
    /// neither an audit that is known is escaped, nor a miss made cheaper.
    function test_lossAsAnExcuse() external {
        _begin();
        uint256 had = _worth(_one_);
        uint256 snapshot = vm.snapshotState();
        _enter(_now() + 2);
        market.settle(_one_);
        uint256 missed = had - _worth(_one_);
        vm.revertToState(snapshot);
        _lose(_one_, 0);
        _enter(_now() + 1);
        _recover(_one_, 0);
        uint256 excused = had - _worth(_one_);
        vm.assertEq(missed, (PENALTY + FINE) * R, "a missed epoch");
        vm.assertEq(excused, (COLLATERAL_EPOCHS / 4) * R, "an excuse");
        vm.assertTrue(excused > missed, "dearer than to miss the epoch");
    }
}

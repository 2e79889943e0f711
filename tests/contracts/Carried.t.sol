// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {Acceptance, Epoch, FarmerId, FarmerView, Held, OrderId, Terms} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title What a stake answers for when slots are extended: the larger of what is kept now and then, not the sum
contract CarriedTest is FarmTest {
    uint256 private constant R = 1000;
    uint256 private constant C = COLLATERAL_EPOCHS;
    uint256 private constant LOSS = PENALTY + FINE;

    /// @dev A farmer with `slots` slots at the rate R, in the last grid period of their time, and what that takes at stake.
    function _begin(uint256 slots) private returns (FarmerId farmer, OrderId[] memory orders) {
        _enter(_date(1));
        farmer = _register(slots * C * R);
        orders = new OrderId[](slots);
        for (uint256 i = 0; i < slots; ++i) orders[i] = _store(farmer, _date(1), 2, R);
    }

    function _refusedFor(FarmerId farmer, OrderId previous, uint256 rate, uint256 stake, uint256 needed) private {
        Terms memory terms = _terms("refused", _date(3), 2, 1, 1);
        Acceptance[] memory acceptances = new Acceptance[](1);
        acceptances[0] = _accept(terms, farmer, 0, _stored[previous].slots[0].root, rate, previous);
        Held memory held = _held(previous);
        _deposit(1e9);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.StakeTooSmall.selector, farmer, stake, needed));
        market.extend(held, terms, acceptances);
    }

    function _declareRefused(FarmerId farmer, uint256 nth, uint256 left, uint256 needed) private {
        bytes32[] memory words = _lossWords(farmer, nth);
        Kept memory kept = _kept[farmer][nth];
        vm.prank(_operator(farmer));
        vm.expectRevert(abi.encodeWithSelector(IFarmers.StakeTooSmall.selector, farmer, left, needed));
        market.declareLoss(farmer, Epoch.wrap(kept.end), kept.extension, words);
    }

    /// Must hold: a farmer whose stake covers what it keeps can go on with all of it.
    function testFuzz_allOfIt(uint256 count) external {
        count = _within(count, 1, 6);
        (FarmerId farmer, OrderId[] memory orders) = _begin(count);
        for (uint256 i = 0; i < count; ++i) _extend(orders[i], _one(farmer), _date(3), R);
        FarmerView memory shown = market.farmer(farmer);
        vm.assertEq(shown.committedRate, 2 * count * R, "of all slots");
        vm.assertEq(shown.carriedRate, count * R, "answered for once");
        _proveUntil(farmer, _stored[orders[0]].end + 1);
        shown = market.farmer(farmer);
        vm.assertEq(shown.committedRate, count * R, "of what goes on");
        vm.assertEq(shown.carriedRate, 0, "and all of that is answered for");
        _refusedUnstake(farmer, 1);
    }

    function _refusedUnstake(FarmerId farmer, uint256 amount) private {
        FarmerView memory shown = market.farmer(farmer);
        uint256 needed = (shown.committedRate - shown.carriedRate) * C;
        vm.prank(_ownerOf(farmer));
        vm.expectRevert(abi.encodeWithSelector(IFarmers.StakeNotFree.selector, farmer, amount, shown.stake, needed));
        market.unstake(farmer, amount);
    }

    /// Must hold: at a higher rate the stake must cover that, at a lower one what is kept until then; to the unit.
    function testFuzz_theLargerOfBoth(uint256 rate) external {
        rate = _within(rate, 1, 3 * R);
        (FarmerId farmer, OrderId[] memory orders) = _begin(1);
        uint256 larger = rate > R ? rate : R;
        if (larger > R) {
            market.addStake(farmer, C * (larger - R) - 1);
            _refusedFor(farmer, orders[0], rate, C * larger - 1, C * larger);
            market.addStake(farmer, 1);
        }
        _extend(orders[0], _one(farmer), _date(3), rate);
        _refusedUnstake(farmer, 1);
        market.addStake(farmer, 5);
        vm.prank(_ownerOf(farmer));
        market.unstake(farmer, 5);
    }

    /// Must hold: who takes on the extension of another's slot needs the stake for it beside all that it keeps.
    function test_anothersSlot() external {
        (FarmerId farmer, ) = _begin(1);
        OrderId other = _store(_register(), _date(1), 2, R);
        _refusedFor(farmer, other, R, C * R, 2 * C * R);
    }

    /// Must hold: a slot that was given up is not gone on with, so its extension needs stake of its own.
    function test_givenUpBefore() external {
        (FarmerId farmer, OrderId[] memory orders) = _begin(2);
        _proveUntil(farmer, _now() + 1);
        _lose(farmer, 0);
        _refusedFor(farmer, orders[0], R, C * R, 2 * C * R);
        _extend(orders[1], _one(farmer), _date(3), R);
        vm.assertEq(market.farmer(farmer).carriedRate, R, "the one that it keeps");
    }

    /// Must hold: what was carried in an earlier period counts no more.
    function test_earlierPeriods() external {
        (FarmerId farmer, OrderId[] memory orders) = _begin(1);
        OrderId next = _extend(orders[0], _one(farmer), _date(2), R);
        _proveUntil(farmer, _stored[next].from);
        OrderId other = _store(_register(), _date(1), 2, 1);
        market.addStake(farmer, C);
        _extend(other, _one(farmer), _date(3), 1);
        vm.assertEq(market.farmer(farmer).carriedRate, 0, "nothing of its own yet");
        _extend(next, _one(farmer), _date(3), R);
        vm.assertEq(market.farmer(farmer).carriedRate, R, "its own");
    }

    /// Must hold: no relief for a slot that is placed or taken over while others are carried.
    function test_placedBeside() external {
        (FarmerId farmer, OrderId[] memory orders) = _begin(1);
        _extend(orders[0], _one(farmer), _date(3), R);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(farmer), _date(2), 2, 1);
        _deposit(1e9);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.StakeTooSmall.selector, farmer, C * R, C * (R + 1)));
        market.place(terms, acceptances);
        market.addStake(farmer, C);
        vm.prank(renter);
        market.place(terms, acceptances);
    }

    /// Must hold: with everything carried a farmer still lapses by its stake where half of what it answers for is left, and
    /// each miss before is paid in full.
    function testFuzz_missesInBetween(uint256 missed) external {
        missed = _within(missed, 0, MAX_MISSES);
        (FarmerId farmer, OrderId[] memory orders) = _begin(2);
        for (uint256 i = 0; i < 2; ++i) _extend(orders[i], _one(farmer), _date(3), R);
        _proveUntil(farmer, _now() + 1);
        _enter(_now() + 1 + missed);
        FarmerView memory shown = market.farmer(farmer);
        vm.assertEq(shown.stake, 2 * R * (C - LOSS * missed), "paid for what has begun");
        vm.assertTrue(shown.lapsed == (missed == MAX_MISSES), "lapsed");
        market.settle(farmer);
        vm.assertEq(market.farmer(farmer).stake, shown.stake, "as shown");
    }

    /// Must hold: an eviction in between leaves the same collateral to a slot and to its extension, out of one stake.
    function test_evictedInBetween() external {
        (FarmerId farmer, OrderId[] memory orders) = _begin(1);
        OrderId next = _extend(orders[0], _one(farmer), _date(3), R);
        _lapse(farmer);
        vm.assertTrue(_now() < _stored[next].from, "before it begins");
        market.evict(farmer);
        uint256 rest = C * R - LOSS * MAX_MISSES * R - 2 * R;
        vm.assertEq(market.eviction(farmer).collateralEpochs, rest / (2 * R), "of each");
        _enter(_stored[next].end);
        uint256 before = market.vault(renter);
        _close(orders[0]);
        _close(next);
        uint256 paid = R * (_stored[next].end - _stored[orders[0]].from);
        vm.assertEq(market.vault(renter) - before, paid + PENALTY * MAX_MISSES * R + rest, "all and what is left");
        vm.assertEq(market.vault(renter) + _others(), token.balanceOf(address(market)), "nothing more, nothing less");
    }

    function _others() private view returns (uint256) {
        return market.earnings(BURNT) + market.earnings(address(this));
    }

    /// Must hold: who gives up a slot that it goes on with needs the stake for what begins, as if it had not had it.
    function test_givenUpAfter() external {
        (FarmerId farmer, OrderId[] memory orders) = _begin(2);
        for (uint256 i = 0; i < 2; ++i) _extend(orders[i], _one(farmer), _date(3), R);
        _proveUntil(farmer, _now() + 1);
        uint256 epochs = C / 2;
        _declareRefused(farmer, 0, C * 2 * R - epochs * R, C * 2 * R);
        market.addStake(farmer, 10 * R - 1);
        _declareRefused(farmer, 0, C * 2 * R - 1, C * 2 * R);
        market.addStake(farmer, 1);
        _lose(farmer, 0);
        vm.assertEq(market.farmer(farmer).carriedRate, R, "one is carried");
        vm.assertEq(market.farmer(farmer).stake, C * 2 * R, "covered");
    }

    /// Must hold: a slot that is not carried can be given up as ever, beside others that are.
    function test_givenUpBeside() external {
        (FarmerId farmer, OrderId[] memory orders) = _begin(4);
        _extend(orders[0], _one(farmer), _date(3), R);
        _proveUntil(farmer, _now() + 1);
        uint256 epochs = (4 * C) / 5;
        _lose(farmer, 3);
        FarmerView memory shown = market.farmer(farmer);
        vm.assertEq(shown.stake, 4 * C * R - epochs * R, "its collateral");
        vm.assertEq(shown.committedRate - shown.carriedRate, 3 * R, "what it answers for");
    }

    /// Must hold: with less than the full collateral too, a slot beside can be given up if the rest is covered as well.
    function test_givenUpAfterMisses() external {
        (FarmerId farmer, OrderId[] memory orders) = _begin(4);
        _extend(orders[0], _one(farmer), _date(3), R);
        _proveUntil(farmer, _now() + 1);
        _enter(_now() + 3);
        _prove(farmer);
        uint256 stake = 4 * R * (C - 2 * LOSS);
        _lose(farmer, 3);
        vm.assertEq(market.farmer(farmer).stake, stake - (stake / (5 * R)) * R, "its collateral");
    }

    /// Must hold: under cover of its own extensions too, a pretended repair loses.
    function test_pretendUnderExtensions() external {
        _enter(_date(1));
        FarmerId gone = _register(C * R);
        OrderId victim = _store(gone, _date(1), 2, R);
        _enter(_now() + MAX_MISSES + 1);
        market.evict(gone);
        FarmerId taker = _register(C * 2 * R);
        uint256 mine = R;
        OrderId own = _store(taker, _date(1), 2, mine);
        _extend(own, _one(taker), _date(2), mine);
        _enter(_now() + 1);
        address gang = address(0x6A46);
        _refill(victim, 0, taker, gang);
        uint256 bounty = market.earnings(gang);
        vm.assertTrue(bounty > 0, "a bounty");
        _enter(_stored[victim].end);
        market.settle(taker);
        // What it lost for the slot that it took: as much twice, by the misses that were left.
        uint256 lost = C * 2 * R - market.farmer(taker).stake;
        vm.assertTrue(lost >= 2 * bounty, "loses twice the bounty at least");
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {Acceptance, Epoch, FarmerId, FarmerView, OrderId, Terms} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title Misses, penalties, strikes and lapse
/// @dev Misses are the epochs in which there was something to prove and no proof, up to the lapse, no matter who records them,
/// and when.
contract SettleTest is FarmTest {
    uint256 private constant RATE = 1e18;

    function _missed(FarmerId farmer, uint256 epoch) private view returns (bool) {
        return market.missed(farmer, Epoch.wrap(uint32(epoch)));
    }

    function _expectMissed(FarmerId farmer, uint256 first, uint256 last) private {
        vm.expectEmit(true, true, true, true, address(market));
        emit IAudits.Missed(farmer, Epoch.wrap(uint32(first)), Epoch.wrap(uint32(last)));
    }

    function _least(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    /// Must hold: every epoch from the first that counts to the one before the current, the end or the lapse is a miss,
    /// seen before it is recorded and the same after.
    function testFuzz_absence(uint256 away) external {
        FarmerId farmer = _register();
        uint256 placed = _now();
        uint256 end = _date(1);
        _store(farmer, end, 1, RATE);
        away = _within(away, 2, 60);
        _absent(farmer, placed, end, away);
    }

    /// Must hold: the same when the slot does not end before the lapse.
    function testFuzz_longAbsence(uint256 away) external {
        FarmerId farmer = _register();
        uint256 placed = _now();
        uint256 end = _date(3);
        _store(farmer, end, 1, RATE);
        away = _within(away, 2, 60);
        _absent(farmer, placed, end, away);
    }

    function _absent(FarmerId farmer, uint256 placed, uint256 end, uint256 away) private {
        _enter(placed + away);
        uint256 last = _least(_least(placed + away - 1, end - 1), placed + MAX_MISSES);
        for (uint256 round = 0; round < 2; ++round) {
            vm.assertEq(_misses(farmer), last - placed, "misses");
            for (uint256 e = placed - 1; e < placed + away + 2; ++e) {
                vm.assertTrue(_missed(farmer, e) == (placed < e && e <= last), "missed");
            }
            if (round == 0) {
                _expectMissed(farmer, placed + 1, last);
                market.settle(farmer);
            }
        }
        bool lapsed = last == placed + MAX_MISSES;
        vm.assertTrue(market.farmer(farmer).lapsed == lapsed, "lapsed");
        vm.assertEq(_settledEpoch(farmer), lapsed ? last : placed + away - 1, "settled");
    }

    /// Must hold: settling again, or a farmer with nothing to prove, records nothing.
    function testFuzz_nothingToSettle(uint256 away) external {
        FarmerId farmer = _register();
        away = _within(away, 0, 1000);
        _enter(_now() + away);
        market.settle(farmer);
        market.settle(farmer);
        vm.assertEq(_misses(farmer), 0, "misses");
        vm.assertEq(market.farmer(farmer).stake, STAKE, "stake");
        for (uint256 e = _now() - away; e <= _now(); ++e) vm.assertTrue(!_missed(farmer, e), "missed");
    }

    /// Must hold: the current epoch is never a miss, as it can still be proven.
    function test_currentEpochIsOpen() external {
        FarmerId farmer = _register();
        _store(farmer, _date(1), 1, RATE);
        _enter(_now() + 1);
        market.settle(farmer);
        vm.assertEq(_misses(farmer), 0, "misses");
        vm.assertTrue(!_missed(farmer, _now()), "missed");
        _prove(farmer);
        _enter(_now() + 1);
        market.settle(farmer);
        vm.assertEq(_misses(farmer), 0, "misses after");
    }

    /// Must hold: a proof after an absence records the misses first, and its own epoch is not one of them.
    function testFuzz_provingAgain(uint256 away) external {
        FarmerId farmer = _register();
        uint256 placed = _now();
        _store(farmer, _date(3), 2, RATE);
        away = _within(away, 2, MAX_MISSES);
        _enter(placed + away);
        bytes32[] memory words = _proof(farmer);
        _expectMissed(farmer, placed + 1, placed + away - 1);
        market.prove(farmer, Epoch.wrap(uint32(_now())), words);
        vm.assertEq(_misses(farmer), away - 1, "misses");
        vm.assertEq(market.farmer(farmer).strikes, away - 2, "strikes");
        vm.assertTrue(!_missed(farmer, _now()), "proven");
        vm.assertEq(market.earnings(_ownerOf(farmer)), RATE, "one epoch is paid");
    }

    /// Must hold: an order placed after an absence records the misses first, with the rates as they were.
    function testFuzz_placingAgain(uint256 away, uint256 ahead) external {
        FarmerId farmer = _register();
        uint256 placed = _now();
        uint256 end = _date(1);
        _store(farmer, end, 1, RATE);
        _enter(placed + _within(away, 2, 150));
        uint256 last = _least(_now() - 1, end - 1);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(
            _one(farmer),
            _date(_within(ahead, 2, MAX_BOOKS)),
            1,
            RATE
        );
        _deposit(1e24);
        _expectMissed(farmer, placed + 1, last);
        vm.prank(renter);
        market.place(terms, acceptances);
        vm.assertEq(_misses(farmer), last - placed, "misses");
        vm.assertEq(market.farmer(farmer).stake, STAKE - (last - placed) * (PENALTY + FINE) * RATE, "stake");
    }

    /// Must hold: epochs between the end of one slot and the beginning of the next are not misses.
    function test_gapBetweenSlots() external {
        FarmerId farmer = _register();
        uint256 end = _date(1);
        _enter(end - 3);
        _store(farmer, end, 1, RATE);
        _enter(end + 3);
        uint256 again = _now();
        _store(farmer, _date(1), 1, RATE);
        _enter(again + 2);
        market.settle(farmer);
        vm.assertEq(_misses(farmer), 3, "misses");
        for (uint256 e = end - 4; e < _now(); ++e) {
            vm.assertTrue(_missed(farmer, e) == ((end - 3 < e && e < end) || e > again), "missed");
        }
    }

    /// Must hold: misses with a gap between them are told as two spans when they are recorded together.
    function test_twoSpansOfMisses() external {
        uint256 end = _date(1);
        OrderId order = _store(_register(), end, 1, RATE);
        FarmerId farmer = _register();
        _store(farmer, end, 1, RATE);
        _extend(order, _one(farmer), end + GRID_EPOCHS, RATE);
        _enter(_now() + 1);
        uint256 given = _now();
        _lose(farmer, 0);
        _enter(end + 2);
        _expectMissed(farmer, given, given);
        _expectMissed(farmer, end, end + 1);
        market.settle(farmer);
        vm.assertEq(_misses(farmer), 3, "misses");
        for (uint256 e = given; e < _now(); ++e)
            vm.assertTrue(_missed(farmer, e) == (e == given || e >= end), "missed");
    }

    /// Must hold: a slot added late in an otherwise empty epoch makes no miss of that epoch.
    function test_addedInTheSettledEpoch() external {
        FarmerId farmer = _register();
        _enter(_now() + 4);
        uint256 placed = _now();
        _store(farmer, _date(2), 1, RATE);
        _store(farmer, _date(2), 1, RATE);
        _enter(placed + 1);
        market.settle(farmer);
        vm.assertEq(_misses(farmer), 0, "nothing was due in the epoch of the order");
        _enter(placed + 2);
        market.settle(farmer);
        vm.assertEq(_misses(farmer), 1, "the next is missed");
        vm.assertTrue(_missed(farmer, placed + 1) && !_missed(farmer, placed), "which one");
    }

    /// Must hold: a slot added in an epoch that is then missed is not fined for it, the older ones are.
    function testFuzz_addedInAMissedEpoch(uint256 rate, uint256 more) external {
        rate = _within(rate, 1, 1e20);
        more = _within(more, 1, 1e20);
        FarmerId farmer = _register();
        _store(farmer, _date(2), 1, rate);
        _enter(_now() + 1);
        _store(farmer, _date(2), 1, more);
        _store(farmer, _date(3), 1, more);
        _enter(_now() + 1);
        market.settle(farmer);
        vm.assertEq(market.farmer(farmer).stake, STAKE - (PENALTY + FINE) * rate, "the older one");
        _enter(_now() + 1);
        market.settle(farmer);
        vm.assertEq(market.farmer(farmer).stake, STAKE - (PENALTY + FINE) * (2 * rate + 2 * more), "all of them");
    }

    /// Must hold: a market whose chain has just begun counts its epochs from 0 and misses none before there were any.
    function test_epochZero() external {
        _enter(0);
        FarmerId farmer = _register();
        _store(farmer, GRID_EPOCHS, 2, RATE);
        market.settle(farmer);
        for (uint256 epoch = 1; epoch < 4; ++epoch) {
            _enter(epoch);
            vm.assertEq(_misses(farmer), 0, "misses");
            _prove(farmer);
        }
        vm.assertEq(market.earnings(_ownerOf(farmer)), 3 * RATE, "pay");
        vm.assertTrue(!_missed(farmer, 0), "missed");
    }

    /// Must hold: however long a farmer was away and however many books it has, settling it stays cheap.
    function test_longestAbsence() external {
        FarmerId farmer = _register();
        uint256 placed = _now();
        for (uint256 date = 1; date <= MAX_BOOKS; ++date) _store(farmer, _date(date), 1, RATE);
        _enter(_date(MAX_BOOKS) + 5000);
        vm.cool(address(market));
        market.settle(farmer);
        vm.assertLe(vm.lastCallGas().gasTotalUsed, 150_000, "gas");
        vm.assertEq(_misses(farmer), MAX_MISSES, "misses");
        vm.assertTrue(
            _missed(farmer, placed + MAX_MISSES) && !_missed(farmer, placed + MAX_MISSES + 1),
            "to the lapse"
        );
    }

    /// Must hold: over any story, an epoch is a miss if and only if something counted in it, it was not proven and the
    /// farmer had not lapsed before; stake, strikes and lapse are those of the model, and so is the pay.
    function testFuzz_missesAreThoseOfTheModel(uint256 random) external {
        FarmerId farmer = _register(1e27);
        uint256 start = _now();
        bool[] memory proven = new bool[](200);
        uint256 paid = 0;
        for (uint256 step = 0; step < 20 && !market.farmer(farmer).lapsed; ++step) {
            random = uint256(keccak256(abi.encode(random)));
            uint256 end = _date(1 + ((random >> 8) % (step % 5 == 0 ? MAX_BOOKS : 2)));
            if (random % 3 == 0 && end > _now() + 1) _store(farmer, end, 1, 1 + ((random >> 32) % 1000));
            if ((random >> 64) % 3 > 0 && _rateAt(farmer, _now()) > 0 && _settledEpoch(farmer) < _now()) {
                _prove(farmer);
                proven[_now() - start] = true;
                paid += _rateAt(farmer, _now());
            }
            if ((random >> 96) % 4 == 0) market.settle(farmer);
            _enter(_now() + ((random >> 128) % 3) + ((random >> 160) % 19 == 0 ? 5 : 0));
        }
        _checkModel(farmer, start, proven);
        vm.assertEq(market.earnings(_ownerOf(farmer)), paid, "pay");
    }

    function _checkModel(FarmerId farmer, uint256 start, bool[] memory proven) private view {
        uint256 misses = 0;
        uint256 strikes = 0;
        uint256 stake = 1e27;
        for (uint256 e = start; e < _now(); ++e) {
            uint256 rate = _rateAt(farmer, e);
            bool expected = rate > 0 && !proven[e - start] && strikes < MAX_MISSES;
            vm.assertTrue(_missed(farmer, e) == expected, "missed");
            if (expected) {
                ++misses;
                ++strikes;
                stake -= (PENALTY + FINE) * rate;
            } else if (proven[e - start] && strikes > 0) {
                --strikes;
            }
        }
        if (proven[_now() - start] && strikes > 0) --strikes;
        FarmerView memory shown = market.farmer(farmer);
        vm.assertEq(shown.misses, misses, "misses");
        vm.assertEq(shown.strikes, strikes, "strikes");
        vm.assertEq(shown.stake, stake, "stake");
        vm.assertTrue(shown.lapsed == (strikes == MAX_MISSES), "lapsed");
    }

    /// Must hold: each miss takes penalty and fine, in epochs of pay, and no more than MAX_MISSES are ever counted.
    function testFuzz_aMissCostsPenaltyAndFine(uint256 rate, uint256 absent) external {
        rate = _within(rate, 1, 1e18);
        absent = _within(absent, 1, 20);
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, rate);
        _enter(_now() + 1 + absent);
        uint256 misses = absent < MAX_MISSES ? absent : MAX_MISSES;
        FarmerView memory before = market.farmer(farmer);
        market.settle(farmer);
        FarmerView memory shown = market.farmer(farmer);
        vm.assertEq(shown.stake, STAKE - misses * (PENALTY + FINE) * rate, "stake");
        vm.assertEq(shown.misses, misses, "misses");
        vm.assertEq(shown.strikes, misses, "strikes");
        vm.assertTrue(shown.lapsed == (misses == MAX_MISSES), "lapsed with the last");
        vm.assertEq(market.earnings(BURNT), misses * FINE * rate, "burnt");
        vm.assertEq(keccak256(abi.encode(shown)), keccak256(abi.encode(before)), "shown as if settled");
    }

    /// Must hold: the epochs after a lapse are vacant, not missed.
    function test_epochsAfterALapseAreNotMissed() external {
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, 1000);
        uint256 from = _now() + 1;
        _enter(from + 10);
        market.settle(farmer);
        for (uint256 epoch = from; epoch < from + 10; ++epoch) {
            vm.assertTrue(
                market.missed(farmer, Epoch.wrap(uint32(epoch))) == (epoch < from + MAX_MISSES),
                "missed up to the lapse"
            );
        }
        vm.assertEq(_settledEpoch(farmer), from + MAX_MISSES - 1, "settled up to the lapse");
        vm.assertEq(market.rateAt(farmer, market.currentEpoch()), 0, "nothing is asked any more");
    }

    /// Must hold: a proof takes a strike away, so a farmer that misses every other epoch does not lapse by strikes.
    function test_aProofTakesAStrikeAway() external {
        FarmerId farmer = _register();
        _store(farmer, _date(4), 2, 1000);
        for (uint256 i = 0; i < 12; ++i) {
            _enter(_now() + 2);
            _prove(farmer);
            vm.assertEq(market.farmer(farmer).strikes, 0, "made good for");
        }
        vm.assertEq(_misses(farmer), 12, "misses");
    }

    /// Must hold: a farmer whose stake is less than half of its collateral lapses whatever its strikes.
    function test_aFarmerLapsesWithLessThanHalfItsCollateral() external {
        uint256 rate = 1000;
        FarmerId farmer = _register(rate * COLLATERAL_EPOCHS);
        _store(farmer, _date(5), 2, rate);
        uint256 misses = 0;
        while (!market.farmer(farmer).lapsed) {
            _enter(_now() + 2);
            if (market.farmer(farmer).lapsed) break;
            _prove(farmer);
            ++misses;
        }
        // 16 epochs of pay, two for each miss: with the fifth it is below eight.
        vm.assertEq(misses + 1, COLLATERAL_EPOCHS / 2 / (PENALTY + FINE) + 1, "misses until then");
        vm.assertTrue(market.farmer(farmer).stake < (rate * COLLATERAL_EPOCHS) / 2, "below half");
    }

    /// Must hold: a lapsed farmer can neither prove nor add to its stake nor take it back.
    function test_aLapsedFarmerIsOut() external {
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, 1000);
        uint256 from = _now() + 1;
        _lapse(farmer);
        bytes memory lapsed = abi.encodeWithSelector(
            IFarmers.FarmerLapsed.selector,
            farmer,
            Epoch.wrap(uint32(from + MAX_MISSES))
        );
        Epoch current = market.currentEpoch();
        bytes32[] memory words = new bytes32[](0);
        vm.expectRevert(lapsed);
        market.prove(farmer, current, words);
        vm.expectRevert(lapsed);
        market.addStake(farmer, 1);
        vm.prank(_ownerOf(farmer));
        vm.expectRevert(lapsed);
        market.unstake(farmer, 1);
    }

    /// Must hold: misses on both sides of the end of a word of the miss map are each in their own, and nowhere else.
    function test_missesAcrossWords() external {
        FarmerId farmer = _register();
        _enter(252);
        OrderId order = _store(farmer, _date(2), 1, RATE);
        _proveUntil(farmer, 254);
        _enter(257);
        _expectMissed(farmer, 255, 256);
        market.settle(farmer);
        for (uint256 epoch = 250; epoch < 260; ++epoch) {
            vm.assertTrue(_missed(farmer, epoch) == (epoch == 255 || epoch == 256), "missed");
        }
        for (uint256 epoch = 508; epoch < 514; ++epoch) vm.assertTrue(!_missed(farmer, epoch), "not yet");
        vm.assertTrue(!_missed(farmer, 0), "long ago");
        _prove(farmer);
        uint256 end = _stored[order].end;
        _proveUntil(farmer, end - 1);
        _enter(end);
        uint256 before = market.vault(renter);
        _close(order);
        vm.assertEq(market.vault(renter) - before, 2 * RATE * (1 + PENALTY), "both refunded, with compensation");
    }

    /// Must hold: that a farmer lapsed is told once, with the first epoch that it does not keep.
    function test_aLapseIsTold() external {
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, 1000);
        uint256 from = _now() + 1;
        _enter(from + MAX_MISSES + 2);
        vm.expectEmit(true, true, true, true, address(market));
        emit IAudits.Lapsed(farmer, Epoch.wrap(uint32(from + MAX_MISSES)));
        market.settle(farmer);
    }
}

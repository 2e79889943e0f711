// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {Epoch, FarmerId, FarmerView} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title Misses, penalties, strikes and lapse
contract SettleTest is FarmTest {
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
        vm.assertTrue(market.farmer(farmer).stake < rate * COLLATERAL_EPOCHS / 2, "below half");
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

    /// Must hold: however long a farmer was away and however many books it has, settling it stays cheap.
    function test_settlingIsBounded() external {
        FarmerId farmer = _register();
        for (uint256 i = 1; i <= MAX_BOOKS; ++i) _store(farmer, _date(i), 1, 1000);
        _enter(_now() + 5000);
        uint256 left = gasleft();
        market.settle(farmer);
        vm.assertLe(left - gasleft(), 400_000, "gas");
        vm.assertTrue(market.farmer(farmer).lapsed, "lapsed");
    }
}

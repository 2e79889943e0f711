// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IRepairs} from "../../contracts/interfaces/IRepairs.sol";
import {EvictionView, FarmerId, FarmerView} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title What becomes of a lapsed farmer's stake
contract EvictTest is FarmTest {
    address private constant CALLER = address(0xCA11);

    /// Must hold: the stake goes, to the last unit, to the caller, the slots, and the owner or the fire.
    function testFuzz_theStakeIsGivenAwayWhole(uint256 rate, uint256 stake) external {
        rate = _within(rate, 1, 1e18);
        stake = _within(stake, rate * COLLATERAL_EPOCHS, 3 * rate * COLLATERAL_EPOCHS);
        FarmerId farmer = _register(stake);
        _store(farmer, _date(3), 2, rate);
        _lapse(farmer);
        uint256 left = market.farmer(farmer).stake;
        uint256 burntBefore = market.earnings(BURNT);
        vm.prank(CALLER);
        market.evict(farmer);
        EvictionView memory evicted = market.eviction(farmer);
        vm.assertEq(market.farmer(farmer).stake, 0, "nothing is left");
        vm.assertEq(market.earnings(CALLER), rate, "an epoch of pay for the caller");
        vm.assertEq(evicted.vacantBlock, _now() * EPOCH_BLOCKS, "since when its slots are vacant");
        uint256 pot = evicted.collateralEpochs * rate;
        uint256 owner = market.earnings(_ownerOf(farmer));
        uint256 burnt = market.earnings(BURNT) - burntBefore;
        vm.assertEq(pot + owner + burnt + rate, left, "whole");
        vm.assertTrue(evicted.collateralEpochs <= COLLATERAL_EPOCHS, "at most the collateral");
        if (evicted.collateralEpochs < COLLATERAL_EPOCHS) {
            vm.assertEq(owner, 0, "the owner has none of the collateral");
            vm.assertTrue(burnt < rate, "less than an epoch of pay is burnt");
        }
    }

    /// Must hold: what an eviction leaves takes the place of the ceiling, whatever that was, and of nothing else.
    function testFuzz_theCeilingIsGone(uint80 ceiling) external {
        FarmerId farmer = _register(2000 * COLLATERAL_EPOCHS);
        _store(farmer, _date(3), 2, 1000);
        vm.prank(_ownerOf(farmer));
        market.setLimits(farmer, ceiling, 0);
        _enter(_now() + 1);
        _prove(farmer);
        vm.assertEq(market.farmer(farmer).epochsProven, 1, "proven");
        _lapse(farmer);
        uint256 most = market.farmer(farmer).stake / 1000 - 1;
        market.evict(farmer);
        if (most > COLLATERAL_EPOCHS) most = COLLATERAL_EPOCHS;
        vm.assertEq(market.eviction(farmer).collateralEpochs, most, "of the stake alone");
        vm.assertEq(market.farmer(farmer).ceiling, 0, "it takes nothing more");
        vm.assertEq(market.farmer(farmer).epochsProven, 1, "what it proved is not forgotten");
    }

    /// Must hold: its slots are vacant from the epoch after its last, however long nobody evicts it; and before that nothing
    /// is shown.
    function testFuzz_vacantSinceTheLapse(uint256 blocks) external {
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, 1000);
        uint256 vacantFrom = _now() + MAX_MISSES + 1;
        _enter(vacantFrom);
        vm.roll(block.number + _within(blocks, 0, 200));
        vm.assertEq(market.eviction(farmer).vacantBlock, 0, "not evicted");
        market.evict(farmer);
        vm.assertEq(market.eviction(farmer).vacantBlock, vacantFrom * EPOCH_BLOCKS, "the first block of that epoch");
    }

    /// Must hold: who has not lapsed is not evicted.
    function testFuzz_onlyTheLapsedAreEvicted(uint256 absent) external {
        absent = _within(absent, 0, MAX_MISSES - 1);
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, 1000);
        _enter(_now() + 1 + absent);
        vm.expectRevert(abi.encodeWithSelector(IRepairs.NotLapsed.selector, farmer));
        market.evict(farmer);
    }

    /// Must hold: a farmer is evicted once.
    function test_onlyOnce() external {
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, 1000);
        _lapse(farmer);
        market.evict(farmer);
        vm.expectRevert(abi.encodeWithSelector(IRepairs.AlreadyEvicted.selector, farmer));
        market.evict(farmer);
    }

    /// Must hold: nobody who does not exist is evicted.
    function test_unknownFarmer() external {
        vm.expectRevert(abi.encodeWithSelector(IFarmers.UnknownFarmer.selector, FarmerId.wrap(9)));
        market.evict(FarmerId.wrap(9));
    }

    /// Must hold: a farmer that lapses with the last epoch of all its slots leaves its owner what is left of its stake.
    function test_nothingVacant() external {
        FarmerId farmer = _register();
        uint256 end = _date(2);
        _enter(end - MAX_MISSES - 1);
        _store(farmer, end, 2, 1000);
        _enter(end + 3);
        vm.assertTrue(market.farmer(farmer).lapsed, "lapsed with the end");
        market.evict(farmer);
        vm.assertEq(
            market.earnings(_ownerOf(farmer)),
            STAKE - MAX_MISSES * (PENALTY + FINE) * 1000,
            "all but the penalties"
        );
    }

    /// Must hold: an evicted farmer is shown without slots, long after.
    function test_anEvictedFarmerIsShown() external {
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, 1000);
        _lapse(farmer);
        market.evict(farmer);
        _enter(_now() + 500);
        FarmerView memory shown = market.farmer(farmer);
        vm.assertEq(shown.committedRate, 0, "rate");
        vm.assertTrue(shown.lapsed, "lapsed");
    }
}

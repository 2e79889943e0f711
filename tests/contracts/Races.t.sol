// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRepairs} from "../../contracts/interfaces/IRepairs.sol";
import {FarmerId, OrderId} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";

/// @title Attacks of docs/economics.md on the time at which a call comes
/// @dev Who keeps a proof out, as a block producer or by filling the blocks, is not seen by the contract: the proof is not
/// there. What it spends on that is not counted.
contract RacesTest is AttackTest {
    address private constant RACER = address(0xACE1);
    address private constant OTHER_RACER = address(0xACE2);

    /// Must hold: an epoch whose proof was kept out costs the farmer its pay, penalty and fine and no more; its renter has pay
    /// and penalty of it back, nobody else anything, and the next proof makes good for it.
    function testFuzz_oneProofKeptOut(uint256 which) external {
        FarmerId farmer = _register();
        uint256 end = _date(2);
        OrderId order = _store(farmer, end, 1, R);
        uint256 paid = _money(renter);
        which = _now() + _within(which, 1, end - _now() - 2);
        uint256 epochs = end - _now() - 1;
        while (_now() + 1 < end) {
            _enter(_now() + 1);
            if (_now() != which) _prove(farmer);
        }
        _enter(end);
        vm.prank(RACER);
        _close(order);
        vm.assertTrue(!market.farmer(farmer).lapsed, "made good for");
        vm.assertEq(_worth(farmer), STAKE + (epochs - 1 - PENALTY - FINE) * R, "the farmer");
        vm.assertEq(_money(renter), paid + (1 + PENALTY) * R, "the renter");
        vm.assertEq(_money(RACER) + market.earnings(RACER), 0, "who is not the renter");
        vm.assertEq(market.earnings(BURNT), FINE * R, "burnt");
    }

    /// Must hold: a farmer with stake to spare, of which every second proof is kept out, does not lapse as long as it proves
    /// the others; its renter has pay and penalty of each, nobody else anything.
    function test_everySecondProofKeptOut() external {
        FarmerId farmer = _register();
        uint256 end = _date(11);
        OrderId order = _store(farmer, end, 1, R);
        uint256 paid = _money(renter);
        uint256 missed = 0;
        while (_now() + 1 < end) {
            _enter(_now() + 1);
            if (_now() % 2 == 0) ++missed;
            else _prove(farmer);
        }
        _enter(end);
        vm.prank(RACER);
        _close(order);
        vm.assertTrue(!market.farmer(farmer).lapsed, "not lapsed");
        vm.assertEq(market.farmer(farmer).stake, STAKE - missed * (PENALTY + FINE) * R, "the farmer");
        vm.assertEq(_money(renter), paid + missed * (1 + PENALTY) * R, "the renter");
        vm.assertEq(_money(RACER) + market.earnings(RACER), 0, "who is not the renter");
    }

    /// Must hold: one that staked no more than its collateral lapses with the fifth, though it proves all others.
    function test_everySecondProofOfThePoorKeptOut() external {
        FarmerId farmer = _register(COLLATERAL_EPOCHS * R);
        _store(farmer, _date(11), 1, R);
        uint256 missed = 0;
        while (!market.farmer(farmer).lapsed) {
            if (_now() % 2 == 0) ++missed;
            else if (_rateAt(farmer, _now()) > 0) _prove(farmer);
            _enter(_now() + 1);
        }
        // The first even epoch is that of the order, in which nothing is asked.
        vm.assertEq(
            missed - 1,
            COLLATERAL_EPOCHS / 2 / (PENALTY + FINE) + 1,
            "less than half of the collateral is left"
        );
    }

    /// What the contract does not give: who keeps all proofs out until the farmer lapses has, with the renter, pay and penalty
    /// of the missed epochs, the reward, and what is left of the stake up to the collateral.
    function testFuzz_allProofsKeptOut(uint256 more) external {
        uint256 stake = (COLLATERAL_EPOCHS + _within(more, 0, COLLATERAL_EPOCHS)) * R;
        FarmerId farmer = _register(stake);
        uint256 end = _date(2);
        uint256 epochs = end - _now() - 1;
        OrderId order = _store(farmer, end, 1, R);
        uint256 paid = _money(renter) + epochs * R;
        _lapse(farmer);
        vm.prank(RACER);
        market.evict(farmer);
        uint256 left = stake / R - MAX_MISSES * (PENALTY + FINE) - 1;
        _enter(end);
        _close(order);
        vm.assertEq(market.earnings(RACER), R, "the reward is all that one who is not the renter has");
        vm.assertEq(
            _money(renter),
            paid + (MAX_MISSES * PENALTY + (left < COLLATERAL_EPOCHS ? left : COLLATERAL_EPOCHS)) * R,
            "the order for nothing, penalty and collateral"
        );
        vm.assertEq(
            _money(renter) + market.earnings(RACER) + _worth(farmer) + market.earnings(BURNT),
            paid + stake,
            "out of the stake"
        );
    }

    /// Must hold: the one that is second to evict has nothing, whichever call evicts; both together have what one alone would.
    function testFuzz_raceForTheEviction(uint256 how) external {
        FarmerId farmer = _register();
        OrderId order = _store(farmer, _date(2), 1, R);
        FarmerId taker = _register();
        _lapse(farmer);
        how = _within(how, 0, 2);
        if (how == 2) _enter(_stored[order].end);
        vm.startPrank(RACER);
        if (how == 0) market.evict(farmer);
        else if (how == 1) _refill(order, 0, taker, REPAIRER);
        else _close(order);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IRepairs.AlreadyEvicted.selector, farmer));
        vm.prank(OTHER_RACER);
        market.evict(farmer);
        vm.assertEq(market.earnings(RACER), R, "the first has the reward");
        vm.assertEq(market.earnings(OTHER_RACER), 0, "the second has nothing");
    }

    /// Must hold: before the farmer lapses there is no reward, however near it is.
    function testFuzz_evictTooSoon(uint256 misses) external {
        FarmerId farmer = _register();
        _store(farmer, _date(2), 1, R);
        misses = _within(misses, 0, MAX_MISSES - 1);
        _enter(_now() + 1 + misses);
        vm.expectRevert(abi.encodeWithSelector(IRepairs.NotLapsed.selector, farmer));
        vm.prank(RACER);
        market.evict(farmer);
        vm.assertEq(market.earnings(RACER), 0, "nothing");
        vm.assertEq(market.farmer(farmer).stake, STAKE - misses * (PENALTY + FINE) * R, "no more than the misses took");
    }
}

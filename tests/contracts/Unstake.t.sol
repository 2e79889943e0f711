// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Epoch, FarmerId, OrderId} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title Stake that is taken back
contract UnstakeTest is FarmTest {
    function _unstake(FarmerId farmer, uint256 amount) private {
        vm.prank(_ownerOf(farmer));
        market.unstake(farmer, amount);
    }

    /// Must hold: what is above the collateral is free, and nothing else.
    function testFuzz_aboveTheCollateral(uint256 rate, uint256 amount) external {
        rate = _within(rate, 1, STAKE / COLLATERAL_EPOCHS);
        amount = _within(amount, 1, STAKE);
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, rate);
        uint256 needed = rate * COLLATERAL_EPOCHS;
        if (amount > STAKE - needed) {
            vm.expectRevert(abi.encodeWithSelector(IFarmers.StakeNotFree.selector, farmer, amount, STAKE, needed));
            _unstake(farmer, amount);
            return;
        }
        _unstake(farmer, amount);
        vm.assertEq(market.earnings(_ownerOf(farmer)), amount, "back");
        vm.assertEq(market.farmer(farmer).stake, STAKE - amount, "left");
    }

    /// Must hold: whose slots have all ended takes everything.
    function test_everythingInTheEnd() external {
        FarmerId farmer = _register();
        _store(farmer, _date(1), 2, 1000);
        _proveUntil(farmer, _date(1) - 1);
        _enter(_date(1));
        vm.expectEmit(true, true, true, true, address(market));
        emit IAudits.Lapsed(farmer, Epoch.wrap(uint32(_now())));
        _unstake(farmer, STAKE);
        vm.assertEq(market.farmer(farmer).stake, 0, "nothing left");
        vm.assertTrue(market.farmer(farmer).lapsed, "it has left");
    }

    /// Must hold: who gave up its last slot in an epoch that it has not proven leaves only with the next one: the slot is
    /// still asked for, and its collateral is what it was, not what an eviction would make of a farmer without slots.
    function testFuzz_notOutOfAnEpochThatIsAskedFor(bool proves) external {
        FarmerId farmer = _register();
        OrderId order = _store(farmer, _date(3), 2, 1000);
        _enter(_now() + 1);
        if (proves) _prove(farmer);
        _lose(farmer, 0);
        uint256 rest = STAKE - COLLATERAL_EPOCHS * 1000;
        if (!proves) {
            vm.expectRevert(abi.encodeWithSelector(IFarmers.StakeNotFree.selector, farmer, rest, rest, MIN_STAKE));
            _unstake(farmer, rest);
            _enter(_now() + 1);
        }
        _unstake(farmer, rest);
        uint256 before = market.vault(renter);
        _enter(_date(3));
        _close(order);
        vm.assertEq(market.earnings(_ownerOf(farmer)), rest + (proves ? 1000 : 0), "the farmer");
        vm.assertEq(market.earnings(BURNT), proves ? 0 : FINE * 1000, "burnt");
        uint256 back = token.balanceOf(address(market)) - rest - (proves ? 1000 : FINE * 1000);
        vm.assertEq(market.vault(renter), back, "the renter has all else");
        vm.assertTrue(market.vault(renter) > before, "and it is something");
    }

    /// Must hold: who takes back what is free, after some misses or none, and then leaves has lost its penalties and all of
    /// the collateral, though it evicts itself for the reward.
    function testFuzz_leavingEarly(uint256 rate, uint256 misses) external {
        rate = _within(rate, 1, STAKE / (2 * COLLATERAL_EPOCHS));
        misses = _within(misses, 0, MAX_MISSES - 1);
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, rate);
        _enter(_now() + 1 + misses);
        uint256 penalties = misses * (PENALTY + FINE) * rate;
        _unstake(farmer, STAKE - penalties - rate * COLLATERAL_EPOCHS);
        vm.assertEq(market.earnings(_ownerOf(farmer)) + rate * COLLATERAL_EPOCHS, STAKE - penalties, "its own");
        _lapse(farmer);
        vm.prank(_ownerOf(farmer));
        market.evict(farmer);
        uint256 left = market.earnings(_ownerOf(farmer)) + market.farmer(farmer).stake;
        vm.assertEq(left, STAKE - penalties - rate * (COLLATERAL_EPOCHS - 1), "all but the reward is gone");
    }

    /// Must hold: misses not yet recorded are paid for first.
    function testFuzz_missesComeFirst(uint256 misses) external {
        misses = _within(misses, 1, MAX_MISSES - 1);
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, 1000);
        _enter(_now() + 1 + misses);
        uint256 left = STAKE - misses * (PENALTY + FINE) * 1000;
        vm.expectRevert(
            abi.encodeWithSelector(IFarmers.StakeNotFree.selector, farmer, STAKE, left, 1000 * COLLATERAL_EPOCHS)
        );
        _unstake(farmer, STAKE);
        vm.assertEq(market.farmer(farmer).stake + market.earnings(_ownerOf(farmer)), left, "nothing won");
    }

    /// Must hold: only the owner, and not nothing.
    function testFuzz_refused(address caller) external {
        FarmerId farmer = _register();
        vm.assume(caller != _ownerOf(farmer));
        vm.expectRevert(abi.encodeWithSelector(IFarmers.NotOwner.selector, farmer, caller));
        vm.prank(caller);
        market.unstake(farmer, 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.ZeroAmount.selector));
        _unstake(farmer, 0);
    }

    /// Must hold: a stranger that adds to a farmer's stake, however little and just before, does not keep it from leaving.
    function testFuzz_aGiftKeepsNobodyFromLeaving(uint256 gift) external {
        gift = _within(gift, 1, 1e9);
        FarmerId farmer = _register();
        market.addStake(farmer, gift);
        vm.prank(_ownerOf(farmer));
        market.unstake(farmer, type(uint256).max);
        vm.assertTrue(market.farmer(farmer).lapsed, "it has left");
        vm.assertEq(market.earnings(_ownerOf(farmer)), STAKE + gift, "with all that there was");
    }

    /// Must hold: all is not more than there is: while slots are kept it is refused like any amount.
    function test_allIsNotFreeWhileSlotsAreKept() external {
        FarmerId farmer = _register();
        _store(farmer, _date(2), 1, 1000);
        vm.prank(_ownerOf(farmer));
        vm.expectRevert(
            abi.encodeWithSelector(IFarmers.StakeNotFree.selector, farmer, STAKE, STAKE, 1000 * COLLATERAL_EPOCHS)
        );
        market.unstake(farmer, type(uint256).max);
    }
}

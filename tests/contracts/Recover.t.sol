// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IHandOvers} from "../../contracts/interfaces/IHandOvers.sol";
import {IRecoveries} from "../../contracts/interfaces/IRecoveries.sol";
import {IRepairs} from "../../contracts/interfaces/IRepairs.sol";
import {Epoch, FarmerId, OrderId} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title Slots that were declared lost and found again
contract RecoverTest is FarmTest {
    uint256 private constant RATE = 1000;
    uint256 private constant QUARTER_BLOCKS = 10; // of AUCTION_EPOCHS * EPOCH_BLOCKS

    FarmerId private _farmer;
    OrderId private _order;

    function _begin(uint256 stake) private {
        _farmer = _register(stake);
        _order = _store(_farmer, _date(3), 3, RATE);
        _store(_farmer, _date(3), 3, 5 * RATE);
        _enter(_now() + 1);
        _prove(_farmer);
    }

    function _refused(bytes memory reason) private {
        address operator = _operator(_farmer);
        vm.expectRevert(reason);
        vm.prank(operator);
        market.recover(_farmer, _heldGroup(_order, 0), 0);
    }

    /// Must hold: a quarter of the collateral is burnt, the rest is stake again, the renter has the vacant epochs back, and the slot
    /// is asked for and paid from the next epoch on.
    function test_takenBack() external {
        _begin(STAKE);
        _lose(_farmer, 0);
        _enter(_now() + 1);
        _prove(_farmer);
        uint256 vault = market.vault(renter);
        _recover(_farmer, 0);
        vm.assertEq(market.farmer(_farmer).stake, STAKE - (COLLATERAL_EPOCHS / 4) * RATE, "stake");
        vm.assertEq(market.earnings(BURNT), (COLLATERAL_EPOCHS / 4) * RATE, "burnt");
        vm.assertEq(market.vault(renter) - vault, RATE, "the vacant epoch");
        vm.assertEq(market.farmer(_farmer).committedRate, 6 * RATE, "committed");
        uint256 end = _stored[_order].end;
        for (uint256 epoch = _now() + 1; epoch < end; ++epoch) {
            _enter(epoch);
            uint256 before = market.earnings(_ownerOf(_farmer));
            _prove(_farmer);
            vm.assertEq(market.earnings(_ownerOf(_farmer)) - before, 6 * RATE, "pay");
        }
        _enter(end);
        vault = market.vault(renter);
        _close(_order);
        vm.assertEq(market.vault(renter), vault, "nothing more is the renter's");
    }

    /// Must hold: in the epoch of the loss itself, once it is proven, without an epoch in between.
    function test_atOnce() external {
        _begin(STAKE);
        _lose(_farmer, 0);
        uint256 vault = market.vault(renter);
        _recover(_farmer, 0);
        vm.assertEq(market.vault(renter), vault, "no epoch was vacant");
        _enter(_now() + 1);
        vm.assertEq(market.rateAt(_farmer, market.currentEpoch()), 6 * RATE, "asked");
        _prove(_farmer);
    }

    /// Must hold: not before it is known whether the epoch of the loss was proven.
    function test_notBeforeTheEpochIsKnown() external {
        _begin(STAKE);
        _enter(_now() + 1);
        Epoch lost = market.currentEpoch();
        _lose(_farmer, 0);
        _refused(abi.encodeWithSelector(IRecoveries.LossNotSettled.selector, _order, 0, lost));
        _prove(_farmer);
        _recover(_farmer, 0);
    }

    /// Must hold: if that epoch was missed the collateral has paid for it, and what is forfeit comes on top.
    function test_afterAMiss() external {
        _begin(STAKE);
        _enter(_now() + 1);
        _lose(_farmer, 0);
        _enter(_now() + 1);
        uint256 vault = market.vault(renter);
        _recover(_farmer, 0);
        uint256 others = (PENALTY + FINE) * 5 * RATE;
        uint256 own = (PENALTY + FINE + COLLATERAL_EPOCHS / 4) * RATE;
        vm.assertEq(market.farmer(_farmer).stake, STAKE - others - own, "stake");
        vm.assertEq(market.vault(renter) - vault, (1 + PENALTY + 1) * RATE, "the missed epoch, and the vacant one");
    }

    /// Must hold: until a quarter of the auction is over, to the block.
    function test_inTheFirstQuarter() external {
        _begin(STAKE);
        _lose(_farmer, 0);
        uint256 lost = block.number;
        vm.roll(lost + QUARTER_BLOCKS + 1);
        _refused(abi.encodeWithSelector(IRecoveries.RecoveryTooLate.selector, _order, 0, lost + QUARTER_BLOCKS));
        vm.roll(lost + QUARTER_BLOCKS);
        _recover(_farmer, 0);
    }

    /// Must hold: what is forfeit is rounded up to a whole epoch of pay.
    function testFuzz_roundedUp(uint256 stake) external {
        stake = _within(stake, COLLATERAL_EPOCHS * 6 * RATE, COLLATERAL_EPOCHS * 7 * RATE);
        _begin(stake);
        uint256 misses = stake % 3;
        _enter(_now() + 1 + misses);
        _prove(_farmer);
        _lose(_farmer, 0);
        uint256 collateral = market.loss(_order, 0, Epoch.wrap(_kept[_farmer][0].from)).collateral;
        token.approve(address(market), type(uint256).max);
        market.addStake(_farmer, 10 * COLLATERAL_EPOCHS * RATE);
        uint256 before = market.farmer(_farmer).stake;
        _recover(_farmer, 0);
        uint256 forfeit = before + collateral - market.farmer(_farmer).stake;
        vm.assertEq(forfeit % RATE, 0, "whole epochs");
        vm.assertTrue(4 * forfeit >= collateral && 4 * forfeit < collateral + 4 * RATE, "a quarter, rounded up");
    }

    /// Must hold: only what it declared lost, which is still its own, and which another has not taken over.
    function test_onlyItsOwn() external {
        _begin(STAKE);
        _refused(abi.encodeWithSelector(IRecoveries.SlotNotLost.selector, _order, 0));
        _lose(_farmer, 0);
        FarmerId other = _register();
        address operator = _operator(other);
        vm.expectRevert(abi.encodeWithSelector(IHandOvers.NotItsSlot.selector, 0, _farmer));
        vm.prank(operator);
        market.recover(other, _heldGroup(_order, 0), 0);
        vm.expectRevert(abi.encodeWithSelector(IRepairs.NoSuchSlot.selector, 1, 1));
        vm.prank(_operator(_farmer));
        market.recover(_farmer, _heldGroup(_order, 1), 1);
        _refill(_order, 0, other, address(1));
        _refused(abi.encodeWithSelector(IHandOvers.NotItsSlot.selector, 0, other));
    }

    /// Must hold: it needs the stake for it again, and must not have lapsed.
    function test_withTheStakeForIt() external {
        uint256 stake = COLLATERAL_EPOCHS * 6 * RATE;
        _begin(stake);
        _lose(_farmer, 0);
        uint256 left = stake - (COLLATERAL_EPOCHS / 4) * RATE;
        _refused(abi.encodeWithSelector(IFarmers.StakeTooSmall.selector, _farmer, left, stake));
        token.approve(address(market), type(uint256).max);
        market.addStake(_farmer, (COLLATERAL_EPOCHS / 4) * RATE);
        _recover(_farmer, 0);
    }

    /// Must hold: a stake that has no room left for what comes back of the collateral says how much too much it is.
    function test_withRoomForItsCollateral() external {
        _begin(STAKE);
        _lose(_farmer, 0);
        uint256 collateral = market.loss(_order, 0, Epoch.wrap(_kept[_farmer][0].from)).collateral;
        uint256 back = collateral - (COLLATERAL_EPOCHS / 4) * RATE;
        token.approve(address(market), type(uint256).max);
        market.addStake(_farmer, type(uint96).max - market.farmer(_farmer).stake - back + 1);
        _refused(abi.encodeWithSelector(IFarmers.StakeTooLarge.selector, back, back - 1));
    }

    /// Must hold: a farmer that lapsed takes nothing back.
    function test_notOnceItLapsed() external {
        _begin(STAKE);
        _lose(_farmer, 0);
        uint256 lost = _now();
        _enter(_now() + MAX_MISSES + 1);
        Epoch lapse = Epoch.wrap(uint32(lost + MAX_MISSES + 1));
        _refused(abi.encodeWithSelector(IFarmers.FarmerLapsed.selector, _farmer, lapse));
    }

    /// Must hold: not when the order would be over before the slot begins.
    function test_notInTheLastEpoch() external {
        _begin(STAKE);
        _proveUntil(_farmer, _stored[_order].end - 1);
        _lose(_farmer, 0);
        Epoch end = Epoch.wrap(_stored[_order].end);
        _refused(abi.encodeWithSelector(IRepairs.OrderEnding.selector, _order, end));
    }

    /// Must hold: by owner or operator.
    function testFuzz_notByStrangers(address caller) external {
        _begin(STAKE);
        vm.assume(caller != _operator(_farmer) && caller != _ownerOf(_farmer));
        _lose(_farmer, 0);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.NotOwnerOrOperator.selector, _farmer, caller));
        market.recover(_farmer, _heldGroup(_order, 0), 0);
        vm.prank(_ownerOf(_farmer));
        market.recover(_farmer, _heldGroup(_order, 0), 0);
    }

    /// Must hold: what was taken back can be lost again, and taken back again, each for its price.
    function test_again() external {
        _begin(STAKE);
        _lose(_farmer, 0);
        _recover(_farmer, 0);
        _enter(_now() + 1);
        _prove(_farmer);
        _lose(_farmer, 2);
        _recover(_farmer, 2);
        _enter(_now() + 1);
        _prove(_farmer);
        vm.assertEq(market.earnings(BURNT), 2 * (COLLATERAL_EPOCHS / 4) * RATE, "burnt");
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IRepairs} from "../../contracts/interfaces/IRepairs.sol";
import {Epoch, FarmerId, OrderId, OrderView} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {AttackTest} from "./support/AttackTest.sol";

/// @dev Has money in the market, and takes no call of any kind.
contract Unwilling {
    // solhint-disable-next-line no-complex-fallback
    fallback() external payable {
        while (true) {}
    }
}

/// @title What hurt others who built this
contract PitfallsTest is AttackTest {
    /// Must hold: a slot is asked for and paid from its first epoch to before its end, and in no other; to prove does not depend
    /// on what its renter has left. (Settlement of the time before activation blocked others' payments for ever.)
    function test_timesAreHalfOpen() external {
        FarmerId farmer = _register();
        OrderId order = _store(farmer, _date(3), 1, R);
        vm.assertEq(market.vault(renter), 0, "the renter has nothing left");
        uint256 from = _stored[order].from;
        uint256 end = _stored[order].end;
        market.settle(farmer);
        vm.assertEq(market.rateAt(farmer, Epoch.wrap(uint32(from - 1))), 0, "before its first epoch");
        vm.assertEq(market.rateAt(farmer, Epoch.wrap(uint32(from))), R, "in its first epoch");
        _enter(end - 1);
        vm.assertEq(market.rateAt(farmer, Epoch.wrap(uint32(end - 1))), 0, "lapsed long before");
        vm.assertTrue(market.farmer(farmer).lapsed, "which no call had to say");

        farmer = _register();
        _enter(_date(1));
        order = _store(farmer, _date(1), 1, R);
        end = _stored[order].end;
        _proveUntil(farmer, end - 1);
        vm.assertEq(market.earnings(_ownerOf(farmer)), (end - _stored[order].from) * R, "every epoch of it");
        vm.expectPartialRevert(IRepairs.OrderNotOver.selector);
        this.closeFor(order);
        _enter(end);
        market.settle(farmer);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NothingToProve.selector, farmer, Epoch.wrap(uint32(end))));
        market.prove(farmer, Epoch.wrap(uint32(end)), new bytes32[](0));
        _close(order);
        vm.assertEq(_misses(farmer), 0, "none of them missed");
        vm.assertEq(market.vault(renter), 0, "nothing comes back");
    }

    function closeFor(OrderId order) external {
        market.close(_held(order));
    }

    /// Must hold: however an order ends, its event says where the money went, which is all that was paid for it and not earned,
    /// and every view has an answer. (A record erased by the last settlement made views revert, and nobody saw the end.)
    function testFuzz_everyEndIsTold(uint256 how) external {
        how = _within(how, 0, 4);
        FarmerId farmer = _register();
        FarmerId taker = _register();
        OrderId order = _store(farmer, _date(2), 1, R);
        uint256 paid = (_stored[order].end - _stored[order].from) * R;
        if (how == 0) _proveUntil(farmer, _stored[order].end - 1);
        if (how == 1) {
            _enter(_now() + 1);
            _prove(farmer);
            _lose(farmer, 0);
        }
        if (how > 2) _lapse(farmer);
        if (how == 4) {
            _refill(order, 0, taker, REPAIRER);
            _proveUntil(taker, _stored[order].end - 1);
        }
        _enter(_stored[order].end);
        uint256 earned = market.earnings(_ownerOf(farmer)) + market.earnings(_ownerOf(taker));
        uint256 snapshot = vm.snapshotState();
        uint256 before = market.vault(renter);
        market.close(_held(order));
        uint256 back = market.vault(renter) - before;
        vm.revertToState(snapshot);
        uint256 refund = how == 0 || how == 4 ? 0 : paid - (how == 1 ? R : 0);
        if (how == 0 || how == 4) vm.assertTrue(earned >= R, "earned");
        vm.expectEmit(true, true, true, true, address(market));
        emit IRepairs.OrderClosed(order, renter, refund, back - refund);
        market.close(_held(order));
        OrderView memory shown = market.order(order);
        vm.assertEq(shown.renter, address(0), "all zero");
        vm.assertEq(shown.slotsHash, bytes32(0), "no slots");
        vm.expectRevert(abi.encodeWithSelector(IOrders.UnknownOrder.selector, order));
        this.closeFor(order);
        market.loss(order, 0, Epoch.wrap(_stored[order].from));
        market.eviction(farmer);
        market.farmer(farmer);
        market.rateAt(farmer, Epoch.wrap(uint32(_now())));
    }

    /// Must hold: who proves in the first block in which it can, or in the last, or now here and now there, is asked once an epoch
    /// and always in the same blocks. (Windows slid a little earlier each time.)
    function testFuzz_noDrift(uint256 pattern) external {
        FarmerId farmer = _register();
        _enter(_date(1));
        OrderId order = _store(farmer, _date(4), 1, R);
        uint256 end = _stored[order].end;
        for (uint256 epoch = _stored[order].from; epoch < end; ++epoch) {
            _enter(epoch);
            if ((pattern >> (epoch % 256)) & 1 == 1) vm.roll((epoch + 1) * EPOCH_BLOCKS - 1);
            _prove(farmer);
        }
        vm.assertEq(market.farmer(farmer).epochsProven, end - _stored[order].from, "every epoch");
        vm.assertEq(_misses(farmer), 0, "none missed");
    }

    /// Must hold: one call deals with any absence, and charges each missed epoch once; the next call finds nothing to do.
    function testFuzz_anyAbsenceInOneCall(uint256 epochs) external {
        epochs = _within(epochs, 1, 1000);
        FarmerId farmer = _register();
        _store(farmer, _date(11), 1, R);
        _enter(_now() + 1 + epochs);
        market.settle(farmer);
        uint256 missed = epochs < MAX_MISSES ? epochs : MAX_MISSES;
        vm.assertEq(_misses(farmer), missed, "once each, and none after the lapse");
        vm.assertEq(market.farmer(farmer).stake, STAKE - missed * (PENALTY + FINE) * R, "charged once");
        bytes32 settled = keccak256(abi.encode(market.farmer(farmer)));
        market.settle(farmer);
        vm.assertEq(keccak256(abi.encode(market.farmer(farmer))), settled, "nothing more");
    }

    /// Must hold: an account that has money to come is not called for it: an owner, a repairer, an evictor and a renter that take no call
    /// keep no other from being paid, and have theirs in the market. (Refunds to contracts that burn all gas blocked executors.)
    function test_nobodyIsCalled() external {
        address unwilling = address(new Unwilling());
        token.transfer(unwilling, 1e30);
        vm.prank(unwilling);
        token.approve(address(market), type(uint256).max);
        FarmerId gone = _register();
        FarmerId taker = _register();
        address keptRenter = renter;
        renter = unwilling;
        OrderId order = _store(gone, _date(6), 1, R);
        _lapse(gone);
        vm.prank(unwilling);
        market.evict(gone);
        vm.roll(block.number + 20);
        _refill(order, 0, taker, unwilling);
        _proveUntil(taker, _now() + 2);
        _enter(_stored[order].end);
        _close(order);
        renter = keptRenter;
        vm.assertTrue(market.earnings(unwilling) > R, "reward and bounty");
        vm.assertTrue(market.vault(unwilling) > 0, "refund");
        vm.assertTrue(market.earnings(_ownerOf(taker)) > 0, "the others are paid");
    }

    /// Must hold: at the least rate, of one base unit, nothing is rounded away and nothing is left behind, whatever becomes of the
    /// slot. (At low prices and few decimals amounts came to zero, and debts below a unit could not be paid.)
    function testFuzz_theLeastRate(uint256 blocks, uint256 stake) external {
        FarmerId gone = _register(_within(stake, COLLATERAL_EPOCHS, 3 * COLLATERAL_EPOCHS));
        FarmerId taker = _register(COLLATERAL_EPOCHS);
        OrderId order = _store(gone, _date(6), 1, 1);
        _lapse(gone);
        vm.prank(RACER);
        market.evict(gone);
        vm.roll(block.number + _within(blocks, 0, 2 * AUCTION_EPOCHS * EPOCH_BLOCKS));
        _refill(order, 0, taker, REPAIRER);
        _proveUntil(taker, _now() + 3);
        _enter(_stored[order].end);
        _close(order);
        _everybodyLeaves(gone, taker);
    }

    /// Must hold: what was cut to nothing or to a unit keeps no one from leaving: in any order all get all, and the last one too.
    function testFuzz_theLastOneGetsOut(uint256 stake, uint256 order_) external {
        FarmerId gone = _register(_within(stake, COLLATERAL_EPOCHS * R, COLLATERAL_EPOCHS * R + 1));
        FarmerId other = _register(2 * COLLATERAL_EPOCHS * R + 1);
        OrderId order = _store(gone, _date(2), 1, R);
        OrderId others = _store(other, _date(2), 1, R);
        _enter(_stored[order].end);
        if (order_ & 1 == 1) _close(order);
        _close(others);
        if (order_ & 1 == 0) _close(order);
        if (order_ & 2 == 2) _everybodyLeaves(gone, other);
        else _everybodyLeaves(other, gone);
    }

    /// Must hold: a slot that stays vacant until the end, or is refilled in the last epoch in which it can be, leaves each unit to
    /// one: renter, repairer, farmers, evictor and the fire have together what was paid in.
    function testFuzz_vacantUntilTheEnd(bool refilled, bool evicted) external {
        FarmerId gone = _register(3 * COLLATERAL_EPOCHS * R);
        FarmerId taker = _register(COLLATERAL_EPOCHS * R);
        OrderId order = _store(gone, _date(3), 1, R);
        _lapse(gone);
        vm.prank(RACER);
        if (evicted) market.evict(gone);
        _enter(_stored[order].end - 2);
        if (refilled) _refill(order, 0, taker, REPAIRER);
        _enter(_stored[order].end - 1);
        if (!refilled) {
            vm.expectPartialRevert(IRepairs.OrderEnding.selector);
            this.refillFor(order, taker);
        }
        _enter(_stored[order].end);
        vm.prank(RACER);
        _close(order);
        _everybodyLeaves(gone, taker);
    }

    function refillFor(OrderId order, FarmerId taker) external {
        _refill(order, 0, taker, REPAIRER);
    }

    address private constant RACER = address(0x4ACE);

    /// @dev All take all they have, in this order, and then the market holds nothing.
    function _everybodyLeaves(FarmerId first, FarmerId second) private {
        _leave(first);
        _leave(second);
        address[5] memory accounts = [_ownerOf(first), _ownerOf(second), REPAIRER, RACER, address(this)];
        for (uint256 i = 0; i < 5; ++i) {
            uint256 earned = market.earnings(accounts[i]);
            if (earned == 0) continue;
            vm.prank(accounts[i]);
            market.claim(accounts[i], earned);
        }
        if (market.earnings(BURNT) > 0) market.burn();
        uint256 vault = market.vault(renter);
        if (vault > 0) {
            vm.startPrank(renter);
            market.requestWithdrawal(vault);
            _enter(_now() + WITHDRAW_DELAY_EPOCHS);
            market.withdraw(renter);
            vm.stopPrank();
        }
        vm.assertEq(token.balanceOf(address(market)), 0, "nothing is left");
    }

    /// @dev The farmer's owner takes its stake, if it has not lapsed; else it is evicted.
    function _leave(FarmerId farmer) private {
        market.settle(farmer);
        if (market.farmer(farmer).stake == 0) return;
        if (market.farmer(farmer).lapsed) {
            vm.prank(RACER);
            market.evict(farmer);
            return;
        }
        vm.prank(_ownerOf(farmer));
        market.unstake(farmer, type(uint256).max);
    }
}

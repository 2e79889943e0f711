// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {Acceptance, Epoch, FarmerId, Held, OrderId, Takeover, Terms} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";

/// @title What others can do to a call that is on its way, or with what was signed before
contract GriefingTest is AttackTest {
    address private constant COPIER = address(0xC0B1E4);

    /// @dev A takeover that its farmer signed once, with a deadline far away.
    function _longTakeover(OrderId order, FarmerId farmer) private view returns (Takeover[] memory takeovers) {
        takeovers = new Takeover[](1);
        takeovers[0] = _takeover(order, 0, farmer, REPAIRER);
    }

    function _use(OrderId order, FarmerId farmer, Takeover[] memory takeovers) private {
        market.refill(_held(order), REPAIRER, takeovers);
        _stored[order].slots[0].farmer = farmer;
        _stored[order].slots[0].from = Epoch.wrap(uint32(_now() + 1));
        _keep(order, 0, false);
    }

    /// Must hold: a consent to take over serves once, even if its farmer has lost the slot again and another that took it,
    /// too, before its deadline.
    function test_takeoverUsedTwice() external {
        FarmerId first = _register();
        FarmerId victim = _register();
        FarmerId other = _register();
        OrderId order = _store(first, _date(4), 1, R);
        _enter(_now() + 1);
        _prove(first);
        _lose(first, 0);
        Takeover[] memory signed = _longTakeover(order, victim);
        _use(order, victim, signed);
        _enter(_now() + 1);
        _prove(victim);
        _lose(victim, 0);
        _refill(order, 0, other, REPAIRER);
        _enter(_now() + 1);
        _prove(other);
        _lose(other, 0);
        vm.assertTrue(block.number <= signed[0].deadlineBlock, "not expired");
        Held memory held = _held(order);
        vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
        market.refill(held, REPAIRER, signed);
        vm.assertEq(market.farmer(victim).committedRate, 0, "not bound again");
        _refill(order, 0, victim, REPAIRER);
        vm.assertEq(market.farmer(victim).committedRate, R, "as it signs for now");
    }

    /// Must hold: who copies a part of a repairer's call pays for it and wins nothing: the bounty is the repairer's, who
    /// sends the rest again.
    function test_refillCopiedInPart() external {
        FarmerId[] memory lost = _registerMany(3);
        FarmerId[] memory takers = _registerMany(3);
        OrderId order = _store(lost, _date(4), 1, R);
        _lapse(lost[0]);
        for (uint256 i = 0; i < 3; ++i) market.evict(lost[i]);
        vm.roll(block.number + AUCTION_EPOCHS * EPOCH_BLOCKS);
        Takeover[] memory all = new Takeover[](3);
        for (uint256 i = 0; i < 3; ++i) all[i] = _takeover(order, i, takers[i], REPAIRER);
        Held memory before = _held(order);
        uint256 snapshot = vm.snapshotState();
        market.refill(before, REPAIRER, all);
        uint256 whole = market.earnings(REPAIRER);
        vm.revertToState(snapshot);

        vm.startPrank(COPIER);
        _refill(order, 1, takers[1], REPAIRER);
        vm.stopPrank();
        vm.expectPartialRevert(IOrders.WrongSlots.selector);
        market.refill(before, REPAIRER, all);
        Takeover[] memory rest = new Takeover[](2);
        (rest[0], rest[1]) = (all[0], all[2]);
        market.refill(_held(order), REPAIRER, rest);
        vm.assertEq(market.earnings(COPIER), 0, "nothing for the copier");
        vm.assertEq(market.earnings(REPAIRER), whole, "the same bounty");
    }

    /// Must hold: a farmer that takes its stake away before the order it signed for is placed makes the call fail and no
    /// more: nobody has paid, nobody is bound, and the order can be placed with another in its stead.
    function testFuzz_stakeGoneBeforeThePlace(uint256 left) external {
        left = _within(left, 0, COLLATERAL_EPOCHS * R - 1);
        FarmerId[] memory farmers = _registerMany(3);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(farmers, _date(2), 1, R);
        _deposit(3 * R * (_date(2) - _now() - 1));
        uint256 paid = market.vault(renter);
        vm.prank(_ownerOf(farmers[1]));
        market.unstake(farmers[1], STAKE - left);
        // With the last of its stake a farmer leaves for good, at the end of this epoch.
        vm.expectRevert(
            left == 0
                ? abi.encodeWithSelector(IFarmers.FarmerLapsed.selector, farmers[1], _now() + 1)
                : abi.encodeWithSelector(IFarmers.StakeTooSmall.selector, farmers[1], left, COLLATERAL_EPOCHS * R)
        );
        vm.prank(renter);
        market.place(terms, acceptances);
        vm.assertEq(market.vault(renter), paid, "nobody has paid");
        vm.assertEq(market.farmer(farmers[0]).committedRate, 0, "nobody is bound");
        FarmerId instead = _register();
        acceptances[1] = _accept(terms, instead, 1, acceptances[1].root, R);
        vm.prank(renter);
        market.place(terms, acceptances);
        vm.assertEq(market.vault(renter), 0, "placed");
    }

    /// Must hold: a salt can be used again when its order is closed; what was signed for the order before is of no use in it.
    function test_saltUsedAgain() external {
        FarmerId[] memory farmers = _registerMany(2);
        uint256 end = _date(1);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(farmers[0]), end, 1, R);
        _deposit(100 * R);
        vm.prank(renter);
        OrderId order = market.place(terms, acceptances);
        uint256[] memory data = new uint256[](1);
        data[0] = _data(terms, 0);
        _know(order, terms, acceptances, _now() + 1, data, false);
        _proveUntil(farmers[0], end - 1);
        _enter(end);
        _close(order);
        vm.expectPartialRevert(IOrders.EndTooSoon.selector);
        vm.prank(renter);
        market.place(terms, acceptances);
        terms.end = Epoch.wrap(uint32(_date(2)));
        acceptances[0].deadlineBlock = uint64(block.number + 100);
        vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
        vm.prank(renter);
        market.place(terms, acceptances);
        // The mark of its last order is still that one's: it must be another farmer, or another salt.
        acceptances[0] = _accept(terms, farmers[0], 0, acceptances[0].root, R);
        vm.expectPartialRevert(IOrders.DuplicateFarmer.selector);
        vm.prank(renter);
        market.place(terms, acceptances);
        acceptances[0] = _accept(terms, farmers[1], 0, acceptances[0].root, R);
        vm.prank(renter);
        market.place(terms, acceptances);
        vm.assertEq(market.farmer(farmers[1]).committedRate, R, "placed again");
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDelegates} from "../../contracts/interfaces/IDelegates.sol";
import {IMandateExtensions} from "../../contracts/interfaces/IMandateExtensions.sol";
import {IMandates} from "../../contracts/interfaces/IMandates.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {
    Acceptance,
    EXTENDED,
    Epoch,
    FarmerId,
    Held,
    MandateTerms,
    MandateView,
    OrderId,
    OrderView,
    Rate,
    Takeover,
    Terms
} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MandateTest} from "./support/MandateTest.sol";

/// @title What a renter lets others extend, and within which bounds
contract MandatesTest is MandateTest {
    function _left() private view returns (uint256) {
        return market.mandate(renter, NUMBER).left;
    }

    /// Must hold: an order lives on for three terms without its renter, its farmers paid, for a fee each time.
    function test_threeTermsWithoutItsRenter() external {
        _begin(3, 1);
        _deposit(3 * (_cost(3, R, GRID_EPOCHS) + FEE));
        OrderId order = _order;
        for (uint256 i = 0; i < 3; ++i) {
            uint256 end = _date(2);
            uint256 fees = market.earnings(EXTENDER);
            OrderId next = _extendByMandate(order, end, R, 0);
            vm.assertEq(OrderId.unwrap(next), keccak256(abi.encode(order, end)), "id");
            vm.assertEq(market.earnings(EXTENDER) - fees, FEE, "fee");
            OrderView memory shown = market.order(next);
            vm.assertEq(Epoch.unwrap(shown.from), _stored[order].end, "from");
            vm.assertEq(Epoch.unwrap(shown.end), end, "end");
            vm.assertEq(shown.renter, renter, "its renter's");
            vm.assertEq(shown.mandate, NUMBER, "covered as well");
            vm.assertEq(market.order(order).mandate, EXTENDED, "extended");
            for (uint256 f = 0; f < 3; ++f) _proveUntilTogether(_stored[order].end);
            order = next;
        }
        vm.assertEq(market.vault(renter), 0, "all of it paid");
        uint256 spent = 3 * (_cost(3, R, GRID_EPOCHS) + FEE);
        vm.assertEq(_left(), type(uint128).max - spent, "what is left");
    }

    function _proveUntilTogether(uint256 epoch) private {
        while (_now() < epoch) {
            _enter(_now() + 1);
            for (uint256 f = 0; f < _farmers.length; ++f) {
                if (_rateAt(_farmers[f], _now()) > 0) _prove(_farmers[f]);
            }
        }
    }

    /// Must hold: the events tell of the extension as of any other, and of what it cost by whose mandate.
    function test_events() external {
        _begin(1, 1);
        uint256 end = _date(2);
        uint256 cost = _cost(1, R, GRID_EPOCHS) + FEE;
        _deposit(cost);
        Acceptance[] memory acceptances = _signedFor(_order, end, R, EXTENDER, 0);
        Held memory held = _held(_order);
        OrderId next = market.extensionId(_order, Epoch.wrap(uint32(end)));
        Epoch from = Epoch.wrap(_stored[_order].end);
        vm.expectEmit(true, true, true, true, address(market));
        emit IOrders.OrderPlaced(next, renter, from, Epoch.wrap(uint32(end)), 2, 1, 1, 1);
        vm.expectEmit(true, true, true, true, address(market));
        emit IOrders.SlotFilled(
            next,
            _farmers[0],
            0,
            held.slots[0].root,
            Rate.wrap(uint80(R)),
            held.slots[0].maxEgressPricePerGib,
            2,
            from,
            Epoch.wrap(uint32(end)),
            true
        );
        vm.expectEmit(true, true, true, true, address(market));
        emit IOrders.OrderExtended(next, _order);
        vm.expectEmit(true, true, true, true, address(market));
        emit IMandateExtensions.ExtendedByMandate(next, EXTENDER);
        market.extendByMandate(held, acceptances, EXTENDER);
    }

    /// Must hold: a mandate and what it covers are told by events and views.
    function test_given() external {
        FarmerId farmer = _register();
        OrderId first = _store(farmer, _date(2), LEAVES, R);
        OrderId second = _store(farmer, _date(3), LEAVES, R);
        OrderId[] memory orders = new OrderId[](2);
        (orders[0], orders[1]) = (first, second);
        MandateTerms memory terms = _mandate();
        terms.total = 4321;
        vm.expectEmit(true, true, true, true, address(market));
        emit IMandates.MandateGiven(renter, 9, terms);
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectEmit(true, true, true, true, address(market));
            emit IMandates.OrderCovered(orders[i], 9);
        }
        vm.prank(renter);
        market.giveMandate(9, terms, orders, new uint16[](0));
        MandateView memory shown = market.mandate(renter, 9);
        vm.assertEq(shown.highestPrice, terms.highestPrice, "price");
        vm.assertEq(shown.highestEgressPrice, terms.highestEgressPrice, "price for reading");
        vm.assertEq(shown.fee, FEE, "fee");
        vm.assertEq(Epoch.unwrap(shown.until), Epoch.unwrap(terms.until), "until");
        vm.assertEq(shown.termEpochs, GRID_EPOCHS, "term");
        vm.assertEq(shown.left, 4321, "left");
        vm.assertTrue(!shown.revoked, "not revoked");
        vm.assertEq(market.order(first).mandate, 9, "covered");
        vm.assertEq(market.order(second).mandate, 9, "covered too");
    }

    /// Must hold: a lower price is no reason to fail, a higher one is, to the unit.
    function testFuzz_boundedInRate(uint256 rate) external {
        rate = _within(rate, 1, 2 * R);
        _begin(2, 1);
        _deposit(1e12);
        uint256 end = _date(2);
        if (rate > R) {
            Acceptance[] memory acceptances = _signedFor(_order, end, R, EXTENDER, 0);
            acceptances[1] = _signedBy(_farmers[1], _order, 1, end, rate, EXTENDER);
            bytes memory reason = abi.encodeWithSelector(IMandateExtensions.RateAboveMandate.selector, 1, rate, R);
            _refused(_order, acceptances, reason);
            rate = R;
        }
        uint256 before = market.vault(renter);
        _extendByMandate(_order, end, rate, 0);
        vm.assertEq(before - market.vault(renter), _cost(2, rate, GRID_EPOCHS) + FEE, "what they signed for");
    }

    /// Must hold: the price is for each GiB, rounded up as farmers do, so that what is asked at this price is paid.
    function test_highestRateIsRoundedUp() external {
        _begin(1, 1);
        MandateTerms memory terms = _mandate();
        terms.highestPrice = 1;
        _give(2, terms, _order);
        _deposit(1e12);
        uint256 end = _date(2);
        bytes memory reason = abi.encodeWithSelector(IMandateExtensions.RateAboveMandate.selector, 0, 2, 1);
        _refused(_order, _signedFor(_order, end, 2, EXTENDER, 0), reason);
        _extendByMandate(_order, end, 1, 0);
    }

    /// Must hold: an extension lasts for the mandate's term or to its end, and there is none after that.
    function testFuzz_boundedInTime(uint256 term, uint256 until) external {
        term = _within(term, 1, 4);
        until = _within(until, 2, 4);
        _begin(1, 1);
        _deposit(1e12);
        MandateTerms memory terms = _mandate();
        terms.termEpochs = uint32(term * GRID_EPOCHS);
        uint256 last = _date(until);
        terms.until = Epoch.wrap(uint32(last));
        _give(2, terms, _order);
        uint256 end = _date(1 + term) < last ? _date(1 + term) : last;
        Acceptance[] memory acceptances = _signedFor(_order, end + GRID_EPOCHS, R, EXTENDER, 0);
        Held memory held = _held(_order);
        vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
        market.extendByMandate(held, acceptances, EXTENDER);
        OrderId next = _extendByMandate(_order, end, R, 0);
        if (end < last) return;
        _enter(end - 1);
        acceptances = _signedFor(next, end + GRID_EPOCHS, R, EXTENDER, 0);
        _refused(next, acceptances, abi.encodeWithSelector(IMandateExtensions.MandateOver.selector, 2, terms.until));
    }

    /// Must hold: neither before the last grid period of the order nor when it is over.
    function testFuzz_notInTime(bool late) external {
        FarmerId[] memory farmers = _registerMany(1);
        _order = _store(farmers, _date(2), LEAVES, R);
        _give(NUMBER, _mandate(), _order);
        if (late) _enter(_stored[_order].end);
        Acceptance[] memory acceptances = _signedFor(_order, _stored[_order].end + GRID_EPOCHS, R, EXTENDER, 0);
        _refused(
            _order,
            acceptances,
            abi.encodeWithSelector(IOrders.NotInLastPeriod.selector, _order, Epoch.wrap(_stored[_order].end), _date(1))
        );
    }

    /// Must hold: what is left of the mandate bounds all that it costs, with the fee, to the unit.
    function testFuzz_boundedInTotal(uint256 short) external {
        short = _within(short, 1, 1e6);
        _begin(2, 1);
        _deposit(1e12);
        uint256 cost = _cost(2, R, GRID_EPOCHS) + FEE;
        MandateTerms memory terms = _mandate();
        terms.total = uint128(cost - short);
        _give(2, terms, _order);
        Acceptance[] memory acceptances = _signedFor(_order, _date(2), R, EXTENDER, 0);
        bytes memory reason = abi.encodeWithSelector(IMandateExtensions.MandateSpent.selector, 2, cost - short, cost);
        _refused(_order, acceptances, reason);
        terms.total = uint128(cost);
        _give(3, terms, _order);
        _extendByMandate(_order, _date(2), R, 0);
        vm.assertEq(market.mandate(renter, 3).left, 0, "spent");
    }

    /// Must hold: a failed try pays nothing and leaves it due: with money in the vault the same call goes through.
    function test_aFailedTryLeavesItDue() external {
        _begin(2, 1);
        uint256 cost = _cost(2, R, GRID_EPOCHS) + FEE;
        _deposit(cost - 1);
        Acceptance[] memory acceptances = _signedFor(_order, _date(2), R, EXTENDER, 0);
        bytes memory reason = abi.encodeWithSelector(IVault.VaultTooSmall.selector, renter, cost - 1, cost);
        _refused(_order, acceptances, reason);
        vm.assertEq(_left(), type(uint128).max, "nothing is spent");
        vm.assertEq(market.order(_order).mandate, NUMBER, "still due");
        vm.assertEq(market.farmer(_farmers[0]).committedRate, R, "nobody is bound");
        _deposit(1);
        Held memory held = _held(_order);
        market.extendByMandate(held, acceptances, EXTENDER);
        vm.assertEq(market.earnings(EXTENDER), FEE, "the fee");
    }

    /// Must hold: a slot stays with its farmer, no matter who else would sign.
    function test_onlyItsOwnFarmers() external {
        _begin(3, 1);
        _deposit(1e12);
        FarmerId stranger = _register();
        uint256 end = _date(2);
        Acceptance[] memory acceptances = _signedFor(_order, end, R, EXTENDER, 0);
        acceptances[1] = _signedBy(stranger, _order, 1, end, R, EXTENDER);
        bytes4 reason = IDelegates.NotHolder.selector;
        _refused(_order, acceptances, abi.encodeWithSelector(reason, 1, stranger, _farmers[1]));
        acceptances[1] = _signedBy(_farmers[0], _order, 1, end, R, EXTENDER);
        _refused(_order, acceptances, abi.encodeWithSelector(reason, 1, _farmers[0], _farmers[1]));
    }

    /// Must hold: with another shape, other roots, or acceptances for less than all slots it is refused.
    function test_inTheSameShape() external {
        _begin(3, 2);
        _deposit(1e12);
        Acceptance[] memory acceptances = _signedFor(_order, _date(2), R, EXTENDER, 0);
        bytes32 root = acceptances[2].root;
        acceptances[2].root = 0;
        _refused(_order, acceptances, abi.encodeWithSelector(IOrders.OtherRoot.selector, 2, 0, root));
        Acceptance[] memory fewer = new Acceptance[](2);
        _refused(_order, fewer, abi.encodeWithSelector(IOrders.OtherShape.selector, _order, 2, 1, 2, 3));
        acceptances[2].root = root;
        Held memory held = _held(_order);
        vm.expectRevert(IMandateExtensions.NoExtender.selector);
        market.extendByMandate(held, acceptances, address(0));
    }

    /// Must hold: in the second half of the period (n - k) / 2 slots may begin vacant, at their rate, with a bounty set
    /// aside; no more, and none before.
    function testFuzz_vacantSlots(uint256 n, uint256 k) external {
        n = _within(n, 1, 6);
        k = _within(k, 1, n);
        _begin(n, k);
        _deposit(1e12);
        uint256 limit = (n - k) / 2;
        uint256 end = _date(2);
        uint256 first = _stored[_order].end - (GRID_EPOCHS + 1) / 2;
        bytes4 reason = IMandateExtensions.TooManyVacant.selector;
        _enter(first - 1);
        if (limit > 0) {
            Acceptance[] memory few = _signedFor(_order, end, R, EXTENDER, 1);
            _refused(_order, few, abi.encodeWithSelector(reason, 1, limit, first));
        }
        _enter(first);
        if (limit < n) {
            Acceptance[] memory many = _signedFor(_order, end, R, EXTENDER, (2 << limit) - 1);
            _refused(_order, many, abi.encodeWithSelector(reason, limit + 1, limit, first));
        }
        uint256 before = market.vault(renter);
        OrderId next = _extendByMandate(_order, end, R, (1 << limit) - 1);
        uint256 bounties = limit * R * (COLLATERAL_EPOCHS / 2);
        vm.assertEq(
            before - market.vault(renter),
            _cost(n, R, GRID_EPOCHS) + FEE + bounties,
            "all slots, fee, and bounties"
        );
        _enter(end);
        _close(_order);
        before = market.vault(renter);
        _close(next);
        uint256 unproven = _cost(n, R, GRID_EPOCHS);
        vm.assertTrue(market.vault(renter) - before >= unproven + bounties, "nobody took them: it comes back");
    }

    /// Must hold: farmers that go on may lower the most that they ask for reading, and raise it to what the mandate allows,
    /// to the unit.
    function testFuzz_boundedInTheReadPrice(uint256 highest, uint256 asked) external {
        highest = _within(highest, 0, 2 * uint256(_offer().egressPricePerGib));
        _begin(2, 1);
        _deposit(1e12);
        MandateTerms memory terms = _mandate();
        terms.highestEgressPrice = uint80(highest);
        _give(2, terms, _order);
        uint256 end = _date(2);
        asked = _within(asked, 0, 2 * highest + 1);
        Acceptance[] memory acceptances = _signedFor(_order, end, R, EXTENDER, 0);
        for (uint256 i = 0; i < 2; ++i) acceptances[i] = _signedAt(i, end, highest);
        acceptances[1] = _signedAt(1, end, asked);
        bytes4 reason = IMandateExtensions.EgressPriceAboveMandate.selector;
        if (asked > highest) {
            _refused(_order, acceptances, abi.encodeWithSelector(reason, 1, asked, highest));
            acceptances[1] = _signedAt(1, end, highest);
        }
        Held memory held = _held(_order);
        market.extendByMandate(held, acceptances, EXTENDER);
    }

    function _signedAt(uint256 slot, uint256 end, uint256 egressPrice) private view returns (Acceptance memory) {
        return _signedBy(_farmers[slot], _order, slot, end, R, egressPrice, EXTENDER);
    }

    /// Must hold: a slot that begins vacant has the highest price for reading that it had, or the mandate's if that is lower:
    /// who takes it over signs for it.
    function testFuzz_vacantAtItsReadPrice(uint256 highest, uint256 asked) external {
        uint256 had = _offer().egressPricePerGib;
        highest = _within(highest, 0, 2 * had);
        _begin(3, 1);
        _deposit(1e12);
        MandateTerms memory terms = _mandate();
        terms.highestEgressPrice = uint80(highest);
        _give(2, terms, _order);
        uint256 expected = highest < had ? highest : had;
        uint256 end = _date(2);
        _proveUntilTogether(_stored[_order].end - 1);
        Acceptance[] memory acceptances = _signedFor(_order, end, R, EXTENDER, 1);
        for (uint256 i = 1; i < 3; ++i) acceptances[i] = _signedAt(i, end, expected);
        asked = _within(asked, 0, 3 * had);
        acceptances[0].maxEgressPricePerGib = uint80(asked);
        bytes memory reason =
            asked > highest
                ? abi.encodeWithSelector(IMandateExtensions.EgressPriceAboveMandate.selector, 0, asked, highest)
                : abi.encodeWithSelector(IMandateExtensions.OtherEgressPrice.selector, 0, asked, expected);
        if (asked != expected) _refused(_order, acceptances, reason);
        acceptances[0].maxEgressPricePerGib = uint80(expected);
        Held memory held = _held(_order);
        market.extendByMandate(held, acceptances, EXTENDER);
    }

    /// Must hold: whether farmers may pass slots on is as it was.
    function testFuzz_handOversAsBefore(bool allowed) external {
        _enter(_date(1));
        _farmers = _registerMany(2);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_farmers, _date(1), LEAVES, R);
        terms.allowsHandOver = allowed;
        _deposit(1e12);
        vm.prank(renter);
        _order = market.place(terms, acceptances);
        _know(_order, terms, acceptances, _now() + 1, new uint256[](2), false);
        _give(NUMBER, _mandate(), _order);
        OrderId next = _extendByMandate(_order, _date(2), R, 0);
        vm.assertTrue(market.order(next).handOvers.isAllowed() == allowed, "as it was");
        vm.assertEq(market.order(next).mandate, NUMBER, "beside its mandate");
        vm.assertTrue(market.order(_order).handOvers.isAllowed() == allowed, "of the old one too");
        vm.assertEq(market.order(_order).mandate, EXTENDED, "which is extended");
    }

    /// Must hold: a slot that begins vacant has the rate that it had, or the mandate's highest if that is lower.
    function testFuzz_vacantAtItsRate(uint256 highest, uint256 asked) external {
        highest = _within(highest, 1, 2 * R);
        _begin(3, 1);
        _deposit(1e12);
        MandateTerms memory terms = _mandate();
        terms.highestPrice = _priceOf(highest);
        _give(2, terms, _order);
        uint256 rate = highest < R ? highest : R;
        uint256 end = _date(2);
        _proveUntilTogether(_stored[_order].end - 1);
        Acceptance[] memory acceptances = _signedFor(_order, end, rate, EXTENDER, 1);
        asked = _within(asked, 0, 3 * R);
        acceptances[0].rate = Rate.wrap(uint80(asked));
        bytes memory reason =
            asked > highest
                ? abi.encodeWithSelector(IMandateExtensions.RateAboveMandate.selector, 0, asked, highest)
                : abi.encodeWithSelector(IMandateExtensions.OtherRate.selector, 0, asked, rate);
        if (asked != rate) _refused(_order, acceptances, reason);
        acceptances[0].rate = Rate.wrap(uint80(rate));
        Held memory held = _held(_order);
        market.extendByMandate(held, acceptances, EXTENDER);
    }

    /// Must hold: anyone who refills a slot that began vacant is paid out of what was set aside, more with each block, and the
    /// rest is the renter's; with the farmer that had it, who was left out, at nothing in the first block.
    function testFuzz_refilled(uint256 blocks, bool itself) external {
        blocks = _within(blocks, 0, 2 * AUCTION_EPOCHS * EPOCH_BLOCKS);
        _begin(3, 1);
        _deposit(1e12);
        MandateTerms memory terms = _mandate();
        terms.termEpochs = uint32(2 * GRID_EPOCHS);
        _give(2, terms, _order);
        _proveUntilTogether(_stored[_order].end - 2);
        OrderId next = _extendByMandate(_order, _date(3), R, 1);
        _enterExtended(next);
        vm.roll(block.number + blocks);
        FarmerId taker = itself ? _farmers[0] : _register();
        uint256 before = market.vault(renter);
        uint256 left = _stored[next].end - _now() - 1;
        _refill(next, 0, taker, REPAIRER);
        uint256 full = (R * (left * (PENALTY + FINE) < COLLATERAL_EPOCHS ? left * 2 : COLLATERAL_EPOCHS)) / 2;
        uint256 duration = AUCTION_EPOCHS * EPOCH_BLOCKS;
        uint256 bounty = blocks >= duration ? full : (full * blocks) / duration;
        vm.assertEq(market.earnings(REPAIRER), bounty, "bounty");
        uint256 vacantEpochs = _now() + 1 - _stored[next].from;
        uint256 aside = (R * COLLATERAL_EPOCHS) / 2;
        vm.assertEq(market.vault(renter) - before, vacantEpochs * R + aside - bounty, "the renter's");
        _enter(_now() + 1);
        before = market.earnings(_ownerOf(taker));
        if (!itself) {
            _prove(taker);
            vm.assertEq(market.earnings(_ownerOf(taker)) - before, R, "paid");
        }
    }

    /// @dev The first block in which a slot of the order can be taken over; its term is long enough for the whole bounty.
    function _enterExtended(OrderId next) private {
        vm.roll((_stored[next].from - 1) * EPOCH_BLOCKS);
    }

    /// Must hold: a slot that began vacant and was never taken has no farmer that could go on; it counts with those that are
    /// left out the next time.
    function test_vacantAgain() external {
        _begin(4, 2);
        _deposit(1e12);
        _proveUntilTogether(_stored[_order].end - 1);
        OrderId next = _extendByMandate(_order, _date(2), R, 1);
        _proveUntilTogether(_stored[next].end - 1);
        uint256 end = _date(2);
        Acceptance[] memory acceptances = _signedFor(next, end, R, EXTENDER, 1);
        acceptances[0] = _signedBy(_farmers[0], next, 0, end, R, EXTENDER);
        bytes4 reason = IDelegates.NotHolder.selector;
        _refused(next, acceptances, abi.encodeWithSelector(reason, 0, _farmers[0], 0));
        uint256 first = _stored[next].end - GRID_EPOCHS / 2;
        bytes memory tooMany = abi.encodeWithSelector(IMandateExtensions.TooManyVacant.selector, 2, 1, first);
        _refused(next, _signedFor(next, end, R, EXTENDER, 3), tooMany);
        _extendByMandate(next, end, R, 1);
    }

    /// Must hold: what was revoked, with others or alone, is not used, whatever was signed for it.
    function testFuzz_revoked(bool together) external {
        _begin(1, 1);
        _deposit(1e12);
        MandateTerms memory terms = _mandate();
        Acceptance[] memory acceptances = _signedFor(_order, _date(2), R, EXTENDER, 0);
        if (together) {
            OrderId[] memory none = new OrderId[](0);
            uint16[] memory numbers = new uint16[](1);
            numbers[0] = NUMBER;
            vm.expectEmit(true, true, true, true, address(market));
            emit IMandates.MandateRevoked(renter, NUMBER);
            vm.prank(renter);
            market.giveMandate(2, terms, none, numbers);
        } else {
            _revoke(NUMBER);
        }
        vm.assertTrue(market.mandate(renter, NUMBER).revoked, "shown");
        bytes memory reason = abi.encodeWithSelector(IMandateExtensions.NotCovered.selector, _order, NUMBER);
        _refused(_order, acceptances, reason);
        uint16[] memory again = new uint16[](1);
        again[0] = NUMBER;
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IMandates.NoMandate.selector, renter, NUMBER));
        market.revokeMandates(again);
    }

    /// Must hold: an order without a mandate, or out of it again, is not extended by others.
    function testFuzz_notCovered(bool before) external {
        if (before) {
            _begin(1, 1);
            OrderId[] memory orders = new OrderId[](1);
            orders[0] = _order;
            vm.expectEmit(true, true, true, true, address(market));
            emit IMandates.OrderCovered(_order, 0);
            vm.prank(renter);
            market.coverOrders(0, orders);
        } else {
            _enter(_date(1));
            _farmers = _registerMany(1);
            _order = _storeWith(_farmers, 1);
        }
        _deposit(1e12);
        Acceptance[] memory acceptances = _signedFor(_order, _date(2), R, EXTENDER, 0);
        _refused(_order, acceptances, abi.encodeWithSelector(IMandateExtensions.NotCovered.selector, _order, 0));
    }

    /// Must hold: of mandates and orders only their own account disposes.
    function testFuzz_byItsAccountAlone(address other) external {
        _begin(1, 1);
        vm.assume(other != renter);
        OrderId[] memory orders = new OrderId[](1);
        orders[0] = _order;
        uint16[] memory numbers = new uint16[](1);
        numbers[0] = NUMBER;
        MandateTerms memory terms = _mandate();
        vm.startPrank(other);
        vm.expectRevert(abi.encodeWithSelector(IMandates.NoMandate.selector, other, NUMBER));
        market.revokeMandates(numbers);
        vm.expectRevert(abi.encodeWithSelector(IMandates.NoMandate.selector, other, NUMBER));
        market.coverOrders(NUMBER, orders);
        vm.expectRevert(abi.encodeWithSelector(IMandates.NotRenter.selector, _order, other));
        market.coverOrders(0, orders);
        vm.expectRevert(abi.encodeWithSelector(IMandates.NotRenter.selector, _order, other));
        market.giveMandate(NUMBER, terms, orders, new uint16[](0));
        vm.stopPrank();
        vm.assertEq(market.order(_order).mandate, NUMBER, "as it was");
    }

    /// Must hold: what can be covered is an order that is there and not extended.
    function test_coveredWhileItLasts() external {
        _begin(1, 1);
        _deposit(1e12);
        OrderId[] memory orders = new OrderId[](1);
        orders[0] = OrderId.wrap(keccak256("none"));
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IOrders.UnknownOrder.selector, orders[0]));
        market.coverOrders(NUMBER, orders);
        _extendByMandate(_order, _date(2), R, 0);
        orders[0] = _order;
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IOrders.AlreadyExtended.selector, _order));
        market.coverOrders(NUMBER, orders);
    }

    /// Must hold: a number serves once, so nobody's order is under terms that were given for another.
    function test_numbersServeOnce() external {
        _begin(1, 1);
        MandateTerms memory terms = _mandate();
        _revoke(NUMBER);
        uint16[3] memory numbers = [uint16(0), NUMBER, EXTENDED];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(renter);
            vm.expectRevert(abi.encodeWithSelector(IMandates.MandateExists.selector, renter, numbers[i]));
            market.giveMandate(numbers[i], terms, new OrderId[](0), new uint16[](0));
        }
    }

    /// Must hold: a mandate's dates are of the grid and to come, and its terms can be placed.
    function testFuzz_badTerms(uint256 until, uint256 term) external {
        MandateTerms memory terms = _mandate();
        uint256 good = _date(3);
        _badTerms(terms, good + _within(until, 1, GRID_EPOCHS - 1), GRID_EPOCHS);
        _badTerms(terms, _date(0), GRID_EPOCHS);
        _badTerms(terms, 0, GRID_EPOCHS);
        _badTerms(terms, good, 0);
        _badTerms(terms, good, GRID_EPOCHS + _within(term, 1, GRID_EPOCHS - 1));
        _badTerms(terms, good, MAX_BOOKS * GRID_EPOCHS);
        terms.termEpochs = uint32((MAX_BOOKS - 1) * GRID_EPOCHS);
        terms.until = Epoch.wrap(uint32(_date(1)));
        vm.prank(renter);
        market.giveMandate(NUMBER, terms, new OrderId[](0), new uint16[](0));
    }

    function _badTerms(MandateTerms memory terms, uint256 until, uint256 term) private {
        terms.until = Epoch.wrap(uint32(until));
        terms.termEpochs = uint32(term);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IMandates.BadMandateTerms.selector, terms.until, terms.termEpochs));
        market.giveMandate(NUMBER, terms, new OrderId[](0), new uint16[](0));
    }

    /// Must hold: an order is extended once, first come first served: its renter or somebody by its mandate.
    function testFuzz_extendedOnce(bool byRenter, bool again) external {
        _begin(1, 1);
        _deposit(1e12);
        uint256 end = _date(2);
        Acceptance[] memory mine = new Acceptance[](1);
        Terms memory terms = _terms("mine", end, LEAVES, 1, 1);
        mine[0] = _accept(terms, _farmers[0], 0, _stored[_order].slots[0].root, R, _order);
        Acceptance[] memory theirs = _signedFor(_order, end, R, EXTENDER, 0);
        Held memory held = _held(_order);
        if (byRenter) {
            vm.prank(renter);
            OrderId next = market.extend(held, terms, mine);
            vm.assertEq(market.order(next).mandate, NUMBER, "what extends it is covered");
        } else {
            market.extendByMandate(held, theirs, EXTENDER);
        }
        bytes memory reason = abi.encodeWithSelector(IOrders.AlreadyExtended.selector, _order);
        if (again == byRenter) {
            vm.prank(renter);
            vm.expectRevert(reason);
            market.extend(held, terms, mine);
        } else {
            _refused(_order, theirs, reason);
        }
    }

    /// Must hold: an acceptance for the renter's own extension serves nobody else, nor the other way round, and that for one
    /// extender no other.
    function test_acceptancesServeWhomTheyName() external {
        _begin(1, 1);
        _deposit(1e12);
        uint256 end = _date(2);
        Held memory held = _held(_order);
        bytes4 forged = IOrders.AcceptanceForged.selector;
        Acceptance[] memory acceptances = _signedFor(_order, end, R, EXTENDER, 0);
        vm.expectPartialRevert(forged);
        market.extendByMandate(held, acceptances, address(0xC091));
        Terms memory terms = _terms("mine", end, LEAVES, 1, 1);
        vm.prank(renter);
        vm.expectPartialRevert(forged);
        market.extend(held, terms, acceptances);
        acceptances[0] = _accept(terms, _farmers[0], 0, held.slots[0].root, R, _order);
        vm.expectPartialRevert(forged);
        market.extendByMandate(held, acceptances, EXTENDER);
    }

    /// Must hold: what was signed for another market or chain does not count; a mandate is of one market alone.
    function testFuzz_ofThisMarketAlone(bool chain) external {
        _begin(1, 1);
        _deposit(1e12);
        uint256 end = _date(2);
        Acceptance[] memory acceptances = _signedFor(_order, end, R, EXTENDER, 0);
        Held memory held = _held(_order);
        if (chain) {
            vm.chainId(block.chainid + 1);
            vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
            market.extendByMandate(held, acceptances, EXTENDER);
            vm.chainId(block.chainid - 1);
        } else {
            vm.assertEq(_deploy(_parameters(address(token))).mandate(renter, NUMBER).left, 0, "unknown to another");
        }
    }

    /// Must hold: of two accounts of one owner each mandate is for its own orders and its own vault.
    function test_twoAccountsOfOneOwner() external {
        _begin(1, 1);
        OrderId first = _order;
        address one = renter;
        _deposit(1e12);
        address two = _asOwnRenter();
        OrderId second = _storeWith(_farmers, 1);
        _deposit(1e12);
        vm.prank(two);
        market.giveMandate(NUMBER, _mandate(), new OrderId[](0), new uint16[](0));
        Acceptance[] memory acceptances = _signedFor(second, _date(2), R, EXTENDER, 0);
        _refused(second, acceptances, abi.encodeWithSelector(IMandateExtensions.NotCovered.selector, second, 0));
        OrderId[] memory orders = new OrderId[](1);
        orders[0] = first;
        vm.prank(two);
        vm.expectRevert(abi.encodeWithSelector(IMandates.NotRenter.selector, first, two));
        market.coverOrders(NUMBER, orders);
        uint256 before = market.vault(two);
        _extendByMandate(first, _date(2), R, 0);
        vm.assertEq(market.vault(two), before, "the other's vault");
        vm.assertEq(market.vault(one), 1e12 - _cost(1, R, GRID_EPOCHS) - FEE, "its own");
    }

    /// Must hold: a mandate that is kept for a year still has its bounds, and ends on its date by itself.
    function test_keptForAYear() external {
        _begin(1, 1);
        _deposit(1e12);
        OrderId order = _order;
        while (_date(1) < Epoch.unwrap(market.mandate(renter, NUMBER).until)) {
            order = _extendByMandate(order, _date(2), R, 0);
            _proveUntilTogether(_stored[order].end - 1);
        }
        Acceptance[] memory acceptances = _signedFor(order, _date(2), R, EXTENDER, 0);
        Epoch until = market.mandate(renter, NUMBER).until;
        _refused(order, acceptances, abi.encodeWithSelector(IMandateExtensions.MandateOver.selector, NUMBER, until));
    }

    /// Must hold: a mandate that takes the place of another cannot be preceded by a spending of both: the order is another
    /// by then.
    function test_changedWhileItIsUsed() external {
        _begin(1, 1);
        _deposit(1e12);
        _extendByMandate(_order, _date(2), R, 0);
        OrderId[] memory orders = new OrderId[](1);
        orders[0] = _order;
        uint16[] memory numbers = new uint16[](1);
        numbers[0] = NUMBER;
        MandateTerms memory terms = _mandate();
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IOrders.AlreadyExtended.selector, _order));
        market.giveMandate(2, terms, orders, numbers);
        vm.assertTrue(!market.mandate(renter, NUMBER).revoked, "as it was");
    }

    /// Must hold: a slot with nobody in it cannot be had but for an extension by mandate.
    function test_nobodyElsewhere() external {
        _begin(3, 1);
        _deposit(1e12);
        _proveUntilTogether(_stored[_order].end - 1);
        Terms memory terms = _terms("mine", _date(2), LEAVES, 1, 1);
        Acceptance[] memory acceptances = new Acceptance[](3);
        for (uint256 i = 0; i < 3; ++i) {
            acceptances[i] = _accept(terms, _farmers[i], i, _stored[_order].slots[i].root, R, _order);
        }
        acceptances[0].farmer = FarmerId.wrap(0);
        Held memory held = _held(_order);
        vm.prank(renter);
        vm.expectRevert();
        market.extend(held, terms, acceptances);
        OrderId next = _extendByMandate(_order, _date(2), R, 1);
        held = _held(next);
        vm.expectRevert();
        market.refill(held, REPAIRER, _takeoverOfNobody(next));
    }

    function _takeoverOfNobody(OrderId) private pure returns (Takeover[] memory takeovers) {
        takeovers = new Takeover[](1);
    }
}

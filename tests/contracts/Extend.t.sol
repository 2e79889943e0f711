// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../../contracts/interfaces/IBooks.sol";
import {IDelegates} from "../../contracts/interfaces/IDelegates.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IRepairs} from "../../contracts/interfaces/IRepairs.sol";
import {
    Acceptance,
    Epoch,
    FarmerId,
    Held,
    OrderId,
    OrderView,
    Permit,
    Slot,
    Takeover,
    Terms
} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Reference} from "./support/Reference.sol";

/// @title Orders that go on
contract ExtendTest is FarmTest {
    uint256 private constant RATE = 1000;
    address private constant REPAIRER = address(0x4E9A14);

    FarmerId[] private _farmers;
    OrderId private _order;

    /// @dev An order of two slots, in the last grid period of its time.
    function _begin() private {
        _farmers = _registerMany(2);
        _order = _store(_farmers, _date(1), 3, RATE);
    }

    function _offer(
        FarmerId[] memory farmers,
        uint256 end,
        OrderId previous
    ) private view returns (Terms memory terms, Acceptance[] memory acceptances) {
        terms = _terms(keccak256("another"), end, 3, 1, 1);
        acceptances = new Acceptance[](farmers.length);
        for (uint256 i = 0; i < farmers.length; ++i) {
            acceptances[i] = _accept(terms, farmers[i], i, _stored[_order].slots[i].root, RATE, previous);
        }
    }

    /// Must hold: an extended slot is audited and paid without a gap and never twice.
    function testFuzz_withoutAGap(uint256 ahead) external {
        _begin();
        uint256 end = _date(_within(ahead, 2, MAX_BOOKS));
        OrderId next = _extend(_order, _farmers, end, 2 * RATE);
        uint256 old = _stored[_order].end;
        while (_now() < old + 3 && _now() < end - 1) {
            _enter(_now() + 1);
            uint256 before = market.earnings(_ownerOf(_farmers[0]));
            _prove(_farmers[0]);
            vm.assertEq(
                market.earnings(_ownerOf(_farmers[0])) - before,
                _now() < old ? RATE : 2 * RATE,
                "pay by the order whose time it is"
            );
        }
        OrderView memory shown = market.order(next);
        vm.assertEq(Epoch.unwrap(shown.from), old, "from");
    }

    /// Must hold: before it begins an extension is neither asked for nor missed, but is covered by the stake.
    function test_beforeItBegins() external {
        _begin();
        FarmerId[] memory others = _registerMany(2);
        _extend(_order, others, _date(4), RATE);
        vm.assertEq(market.farmer(others[0]).committedRate, RATE, "covered");
        uint256 old = _stored[_order].end;
        _enter(old);
        market.settle(others[0]);
        vm.assertEq(_misses(others[0]), 0, "not missed");
        _prove(others[0]);
        _enter(old + 2);
        vm.assertEq(_misses(others[0]), 1, "missed");
    }

    /// Must hold: an extension that is over is committed no more, and its collateral is free.
    function test_overIsNotCommitted() external {
        _begin();
        uint256 end = _date(2);
        _extend(_order, _farmers, end, 2 * RATE);
        _store(_farmers[0], _date(4), 2, RATE + 5);
        _proveUntil(_farmers[0], end);
        _enter(end);
        vm.assertEq(market.farmer(_farmers[0]).committedRate, RATE + 5, "what goes on");
        uint256 most = STAKE - COLLATERAL_EPOCHS * (RATE + 5);
        vm.prank(_ownerOf(_farmers[0]));
        market.unstake(_farmers[0], most);
    }

    /// Must hold: an extension mixes with all else that a farmer keeps.
    function testFuzz_amongOthers(uint256 seed) external {
        _begin();
        for (uint256 i = 0; i < 3; ++i) _store(_farmers[0], _date(_within(seed >> (8 * i), 1, 4)), 2, RATE + i);
        _extend(_order, _farmers, _date(_within(seed >> 32, 2, 4)), RATE + 7);
        for (uint256 i = 0; i < 12; ++i) {
            _enter(_now() + 1);
            if (i == 3) _store(_farmers[0], _date(3), 2, RATE + i);
            uint256 asked = _rateAt(_farmers[0], _now());
            vm.assertEq(market.rateAt(_farmers[0], market.currentEpoch()), asked, "asked");
            if (asked > 0) _prove(_farmers[0]);
        }
    }

    /// Must hold: so much of what has begun cannot be lost that the rest is hardly ever drawn, whatever begins later in the
    /// same book.
    function test_whatHasBegunStaysAlive() external {
        FarmerId farmer = _register();
        OrderId first = _store(farmer, _date(1), 2, 1);
        OrderId second = _store(farmer, _date(1), 2, 1);
        OrderId third = _store(farmer, _date(2), 2, 1);
        uint256 end = _date(4);
        _extend(first, _one(farmer), end, 1);
        _extend(second, _one(farmer), end, 99);
        uint256 most = _kept[farmer].length - 2;
        _proveUntil(farmer, _date(1));
        _extend(third, _one(farmer), end, 10_000);
        _proveUntil(farmer, _now() + 1);
        bytes32[] memory words = _lossWords(farmer, most + 1);
        vm.prank(_operator(farmer));
        vm.expectRevert(abi.encodeWithSelector(IBooks.BookMostlyLost.selector, farmer, 100, 99));
        market.declareLoss(farmer, Epoch.wrap(uint32(end)), true, words);
        // All that has begun may be lost: what comes later stays.
        words = Reference.joined(words, _lossWords(farmer, most));
        vm.prank(_operator(farmer));
        market.declareLoss(farmer, Epoch.wrap(uint32(end)), true, words);
        _giveUp(farmer, most + 1);
        _giveUp(farmer, most);
        _proveUntil(farmer, _date(1) + 1);
        vm.assertEq(market.rateAt(farmer, market.currentEpoch()), 10_000, "asked");
    }

    /// Must hold: what a missed epoch costs counts extensions from the date on which they begin, however many dates passed
    /// before it is settled.
    function testFuzz_missedAcrossDates(uint256 missedBefore, uint256 missedAfter) external {
        missedBefore = _within(missedBefore, 0, 2);
        missedAfter = _within(missedAfter, 0, MAX_MISSES - 1 - missedBefore);
        _begin();
        _extend(_order, _farmers, _date(3), 10 * RATE);
        uint256 begins = _stored[_order].end;
        FarmerId farmer = _farmers[0];
        _proveUntil(farmer, begins - 1 - missedBefore);
        _enter(begins + missedAfter);
        vm.assertEq(_misses(farmer), missedBefore + missedAfter, "missed");
        uint256 lost = (PENALTY + FINE) * RATE * (missedBefore + 10 * missedAfter);
        vm.assertEq(market.farmer(farmer).stake, STAKE - lost, "shown");
        market.settle(farmer);
        vm.assertEq(market.farmer(farmer).stake, STAKE - lost, "settled");
        vm.assertEq(market.farmer(farmer).committedRate, 10 * RATE, "the first order is over");
        _prove(farmer);
    }

    /// Must hold: of extensions that began on an earlier date nothing is left out when others are about to begin.
    function test_beginningOneAfterAnother() external {
        FarmerId farmer = _register();
        OrderId first = _store(farmer, _date(1), 2, 1);
        OrderId second = _store(farmer, _date(2), 2, 10);
        _extend(first, _one(farmer), _date(4), 100);
        _proveUntil(farmer, _date(1));
        _extend(second, _one(farmer), _date(3), 1000);
        _proveUntil(farmer, _now() + 1);
        _enter(_now() + 2);
        market.settle(farmer);
        vm.assertEq(market.farmer(farmer).stake, STAKE - (PENALTY + FINE) * 110, "one epoch, of what had begun");
    }

    /// Must hold: a farmer that takes over a slot of an extension, or is given more, is asked for it from the next epoch on,
    /// and for its own extension from the date on which that begins.
    function test_refilledBeforeItsOwnBegins() external {
        _enter(_date(1));
        FarmerId gone = _register();
        FarmerId farmer = _register();
        OrderId lost = _store(gone, _date(3), 2, 1);
        OrderId own = _store(farmer, _date(1), 2, 10);
        _enter(_now() + 1);
        _prove(farmer);
        _extend(own, _one(farmer), _date(2), 100);
        _proveUntil(farmer, _now() + MAX_MISSES);
        market.evict(gone);
        _refill(lost, 0, farmer, REPAIRER);
        uint256 begins = _date(1);
        _proveUntil(farmer, begins - 2);
        _enter(begins + 1);
        market.settle(farmer);
        vm.assertEq(market.farmer(farmer).stake, STAKE - (PENALTY + FINE) * (11 + 101), "one epoch before, one after");
    }

    /// Must hold: a farmer that lapses with an extension about to begin leaves the same collateral to that as to the rest.
    function test_evictedBeforeItBegins() external {
        _enter(_date(1));
        FarmerId farmer = _register(16 * 110);
        OrderId own = _store(farmer, _date(1), 2, 10);
        OrderId next = _extend(own, _one(farmer), _date(3), 100);
        _enter(_stored[own].from);
        _prove(farmer);
        _enter(_now() + MAX_MISSES + 1);
        uint256 left = 16 * 110 - (PENALTY + FINE) * MAX_MISSES * 10;
        uint256 epochs = (left - 110) / 110;
        market.evict(farmer);
        vm.assertEq(market.eviction(farmer).collateralEpochs, epochs, "collateral of each");
        vm.assertTrue(_now() < _stored[next].from, "before it begins");
        _enter(_stored[next].end);
        uint256 before = market.vault(renter);
        _close(next);
        uint256 paid = 100 * uint256(_stored[next].end - _stored[next].from);
        vm.assertEq(market.vault(renter) - before, paid + 100 * epochs, "all of it and the collateral");
    }

    /// Must hold: the renter pays the time of the extension and no more.
    function testFuzz_theCost(uint256 ahead) external {
        _begin();
        uint256 end = _date(_within(ahead, 2, MAX_BOOKS));
        uint256 before = market.vault(renter);
        _extend(_order, _farmers, end, RATE);
        vm.assertEq(market.vault(renter), before, "deposited and paid");
        vm.assertEq(Epoch.unwrap(market.order(_placed[1]).end), end, "end");
    }

    /// Must hold: a permit pays for the extension, no matter who submitted it first.
    function testFuzz_extendWithPermit(bool used) external {
        _begin();
        (Terms memory terms, Acceptance[] memory acceptances) = _offer(_farmers, _date(2), _order);
        Held memory held = _held(_order);
        Permit memory p = _permit(RENTER_KEY, 2 * RATE * (Epoch.unwrap(terms.end) - _stored[_order].end));
        vm.prank(renter);
        token.approve(address(market), 0);
        if (used) token.permit(renter, address(market), p.value, p.deadline, p.v, p.r, p.s);
        vm.prank(renter);
        OrderId next = market.extendWithPermit(held, terms, acceptances, p);
        vm.assertEq(market.vault(renter), 0, "deposited and paid");
        vm.assertEq(market.order(next).renter, renter, "extended");
    }

    /// Must hold: with a permit too, it is by the order's renter, or by one that it has authorized.
    function test_anothersPermit() external {
        _begin();
        uint256 key = 0xC0FFEE;
        placer = vm.addr(key);
        (Terms memory terms, Acceptance[] memory acceptances) = _offer(_farmers, _date(2), _order);
        Held memory held = _held(_order);
        token.transfer(placer, 1e9);
        Permit memory p = _permit(key, 1e9);
        vm.prank(placer);
        vm.expectRevert(abi.encodeWithSelector(IDelegates.NotDelegate.selector, renter, placer));
        market.extendWithPermit(held, terms, acceptances, p);
    }

    /// Must hold: the events say in which of a farmer's two books for a date a slot is, also in the last epoch before the
    /// extension begins, in which it begins like what is placed.
    function test_toldApartInTheLastEpoch() external {
        _begin();
        _enter(_stored[_order].end - 1);
        uint256 end = _date(2);
        (Terms memory terms, Acceptance[] memory acceptances) = _offer(_farmers, end, _order);
        OrderId next = _orderId(terms);
        Held memory held = _held(_order);
        _deposit(2 * RATE * (end - _stored[_order].end));
        _expectFilled(next, terms, acceptances, true);
        vm.expectEmit(true, true, true, true, address(market));
        emit IOrders.OrderExtended(next, _order);
        vm.prank(renter);
        market.extend(held, terms, acceptances);

        (terms, acceptances) = _offered(_farmers, end, 3, RATE);
        _deposit(2 * RATE * (end - _now() - 1));
        _expectFilled(_orderId(terms), terms, acceptances, false);
        vm.prank(renter);
        market.place(terms, acceptances);
    }

    function _expectFilled(OrderId id, Terms memory terms, Acceptance[] memory acceptances, bool extension) private {
        Epoch from = Epoch.wrap(uint32(_now() + 1));
        for (uint8 i = 0; i < acceptances.length; ++i) {
            Acceptance memory a = acceptances[i];
            vm.expectEmit(true, true, true, true, address(market));
            emit IOrders.SlotFilled(
                id,
                a.farmer,
                i,
                a.root,
                a.rate,
                a.maxEgressPricePerGib,
                3,
                from,
                terms.end,
                extension
            );
        }
    }

    /// Must hold: a consent to extend does not place, nor the other way round.
    function test_consentIsForOneUse() external {
        _begin();
        _deposit(1e9);
        (Terms memory terms, Acceptance[] memory acceptances) = _offer(_farmers, _date(2), _order);
        address signer = _signer(terms, 0, acceptances[0]);
        vm.expectRevert(abi.encodeWithSelector(IOrders.AcceptanceForged.selector, 0, _farmers[0], signer));
        vm.prank(renter);
        market.place(terms, acceptances);
        (terms, acceptances) = _offer(_farmers, _date(2), OrderId.wrap(0));
        bytes32 digest = _acceptanceDigest(address(market), block.chainid, _consent(terms, 0, acceptances[0], _order));
        signer = _signer(digest, acceptances[0].r, acceptances[0].vs);
        Held memory held = _held(_order);
        vm.expectRevert(abi.encodeWithSelector(IOrders.AcceptanceForged.selector, 0, _farmers[0], signer));
        vm.prank(renter);
        market.extend(held, terms, acceptances);
    }

    /// Must hold: only in the last grid period, by its renter, and in the same shape.
    function test_refused() external {
        _begin();
        _deposit(1e9);
        (Terms memory terms, Acceptance[] memory acceptances) = _offer(_farmers, _date(2), _order);
        Held memory held = _held(_order);
        placer = address(this);
        (Terms memory anothers, Acceptance[] memory toAnother) = _offer(_farmers, _date(2), _order);
        vm.expectRevert(abi.encodeWithSelector(IDelegates.NotDelegate.selector, renter, placer));
        market.extend(held, anothers, toAnother);

        vm.startPrank(renter);
        terms.k = 2;
        vm.expectRevert(abi.encodeWithSelector(IOrders.OtherShape.selector, _order, 3, 1, 1, 2));
        market.extend(held, terms, acceptances);
        terms.k = 1;
        bytes32 root = acceptances[1].root;
        acceptances[1].root = bytes32(uint256(1));
        vm.expectRevert(abi.encodeWithSelector(IOrders.OtherRoot.selector, 1, acceptances[1].root, root));
        market.extend(held, terms, acceptances);
        acceptances[1].root = root;
        terms.end = Epoch.wrap(_stored[_order].end);
        vm.expectRevert(abi.encodeWithSelector(IOrders.EndTooSoon.selector, terms.end, uint256(_stored[_order].end)));
        market.extend(held, terms, acceptances);
        vm.stopPrank();
    }

    /// Must hold: neither too early nor when it is over.
    function testFuzz_notInTime(bool late) external {
        _farmers = _registerMany(2);
        _order = _store(_farmers, _date(2), 3, RATE);
        if (late) _enter(_stored[_order].end);
        (Terms memory terms, Acceptance[] memory acceptances) = _offer(_farmers, _date(4), _order);
        Held memory held = _held(_order);
        bytes memory reason = abi.encodeWithSelector(
            IOrders.NotInLastPeriod.selector,
            _order,
            Epoch.wrap(_stored[_order].end),
            _date(1)
        );
        vm.prank(renter);
        vm.expectRevert(reason);
        market.extend(held, terms, acceptances);
    }

    /// Must hold: a farmer that lapses before its extension begins leaves that vacant whole, with collateral.
    function test_vacantBeforeItBegins() external {
        _enter(_date(1));
        _begin();
        OrderId next = _extend(_order, _farmers, _date(3), RATE);
        _lapse(_farmers[0]);
        _enter(_stored[next].end);
        _close(_order);
        uint256 before = market.vault(renter);
        uint256 epochs = _stored[next].end - _stored[next].from;
        _close(next);
        vm.assertEq(market.vault(renter) - before, 2 * RATE * (epochs + COLLATERAL_EPOCHS), "all of both slots");
    }

    /// Must hold: a slot of an extension can be refilled as soon as one would begin with it, not before; the one that takes it has
    /// it among what is no extension.
    function test_refilledWhenItBegins() external {
        _enter(_date(1));
        _farmers = _registerMany(2);
        _order = _store(_farmers, _date(1), 3, RATE);
        OrderId next = _extend(_order, _farmers, _date(3), RATE);
        _lapse(_farmers[0]);
        FarmerId taker = _register();
        Takeover[] memory takeovers = new Takeover[](1);
        takeovers[0] = _takeover(next, 0, taker, REPAIRER);
        Held memory held = _held(next);
        vm.expectRevert(abi.encodeWithSelector(IRepairs.OrderNotBegun.selector, next, Epoch.wrap(_stored[next].from)));
        market.refill(held, REPAIRER, takeovers);
        _enter(_stored[next].from - 1);
        Epoch end = Epoch.wrap(_stored[next].end);
        Epoch from = Epoch.wrap(_stored[next].from);
        Slot memory slot = _stored[next].slots[0];
        vm.expectEmit(true, true, true, true, address(market));
        emit IOrders.SlotFilled(next, taker, 0, slot.root, slot.rate, slot.maxEgressPricePerGib, 3, from, end, false);
        _refill(next, 0, taker, REPAIRER);
        _enter(_now() + 1);
        _prove(taker);
        vm.assertEq(market.earnings(_ownerOf(taker)), RATE, "paid");
    }

    /// Must hold: a slot of an extension can be lost, and the rest of its book is still proven.
    function test_lostInAnExtension() external {
        _begin();
        OrderId other = _store(_farmers[0], _date(1), 3, 3 * RATE);
        _extend(_order, _farmers, _date(3), RATE);
        _extend(other, _one(_farmers[0]), _date(3), 3 * RATE);
        _proveUntil(_farmers[0], _stored[_order].end);
        _lose(_farmers[0], 2);
        for (uint256 i = 0; i < 3; ++i) {
            _enter(_now() + 1);
            uint256 before = market.earnings(_ownerOf(_farmers[0]));
            _prove(_farmers[0]);
            vm.assertEq(market.earnings(_ownerOf(_farmers[0])) - before, 3 * RATE, "pay");
        }
    }

    /// Must hold: of all extensions that begin on a date nothing is missed before it.
    function test_twoThatBeginTogether() external {
        FarmerId farmer = _register();
        OrderId first = _store(farmer, _date(1), 2, 1);
        OrderId second = _store(farmer, _date(1), 2, 10);
        _extend(first, _one(farmer), _date(3), 100);
        _extend(second, _one(farmer), _date(3), 1000);
        _proveUntil(farmer, _now() + 1);
        _enter(_now() + 2);
        vm.assertTrue(_now() < _stored[first].end, "before they begin");
        market.settle(farmer);
        vm.assertEq(market.farmer(farmer).stake, STAKE - (PENALTY + FINE) * 11, "one epoch of what had begun");
    }
}

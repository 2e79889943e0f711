// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IRepairs} from "../../contracts/interfaces/IRepairs.sol";
import {Epoch, FarmerId, Held, OrderId, Slot} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Reference} from "./support/Reference.sol";

/// @title The end of an order
contract CloseTest is FarmTest {
    uint256 private constant RATE = 1000;

    FarmerId private _farmer;
    OrderId private _order;

    /// @dev One slot for ten epochs.
    function _begin() private {
        _enter(_date(1) - 3);
        _farmer = _register();
        _order = _store(_farmer, _date(2), 2, RATE);
    }

    /// Must hold: whatever epochs are proven, the renter pays for these, less a compensation for each that was missed.
    function testFuzz_theRenterPaysForWhatWasProven(uint256 pattern) external {
        _begin();
        uint256 paid = market.vault(renter);
        uint256 end = _stored[_order].end;
        uint256 proven = 0;
        for (uint256 epoch = _stored[_order].from; epoch < end; ++epoch) {
            _enter(epoch);
            if ((pattern >> (epoch % 256)) & 1 == 0 || market.farmer(_farmer).lapsed) continue;
            _prove(_farmer);
            ++proven;
        }
        _enter(end);
        uint256 misses = _misses(_farmer);
        bool vacant = market.farmer(_farmer).lapsed && _settledEpoch(_farmer) + 1 < end;
        _close(_order);
        uint256 prepaid = RATE * (end - _stored[_order].from);
        uint256 back = market.vault(renter) - paid;
        uint256 collateral = vacant ? RATE * COLLATERAL_EPOCHS : 0;
        vm.assertEq(prepaid - (back - misses * PENALTY * RATE - collateral), proven * RATE, "cost");
        vm.assertEq(market.earnings(_ownerOf(_farmer)), proven * RATE + _surplus(misses, vacant), "pay");
    }

    /// @dev What of the stake the owner has back when it is evicted.
    function _surplus(uint256 misses, bool vacant) private pure returns (uint256) {
        if (!vacant) return 0;
        return STAKE - RATE * (misses * (PENALTY + FINE) + 1 + COLLATERAL_EPOCHS);
    }

    /// Must hold: it does not matter when an order is closed, nor by whom, nor whether its farmers were settled before.
    function testFuzz_anyTimeByAnyone(uint256 later, address caller, bool settled) external {
        _begin();
        _proveUntil(_farmer, _stored[_order].end - 3);
        uint256 before = market.vault(renter);
        _enter(_stored[_order].end + _within(later, 0, 1000));
        if (settled) market.settle(_farmer);
        Held memory held = _held(_order);
        vm.prank(caller);
        market.close(held);
        vm.assertEq(market.vault(renter) - before, 2 * (1 + PENALTY) * RATE, "two misses");
    }

    /// Must hold: the order's misses are found on both sides of epoch 256, where the miss map goes on in another word, and
    /// those before and after it are not its own.
    function test_missesInTwoWords() external {
        uint256[4] memory misses = [uint256(254), 256, 259, 266];
        _enter(245);
        _farmer = _register();
        _store(_farmer, 272, 2, 7);
        _proveUntil(_farmer, 249);
        _enter(251);
        _order = _store(_farmer, 264, 2, RATE);
        uint256 next = 0;
        while (_now() < 268) {
            _enter(_now() + 1);
            if (next < misses.length && _now() == misses[next]) ++next;
            else _prove(_farmer);
        }
        vm.assertEq(_misses(_farmer), 6, "missed, with 250 and 251");
        uint256 before = market.vault(renter);
        _close(_order);
        vm.assertEq(market.vault(renter) - before, 3 * (1 + PENALTY) * RATE, "three of them");
    }

    /// Must hold: an order is closed once, and forgotten.
    function test_onlyOnce() external {
        _begin();
        _enter(_stored[_order].end);
        _close(_order);
        vm.assertEq(market.order(_order).renter, address(0), "forgotten");
        Held memory held = _held(_order);
        vm.expectRevert(abi.encodeWithSelector(IOrders.UnknownOrder.selector, _order));
        market.close(held);
    }

    /// Must hold: an order that is not over is not closed.
    function testFuzz_notBeforeItsEnd(uint256 epoch) external {
        _begin();
        uint256 end = _stored[_order].end;
        _enter(_within(epoch, _now(), end - 1));
        Held memory held = _held(_order);
        vm.expectRevert(
            abi.encodeWithSelector(IRepairs.OrderNotOver.selector, _order, Epoch.wrap(uint32(end)), _now())
        );
        market.close(held);
    }

    /// Must hold: the slots handed in must be the order's.
    function testFuzz_onlyItsSlots(uint256 which) external {
        _begin();
        _enter(_stored[_order].end);
        Held memory held = _held(_order);
        which = _within(which, 0, 5);
        if (which == 0) held.leafCount += 1;
        if (which == 1) held.pieceLeaves += 1;
        if (which == 2) held.slots[0].farmer = FarmerId.wrap(2);
        if (which == 3) held.slots[0].root = 0;
        if (which == 4) held.slots[0].from = Epoch.wrap(1);
        if (which == 5) held.slots = new Slot[](0);
        bytes32 given = Reference.slotsHash(held.leafCount, held.pieceLeaves, held.slots);
        bytes32 kept = market.order(_order).slotsHash;
        vm.expectRevert(abi.encodeWithSelector(IOrders.WrongSlots.selector, _order, given, kept));
        market.close(held);
    }
}

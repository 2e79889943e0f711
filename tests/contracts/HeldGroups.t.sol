// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IRepairs} from "../../contracts/interfaces/IRepairs.sol";
import {Epoch, FarmerId, OrderId, Parting, Passing, Rate, Slot} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Reference} from "./support/Reference.sol";

/// @title Orders of which one group of slots is handed in
contract HeldGroupsTest is FarmTest {
    uint256 private constant RATE = 1000;

    FarmerId[] private _farmers;
    FarmerId private _taker;
    OrderId private _order;

    /// @dev An order of so many slots of one leaf, that has begun.
    function _begin(uint256 n) private {
        _farmers = _registerMany(n);
        _taker = _register();
        _order = _store(_farmers, _date(3), 1, RATE);
        _enter(_now() + 1);
    }

    function _hand(FarmerId giver, Passing memory passing) private returns (bool done, bytes memory answer) {
        Parting[] memory partings = new Parting[](1);
        partings[0].end = Epoch.wrap(_stored[_order].end);
        partings[0].passings = new Passing[](1);
        partings[0].passings[0] = passing;
        vm.prank(_operator(giver));
        return address(market).call(abi.encodeCall(market.handOver, (giver, partings)));
    }

    function _assertKept() private view {
        Stored storage stored = _stored[_order];
        bytes32 expected = Reference.slotsHash(stored.leafCount, 1, stored.slots);
        vm.assertEq(market.order(_order).slotsHash, expected, "what the order keeps of its slots");
    }

    /// Must hold: any slot passes on by its group alone, in orders of any size, and the order keeps the new farmer; all are
    /// closed in the end, which takes all slots.
    function testFuzz_anySlotOfAnyOrder(uint8 size, uint8 first, uint8 second) external {
        uint256 n = _within(size, 3, 14);
        _begin(n);
        _assertKept();
        uint256 slot = first % n;
        _prove(_farmers[slot]);
        _handOver(_farmers[slot], 0, _taker);
        _assertKept();
        uint256 other = second % n;
        if (n > 4 && other != slot) {
            _prove(_farmers[other]);
            _handOver(_farmers[other], 0, _register());
            _assertKept();
        }
        _enter(_stored[_order].end);
        _close(_order);
    }

    /// Must hold: a slot that is taken back is in what the order keeps too.
    function testFuzz_takenBack(uint8 size, uint8 which) external {
        uint256 n = _within(size, 1, 9);
        _begin(n);
        FarmerId farmer = _farmers[which % n];
        _prove(farmer);
        _store(farmer, _date(3), 1, RATE);
        _lose(farmer, 0);
        _recover(farmer, 0);
        _assertKept();
    }

    /// Must hold: whatever is not as it is, in the group, in the hashes of others or among the farmers, is no slot of the order.
    function testFuzz_nothingElse(uint8 size, uint8 which, uint8 what, uint8 where) external {
        uint256 n = _within(size, 5, 14);
        _begin(n);
        FarmerId giver = _farmers[which % n];
        _prove(giver);
        Passing memory passing = _passing(giver, 0, _taker);
        _spoil(passing, what % 13, where);
        (bool done, bytes memory answer) = _hand(giver, passing);
        vm.assertTrue(!done, "refused");
        bytes4 reason = bytes4(answer);
        vm.assertTrue(
            reason == IOrders.WrongSlots.selector || reason == IRepairs.NoSuchSlot.selector,
            "as slots of another order"
        );
        (done, ) = _hand(giver, _passing(giver, 0, _taker));
        vm.assertTrue(done, "as it is");
    }

    function _spoil(Passing memory passing, uint256 what, uint256 where) private pure {
        Slot memory slot = passing.held.slots[where % passing.held.slots.length];
        if (what == 0) ++passing.held.leafCount;
        if (what == 1) ++passing.held.pieceLeaves;
        if (what == 2) slot.farmer = FarmerId.wrap(FarmerId.unwrap(slot.farmer) + 1);
        if (what == 3) slot.root = ~slot.root;
        if (what == 4) slot.rate = Rate.wrap(Rate.unwrap(slot.rate) + 1);
        if (what == 5) --slot.maxEgressPricePerGib;
        if (what == 6) slot.from = Epoch.wrap(Epoch.unwrap(slot.from) + 1);
        bytes32[] memory groups = passing.held.groups;
        if (what == 7) groups[where % groups.length] = ~groups[where % groups.length];
        if (what == 8) passing.held.groups = Reference.joined(groups, bytes32(0));
        if (what == 9) passing.held.groups = new bytes32[](0);
        bytes memory farmers = passing.held.farmers;
        if (what == 10) farmers[where % farmers.length] ^= 0x40;
        if (what == 11) passing.held.farmers = bytes.concat(farmers, bytes1(uint8(where)));
        if (what == 12) passing.held.slots = new Slot[](0);
    }

    /// Must hold: an order that was never placed has no slots; one of a group that is not there has none either.
    function test_unknown() external {
        _begin(5);
        _prove(_farmers[0]);
        _prove(_farmers[4]);
        Passing memory passing = _passing(_farmers[0], 0, _taker);
        passing.held.order = OrderId.wrap(bytes32(uint256(1)));
        (bool done, bytes memory answer) = _hand(_farmers[0], passing);
        bytes memory reason = abi.encodeWithSelector(IOrders.UnknownOrder.selector, passing.held.order);
        vm.assertTrue(!done && keccak256(answer) == keccak256(reason), "no order");
        passing = _passing(_farmers[4], 0, _taker);
        passing.held.groups = new bytes32[](0);
        (done, answer) = _hand(_farmers[4], passing);
        reason = abi.encodeWithSelector(IRepairs.NoSuchSlot.selector, 4, 5);
        vm.assertTrue(!done && keccak256(answer) == keccak256(reason), "no such group");
        passing = _passing(_farmers[4], 0, _taker);
        passing.takeover.slot = 5;
        (done, answer) = _hand(_farmers[4], passing);
        reason = abi.encodeWithSelector(IRepairs.NoSuchSlot.selector, 5, 5);
        vm.assertTrue(!done && keccak256(answer) == keccak256(reason), "no such slot");
    }

    /// Must hold: no farmer of the order gets another of its slots, in whichever group they are.
    function testFuzz_noFarmerTwice(uint8 size, uint8 which, uint8 to) external {
        uint256 n = _within(size, 3, 14);
        _begin(n);
        uint256 slot = which % n;
        uint256 other = (slot + 1 + (to % (n - 1))) % n;
        _prove(_farmers[slot]);
        (bool done, bytes memory answer) = _hand(_farmers[slot], _passing(_farmers[slot], 0, _farmers[other]));
        bytes memory reason = abi.encodeWithSelector(IOrders.DuplicateFarmer.selector, slot, _farmers[other]);
        vm.assertTrue(!done && keccak256(answer) == keccak256(reason), "it has one");
    }
}

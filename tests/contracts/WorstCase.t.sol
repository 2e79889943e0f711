// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Acceptance,
    Epoch,
    FarmerId,
    Held,
    MandateTerms,
    OrderId,
    Parameters,
    Rate,
    Takeover,
    Terms
} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {Crowd} from "./support/Crowd.sol";

/// @title No call exceeds 15 million gas, whatever farmers were found to have done or left undone
/// @dev Each call is a transaction of its own. What it is made of is made in advance, with nothing settled that could be left.
contract WorstCaseTest is Crowd {
    uint256 private constant LIMIT = 15_000_000;
    uint256 private constant EVICT_LIMIT = 150_000;
    uint256 private constant DELEGATE_LIMIT = 100_000;
    uint256 private constant BY_MANDATE_LIMIT = 15_000;
    uint256 private constant SLOTS = 80;
    uint256 private constant FULL_BOOK = (1 << 17) - 1;
    address private constant STRANGER = address(0x57A46E4);

    /// @dev The largest parameters by what a call about an order goes through, with the shortest grid.
    function _largest() private view returns (Parameters memory p) {
        p = _parameters(address(token));
        p.gridEpochs = 6;
        p.maxBooks = 14;
        p.samples = 16;
        p.maxMisses = 6;
        p.penalty = 16;
        p.fine = 16;
        p.collateralEpochs = 2 * 6 * 32;
    }

    function _assertBounded(string memory what, address sender, bytes memory data) private {
        uint256 gas = _gasOf(sender, address(market), data);
        _note(what, gas);
        vm.assertLe(gas, LIMIT, what);
    }

    /// @dev The same with the longest term.
    function _longest() private view returns (Parameters memory p) {
        p = _largest();
        p.gridEpochs = 292;
    }

    /// @dev Farmers that must be settled, each with a book that is not used yet or one in which all peaks are joined next.
    function _farmers(Parameters memory p, bool full, bool extension) private returns (FarmerId[] memory farmers) {
        _openMarket(p);
        farmers = _crowd(SLOTS);
        _burden(farmers);
        if (!full) return farmers;
        Epoch end = Epoch.wrap(uint32(_freeDate()));
        for (uint256 i = 0; i < SLOTS; ++i) open.grow(farmers[i], end, extension, FULL_BOOK);
    }

    function _place(Parameters memory p, bool full, string memory what) private {
        FarmerId[] memory farmers = _farmers(p, full, false);
        uint256 end = _freeDate();
        _enter(_now() + p.maxMisses - 1);
        (Terms memory terms, Acceptance[] memory acceptances) = _signed(farmers, end, OrderId.wrap(0));
        _assertBounded(what, renter, abi.encodeCall(market.place, (terms, acceptances)));
    }

    /// Must hold: to place, with farmers that all have misses to record, in new books.
    /// hardhat-config: isolate = true
    function test_placeInNewBooks() external {
        _place(_parameters(address(token)), false, "place in new books");
    }

    /// Must hold: the same in books of 131,071 slots.
    /// hardhat-config: isolate = true
    function test_placeInFullBooks() external {
        _place(_parameters(address(token)), true, "place in full books");
    }

    /// Must hold: the same with the largest parameters.
    /// hardhat-config: isolate = true
    function test_placeAtTheLimits() external {
        _place(_largest(), true, "place at the limits");
    }

    function _extend(Parameters memory p, string memory what) private {
        FarmerId[] memory farmers = _farmers(p, true, true);
        uint256 end = _freeDate();
        FarmerId[] memory before = _crowd(SLOTS);
        _enter(_now() + p.maxMisses - 2);
        OrderId previous = _placed(before, _dateAfter(_now() + 1));
        Held memory held = _heldBy(previous, before, _now() + 1);
        _enter(_now() + 1);
        (Terms memory terms, Acceptance[] memory acceptances) = _signed(farmers, end, previous);
        _assertBounded(what, renter, abi.encodeCall(market.extend, (held, terms, acceptances)));
    }

    /// Must hold: to extend, with other farmers, that all have misses to record.
    /// hardhat-config: isolate = true
    function test_extend() external {
        _extend(_parameters(address(token)), "extend");
    }

    /// Must hold: the same with the largest parameters.
    /// hardhat-config: isolate = true
    function test_extendAtTheLimits() external {
        _extend(_largest(), "extend at the limits");
    }

    /// @dev What it costs to extend an order of farmers that have nothing yet.
    function _extendedBy(address who) private returns (uint256 gas) {
        FarmerId[] memory farmers = _crowd(SLOTS);
        OrderId previous = _placed(farmers, _dateAfter(_now() + 1));
        Held memory held = _heldBy(previous, farmers, _now() + 1);
        placer = who;
        (Terms memory terms, Acceptance[] memory acceptances) = _signed(farmers, _dateAhead(3), previous);
        gas = _gasOf(who, address(market), abi.encodeCall(market.extend, (held, terms, acceptances)));
        placer = address(0);
    }

    /// Must hold: what a delegate adds to an extension is so little that the worst one is bounded with it too.
    /// hardhat-config: isolate = true
    function test_extendByADelegate() external {
        _openMarket(_parameters(address(token)));
        address delegate = vm.addr(0xDE1E);
        vm.prank(renter);
        market.authorize(delegate, type(uint96).max, type(uint96).max, Epoch.wrap(type(uint32).max));
        vm.assertLe(_extendedBy(delegate), _extendedBy(renter) + DELEGATE_LIMIT, "by a delegate");
    }

    /// @dev An order, and farmers that can go on with it until `end`, in books in which all peaks are joined next. For each
    /// it is looked up whether it has given up its slot.
    function _lasting(Parameters memory p) private returns (FarmerId[] memory farmers, Held memory held, uint256 end) {
        _openMarket(p);
        farmers = _crowd(SLOTS);
        uint256 last = _now() + p.maxMisses;
        uint256 from = _now() + 1;
        uint256 begins = _dateAfter(last);
        held = _heldBy(_placed(farmers, begins), farmers, from);
        _burden(farmers);
        end = begins + 4 * uint256(p.gridEpochs);
        for (uint256 i = 0; i < SLOTS; ++i) open.grow(farmers[i], Epoch.wrap(uint32(end)), true, FULL_BOOK);
        _cover(held.order, end - begins);
        _enter(last);
    }

    function _keepOn(Parameters memory p, string memory what) private {
        (FarmerId[] memory farmers, Held memory held, uint256 end) = _lasting(p);
        (Terms memory terms, Acceptance[] memory acceptances) = _signed(farmers, end, held.order);
        _assertBounded(what, renter, abi.encodeCall(market.extend, (held, terms, acceptances)));
    }

    /// Must hold: to extend with the same farmers, that all have misses to record and gave other slots up.
    /// hardhat-config: isolate = true
    function test_extendWithTheSame() external {
        _keepOn(_parameters(address(token)), "extend, same farmers");
    }

    /// Must hold: the same with the largest parameters.
    /// hardhat-config: isolate = true
    function test_extendWithTheSameAtTheLimits() external {
        _keepOn(_largest(), "extend at the limits, same farmers");
    }

    function _extendByMandate(Parameters memory p, string memory what) private {
        (FarmerId[] memory farmers, Held memory held, uint256 end) = _lasting(p);
        Acceptance[] memory acceptances = _signedFor(held.order, farmers, end);
        _assertBounded(what, STRANGER, abi.encodeCall(market.extendByMandate, (held, acceptances, STRANGER)));
    }

    function _cover(OrderId order, uint256 epochs) private {
        OrderId[] memory orders = new OrderId[](1);
        orders[0] = order;
        MandateTerms memory terms = MandateTerms({
            highestPrice: type(uint80).max,
            highestEgressPrice: type(uint80).max,
            fee: 1,
            until: Epoch.wrap(uint32(1000 * uint256(params.gridEpochs))),
            termEpochs: uint32(epochs),
            total: type(uint128).max
        });
        vm.prank(renter);
        market.giveMandate(1, terms, orders, new uint16[](0));
    }

    function _signedFor(
        OrderId previous,
        FarmerId[] memory farmers,
        uint256 end
    ) private view returns (Acceptance[] memory acceptances) {
        acceptances = new Acceptance[](farmers.length);
        Consent memory consent;
        consent.order = market.extensionId(previous, Epoch.wrap(uint32(end)));
        consent.leafCount = 1;
        consent.rate = Rate.wrap(uint80(RATE));
        consent.end = Epoch.wrap(uint32(end));
        consent.deadlineBlock = uint64(block.number + 100);
        consent.previous = OrderId.unwrap(previous);
        consent.repairer = STRANGER;
        for (uint256 i = 0; i < farmers.length; ++i) {
            (consent.farmer, consent.slot, consent.root) = (farmers[i], i, _root(i));
            bytes32 digest = _acceptanceDigest(address(market), block.chainid, consent);
            (bytes32 r, bytes32 vs) = _signCompact(_operatorKey(farmers[i]), digest);
            acceptances[i] = Acceptance(farmers[i], _root(i), consent.rate, 0, consent.deadlineBlock, r, vs);
        }
    }

    /// Must hold: to extend by mandate, with farmers that all have misses to record.
    /// hardhat-config: isolate = true
    function test_extendByMandate() external {
        _extendByMandate(_parameters(address(token)), "extendByMandate");
    }

    /// Must hold: the same with the largest parameters.
    /// hardhat-config: isolate = true
    function test_extendByMandateAtTheLimits() external {
        _extendByMandate(_largest(), "extendByMandate at the limits");
    }

    /// Must hold: for one that has earned before it costs little more than to extend does. The first earnings are a new word.
    /// hardhat-config: isolate = true
    function test_extendByMandateAgain() external {
        (FarmerId[] memory farmers, Held memory held, uint256 end) = _lasting(_parameters(address(token)));
        uint256 key = 0x5EED;
        FarmerId own = market.register(
            STRANGER,
            vm.addr(key),
            "http://farmer",
            _offer(),
            1e24,
            _consentTo(key, STRANGER, FarmerId.wrap(0))
        );
        vm.prank(STRANGER);
        market.unstake(own, 1);
        uint256 before = vm.snapshotState();
        (Terms memory terms, Acceptance[] memory acceptances) = _signed(farmers, end, held.order);
        uint256 extend = _gasOf(renter, address(market), abi.encodeCall(market.extend, (held, terms, acceptances)));
        vm.revertToState(before);
        acceptances = _signedFor(held.order, farmers, end);
        bytes memory data = abi.encodeCall(market.extendByMandate, (held, acceptances, STRANGER));
        uint256 gas = _gasOf(STRANGER, address(market), data);
        _note("extendByMandate, by one that has earned", gas);
        vm.assertLe(gas, extend + BY_MANDATE_LIMIT, "gas");
    }

    /// @dev An order whose farmers lapse after so many dates, and are found to have only now.
    function _abandoned(Parameters memory p, uint256 past) private returns (Held memory held, uint256 end) {
        _openMarket(p);
        uint256 last = _now();
        _enter(last - past * p.gridEpochs);
        FarmerId[] memory farmers = _crowd(SLOTS);
        end = _dateAhead(p.maxBooks);
        held = _heldBy(_placed(farmers, end), farmers, _now() + 1);
        for (uint256 i = 0; i < SLOTS; ++i) open.pass(farmers[i], Epoch.wrap(uint32(last - 1)));
        _enter(last);
        _burden(farmers);
        _enter(_now() + p.maxMisses);
    }

    function _close(Parameters memory p, uint256 past, string memory what) private {
        (Held memory held, uint256 end) = _abandoned(p, past);
        _enter(end + 4096);
        _assertBounded(what, STRANGER, abi.encodeCall(market.close, (held)));
    }

    /// Must hold: to close long after, when every farmer must be settled, which makes it lapse, and evicted.
    /// hardhat-config: isolate = true
    function test_close() external {
        _close(_parameters(address(token)), 0, "close");
    }

    /// Must hold: the same with the largest parameters.
    /// hardhat-config: isolate = true
    function test_closeAtTheLimits() external {
        _close(_largest(), 0, "close at the limits");
    }

    /// Must hold: the same after the longest term.
    /// hardhat-config: isolate = true
    function test_closeAfterTheLongestTerm() external {
        _close(_longest(), 12, "close after the longest term");
    }

    function _refill(Parameters memory p, uint256 count, bool settled, string memory what) private {
        (Held memory held, uint256 end) = _abandoned(p, 0);
        if (settled) for (uint256 i = 0; i < SLOTS; ++i) market.evict(held.slots[i].farmer);
        FarmerId[] memory takers = _crowd(count);
        _burden(takers);
        for (uint256 i = 0; i < count; ++i) open.grow(takers[i], Epoch.wrap(uint32(end)), false, FULL_BOOK);
        _enter(_now() + p.maxMisses - 2);
        Takeover[] memory takeovers = _takeovers(held, end, takers, STRANGER);
        _assertBounded(what, STRANGER, abi.encodeCall(market.refill, (held, STRANGER, takeovers)));
    }

    /// Must hold: to refill forty slots at once, when every farmer must be settled and evicted, and every new one has misses
    /// to record and a full book. How many it refills is the caller's choice.
    /// hardhat-config: isolate = true
    function test_refillForty() external {
        _refill(_parameters(address(token)), 40, false, "refill of 40, farmers not evicted");
    }

    /// Must hold: the same with the largest parameters.
    /// hardhat-config: isolate = true
    function test_refillFortyAtTheLimits() external {
        _refill(_largest(), 40, false, "refill of 40 at the limits, farmers not evicted");
    }

    /// Must hold: to refill all slots at once when their farmers are evicted, whatever the new ones are.
    /// hardhat-config: isolate = true
    function test_refillAll() external {
        _refill(_parameters(address(token)), SLOTS, true, "refill of all, farmers evicted");
    }

    /// Must hold: to prove with the most samples, when only a 32nd of what is drawn is not lost, each lost slot is another,
    /// and slots are as large as can be.
    /// hardhat-config: isolate = true
    function test_prove() external {
        _openMarket(_largest());
        FarmerId farmer = _crowd(1)[0];
        _mostlyLost(farmer);
        _enter(_now() + params.maxMisses - 1);
        (bytes32[] memory words, uint256 lost) = _sparseProof(farmer);
        uint256 gas = _gasOf(
            STRANGER,
            address(market),
            abi.encodeCall(market.prove, (farmer, market.currentEpoch(), words))
        );
        // What is lost takes a word of storage, which is cold here only where it is read first.
        if (lost > LOST) gas += (lost - LOST) * 2000;
        _note("prove at the limits, most lost", gas);
        vm.assertLe(gas, LIMIT, "prove");
    }

    /// Must hold: to declare a hundred slots lost at once, when there are misses to record.
    /// hardhat-config: isolate = true
    function test_declareHundred() external {
        _openMarket(_largest());
        FarmerId farmer = _crowd(1)[0];
        Epoch end = _manyKept(farmer);
        _enter(_now() + params.maxMisses - 1);
        bytes memory data = abi.encodeCall(market.declareLoss, (farmer, end, false, _lossOf(0, 100)));
        _assertBounded("declareLoss at the limits, 100 slots", _operator(farmer), data);
    }

    /// @dev A farmer with all that makes settling it dear, long after it left.
    function _gone(Parameters memory p) private returns (FarmerId farmer) {
        _openMarket(p);
        FarmerId[] memory one = _crowd(1);
        _burden(one);
        _enter(_now() + 5000);
        return one[0];
    }

    /// Must hold: to settle one farmer after the longest absence.
    /// hardhat-config: isolate = true
    function test_settle() external {
        FarmerId farmer = _gone(_parameters(address(token)));
        _assertBounded("settle, after a long absence", STRANGER, abi.encodeCall(market.settle, (farmer)));
    }

    /// Must hold: to evict it then costs at most what evicting may.
    /// hardhat-config: isolate = true
    function test_evictSettled() external {
        FarmerId farmer = _gone(_parameters(address(token)));
        market.settle(farmer);
        uint256 gas = _gasOf(STRANGER, address(market), abi.encodeCall(market.evict, (farmer)));
        _note("evict, settled before", gas);
        vm.assertLe(gas, EVICT_LIMIT, "gas");
    }

    /// Must hold: to settle and evict one farmer after the longest absence.
    /// hardhat-config: isolate = true
    function test_evict() external {
        FarmerId farmer = _gone(_parameters(address(token)));
        _assertBounded("evict, after a long absence", STRANGER, abi.encodeCall(market.evict, (farmer)));
    }

    /// Must hold: the same with the largest parameters.
    /// hardhat-config: isolate = true
    function test_evictAtTheLimits() external {
        FarmerId farmer = _gone(_largest());
        _assertBounded("evict at the limits, after a long absence", STRANGER, abi.encodeCall(market.evict, (farmer)));
    }
}

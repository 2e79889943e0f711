// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Entry,
    Epoch,
    FarmerId,
    Held,
    HeldGroup,
    OrderId,
    Parameters,
    Parting,
    Passing,
    Rate,
    Slot
} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {Crowd} from "./support/Crowd.sol";
import {Reference} from "./support/Reference.sol";

/// @title No call by which slots pass on exceeds 15 million gas, whatever farmers were found to have done or left undone
/// @dev With the largest parameters and orders of the most slots, each call a transaction of its own.
contract WorstPassageTest is Crowd {
    uint256 private constant LIMIT = 15_000_000;
    uint256 private constant SLOTS = 80;
    /// @dev As many as a farm hands over in one call.
    uint256 private constant PASSED = 24;
    uint256 private constant FULL_BOOK = (1 << 17) - 1;
    address private constant STRANGER = address(0x57A46E4);

    OrderId[] private _orders;
    bytes32[] private _book;
    FarmerId[] private _farmers;
    uint256 private _begun;

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

    /// @dev A farmer, the first, with orders of the most slots in one of its books, and in all others too. It has proven.
    function _keeping(uint256 count) private returns (FarmerId giver, uint256 end) {
        _openMarket(_largest());
        _farmers = _crowd(SLOTS);
        giver = _farmers[0];
        _burden(_only(giver));
        end = _freeDate();
        _begun = _now() + 1;
        for (uint256 i = 0; i < count; ++i) {
            OrderId order = _placed(_farmers, end);
            _orders.push(order);
            Entry memory entry = Entry({
                order: order,
                slot: 0,
                root: _root(0),
                leafCount: 1,
                from: Epoch.wrap(uint32(_begun)),
                first: uint80(i * RATE),
                rate: Rate.wrap(uint80(RATE))
            });
            _book.push(keccak256(abi.encode(entry)));
        }
        _enter(_begun);
    }

    function _only(FarmerId farmer) private pure returns (FarmerId[] memory one) {
        one = new FarmerId[](1);
        one[0] = farmer;
    }

    function _group(OrderId order) private view returns (HeldGroup memory) {
        Held memory held = _heldBy(order, _farmers, _begun);
        return Reference.heldGroup(order, 1, 1, held.slots, 0);
    }

    function _passingOf(uint256 nth, uint256 end, FarmerId taker) private view returns (Passing memory passing) {
        passing.held = _group(_orders[nth]);
        passing.index = uint32(nth);
        passing.first = uint80(nth * RATE);
        passing.path = Reference.mountainPath(_book, nth);
        passing.takeover.farmer = taker;
        passing.takeover.deadlineBlock = uint64(block.number + 100);
        Slot memory slot = passing.held.slots[0];
        Consent memory consent = Consent({
            order: _orders[nth],
            farmer: taker,
            slot: 0,
            root: slot.root,
            leafCount: 1,
            rate: slot.rate,
            maxEgressPricePerGib: slot.maxEgressPricePerGib,
            end: Epoch.wrap(uint32(end)),
            deadlineBlock: passing.takeover.deadlineBlock,
            previous: bytes32(_begun),
            repairer: address(uint160(FarmerId.unwrap(_farmers[0])))
        });
        bytes32 message = keccak256(abi.encode(HAND_OVER_TYPEHASH, consent));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", _domain(address(market), block.chainid), message));
        (passing.takeover.r, passing.takeover.vs) = _signCompact(_operatorKey(taker), digest);
    }

    /// Must hold: to hand over as many slots as a farm does at once, from within a book, each to another farmer that must be swept
    /// and has a book in which all peaks are joined next, by an operator within a limit.
    /// hardhat-config: isolate = true
    function test_handOver() external {
        (FarmerId giver, uint256 end) = _keeping(PASSED + 1);
        FarmerId[] memory takers = _crowd(PASSED);
        _burden(takers);
        for (uint256 i = 0; i < PASSED; ++i) open.grow(takers[i], Epoch.wrap(uint32(end)), false, FULL_BOOK);
        _enter(_dateAfter(_now()));
        // Neither has missed anything: one that had would have strikes.
        for (uint256 i = 0; i < PASSED; ++i) open.pass(takers[i], Epoch.wrap(uint32(_now() - 1)));
        open.pass(giver, Epoch.wrap(uint32(_now())));
        vm.prank(_ownerOf(giver));
        market.setLimits(giver, type(uint80).max, type(uint80).max - 1);
        Parting[] memory partings = new Parting[](1);
        partings[0].end = Epoch.wrap(uint32(end));
        partings[0].passings = new Passing[](PASSED);
        for (uint256 i = 0; i < PASSED; ++i) partings[0].passings[i] = _passingOf(i + 1, end, takers[i]);
        bytes memory data = abi.encodeCall(market.handOver, (giver, partings));
        _assertBounded("handOver at the limits, 24 slots", _operator(giver), data);
    }

    /// Must hold: to release what is bound, when the taker must be settled long after it lapsed.
    /// hardhat-config: isolate = true
    function test_release() external {
        (FarmerId giver, uint256 end) = _keeping(2);
        FarmerId taker = _crowd(1)[0];
        open.pass(giver, Epoch.wrap(uint32(_now())));
        Epoch epoch = market.currentEpoch();
        Parting[] memory partings = new Parting[](1);
        partings[0].end = Epoch.wrap(uint32(end));
        partings[0].passings = new Passing[](1);
        partings[0].passings[0] = _passingOf(1, end, taker);
        vm.prank(_operator(giver));
        market.handOver(giver, partings);
        _burden(_only(taker));
        open.pass(taker, epoch);
        _enter(_now() + 5000);
        bytes memory data = abi.encodeCall(market.release, (giver, taker, epoch));
        _assertBounded("release at the limits, after a long absence", STRANGER, data);
    }

    /// Must hold: to take a slot back, when the farmer must be settled and its book is one in which all peaks are joined next.
    /// hardhat-config: isolate = true
    function test_recover() external {
        (FarmerId farmer, uint256 end) = _keeping(2);
        bytes32[] memory path = Reference.mountainPath(_book, 1);
        bytes32[] memory words = new bytes32[](4 + path.length);
        words[0] = OrderId.unwrap(_orders[1]);
        words[1] = bytes32((1 << 8) | (_begun << 40) | (1 << 72));
        words[2] = bytes32((RATE << 128) | RATE);
        words[3] = _root(0);
        for (uint256 i = 0; i < path.length; ++i) words[4 + i] = path[i];
        vm.prank(_operator(farmer));
        market.declareLoss(farmer, Epoch.wrap(uint32(end)), false, words);
        open.grow(farmer, Epoch.wrap(uint32(end)), false, FULL_BOOK);
        _enter(_now() + 1);
        bytes memory data = abi.encodeCall(market.recover, (farmer, _group(_orders[1]), 0));
        _assertBounded("recover at the limits", _operator(farmer), data);
    }
}

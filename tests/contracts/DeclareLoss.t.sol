// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IBooks} from "../../contracts/interfaces/IBooks.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {ILosses} from "../../contracts/interfaces/ILosses.sol";
import {Acceptance, BookView, Epoch, FarmerId, LossView, OrderId, Terms} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title Slots that their farmer gives up
contract DeclareLossTest is FarmTest {
    FarmerId private _farmer;

    /// @dev Four slots of rates in proportion 1 : 2 : 3 : 4, in their first epoch.
    function _begin(uint256 stake) private {
        _farmer = _register(stake);
        for (uint256 i = 1; i <= 4; ++i) _store(_farmer, _date(3), 3, i * 1000);
        _enter(_now() + 1);
    }

    /// Must hold: a lost slot leaves its collateral, and is no longer asked for from the next epoch on.
    function testFuzz_theCollateralIsForfeit(uint256 nth) external {
        nth = _within(nth, 0, 3);
        _begin(STAKE);
        uint256 rate = _kept[_farmer][nth].rate;
        _lose(_farmer, nth);
        vm.assertEq(market.farmer(_farmer).stake, STAKE - COLLATERAL_EPOCHS * rate, "stake");
        vm.assertEq(market.farmer(_farmer).committedRate, 10_000 - rate, "committed");
        Kept memory kept = _kept[_farmer][nth];
        LossView memory shown = market.loss(kept.order, kept.slot, Epoch.wrap(kept.from));
        vm.assertEq(shown.collateral, COLLATERAL_EPOCHS * rate, "collateral");
        vm.assertEq(market.rateAt(_farmer, Epoch.wrap(uint32(_now()))), 10_000, "asked for in this epoch");
        vm.assertEq(market.rateAt(_farmer, Epoch.wrap(uint32(_now() + 1))), 10_000 - rate, "not in the next");
    }

    /// Must hold: the rest goes on: epochs are proven with the lost slot passed over, and paid without it.
    function testFuzz_theRestIsProven(uint256 nth, uint256 other) external {
        nth = _within(nth, 0, 3);
        other = _within(other, 0, 3);
        _begin(STAKE);
        _prove(_farmer);
        _lose(_farmer, nth);
        if (other != nth) _lose(_farmer, other);
        uint256 lost = _kept[_farmer][nth].rate + (other == nth ? 0 : _kept[_farmer][other].rate);
        for (uint256 i = 0; i < 3; ++i) {
            _enter(_now() + 1);
            uint256 before = market.earnings(_ownerOf(_farmer));
            _prove(_farmer);
            vm.assertEq(market.earnings(_ownerOf(_farmer)) - before, 10_000 - lost, "pay");
        }
    }

    /// Must hold: with all lost there is nothing to prove, and no epoch is missed.
    function test_allLost() external {
        _begin(STAKE);
        _prove(_farmer);
        for (uint256 i = 0; i < 3; ++i) {
            if (i < 3) _lose(_farmer, i);
        }
        _lose(_farmer, 3);
        _enter(_now() + 1);
        Epoch current = market.currentEpoch();
        bytes32[] memory words = new bytes32[](0);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NothingToProve.selector, _farmer, current));
        market.prove(_farmer, current, words);
        _enter(_now() + 30);
        market.settle(_farmer);
        vm.assertEq(_misses(_farmer), 0, "misses");
        vm.assertEq(market.farmer(_farmer).committedRate, 0, "committed");
    }

    /// Must hold: a loss does not count in the epoch in which it is declared, when the seed may be known: a lost slot
    /// that is drawn cannot be passed over.
    function test_aLossDoesNotAnswerTheAuditItFollows() external {
        _begin(STAKE);
        market.recordSeed();
        Drawn memory drawn = _drawn(_farmer, _now(), 0);
        uint256 nth = 0;
        while (OrderId.unwrap(_kept[_farmer][nth].order) != OrderId.unwrap(drawn.kept.order)) ++nth;
        _lose(_farmer, nth);
        bytes32[] memory words = new bytes32[](1);
        words[0] = _tenureOf(drawn.kept);
        Epoch current = market.currentEpoch();
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotLost.selector, 0, words[0]));
        market.prove(_farmer, current, words);
    }

    /// Must hold: leaves of a slot that was lost do not count, even if the farmer has them.
    function test_leavesOfALostSlotDoNotCount() external {
        _begin(STAKE);
        _prove(_farmer);
        _lose(_farmer, 3);
        uint256 number = 0;
        bytes32 tenure = _tenureOf(_kept[_farmer][3]);
        Drawn memory drawn;
        // Somewhere soon the first position lies in the lost slot.
        for (; ; ++number) {
            _enter(_now() + 1);
            market.recordSeed();
            drawn = _drawn(_farmer, _now(), 0);
            if (_tenureOf(drawn.kept) == tenure) break;
            _prove(_farmer);
        }
        bytes32[] memory words = _sampleWords(_farmer, drawn);
        Epoch current = market.currentEpoch();
        vm.expectRevert(abi.encodeWithSelector(IAudits.SlotLost.selector, 0, tenure));
        market.prove(_farmer, current, words);
    }

    /// Must hold: what stays of the stake covers the rest as well as before.
    function testFuzz_theRestIsCoveredAsBefore(uint256 stake, uint256 misses, uint256 nth) external {
        stake = _within(stake, 10_000 * COLLATERAL_EPOCHS, 20_000 * COLLATERAL_EPOCHS);
        misses = _within(misses, 0, MAX_MISSES - 1);
        nth = _within(nth, 0, 3);
        _begin(stake);
        _enter(_now() + misses);
        uint256 before = market.farmer(_farmer).stake;
        _lose(_farmer, nth);
        uint256 rate = _kept[_farmer][nth].rate;
        uint256 rest = market.farmer(_farmer).stake;
        vm.assertTrue(rest * 10_000 >= before * (10_000 - rate), "in proportion");
        vm.assertEq((before - rest) % rate, 0, "whole epochs of pay");
    }

    /// Must hold: twice is once too often.
    function test_notTwice() external {
        _begin(STAKE);
        _lose(_farmer, 1);
        Kept memory kept = _kept[_farmer][1];
        bytes32[] memory words = _lossWords(_farmer, 1);
        vm.prank(_operator(_farmer));
        vm.expectRevert(abi.encodeWithSelector(ILosses.AlreadyLost.selector, kept.order, kept.slot));
        market.declareLoss(_farmer, Epoch.wrap(kept.end), false, words);
    }

    /// Must hold: not when nothing is left either.
    function test_notTwiceWhenAllIsLost() external {
        _begin(STAKE);
        for (uint256 i = 0; i < 4; ++i) _lose(_farmer, i);
        Kept memory kept = _kept[_farmer][1];
        bytes32[] memory words = _lossWords(_farmer, 1);
        vm.prank(_operator(_farmer));
        vm.expectRevert(abi.encodeWithSelector(ILosses.AlreadyLost.selector, kept.order, kept.slot));
        market.declareLoss(_farmer, Epoch.wrap(kept.end), false, words);
    }

    /// Must hold: a book that takes the place of one from which something was lost begins with nothing lost.
    function test_aNewBookHasNothingLost() external {
        _begin(STAKE);
        uint256 end = _kept[_farmer][0].end;
        _proveUntil(_farmer, end - 2);
        _lose(_farmer, 3);
        _proveUntil(_farmer, end);
        // The date that has the same place in the ring, with less in it than was lost of the old.
        _enter(_date(1));
        end += MAX_BOOKS * GRID_EPOCHS;
        _store(_farmer, end, 2, 500);
        _enter(_now() + 1);
        vm.assertEq(market.book(_farmer, Epoch.wrap(uint32(end)), false).lostAdded, 0, "lost");
        vm.assertEq(market.rateAt(_farmer, market.currentEpoch()), 500, "asked");
        _proveUntil(_farmer, end);
        _enter(end + 1);
        market.settle(_farmer);
        vm.assertEq(market.farmer(_farmer).committedRate, 0, "committed in the end");
    }

    /// Must hold: the rates of a book, with what was lost of it, fit in what is kept of them.
    function test_ratesWithTheLostOnesFit() external {
        uint256 half = 1 << 79;
        _farmer = _register(64 * half);
        _store(_farmer, _date(3), 2, half);
        _store(_farmer, _date(3), 2, half - 1);
        _enter(_now() + 1);
        _prove(_farmer);
        _lose(_farmer, 0);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(_farmer), _date(3), 2, half);
        _deposit(half * 100);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IBooks.RateTooLarge.selector, _farmer, 3 * half - 1, type(uint80).max));
        market.place(terms, acceptances);
    }

    /// Must hold: a slot is not taken on where most of what positions are drawn from would be lost.
    function test_addedToABookMostlyLost() external {
        _farmer = _register();
        _store(_farmer, _date(3), 3, 1000);
        _store(_farmer, _date(3), 3, 31_000);
        _enter(_now() + 1);
        _lose(_farmer, 1);
        _lose(_farmer, 0);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(_farmer), _date(3), 3, 999);
        _deposit(1e9);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IBooks.BookMostlyLost.selector, _farmer, 31_999, 31_000));
        market.place(terms, acceptances);
    }

    /// Must hold: just the share that has to be alive is enough.
    function test_allButEnough() external {
        _farmer = _register();
        _store(_farmer, _date(3), 3, 1000);
        _store(_farmer, _date(3), 3, 31_000);
        _enter(_now() + 1);
        _lose(_farmer, 1);
        _enter(_now() + 1);
        vm.assertEq(market.rateAt(_farmer, market.currentEpoch()), 1000, "asked");
    }

    /// Must hold: only owner and operator declare losses.
    function testFuzz_notByStrangers(address caller) external {
        _begin(STAKE);
        vm.assume(caller != _ownerOf(_farmer) && caller != _operator(_farmer));
        bytes32[] memory words = _lossWords(_farmer, 1);
        Epoch end = Epoch.wrap(_kept[_farmer][1].end);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.NotOwnerOrOperator.selector, _farmer, caller));
        market.declareLoss(_farmer, end, false, words);
    }

    /// Must hold: a slot that begins later cannot be lost yet.
    function test_notBeforeItBegins() external {
        _farmer = _register();
        _store(_farmer, _date(3), 3, 1000);
        Kept memory kept = _kept[_farmer][0];
        bytes32[] memory words = _lossWords(_farmer, 0);
        vm.prank(_operator(_farmer));
        vm.expectRevert(
            abi.encodeWithSelector(ILosses.SlotNotBegun.selector, kept.order, kept.slot, Epoch.wrap(kept.from))
        );
        market.declareLoss(_farmer, Epoch.wrap(kept.end), false, words);
    }

    /// Must hold: the book must be there, and live.
    function testFuzz_onlyFromALiveBook(uint32 end, bool extension) external {
        _begin(STAKE);
        vm.assume(extension || end != _kept[_farmer][0].end);
        bytes32[] memory words = _lossWords(_farmer, 0);
        vm.prank(_operator(_farmer));
        vm.expectRevert(abi.encodeWithSelector(ILosses.NoSuchBook.selector, _farmer, Epoch.wrap(end), extension));
        market.declareLoss(_farmer, Epoch.wrap(end), extension, words);
    }

    /// Must hold: any flipped bit of the words is noticed.
    function testFuzz_aFlippedBitIsNoticed(uint256 word, uint256 bit) external {
        _begin(STAKE);
        bytes32[] memory words = _lossWords(_farmer, 2);
        word = _within(word, 0, words.length - 1);
        // Only the numbers' lowest 104 bits, and the range's 80 of each half, are read.
        uint256 range =
            word == 1
                ? 104
                : word == 2
                    ? 80
                    : 256;
        words[word] ^= bytes32(1 << _within(bit, 0, range - 1));
        Epoch end = Epoch.wrap(_kept[_farmer][2].end);
        vm.prank(_operator(_farmer));
        (bool done, ) = address(market).call(abi.encodeCall(market.declareLoss, (_farmer, end, false, words)));
        vm.assertTrue(!done, "refused");
    }

    /// Must hold: words are needed.
    function test_noWords() external {
        _begin(STAKE);
        Epoch end = Epoch.wrap(_kept[_farmer][0].end);
        bytes32[] memory words = new bytes32[](0);
        vm.prank(_operator(_farmer));
        vm.expectRevert(abi.encodeWithSelector(ILosses.NoLoss.selector));
        market.declareLoss(_farmer, end, false, words);
    }

    /// Must hold: so much of a book cannot be lost that what is left is hardly ever drawn, short of all.
    function test_notAllButALittle() external {
        _farmer = _register();
        _store(_farmer, _date(3), 3, 1000);
        _store(_farmer, _date(3), 3, 31_001);
        _enter(_now() + 1);
        bytes32[] memory words = _lossWords(_farmer, 1);
        Epoch end = Epoch.wrap(_kept[_farmer][0].end);
        vm.prank(_operator(_farmer));
        vm.expectRevert(abi.encodeWithSelector(IBooks.BookMostlyLost.selector, _farmer, 32_001, 31_001));
        market.declareLoss(_farmer, end, false, words);
    }

    /// Must hold: if the epoch of the loss is missed, the lost slot's collateral pays its penalty, the stake only for the
    /// others.
    function test_aMissOfTheSameEpoch() external {
        _begin(STAKE);
        Kept memory kept = _kept[_farmer][3];
        _lose(_farmer, 3);
        uint256 stake = market.farmer(_farmer).stake;
        _enter(_now() + 1);
        market.settle(_farmer);
        vm.assertEq(market.farmer(_farmer).stake, stake - (PENALTY + FINE) * (10_000 - kept.rate), "stake");
        _proveUntil(_farmer, kept.end - 1);
        _enter(kept.end);
        uint256 before = market.vault(renter);
        _close(kept.order);
        uint256 vacant = kept.end - kept.from - 1;
        vm.assertEq(
            market.vault(renter) - before,
            kept.rate * (1 + PENALTY + vacant + COLLATERAL_EPOCHS - PENALTY - FINE),
            "the miss, the vacant epochs and what is left of the collateral"
        );
    }

    /// Must hold: the epoch in which everything was given up is missed, and none after it, however often it is settled.
    function test_givenUpIsMissedOnce() external {
        FarmerId farmer = _register();
        _store(farmer, _date(4), 3, 1000);
        _enter(_now() + 1);
        _lose(farmer, 0);
        for (uint256 i = 0; i < 3; ++i) {
            _enter(_now() + 1);
            market.settle(farmer);
            vm.assertEq(_misses(farmer), 1, "once");
        }
        vm.assertEq(market.farmer(farmer).lapsed ? 1 : 0, 0, "not for epochs without anything to prove");
    }

    /// Must hold: a book shows what was lost in it and when, and nothing once its date has come.
    function test_aBookIsShown() external {
        FarmerId farmer = _register();
        Epoch end = Epoch.wrap(uint32(_date(1)));
        _store(farmer, Epoch.unwrap(end), 3, 1000);
        _store(farmer, Epoch.unwrap(end), 3, 10);
        _enter(_now() + 1);
        _prove(farmer);
        _lose(farmer, 1);
        BookView memory shown = market.book(farmer, end, false);
        vm.assertEq(shown.lostBefore, 0, "before");
        vm.assertEq(shown.lostAdded, 10, "in this epoch");
        vm.assertEq(Epoch.unwrap(shown.lostEpoch), _now(), "when");
        vm.assertEq(shown.count, 2, "entries");
        _proveUntil(farmer, Epoch.unwrap(end) - 1);
        vm.assertEq(market.book(farmer, end, false).count, 2, "to the last epoch");
        _enter(Epoch.unwrap(end));
        shown = market.book(farmer, end, false);
        vm.assertEq(
            shown.count + shown.rateBefore + shown.rateAdded + shown.lostBefore + shown.peaks.length,
            0,
            "over"
        );
    }
}

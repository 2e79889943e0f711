// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../../contracts/interfaces/IBooks.sol";
import {ILosses} from "../../contracts/interfaces/ILosses.sol";
import {Acceptance, BookView, Epoch, FarmerId, Terms} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Reference} from "./support/Reference.sol";

/// @title The front of a book: what is lost before all that is alive
contract FrontTest is FarmTest {
    FarmerId private _farmer;

    /// @dev Equal slots that end on one date, in their first epoch.
    function _begin(uint256 slots) private {
        _farmer = _register();
        for (uint256 i = 0; i < slots; ++i) _store(_farmer, _date(4), 3, 100);
        _enter(_now() + 1);
    }

    function _end() private view returns (Epoch) {
        return Epoch.wrap(_kept[_farmer][0].end);
    }

    /// @dev In a call of its own, as everything that needs much memory.
    function prove() external {
        _prove(_farmer);
    }

    /// @dev Declares lost what is in the book from `first` to before `last`, in one call.
    function loseAll(uint256 first, uint256 last) external {
        bytes32[] memory words = new bytes32[](0);
        for (uint256 nth = first; nth < last; ++nth) words = Reference.joined(words, _lossWords(_farmer, nth));
        vm.prank(_operator(_farmer));
        market.declareLoss(_farmer, _end(), false, words);
        for (uint256 nth = first; nth < last; ++nth) _giveUp(_farmer, nth);
    }

    /// Must hold: a book is given up from its oldest slot on in calls of any size, to the last slot, and what is left is
    /// proven in every epoch until then.
    function test_inOrderToTheLast() external {
        _begin(40);
        uint256 step = 0;
        for (uint256 lost = 0; lost < 40; lost += step) {
            this.prove();
            step = lost < 36 ? 6 : 1;
            this.loseAll(lost, lost + step);
            vm.assertEq(market.rateAt(_farmer, Epoch.wrap(uint32(_now() + 1))), 100 * (40 - lost - step), "asked next");
            _enter(_now() + 1);
        }
        vm.assertEq(market.farmer(_farmer).committedRate, 0, "committed");
        vm.assertEq(_misses(_farmer), 0, "misses");
    }

    /// Must hold: what was lost in another order is cut off when all before it is lost, and positions are drawn behind it: as
    /// the model says, which is drawn from in the next epoch only.
    function test_cutOff() external {
        _begin(6);
        _prove(_farmer);
        _lose(_farmer, 1);
        _lose(_farmer, 2);
        _lose(_farmer, 4);
        _enter(_now() + 1);
        _lose(_farmer, 0);
        vm.assertEq(_front(_farmer, Epoch.unwrap(_end()), false), 1, "the first of them is cut off at once");
        _cut(_farmer, Epoch.unwrap(_end()), false, 2);
        vm.assertEq(_weightAt(_farmer, _now()), 600, "in this epoch as before");
        vm.assertEq(_weightAt(_farmer, _now() + 1), 300, "from the next on behind the front");
        for (uint256 i = 0; i < 8; ++i) {
            _prove(_farmer);
            _enter(_now() + 1);
        }
    }

    /// Must hold: all may be lost in any order, and the book then takes a new slot once what it gave up is cut off.
    function test_allInAnotherOrder() external {
        _begin(40);
        _prove(_farmer);
        for (uint256 nth = 2; nth < 40; ++nth) this.loseAll(nth, nth + 1);
        this.loseAll(0, 2);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(_farmer), _date(4), 3, 100);
        _deposit(1e9);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IBooks.BookMostlyLost.selector, _farmer, 3900, 3800));
        market.place(terms, acceptances);
        _cut(_farmer, Epoch.unwrap(_end()), false, 38);
        vm.prank(renter);
        market.place(terms, acceptances);
    }

    /// Must hold: a book shows where its front is, and since when.
    function test_isShown() external {
        _begin(3);
        _prove(_farmer);
        _lose(_farmer, 0);
        _enter(_now() + 1);
        _lose(_farmer, 1);
        BookView memory shown = market.book(_farmer, _end(), false);
        vm.assertEq(shown.frontBefore, 100, "before");
        vm.assertEq(shown.frontAdded, 100, "in this epoch");
        vm.assertEq(Epoch.unwrap(shown.frontEpoch), _now(), "when");
    }

    /// Must hold: where the seed is known, nothing that a farmer gives up or cuts off moves a position that is drawn.
    function testFuzz_noSecondDraw(uint256 seed) external {
        _begin(6);
        _prove(_farmer);
        _lose(_farmer, 1);
        _proveUntil(_farmer, _now() + 1 + (seed % 5));
        _enter(_now() + 1);
        market.recordSeed();
        Drawn[] memory before = new Drawn[](4);
        for (uint256 i = 0; i < 4; ++i) before[i] = _drawn(_farmer, _now(), i);
        _lose(_farmer, 0);
        _cut(_farmer, Epoch.unwrap(_end()), false, 1);
        for (uint256 i = 0; i < 4; ++i) {
            vm.assertEq(_tenureOf(_drawn(_farmer, _now(), i).kept), _tenureOf(before[i].kept), "drawn");
        }
        _prove(_farmer);
    }

    /// Must hold: of what lies behind the front enough has to be alive, whatever was cut off.
    function test_whatIsBehindIsAlive() external {
        _farmer = _register();
        _store(_farmer, _date(4), 3, 50_000);
        _store(_farmer, _date(4), 3, 100);
        _store(_farmer, _date(4), 3, 3101);
        _enter(_now() + 1);
        _lose(_farmer, 0);
        bytes32[] memory words = _lossWords(_farmer, 2);
        Epoch end = _end();
        vm.prank(_operator(_farmer));
        vm.expectRevert(abi.encodeWithSelector(IBooks.BookMostlyLost.selector, _farmer, 3201, 3101));
        market.declareLoss(_farmer, end, false, words);
    }

    /// Must hold: what was cut off leaves room to give up more.
    function test_cuttingMakesRoom() external {
        _farmer = _register();
        _store(_farmer, _date(4), 3, 1);
        _store(_farmer, _date(4), 3, 3100);
        _store(_farmer, _date(4), 3, 100);
        _store(_farmer, _date(4), 3, 100);
        _enter(_now() + 1);
        _lose(_farmer, 1);
        _lose(_farmer, 0);
        bytes32[] memory words = _lossWords(_farmer, 2);
        Epoch end = _end();
        vm.prank(_operator(_farmer));
        vm.expectRevert(abi.encodeWithSelector(IBooks.BookMostlyLost.selector, _farmer, 3300, 3200));
        market.declareLoss(_farmer, end, false, words);
        _cut(_farmer, Epoch.unwrap(end), false, 1);
        _lose(_farmer, 2);
        _enter(_now() + 1);
        vm.assertEq(market.rateAt(_farmer, market.currentEpoch()), 100, "asked");
    }

    /// Must hold: only slots of this book that were given up are cut off, in order, each once.
    function test_onlyWhatIsAtTheFront() external {
        _begin(4);
        FarmerId other = _register();
        _store(other, _date(4), 3, 100);
        _store(_farmer, _date(3), 3, 100);
        _enter(_now() + 1);
        _lose(_farmer, 1);
        _lose(_farmer, 2);
        _lose(_farmer, 4);
        _lose(other, 0);
        _refused(_kept[_farmer][0], 0); // alive
        _refused(_kept[_farmer][1], 0); // behind it
        _refused(_kept[_farmer][4], 0); // of another date
        _refused(_kept[other][0], 0); // of another farmer
        _lose(_farmer, 0);
        _refused(_kept[_farmer][0], 100); // cut off before
        _refused(_kept[_farmer][2], 100); // not the next
        _cut(_farmer, Epoch.unwrap(_end()), false, 2);
        _refused(_kept[_farmer][3], 300); // alive
    }

    function _refused(Kept memory kept, uint256 front) private {
        bytes32[] memory tenures = new bytes32[](1);
        tenures[0] = _tenureOf(kept);
        Epoch end = _end();
        vm.expectRevert(abi.encodeWithSelector(ILosses.NotAtFront.selector, tenures[0], front));
        market.cutFront(_farmer, end, false, tenures);
    }

    /// Must hold: the book for extensions has a front of its own.
    function test_ofTheRightBook() external {
        _farmer = _register();
        uint256 end = _date(3);
        _store(_farmer, end, 3, 100);
        _store(_farmer, end, 3, 100);
        _store(_farmer, _date(1), 3, 100);
        _extend(_placed[2], _one(_farmer), end, 100);
        uint256 begun = _date(1);
        _proveUntil(_farmer, begun);
        _lose(_farmer, 1);
        _lose(_farmer, 3);
        bytes32[] memory tenures = new bytes32[](1);
        tenures[0] = _tenureOf(_kept[_farmer][3]);
        vm.expectRevert(abi.encodeWithSelector(ILosses.NotAtFront.selector, tenures[0], 0));
        market.cutFront(_farmer, Epoch.wrap(uint32(end)), false, tenures);
        tenures[0] = _tenureOf(_kept[_farmer][1]);
        vm.expectRevert(abi.encodeWithSelector(ILosses.NotAtFront.selector, tenures[0], 100));
        market.cutFront(_farmer, Epoch.wrap(uint32(end)), true, tenures);
    }

    /// Must hold: a book that has ended, or of no date, has no front; and nothing is not cut off.
    function test_onlyOfALiveBook() external {
        _begin(2);
        _lose(_farmer, 1);
        bytes32[] memory tenures = new bytes32[](0);
        Epoch end = _end();
        vm.expectRevert(abi.encodeWithSelector(ILosses.NoLoss.selector));
        market.cutFront(_farmer, end, false, tenures);
        tenures = new bytes32[](1);
        tenures[0] = _tenureOf(_kept[_farmer][1]);
        Epoch off = Epoch.wrap(Epoch.unwrap(end) + 1);
        vm.expectRevert(abi.encodeWithSelector(ILosses.NoSuchBook.selector, _farmer, off, false));
        market.cutFront(_farmer, off, false, tenures);
        _enter(Epoch.unwrap(end));
        vm.expectRevert(abi.encodeWithSelector(ILosses.NoSuchBook.selector, _farmer, end, false));
        market.cutFront(_farmer, end, false, tenures);
    }

    /// Must hold: a book that takes the place of one whose front had moved is drawn from its first slot on.
    function test_aNewBookBeginsAtItsFirst() external {
        _begin(3);
        uint256 end = Epoch.unwrap(_end());
        _prove(_farmer);
        _lose(_farmer, 0);
        _proveUntil(_farmer, end);
        _enter(_date(1));
        end += MAX_BOOKS * GRID_EPOCHS;
        _store(_farmer, end, 2, 50);
        _enter(_now() + 1);
        vm.assertEq(market.book(_farmer, Epoch.wrap(uint32(end)), false).frontBefore, 0, "front");
        _prove(_farmer);
    }
}

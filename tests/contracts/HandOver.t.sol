// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IBooks} from "../../contracts/interfaces/IBooks.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IHandOvers} from "../../contracts/interfaces/IHandOvers.sol";
import {ILosses} from "../../contracts/interfaces/ILosses.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IRepairs} from "../../contracts/interfaces/IRepairs.sol";
import {Acceptance, Epoch, FarmerId, OrderId, Parting, Passing, Terms} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Reference} from "./support/Reference.sol";

/// @title Slots that pass from farmer to farmer
contract HandOverTest is FarmTest {
    uint256 private constant RATE = 1000;

    FarmerId[] private _farmers;
    FarmerId private _giver;
    FarmerId private _taker;
    OrderId private _order;

    /// @dev An order with three farmers, of which the first has proven the epoch, and a fourth that has nothing.
    function _begin() private {
        for (uint256 i = 0; i < 4; ++i) _farmers.push(_register());
        (_giver, _taker) = (_farmers[0], _farmers[3]);
        _order = _store(_three(), _date(3), 3, RATE);
        _enter(_now() + 1);
        _proveAll();
    }

    function _three() private view returns (FarmerId[] memory three) {
        three = new FarmerId[](3);
        for (uint256 i = 0; i < 3; ++i) three[i] = _farmers[i];
    }

    function _proveAll() private {
        for (uint256 i = 0; i < _farmers.length; ++i) {
            if (_rateAt(_farmers[i], _now()) > 0 && _settledEpoch(_farmers[i]) < _now()) _prove(_farmers[i]);
        }
    }

    function _only(Passing memory passing) private pure returns (Passing[] memory passings) {
        passings = new Passing[](1);
        passings[0] = passing;
    }

    function _refused(bytes memory reason, Passing memory passing) private {
        address operator = _operator(_giver);
        vm.expectRevert(reason);
        vm.prank(operator);
        market.handOver(_giver, _parting(_only(passing), false));
    }

    function _released(FarmerId giver, FarmerId taker, uint256 epoch) private returns (uint256) {
        uint256 before = market.earnings(_ownerOf(giver));
        market.release(giver, taker, Epoch.wrap(uint32(epoch)));
        return market.earnings(_ownerOf(giver)) - before;
    }

    /// Must hold: the giver is paid for this epoch, the taker from the next on, the renter gets what it paid for, and nothing is
    /// forfeit: what is bound of the giver's stake comes back when the taker has proven once.
    function test_passesOn() external {
        _begin();
        uint256 epoch = _now();
        uint256 vault = market.vault(renter);
        _handOver(_giver, 0, _taker);
        vm.assertEq(market.farmer(_giver).committedRate, 0, "the giver is committed to nothing");
        vm.assertEq(market.farmer(_taker).committedRate, RATE, "the taker is");
        vm.assertEq(market.farmer(_giver).stake, STAKE - COLLATERAL_EPOCHS * RATE, "stake");
        vm.assertEq(market.bound(_giver, _taker, Epoch.wrap(uint32(epoch))), COLLATERAL_EPOCHS * RATE, "bound");
        _enter(_now() + 1);
        vm.assertEq(market.rateAt(_giver, market.currentEpoch()), 0, "asked of the giver");
        vm.assertEq(market.rateAt(_taker, market.currentEpoch()), RATE, "asked of the taker");
        Epoch current = market.currentEpoch();
        vm.expectRevert(
            abi.encodeWithSelector(IHandOvers.TakerNotProven.selector, _taker, Epoch.wrap(uint32(_now() - 1)))
        );
        market.release(_giver, _taker, Epoch.wrap(uint32(epoch)));
        _proveAll();
        vm.assertEq(market.earnings(_ownerOf(_taker)), RATE, "the taker's pay");
        vm.assertEq(_released(_giver, _taker, epoch), COLLATERAL_EPOCHS * RATE, "returned");
        vm.expectRevert(
            abi.encodeWithSelector(IHandOvers.NothingBound.selector, _giver, _taker, Epoch.wrap(uint32(epoch)))
        );
        market.release(_giver, _taker, Epoch.wrap(uint32(epoch)));
        while (_now() + 1 < _stored[_order].end) {
            _enter(_now() + 1);
            _proveAll();
        }
        _enter(_now() + 1);
        _close(_order);
        vm.assertEq(market.vault(renter), vault, "nothing is left for the renter");
        vm.assertEq(market.earnings(BURNT), 0, "nothing burnt");
        vm.assertTrue(Epoch.unwrap(current) > 0, "later");
    }

    /// Must hold: a farmer that has handed over all that it keeps leaves with all its stake.
    function test_leavesWithItsStake() external {
        _begin();
        uint256 epoch = _now();
        OrderId second = _store(_giver, _date(2), 3, RATE);
        vm.assertEq(OrderId.unwrap(_kept[_giver][1].order), OrderId.unwrap(second), "another slot");
        _handOver(_giver, 0, _taker);
        _enter(_now() + 1);
        _proveAll();
        vm.assertEq(_released(_giver, _taker, epoch), COLLATERAL_EPOCHS * RATE, "the first");
        _proveUntil(_giver, _date(2) - 1);
        _enter(_now() + 1);
        uint256 rest = market.farmer(_giver).stake;
        vm.prank(_ownerOf(_giver));
        market.unstake(_giver, rest);
        vm.assertTrue(market.farmer(_giver).lapsed, "left");
        vm.assertEq(rest + COLLATERAL_EPOCHS * RATE, STAKE, "with all of it");
    }

    /// Must hold: what is handed over to one farmer in one epoch is bound, and released, together.
    function test_boundTogether() external {
        _begin();
        _store(_three(), _date(3), 3, 2 * RATE);
        _enter(_now() + 1);
        _proveAll();
        uint256 epoch = _now();
        _handOver(_giver, 0, _taker);
        _handOver(_giver, 1, _taker);
        vm.assertEq(market.bound(_giver, _taker, Epoch.wrap(uint32(epoch))), COLLATERAL_EPOCHS * 3 * RATE, "bound");
        _enter(_now() + 2);
        _prove(_taker);
        vm.assertEq(_released(_giver, _taker, epoch), (COLLATERAL_EPOCHS - FINE) * 3 * RATE, "returned");
    }

    /// Must hold: only in an epoch that it has proven, so that nothing is left to judge.
    function test_onlyOnceTheEpochIsProven() external {
        _begin();
        _enter(_now() + 1);
        _refused(
            abi.encodeWithSelector(IHandOvers.EpochNotProven.selector, _giver, market.currentEpoch()),
            _passing(_giver, 0, _taker)
        );
        _proveAll();
        _handOver(_giver, 0, _taker);
    }

    /// Must hold: strikes are neither shed nor passed on.
    function test_notWithStrikes() external {
        _begin();
        FarmerId struck = _farmers[1];
        _store(_taker, _date(3), 3, RATE);
        for (uint256 i = 0; i < 2; ++i) {
            _enter(_now() + 1);
            _prove(_giver);
        }
        _enter(_now() + 1);
        for (uint256 i = 0; i < 2; ++i) _prove(_farmers[i]);
        _prove(_taker);
        uint256 strikes = market.farmer(_taker).strikes;
        vm.assertEq(strikes, 1, "the taker's");
        _refused(abi.encodeWithSelector(IHandOvers.HasStrikes.selector, _taker, strikes), _passing(_giver, 0, _taker));
        Passing[] memory passings = _only(_passing(struck, 0, _register()));
        uint256 of_ = market.farmer(struck).strikes;
        vm.expectRevert(abi.encodeWithSelector(IHandOvers.HasStrikes.selector, struck, of_));
        vm.prank(_operator(struck));
        market.handOver(struck, _parting(passings, false));
        _enter(_now() + 1);
        _prove(_giver);
        _prove(_taker);
        _handOver(_giver, 0, _taker);
    }

    /// Must hold: of an order (n - k) / 2 slots pass on in a grid period, and as many in the next.
    function test_fewInAGridPeriod() external {
        _begin();
        FarmerId other = _register();
        _handOver(_giver, 0, _taker);
        Passing[] memory passings = _only(_passing(_farmers[1], 0, other));
        vm.prank(_operator(_farmers[1]));
        vm.expectRevert(abi.encodeWithSelector(IHandOvers.TooManyHandOvers.selector, _order, 1));
        market.handOver(_farmers[1], _parting(passings, false));
        uint256 next = _date(1);
        while (_now() < next) {
            _enter(_now() + 1);
            _proveAll();
        }
        _handOver(_farmers[1], 0, other);
        vm.assertTrue(market.order(_order).handOvers.isAllowed(), "still allowed");
    }

    /// Must hold: a renter can forbid it.
    function test_notWhereTheRenterForbidsIt() external {
        _begin();
        Terms memory terms = _terms("fixed", _date(3), 3, 1, 1);
        terms.allowsHandOver = false;
        Acceptance[] memory acceptances = new Acceptance[](3);
        for (uint256 i = 0; i < 3; ++i) {
            acceptances[i] = _accept(terms, _farmers[i], i, _slotRoot(_data(terms, i), 3), RATE);
        }
        _deposit(1e9);
        vm.prank(renter);
        OrderId fixed_ = market.place(terms, acceptances);
        uint256[] memory data = new uint256[](3);
        for (uint256 i = 0; i < 3; ++i) data[i] = _data(terms, i);
        _know(fixed_, terms, acceptances, _now() + 1, data, false);
        _enter(_now() + 1);
        _proveAll();
        _refused(abi.encodeWithSelector(IHandOvers.HandOverForbidden.selector, fixed_), _passing(_giver, 1, _taker));
    }

    /// Must hold: what was taken over is handed on only after the taker has proven it once.
    function test_notOnBeforeItIsProven() external {
        FarmerId[] memory five = new FarmerId[](5);
        for (uint256 i = 0; i < 5; ++i) five[i] = _register();
        (_giver, _taker) = (five[0], _register());
        _order = _store(five, _date(3), 3, RATE);
        _store(_taker, _date(2), 3, RATE);
        _enter(_now() + 1);
        _prove(_giver);
        _prove(_taker);
        _handOver(_giver, 0, _taker);
        Passing[] memory passings = _only(_passing(_taker, 1, _register()));
        Epoch from = Epoch.wrap(_kept[_taker][1].from);
        vm.prank(_operator(_taker));
        vm.expectRevert(abi.encodeWithSelector(ILosses.SlotNotBegun.selector, _order, 0, from));
        market.handOver(_taker, _parting(passings, false));
        _enter(_now() + 1);
        Epoch current = market.currentEpoch();
        vm.prank(_operator(_taker));
        vm.expectRevert(abi.encodeWithSelector(IHandOvers.EpochNotProven.selector, _taker, current));
        market.handOver(_taker, _parting(passings, false));
    }

    /// Must hold: each epoch that the taker misses before it has proven costs the giver the fine as well.
    function testFuzz_answersUntilTheFirstProof(uint256 missed) external {
        missed = _within(missed, 0, MAX_MISSES - 1);
        _begin();
        uint256 epoch = _now();
        _handOver(_giver, 0, _taker);
        _enter(_now() + missed + 1);
        _prove(_taker);
        vm.assertEq(_released(_giver, _taker, epoch), (COLLATERAL_EPOCHS - FINE * missed) * RATE, "returned");
        market.settle(_taker);
        vm.assertEq(market.earnings(BURNT), 2 * FINE * missed * RATE, "burnt of both");
    }

    /// Must hold: of a taker that never proves the giver bears the fines up to its lapse, whatever comes after.
    function testFuzz_ofATakerThatNeverProves(uint256 later) external {
        _begin();
        uint256 epoch = _now();
        _handOver(_giver, 0, _taker);
        _enter(_now() + MAX_MISSES + 1 + (later % 3));
        if (later % 2 == 0) market.evict(_taker);
        vm.assertEq(_released(_giver, _taker, epoch), (COLLATERAL_EPOCHS - FINE * MAX_MISSES) * RATE, "returned");
        FarmerId next = _register();
        uint256 before = market.vault(renter);
        _refill(_order, 0, next, address(1));
        vm.assertTrue(market.vault(renter) > before, "the renter has what the taker left");
    }

    /// Must hold: a taker that lapses before it misses anything of the slot leaves the giver a fine.
    function test_ofATakerThatLapsesAtOnce() external {
        _begin();
        uint256 epoch = _now();
        _store(_taker, _date(1), 3, 15_000_000);
        uint256 stake = market.farmer(_taker).stake;
        vm.prank(_ownerOf(_taker));
        market.unstake(_taker, stake - COLLATERAL_EPOCHS * (15_000_000 + RATE));
        _enter(_now() + 1);
        _proveAll();
        epoch = _now();
        _handOver(_giver, 0, _taker);
        Kept memory own = _kept[_taker][0];
        bytes32[] memory words = _lossWords(_taker, 0);
        vm.prank(_ownerOf(_taker));
        market.declareLoss(_taker, Epoch.wrap(own.end), false, words);
        _enter(_now() + MAX_MISSES + 1);
        uint256 missed = market.farmer(_taker).misses;
        vm.assertEq(_released(_giver, _taker, epoch), (COLLATERAL_EPOCHS - FINE * missed) * RATE, "returned");
    }

    /// Must hold: what is bound goes to the giver's owner, whatever became of the giver meanwhile.
    function test_ofAGiverThatLapsed() external {
        _begin();
        _store(_giver, _date(3), 3, RATE);
        uint256 epoch = _now();
        _handOver(_giver, 0, _taker);
        _enter(_now() + 1);
        _prove(_taker);
        _enter(_now() + MAX_MISSES);
        market.evict(_giver);
        vm.assertEq(_released(_giver, _taker, epoch), COLLATERAL_EPOCHS * RATE, "returned");
    }

    /// Must hold: with all closed, left and taken out the market is empty, whether the hand-over was finished or not.
    function testFuzz_nothingIsLeftOver(uint256 seed) external {
        _begin();
        uint256 epoch = _now();
        _handOver(_giver, 0, _taker);
        while (_now() + 1 < _stored[_order].end) {
            _enter(_now() + 1);
            for (uint256 i = 0; i < 4; ++i) {
                seed = uint256(keccak256(abi.encode(seed)));
                bool asked = _rateAt(_farmers[i], _now()) > 0 && !market.farmer(_farmers[i]).lapsed;
                if (asked && seed % 3 > 0) _prove(_farmers[i]);
            }
        }
        _enter(_now() + 1);
        if (seed % 2 == 0) market.release(_giver, _taker, Epoch.wrap(uint32(epoch)));
        _close(_order);
        if (seed % 2 == 1) market.release(_giver, _taker, Epoch.wrap(uint32(epoch)));
        uint256 owed = market.vault(renter) + market.earnings(BURNT);
        for (uint256 i = 0; i < 4; ++i) {
            FarmerId farmer = _farmers[i];
            if (market.farmer(farmer).lapsed) {
                if (market.eviction(farmer).vacantBlock == 0) {
                    vm.prank(_ownerOf(farmer));
                    market.evict(farmer);
                }
            }
            owed += market.farmer(farmer).stake + market.earnings(_ownerOf(farmer));
        }
        owed += market.earnings(address(this));
        owed += market.earnings(BURNT) - market.earnings(BURNT);
        vm.assertEq(token.balanceOf(address(market)), owed, "all of it is somebody's, and nothing twice");
    }

    /// Must hold: in the last epochs too: a slot begins with its taker before the order ends, or stays.
    function test_upToTheEnd() external {
        _begin();
        while (_now() + 2 < _stored[_order].end) {
            _enter(_now() + 1);
            _proveAll();
        }
        _handOver(_giver, 0, _taker);
        uint256 epoch = _now();
        _enter(_now() + 1);
        _prove(_farmers[1]);
        Passing[] memory passings = _only(_passing(_farmers[1], 0, _register()));
        Epoch end = Epoch.wrap(_stored[_order].end);
        vm.prank(_operator(_farmers[1]));
        vm.expectRevert(abi.encodeWithSelector(IHandOvers.TooManyHandOvers.selector, _order, 1));
        market.handOver(_farmers[1], _parting(passings, false));
        _enter(Epoch.unwrap(end));
        _close(_order);
        // The taker has nothing more to prove: that is known when an epoch is over in which it had not.
        _enter(_now() + 1);
        vm.assertEq(
            _released(_giver, _taker, epoch),
            (COLLATERAL_EPOCHS - FINE) * RATE,
            "after the one that it missed"
        );
    }

    /// Must hold: the order must go on when the taker begins.
    function test_notInTheLastEpoch() external {
        _begin();
        while (_now() + 1 < _stored[_order].end) {
            _enter(_now() + 1);
            _proveAll();
        }
        Epoch end = Epoch.wrap(_stored[_order].end);
        _refused(abi.encodeWithSelector(IRepairs.OrderEnding.selector, _order, end), _passing(_giver, 0, _taker));
    }

    /// Must hold: what the giver missed is the renter's at once, with compensation.
    function test_missesAreSettled() external {
        _begin();
        _enter(_now() + 2);
        _prove(_giver);
        _enter(_now() + 1);
        _prove(_giver);
        uint256 before = market.vault(renter);
        _handOver(_giver, 0, _taker);
        vm.assertEq(market.vault(renter) - before, (1 + PENALTY) * RATE, "for one epoch");
    }

    /// Must hold: the taker signed for this slot, this tenure and this giver, as a hand-over, and in time.
    function test_whatTheTakerSigned() external {
        _begin();
        Kept memory kept = _kept[_giver][0];
        Passing memory passing = _passing(_giver, 0, _taker);
        _signHandOver(passing, kept, _farmers[1], _taker, _operatorKey(_taker));
        _forged(passing);
        kept = _kept[_giver][0];
        _signHandOver(passing, kept, _giver, _taker, _operatorKey(_giver));
        _forged(passing);
        passing.takeover = _takeover(_order, 0, _taker, address(uint160(FarmerId.unwrap(_giver))));
        _forged(passing);
        passing = _passing(_giver, 0, _taker);
        ++passing.takeover.deadlineBlock;
        _forged(passing);
        passing = _passing(_giver, 0, _taker);
        vm.roll(block.number + 9);
        _enter(_now() + 1);
        _proveAll();
        passing.takeover.deadlineBlock = uint64(block.number - 1);
        _signHandOver(passing, kept, _giver, _taker, _operatorKey(_taker));
        _refused(
            abi.encodeWithSelector(IOrders.AcceptanceExpired.selector, 0, passing.takeover.deadlineBlock, block.number),
            passing
        );
    }

    function _forged(Passing memory passing) private {
        vm.prank(_operator(_giver));
        (bool done, bytes memory answer) = address(market).call(
            abi.encodeCall(market.handOver, (_giver, _parting(_only(passing), false)))
        );
        vm.assertTrue(!done, "refused");
        vm.assertEq(bytes32(bytes4(answer)), bytes32(IOrders.AcceptanceForged.selector), "forged");
    }

    /// Must hold: an acceptance serves once: the slot, back with its giver, is another tenure.
    function test_acceptedOnce() external {
        _begin();
        Passing memory passing = _passing(_giver, 0, _taker);
        passing.takeover.deadlineBlock = type(uint64).max;
        _signHandOver(passing, _kept[_giver][0], _giver, _taker, _operatorKey(_taker));
        vm.prank(_operator(_giver));
        market.handOver(_giver, _parting(_only(passing), false));
        _passed(_giver, 0, _taker);
        uint256 next = _date(1);
        while (_now() < next) {
            _enter(_now() + 1);
            _proveAll();
        }
        _handOver(_taker, 0, _giver);
        next = _date(1);
        while (_now() < next) {
            _enter(_now() + 1);
            _proveAll();
        }
        Passing memory again = _passing(_giver, 1, _taker);
        again.takeover = passing.takeover;
        _forged(again);
    }

    /// Must hold: the slot is the giver's, and where it says; the order's other farmers do not take it.
    function test_theSlotItself() external {
        _begin();
        Passing memory passing = _passing(_giver, 0, _taker);
        passing.takeover.slot = 3;
        _refused(abi.encodeWithSelector(IRepairs.NoSuchSlot.selector, 3, 3), passing);
        passing.takeover.slot = 1;
        _refused(abi.encodeWithSelector(IHandOvers.NotItsSlot.selector, 1, _farmers[1]), passing);
        _refused(
            abi.encodeWithSelector(IOrders.DuplicateFarmer.selector, 0, _farmers[1]),
            _passing(_giver, 0, _farmers[1])
        );
        passing = _passing(_giver, 0, _taker);
        passing.path = new bytes32[](1);
        _refused(abi.encodeWithSelector(IAudits.ProofTooLong.selector, 0, 1), passing);
        passing = _passing(_giver, 0, _taker);
        ++passing.first;
        vm.prank(_operator(_giver));
        (bool done, bytes memory answer) = address(market).call(
            abi.encodeCall(market.handOver, (_giver, _parting(_only(passing), false)))
        );
        vm.assertEq(bytes32(bytes4(answer)), bytes32(IAudits.WrongPeak.selector), "another place");
        passing = _passing(_giver, 0, _taker);
        Epoch end = Epoch.wrap(_stored[_order].end);
        vm.prank(_operator(_giver));
        vm.expectRevert(abi.encodeWithSelector(ILosses.NoSuchBook.selector, _giver, end, true));
        market.handOver(_giver, _parting(_only(passing), true));
        passing = _passing(_giver, 0, FarmerId.wrap(99));
        _refused(abi.encodeWithSelector(IFarmers.UnknownFarmer.selector, FarmerId.wrap(99)), passing);
        vm.assertTrue(!done, "refused");
    }

    /// Must hold: a slot that was declared lost is not handed over.
    function test_notWhatIsLost() external {
        _begin();
        _lose(_giver, 0);
        _refused(abi.encodeWithSelector(ILosses.AlreadyLost.selector, _order, 0), _passing(_giver, 0, _taker));
    }

    /// Must hold: what was handed over is not declared lost, and positions in it are passed over like those of a lost slot.
    function test_whatWasHandedOverIsGone() external {
        _begin();
        _store(_giver, _date(3), 3, 10 * RATE);
        _store(_giver, _date(3), 3, RATE);
        _enter(_now() + 1);
        _proveAll();
        OrderId large = _kept[_giver][1].order;
        vm.assertEq(OrderId.unwrap(large), OrderId.unwrap(_placed[1]), "an order of one slot");
        Kept memory kept = _kept[_giver][0];
        _store(_three(), _date(3), 3, 5 * RATE);
        _enter(_now() + 1);
        _proveAll();
        _handOver(_giver, 3, _taker);
        vm.assertEq(_front(_giver, kept.end, false), 0, "not at the front");
        bytes32[] memory words = _lossWords(_giver, 3);
        Kept memory gone = _kept[_giver][3];
        vm.prank(_operator(_giver));
        vm.expectRevert(abi.encodeWithSelector(ILosses.AlreadyLost.selector, gone.order, gone.slot));
        market.declareLoss(_giver, Epoch.wrap(gone.end), false, words);
        for (uint256 i = 0; i < 4; ++i) {
            _enter(_now() + 1);
            _prove(_giver);
        }
        vm.assertEq(market.loss(gone.order, gone.slot, Epoch.wrap(gone.from)).lostBlock, 0, "no loss");
    }

    /// Must hold: nor is it where it stood at the front of its book, of which nothing is remembered.
    function test_goneFromTheFront() external {
        _begin();
        _store(_giver, _date(3), 3, RATE);
        _enter(_now() + 1);
        _proveAll();
        _handOver(_giver, 0, _taker);
        bytes32[] memory words = _lossWords(_giver, 0);
        Kept memory gone = _kept[_giver][0];
        vm.prank(_operator(_giver));
        vm.expectRevert(abi.encodeWithSelector(ILosses.AlreadyLost.selector, gone.order, gone.slot));
        market.declareLoss(_giver, Epoch.wrap(gone.end), false, words);
    }

    /// Must hold: the taker has the stake for it, within its ceiling, and has not lapsed.
    function test_theTakerCanTakeIt() external {
        _begin();
        FarmerId poor = _register(COLLATERAL_EPOCHS * RATE - 1);
        _refused(
            abi.encodeWithSelector(
                IFarmers.StakeTooSmall.selector,
                poor,
                COLLATERAL_EPOCHS * RATE - 1,
                COLLATERAL_EPOCHS * RATE
            ),
            _passing(_giver, 0, poor)
        );
    }

    /// Must hold: the owner hands over what it wants, the operator no more in an epoch than it may give up.
    function test_theOperatorsLimit() external {
        _begin();
        vm.prank(_ownerOf(_giver));
        market.setLimits(_giver, type(uint80).max, uint80(RATE - 1));
        Passing memory passing = _passing(_giver, 0, _taker);
        _refused(abi.encodeWithSelector(ILosses.LossLimitExceeded.selector, _giver, RATE, RATE - 1), passing);
        vm.prank(_ownerOf(_giver));
        market.handOver(_giver, _parting(_only(passing), false));
    }

    /// Must hold: strangers hand nothing over, and nothing is not handed over.
    function testFuzz_notByStrangers(address caller) external {
        _begin();
        vm.assume(caller != _operator(_giver) && caller != _ownerOf(_giver));
        Passing[] memory passings = _only(_passing(_giver, 0, _taker));
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.NotOwnerOrOperator.selector, _giver, caller));
        market.handOver(_giver, _parting(passings, false));
        passings = new Passing[](0);
        vm.prank(_operator(_giver));
        vm.expectRevert(abi.encodeWithSelector(IHandOvers.NothingToHandOver.selector));
        market.handOver(_giver, _parting(passings, false));
        vm.prank(_operator(_giver));
        vm.expectRevert(abi.encodeWithSelector(IHandOvers.NothingToHandOver.selector));
        market.handOver(_giver, new Parting[](0));
    }

    /// Must hold: a slot that its farmer hands over to itself goes behind the others of its book, for nothing, as often as it
    /// likes; so a book of which little is left is drawn from that alone.
    function test_toItself() external {
        FarmerId farmer = _register();
        _store(farmer, _date(4), 3, 100);
        _store(farmer, _date(4), 3, 3100);
        _enter(_now() + 1);
        _prove(farmer);
        _lose(farmer, 1);
        uint256 stake = market.farmer(farmer).stake;
        _handOver(farmer, 0, farmer);
        vm.assertEq(market.farmer(farmer).stake, stake, "nothing is bound");
        vm.assertEq(market.bound(farmer, farmer, market.currentEpoch()), 0, "by nobody");
        _cut(farmer, _kept[farmer][0].end, false, 1);
        for (uint256 i = 0; i < 3; ++i) {
            _enter(_now() + 1);
            vm.assertEq(_weightAt(farmer, _now()), 100, "drawn from");
            _prove(farmer);
        }
        _handOver(farmer, 2, farmer);
        _enter(_now() + 1);
        _prove(farmer);
    }

    /// @dev The farmer's slots `from` to `to`, exclusive, each to the taker.
    function _several(
        FarmerId farmer,
        uint256 from,
        uint256 to,
        FarmerId taker
    ) private view returns (Passing[] memory p) {
        p = new Passing[](to - from);
        for (uint256 i = from; i < to; ++i) p[i - from] = _passing(farmer, i, taker);
    }

    function _send(FarmerId farmer, Parting[] memory partings, bytes memory reason) private {
        vm.prank(_operator(farmer));
        if (reason.length > 0) vm.expectRevert(reason);
        market.handOver(farmer, partings);
    }

    /// @dev A farmer with orders of one farmer of its own, and of three with others.
    function _withMore(uint256 count) private {
        _begin();
        for (uint256 i = 0; i < count; ++i) _store(_three(), _date(3), 3, RATE);
        _enter(_now() + 1);
        _proveAll();
    }

    /// Must hold: slots of one book and of several pass on in one call, each as if alone.
    function test_severalAtOnce() external {
        _withMore(2);
        OrderId later = _store(_three(), _date(4), 3, RATE);
        _enter(_now() + 1);
        _proveAll();
        vm.assertEq(OrderId.unwrap(_kept[_giver][3].order), OrderId.unwrap(later), "of another book");
        Parting[] memory partings = new Parting[](2);
        partings[0] = _parting(_several(_giver, 0, 3, _taker), false)[0];
        partings[1] = _parting(_several(_giver, 3, 4, _taker), false)[0];
        uint256 stake = market.farmer(_giver).stake;
        _send(_giver, partings, "");
        for (uint256 i = 0; i < 4; ++i) _passed(_giver, i, _taker);
        vm.assertEq(market.farmer(_giver).committedRate, 0, "the giver keeps nothing");
        vm.assertEq(market.farmer(_taker).committedRate, 4 * RATE, "the taker all of it");
        vm.assertEq(stake - market.farmer(_giver).stake, 4 * COLLATERAL_EPOCHS * RATE, "bound");
        vm.assertEq(market.bound(_giver, _taker, market.currentEpoch()), 4 * COLLATERAL_EPOCHS * RATE, "for all");
        _enter(_now() + 1);
        _proveAll();
    }

    /// Must hold: the limit of the operator is for all slots of a call.
    function test_theLimitIsForAll() external {
        _withMore(1);
        vm.prank(_ownerOf(_giver));
        market.setLimits(_giver, type(uint80).max, uint80(2 * RATE - 1));
        Parting[] memory partings = _parting(_several(_giver, 0, 2, _taker), false);
        _send(
            _giver,
            partings,
            abi.encodeWithSelector(ILosses.LossLimitExceeded.selector, _giver, 2 * RATE, 2 * RATE - 1)
        );
        Parting[] memory apart = new Parting[](2);
        apart[0] = _parting(_several(_giver, 0, 1, _taker), false)[0];
        apart[1] = _parting(_several(_giver, 1, 2, _taker), false)[0];
        _send(
            _giver,
            apart,
            abi.encodeWithSelector(ILosses.LossLimitExceeded.selector, _giver, 2 * RATE, 2 * RATE - 1)
        );
    }

    /// Must hold: what the operator declares lost and what it hands over in an epoch count against one limit, whichever comes
    /// first. In the next epoch it begins again.
    function test_theLimitIsForLossesToo() external {
        _withMore(1);
        vm.prank(_ownerOf(_giver));
        market.setLimits(_giver, type(uint80).max, uint80(2 * RATE - 1));
        bytes memory exceeded = abi.encodeWithSelector(
            ILosses.LossLimitExceeded.selector,
            _giver,
            2 * RATE,
            2 * RATE - 1
        );
        uint256 snapshot = vm.snapshotState();
        _lose(_giver, 1);
        _send(_giver, _parting(_several(_giver, 0, 1, _taker), false), exceeded);
        vm.revertToState(snapshot);
        bytes32[] memory words = _lossWords(_giver, 1);
        _send(_giver, _parting(_several(_giver, 0, 1, _taker), false), "");
        vm.prank(_operator(_giver));
        vm.expectRevert(exceeded);
        market.declareLoss(_giver, Epoch.wrap(uint32(_date(3))), false, words);
        vm.revertToState(snapshot);
        vm.prank(_ownerOf(_giver));
        market.setLimits(_giver, type(uint80).max, uint80(2 * RATE));
        _lose(_giver, 1);
        _send(_giver, _parting(_several(_giver, 0, 1, _taker), false), "");
    }

    /// Must hold: what passes on in a call is not passed on twice in it, to whomever.
    function test_notTwiceInACall() external {
        _withMore(1);
        Passing[] memory passings = new Passing[](2);
        passings[0] = _passing(_giver, 1, _taker);
        passings[1] = _afterwards(passings[0], _taker);
        _send(_giver, _parting(passings, false), abi.encodeWithSelector(IHandOvers.NotItsSlot.selector, 0, _taker));
        passings[0] = _passing(_giver, 1, _giver);
        passings[1] = _afterwards(passings[0], _giver);
        Epoch next = Epoch.wrap(uint32(_now() + 1));
        _send(
            _giver,
            _parting(passings, false),
            abi.encodeWithSelector(ILosses.SlotNotBegun.selector, _kept[_giver][1].order, 0, next)
        );
    }

    /// @dev The same slot once it has passed on.
    function _afterwards(Passing memory passing, FarmerId taker) private view returns (Passing memory again) {
        again = _passing(_giver, 1, taker);
        again.held.slots[0].farmer = taker;
        again.held.slots[0].from = Epoch.wrap(uint32(_now() + 1));
        again.held.farmers = Reference.packedFarmers(again.held.slots);
        vm.assertEq(again.takeover.slot, passing.takeover.slot, "the same");
    }

    /// Must hold: of a book a farmer hands over to others or to itself, not both.
    function test_toItselfOrToOthers() external {
        _withMore(1);
        Passing[] memory passings = new Passing[](2);
        passings[0] = _passing(_giver, 0, _giver);
        passings[1] = _passing(_giver, 1, _taker);
        bytes memory reason = abi.encodeWithSelector(IHandOvers.ToItselfAndOthers.selector, 0);
        _send(_giver, _parting(passings, false), reason);
        (passings[0], passings[1]) = (passings[1], passings[0]);
        _send(_giver, _parting(passings, false), reason);
    }

    /// Must hold: to itself a farmer hands over several from the front for nothing, whatever is lost behind them; but not with
    /// others from within, which would leave too little.
    function test_severalToItself() external {
        FarmerId farmer = _register();
        uint16[4] memory rates = [100, 100, 9000, 100];
        FarmerId[] memory three = _registerMany(3);
        three[0] = farmer;
        _store(three, _date(4), 3, rates[0]);
        for (uint256 i = 1; i < 4; ++i) _store(farmer, _date(4), 3, rates[i]);
        _enter(_now() + 1);
        _prove(farmer);
        _lose(farmer, 2);
        Passing[] memory passings = new Passing[](2);
        (passings[0], passings[1]) = (_passing(farmer, 0, farmer), _passing(farmer, 3, farmer));
        (bool done, bytes memory answer) = _tried(farmer, passings);
        vm.assertTrue(!done && bytes4(answer) == IBooks.BookMostlyLost.selector, "too little would be left");
        FarmerId other = _register();
        (done, answer) = _tried(farmer, _several(farmer, 0, 1, other));
        vm.assertTrue(!done && bytes4(answer) == IBooks.BookMostlyLost.selector, "nor if others have it");
        (done, ) = _tried(farmer, _several(farmer, 0, 2, farmer));
        vm.assertTrue(done, "from the front");
    }

    function _tried(FarmerId farmer, Passing[] memory passings) private returns (bool, bytes memory) {
        vm.prank(_operator(farmer));
        return address(market).call(abi.encodeCall(market.handOver, (farmer, _parting(passings, false))));
    }
}

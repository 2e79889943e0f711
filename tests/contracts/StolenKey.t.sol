// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../../contracts/interfaces/IBooks.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {ILosses} from "../../contracts/interfaces/ILosses.sol";
import {
    Acceptance,
    Epoch,
    FarmerId,
    FarmerView,
    Offer,
    OperatorConsent,
    OrderId,
    Terms
} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";
import {Reference} from "./support/Reference.sol";

/// @title What the key of a farm's operator is worth to a thief, with its owner's limits and without
/// @dev The farm keeps four slots of R and has far more at stake than they need. The thief rents from it, with the key, what
/// nobody keeps. The owner notices after some epochs, names another operator and gives the junk up.
contract StolenKeyTest is AttackTest {
    uint256 private constant HONEST = 4;
    uint256 private constant NEW_KEY = 4711;
    uint80 private constant UNLIMITED = type(uint80).max;

    FarmerId private _victim;
    address private _thief;

    function _begin() private {
        _victim = _register();
        for (uint256 i = 0; i < HONEST; ++i) _store(_victim, _date(6), 1, R);
        _enter(_now() + 1);
        _prove(_victim);
        _thief = _asOwnRenter();
    }

    function _limit(uint256 ceiling, uint256 lossLimit) private {
        vm.prank(_ownerOf(_victim));
        market.setLimits(_victim, uint80(ceiling), uint80(lossLimit));
    }

    /// @dev The thief's order, of as much as it can: what is left under the ceiling, or of the stake.
    function _placeJunk() private returns (uint256 rate) {
        uint256 stake = market.farmer(_victim).stake;
        uint256 most = market.farmer(_victim).ceiling;
        if (most > stake / COLLATERAL_EPOCHS) most = stake / COLLATERAL_EPOCHS;
        rate = most - HONEST * R;
        (Terms memory terms, Acceptance[] memory more) = _offered(_one(_victim), _date(5), 1, rate + 1);
        _deposit((rate + 1) * 100);
        vm.prank(renter);
        (bool done, ) = address(market).call(abi.encodeCall(market.place, (terms, more)));
        vm.assertTrue(!done, "no unit more");
        if (rate > 0) _store(_victim, _date(5), 1, rate);
    }

    /// @dev The thief declares lost whatever it may, the junk first.
    function _declareAll(uint256 lossLimit) private returns (uint256 declared) {
        for (uint256 i = _kept[_victim].length; i > 0; --i) {
            uint256 rate = _kept[_victim][i - 1].rate;
            if (_kept[_victim][i - 1].lostEpoch != type(uint256).max) continue;
            if (declared + rate <= lossLimit) {
                _lose(_victim, i - 1);
                declared += rate;
                continue;
            }
            bytes32[] memory words = _lossWords(_victim, i - 1);
            vm.expectRevert(
                abi.encodeWithSelector(ILosses.LossLimitExceeded.selector, _victim, declared + rate, lossLimit)
            );
            vm.prank(_operator(_victim));
            market.declareLoss(_victim, Epoch.wrap(_kept[_victim][i - 1].end), false, words);
        }
    }

    /// @dev The owner's answer: another operator, at once, and what the thief placed is given up.
    function _recover() private {
        address owner = _ownerOf(_victim);
        OperatorConsent memory consent = _consentTo(NEW_KEY, owner, _victim);
        vm.prank(owner);
        market.setOperator(_victim, vm.addr(NEW_KEY), true, consent);
        for (uint256 i = HONEST; i < _kept[_victim].length; ++i) {
            if (_kept[_victim][i].lostEpoch != type(uint256).max) continue;
            bytes32[] memory words = _lossWords(_victim, i);
            vm.prank(owner);
            market.declareLoss(_victim, Epoch.wrap(_kept[_victim][i].end), false, words);
            _giveUp(_victim, i);
        }
    }

    /// Must hold: junk that is declared lost costs the unused part of the ceiling, and honest slots what the owner let the
    /// operator give up in an epoch, times the epochs until the key is changed. The thief wins no more than that.
    function testFuzz_junkAndDeclareLoss(uint256 unused, uint256 lossLimit, uint256 epochs) external {
        unused = _within(unused, 0, 40 * R);
        lossLimit = _within(lossLimit, 0, 60 * R);
        epochs = _within(epochs, 1, 2);
        _begin();
        _limit(HONEST * R + unused, lossLimit);
        uint256 before = _worth(_victim);
        uint256 thiefBefore = _money(_thief);
        uint256 junk = _placeJunk();
        vm.assertLe(junk, unused, "no more than that");
        uint256 declared = 0;
        for (uint256 i = 0; i < epochs; ++i) {
            _enter(_now() + 1);
            // The thief knows what is in its junk, and anyone may send a proof.
            if (_rateAt(_victim, _now()) > 0) _prove(_victim);
            declared += _declareAll(lossLimit);
        }
        _recover();
        for (uint256 i = 0; i < 2; ++i) {
            _enter(_now() + 1);
            if (_rateAt(_victim, _now()) > 0) _prove(_victim);
        }
        vm.assertTrue(!market.farmer(_victim).lapsed, "the farm goes on");
        uint256 most = COLLATERAL_EPOCHS * (junk + declared);
        vm.assertLe(declared, epochs * lossLimit, "so much an epoch");
        vm.assertLe(before, _worth(_victim) + most, "what it costs the farm at most");
        _closeAll();
        vm.assertLe(_money(_thief), thiefBefore + most, "what the thief wins at most");
    }

    /// Must hold: junk in a book in which the farm keeps less than a 31st of it cannot be given up alone, but with what is
    /// there. So it costs the unused part of the ceiling, and a 31st of that at most.
    function test_junkInABookOfLittle() external {
        _begin();
        _limit(33 * HONEST * R, 0);
        uint256 unused = market.farmer(_victim).ceiling - HONEST * R;
        uint256 before = _worth(_victim);
        uint256 date = _kept[_victim][0].end;
        _store(_victim, date, 1, unused);
        _enter(_now() + 1);
        _prove(_victim);
        bytes32[] memory words = _lossWords(_victim, HONEST);
        vm.startPrank(_ownerOf(_victim));
        vm.expectPartialRevert(IBooks.BookMostlyLost.selector);
        market.declareLoss(_victim, Epoch.wrap(uint32(date)), false, words);
        for (uint256 i = 0; i < HONEST; ++i) words = Reference.joined(words, _lossWords(_victim, i));
        market.declareLoss(_victim, Epoch.wrap(uint32(date)), false, words);
        vm.stopPrank();
        vm.assertEq(market.farmer(_victim).committedRate, 0, "rid of it");
        vm.assertLe(before, _worth(_victim) + (COLLATERAL_EPOCHS * unused * 32) / 31, "what it costs the farm at most");
    }

    /// Must hold: junk with which the farm cannot prove costs the unused part of the ceiling, and what is missed until the owner
    /// notices; nothing of what the rest of the farm has at stake, if that is before it lapses.
    function testFuzz_junkAndLapse(uint256 unused, uint256 missed) external {
        unused = _within(unused, 1, 40 * R);
        missed = _within(missed, 1, MAX_MISSES - 2);
        _begin();
        _limit(HONEST * R + unused, 0);
        uint256 before = _worth(_victim);
        uint256 junk = _placeJunk();
        _enter(_now() + 1 + missed); // whenever a leaf of the junk is drawn
        _recover(); // in the epoch of which the seed is known, which is lost too
        _enter(_now() + 1);
        _prove(_victim);
        vm.assertTrue(!market.farmer(_victim).lapsed, "the farm goes on");
        uint256 fines = (missed + 1) * (PENALTY + FINE) * (HONEST * R + junk);
        vm.assertLe(before + HONEST * R, _worth(_victim) + COLLATERAL_EPOCHS * junk + fines, "what it costs");
    }

    /// Must hold: where nobody answers until the farm lapses, its ceiling bounds only what the junk adds: gone is what all that it
    /// is committed to has at stake, honest slots and junk alike, with the fines until then and the reward for the eviction.
    /// What is at stake beyond that is the owner's. The thief wins what its junk had at stake, the penalties for it, and the
    /// reward if it is the one that evicts.
    function testFuzz_junkUntilTheLapse(uint256 unused) external {
        unused = _within(unused, 1, 40 * R);
        _begin();
        _limit(HONEST * R + unused, 0);
        uint256 before = _worth(_victim);
        uint256 thiefBefore = _money(_thief);
        uint256 junk = _placeJunk();
        uint256 rate = HONEST * R + junk;
        vm.assertLe(2 * COLLATERAL_EPOCHS * rate, market.farmer(_victim).stake, "it has far more than it needs");
        _lapse(_victim);
        vm.assertTrue(market.farmer(_victim).lapsed, "nobody answered");
        vm.prank(_thief);
        market.evict(_victim);
        uint256 lost = (COLLATERAL_EPOCHS + 1 + MAX_MISSES * (PENALTY + FINE)) * rate;
        vm.assertEq(before - _worth(_victim), lost, "what it costs the farm");
        _closeAll();
        uint256 won = (COLLATERAL_EPOCHS + MAX_MISSES * PENALTY) * junk + rate;
        vm.assertEq(_money(_thief) + market.earnings(_thief) - thiefBefore, won, "what the thief wins");
    }

    /// Must hold: without limits either costs all that is at stake.
    function testFuzz_withoutLimitsItIsTheWholeStake(bool declares) external {
        _begin();
        uint256 junk = _placeJunk();
        vm.assertTrue(market.farmer(_victim).stake < COLLATERAL_EPOCHS * (HONEST * R + junk + 1), "all of it");
        _enter(_now() + 1);
        if (declares) {
            _prove(_victim);
            _declareAll(UNLIMITED);
            vm.assertTrue(market.farmer(_victim).stake < COLLATERAL_EPOCHS, "at once");
        } else {
            _lapse(_victim);
            market.evict(_victim);
            vm.assertEq(_worth(_victim) - market.earnings(_ownerOf(_victim)), 0, "by its misses");
            vm.assertEq(market.earnings(_ownerOf(_victim)), HONEST * R, "what it earned before");
        }
    }

    /// Must hold: what the thief announces in the farm's name (its price, what reading costs, where it is) moves no money: what is
    /// stored is paid as before. The owner can announce the right thing again, whatever its operator is, and with another
    /// operator the thief can't any more.
    function testFuzz_updateFarmer(Offer memory offer, string memory endpoint) external {
        _begin();
        FarmerView memory before = market.farmer(_victim);
        FarmerView memory expected = _with(market.farmer(_victim), endpoint, offer);
        address thief = _operator(_victim);
        vm.prank(thief);
        market.updateFarmer(_victim, endpoint, offer);
        vm.assertEq(_digest(market.farmer(_victim)), _digest(expected), "any offer, any endpoint, and nothing else");
        uint256 earned = market.earnings(_ownerOf(_victim));
        _enter(_now() + 1);
        _prove(_victim);
        vm.assertEq(market.earnings(_ownerOf(_victim)) - earned, HONEST * R, "paid as before");
        vm.prank(_ownerOf(_victim));
        market.updateFarmer(_victim, before.endpoint, before.offer);
        FarmerView memory restored = market.farmer(_victim);
        vm.assertEq(keccak256(abi.encode(restored.offer)), keccak256(abi.encode(before.offer)), "by the owner");
        vm.assertEq(keccak256(bytes(restored.endpoint)), keccak256(bytes(before.endpoint)), "by the owner, too");
        _recover();
        vm.expectRevert(abi.encodeWithSelector(IFarmers.NotOwnerOrOperator.selector, _victim, thief));
        vm.prank(thief);
        market.updateFarmer(_victim, endpoint, offer);
    }

    /// Must hold: the owner alone sets limits, of a farmer that has not lapsed; they bind the operator, never the owner.
    function testFuzz_limitsAreTheOwners(address stranger, uint80 ceiling, uint80 lossLimit) external {
        _begin();
        vm.assume(stranger != _ownerOf(_victim));
        vm.expectRevert(abi.encodeWithSelector(IFarmers.NotOwner.selector, _victim, stranger));
        vm.prank(stranger);
        market.setLimits(_victim, ceiling, lossLimit);
        vm.prank(_ownerOf(_victim));
        market.setLimits(_victim, ceiling, lossLimit);
        vm.assertEq(market.farmer(_victim).lossLimit, lossLimit, "shown");
        vm.assertLe(market.farmer(_victim).ceiling, ceiling, "shown too");
        vm.assertEq(market.farmer(_victim).committedRate, HONEST * R, "what it has it keeps");
        _limit(0, 0);
        vm.assertEq(market.farmer(_victim).ceiling, 0, "nothing more");
        _enter(_now() + 1);
        _prove(_victim);
        _declareAll(0);
        bytes32[] memory words = _lossWords(_victim, 0);
        vm.prank(_ownerOf(_victim));
        market.declareLoss(_victim, Epoch.wrap(_kept[_victim][0].end), false, words);
        vm.assertEq(market.farmer(_victim).committedRate, (HONEST - 1) * R, "by the owner");
        _limit(UNLIMITED, UNLIMITED);
        vm.assertEq(market.farmer(_victim).ceiling, UNLIMITED, "none again");
        _lose(_victim, 1);
    }

    /// Must hold: what counts against the limit is what was declared in this epoch, by the operator.
    function test_theLimitIsAnEpochs() external {
        _begin();
        _limit(HONEST * R, 2 * R);
        _enter(_now() + 1);
        _prove(_victim);
        vm.assertEq(_declareAll(2 * R), 2 * R, "two");
        _enter(_now() + 1);
        _prove(_victim);
        vm.assertEq(_declareAll(2 * R), 2 * R, "and two");
        vm.assertEq(market.farmer(_victim).committedRate, 0, "all");
    }

    function _with(
        FarmerView memory farmer,
        string memory endpoint,
        Offer memory offer
    ) private pure returns (FarmerView memory) {
        (farmer.endpoint, farmer.offer) = (endpoint, offer);
        return farmer;
    }

    function _digest(FarmerView memory farmer) private pure returns (bytes32) {
        return keccak256(abi.encode(farmer));
    }

    function _closeAll() private {
        _enter(_date(7));
        for (uint256 i = 0; i < _placed.length; ++i) {
            OrderId order = _placed[i];
            if (_stored[order].renter == _thief) _close(order);
        }
    }
}

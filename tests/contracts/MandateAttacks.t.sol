// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMandateExtensions} from "../../contracts/interfaces/IMandateExtensions.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {Acceptance, FarmerId, MandateTerms, OrderId} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MandateTest} from "./support/MandateTest.sol";

/// @title The attacks on mandates of docs/economics.md, played out
/// @dev Orders of three slots, any one of which gives the data back: one of them may begin vacant.
contract MandateAttacksTest is MandateTest {
    /// @dev The order goes on without its first farmer, two epochs before it ends.
    function _leaveOut() private returns (OrderId next) {
        _begin(3, 1);
        _deposit(1e12);
        MandateTerms memory terms = _mandate();
        terms.termEpochs = uint32(2 * GRID_EPOCHS);
        _give(2, terms, _order);
        while (_now() < _stored[_order].end - 2) _epochPasses();
        next = _extendByMandate(_order, _date(3), R, 1);
    }

    function _proveAll(uint256 epoch) private {
        while (_now() < epoch) _epochPasses();
    }

    function _epochPasses() private {
        _enter(_now() + 1);
        for (uint256 f = 0; f < 3; ++f) if (_rateAt(_farmers[f], _now()) > 0) _prove(_farmers[f]);
    }

    /// Must hold: a farmer that was left out though it would have gone on takes its slot back before its order ends, without
    /// a gap, for no bounty: who left it out has the fee and nothing else.
    function test_leftOutAndBack() external {
        OrderId next = _leaveOut();
        _epochPasses();
        vm.roll((_stored[next].from - 1) * EPOCH_BLOCKS);
        uint256 before = market.vault(renter);
        _refill(next, 0, _farmers[0], EXTENDER);
        vm.assertEq(market.earnings(EXTENDER), FEE, "the fee");
        vm.assertEq(market.vault(renter) - before, (R * COLLATERAL_EPOCHS) / 2, "what was set aside comes back");
        _enter(_stored[next].from);
        before = market.earnings(_ownerOf(_farmers[0]));
        _prove(_farmers[0]);
        vm.assertEq(market.earnings(_ownerOf(_farmers[0])) - before, R, "paid without a gap");
    }

    /// Must hold: who leaves out an honest farmer to give its slot to one that has nothing loses more than it wins, but for
    /// the fee, whenever it comes.
    function testFuzz_leaveOutAndPretend(uint256 wait) external {
        OrderId next = _leaveOut();
        _enter(_stored[next].from - 1);
        vm.roll(block.number + _within(wait, 0, 60));
        FarmerId pretender = _register();
        _refill(next, 0, pretender, EXTENDER);
        _enter(_now() + 1 + MAX_MISSES);
        if (market.farmer(pretender).lapsed) {
            vm.prank(EXTENDER);
            market.evict(pretender);
        }
        _enter(_stored[next].end + 1);
        uint256 have = market.earnings(EXTENDER) + _worth(pretender);
        vm.assertTrue(have < STAKE + FEE, "a loss beside the fee");
    }

    /// Must hold: farmers that ask the mandate's highest price instead of their own are paid that, and no unit more.
    function test_theyAskTheHighest() external {
        _begin(3, 1);
        _deposit(1e12);
        MandateTerms memory terms = _mandate();
        terms.highestPrice = _priceOf(2 * R);
        _give(2, terms, _order);
        uint256 before = market.vault(renter);
        _extendByMandate(_order, _date(2), 2 * R, 0);
        vm.assertEq(before - market.vault(renter), 3 * 2 * R * GRID_EPOCHS + FEE, "twice the price");
    }

    /// Must hold: farmers and an extender that are one gang raise what reading costs to what the mandate says, and no
    /// further; nor is it theirs to set for a slot that they leave out.
    function test_theySetARansom() external {
        _begin(3, 1);
        _deposit(1e12);
        _proveAll(_stored[_order].end - 1);
        uint256 price = _offer().egressPricePerGib;
        Acceptance[] memory acceptances = _signedFor(_order, _date(2), R, EXTENDER, 1);
        acceptances[1] = _signedBy(_farmers[1], _order, 1, _date(2), R, type(uint80).max, EXTENDER);
        bytes4 above = IMandateExtensions.EgressPriceAboveMandate.selector;
        _refused(_order, acceptances, abi.encodeWithSelector(above, 1, type(uint80).max, price));
        acceptances[1] = _signedBy(_farmers[1], _order, 1, _date(2), R, EXTENDER);
        acceptances[0].maxEgressPricePerGib = 0;
        bytes4 other = IMandateExtensions.OtherEgressPrice.selector;
        _refused(_order, acceptances, abi.encodeWithSelector(other, 0, 0, price));
    }

    /// Must hold: a renter that extends its own order pays the fee to itself.
    function test_renterAndExtender() external {
        _begin(1, 1);
        _deposit(1e12);
        Acceptance[] memory acceptances = _signedFor(_order, _date(2), R, renter, 0);
        vm.prank(renter);
        market.extendByMandate(_held(_order), acceptances, renter);
        vm.assertEq(market.vault(renter) + market.earnings(renter), 1e12 - R * GRID_EPOCHS, "the order, and no more");
    }

    /// Must hold: of two that extend the same order the first has the fee; the other's call fails whole.
    function test_raceForTheFee() external {
        _begin(2, 1);
        _deposit(1e12);
        address other = address(0x07E4);
        Acceptance[] memory first = _signedFor(_order, _date(2), R, EXTENDER, 0);
        Acceptance[] memory second = _signedFor(_order, _date(2), R, other, 0);
        market.extendByMandate(_held(_order), first, EXTENDER);
        vm.prank(other);
        bytes memory data = abi.encodeCall(market.extendByMandate, (_held(_order), second, other));
        vm.expectRevert(abi.encodeWithSelector(IOrders.AlreadyExtended.selector, _order));
        (bool done, ) = address(market).call(data);
        done;
        vm.assertEq(market.earnings(EXTENDER), FEE, "the first");
        vm.assertEq(market.earnings(other), 0, "not the other");
        vm.assertEq(market.farmer(_farmers[0]).committedRate, 2 * R, "bound once");
    }

    /// Must hold: a farmer that signs for nobody stops nothing: the others go on, and it has the pay of its slot no more.
    function test_holdOut() external {
        OrderId next = _leaveOut();
        while (_now() < _stored[next].from + 1) _epochPasses();
        uint256 mine = market.earnings(_ownerOf(_farmers[0]));
        uint256 others = market.earnings(_ownerOf(_farmers[1]));
        vm.assertTrue(mine < others, "less than those that go on");
        vm.assertEq(market.order(next).n, 3, "the order goes on");
    }

    /// Must hold: a farmer that lost its slot and goes on with it all the same loses more than one that does not.
    function testFuzz_goOnWithoutTheData(bool goesOn) external {
        _begin(3, 1);
        _deposit(1e12);
        _epochPasses();
        _lose(_farmers[0], 0);
        while (_now() < _stored[_order].end - 1) _epochPasses();
        uint256 before = _worth(_farmers[0]);
        OrderId next = _extendByMandate(_order, _date(2), R, goesOn ? 0 : 1);
        _enter(_stored[next].from + 3);
        market.settle(_farmers[0]);
        vm.assertEq(before - _worth(_farmers[0]), goesOn ? 3 * (PENALTY + FINE) * R : 0, "misses, or nothing");
    }
}

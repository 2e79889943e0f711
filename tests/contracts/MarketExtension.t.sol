// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {EXTENSION_INTERFACE, IMarket, MARKET_INTERFACE} from "../../contracts/interfaces/IMarket.sol";
import {IParts} from "../../contracts/interfaces/IParts.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {GrangeToken} from "../../contracts/token/GrangeToken.sol";
import {Acceptance, FarmerId, Parameters, Permit, Terms, Voucher} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MarketTest} from "./support/MarketTest.sol";
import {ReentrantToken} from "./support/Tokens.sol";

/// @title The market's two contracts, of which only one is the market
contract MarketExtensionTest is MarketTest {
    function _marketExtension() private view returns (IMarket) {
        address[] memory parts = market.parts();
        vm.assertEq(parts.length, 1, "parts");
        return IMarket(parts[0]);
    }

    /// Must hold: market and extension say what they answer to (ERC-165), each for itself.
    function testFuzz_supportsInterface(bytes4 other) external view {
        bytes4 self = type(IERC165).interfaceId;
        vm.assume(other != self && other != MARKET_INTERFACE && other != EXTENSION_INTERFACE);
        IMarket extension = _marketExtension();
        vm.assertTrue(market.supportsInterface(self) && extension.supportsInterface(self), "ERC-165");
        vm.assertTrue(market.supportsInterface(MARKET_INTERFACE), "the market");
        vm.assertTrue(extension.supportsInterface(EXTENSION_INTERFACE), "the extension");
        vm.assertTrue(!market.supportsInterface(EXTENSION_INTERFACE), "the market is no extension");
        vm.assertTrue(!extension.supportsInterface(MARKET_INTERFACE), "the extension is no market");
        vm.assertTrue(!market.supportsInterface(other) && !extension.supportsInterface(other), "anything else");
    }

    /// Must hold: a market is made only over an extension: not over an account, a token or another market.
    function testFuzz_notAnExtension(address nothing) external {
        vm.assume(nothing.code.length == 0 && uint160(nothing) > 0xffff);
        Parameters memory p = _parameters(address(token));
        address[3] memory wrong = [nothing, address(token), address(market)];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IParts.NotThisPart.selector, wrong[i], EXTENSION_INTERFACE));
            _create("Market.sol:Market", abi.encode(p, wrong[i]));
        }
    }

    /// Must hold: a market is made only over an extension with its own parameters, to the last of them.
    function test_extensionOfOtherParameters() external {
        Parameters memory p = _parameters(address(token));
        address extension = _createExtension(p);
        ++p.formerOperatorBlocks;
        vm.expectRevert(abi.encodeWithSelector(IParts.OtherParameters.selector, extension));
        _create("Market.sol:Market", abi.encode(p, extension));
        --p.formerOperatorBlocks;
        p.token = address(new GrangeToken(1));
        vm.expectRevert(abi.encodeWithSelector(IParts.OtherParameters.selector, extension));
        _create("Market.sol:Market", abi.encode(p, extension));
        p.token = address(token);
        IMarket made = IMarket(_create("Market.sol:Market", abi.encode(p, extension)));
        vm.assertEq(made.parts()[0], extension, "its extension");
    }

    /// Must hold: what is done with the market extension itself happens in it alone; the market knows nothing of it and loses nothing.
    function test_theMarketExtensionItself() external {
        IMarket extension = _marketExtension();
        vm.assertTrue(address(extension).code.length > 0, "it is there");
        vm.assertEq(extension.parameters().token, address(token), "the same parameters");
        token.approve(address(extension), type(uint256).max);
        market.deposit(1000);
        extension.deposit(500);
        FarmerId there = extension.register(address(this), address(this), "", _offer(), 70, _itself());
        vm.assertEq(FarmerId.unwrap(there), 1, "a farmer of its own");
        vm.assertEq(market.farmerCount(), 0, "of which the market knows nothing");
        vm.assertEq(market.vault(address(this)), 1000, "the market's vault");
        vm.assertEq(token.balanceOf(address(market)), 1000, "the market's tokens");
        extension.requestWithdrawal(type(uint224).max);
        extension.unstake(there, 70);
        extension.claim(address(this), 70);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        extension.withdraw(address(this));
        vm.assertEq(token.balanceOf(address(extension)), 0, "what came in went out");
        vm.assertEq(token.balanceOf(address(market)), 1000, "of its own");
        (uint256 announced, ) = market.withdrawal(address(this));
        vm.assertEq(announced, 0, "nothing announced to the market");
    }

    /// Must hold: the market extension has no orders and pays no vouchers.
    function test_theMarketExtensionHasNoOrders() external {
        address extension = address(_marketExtension());
        Terms memory terms;
        bytes[3] memory calls = [
            abi.encodeCall(IMarket(extension).place, (terms, new Acceptance[](0))),
            abi.encodeCall(IMarket(extension).redeem, (FarmerId.wrap(1), new Voucher[](0))),
            abi.encodeCall(IMarket(extension).evict, (FarmerId.wrap(1)))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool done, bytes memory answer) = extension.call(calls[i]);
            vm.assertTrue(!done && answer.length == 0, "no such call");
        }
    }

    /// Must hold: neither half takes ether, nor answers to what is no call of either.
    function test_noSuchCall() external {
        (bool done, ) = address(market).call{value: 1}("");
        vm.assertTrue(!done, "no ether");
        (done, ) = address(market).call{value: 1}(abi.encodeCall(IVault.deposit, (1)));
        vm.assertTrue(!done, "no ether with a call");
        (done, ) = address(market).call("");
        vm.assertTrue(!done, "no call");
        (done, ) = address(market).call(hex"deadbeef");
        vm.assertTrue(!done, "no such call");
    }

    /// Must hold: while the one half calls the token, the other cannot be entered either.
    function test_guardedTogether() external {
        bytes memory entered = abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        ReentrantToken re = new ReentrantToken(SUPPLY);
        market = _deploy(_parameters(address(re)));
        re.approve(address(market), type(uint256).max);
        renter = address(this);
        FarmerId farmer = _register(1e6);
        re.deposit(market, 1000);
        re.attack(market, abi.encodeCall(IVault.claim, (address(1), 1)));
        Terms memory terms = _terms("salt", _date(1), 1, 1, 1);
        Acceptance[] memory acceptances = new Acceptance[](1);
        acceptances[0] = _accept(terms, farmer, 0, "root", 10);
        uint256 price = 10 * (_date(1) - _now() - 1);
        market.placeWithPermit(terms, acceptances, Permit(price, 0, 0, 0, 0));
        vm.assertEq(keccak256(re.answer()), keccak256(entered), "the market extension while placing");
        re.attack(market, abi.encodeCall(IMarket(address(0)).place, (terms, acceptances)));
        market.addStake(farmer, 5);
        vm.assertEq(keccak256(re.answer()), keccak256(entered), "orders while staking");
        vm.assertEq(market.farmer(farmer).stake, 1e6 + 5, "staked once");
    }

    /// Must hold: calls that the guard leaves open, made from within a deposit of stake, cannot make it count twice.
    function test_unguardedCallsWithin() external {
        ReentrantToken re = new ReentrantToken(SUPPLY);
        market = _deploy(_parameters(address(re)));
        re.approve(address(market), type(uint256).max);
        FarmerId farmer = market.register(address(re), address(this), "", _offer(), 100, _itself());
        re.attackAnd(market, abi.encodeCall(IFarmers.unstake, (farmer, 50)));
        market.addStake(farmer, 50);
        vm.assertEq(market.farmer(farmer).stake, 100, "stake");
        vm.assertEq(market.earnings(address(re)), 50, "earnings");
        vm.assertEq(re.balanceOf(address(market)), 150, "tokens");
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Acceptance, FarmerId, Permit, Terms, Voucher} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MarketTest} from "./support/MarketTest.sol";
import {ReentrantToken} from "./support/Tokens.sol";

/// @title The market's two contracts, of which only one is the market
contract MarketExtensionTest is MarketTest {
    /// @dev The contract that the market creates first.
    function _marketExtension() private view returns (IMarket) {
        bytes32 hash = keccak256(abi.encodePacked(hex"d694", address(market), hex"01"));
        return IMarket(address(uint160(uint256(hash))));
    }

    /// Must hold: what is done with the market extension itself happens in it alone; the market knows nothing of it and loses nothing.
    function test_theMarketExtensionItself() external {
        IMarket extension = _marketExtension();
        vm.assertTrue(address(extension).code.length > 0, "it is there");
        vm.assertEq(extension.parameters().token, address(token), "the same parameters");
        token.approve(address(extension), type(uint256).max);
        market.deposit(1000);
        extension.deposit(500);
        FarmerId there = extension.register(address(this), address(this), "", _offer(), 70);
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
        FarmerId farmer = market.register(address(re), address(re), "", _offer(), 100);
        re.attackAnd(market, abi.encodeCall(IFarmers.unstake, (farmer, 50)));
        market.addStake(farmer, 50);
        vm.assertEq(market.farmer(farmer).stake, 100, "stake");
        vm.assertEq(market.earnings(address(re)), 50, "earnings");
        vm.assertEq(re.balanceOf(address(market)), 150, "tokens");
    }
}

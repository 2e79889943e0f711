// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Epoch, FarmerId, Permit} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MarketTest} from "./support/MarketTest.sol";

/// @title Tokens come into vaults and go out of them, and nothing else happens to them
contract VaultTest is MarketTest {
    /// Must hold: a deposit moves the tokens and makes the vault that much larger.
    function testFuzz_depositMovesTheTokens(uint256 amount) external {
        amount = _within(amount, 1, 1e30);
        vm.expectEmit(true, true, true, true, address(market));
        emit IVault.Deposited(renter, amount);
        _deposit(amount);
        vm.assertEq(market.vault(renter), amount, "vault");
        vm.assertEq(token.balanceOf(address(market)), amount, "the market's tokens");
        vm.assertEq(token.balanceOf(renter), 1e30 - amount, "the renter's tokens");
    }

    /// Must hold: a deposit of nothing is refused.
    function test_depositOfNothing() external {
        vm.expectRevert(IVault.ZeroAmount.selector);
        market.deposit(0);
    }

    /// Must hold: whatever was deposited can be withdrawn, to anyone, as announced.
    function testFuzz_withdrawGivesItBack(uint256 amount, uint256 part, address to) external {
        vm.assume(to != address(0) && to != address(market) && token.balanceOf(to) == 0);
        amount = _within(amount, 1, 1e30);
        part = _within(part, 1, amount);
        _deposit(amount);
        uint256 ready = _now() + WITHDRAW_DELAY_EPOCHS;
        vm.expectEmit(true, true, true, true, address(market));
        emit IVault.WithdrawalRequested(renter, part, Epoch.wrap(uint32(ready)));
        vm.prank(renter);
        market.requestWithdrawal(part);
        _enter(ready);
        vm.expectEmit(true, true, true, true, address(market));
        emit IVault.Withdrawn(renter, to, part);
        vm.prank(renter);
        market.withdraw(to);
        vm.assertEq(token.balanceOf(to), part, "what arrived");
        vm.assertEq(market.vault(renter), amount - part, "what is left");
    }

    /// Must hold: nobody withdraws from another's vault, nor by another's announcement.
    function testFuzz_withdrawIsFromTheCallersVault(address thief, uint256 amount) external {
        vm.assume(thief != renter && thief != address(0) && thief != address(market));
        amount = _within(amount, 1, 1e30);
        _deposit(amount);
        vm.prank(renter);
        market.requestWithdrawal(amount);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        vm.expectRevert(abi.encodeWithSelector(IVault.NothingRequested.selector, thief));
        vm.prank(thief);
        market.withdraw(thief);
        vm.prank(thief);
        market.requestWithdrawal(amount);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        vm.expectRevert(abi.encodeWithSelector(IVault.VaultTooSmall.selector, thief, 0, amount));
        vm.prank(thief);
        market.withdraw(thief);
    }

    /// Must hold: nothing is withdrawn to where it would be lost, and not nothing.
    function test_withdrawToNowhere() external {
        _deposit(10);
        vm.expectRevert(abi.encodeWithSelector(IVault.BadRecipient.selector, address(0)));
        vm.prank(renter);
        market.withdraw(address(0));
        vm.expectRevert(abi.encodeWithSelector(IVault.BadRecipient.selector, address(market)));
        vm.prank(renter);
        market.withdraw(address(market));
        vm.expectRevert(IVault.ZeroAmount.selector);
        vm.prank(renter);
        market.requestWithdrawal(0);
    }

    /// Must hold: a permit deposits without an approval.
    function testFuzz_depositWithPermit(uint256 amount) external {
        amount = _within(amount, 1, 1e30);
        vm.prank(renter);
        token.approve(address(market), 0);
        Permit memory permit = _permit(RENTER_KEY, amount);
        vm.prank(renter);
        market.depositWithPermit(permit);
        vm.assertEq(market.vault(renter), amount, "vault");
    }

    /// Must hold: a permit that somebody submitted first still deposits, once.
    function testFuzz_depositWithUsedPermit(uint256 amount) external {
        amount = _within(amount, 1, 5e29);
        vm.prank(renter);
        token.approve(address(market), 0);
        Permit memory p = _permit(RENTER_KEY, amount);
        token.permit(renter, address(market), p.value, p.deadline, p.v, p.r, p.s);
        vm.prank(renter);
        market.depositWithPermit(p);
        vm.assertEq(market.vault(renter), amount, "vault");
        vm.expectRevert(abi.encodeWithSelector(IVault.PermitRefused.selector, renter, 0, amount));
        vm.prank(renter);
        market.depositWithPermit(p);
    }

    /// Must hold: a permit of another's is refused, and says what would have been needed.
    function testFuzz_depositWithForeignPermit(uint256 amount, uint256 allowed) external {
        amount = _within(amount, 1, 1e30);
        allowed = _within(allowed, 0, amount - 1);
        vm.prank(renter);
        token.approve(address(market), allowed);
        Permit memory permit = _permit(RENTER_KEY + 1, amount);
        vm.expectRevert(abi.encodeWithSelector(IVault.PermitRefused.selector, renter, allowed, amount));
        vm.prank(renter);
        market.depositWithPermit(permit);
    }

    /// Must hold: no more is claimed than was earned, not by one.
    function testFuzz_claimMoreThanWasEarned(uint256 earned, uint256 more) external {
        earned = _within(earned, 1, STAKE);
        more = _within(more, 1, 1e30);
        FarmerId farmer = _register(STAKE);
        address owner = _ownerOf(farmer);
        vm.startPrank(owner);
        market.unstake(farmer, earned);
        uint256[2] memory refused = [earned + 1, earned + more];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IVault.EarningsTooSmall.selector, owner, earned, refused[i]));
            market.claim(owner, refused[i]);
        }
        market.claim(owner, earned);
        vm.stopPrank();
        vm.assertEq(token.balanceOf(owner), earned, "all of it");
    }
}

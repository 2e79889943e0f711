// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Acceptance, FarmerId, Permit, Terms} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {MarketTest} from "./support/MarketTest.sol";
import {FeeToken, RefusingToken, ReentrantToken} from "./support/Tokens.sol";

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

    /// Must hold: whatever was deposited can be withdrawn, to anyone, and no more.
    function testFuzz_withdrawGivesItBack(uint256 amount, uint256 part, address to) external {
        vm.assume(to != address(0) && to != address(market) && token.balanceOf(to) == 0);
        amount = _within(amount, 1, 1e30);
        part = _within(part, 1, amount);
        _deposit(amount);
        vm.expectEmit(true, true, true, true, address(market));
        emit IVault.Withdrawn(renter, to, part);
        vm.prank(renter);
        market.withdraw(to, part);
        vm.assertEq(token.balanceOf(to), part, "what arrived");
        vm.assertEq(market.vault(renter), amount - part, "what is left");
        vm.expectRevert(
            abi.encodeWithSelector(IVault.VaultTooSmall.selector, renter, amount - part, amount - part + 1)
        );
        vm.prank(renter);
        market.withdraw(to, amount - part + 1);
    }

    /// Must hold: nobody withdraws from another's vault.
    function testFuzz_withdrawIsFromTheCallersVault(address thief, uint256 amount) external {
        vm.assume(thief != renter && thief != address(0));
        amount = _within(amount, 1, 1e30);
        _deposit(amount);
        vm.expectRevert(abi.encodeWithSelector(IVault.VaultTooSmall.selector, thief, 0, amount));
        vm.prank(thief);
        market.withdraw(thief, amount);
    }

    /// Must hold: nothing is withdrawn to where it would be lost, and not nothing.
    function test_withdrawToNowhere() external {
        _deposit(10);
        vm.expectRevert(abi.encodeWithSelector(IVault.BadRecipient.selector, address(0)));
        vm.prank(renter);
        market.withdraw(address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.BadRecipient.selector, address(market)));
        vm.prank(renter);
        market.withdraw(address(market), 1);
        vm.expectRevert(IVault.ZeroAmount.selector);
        vm.prank(renter);
        market.withdraw(renter, 0);
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

    /// Must hold: a token that takes a fee is refused, when depositing and when registering.
    function testFuzz_feeTokenIsRefused(uint256 amount) external {
        amount = _within(amount, 1, 1e24);
        FeeToken fee = new FeeToken(SUPPLY);
        IMarket taxed = _deploy(_parameters(address(fee)));
        fee.approve(address(taxed), type(uint256).max);
        bytes memory refusal = abi.encodeWithSelector(IVault.WrongAmountReceived.selector, amount, 0, amount - 1);
        vm.expectRevert(refusal);
        taxed.deposit(amount);
        vm.expectRevert(refusal);
        taxed.register(OWNER, OWNER, "", _offer(), amount);
    }

    /// Must hold: a token that returns false moves nothing and credits nothing.
    function test_refusingTokenIsNoticed() external {
        RefusingToken no = new RefusingToken(SUPPLY);
        IMarket refused = _deploy(_parameters(address(no)));
        no.approve(address(refused), type(uint256).max);
        refused.deposit(100);
        no.refuse();
        bytes memory refusal = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(no));
        vm.expectRevert(refusal);
        refused.deposit(1);
        vm.expectRevert(refusal);
        refused.withdraw(OWNER, 1);
        vm.assertEq(refused.vault(address(this)), 100, "vault");
    }

    /// Must hold: a token that calls back cannot enter any call that moves money.
    function test_reentrantTokenIsHarmless() external {
        bytes[] memory calls = new bytes[](5);
        Terms memory terms;
        calls[0] = abi.encodeCall(IVault.deposit, (1));
        calls[1] = abi.encodeCall(IVault.withdraw, (OWNER, 1));
        calls[2] = abi.encodeCall(IFarmers.register, (OWNER, OWNER, "", _offer(), 1));
        calls[3] = abi.encodeCall(IOrders.place, (terms, new Acceptance[](0)));
        calls[4] = abi.encodeCall(IFarmers.addStake, (FarmerId.wrap(1), 1));
        bytes memory entered = abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        for (uint256 i = 0; i < calls.length; ++i) {
            ReentrantToken re = new ReentrantToken(SUPPLY);
            IMarket attacked = _deploy(_parameters(address(re)));
            re.approve(address(attacked), type(uint256).max);
            re.deposit(attacked, 1000);
            attacked.register(OWNER, OWNER, "", _offer(), 10);
            re.attack(attacked, calls[i]);
            attacked.deposit(100);
            vm.assertEq(keccak256(re.answer()), keccak256(entered), "refused while depositing");
            attacked.withdraw(OWNER, 40);
            vm.assertEq(keccak256(re.answer()), keccak256(entered), "refused while withdrawing");
            vm.assertEq(attacked.vault(address(this)), 60, "my vault");
            vm.assertEq(attacked.vault(address(re)), 1000, "the token's vault");
            vm.assertEq(re.balanceOf(address(attacked)), 1070, "the market's tokens");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Acceptance, FarmerId, Permit, Terms} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MarketTest} from "./support/MarketTest.sol";
import {
    FeeToken,
    OtherPermitToken,
    PhantomPermitToken,
    RebasingToken,
    RefusingToken,
    ReentrantToken
} from "./support/Tokens.sol";

/// @title Tokens that do not do what they say
contract TokensTest is MarketTest {
    address private constant OWNER = address(0xA11CE);

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
        taxed.register(OWNER, address(this), "", _offer(), amount, _itself());
    }

    /// Must hold: tokens that come without a call are nobody's: they change no balance and no call, and stay.
    function testFuzz_aDonationIsNobodys(uint256 amount, uint256 given) external {
        (amount, given) = (_within(amount, 1, 1e24), _within(given, 1, 1e24));
        token.transfer(address(market), given);
        vm.assertEq(market.vault(renter), 0, "no vault has it");
        _deposit(amount);
        vm.assertEq(market.vault(renter), amount, "a deposit counts what it brings");
        _withdrawAll(market, renter);
        vm.assertEq(token.balanceOf(OWNER), amount, "and so does a withdrawal");
        vm.assertEq(token.balanceOf(address(market)), given, "what was given stays");
    }

    /// Must hold: what a rebase adds is nobody's either.
    function testFuzz_aRebaseUpIsNobodys(uint256 amount, uint256 more) external {
        (amount, more) = (_within(amount, 1, 1e24), _within(more, 1, 1e24));
        RebasingToken elastic = new RebasingToken(SUPPLY);
        IMarket floating = _deploy(_parameters(address(elastic)));
        elastic.approve(address(floating), type(uint256).max);
        floating.deposit(amount);
        elastic.rebase(address(floating), amount + more);
        vm.assertEq(floating.vault(address(this)), amount, "as before");
        _withdrawAll(floating, address(this));
        vm.assertEq(elastic.balanceOf(OWNER), amount, "what was deposited");
        vm.assertEq(elastic.balanceOf(address(floating)), more, "the rest stays");
    }

    /// Must hold: what a rebase takes away is missing to those who come last, until somebody makes good for it; nobody is paid
    /// more than the market says it owes, and nothing else breaks.
    function testFuzz_aRebaseDownIsTheLastOnes(uint256 less) external {
        less = _within(less, 1, 1000);
        RebasingToken elastic = new RebasingToken(SUPPLY);
        IMarket floating = _deploy(_parameters(address(elastic)));
        elastic.approve(address(floating), type(uint256).max);
        elastic.transfer(renter, 1000);
        vm.prank(renter);
        elastic.approve(address(floating), type(uint256).max);
        floating.deposit(1000);
        vm.prank(renter);
        floating.deposit(1000);
        elastic.rebase(address(floating), 2000 - less);
        _withdrawAll(floating, address(this));
        vm.assertEq(elastic.balanceOf(OWNER), 1000, "the first is paid whole");
        vm.startPrank(renter);
        floating.requestWithdrawal(1000);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientBalance.selector);
        floating.withdraw(OWNER);
        vm.stopPrank();
        vm.assertEq(floating.vault(renter), 1000, "it is still owed");
        elastic.rebase(address(floating), 1000);
        vm.prank(renter);
        floating.withdraw(OWNER);
        vm.assertEq(elastic.balanceOf(OWNER), 2000, "and paid when it is there again");
    }

    /// Must hold: a fee that the token begins to take later is paid by who takes money out, and by nobody else; and nothing more
    /// comes in.
    function testFuzz_aFeeThatComesLater(uint256 amount) external {
        amount = _within(amount, 2, 1e24);
        RebasingToken taxed = new RebasingToken(SUPPLY);
        IMarket later = _deploy(_parameters(address(taxed)));
        taxed.approve(address(later), type(uint256).max);
        later.deposit(2 * amount);
        taxed.tax();
        bytes memory refusal = abi.encodeWithSelector(
            IVault.WrongAmountReceived.selector,
            amount,
            2 * amount,
            3 * amount - 1
        );
        vm.expectRevert(refusal);
        later.deposit(amount);
        later.requestWithdrawal(amount);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        later.withdraw(OWNER);
        vm.assertEq(taxed.balanceOf(OWNER), amount - 1, "less the fee");
        vm.assertEq(later.vault(address(this)), amount, "the rest is untouched");
        vm.assertEq(taxed.balanceOf(address(later)), amount, "and there");
    }

    /// Must hold: a permit that "succeeds" proves nothing: who calls is who pays, so nobody who approved the market is robbed.
    function test_aPhantomPermitProvesNothing() external {
        PhantomPermitToken phantom = new PhantomPermitToken(SUPPLY);
        IMarket market_ = _deploy(_parameters(address(phantom)));
        phantom.approve(address(market_), type(uint256).max);
        Permit memory permit = Permit({value: 100, deadline: block.timestamp, v: 27, r: "r", s: "s"});
        vm.prank(OWNER);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        market_.depositWithPermit(permit);
        vm.assertEq(phantom.balanceOf(address(this)), SUPPLY, "who approved has all");
        market_.depositWithPermit(permit);
        vm.assertEq(market_.vault(address(this)), 100, "who has approved and calls pays");
    }

    /// Must hold: where the token has no such permit, or another, what was approved counts.
    function test_anotherPermitIsPassedOver() external {
        Permit memory permit = Permit({value: 100, deadline: block.timestamp, v: 27, r: "r", s: "s"});
        address[2] memory tokens = [address(new OtherPermitToken(SUPPLY)), address(new RefusingToken(SUPPLY))];
        for (uint256 i = 0; i < 2; ++i) {
            IMarket market_ = _deploy(_parameters(tokens[i]));
            vm.expectRevert();
            market_.depositWithPermit(permit);
            IERC20(tokens[i]).approve(address(market_), 100);
            market_.depositWithPermit(permit);
            vm.assertEq(market_.vault(address(this)), 100, "deposited");
        }
    }

    function _withdrawAll(IMarket from, address account) private {
        uint256 all = from.vault(account);
        vm.startPrank(account);
        from.requestWithdrawal(all);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        from.withdraw(OWNER);
        vm.stopPrank();
    }

    /// Must hold: a token that returns false moves nothing and credits nothing.
    function test_refusingTokenIsNoticed() external {
        RefusingToken no = new RefusingToken(SUPPLY);
        IMarket refused = _deploy(_parameters(address(no)));
        no.approve(address(refused), type(uint256).max);
        refused.deposit(100);
        refused.requestWithdrawal(1);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        no.refuse();
        bytes memory refusal = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(no));
        vm.expectRevert(refusal);
        refused.deposit(1);
        vm.expectRevert(refusal);
        refused.withdraw(OWNER);
        vm.assertEq(refused.vault(address(this)), 100, "vault");
    }

    /// Must hold: a token that calls back cannot enter any call that moves money.
    function test_reentrantTokenIsHarmless() external {
        bytes[] memory calls = new bytes[](7);
        Terms memory terms;
        calls[0] = abi.encodeCall(IVault.deposit, (1));
        calls[1] = abi.encodeCall(IVault.withdraw, (OWNER));
        calls[2] = abi.encodeCall(IFarmers.register, (OWNER, OWNER, "", _offer(), 1, _itself()));
        calls[3] = abi.encodeCall(IOrders.place, (terms, new Acceptance[](0)));
        calls[4] = abi.encodeCall(IFarmers.addStake, (FarmerId.wrap(1), 1));
        calls[5] = abi.encodeCall(IVault.claim, (OWNER, 1));
        calls[6] = abi.encodeCall(IVault.burn, ());
        bytes memory entered = abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        for (uint256 i = 0; i < calls.length; ++i) {
            ReentrantToken re = new ReentrantToken(SUPPLY);
            IMarket attacked = _deploy(_parameters(address(re)));
            re.approve(address(attacked), type(uint256).max);
            re.deposit(attacked, 1000);
            attacked.register(OWNER, address(this), "", _offer(), 10, _itself());
            attacked.requestWithdrawal(40);
            _enter(_now() + WITHDRAW_DELAY_EPOCHS);
            re.attack(attacked, calls[i]);
            attacked.deposit(100);
            vm.assertEq(keccak256(re.answer()), keccak256(entered), "refused while depositing");
            attacked.withdraw(OWNER);
            vm.assertEq(keccak256(re.answer()), keccak256(entered), "refused while withdrawing");
            vm.assertEq(attacked.vault(address(this)), 60, "my vault");
            vm.assertEq(attacked.vault(address(re)), 1000, "the token's vault");
            vm.assertEq(re.balanceOf(address(attacked)), 1070, "the market's tokens");
        }
    }
}

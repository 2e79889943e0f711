// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Acceptance, FarmerId, Terms} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MarketTest} from "./support/MarketTest.sol";
import {FeeToken, RefusingToken, ReentrantToken} from "./support/Tokens.sol";

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

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Epoch, FarmerId} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title Money that leaves
contract WithdrawTest is FarmTest {
    address private constant TO = address(0x70);

    function _request(uint256 amount) private {
        vm.prank(renter);
        market.requestWithdrawal(amount);
    }

    function _withdraw() private {
        vm.prank(renter);
        market.withdraw(TO);
    }

    /// Must hold: after the delay what was announced leaves, or what is left of it.
    function testFuzz_afterTheDelay(uint256 held, uint256 announced) external {
        held = _within(held, 1, 1e24);
        announced = _within(announced, 1, 2e24);
        _deposit(held);
        _request(announced);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        _withdraw();
        uint256 amount = announced < held ? announced : held;
        vm.assertEq(token.balanceOf(TO), amount, "out");
        vm.assertEq(market.vault(renter), held - amount, "left");
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IVault.NothingRequested.selector, renter));
        market.withdraw(TO);
    }

    /// Must hold: not before.
    function testFuzz_notBefore(uint256 blocks) external {
        _deposit(1000);
        uint256 ready = _now() + WITHDRAW_DELAY_EPOCHS;
        _request(1000);
        vm.roll(block.number + _within(blocks, 0, ready * EPOCH_BLOCKS - 1 - block.number));
        vm.expectRevert(
            abi.encodeWithSelector(IVault.WithdrawalNotReady.selector, Epoch.wrap(uint32(ready)), market.currentEpoch())
        );
        vm.prank(renter);
        market.withdraw(TO);
    }

    /// Must hold: a new announcement takes the place of the old one, and begins the delay again.
    function test_announcedAgain() external {
        _deposit(1000);
        _request(10);
        _enter(_now() + 1);
        _request(20);
        (uint256 amount, Epoch ready) = market.withdrawal(renter);
        vm.assertEq(amount, 20, "amount");
        vm.assertEq(Epoch.unwrap(ready), _now() + WITHDRAW_DELAY_EPOCHS, "ready");
    }

    /// Must hold: announced money can still be spent on orders and vouchers.
    function test_announcedMoneyIsStillSpent() external {
        FarmerId farmer = _register();
        _deposit(1000);
        _request(1000);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        _redeem(farmer, _voucher(RENTER_KEY, farmer, 1000));
        vm.expectRevert(abi.encodeWithSelector(IVault.VaultTooSmall.selector, renter, 0, 1000));
        vm.prank(renter);
        market.withdraw(TO);
    }

    /// Must hold: nothing is announced for nothing or for more than there can be.
    function test_badAmounts() external {
        vm.expectRevert(abi.encodeWithSelector(IVault.ZeroAmount.selector));
        market.requestWithdrawal(0);
        uint256 most = type(uint224).max;
        vm.expectRevert(abi.encodeWithSelector(IVault.AmountTooLarge.selector, most + 1, most));
        market.requestWithdrawal(most + 1);
    }

    /// Must hold: earnings are claimed at once, up to what they are.
    function testFuzz_claim(uint256 earned, uint256 amount) external {
        earned = _within(earned, 1, 1e24);
        amount = _within(amount, 1, 2e24);
        FarmerId farmer = _register();
        _deposit(earned);
        _redeem(farmer, _voucher(RENTER_KEY, farmer, earned));
        address owner = _ownerOf(farmer);
        if (amount > earned) {
            vm.expectRevert(abi.encodeWithSelector(IVault.EarningsTooSmall.selector, owner, earned, amount));
            vm.prank(owner);
            market.claim(TO, amount);
            return;
        }
        vm.prank(owner);
        market.claim(TO, amount);
        vm.assertEq(token.balanceOf(TO), amount, "out");
        vm.assertEq(market.earnings(owner), earned - amount, "left");
    }

    /// Must hold: not to nowhere, not for nothing.
    function test_claimRefused() external {
        vm.expectRevert(abi.encodeWithSelector(IVault.BadRecipient.selector, address(0)));
        market.claim(address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.BadRecipient.selector, address(market)));
        market.claim(address(market), 1);
        vm.expectRevert(abi.encodeWithSelector(IVault.ZeroAmount.selector));
        market.claim(TO, 0);
    }

    /// Must hold: fines leave circulation, and anyone can see to it.
    function testFuzz_burn(address caller) external {
        FarmerId farmer = _register();
        _store(farmer, _date(3), 2, 1000);
        vm.expectRevert(abi.encodeWithSelector(IVault.ZeroAmount.selector));
        market.burn();
        _lapse(farmer);
        vm.prank(caller);
        market.burn();
        vm.assertEq(token.balanceOf(BURNT), MAX_MISSES * FINE * 1000, "out of circulation");
        vm.assertEq(market.earnings(BURNT), 0, "all");
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVouchers} from "../../contracts/interfaces/IVouchers.sol";
import {FarmerId, OrderId, Voucher} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";

/// @title Attacks of docs/economics.md with downloads: not to serve them, and not to pay for them
/// @dev The chain sees of a download only its voucher, so what was served without being paid is what a voucher gives beyond
/// what it brings. To keep that small is the farmer's node's business.
contract DownloadsTest is AttackTest {
    function _list(Voucher memory voucher) private pure returns (Voucher[] memory vouchers) {
        vouchers = new Voucher[](1);
        vouchers[0] = voucher;
    }

    /// Must hold: a farmer that refuses downloads is paid for storage like one that serves, and has less by all that the other
    /// was paid for serving.
    function testFuzz_refuseDownloads(uint256 perEpoch) external {
        perEpoch = _within(perEpoch, 1, 1e18);
        FarmerId[] memory farmers = _registerMany(2);
        (FarmerId serves, FarmerId refuses) = (farmers[0], farmers[1]);
        uint256 end = _date(2);
        uint256 epochs = end - _now() - 1;
        OrderId order = _store(farmers, end, 1, R);
        _deposit(epochs * perEpoch);
        for (uint256 served = perEpoch; _now() + 1 < end; served += perEpoch) {
            _enter(_now() + 1);
            _prove(serves);
            _prove(refuses);
            _redeem(serves, _voucher(RENTER_KEY, serves, served));
        }
        _enter(end);
        _close(order);
        vm.assertEq(_worth(refuses), STAKE + epochs * R, "pay for storage and nothing else");
        vm.assertEq(_worth(serves) - _worth(refuses), epochs * perEpoch, "less by what the other served");
        vm.assertEq(market.vault(renter), 0, "which the renter paid");
    }

    /// Must hold: vouchers over the vault do not make it pay more than it holds, to whomever they are; so farmers lose no more
    /// than they served beyond it, and the renter wins nothing that it had not been served.
    function testFuzz_vouchersOverTheVault(uint256 held, uint256 signed) external {
        held = _within(held, 1, 1e20);
        signed = _within(signed, 1, 2e20);
        FarmerId[] memory farmers = _registerMany(3);
        uint256 before = _money(renter);
        _deposit(held);
        uint256 paid = 0;
        for (uint256 i = 0; i < 3; ++i) {
            Voucher[] memory vouchers = _list(_voucher(RENTER_KEY, farmers[i], signed));
            if (paid == held) {
                vm.expectRevert(abi.encodeWithSelector(IVouchers.NothingToRedeem.selector, farmers[i]));
                market.redeem(farmers[i], vouchers);
                continue;
            }
            market.redeem(farmers[i], vouchers);
            uint256 has = market.earnings(_ownerOf(farmers[i]));
            vm.assertEq(has, held - paid < signed ? held - paid : signed, "in the order of redeeming");
            paid += has;
        }
        uint256 served = 3 * signed;
        vm.assertEq(paid, served < held ? served : held, "the vault and no more");
        vm.assertEq(before - _money(renter), paid, "the renter has paid what they have");
        vm.assertEq(served - paid, served > held ? served - held : 0, "they lose what they served beyond the vault");
    }

    /// Must hold: a renter that empties its vault by a voucher to a farmer of its own, at once, has no more money than before,
    /// and takes nothing that it has paid for orders: a farmer loses its open voucher and no more.
    function testFuzz_emptiedVault(uint256 rate, uint256 open) external {
        rate = _within(rate, 1, 1e12);
        open = _within(open, 1, 1e9);
        FarmerId honest = _register();
        FarmerId own = _register();
        uint256 end = _date(2);
        uint256 epochs = end - _now() - 1;
        _store(honest, end, 1, rate);
        _deposit(1e9);
        uint256 before = _money(renter) + _worth(own);
        _redeem(own, _voucher(RENTER_KEY, own, 1e9));
        vm.assertEq(_money(renter) + _worth(own), before, "the thief has what it had");
        vm.assertEq(market.vault(renter), 0, "the vault is empty");
        Voucher[] memory vouchers = _list(_voucher(RENTER_KEY, honest, open));
        vm.expectRevert(abi.encodeWithSelector(IVouchers.NothingToRedeem.selector, honest));
        market.redeem(honest, vouchers);
        _proveUntil(honest, end - 1);
        vm.assertEq(_worth(honest), STAKE + epochs * rate, "the order is paid, the voucher is not");
    }

    /// Must hold: an announcement does not end, so what is deposited after its delay can be withdrawn at once, before a voucher
    /// is redeemed: the renter then has what it had, and the farmer loses its open voucher and no more.
    function testFuzz_standingAnnouncement(uint256 amount) external {
        amount = _within(amount, 1, 1e24);
        FarmerId farmer = _register();
        vm.prank(renter);
        market.requestWithdrawal(type(uint224).max);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        uint256 before = token.balanceOf(renter);
        _deposit(amount);
        vm.prank(renter);
        market.withdraw(renter);
        vm.assertEq(token.balanceOf(renter), before, "in and out in one block");
        vm.assertEq(market.vault(renter), 0, "nothing left");
        Voucher[] memory vouchers = _list(_voucher(RENTER_KEY, farmer, amount));
        vm.expectRevert(abi.encodeWithSelector(IVouchers.NothingToRedeem.selector, farmer));
        market.redeem(farmer, vouchers);
        vm.assertEq(_worth(farmer), STAKE, "no more than the voucher");
    }
}

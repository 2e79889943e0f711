// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IVouchers} from "../../contracts/interfaces/IVouchers.sol";
import {FarmerId, Voucher} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title Vouchers turned into money
contract RedeemTest is FarmTest {
    /// Must hold: a voucher pays what it gives beyond what was paid, in any order of redeeming, once.
    function testFuzz_theTotalIsPaidOnce(uint256 a, uint256 b) external {
        a = _within(a, 1, 1e24);
        b = _within(b, 1, 1e24);
        FarmerId farmer = _register();
        _deposit(2e24);
        _redeem(farmer, _voucher(RENTER_KEY, farmer, a));
        uint256 most = a > b ? a : b;
        if (b > a) _redeem(farmer, _voucher(RENTER_KEY, farmer, b));
        vm.assertEq(market.earnings(_ownerOf(farmer)), most, "earned");
        vm.assertEq(market.vault(renter), 2e24 - most, "spent");
        vm.assertEq(market.redeemed(farmer, renter, renter), most, "redeemed");
        Voucher[] memory again = new Voucher[](1);
        again[0] = _voucher(RENTER_KEY, farmer, b);
        vm.expectRevert(abi.encodeWithSelector(IVouchers.NothingToRedeem.selector, farmer));
        market.redeem(farmer, again);
    }

    /// Must hold: what the vault does not hold is paid when it does.
    function testFuzz_asFarAsTheVaultGoes(uint256 held, uint256 signed) external {
        held = _within(held, 1, 1e24);
        signed = _within(signed, held, 2e24);
        FarmerId farmer = _register();
        _deposit(held);
        Voucher memory voucher = _voucher(RENTER_KEY, farmer, signed);
        _redeem(farmer, voucher);
        vm.assertEq(market.earnings(_ownerOf(farmer)), held, "what there was");
        if (signed == held) return;
        _deposit(2e24);
        _redeem(farmer, voucher);
        vm.assertEq(market.earnings(_ownerOf(farmer)), signed, "the rest");
    }

    /// Must hold: several renters' vouchers are redeemed in one call, and those with nothing left are passed over.
    function test_many() external {
        FarmerId farmer = _register();
        _deposit(100);
        address other = vm.addr(RENTER_KEY + 1);
        token.transfer(other, 100);
        vm.startPrank(other);
        token.approve(address(market), 100);
        market.deposit(100);
        vm.stopPrank();
        Voucher[] memory vouchers = new Voucher[](3);
        vouchers[0] = _voucher(RENTER_KEY, farmer, 60);
        vouchers[1] = _voucher(RENTER_KEY + 1, farmer, 70);
        vouchers[2] = _voucher(RENTER_KEY, farmer, 50);
        market.redeem(farmer, vouchers);
        vm.assertEq(market.earnings(_ownerOf(farmer)), 130, "both");
    }

    /// Must hold: only the renter's signature for this farmer, sum, chain and market counts.
    function testFuzz_forged(uint256 which) external {
        FarmerId farmer = _register();
        FarmerId other = _register();
        _deposit(1000);
        which = _within(which, 0, 6);
        Voucher memory voucher = _voucher(RENTER_KEY, which == 0 ? other : farmer, 10);
        if (which == 1) voucher.cumulative = 11;
        if (which == 2) voucher.renter = address(1);
        if (which == 3) voucher.renter = address(0);
        if (which == 3) voucher.signature = new bytes(64);
        if (which == 4) voucher.signature[63] ^= 0x01;
        if (which == 5) voucher.signature = bytes.concat(voucher.signature, hex"00");
        if (which == 6) voucher.signature = "";
        Voucher[] memory vouchers = new Voucher[](1);
        vouchers[0] = voucher;
        vm.expectRevert(abi.encodeWithSelector(IVouchers.VoucherForged.selector, voucher.renter, farmer));
        market.redeem(farmer, vouchers);
    }

    /// Must hold: a forged voucher keeps no other from being paid, before or behind it.
    function testFuzz_aForgedOneIsPassedOver(uint256 place) external {
        FarmerId farmer = _register();
        _deposit(1000);
        Voucher[] memory vouchers = new Voucher[](3);
        for (uint256 i = 0; i < 3; ++i) vouchers[i] = _voucher(RENTER_KEY, farmer, 10 * (i + 1));
        place = _within(place, 0, 2);
        vouchers[place] = _voucher(RENTER_KEY + 1, farmer, 999);
        vouchers[place].renter = renter;
        market.redeem(farmer, vouchers);
        vm.assertEq(market.earnings(_ownerOf(farmer)), place == 2 ? 20 : 30, "the highest that was signed");
    }

    /// Must hold: there must be such a farmer.
    function test_unknownFarmer() external {
        vm.expectRevert(abi.encodeWithSelector(IFarmers.UnknownFarmer.selector, FarmerId.wrap(7)));
        market.redeem(FarmerId.wrap(7), new Voucher[](0));
    }

    /// Must hold: what a voucher brought is told, with the total so far.
    function test_aRedemptionIsTold() external {
        FarmerId farmer = _register();
        _deposit(100);
        _redeem(farmer, _voucher(RENTER_KEY, farmer, 60));
        vm.expectEmit(true, true, true, true, address(market));
        emit IVouchers.Redeemed(farmer, renter, renter, 40, 100);
        _redeem(farmer, _voucher(RENTER_KEY, farmer, 130));
    }
}

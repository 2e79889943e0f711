// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVouchers} from "../../contracts/interfaces/IVouchers.sol";
import {FarmerId, Voucher} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {FickleWallet, HostileWallet, OwnedWallet} from "./support/Wallets.sol";

/// @title Renters that are contracts, and what the hostile among them can do to a farmer
contract WalletsTest is AttackTest {
    uint256 private constant OWNER_KEY = 0x0E4;
    uint256 private constant WALLET_GAS = 300_000;
    /// @dev Beside what the wallet takes: to redeem a voucher.
    uint256 private constant REST_GAS = 100_000;
    /// @dev Beside what the wallet takes, for the call of it: EIP-150 keeps a 64th back.
    uint256 private constant GAS_NEEDED = (WALLET_GAS * 64) / 63 + 5_000;

    /// Must hold: what the owner of a contract signed for it is paid out of the contract's vault, like any voucher.
    function testFuzz_aContractPays(uint256 signed) external {
        signed = _within(signed, 1, 2e9);
        OwnedWallet wallet = new OwnedWallet(vm.addr(OWNER_KEY));
        _fund(wallet, 1e9);
        FarmerId farmer = _register();
        _redeem(farmer, _voucherOf(address(wallet), farmer, signed));
        uint256 paid = signed < 1e9 ? signed : 1e9;
        vm.assertEq(market.earnings(_ownerOf(farmer)), paid, "paid");
        vm.assertEq(market.vault(address(wallet)), 1e9 - paid, "out of its vault");
        vm.assertEq(market.redeemed(farmer, address(wallet), address(wallet)), paid, "and it is remembered");
    }

    /// Must hold: a contract that is asked says no to what its owner did not sign.
    function test_anothersSignature() external {
        OwnedWallet wallet = new OwnedWallet(vm.addr(OWNER_KEY));
        _fund(wallet, 1e9);
        FarmerId farmer = _register();
        Voucher memory voucher = _voucherOf(address(wallet), farmer, 10);
        voucher.cumulative = 11;
        _expectForged(farmer, voucher);
    }

    /// Must hold: of two contracts of one owner each pays what was signed for it, and not what was signed for the other.
    function test_twoContractsOfOneOwner() external {
        OwnedWallet first = new OwnedWallet(vm.addr(OWNER_KEY));
        OwnedWallet second = new OwnedWallet(vm.addr(OWNER_KEY));
        _fund(first, 1e9);
        _fund(second, 1e9);
        FarmerId farmer = _register();
        Voucher memory voucher = _voucherOf(address(first), farmer, 10);
        voucher.renter = address(second);
        _expectForged(farmer, voucher);
        voucher.renter = vm.addr(OWNER_KEY);
        _expectForged(farmer, voucher);
        voucher.renter = address(first);
        _redeem(farmer, voucher);
        vm.assertEq(market.vault(address(second)), 1e9, "the other one's vault");
    }

    /// Must hold: whatever a contract does when it is asked, its voucher is passed over, the others are paid, and it costs
    /// who redeems no more gas than is set aside for asking.
    function testFuzz_aHostileContractIsPassedOver(uint256 way, uint256 place) external {
        HostileWallet wallet = new HostileWallet(vm.addr(OWNER_KEY), HostileWallet.Way(_within(way, 0, 6)));
        _fund(wallet, 1e9);
        _deposit(1000);
        FarmerId farmer = _register();
        Voucher[] memory vouchers = new Voucher[](2);
        place = _within(place, 0, 1);
        vouchers[place] = _voucherOf(address(wallet), farmer, 10);
        vouchers[1 - place] = _voucher(RENTER_KEY, farmer, 77);
        uint256 before = gasleft();
        market.redeem{gas: 2_000_000}(farmer, vouchers);
        vm.assertLe(before - gasleft(), WALLET_GAS + 2 * REST_GAS, "what it may cost");
        vm.assertEq(market.earnings(_ownerOf(farmer)), 77, "the other is paid");
        vm.assertEq(market.vault(address(wallet)), 1e9, "nothing of the hostile one's");
    }

    /// Must hold: who gives so little gas that a contract could not answer is refused, and nothing is passed over for it.
    function testFuzz_tooLittleGas(uint256 gas) external {
        OwnedWallet wallet = new OwnedWallet(vm.addr(OWNER_KEY));
        _fund(wallet, 1e9);
        FarmerId farmer = _register();
        Voucher[] memory vouchers = new Voucher[](1);
        vouchers[0] = _voucherOf(address(wallet), farmer, 10);
        gas = _within(gas, 10_000, WALLET_GAS);
        (bool done, ) = address(market).call{gas: gas}(abi.encodeCall(market.redeem, (farmer, vouchers)));
        vm.assertTrue(!done, "refused");
        market.redeem(farmer, vouchers);
        vm.assertEq(market.earnings(_ownerOf(farmer)), 10, "paid with gas enough");
    }

    /// Must hold: who is refused for it learns how much gas was left where the contract would have been asked, and how much is
    /// needed there. What was left is read from one call; another with as much gas has as much left.
    function testFuzz_whatIsMissing(uint256 gas) external {
        OwnedWallet wallet = new OwnedWallet(vm.addr(OWNER_KEY));
        _fund(wallet, 1e9);
        FarmerId farmer = _register();
        Voucher[] memory vouchers = new Voucher[](1);
        vouchers[0] = _voucherOf(address(wallet), farmer, 10);
        gas = _within(gas, REST_GAS, WALLET_GAS);
        (bool done, bytes memory reason) = address(market).call{gas: gas}(
            abi.encodeCall(market.redeem, (farmer, vouchers))
        );
        vm.assertTrue(!done && reason.length == 4 + 2 * 32, "refused, with two values");
        uint256 left;
        assembly ("memory-safe") {
            left := mload(add(reason, 0x24))
        }
        vm.assertLe(left, gas, "no more than there was");
        vm.assertLe(gas, left + REST_GAS, "what it took to come there");
        vm.expectRevert(abi.encodeWithSelector(IVouchers.TooLittleGas.selector, left, GAS_NEEDED));
        market.redeem{gas: gas}(farmer, vouchers);
    }

    /// Must hold: who signs with a key is not asked, and needs no gas for that, though its signature is forged.
    function test_aKeyIsNotAsked() external {
        _deposit(1000);
        FarmerId farmer = _register();
        Voucher[] memory vouchers = new Voucher[](2);
        vouchers[0] = _voucherOf(vm.addr(OWNER_KEY + 1), farmer, 10);
        vouchers[1] = _voucher(RENTER_KEY, farmer, 77);
        market.redeem{gas: 2 * REST_GAS}(farmer, vouchers);
        vm.assertEq(market.earnings(_ownerOf(farmer)), 77, "paid");
    }

    /// Must hold: a contract that says yes while it is served and no when it is to pay has, of each farmer, what was served since
    /// that last redeemed, and no more: what was paid stays paid.
    function testFuzz_yesThenNo(uint256 served) external {
        served = _within(served, 11, 1e9);
        FickleWallet wallet = new FickleWallet(vm.addr(OWNER_KEY));
        _fund(wallet, 1e9);
        FarmerId farmer = _register();
        _redeem(farmer, _voucherOf(address(wallet), farmer, 10));
        wallet.deny();
        _expectForged(farmer, _voucherOf(address(wallet), farmer, served));
        vm.assertEq(market.earnings(_ownerOf(farmer)), 10, "what was redeemed before");
        vm.assertEq(market.vault(address(wallet)), 1e9 - 10, "the thief keeps the rest");
    }

    function _fund(OwnedWallet wallet, uint256 amount) private {
        token.transfer(address(wallet), amount);
        wallet.deposit(market, token, amount);
    }

    /// @dev What the owner of a contract signs for it.
    function _voucherOf(
        address wallet,
        FarmerId farmer,
        uint256 cumulative
    ) private view returns (Voucher memory voucher) {
        bytes32 digest = _voucherDigest(address(market), block.chainid, wallet, farmer, cumulative);
        voucher = Voucher({renter: wallet, cumulative: cumulative, signature: _signBytes(OWNER_KEY, digest)});
    }

    function _expectForged(FarmerId farmer, Voucher memory voucher) private {
        Voucher[] memory vouchers = new Voucher[](1);
        vouchers[0] = voucher;
        vm.expectRevert(abi.encodeWithSelector(IVouchers.VoucherForged.selector, voucher.renter, farmer));
        market.redeem(farmer, vouchers);
    }
}

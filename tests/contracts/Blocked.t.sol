// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {DevnetWallet} from "../../contracts/devnet/DevnetWallet.sol";
import {UsdcLikeToken} from "../../contracts/devnet/UsdcLikeToken.sol";
import {UsdtLikeToken} from "../../contracts/devnet/UsdtLikeToken.sol";
import {IMarket} from "../../contracts/interfaces/IMarket.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Permit} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MarketTest} from "./support/MarketTest.sol";

/// @title Tokens and wallets as devnets have them: blocked accounts, no permits, calls that return nothing
contract BlockedTest is MarketTest {
    address private constant OTHER = address(0xB0B);
    uint256 private constant OWNER_KEY = 0x0E5;

    UsdcLikeToken private dollar;
    IMarket private blocking;

    function setUp() public override {
        super.setUp();
        dollar = new UsdcLikeToken(SUPPLY, "USDC", 6);
        blocking = _deploy(_parameters(address(dollar)));
    }

    /// Must hold: a blocked account is not paid itself, another account is in its place, and nobody else waits for it.
    function testFuzz_whoIsBlockedHasAnotherPaid(uint256 amount) external {
        amount = _within(amount, 1, 1e24);
        _fund(renter, amount);
        _fund(OTHER, amount);
        dollar.setBlocked(renter, true);
        vm.assertTrue(dollar.isBlocked(renter), "blocked");
        _announce(renter, amount);
        _announce(OTHER, amount);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        bytes memory refusal = abi.encodeWithSelector(UsdcLikeToken.AccountBlocked.selector, renter);
        vm.expectRevert(refusal);
        vm.prank(renter);
        blocking.withdraw(renter);
        vm.prank(OTHER);
        blocking.withdraw(OTHER);
        vm.assertEq(dollar.balanceOf(OTHER), amount, "who is not blocked is paid");
        vm.prank(renter);
        blocking.withdraw(address(0xA11CE));
        vm.assertEq(dollar.balanceOf(address(0xA11CE)), amount, "and so is another in place of who is");
    }

    /// Must hold: a blocked account can neither approve nor pay in, and goes on when it is not blocked any more.
    function test_whoIsBlockedPaysNothingIn() external {
        dollar.transfer(renter, 10);
        dollar.setBlocked(renter, true);
        bytes memory refusal = abi.encodeWithSelector(UsdcLikeToken.AccountBlocked.selector, renter);
        vm.expectRevert(refusal);
        vm.prank(renter);
        dollar.approve(address(blocking), 10);
        vm.expectRevert(refusal);
        dollar.transfer(renter, 1);
        dollar.setBlocked(renter, false);
        vm.startPrank(renter);
        dollar.approve(address(blocking), 10);
        blocking.deposit(10);
        vm.stopPrank();
        vm.assertEq(blocking.vault(renter), 10, "deposited");
        vm.assertEq(dollar.decimals(), 6, "decimals");
        vm.expectRevert(abi.encodeWithSelector(UsdcLikeToken.NotKeeper.selector, renter));
        vm.prank(renter);
        dollar.setBlocked(OTHER, true);
    }

    /// Must hold: a token whose calls return nothing, and which has no permits, comes in by what was approved, and out.
    function testFuzz_aTokenThatReturnsNothing(uint256 amount) external {
        amount = _within(amount, 2, 1e24);
        UsdtLikeToken tether = new UsdtLikeToken(SUPPLY, "USDT", 6);
        vm.assertEq(tether.totalSupply(), SUPPLY, "supply");
        vm.assertEq(tether.decimals(), 6, "decimals");
        IMarket market_ = _deploy(_parameters(address(tether)));
        tether.approve(address(market_), amount - 1);
        vm.expectRevert(abi.encodeWithSelector(UsdtLikeToken.AllowanceNotZero.selector, amount - 1));
        tether.approve(address(market_), amount);
        Permit memory permit = Permit({value: amount, deadline: 0, v: 0, r: 0, s: 0});
        vm.expectRevert(abi.encodeWithSelector(IVault.PermitRefused.selector, address(this), amount - 1, amount));
        market_.depositWithPermit(permit);
        tether.approve(address(market_), 0);
        tether.approve(address(market_), amount);
        market_.depositWithPermit(permit);
        vm.assertEq(market_.vault(address(this)), amount, "deposited");
        market_.requestWithdrawal(amount);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        market_.withdraw(OTHER);
        vm.assertEq(tether.balanceOf(OTHER), amount, "and taken out");
    }

    /// Must hold: a wallet calls what its owner says and nobody else, and vouches for its owner's signatures alone.
    function test_aWalletIsItsOwners() external {
        DevnetWallet wallet = new DevnetWallet(vm.addr(OWNER_KEY));
        dollar.transfer(address(wallet), 10);
        bytes memory pay = abi.encodeCall(IERC20.transfer, (OTHER, 7));
        vm.expectRevert(abi.encodeWithSelector(DevnetWallet.NotOwner.selector, address(this)));
        wallet.execute(address(dollar), pay);
        vm.prank(vm.addr(OWNER_KEY));
        wallet.execute(address(dollar), pay);
        vm.assertEq(dollar.balanceOf(OTHER), 7, "paid");
        bytes32 digest = keccak256("what is signed");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(OWNER_KEY, digest);
        bytes32 vs = bytes32(uint256(s) | (uint256(v - 27) << 255));
        vm.assertEq(bytes32(wallet.isValidSignature(digest, abi.encodePacked(r, vs))), _yes(), "64 bytes");
        vm.assertEq(bytes32(wallet.isValidSignature(digest, abi.encodePacked(r, s, v))), _yes(), "65 bytes");
        (v, r, s) = vm.sign(OWNER_KEY + 1, digest);
        vm.assertTrue(bytes32(wallet.isValidSignature(digest, abi.encodePacked(r, s, v))) != _yes(), "another's");
    }

    function _yes() private pure returns (bytes32) {
        return bytes32(IERC1271.isValidSignature.selector);
    }

    function _fund(address account, uint256 amount) private {
        dollar.transfer(account, amount);
        vm.startPrank(account);
        dollar.approve(address(blocking), amount);
        blocking.deposit(amount);
        vm.stopPrank();
    }

    function _announce(address account, uint256 amount) private {
        vm.prank(account);
        blocking.requestWithdrawal(amount);
    }
}

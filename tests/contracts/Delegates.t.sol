// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDelegates} from "../../contracts/interfaces/IDelegates.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {IVouchers} from "../../contracts/interfaces/IVouchers.sol";
import {
    Acceptance,
    DelegationView,
    Epoch,
    FarmerId,
    Held,
    OrderId,
    Terms,
    Voucher
} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title Keys that spend from an account's vault, up to limits
contract DelegatesTest is FarmTest {
    uint256 private constant KEY = 0xDE1E;
    uint256 private constant OTHER_KEY = 0xDE1F;
    uint256 private constant CAP = 600;
    uint96 private constant MOST = type(uint96).max;

    FarmerId private _farmer;

    function setUp() public override {
        super.setUp();
        _farmer = _register();
        _deposit(1e9);
        placer = vm.addr(KEY);
    }

    function _authorize(uint256 perEpoch, uint256 inAll, uint256 until) private {
        vm.prank(renter);
        market.authorize(vm.addr(KEY), uint96(perEpoch), uint96(inAll), Epoch.wrap(uint32(until)));
    }

    function _shown() private view returns (DelegationView memory) {
        return market.delegation(renter, vm.addr(KEY));
    }

    /// @dev An order that costs `amount`, a multiple of 6: the end is 3 epochs, 2 or 1 after the first.
    function _order(uint256 amount) private returns (Terms memory terms, Acceptance[] memory acceptances) {
        uint256 end = _date(1);
        return _offered(_one(_farmer), end, 3, amount / (end - _now() - 1));
    }

    function _spend(uint256 amount) private returns (OrderId) {
        (Terms memory terms, Acceptance[] memory acceptances) = _order(amount);
        vm.prank(placer);
        return market.placeFor(renter, terms, acceptances);
    }

    function _refuse(uint256 amount, bytes memory reason) private {
        (Terms memory terms, Acceptance[] memory acceptances) = _order(amount);
        vm.expectRevert(reason);
        vm.prank(placer);
        market.placeFor(renter, terms, acceptances);
    }

    function _tooMuch(uint256 amount, uint256 left) private view returns (bytes memory) {
        return abi.encodeWithSelector(IDelegates.DelegateLimitExceeded.selector, renter, placer, amount, left);
    }

    function _notDelegate() private view returns (bytes memory) {
        return abi.encodeWithSelector(IDelegates.NotDelegate.selector, renter, placer);
    }

    /// @dev A voucher for the renter's money, signed by a delegate.
    function _voucherBy(uint256 key, uint256 cumulative) private view returns (Voucher memory voucher) {
        bytes32 digest = _voucherDigest(address(market), block.chainid, renter, _farmer, cumulative);
        (voucher.renter, voucher.cumulative) = (renter, cumulative);
        voucher.signature = _signBytes(key, digest);
    }

    function _earned() private view returns (uint256) {
        return market.earnings(_ownerOf(_farmer));
    }

    /// Must hold: a delegate's order is the account's: its money pays, its vault gets back what comes back, and it is the
    /// renter in event and order.
    function test_theOrderIsTheAccounts() external {
        _authorize(CAP, CAP, _now() + 1);
        (Terms memory terms, Acceptance[] memory acceptances) = _order(CAP);
        OrderId id = market.orderId(renter, placer, terms.salt);
        Epoch from = Epoch.wrap(uint32(_now() + 1));
        vm.expectEmit(true, true, true, true, address(market));
        emit IOrders.OrderPlaced(id, renter, from, terms.end, 3, 1, 1, 1);
        vm.expectEmit(true, true, true, true, address(market));
        emit IDelegates.DelegateSpent(renter, placer, CAP, CAP);
        vm.prank(placer);
        OrderId placed = market.placeFor(renter, terms, acceptances);
        vm.assertEq(OrderId.unwrap(placed), OrderId.unwrap(id), "id");
        vm.assertEq(market.order(id).renter, renter, "whose");
        vm.assertEq(market.vault(renter), 1e9 - CAP, "the account paid");
        vm.assertEq(market.vault(placer), 0, "the delegate has nothing");

        uint256[] memory data = new uint256[](1);
        data[0] = _data(terms, 0);
        _know(id, terms, acceptances, _now() + 1, data, false);
        _enter(_date(1));
        _close(id);
        vm.assertEq(market.vault(renter), 1e9 + CAP, "pay of three epochs and a penalty for each");
        vm.assertEq(market.vault(placer), 0, "the delegate gets nothing");
        vm.assertEq(_shown().spent, CAP, "what comes back is not to be spent again");
    }

    /// Must hold: each limit is kept to the base unit, whichever is the lower.
    function testFuzz_limits(uint256 perEpoch, uint256 inAll) external {
        perEpoch = _within(perEpoch, CAP - 1, CAP + 1);
        inAll = _within(inAll, CAP - 1, CAP + 1);
        _authorize(perEpoch, inAll, _now() + 1);
        uint256 least = perEpoch < inAll ? perEpoch : inAll;
        vm.assertEq(_shown().leftForOrders, least, "left");
        if (least < CAP) {
            _refuse(CAP, _tooMuch(CAP, least));
        } else {
            _spend(CAP);
            vm.assertEq(_shown().leftForOrders, least - CAP, "left afterwards");
            vm.assertEq(_shown().spentInEpoch, CAP, "spent in the epoch");
        }
    }

    /// Must hold: zero is zero: nobody spends without a limit, and a limit of nothing is not none.
    function test_zeroIsZero() external {
        _refuse(6, _notDelegate());
        _authorize(0, MOST, _now() + 1);
        _refuse(6, _tooMuch(6, 0));
        _authorize(MOST, 0, _now() + 1);
        _refuse(6, _tooMuch(6, 0));
        _authorize(MOST, MOST, 0);
        _refuse(6, _notDelegate());
        _authorize(MOST, MOST, _now());
        _refuse(6, _notDelegate());
        _authorize(MOST, MOST, _now() + 1);
        _spend(6);
    }

    /// Must hold: epochs do not add up: what was not spent in one is not there in the next, all orders of an epoch count
    /// together, and all epochs count together for `inAll`.
    function test_epochsDoNotAddUp() external {
        _authorize(CAP, 2 * CAP + 6, _now() + 9);
        _enter(_now() + 1);
        _spend(CAP / 2);
        _refuse(CAP, _tooMuch(CAP, CAP / 2));
        _spend(CAP / 2);
        _refuse(6, _tooMuch(6, 0));
        vm.roll(block.number - (block.number % EPOCH_BLOCKS) + EPOCH_BLOCKS - 1);
        _refuse(6, _tooMuch(6, 0));
        vm.roll(block.number + 1);
        _refuse(CAP + 6, _tooMuch(CAP + 6, CAP));
        _spend(CAP);
        _refuse(6, _tooMuch(6, 0));
        _enter(_date(1));
        vm.assertEq(_shown().leftForOrders, 6, "what is left of all");
        vm.assertEq(_shown().spentInEpoch, 0, "nothing yet");
    }

    /// Must hold: it spends before the epoch `untilEpoch`, and not in it.
    function test_until() external {
        _authorize(MOST, MOST, _now() + 1);
        vm.roll(block.number - (block.number % EPOCH_BLOCKS) + EPOCH_BLOCKS - 1);
        _spend(6);
        vm.roll(block.number + 1);
        _refuse(6, _notDelegate());
        vm.assertEq(_shown().leftForOrders, 0, "nothing left");
    }

    /// Must hold: a limit that is lowered while it is used counts what was spent: a delegate that hurries has no more than
    /// the higher of both.
    function test_loweredWhileUsed() external {
        _authorize(MOST, CAP, _now() + 9);
        _spend(CAP - 60);
        _authorize(MOST, CAP / 2, _now() + 9);
        _refuse(6, _tooMuch(6, 0));
        _authorize(MOST, CAP - 54, _now() + 9);
        _refuse(12, _tooMuch(12, 6));
        _spend(6);
        _authorize(CAP, MOST, _now() + 9);
        _refuse(60, _tooMuch(60, 54));
        _authorize(0, 0, 0);
        _authorize(MOST, CAP, _now() + 9);
        _refuse(60, _tooMuch(60, 54));
    }

    /// Must hold: once it is revoked a delegate places and extends nothing, with acceptances of before too.
    function test_revoked() external {
        _authorize(MOST, MOST, _now() + 9);
        (Terms memory terms, Acceptance[] memory acceptances) = _order(6);
        vm.expectEmit(true, true, true, true, address(market));
        emit IDelegates.DelegateAuthorized(renter, placer, 0, 0, Epoch.wrap(0));
        _authorize(0, 0, 0);
        vm.expectRevert(_notDelegate());
        vm.prank(placer);
        market.placeFor(renter, terms, acceptances);
    }

    /// Must hold: nor does it extend anything, from the same block on, whatever farmers signed for it before.
    function test_revokedExtendsNothing() external {
        placer = address(0);
        OrderId previous = _store(_farmer, _date(1), 3, 10);
        placer = vm.addr(KEY);
        _authorize(MOST, MOST, _now() + 9);
        Held memory held = _held(previous);
        (Terms memory terms, Acceptance[] memory acceptances) = _extension(previous, _farmer);
        _authorize(0, 0, 0);
        vm.expectRevert(_notDelegate());
        vm.prank(placer);
        market.extend(held, terms, acceptances);
        _authorize(MOST, MOST, _now() + 9);
        vm.prank(placer);
        market.extend(held, terms, acceptances);
    }

    /// Must hold: a delegate spends from no other account's vault, authorizes nobody for it, and takes nothing out.
    function test_nothingElse() external {
        _authorize(MOST, MOST, _now() + 9);
        vm.prank(placer);
        market.authorize(vm.addr(OTHER_KEY), MOST, MOST, Epoch.wrap(uint32(_now() + 9)));
        vm.startPrank(placer);
        market.requestWithdrawal(100);
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        vm.expectRevert(abi.encodeWithSelector(IVault.VaultTooSmall.selector, placer, 0, 100));
        market.withdraw(placer);
        vm.expectRevert(abi.encodeWithSelector(IVault.EarningsTooSmall.selector, placer, 0, 1));
        market.claim(placer, 1);
        vm.stopPrank();

        placer = vm.addr(OTHER_KEY);
        _refuse(6, _notDelegate());
        (Terms memory terms, Acceptance[] memory acceptances) = _order(6);
        OrderId id = market.orderId(vm.addr(KEY), placer, terms.salt);
        vm.prank(placer);
        vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
        market.placeFor(vm.addr(KEY), terms, acceptances);
        renter = vm.addr(KEY);
        (terms, acceptances) = _order(6);
        id = market.orderId(renter, placer, terms.salt);
        vm.expectRevert(abi.encodeWithSelector(IVault.VaultTooSmall.selector, renter, 0, 6));
        vm.prank(placer);
        market.placeFor(renter, terms, acceptances);
    }

    /// Must hold: only a key that is another account's can be a delegate.
    function test_badDelegates() external {
        address[2] memory bad = [address(0), renter];
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDelegates.BadDelegate.selector, bad[i]));
            vm.prank(renter);
            market.authorize(bad[i], 1, 1, Epoch.wrap(1000));
        }
    }

    /// Must hold: nobody takes the id of an order that another is about to place: the same salt gives account and delegates
    /// an id each, and what farmers signed for one serves no other.
    function test_nobodySquatsAnId() external {
        _authorize(MOST, MOST, _now() + 9);
        vm.prank(renter);
        market.authorize(vm.addr(OTHER_KEY), MOST, MOST, Epoch.wrap(uint32(_now() + 9)));
        (Terms memory terms, Acceptance[] memory acceptances) = _order(6);
        address[3] memory others = [renter, vm.addr(OTHER_KEY), address(0xBAD)];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
            vm.prank(others[i]);
            market.placeFor(renter, terms, acceptances);
            placer = others[i];
            Acceptance[] memory theirs = new Acceptance[](1);
            theirs[0] = _accept(terms, _farmer, 0, "root", 2);
            if (i < 2) vm.prank(placer);
            if (i < 2) market.placeFor(renter, terms, theirs);
        }
        vm.prank(vm.addr(KEY));
        market.placeFor(renter, terms, acceptances);
    }

    /// Must hold: an account places for itself by either call.
    function test_forItself() external {
        placer = renter;
        (Terms memory terms, Acceptance[] memory acceptances) = _order(6);
        vm.prank(renter);
        OrderId id = market.placeFor(renter, terms, acceptances);
        vm.assertEq(market.order(id).renter, renter, "placed");
        vm.assertEq(_shown().spent, 0, "nobody's limit");
    }

    function _extension(
        OrderId previous,
        FarmerId farmer
    ) private view returns (Terms memory terms, Acceptance[] memory acceptances) {
        terms = _terms("more", _date(2), 3, 1, 1);
        acceptances = new Acceptance[](1);
        acceptances[0] = _accept(terms, farmer, 0, _stored[previous].slots[0].root, 10, previous);
    }

    /// Must hold: a delegate extends an order of the account with the farmers that have its slots, and with no others; within
    /// its limits.
    function test_extend() external {
        placer = address(0);
        OrderId previous = _store(_farmer, _date(1), 3, 10);
        placer = vm.addr(KEY);
        FarmerId other = _register();
        uint256 cost = 10 * GRID_EPOCHS;
        _authorize(MOST, cost, _now() + 9);
        Held memory held = _held(previous);
        (Terms memory terms, Acceptance[] memory acceptances) = _extension(previous, other);
        vm.expectRevert(abi.encodeWithSelector(IDelegates.NotHolder.selector, 0, other, _farmer));
        vm.prank(placer);
        market.extend(held, terms, acceptances);
        (terms, acceptances) = _extension(previous, _farmer);
        _authorize(MOST, cost - 1, _now() + 9);
        vm.expectRevert(_tooMuch(cost, cost - 1));
        vm.prank(placer);
        market.extend(held, terms, acceptances);
        _authorize(MOST, cost, _now() + 9);
        vm.prank(placer);
        OrderId id = market.extend(held, terms, acceptances);
        vm.assertEq(OrderId.unwrap(id), OrderId.unwrap(_orderId(terms)), "id");
        vm.assertEq(market.order(id).renter, renter, "whose");
        vm.assertEq(_shown().leftForOrders, 0, "spent");
    }

    // vouchers

    /// Must hold: a delegate's vouchers are paid from the account's vault, count against the same limits as its orders, and
    /// each signer's for itself.
    function test_vouchers() external {
        _authorize(CAP, 2 * CAP, _now() + 9);
        _spend(CAP - 6);
        vm.expectEmit(true, true, true, true, address(market));
        emit IVouchers.Redeemed(_farmer, renter, placer, 6, 6);
        _redeem(_farmer, _voucherBy(KEY, 10));
        vm.assertEq(_shown().leftForOrders, 0, "both count");
        _redeem(_farmer, _voucher(RENTER_KEY, _farmer, 10));
        vm.assertEq(_earned(), 16, "the renter's own count for themselves");
        vm.assertEq(market.redeemed(_farmer, renter, renter), 10, "of the renter");
        vm.assertEq(market.redeemed(_farmer, renter, placer), 6, "of the delegate");
        _enter(_now() + 1);
        _redeem(_farmer, _voucherBy(KEY, 10));
        vm.assertEq(_earned(), 20, "the rest in the next epoch");
        _redeem(_farmer, _voucherBy(KEY, 5 * CAP));
        vm.assertEq(_earned(), 16 + CAP, "as far as the epoch goes");
        vm.expectRevert(abi.encodeWithSelector(IVouchers.NothingToRedeem.selector, _farmer));
        _redeem(_farmer, _voucherBy(KEY, 5 * CAP));
        vm.assertEq(market.vault(renter), 1e9 - (CAP - 6) - 16 - CAP, "one vault");
    }

    /// Must hold: a voucher counts only if the renter or one that it authorized signed it.
    function test_forgedVouchers() external {
        bytes memory forged = abi.encodeWithSelector(IVouchers.VoucherForged.selector, renter, _farmer);
        vm.expectRevert(forged);
        _redeem(_farmer, _voucherBy(KEY, 10));
        vm.prank(vm.addr(OTHER_KEY));
        market.authorize(vm.addr(KEY), MOST, MOST, Epoch.wrap(uint32(_now() + 9)));
        vm.expectRevert(forged);
        _redeem(_farmer, _voucherBy(KEY, 10));
        _authorize(0, 0, 0);
        vm.expectRevert(forged);
        _redeem(_farmer, _voucherBy(KEY, 10));
        _authorize(1, 1, _now() + 1);
        _redeem(_farmer, _voucherBy(KEY, 10));
        vm.assertEq(_earned(), 1, "paid");
    }

    /// Must hold: farmers redeem what a delegate signed for as many epochs after its time, or after it was revoked or its
    /// limits were lowered, as for a withdrawal; and not in the one after.
    function testFuzz_vouchersAfterwards(uint256 way, uint256 epochs) external {
        way = _within(way, 0, 3);
        epochs = _within(epochs, 0, WITHDRAW_DELAY_EPOCHS);
        uint256 ends = _now() + 1;
        _authorize(CAP, CAP, way == 0 ? ends : ends + 20);
        _enter(ends);
        if (way == 1) _authorize(0, 0, 0);
        if (way == 2) _authorize(1, CAP, ends + 20);
        if (way == 3) _authorize(CAP, 1, ends + 20);
        if (way > 1) _refuse(6, _tooMuch(6, 1));
        else _refuse(6, _notDelegate());
        _enter(ends + epochs);
        uint256 left = way > 1 ? 1 : 0;
        if (epochs < WITHDRAW_DELAY_EPOCHS) left = CAP;
        vm.assertEq(_shown().leftForVouchers, left, "shown");
        if (left == 0) vm.expectRevert(abi.encodeWithSelector(IVouchers.NothingToRedeem.selector, _farmer));
        _redeem(_farmer, _voucherBy(KEY, CAP + 5));
        vm.assertEq(_earned(), left, "paid");
    }

    /// Must hold: limits that are changed twice in a row take back nothing that farmers rely on, and none is lengthened by it.
    function test_changedTwice() external {
        _authorize(CAP, CAP, _now() + 20);
        _authorize(0, 0, 0);
        _authorize(0, 0, 0);
        _authorize(1, 1, _now() + 20);
        vm.assertEq(_shown().leftForVouchers, CAP, "still");
        _enter(_now() + WITHDRAW_DELAY_EPOCHS - 1);
        _authorize(0, 0, 0);
        vm.assertEq(_shown().leftForVouchers, CAP, "to its end");
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        vm.assertEq(_shown().leftForVouchers, 0, "no longer");
    }

    /// Must hold: limits that ended long ago do not come back with new ones.
    function test_longOver() external {
        _authorize(CAP, CAP, _now() + 1);
        _enter(_now() + 1 + WITHDRAW_DELAY_EPOCHS);
        _authorize(1, 1, _now() + 20);
        vm.assertEq(_shown().leftForVouchers, 1, "the new ones only");
    }

    /// Must hold: limits that never were in force are no limits of before.
    function test_neverInForce() external {
        _authorize(CAP, CAP, _now() + 20);
        _authorize(MOST, MOST, 0);
        _authorize(1, 1, _now() + 20);
        vm.assertEq(_shown().leftForVouchers, CAP, "those that were");
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IBooks} from "../../contracts/interfaces/IBooks.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IRepairs} from "../../contracts/interfaces/IRepairs.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {IVouchers} from "../../contracts/interfaces/IVouchers.sol";
import {
    Acceptance,
    Epoch,
    FarmerId,
    Held,
    OrderId,
    Slot,
    Takeover,
    Terms,
    Voucher
} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Reference} from "./support/Reference.sol";

/// @title What no honest caller sends: the wrong number of things, the same twice, nobody, and the largest numbers
contract BadInputTest is FarmTest {
    uint256 private constant RATE = 1000;
    uint256 private constant MOST = type(uint256).max;
    address private constant REPAIRER = address(0x4E9A14);

    FarmerId[] private _farmers;
    OrderId private _order;

    /// @dev An order of three slots, in the last grid period of its time.
    function _begin() private {
        _enter(_date(1));
        _farmers = _registerMany(3);
        _order = _store(_farmers, _date(1), 3, RATE);
    }

    /// @dev The call is refused with this reason.
    function _refused(address sender, bytes memory data, bytes memory reason) private {
        vm.prank(sender);
        vm.expectRevert(reason);
        (bool done, ) = address(market).call(data);
        vm.assertTrue(done, "as expected");
    }

    /// Must hold: an extension has as many slots, of as many leaves and pieces, as what it extends.
    function testFuzz_extensionOfAnotherShape(uint256 which) external {
        _begin();
        which = _within(which, 0, 4);
        Terms memory terms = _terms("next", _date(2), 3, 1, 1);
        if (which == 0) terms.k = 2;
        if (which == 1) terms.leafCount = 4;
        if (which == 2) terms.pieceLeaves = 2;
        Acceptance[] memory acceptances = new Acceptance[](
            which == 3
                ? 2
                : which == 4
                    ? 4
                    : 3
        );
        for (uint256 i = 0; i < acceptances.length; ++i) {
            acceptances[i] = _accept(terms, _farmers[i % 3], i, _stored[_order].slots[i % 3].root, RATE, _order);
        }
        _refused(
            renter,
            abi.encodeCall(market.extend, (_held(_order), terms, acceptances)),
            abi.encodeWithSelector(IOrders.OtherShape.selector, _order, 3, 1, 1, 3)
        );
    }

    /// Must hold: one slot less or more than the order has is not the order, whatever is asked for it.
    function testFuzz_slotsMissingOrTooMany(bool more) external {
        _begin();
        Held memory held = _held(_order);
        Slot[] memory slots = new Slot[](more ? 4 : 2);
        for (uint256 i = 0; i < slots.length; ++i) slots[i] = held.slots[i % 3];
        held.slots = slots;
        bytes32 given = Reference.slotsHash(held.leafCount, held.pieceLeaves, slots);
        bytes memory reason = abi.encodeWithSelector(
            IOrders.WrongSlots.selector,
            _order,
            given,
            market.order(_order).slotsHash
        );
        Terms memory terms = _terms("next", _date(2), 3, 1, 1);
        _refused(renter, abi.encodeCall(market.extend, (held, terms, new Acceptance[](slots.length))), reason);
        _refused(renter, abi.encodeCall(market.refill, (held, REPAIRER, new Takeover[](1))), reason);
        _enter(_stored[_order].end);
        _refused(renter, abi.encodeCall(market.close, (held)), reason);
    }

    /// Must hold: one call neither refills a slot twice nor gives two slots to one farmer.
    function test_takenOverTwice() external {
        _enter(_date(1));
        _farmers = _registerMany(3);
        _order = _store(_farmers, _date(3), 3, RATE);
        _lapse(_farmers[0]);
        FarmerId[] memory takers = _registerMany(2);
        Held memory held = _held(_order);
        Takeover[] memory takeovers = new Takeover[](2);
        takeovers[0] = _takeover(_order, 0, takers[0], REPAIRER);
        takeovers[1] = _takeover(_order, 0, takers[1], REPAIRER);
        _refused(
            renter,
            abi.encodeCall(market.refill, (held, REPAIRER, takeovers)),
            abi.encodeWithSelector(IRepairs.SlotNotVacant.selector, 0, takers[0])
        );
        takeovers[1] = _takeover(_order, 1, takers[0], REPAIRER);
        _refused(
            renter,
            abi.encodeCall(market.refill, (held, REPAIRER, takeovers)),
            abi.encodeWithSelector(IOrders.DuplicateFarmer.selector, 1, takers[0])
        );
    }

    /// Must hold: a farmer is in an order once, also when others stand between.
    function test_farmerTwice() external {
        _begin();
        Terms memory terms = _terms("next", _date(1), 3, 1, 1);
        Acceptance[] memory acceptances = new Acceptance[](3);
        for (uint256 i = 0; i < 3; ++i) acceptances[i] = _accept(terms, _farmers[i % 2], i, bytes32(i + 1), RATE);
        _deposit(1e9);
        _refused(
            renter,
            abi.encodeCall(market.place, (terms, acceptances)),
            abi.encodeWithSelector(IOrders.DuplicateFarmer.selector, 2, _farmers[0])
        );
    }

    /// Must hold: no vouchers, or none that counts, redeem nothing.
    function test_noVouchers() external {
        FarmerId farmer = _register();
        bytes memory reason = abi.encodeWithSelector(IVouchers.NothingToRedeem.selector, farmer);
        _refused(renter, abi.encodeCall(market.redeem, (farmer, new Voucher[](0))), reason);
        Voucher[] memory vouchers = new Voucher[](1);
        vouchers[0] = _voucher(RENTER_KEY, farmer, 0);
        _refused(renter, abi.encodeCall(market.redeem, (farmer, vouchers)), reason);
        vouchers[0] = _voucher(RENTER_KEY, farmer, MOST);
        _refused(renter, abi.encodeCall(market.redeem, (farmer, vouchers)), reason);
    }

    /// Must hold: a declaration of losses that ends early says where, and one with words left over is read as another.
    function testFuzz_lossOfAnotherLength(uint256 length) external {
        FarmerId farmer = _register();
        for (uint256 i = 0; i < 4; ++i) _store(farmer, _date(1), 1, RATE);
        _enter(_now() + 1);
        bytes32[] memory whole = _lossWords(farmer, 1);
        uint256 peak = 2;
        vm.assertEq(whole.length, 4 + peak, "head, root and path");
        length = _within(length, 1, whole.length + 3);
        vm.assume(length != whole.length);
        bytes32[] memory words = new bytes32[](length);
        for (uint256 i = 0; i < length && i < whole.length; ++i) words[i] = whole[i];
        uint256 number = length > whole.length ? 1 : 0;
        uint256 begin = number * whole.length;
        uint256 needed =
            begin +
                (
                    length < begin + 3
                        ? 3
                        : length < begin + 4
                            ? 4
                            : 4 + peak
                );
        _refused(
            _operator(farmer),
            abi.encodeCall(market.declareLoss, (farmer, Epoch.wrap(uint32(_date(1))), false, words)),
            abi.encodeWithSelector(IAudits.ProofTooShort.selector, number, needed, length)
        );
    }

    /// Must hold: there is no farmer 0, and none behind the last: no call about one does anything.
    function testFuzz_nobody(uint32 id) external {
        _register();
        FarmerId nobody = FarmerId.wrap(id > 1 ? id : 0);
        bytes[] memory calls = new bytes[](12);
        calls[0] = abi.encodeCall(market.settle, (nobody));
        calls[1] = abi.encodeCall(market.prove, (nobody, Epoch.wrap(uint32(_now())), new bytes32[](0)));
        calls[2] = abi.encodeCall(market.evict, (nobody));
        calls[3] = abi.encodeCall(market.redeem, (nobody, new Voucher[](0)));
        calls[4] = abi.encodeCall(market.declareLoss, (nobody, Epoch.wrap(0), false, new bytes32[](0)));
        calls[5] = abi.encodeCall(market.addStake, (nobody, 1));
        calls[6] = abi.encodeCall(market.unstake, (nobody, 1));
        calls[7] = abi.encodeCall(market.setOperator, (nobody, renter, true, _itself()));
        calls[8] = abi.encodeCall(market.updateFarmer, (nobody, "", _offer()));
        calls[9] = abi.encodeCall(market.farmer, (nobody));
        calls[10] = abi.encodeCall(market.missed, (nobody, Epoch.wrap(0)));
        calls[11] = abi.encodeCall(market.rateAt, (nobody, Epoch.wrap(uint32(_now()))));
        for (uint256 i = 0; i < calls.length; ++i) {
            _refused(renter, calls[i], abi.encodeWithSelector(IFarmers.UnknownFarmer.selector, nobody));
        }
    }

    /// Must hold: the largest amounts are refused for what they are, and nothing overflows.
    function test_largestAmounts() external {
        FarmerId farmer = _register();
        address owner = _ownerOf(farmer);
        _refused(
            renter,
            abi.encodeCall(market.deposit, (MOST)),
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientBalance.selector,
                renter,
                token.balanceOf(renter),
                MOST
            )
        );
        _deposit(7);
        _refused(
            renter,
            abi.encodeCall(market.deposit, (MOST)),
            abi.encodeWithSelector(IVault.AmountTooLarge.selector, MOST, MOST - 7)
        );
        _refused(
            owner,
            abi.encodeCall(market.claim, (owner, MOST)),
            abi.encodeWithSelector(IVault.EarningsTooSmall.selector, owner, 0, MOST)
        );
        _refused(
            renter,
            abi.encodeCall(market.addStake, (farmer, MOST)),
            abi.encodeWithSelector(IFarmers.StakeTooLarge.selector, MOST, type(uint96).max - STAKE)
        );
        _refused(
            owner,
            abi.encodeCall(market.register, (owner, owner, "", _offer(), MOST, _itself())),
            abi.encodeWithSelector(IFarmers.StakeTooLarge.selector, MOST, type(uint96).max)
        );
        _refused(
            owner,
            abi.encodeCall(market.unstake, (farmer, MOST - 1)),
            abi.encodeWithSelector(IFarmers.StakeNotFree.selector, farmer, MOST - 1, STAKE, MIN_STAKE)
        );
    }

    /// Must hold: the largest rate needs its collateral like any other, and the largest order is more than a vault holds.
    function test_largestRate() external {
        uint256 rate = type(uint80).max;
        uint256 needed = rate * COLLATERAL_EPOCHS;
        FarmerId poor = _register(needed - 1);
        FarmerId rich = _register(needed);
        Terms memory terms = _terms("salt", _date(1), type(uint32).max, 1, 1);
        Acceptance[] memory acceptances = new Acceptance[](1);
        acceptances[0] = _accept(terms, poor, 0, "root", rate);
        _refused(
            renter,
            abi.encodeCall(market.place, (terms, acceptances)),
            abi.encodeWithSelector(IFarmers.StakeTooSmall.selector, poor, needed - 1, needed)
        );
        acceptances[0] = _accept(terms, rich, 0, "root", rate);
        uint256 price = rate * (_date(1) - _now() - 1);
        _deposit(price - 1);
        _refused(
            renter,
            abi.encodeCall(market.place, (terms, acceptances)),
            abi.encodeWithSelector(IVault.VaultTooSmall.selector, renter, price - 1, price)
        );
        _deposit(1);
        vm.prank(renter);
        market.place(terms, acceptances);
        vm.assertEq(market.farmer(rich).committedRate, rate, "taken on");
        terms.salt = "another";
        acceptances[0] = _accept(terms, rich, 0, "root", 1);
        _refused(
            renter,
            abi.encodeCall(market.place, (terms, acceptances)),
            abi.encodeWithSelector(IBooks.RateTooLarge.selector, rich, rate + 1, rate)
        );
    }

    /// Must hold: the last epoch that can be named is off the grid, behind every date, or not now, and never wraps around.
    function test_largestEpoch() external {
        FarmerId farmer = _register();
        uint32 last = type(uint32).max;
        Terms memory terms = _terms("salt", last, 1, 1, 1);
        Acceptance[] memory acceptances = new Acceptance[](1);
        _refused(
            renter,
            abi.encodeCall(market.place, (terms, acceptances)),
            abi.encodeWithSelector(IBooks.EndOffGrid.selector, terms.end, GRID_EPOCHS)
        );
        terms.end = Epoch.wrap(last - (last % uint32(GRID_EPOCHS)));
        _refused(
            renter,
            abi.encodeCall(market.place, (terms, acceptances)),
            abi.encodeWithSelector(IOrders.EndTooLate.selector, terms.end, _date(MAX_BOOKS))
        );
        _refused(
            renter,
            abi.encodeCall(market.prove, (farmer, Epoch.wrap(last), new bytes32[](0))),
            abi.encodeWithSelector(IAudits.EpochNotCurrent.selector, last, _now())
        );
        _refused(
            renter,
            abi.encodeCall(market.book, (farmer, Epoch.wrap(last), true)),
            abi.encodeWithSelector(IBooks.EndOffGrid.selector, last, GRID_EPOCHS)
        );
        vm.assertEq(market.rateAt(farmer, Epoch.wrap(last)), 0, "nothing is asked then");
        vm.assertEq(market.missed(farmer, Epoch.wrap(last)) ? 1 : 0, 0, "nor was it missed");
    }
}

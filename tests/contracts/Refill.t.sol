// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IRepairs} from "../../contracts/interfaces/IRepairs.sol";
import {Epoch, FarmerId, Held, OrderId, Slot, Takeover} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Reference} from "./support/Reference.sol";

/// @title Vacant slots given to others
contract RefillTest is FarmTest {
    uint256 private constant RATE = 1009; // divides nothing evenly
    address private constant REPAIRER = address(0x4E9A14);

    FarmerId[] private _farmers;
    OrderId private _order;

    /// @dev An order with three farmers, of which the first never proves.
    function _begin() private {
        _farmers = _registerMany(3);
        _order = _store(_farmers, _date(6), 3, RATE);
        _lapse(_farmers[0]);
    }

    function _takeovers(Takeover memory takeover) private pure returns (Takeover[] memory list) {
        list = new Takeover[](1);
        list[0] = takeover;
    }

    function _expectRefused(Takeover memory takeover, address repairer, bytes memory reason) private {
        Held memory held = _held(_order);
        vm.expectRevert(reason);
        market.refill(held, repairer, _takeovers(takeover));
    }

    /// Must hold: the bounty rises with the blocks since the farmer lapsed, whenever it is evicted; the renter has the rest,
    /// and both together are the slot's collateral.
    function testFuzz_theBountyRises(uint256 blocks, uint256 evicted) external {
        _begin();
        uint256 vacantBlock = _now() * EPOCH_BLOCKS;
        blocks = block.number - vacantBlock + _within(blocks, 0, 2 * AUCTION_EPOCHS * EPOCH_BLOCKS);
        evicted = _within(evicted, block.number, vacantBlock + blocks + 1);
        if (evicted <= vacantBlock + blocks) {
            vm.roll(evicted);
            market.evict(_farmers[0]);
        }
        vm.roll(vacantBlock + blocks);
        FarmerId taker = _register();
        uint256 before = market.vault(renter);
        uint256 from = Epoch.unwrap(_stored[_order].slots[0].from);
        uint256 vacant = _now() + 1 - from - MAX_MISSES;
        _refill(_order, 0, taker, REPAIRER);
        uint256 full = (RATE * COLLATERAL_EPOCHS) / 2;
        uint256 duration = AUCTION_EPOCHS * EPOCH_BLOCKS;
        uint256 bounty = blocks < duration ? (full * blocks) / duration : full;
        vm.assertEq(market.earnings(REPAIRER), bounty, "bounty");
        vm.assertEq(
            market.vault(renter) - before,
            RATE * (MAX_MISSES * (1 + PENALTY) + vacant + COLLATERAL_EPOCHS) - bounty,
            "misses, vacant epochs, collateral"
        );
    }

    /// Must hold: near the end the bounty is at most half of what one who takes the slot and does nothing loses.
    function testFuzz_theBountyIsBoundedByWhatIsLeft(uint256 left) external {
        left = _within(left, 1, 20);
        _begin();
        market.evict(_farmers[0]);
        _enter(_stored[_order].end - left - 1);
        FarmerId taker = _register();
        _refill(_order, 0, taker, REPAIRER);
        uint256 epochs = (PENALTY + FINE) * left < COLLATERAL_EPOCHS ? (PENALTY + FINE) * left : COLLATERAL_EPOCHS;
        vm.assertEq(market.earnings(REPAIRER), (RATE * epochs) / 2, "bounty");
    }

    /// Must hold: the new farmer is audited and paid from the next epoch on.
    function test_theNewFarmerServes() external {
        _begin();
        FarmerId taker = _register();
        _refill(_order, 0, taker, REPAIRER);
        _enter(_now() + 1);
        _prove(taker);
        vm.assertEq(market.earnings(_ownerOf(taker)), RATE, "paid");
    }

    /// Must hold: reading a slot costs no more after a repair than its renter agreed to when it was placed: who signed for
    /// another price does not take it over, and the event says the price.
    function testFuzz_theReadPriceStays(uint80 price) external {
        _begin();
        FarmerId taker = _register();
        uint80 agreed = _stored[_order].slots[0].maxEgressPricePerGib;
        vm.assume(price != agreed);
        Takeover memory takeover = _takeover(_order, 0, taker, REPAIRER);
        Consent memory consent = _repairConsent(_order, 0, taker, takeover.deadlineBlock, REPAIRER);
        bytes32 signed = _acceptanceDigest(address(market), block.chainid, consent);
        consent.maxEgressPricePerGib = price;
        bytes32 dearer = _acceptanceDigest(address(market), block.chainid, consent);
        (takeover.r, takeover.vs) = _signCompact(_operatorKey(taker), dearer);
        address signer = _signer(signed, takeover.r, takeover.vs);
        _expectRefused(takeover, REPAIRER, abi.encodeWithSelector(IOrders.AcceptanceForged.selector, 0, taker, signer));
        Slot memory slot = _stored[_order].slots[0];
        Epoch from = Epoch.wrap(uint32(_now() + 1));
        Epoch end = Epoch.wrap(_stored[_order].end);
        takeover = _takeover(_order, 0, taker, REPAIRER);
        Held memory held = _held(_order);
        vm.expectEmit(true, true, true, true, address(market));
        emit IOrders.SlotFilled(_order, taker, 0, slot.root, slot.rate, agreed, 3, from, end, false);
        market.refill(held, REPAIRER, _takeovers(takeover));
    }

    /// Must hold: a slot that was declared lost is refilled in the same epoch if that was proven, else in the next.
    function testFuzz_aLostSlotIsRefilled(bool proven) external {
        _farmers = _registerMany(3);
        _order = _store(_farmers, _date(6), 3, RATE);
        _enter(_now() + 1);
        if (proven) _prove(_farmers[0]);
        _lose(_farmers[0], 0);
        FarmerId taker = _register();
        if (!proven) {
            _expectRefused(
                _takeover(_order, 0, taker, REPAIRER),
                REPAIRER,
                abi.encodeWithSelector(IRepairs.SlotNotVacant.selector, 0, _farmers[0])
            );
            _enter(_now() + 1);
        }
        uint256 before = market.vault(renter);
        _refill(_order, 0, taker, REPAIRER);
        uint256 epochs = proven ? COLLATERAL_EPOCHS : COLLATERAL_EPOCHS - FINE - PENALTY + 1 + PENALTY + 1;
        vm.assertEq(market.vault(renter) - before + market.earnings(REPAIRER), epochs * RATE, "refund and bounty");
    }

    /// Must hold: a slot can fall vacant and be refilled again and again.
    function test_againAndAgain() external {
        _farmers = _registerMany(2);
        _order = _store(_farmers, _date(11), 1, RATE);
        for (uint256 i = 0; i < 5; ++i) {
            _lapse(_stored[_order].slots[0].farmer);
            _refill(_order, 0, _register(), REPAIRER);
        }
        _proveUntil(_stored[_order].slots[0].farmer, _now() + 2);
        _enter(_stored[_order].end);
        _close(_order);
    }

    /// Must hold: one call refills many slots.
    function test_manyAtOnce() external {
        _farmers = _registerMany(4);
        _order = _store(_farmers, _date(6), 3, RATE);
        _lapse(_farmers[0]);
        FarmerId[] memory takers = _registerMany(3);
        Takeover[] memory takeovers = new Takeover[](3);
        for (uint256 i = 0; i < 3; ++i) takeovers[i] = _takeover(_order, i + 1, takers[i], REPAIRER);
        market.refill(_held(_order), REPAIRER, takeovers);
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(market.farmer(takers[i]).committedRate, RATE, "given");
        }
    }

    /// Must hold: a slot whose farmer serves is not vacant.
    function test_notVacant() external {
        _begin();
        FarmerId taker = _register();
        _enter(_now() + 1);
        FarmerId[] memory fresh = _registerMany(1);
        _order = _store(fresh, _date(3), 1, RATE);
        _expectRefused(
            _takeover(_order, 0, taker, REPAIRER),
            REPAIRER,
            abi.encodeWithSelector(IRepairs.SlotNotVacant.selector, 0, fresh[0])
        );
    }

    /// Must hold: a farmer that is in the order cannot take another of its slots, nor its own again.
    function testFuzz_notAFarmerOfTheOrder(uint256 nth) external {
        _begin();
        nth = _within(nth, 0, 2);
        _expectRefused(
            _takeover(_order, 0, _farmers[nth], REPAIRER),
            REPAIRER,
            abi.encodeWithSelector(IOrders.DuplicateFarmer.selector, 0, _farmers[nth])
        );
    }

    /// Must hold: the bounty is never more than what the slot has of the stake, however long the order goes on.
    function test_noMoreThanTheCollateral() external {
        FarmerId poor = _register(COLLATERAL_EPOCHS * RATE);
        _order = _store(poor, _date(6), 3, RATE);
        _lapse(poor);
        market.evict(poor);
        uint256 left = COLLATERAL_EPOCHS - MAX_MISSES * (PENALTY + FINE) - 1;
        vm.assertEq(market.eviction(poor).collateralEpochs, left, "less than half of what a pretender would lose");
        _enter(_now() + AUCTION_EPOCHS + 1);
        FarmerId taker = _register();
        _refill(_order, 0, taker, REPAIRER);
        vm.assertEq(market.earnings(REPAIRER), left * RATE, "bounty");
    }

    /// Must hold: nobody else can have the bounty: the farmer signed for its repairer.
    function testFuzz_theBountyIsTheRepairers(address thief) external {
        vm.assume(thief != REPAIRER && thief != address(0));
        _begin();
        FarmerId taker = _register();
        Takeover memory takeover = _takeover(_order, 0, taker, REPAIRER);
        Consent memory consent = _repairConsent(_order, 0, taker, takeover.deadlineBlock, thief);
        address signer = _signer(_acceptanceDigest(address(market), block.chainid, consent), takeover.r, takeover.vs);
        _expectRefused(takeover, thief, abi.encodeWithSelector(IOrders.AcceptanceForged.selector, 0, taker, signer));
        vm.prank(thief);
        market.refill(_held(_order), REPAIRER, _takeovers(takeover));
    }

    /// Must hold: an old consent does not count.
    function test_expired() external {
        _begin();
        FarmerId taker = _register();
        Takeover memory takeover = _takeover(_order, 0, taker, REPAIRER);
        vm.roll(takeover.deadlineBlock + 1);
        _expectRefused(
            takeover,
            REPAIRER,
            abi.encodeWithSelector(IOrders.AcceptanceExpired.selector, 0, takeover.deadlineBlock, block.number)
        );
    }

    /// Must hold: the new farmer must have its collateral.
    function testFuzz_theNewFarmerIsCovered(uint256 stake) external {
        stake = _within(stake, 1, RATE * COLLATERAL_EPOCHS - 1);
        _begin();
        FarmerId taker = _register(stake);
        _expectRefused(
            _takeover(_order, 0, taker, REPAIRER),
            REPAIRER,
            abi.encodeWithSelector(IFarmers.StakeTooSmall.selector, taker, stake, RATE * COLLATERAL_EPOCHS)
        );
    }

    /// Must hold: a lapsed farmer takes nothing over.
    function test_notALapsedFarmer() external {
        FarmerId lapsed = _register();
        _store(lapsed, _date(6), 1, RATE);
        _begin();
        Epoch vacantFrom = Epoch.wrap(uint32(_settledEpoch(lapsed) + 1));
        _expectRefused(
            _takeover(_order, 0, lapsed, REPAIRER),
            REPAIRER,
            abi.encodeWithSelector(IFarmers.FarmerLapsed.selector, lapsed, vacantFrom)
        );
    }

    /// Must hold: in the order's last epochs there is nothing to take over.
    function test_tooLate() external {
        _begin();
        FarmerId taker = _register();
        _enter(_stored[_order].end - 1);
        _expectRefused(
            _takeover(_order, 0, taker, REPAIRER),
            REPAIRER,
            abi.encodeWithSelector(IRepairs.OrderEnding.selector, _order, Epoch.wrap(_stored[_order].end))
        );
    }

    /// Must hold: slots, order, repairer and takeovers must be right.
    function test_badInput() external {
        _begin();
        FarmerId taker = _register();
        Takeover memory takeover = _takeover(_order, 3, taker, REPAIRER, 0);
        _expectRefused(takeover, REPAIRER, abi.encodeWithSelector(IRepairs.NoSuchSlot.selector, 3, 3));
        takeover = _takeover(_order, 0, taker, REPAIRER);
        _expectRefused(takeover, address(0), abi.encodeWithSelector(IRepairs.NoRepairer.selector));
        Held memory held = _held(_order);
        vm.expectRevert(abi.encodeWithSelector(IRepairs.NothingToRefill.selector));
        market.refill(held, REPAIRER, new Takeover[](0));
        held.slots[0].farmer = taker;
        bytes32 given = Reference.slotsHash(held.leafCount, held.pieceLeaves, held.slots);
        bytes32 kept = market.order(_order).slotsHash;
        vm.expectRevert(abi.encodeWithSelector(IOrders.WrongSlots.selector, _order, given, kept));
        market.refill(held, REPAIRER, _takeovers(takeover));
        held.order = OrderId.wrap(bytes32(uint256(1)));
        vm.expectRevert(abi.encodeWithSelector(IOrders.UnknownOrder.selector, held.order));
        market.refill(held, REPAIRER, _takeovers(takeover));
    }

    /// @dev A consent for a slot that may not be there, over the data of another.
    function _takeover(
        OrderId order,
        uint256 slot,
        FarmerId farmer,
        address repairer,
        uint256 like
    ) private view returns (Takeover memory takeover) {
        takeover = _takeover(order, like, farmer, repairer);
        takeover.slot = uint8(slot);
    }
}

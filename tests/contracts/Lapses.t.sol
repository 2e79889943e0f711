// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, FarmerId, OrderId} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {AttackTest} from "./support/AttackTest.sol";

/// @title What there is to gain by settling a lapse late, or early
/// @dev Two farmers with slots that are the same in everything, of two orders, vanish together. Of one it is said at once;
/// of the other nobody says it until its slot is given to another.
contract LapsesTest is AttackTest {
    /// @dev What everyone who has to do with one of the two farmers has of it.
    struct Shares {
        uint256 bounty;
        uint256 renters;
        uint256 owners;
        uint256 burnt;
        uint256 rewards;
    }

    address private constant EARLY = address(0xEA417);
    address private constant LATE = address(0x1A7E);

    /// Must hold: when a lapse is settled, and by whom, changes nothing for farmer, renter and repairer: what is burnt is the
    /// same, and so is the reward for the eviction, which another caller has.
    function testFuzz_lateIsAsEarly(uint256 stake, uint256 seen, uint256 refilled) external {
        stake = _within(stake, COLLATERAL_EPOCHS * R, 3 * COLLATERAL_EPOCHS * R);
        (FarmerId[2] memory gone, OrderId[2] memory orders) = _vanish(stake);
        FarmerId[2] memory takers = [_register(), _register()];
        seen = _within(seen, 1, 100);
        refilled = _within(refilled, seen, 200);
        uint256 vacantBlock = _now() * EPOCH_BLOCKS;
        vm.roll(vacantBlock + seen);
        uint256 burnt = market.earnings(BURNT);
        vm.startPrank(EARLY);
        market.settle(gone[0]);
        market.evict(gone[0]);
        vm.stopPrank();
        burnt = market.earnings(BURNT) - burnt;
        vm.roll(vacantBlock + refilled);
        Shares memory early = _refilled(gone[0], orders[0], takers[0], EARLY, burnt);
        Shares memory late = _refilled(gone[1], orders[1], takers[1], LATE, 0);
        vm.assertEq(early.bounty, late.bounty, "the repairer");
        vm.assertEq(early.renters, late.renters, "the renter");
        vm.assertEq(early.owners, late.owners, "the owner");
        vm.assertEq(early.burnt, late.burnt, "burnt");
        vm.assertEq(early.rewards, late.rewards, "who evicts");
    }

    /// Must hold: a lapse that nobody sees costs the renter what all have agreed to offer for its slot, and not a unit more.
    function testFuzz_unseenCostsTheFullBounty(uint256 unseen) external {
        (FarmerId[2] memory gone, OrderId[2] memory orders) = _vanish(STAKE);
        FarmerId[2] memory takers = [_register(), _register()];
        vm.roll(_now() * EPOCH_BLOCKS);
        uint256 vacantFrom = _now();
        Shares memory seen = _refilled(gone[0], orders[0], takers[0], EARLY, 0);
        vm.assertEq(seen.bounty, 0, "at once it is to be had for nothing");
        uint256 duration = AUCTION_EPOCHS * EPOCH_BLOCKS;
        vm.roll(block.number + duration + _within(unseen, 0, duration));
        Shares memory late = _refilled(gone[1], orders[1], takers[1], LATE, 0);
        vm.assertEq(late.bounty, (COLLATERAL_EPOCHS * R) / 2, "the full bounty");
        uint256 vacant = (_now() - vacantFrom) * R;
        vm.assertEq(late.renters, seen.renters + vacant - late.bounty, "less by the bounty, and what was not proven");
    }

    /// Must hold: an extension whose farmer lapsed before it begins is taken over at what has been offered since the lapse.
    function test_theAuctionOfAnExtensionBeginsWithTheLapse() external {
        FarmerId farmer = _register(2 * COLLATERAL_EPOCHS * R);
        _enter(_date(1));
        OrderId own = _store(farmer, _date(1), 1, R);
        OrderId next = _extend(own, _one(farmer), _date(3), R);
        uint256 vacantFrom = _now() + MAX_MISSES + 1;
        _enter(_stored[next].from - 1);
        vm.assertTrue(vacantFrom < _now(), "lapsed before");
        FarmerId taker = _register();
        _refill(next, 0, taker, REPAIRER);
        uint256 duration = AUCTION_EPOCHS * EPOCH_BLOCKS;
        uint256 full = (COLLATERAL_EPOCHS * R) / 2;
        uint256 waited = block.number - vacantFrom * EPOCH_BLOCKS;
        vm.assertTrue(waited < duration, "still rising");
        vm.assertEq(market.earnings(REPAIRER), (full * waited) / duration, "since the lapse");
    }

    /// @dev Two farmers that do nothing until they have lapsed, one block into the first epoch of the vacancy.
    function _vanish(uint256 stake) private returns (FarmerId[2] memory gone, OrderId[2] memory orders) {
        for (uint256 i = 0; i < 2; ++i) {
            gone[i] = _register(stake);
            orders[i] = _store(gone[i], _date(11), 1, R);
        }
        _enter(_now() + MAX_MISSES + 1);
    }

    /// @dev The slot is refilled, evicting its farmer if that is left to do: who has what of it.
    function _refilled(
        FarmerId gone,
        OrderId order,
        FarmerId taker,
        address caller,
        uint256 burntBefore
    ) private returns (Shares memory shares) {
        uint256 vault = market.vault(renter);
        uint256 burnt = market.earnings(BURNT);
        address repairer = address(uint160(caller) + 1);
        vm.startPrank(caller);
        _refill(order, 0, taker, repairer);
        vm.stopPrank();
        shares.bounty = market.earnings(repairer);
        shares.renters = market.vault(renter) - vault;
        shares.owners = market.earnings(_ownerOf(gone));
        shares.burnt = market.earnings(BURNT) - burnt + burntBefore;
        shares.rewards = market.earnings(caller);
        vm.assertEq(Epoch.unwrap(_stored[order].slots[0].from), _now() + 1, "refilled");
    }
}

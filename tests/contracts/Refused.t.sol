// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {Acceptance, Epoch, FarmerId, OrderId, Takeover, Terms} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";

/// @title Attacks of docs/economics.md that the market refuses
/// @dev Why each is refused, and with which values, is in the tests of the calls; here what everyone has before and after.
contract RefusedTest is AttackTest {
    address private constant THIEF = address(0x7417EF);

    /// Must hold: a renter that places what no farmer signed for has paid nothing, and the farmer owes and loses nothing.
    function testFuzz_placeWhatNobodySigned(uint256 key) external {
        FarmerId farmer = _register();
        key = _within(key, 1, 1e9);
        vm.assume(key != _operatorKey(farmer));
        uint256 end = _date(2);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(farmer), end, 1, R);
        _sign(terms, 0, acceptances[0], key);
        _deposit(R * (end - _now() - 1));
        uint256 had = _money(renter);
        vm.expectRevert(abi.encodeWithSelector(IOrders.AcceptanceForged.selector, 0, farmer, vm.addr(key)));
        vm.prank(renter);
        market.place(terms, acceptances);
        _enter(end + 1);
        vm.assertEq(_money(renter), had, "the renter");
        vm.assertEq(_worth(farmer), STAKE, "the farmer");
        vm.assertEq(market.farmer(farmer).committedRate, 0, "not bound");
    }

    /// Must hold: a proof sent twice, by whomever, is paid once.
    function testFuzz_proveTwice(address second) external {
        vm.assume(second != address(0));
        FarmerId farmer = _register();
        _store(farmer, _date(2), 1, R);
        _enter(_now() + 1);
        bytes32[] memory words = _proof(farmer);
        Epoch current = market.currentEpoch();
        market.prove(farmer, current, words);
        vm.expectRevert(abi.encodeWithSelector(IAudits.EpochSettled.selector, farmer, current));
        vm.prank(second);
        market.prove(farmer, current, words);
        vm.assertEq(_worth(farmer), STAKE + R, "once");
    }

    /// Must hold: a proof that comes after its epoch leaves the farmer what it would have without: a miss is a miss.
    function testFuzz_proveLate(uint256 late) external {
        FarmerId farmer = _register();
        _store(farmer, _date(2), 1, R);
        _enter(_now() + 1);
        bytes32[] memory words = _proof(farmer);
        Epoch missed = market.currentEpoch();
        _enter(_now() + _within(late, 1, MAX_MISSES - 1));
        uint256 left = _worth(farmer);
        vm.assertEq(left, STAKE - (_now() - Epoch.unwrap(missed)) * (PENALTY + FINE) * R, "each costs");
        vm.expectRevert(abi.encodeWithSelector(IAudits.EpochNotCurrent.selector, missed, market.currentEpoch()));
        market.prove(farmer, missed, words);
        vm.assertEq(_worth(farmer), left, "nothing won");
    }

    /// Must hold: slots added in an epoch neither pay in it nor spare what is drawn in it: with what was drawn missing, the
    /// farmer loses all that it would lose without them.
    function testFuzz_addedSlotsShiftNothing(uint256 added) external {
        added = _within(added, 1, 100 * R);
        FarmerId farmer = _register();
        uint256 end = _date(2);
        _store(farmer, end, 1, R / 2);
        _store(farmer, end, 1, R / 2);
        _enter(_now() + 1);
        bool drawn = _drawnFrom(farmer, 1);
        // A slot that begins with the next epoch is kept in the same book.
        _store(farmer, end, 1, added);
        vm.assertTrue(_drawnFrom(farmer, 1) == drawn, "the same is drawn");
        uint256 snapshot = vm.snapshotState();
        _prove(farmer);
        vm.assertEq(_worth(farmer), STAKE + R, "paid for what was there");
        vm.revertToState(snapshot);
        _enter(_now() + 1);
        vm.assertEq(_worth(farmer), STAKE - (PENALTY + FINE) * R, "fined for what was there");
    }

    /// Must hold: who sends a repairer's takeover with its own name has nothing, and the repairer the whole bounty.
    function testFuzz_stealTheBounty(uint256 wait) external {
        FarmerId first = _register();
        FarmerId taker = _register();
        OrderId order = _store(first, _date(6), 1, R);
        _lapse(first);
        market.evict(first);
        wait = _within(wait, 1, AUCTION_EPOCHS * EPOCH_BLOCKS);
        vm.roll(_now() * EPOCH_BLOCKS + wait);
        Takeover[] memory takeovers = new Takeover[](1);
        takeovers[0] = _takeover(order, 0, taker, REPAIRER);
        Consent memory consent = _repairConsent(order, 0, taker, takeovers[0].deadlineBlock, THIEF);
        address signer = _signer(
            _acceptanceDigest(address(market), block.chainid, consent),
            takeovers[0].r,
            takeovers[0].vs
        );
        vm.expectRevert(abi.encodeWithSelector(IOrders.AcceptanceForged.selector, 0, taker, signer));
        vm.prank(THIEF);
        market.refill(_held(order), THIEF, takeovers);
        vm.prank(THIEF);
        market.refill(_held(order), REPAIRER, takeovers);
        vm.assertEq(_money(THIEF) + market.earnings(THIEF), 0, "the thief");
        uint256 full = (COLLATERAL_EPOCHS / 2) * R;
        vm.assertEq(market.earnings(REPAIRER), (full * wait) / (AUCTION_EPOCHS * EPOCH_BLOCKS), "the repairer");
    }
}

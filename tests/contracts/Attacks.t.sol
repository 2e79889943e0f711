// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FarmerId, OrderId} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";

/// @title The attacks of docs/economics.md, played out, that do not hang on what is drawn
/// @dev Which are in other files is said there. Of each, what everyone in on it has at the end against the beginning. Keeping
/// data is taken to cost as much as it is paid, the most that an honest farmer would bear: so all that an attack saves is less
/// than R for each epoch.
contract AttacksTest is AttackTest {
    /// Must hold: a farmer that drops everything is left with less than it came with.
    function testFuzz_dropEverything(uint256 epochs) external {
        FarmerId farmer = _register();
        _store(farmer, _date(4), 2, R);
        _enter(_now() + 1 + _within(epochs, 1, 20));
        vm.assertTrue(_worth(farmer) < STAKE, "a loss");
    }

    /// Must hold: who takes a bounty and has nothing loses more, whenever it comes and however long it waits.
    function testFuzz_pretendARepair(uint256 left, uint256 rounds) external {
        left = _within(left, 1, 30);
        rounds = _within(rounds, 1, 4);
        FarmerId first = _register();
        OrderId order = _store(first, _date(6), 1, R);
        _lapse(first);
        market.evict(first);
        uint256 end = _stored[order].end;
        if (_now() + 1 < end - left) _enter(end - left - 1);
        uint256 spent = 0;
        for (uint256 i = 0; i < rounds && _now() + 1 < end; ++i) {
            FarmerId pretender = _register();
            spent += STAKE;
            _refill(order, 0, pretender, REPAIRER);
            _enter(_now() + 1 + MAX_MISSES);
            if (market.farmer(pretender).lapsed) {
                vm.prank(REPAIRER);
                market.evict(pretender);
                vm.roll(block.number + AUCTION_EPOCHS * EPOCH_BLOCKS);
            }
        }
        _enter(end + 10);
        uint256 had = market.earnings(REPAIRER);
        for (uint32 i = 2; i <= market.farmerCount(); ++i) had += _worth(FarmerId.wrap(i));
        vm.assertTrue(had < spent, "a loss");
    }

    /// Must hold: a renter and a pretended repairer have less together than the renter that waits.
    function testFuzz_renterAndPretender(uint256 wait) external {
        FarmerId first = _register();
        OrderId order = _store(first, _date(6), 1, R);
        _lapse(first);
        market.evict(first);
        vm.roll(block.number + _within(wait, 0, 80));
        uint256 snapshot = vm.snapshotState();
        uint256 end = _stored[order].end;
        _enter(end);
        _close(order);
        uint256 waiting = _money(renter) + STAKE;
        vm.revertToState(snapshot);

        FarmerId pretender = _register();
        _refill(order, 0, pretender, REPAIRER);
        _enter(end);
        vm.prank(REPAIRER);
        market.evict(pretender);
        _close(order);
        uint256 pretending = _money(renter) + market.earnings(REPAIRER) + _worth(pretender);
        vm.assertTrue(pretending < waiting, "less than by waiting");
    }

    /// Must hold: a farmer that gives a slot up and takes it over under another name, with the data, loses by it.
    function testFuzz_farmerAndRepairer(uint256 wait) external {
        FarmerId farmer = _register();
        FarmerId other = _register();
        OrderId order = _store(farmer, _date(8), 1, R);
        _enter(_now() + 1);
        _prove(farmer);
        uint256 before = _worth(farmer) + _worth(other);
        _lose(farmer, 0);
        vm.roll(block.number + _within(wait, 0, 60));
        market.settle(farmer);
        _refill(order, 0, other, REPAIRER);
        uint256 afterwards = _worth(farmer) + _worth(other) + market.earnings(REPAIRER);
        vm.assertTrue(afterwards + (COLLATERAL_EPOCHS / 2) * R <= before, "half the collateral at least");
    }

    /// Must hold: a farmer that lapses, evicts itself and takes its slot over under another name, with the data, has lost half
    /// of its collateral at least, and the pay of the epochs it missed, however much it had staked.
    function testFuzz_farmerAndRepairerByLapse(uint256 more, uint256 unseen, uint256 wait) external {
        FarmerId farmer = _register((COLLATERAL_EPOCHS + _within(more, 0, 2 * COLLATERAL_EPOCHS)) * R);
        FarmerId other = _register();
        OrderId order = _store(farmer, _date(8), 1, R);
        uint256 before = _worth(farmer) + _worth(other);
        _enter(_now() + MAX_MISSES + 1);
        vm.roll(block.number + _within(unseen, 0, 60));
        vm.prank(REPAIRER);
        market.evict(farmer);
        vm.roll(block.number + _within(wait, 0, 60));
        _refill(order, 0, other, REPAIRER);
        uint256 afterwards = _worth(farmer) + _worth(other) + market.earnings(REPAIRER);
        vm.assertTrue(afterwards + (COLLATERAL_EPOCHS / 2) * R <= before, "half the collateral at least");
    }

    /// Must hold: a farmer that is its own renter has no more at the end than at the beginning, whatever it proves.
    function testFuzz_farmerAndRenter(uint256 pattern) external {
        address own = _asOwnRenter();
        FarmerId farmer = _register();
        uint256 before = _money(own) + STAKE;
        uint256 end = _date(2);
        OrderId order = _store(farmer, end, 1, R);
        uint256 proven = 0;
        uint256 epochs = 0;
        while (_now() + 1 < end) {
            _enter(_now() + 1);
            ++epochs;
            if ((pattern >> epochs) & 1 == 0 || market.farmer(farmer).lapsed) continue;
            _prove(farmer);
            ++proven;
        }
        _enter(end);
        if (market.farmer(farmer).lapsed) {
            vm.prank(own);
            market.evict(farmer);
        }
        _close(order);
        uint256 have = _money(own) + market.earnings(own) + _worth(farmer);
        vm.assertTrue(proven == epochs ? have == before : have < before, "nothing won, and something burnt");
    }

    /// Must hold: a farmer that evicts itself for the reward has far less than one that serves.
    function test_evictItself() external {
        FarmerId farmer = _register(COLLATERAL_EPOCHS * R);
        _store(farmer, _date(6), 1, R);
        _lapse(farmer);
        vm.prank(_ownerOf(farmer));
        market.evict(farmer);
        vm.assertEq(_worth(farmer), R, "an epoch of pay is left of sixteen");
    }

    /// Must hold: strangers who settle, record seeds and try to evict do an honest farmer no harm.
    function testFuzz_strangersAreHarmless(uint256 seed) external {
        FarmerId farmer = _register();
        _store(farmer, _date(2), 1, R);
        for (uint256 i = 0; i < 6; ++i) {
            _enter(_now() + 1);
            if ((seed >> i) & 1 == 1) market.settle(farmer);
            if ((seed >> (8 + i)) & 1 == 1) market.recordSeed();
            (bool done, ) = address(market).call(abi.encodeCall(market.evict, (farmer)));
            vm.assertTrue(!done, "not evicted");
            if (_rateAt(farmer, _now()) > 0) _prove(farmer);
        }
        vm.assertEq(market.farmer(farmer).stake, STAKE, "whole");
    }
}

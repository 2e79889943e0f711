// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, FarmerId, FarmerView, OrderId} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {History} from "./support/History.sol";

/// @title A market whose epochs are a day of 2 s blocks, far longer than the chain has hashes
contract LongEpochsTest is FarmTest {
    address private constant REPAIRER = address(0x4E9A14);
    uint256 private constant RATE = 1e6;

    function _epochBlocks() internal pure override returns (uint256) {
        return 43_200;
    }

    /// @dev Goes to block `age` of the next epoch; the blocks before it have their hashes.
    function _enterLate(uint256 epoch, uint256 age) private {
        uint256 first = epoch * EPOCH_BLOCKS;
        vm.roll(first + age);
        for (uint256 i = 0; i < age; i += 4096) History.set(first + i, keccak256(abi.encode(epoch, i)));
    }

    /// Must hold: epoch after epoch is proven and paid, whether its seed was recorded in the first blocks, at the end of the
    /// history, a block too late for it, or in the last block of all, and by whomever; the farmer has no miss.
    function test_seedsLateAndVeryLate() external {
        uint256[9] memory ages = [uint256(1), 257, 8191, 8192, 12_287, 12_288, 20_001, 40_960, 43_199];
        FarmerId[] memory farmers = _registerMany(2);
        _store(farmers, _date(12), 3, RATE);
        uint256 epochs = 0;
        while (epochs < 27) {
            _enterLate(_now() + 1, ages[epochs % 9]);
            market.recordSeed();
            // Long after it, in the last blocks, nothing of it is to be had from the chain any more.
            if (block.number % EPOCH_BLOCKS < 43_198) vm.roll((_now() + 1) * EPOCH_BLOCKS - 1);
            _prove(farmers[epochs % 2]);
            _prove(farmers[1 - (epochs % 2)]);
            ++epochs;
        }
        for (uint256 i = 0; i < 2; ++i) {
            vm.assertEq(market.farmer(farmers[i]).misses, 0, "misses");
            vm.assertEq(market.farmer(farmers[i]).epochsProven, epochs, "proven");
            vm.assertEq(market.earnings(_ownerOf(farmers[i])), epochs * RATE, "paid");
        }
    }

    /// Must hold: after 1, 2 or 1,000 missed epochs one call settles them, and who has not lapsed proves the epoch in which it is
    /// back: the next one begins where the grid of epochs says, not where the last proof was.
    function test_missedEpochs() external {
        FarmerId farmer = _register();
        FarmerId other = _register();
        _store(farmer, _date(12), 3, RATE);
        _store(other, _date(12), 3, RATE);
        uint256 absent = 1;
        for (uint256 i = 0; i < 2; ++i) {
            _enterLate(_now() + 1 + absent, 43_199);
            _prove(farmer);
            FarmerView memory shown = market.farmer(farmer);
            vm.assertEq(shown.misses, (absent * (absent + 1)) / 2, "misses");
            vm.assertEq(Epoch.unwrap(shown.settledEpoch), _now(), "settled");
            ++absent;
        }
        uint256 begun = _now();
        _enterLate(begun + 1000, 20_000);
        market.settle(other);
        vm.assertTrue(market.farmer(other).lapsed, "lapsed");
        vm.assertEq(market.farmer(other).misses, MAX_MISSES, "no more than it takes");
    }

    /// Must hold: who proves in the first possible block for many epochs never comes earlier, nor later: there is no drift.
    function test_noDrift() external {
        FarmerId farmer = _register();
        _store(farmer, _date(12), 3, RATE);
        uint256 epoch = _now();
        for (uint256 i = 0; i < 40; ++i) {
            _enterLate(++epoch, 1);
            _prove(farmer);
            vm.assertEq(_now(), epoch, "epoch");
        }
        vm.assertEq(market.farmer(farmer).epochsProven, 40, "proven");
    }

    /// Must hold: after half a day in which the chain had blocks and nobody could send, as a rollup has after an outage of its
    /// sequencer, the epoch is proven in one of the blocks that are left.
    function test_outageOfHalfAnEpoch() external {
        FarmerId farmer = _register();
        _store(farmer, _date(2), 3, RATE);
        _enterLate(_now() + 1, 21_600);
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)), RATE, "paid");
        vm.assertEq(market.farmer(farmer).misses, 0, "misses");
    }

    /// Must hold: a slot of a long epoch is placed, falls vacant, is refilled for a bounty that rises with each block of the
    /// auction, and closed.
    function test_vacancyAndRefill() external {
        FarmerId farmer = _register(COLLATERAL_EPOCHS * RATE);
        OrderId order = _store(farmer, _date(6), 3, RATE);
        _enterLate(_now() + MAX_MISSES + 1, 30_000);
        market.evict(farmer);
        uint256 vacantSince = _now() * EPOCH_BLOCKS;
        FarmerId taker = _register();
        // An odd number of blocks, so that a bounty that rose by epochs would be another.
        uint256 waited = (AUCTION_EPOCHS * EPOCH_BLOCKS) / 2 + 1;
        vm.roll(vacantSince + waited);
        uint256 collateral = market.eviction(farmer).collateralEpochs * RATE;
        _refill(order, 0, taker, REPAIRER);
        vm.assertEq(
            market.earnings(REPAIRER),
            ((collateral < 8 * RATE ? collateral : 8 * RATE) * waited) / (AUCTION_EPOCHS * EPOCH_BLOCKS),
            "bounty"
        );
        _enterLate(_now() + 1, 9000);
        _prove(taker);
        vm.assertEq(market.earnings(_ownerOf(taker)), RATE, "paid");
        vm.roll(uint256(_stored[order].end) * EPOCH_BLOCKS);
        _close(order);
    }
}

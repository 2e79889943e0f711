// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FarmerId} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";
import {History} from "./support/History.sol";

/// @title Waiting for a better seed: attacks of docs/economics.md that long epochs would allow if nobody recorded seeds
/// @dev What hangs on chance is played so often that the mean decides.
contract SilenceTest is AttackTest {
    uint256 private constant SEEDS = 12;
    uint256 private constant STEP = 4096;

    function _epochBlocks() internal pure override returns (uint256) {
        return 43_200;
    }

    /// @dev Goes to the last block in which the seed is the hash after so many silent steps, or to the last of the epoch.
    function _wait(uint256 epoch, uint256 steps) private {
        uint256 first = epoch * EPOCH_BLOCKS;
        uint256 age = History.KEPT_BLOCKS + steps * STEP;
        vm.roll(first + (age < EPOCH_BLOCKS ? age : EPOCH_BLOCKS - 1));
        for (uint256 i = 0; i <= steps; ++i) History.set(first + i * STEP, keccak256(abi.encode(epoch, i)));
    }

    /// @dev A farmer drops so many tenths of what it is paid for and records no seed before one comes in which nothing of that is
    /// drawn. In every epoch that is no multiple of `silentEvery` somebody else records it in the last block of the history. What
    /// the farmer won beyond the cost of what it keeps, and in how many epochs.
    function waitForASeed(uint256 silentEvery, uint256 tenths) external returns (int256 won) {
        _enter(_date(1));
        FarmerId farmer = _register();
        uint256 end = _date(1);
        uint256 dropped = (R * tenths) / 10;
        _store(farmer, end, 1, R - dropped);
        _store(farmer, end, 1, dropped);
        uint256 epoch = _now();
        uint256 epochs = 0;
        while (++epoch < end) {
            _wait(epoch, 0);
            if (market.farmer(farmer).lapsed) break;
            ++epochs;
            if (epoch % silentEvery != 0) market.recordSeed();
            uint256 snapshot = vm.snapshotState();
            bool drawn = _drawnFrom(farmer, 1);
            for (uint256 steps = 1; drawn && epoch % silentEvery == 0 && steps <= 9; ++steps) {
                vm.revertToState(snapshot);
                _wait(epoch, steps);
                drawn = _drawnFrom(farmer, 1);
            }
            if (!drawn) _prove(farmer);
        }
        won = int256(_worth(farmer)) - int256(STAKE) - int256(epochs * (R - dropped));
    }

    function _wonBySilence(uint256 silentEvery, uint256 tenths) private returns (int256 won) {
        for (uint256 round = 0; round < SEEDS; ++round) won += this.waitForASeed(silentEvery, tenths);
    }

    /// Must hold: one caller who records the seed at any time in its first 8,191 blocks leaves a farmer that dropped a part one
    /// draw, and a loss.
    function test_oneHonestCaller() external {
        for (uint256 tenths = 1; tenths <= 5; tenths += 2) {
            vm.assertTrue(_wonBySilence(1 << 32, tenths) < 0, "a loss");
        }
    }

    /// Must hold, and is why everyone's node records seeds: where nobody does, a farmer that dropped a tenth or a fifth has ten
    /// draws an epoch, and wins what it did not store; who dropped half loses all the same.
    function test_silenceOfAll() external {
        vm.assertTrue(_wonBySilence(1, 1) > 0, "a tenth");
        vm.assertTrue(_wonBySilence(1, 2) > 0, "a fifth");
        vm.assertTrue(_wonBySilence(1, 5) < 0, "a half");
    }

    /// Must hold: who finds everyone silent in one epoch of eight only loses by the others.
    function test_silenceNowAndThen() external {
        vm.assertTrue(_wonBySilence(8, 1) < 0, "a tenth");
        vm.assertTrue(_wonBySilence(8, 3) < 0, "three tenths");
    }

    /// Must hold: strangers who record a seed as late as they can change nothing for an honest farmer.
    function test_honestFarmersDoNotMind() external {
        FarmerId farmer = _register();
        uint256 end = _date(2);
        _store(farmer, end, 3, R);
        uint256 epoch = _now();
        while (epoch + 1 < end) {
            _wait(++epoch, epoch % 10);
            _prove(farmer);
        }
        vm.assertEq(market.farmer(farmer).misses, 0, "misses");
    }
}

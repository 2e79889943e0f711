// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISeeds} from "../../contracts/interfaces/ISeeds.sol";
import {ISettings} from "../../contracts/interfaces/ISettings.sol";
import {Epoch, FarmerId, Parameters} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {History} from "./support/History.sol";

/// @title The seed of a long epoch, recorded in time, late and very late
/// @dev Epochs of a day of 2 s blocks. The history contract is that of EIP-2935, told of the blocks that may give a seed.
contract SeedsTest is FarmTest {
    uint256 private constant EPOCH = 200;
    uint256 private constant STEP = 4096;

    function _epochBlocks() internal pure override returns (uint256) {
        return 43_200;
    }

    /// @dev The hash of the block that gives the seed after so many silent steps.
    function _hashAfter(uint256 steps) private pure returns (bytes32) {
        return keccak256(abi.encode("after", steps));
    }

    /// @dev Goes to block `age` of the epoch, on a chain that has the hashes of all blocks before it.
    function _comeTo(uint256 age) private {
        uint256 first = EPOCH * EPOCH_BLOCKS;
        vm.roll(first + age);
        for (uint256 steps = 0; steps * STEP < age; ++steps) History.set(first + steps * STEP, _hashAfter(steps));
    }

    /// @dev By the definition: the first candidate that is at most 8,191 blocks old.
    function _stepsAt(uint256 age) private pure returns (uint256 steps) {
        while (age - steps * STEP > History.KEPT_BLOCKS) ++steps;
    }

    /// @dev By how many steps the seed is late that is recorded in block `age`; recording it again changes nothing.
    function _recordAt(uint256 age, uint256 steps) private {
        uint256 snapshot = vm.snapshotState();
        _comeTo(age);
        vm.expectEmit(true, true, true, true, address(market));
        emit ISeeds.SeedRecorded(Epoch.wrap(uint32(EPOCH)), _hashAfter(steps));
        vm.assertEq(market.recordSeed(), _hashAfter(steps), "recorded");
        _comeTo(EPOCH_BLOCKS - 1);
        vm.assertEq(market.recordSeed(), _hashAfter(steps), "kept to the last block");
        vm.assertEq(market.seed(Epoch.wrap(uint32(EPOCH))), _hashAfter(steps), "shown");
        vm.revertToState(snapshot);
    }

    function _refusedNow() private {
        vm.expectRevert(abi.encodeWithSelector(ISeeds.SeedUnavailable.selector, EPOCH));
        market.recordSeed();
        vm.assertEq(market.seed(Epoch.wrap(uint32(EPOCH))), 0, "nothing stored");
    }

    /// Must hold: for 8,191 blocks the seed is the hash of the epoch's first, however late within them.
    function test_inTime() external {
        uint256[6] memory ages = [uint256(1), 256, 257, 4096, 8190, 8191];
        for (uint256 i = 0; i < 6; ++i) _recordAt(ages[i], 0);
    }

    /// Must hold: after these 8,191 blocks, and then after each 4,096 in which nobody records it, it is the hash of a block 4,096
    /// later than before, up to the last block of the epoch.
    function test_eachStepOfSilence() external {
        for (uint256 steps = 0; steps <= 8; ++steps) {
            uint256 last = 8191 + steps * STEP;
            _recordAt(last - 1, steps);
            _recordAt(last, steps);
            _recordAt(last + 1, steps + 1);
        }
        _recordAt(EPOCH_BLOCKS - 1, 9);
    }

    /// Must hold: whenever it is recorded, it is the first block of the sequence whose hash is still served.
    function testFuzz_theLeastStep(uint256 age) external {
        age = _within(age, 1, EPOCH_BLOCKS - 1);
        _recordAt(age, _stepsAt(age));
    }

    /// Must hold: in the epoch's first block there is no seed.
    function test_firstBlock() external {
        _comeTo(0);
        _refusedNow();
    }

    /// Must hold: what is stored in the history for a block 8,191 before is never taken for the hash of a later one, nor is a
    /// seed of an earlier epoch: the history without the epoch's blocks gives none.
    function test_noLeftOvers() external {
        _comeTo(8192);
        vm.store(History.AT, bytes32((EPOCH * EPOCH_BLOCKS + STEP) % History.KEPT_BLOCKS), 0);
        _refusedNow();
    }

    /// Must hold: a hash that the chain shows as zero is never stored: the epoch stays open, and the next block of the sequence
    /// gives the seed as soon as it is there.
    function test_zeroIsPassedOver() external {
        uint256 first = EPOCH * EPOCH_BLOCKS;
        uint256[3] memory ages = [uint256(1), 300, 4096];
        for (uint256 i = 0; i < 3; ++i) {
            _comeTo(ages[i]);
            History.set(first, 0);
            _refusedNow();
        }
        vm.roll(first + 4097);
        History.set(first + STEP, _hashAfter(1));
        vm.assertEq(market.recordSeed(), _hashAfter(1), "of the next");
    }

    /// Must hold: with no hash at all nothing is ever stored, and with the first that comes the epoch can be proven.
    function test_zeroOftenAndAlways() external {
        uint256 first = EPOCH * EPOCH_BLOCKS;
        for (uint256 age = 1; age < EPOCH_BLOCKS; age += 1024) {
            vm.roll(first + age);
            for (uint256 i = 0; i < age; i += STEP) History.set(first + i, 0);
            _refusedNow();
        }
        vm.roll(first + EPOCH_BLOCKS - 1);
        History.set(first + 9 * STEP, _hashAfter(9));
        vm.assertEq(market.recordSeed(), _hashAfter(9), "of the last");
    }

    /// Must hold: on a chain that has the hashes of more blocks the seed changes all the same when 8,191 are over: anyone can tell
    /// which it is without asking how many the chain has.
    function test_historyOfMoreBlocks() external {
        // Answers every question with the number that it was asked for.
        vm.etch(History.AT, hex"5f355f5260205ff3");
        uint256 first = EPOCH * EPOCH_BLOCKS;
        for (uint256 steps = 0; steps < 9; ++steps) {
            for (uint256 late = 0; late < 2; ++late) {
                uint256 snapshot = vm.snapshotState();
                vm.roll(first + 8191 + steps * STEP + late);
                vm.assertEq(market.recordSeed(), bytes32(first + (steps + late) * STEP), "block");
                vm.revertToState(snapshot);
            }
        }
    }

    /// Must hold: where the history contract vanishes after deployment, the last 256 blocks still give a seed, and later ones
    /// are refused, not answered by zero.
    function test_historyGone() external {
        vm.etch(History.AT, "");
        _comeTo(256);
        uint256 snapshot = vm.snapshotState();
        vm.assertEq(market.recordSeed(), _hashAfter(0), "by the opcode");
        vm.revertToState(snapshot);
        vm.roll(block.number + 1);
        _refusedNow();
    }

    /// Must hold: a proof that records the seed in the last block of the epoch is one like any other.
    function test_proofRecordsItInTheLastBlock() external {
        _enter(EPOCH - 1);
        FarmerId farmer = _register();
        _store(farmer, _date(3), 3, 7);
        _comeTo(EPOCH_BLOCKS - 1);
        uint256 snapshot = vm.snapshotState();
        bytes32[] memory words = _proof(farmer);
        vm.revertToState(snapshot);
        vm.assertEq(market.seed(Epoch.wrap(uint32(EPOCH))), 0, "no seed yet");
        market.prove(farmer, Epoch.wrap(uint32(EPOCH)), words);
        vm.assertEq(market.seed(Epoch.wrap(uint32(EPOCH))), _hashAfter(9), "seed");
        vm.assertEq(market.earnings(_ownerOf(farmer)), 7, "paid");
    }

    /// Must hold: a proof made for the seed of one step is refused when the step is over and nobody had recorded it; made again it
    /// counts, and nothing is lost but its gas.
    function test_proofOverTheStep() external {
        _enter(EPOCH - 1);
        FarmerId farmer = _register();
        _store(farmer, _date(3), 64, 7);
        _comeTo(8191);
        uint256 snapshot = vm.snapshotState();
        bytes32[] memory words = _proof(farmer);
        vm.revertToState(snapshot);
        _comeTo(8192);
        vm.expectRevert();
        market.prove(farmer, Epoch.wrap(uint32(EPOCH)), words);
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)), 7, "paid");
    }

    function _refusedHere(bytes32 hash, bytes32 kept) private {
        Parameters memory p = _parameters(address(token));
        bytes memory reason = abi.encodeWithSelector(ISettings.BlockHashesNotServed.selector, hash, kept);
        vm.expectRevert(reason);
        _createAccounts(p);
        vm.expectRevert(reason);
        _createFarmers(p, address(0));
        vm.expectRevert(reason);
        _create("Market.sol:Market", abi.encode(p, address(0)));
    }

    /// Must hold: no part is deployed where the hash of the block before is zero, nor where the history contract has another,
    /// none, or does not exist; and each is where they agree.
    function testFuzz_deployedOnlyWhereHashesAreServed(bytes32 hash, bytes32 kept) external {
        vm.assume(hash != 0 && hash != kept);
        History.set(block.number - 1, kept);
        vm.setBlockhash(block.number - 1, hash);
        _refusedHere(hash, kept);
        History.set(block.number - 1, 0);
        _refusedHere(0, 0);
        vm.setBlockhash(block.number - 1, hash);
        _refusedHere(hash, 0);
        vm.etch(History.AT, "");
        _refusedHere(hash, 0);
        History.install();
        History.set(block.number - 1, hash);
        _deploy(_parameters(address(token)));
    }

    /// Must hold: a history contract that answers more or less than a hash is none.
    function test_historyOfAnotherKind() external {
        bytes32 hash = keccak256("hash");
        vm.setBlockhash(block.number - 1, hash);
        // Returns the hash and another word.
        vm.etch(History.AT, bytes.concat(hex"7f", hash, hex"5f5260405ff3"));
        _refusedHere(hash, 0);
        // Reverts with the hash.
        vm.etch(History.AT, bytes.concat(hex"7f", hash, hex"5f5260205ffd"));
        _refusedHere(hash, 0);
    }

    /// Must hold: a chain whose numbers run ahead of its blocks is refused: what its opcode has for the block before is a left-over
    /// of one 256 blocks ago, or none.
    function test_numbersThatRunAhead() external {
        bytes32 old = keccak256("256 blocks ago");
        vm.setBlockhash(block.number - 1, old);
        History.set(block.number - 1 - 256, old);
        vm.store(History.AT, bytes32((block.number - 1) % History.KEPT_BLOCKS), keccak256("the chain's own"));
        _refusedHere(old, keccak256("the chain's own"));
    }

    /// Must hold: a chain of tests in its block 0 or 1 is taken as it is, and in block 2 no more.
    function test_freshChain() external {
        vm.etch(History.AT, "");
        Parameters memory p = _parameters(address(token));
        for (uint256 number = 0; number < 2; ++number) {
            vm.roll(number);
            _deploy(p);
        }
        vm.roll(2);
        vm.setBlockhash(1, keccak256("hash"));
        _refusedHere(keccak256("hash"), 0);
    }

    /// Must hold: Python says of every block which gives the seed (`grange.seeds`), as the contract does.
    function test_vectors() external {
        string memory json = vm.readFile("tests/vectors/seeds.json");
        uint256[] memory ages = vm.parseJsonUintArray(json, ".ages");
        uint256[] memory steps = vm.parseJsonUintArray(json, ".steps");
        vm.assertEq(vm.parseJsonUint(json, ".epochBlocks"), EPOCH_BLOCKS, "epoch");
        for (uint256 i = 0; i < ages.length; ++i) _recordAt(ages[i], steps[i]);
    }
}

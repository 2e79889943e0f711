// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {ISeeds} from "../../contracts/interfaces/ISeeds.sol";
import {Epoch, FarmerId} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Reference} from "./support/Reference.sol";

/// @title A proof pays when, and only when, it shows what was drawn for the epoch
contract ProveTest is FarmTest {
    uint256 private constant RATE = 1e18;

    /// @dev A farmer with slots of several lengths in three books, one epoch after they were placed.
    function _farm() private returns (FarmerId farmer) {
        farmer = _register();
        for (uint256 i = 1; i <= 7; ++i) _store(farmer, _date(2 + (i % 3)), i, i * RATE);
        _enter(_now() + 1);
    }

    function _send(FarmerId farmer, bytes32[] memory words) private {
        market.prove(farmer, Epoch.wrap(uint32(_now())), words);
    }

    function _refused(FarmerId farmer, bytes32[] memory words, bytes memory reason) private {
        vm.expectRevert(reason);
        _send(farmer, words);
    }

    /// Must hold: an honest farmer proves every epoch, no matter who sends the proof, and its owner is credited the rate.
    function test_honestFarmerIsPaid() external {
        FarmerId farmer = _farm();
        uint256 paid = 0;
        uint256 proven = market.farmer(farmer).epochsProven;
        for (uint256 i = 0; i < 5; ++i) {
            uint256 rate = market.rateAt(farmer, market.currentEpoch());
            vm.assertEq(rate, 28 * RATE, "rate");
            bytes32[] memory words = _proof(farmer);
            vm.expectEmit(true, true, true, true, address(market));
            emit IAudits.Proven(farmer, Epoch.wrap(uint32(_now())), rate);
            vm.prank(address(uint160(i + 1)));
            _send(farmer, words);
            paid += rate;
            vm.assertEq(market.earnings(_ownerOf(farmer)), paid, "pay");
            vm.assertEq(_settledEpoch(farmer), _now(), "settled");
            vm.assertEq(market.farmer(farmer).epochsProven, proven + i + 1, "counted");
            _enter(_now() + 1);
        }
        vm.assertEq(_misses(farmer), 0, "misses");
    }

    /// Must hold: over any story of orders and epochs every honest proof passes, and pays the model's rate.
    function testFuzz_anyHonestProofPasses(uint256 random) external {
        FarmerId farmer = _register(1e27);
        uint256 paid = 0;
        for (uint256 step = 0; step < 8; ++step) {
            random = uint256(keccak256(abi.encode(random)));
            for (uint256 i = 0; i < random % 4; ++i) {
                uint256 end = _date(1 + ((random >> (i * 8)) % (step == 3 ? MAX_BOOKS : 2)));
                if (end > _now() + 1)
                    _store(farmer, end, 1 + ((random >> (i * 8 + 64)) % 6), 1 + ((random >> (i * 8 + 32)) % 999));
            }
            if (_rateAt(farmer, _now()) > 0 && _settledEpoch(farmer) < _now()) {
                _prove(farmer);
                paid += _rateAt(farmer, _now());
            }
            _enter(_now() + 1 + ((random >> 128) % 3));
            if (market.farmer(farmer).lapsed) break;
        }
        vm.assertEq(market.earnings(_ownerOf(farmer)), paid, "pay");
    }

    /// Must hold: in sum no more is paid than was paid in, and all of it when every epoch is proven.
    function test_allThatWasPaidInIsEarned() external {
        FarmerId farmer = _register();
        _store(farmer, _date(2), 3, RATE);
        _store(farmer, _date(1), 2, 3 * RATE);
        uint256 prepaid = token.balanceOf(address(market)) - STAKE;
        while (_now() + 1 < _date(2)) {
            _enter(_now() + 1);
            if (_rateAt(farmer, _now()) == 0) break;
            _prove(farmer);
        }
        vm.assertEq(market.earnings(_ownerOf(farmer)), prepaid, "pay");
    }

    /// Must hold: an epoch is proven once.
    function test_proveTwice() external {
        FarmerId farmer = _farm();
        bytes32[] memory words = _proof(farmer);
        _send(farmer, words);
        _refused(farmer, words, abi.encodeWithSelector(IAudits.EpochSettled.selector, farmer, _now()));
        vm.assertEq(market.earnings(_ownerOf(farmer)), 28 * RATE, "pay");
    }

    /// Must hold: only the current epoch can be proven.
    function testFuzz_proveAnotherEpoch(uint32 epoch) external {
        FarmerId farmer = _farm();
        vm.assume(epoch != _now());
        bytes32[] memory words = _proof(farmer);
        vm.expectRevert(abi.encodeWithSelector(IAudits.EpochNotCurrent.selector, epoch, _now()));
        market.prove(farmer, Epoch.wrap(epoch), words);
    }

    /// Must hold: a proof made for an epoch does not serve in the next.
    function test_oldProof() external {
        FarmerId farmer = _farm();
        bytes32[] memory words = _proof(farmer);
        Epoch old = market.currentEpoch();
        _enter(_now() + 1);
        vm.expectRevert(abi.encodeWithSelector(IAudits.EpochNotCurrent.selector, old, _now()));
        market.prove(farmer, old, words);
        vm.expectRevert();
        _send(farmer, words);
    }

    /// Must hold: when a reorganization takes the epoch's first block away, the proof for it goes too, and one for the block
    /// that comes instead is as good.
    function test_reorganized() external {
        FarmerId farmer = _farm();
        uint256 snapshot = vm.snapshotState();
        bytes32[] memory words = _proof(farmer);
        _send(farmer, words);
        uint256 paid = market.earnings(_ownerOf(farmer));
        vm.revertToState(snapshot);
        vm.setBlockhash(_now() * EPOCH_BLOCKS, "another");
        vm.expectRevert();
        _send(farmer, words);
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)), paid, "paid once, on the branch that counts");
    }

    /// Must hold: one farmer's proof is not another's, though they keep the same.
    function test_proofOfAnotherFarmer() external {
        FarmerId first = _register();
        FarmerId second = _register();
        FarmerId[] memory both = _one(first);
        for (uint256 i = 0; i < 6; ++i) {
            _store(both, _date(1), 3, RATE);
            _store(second, _date(1), 3, RATE);
        }
        _enter(_now() + 1);
        bytes32[] memory words = _proof(first);
        vm.expectRevert();
        _send(second, words);
    }

    /// Must hold: a farmer that has nothing, or has it only since this epoch, has nothing to prove and is not paid.
    function test_nothingToProve() external {
        FarmerId farmer = _register();
        _enter(_now() + 1);
        bytes memory nothing = abi.encodeWithSelector(IAudits.NothingToProve.selector, farmer, _now());
        _refused(farmer, new bytes32[](0), nothing);
        _store(farmer, _date(1), 1, RATE);
        _refused(farmer, new bytes32[](0), nothing);
        _enter(_now() + 1);
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)), RATE, "pay");
    }

    /// Must hold: what is added in an epoch is neither drawn nor paid in it, though its book already holds it.
    function testFuzz_addedSlotsWait(uint256 rate) external {
        rate = _within(rate, 1, 1e22);
        FarmerId farmer = _farm();
        _store(farmer, _date(1), 2, rate);
        _store(farmer, _date(2), 2, rate);
        _store(farmer, _date(5), 2, rate);
        vm.assertEq(market.rateAt(farmer, market.currentEpoch()), 28 * RATE, "rate");
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)), 28 * RATE, "pay");
        _enter(_now() + 1);
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)), 56 * RATE + 3 * rate, "pay of the next epoch");
    }

    /// Must hold: in the epoch that is a book's end the book is neither drawn nor paid.
    function test_bookAtItsEnd() external {
        FarmerId farmer = _register();
        uint256 end = _date(1);
        _store(farmer, end, 2, RATE);
        _store(farmer, end + GRID_EPOCHS, 2, 5 * RATE);
        _enter(end - 1);
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)), 6 * RATE, "in the last epoch");
        _enter(end);
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)), 11 * RATE, "at the end");
    }

    /// Must hold: a farmer that registered in an epoch has that epoch behind it.
    function test_proveTheEpochOfRegistration() external {
        FarmerId farmer = _register();
        _refused(farmer, new bytes32[](0), abi.encodeWithSelector(IAudits.EpochSettled.selector, farmer, _now()));
    }

    /// Must hold: nobody proves for a farmer that does not exist.
    function testFuzz_unknownFarmer(uint32 number) external {
        _refused(
            FarmerId.wrap(number),
            new bytes32[](0),
            abi.encodeWithSelector(IFarmers.UnknownFarmer.selector, number)
        );
    }

    /// Must hold: in the first block of an epoch there is no seed, and after it anyone records it, once.
    function test_seed() external {
        FarmerId farmer = _farm();
        uint256 epoch = _now() + 1;
        vm.roll(epoch * EPOCH_BLOCKS);
        bytes memory unavailable = abi.encodeWithSelector(ISeeds.SeedUnavailable.selector, epoch);
        vm.expectRevert(unavailable);
        market.recordSeed();
        vm.expectRevert(unavailable);
        market.prove(farmer, Epoch.wrap(uint32(epoch)), new bytes32[](0));
        vm.assertEq(market.seed(Epoch.wrap(uint32(epoch))), 0, "no seed yet");
        _enter(epoch);
        bytes32 expected = _blockHash(epoch);
        vm.expectEmit(true, true, true, true, address(market));
        emit ISeeds.SeedRecorded(Epoch.wrap(uint32(epoch)), expected);
        vm.assertEq(market.recordSeed(), expected, "returned");
        vm.setBlockhash(epoch * EPOCH_BLOCKS, "another");
        vm.assertEq(market.recordSeed(), expected, "kept");
        vm.assertEq(market.seed(Epoch.wrap(uint32(epoch))), expected, "shown");
    }

    /// Must hold: a proof records the seed when nobody has.
    function test_proofRecordsTheSeed() external {
        FarmerId farmer = _farm();
        uint256 snapshot = vm.snapshotState();
        bytes32[] memory words = _proof(farmer);
        vm.revertToState(snapshot);
        vm.assertEq(market.seed(market.currentEpoch()), 0, "no seed yet");
        _send(farmer, words);
        vm.assertEq(market.seed(market.currentEpoch()), _blockHash(_now()), "seed");
    }

    /// Must hold: a proof with any bit flipped is refused, but for those that are cut off before anything is checked.
    function testFuzz_anyFlippedBitIsRefused(uint256 word, uint256 bit) external {
        FarmerId farmer = _farm();
        bytes32[] memory words = _proof(farmer);
        word = _within(word, 0, words.length - 1);
        uint256 begin = 0;
        uint256 number = 0;
        for (uint256 next = 0; next <= word; ++number) {
            begin = next;
            next += _sampleWords(farmer, _drawn(farmer, _now(), number)).length;
        }
        // Of a sample's second word only the lowest 104 bits are read, of its third the lowest 80 of each half.
        bit = _within(
            bit,
            0,
            word == begin + 1
                ? 103
                : word == begin + 2
                    ? 79
                    : 255
        );
        words[word] ^= bytes32(1 << bit);
        vm.expectRevert();
        _send(farmer, words);
    }

    /// @dev What is asked for first that `length` words do not hold: a sample's head, its leaf and path, or its entry's path.
    function _firstNeed(FarmerId farmer, uint256 length) private view returns (uint256 number, uint256 needed) {
        for (uint256 begin = 0; ; ++number) {
            Drawn memory drawn = _drawn(farmer, _now(), number);
            uint256 entryPath = Reference.mountainPath(_entries(farmer, drawn.kept), drawn.index).length;
            uint256 end = begin + _sampleWords(farmer, drawn).length;
            if (length < begin + 3) return (number, begin + 3);
            if (length < end - entryPath) return (number, end - entryPath);
            if (length < end) return (number, end);
            begin = end;
        }
    }

    /// Must hold: a proof that ends early is refused, and says in which sample.
    function testFuzz_proofTooShort(uint256 length) external {
        FarmerId farmer = _farm();
        bytes32[] memory words = _proof(farmer);
        length = _within(length, 0, words.length - 1);
        bytes32[] memory cut = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) cut[i] = words[i];
        (uint256 number, uint256 needed) = _firstNeed(farmer, length);
        _refused(farmer, cut, abi.encodeWithSelector(IAudits.ProofTooShort.selector, number, needed, length));
    }

    /// Must hold: a proof with words left over is refused.
    function testFuzz_proofTooLong(uint8 more) external {
        FarmerId farmer = _farm();
        bytes32[] memory words = _proof(farmer);
        uint256 given = words.length + _within(more, 1, 40);
        _refused(
            farmer,
            Reference.joined(words, new bytes32[](given - words.length)),
            abi.encodeWithSelector(IAudits.ProofTooLong.selector, words.length, given)
        );
    }

    /// @dev A farmer with one slot of 8 leaves and one of 5, and its first sample with the rest of the proof.
    function _pair() private returns (FarmerId farmer, Drawn memory drawn) {
        farmer = _register();
        _store(farmer, _date(1), 8, RATE);
        _store(farmer, _date(1), 5, RATE);
        _enter(_now() + 1);
        market.recordSeed();
        drawn = _drawn(farmer, _now(), 0);
    }

    /// Must hold: another leaf of the slot, with its own path, is refused.
    function testFuzz_anotherLeaf(uint256 leaf) external {
        (FarmerId farmer, Drawn memory drawn) = _pair();
        leaf = _within(leaf, 0, drawn.kept.leafCount - 1);
        vm.assume(leaf != drawn.leaf);
        drawn.leaf = leaf;
        bytes32[] memory words = _sampleWords(farmer, drawn);
        vm.expectRevert();
        _send(farmer, words);
    }

    /// Must hold: another leaf's content at the drawn leaf's path is refused, with the peak that it leads to.
    function test_wrongLeaf() external {
        (FarmerId farmer, Drawn memory drawn) = _pair();
        bytes32[] memory words = _sampleWords(farmer, drawn);
        words[3] = "not what was stored";
        bytes memory content = bytes.concat(words[3]);
        for (uint256 word = 1; word < 16; ++word) content = bytes.concat(content, words[3 + word]);
        bytes32[] memory hashes = _leafHashes(drawn.kept.data, drawn.kept.leafCount);
        hashes[drawn.leaf] = sha256(content);
        drawn.kept.root = Reference.merkleRoot(hashes, 0, hashes.length);
        bytes32[] memory entries = _entries(farmer, drawn.kept);
        bytes32 peak = keccak256(abi.encode(entries[0], entries[1]));
        entries[drawn.index] = _entryHash(drawn.kept);
        bytes32 computed = keccak256(abi.encode(entries[0], entries[1]));
        _refused(farmer, words, abi.encodeWithSelector(IAudits.WrongPeak.selector, 0, computed, peak));
    }

    /// Must hold: another slot of the book is refused, with the position that was drawn.
    function test_anotherSlot() external {
        (FarmerId farmer, Drawn memory drawn) = _pair();
        uint256 other = 1 - drawn.index;
        uint256 position =
            (uint256(keccak256(abi.encode(market.seed(market.currentEpoch()), farmer, uint256(0)))) >> 128) %
                (2 * RATE);
        drawn.kept = _kept[farmer][other];
        drawn.index = other;
        drawn.leaf = 0;
        bytes32[] memory words = _sampleWords(farmer, drawn);
        _refused(farmer, words, abi.encodeWithSelector(IAudits.WrongSlot.selector, 0, position, other * RATE, RATE));
    }

    /// Must hold: a slot is drawn by the positions of its range and not by the next, on either side.
    function testFuzz_neighbouringSlot(uint256 count, bool after_) external {
        count = _within(count, 2, 8);
        FarmerId farmer = _register();
        for (uint256 i = 0; i < count; ++i) _store(farmer, _date(1), 1, 1);
        _enter(_now() + 1);
        market.recordSeed();
        Drawn memory drawn = _drawn(farmer, _now(), 0);
        uint256 position = drawn.index;
        vm.assume(after_ ? position + 1 < count : position > 0);
        drawn.index = after_ ? position + 1 : position - 1;
        drawn.kept = _kept[farmer][drawn.index];
        bytes32[] memory words = _sampleWords(farmer, drawn);
        _refused(farmer, words, abi.encodeWithSelector(IAudits.WrongSlot.selector, 0, position, drawn.index, 1));
    }

    /// Must hold: a slot shown with a range that is not its own is refused.
    function testFuzz_wrongRange(uint128 first, uint128 rate) external {
        (FarmerId farmer, Drawn memory drawn) = _pair();
        vm.assume(uint80(first) != drawn.kept.first || uint80(rate) != drawn.kept.rate);
        bytes32[] memory words = _sampleWords(farmer, drawn);
        words[2] = _range(first, rate);
        vm.expectRevert();
        _send(farmer, words);
    }

    /// Must hold: an index the book does not have is refused, with the count.
    function testFuzz_noSuchEntry(uint256 index) external {
        (FarmerId farmer, Drawn memory drawn) = _pair();
        index = _within(index, 2, type(uint32).max);
        bytes32[] memory words = _sampleWords(farmer, drawn);
        words[1] = _numbers(drawn.kept.slot, drawn.kept.leafCount, drawn.kept.from, index);
        _refused(farmer, words, abi.encodeWithSelector(IAudits.NoSuchEntry.selector, 0, index, 2));
    }

    /// Must hold: the right entry under another index of the book is refused.
    function test_wrongIndex() external {
        (FarmerId farmer, Drawn memory drawn) = _pair();
        bytes32[] memory words = _sampleWords(farmer, drawn);
        words[1] = _numbers(drawn.kept.slot, drawn.kept.leafCount, drawn.kept.from, 1 - drawn.index);
        bytes32[] memory entries = _entries(farmer, drawn.kept);
        bytes32 peak = keccak256(abi.encode(entries[0], entries[1]));
        bytes32 computed = keccak256(abi.encode(entries[1], entries[0]));
        _refused(farmer, words, abi.encodeWithSelector(IAudits.WrongPeak.selector, 0, computed, peak));
    }

    /// Must hold: another leaf count, which would ask for another leaf and depth, is refused.
    function testFuzz_wrongLeafCount(uint32 leafCount) external {
        (FarmerId farmer, Drawn memory drawn) = _pair();
        vm.assume(leafCount != drawn.kept.leafCount);
        bytes32[] memory words = _sampleWords(farmer, drawn);
        words[1] = _numbers(drawn.kept.slot, leafCount, drawn.kept.from, drawn.index);
        if (leafCount == 0) {
            _refused(farmer, words, abi.encodeWithSelector(IAudits.NoLeaves.selector, 0));
        } else {
            vm.expectRevert();
            _send(farmer, Reference.joined(words, new bytes32[](64)));
        }
    }

    /// Must hold: a slot without leaves cannot be shown.
    function test_noLeaves() external {
        (FarmerId farmer, Drawn memory drawn) = _pair();
        bytes32[] memory words = _sampleWords(farmer, drawn);
        words[1] = _numbers(drawn.kept.slot, 0, drawn.kept.from, drawn.index);
        _refused(farmer, words, abi.encodeWithSelector(IAudits.NoLeaves.selector, 0));
    }

    /// Must hold: a path of the wrong depth shifts what follows and is refused.
    function testFuzz_wrongDepth(bool deeper) external {
        (FarmerId farmer, Drawn memory drawn) = _pair();
        market.recordSeed();
        bytes32[] memory words = _sampleWords(farmer, drawn);
        bytes32[] memory changed = new bytes32[](deeper ? words.length + 1 : words.length - 1);
        for (uint256 i = 0; i < 19; ++i) changed[i] = words[i];
        for (uint256 i = 19; i < changed.length; ++i) changed[i] = words[deeper ? i - 1 : i + 1];
        for (uint256 number = 1; number < SAMPLES; ++number) {
            changed = Reference.joined(changed, _sampleWords(farmer, _drawn(farmer, _now(), number)));
        }
        vm.expectRevert();
        _send(farmer, changed);
    }

    /// Must hold: an order placed between making a proof and sending it makes the proof stale, and a new one passes.
    function test_bookGrowsUnderTheProof() external {
        FarmerId farmer = _register();
        _store(farmer, _date(1), 2, RATE);
        _enter(_now() + 1);
        bytes32[] memory words = _proof(farmer);
        _store(farmer, _date(1), 2, RATE);
        vm.expectRevert();
        _send(farmer, words);
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)), RATE, "pay");
    }

    /// Must hold: nor does the last entry answer for the index behind it.
    function test_noEntryBehindTheLast() external {
        FarmerId farmer = _register();
        _store(farmer, _date(1), 3, 1000);
        _enter(_now() + 1);
        market.recordSeed();
        Drawn memory drawn = _drawn(farmer, _now(), 0);
        bytes32[] memory words = _sampleWords(farmer, drawn);
        words[1] = _numbers(drawn.kept.slot, drawn.kept.leafCount, drawn.kept.from, 1);
        _refused(farmer, words, abi.encodeWithSelector(IAudits.NoSuchEntry.selector, 0, 1, 1));
    }
}

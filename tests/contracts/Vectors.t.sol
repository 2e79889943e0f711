// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Merkle} from "../../contracts/libraries/Merkle.sol";
import {MAX_PEAKS, Mountain} from "../../contracts/libraries/Mountain.sol";
import {BookView, Entry, Epoch, FarmerId, OrderId, Parameters, Rate, Slot} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MarketTest} from "./support/MarketTest.sol";
import {IOpenMarket} from "./support/IOpenMarket.sol";
import {Reference} from "./support/Reference.sol";

/// @title The contracts agree with the golden vectors, which Python wrote and reads too
contract VectorsTest is MarketTest {
    using Mountain for bytes32[MAX_PEAKS];

    bytes32[MAX_PEAKS] private _peaks;

    function _file(string memory name) private view returns (string memory) {
        return vm.readFile(string.concat("tests/vectors/", name, ".json"));
    }

    function _hashes(string memory json, string memory key) private pure returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(json, key);
    }

    function _numbersOf(string memory json, string memory key) private pure returns (uint256[] memory) {
        return vm.parseJsonUintArray(json, key);
    }

    /// @dev The part [from, from + length) of a list.
    function _part(bytes32[] memory list, uint256 from, uint256 length) private pure returns (bytes32[] memory part) {
        part = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) part[i] = list[from + i];
    }

    function rootOf(bytes32[] calldata words, uint256 index, uint256 count) external view returns (bytes32 root) {
        uint256 next;
        (root, next) = Merkle.rootOf(words, 0, index, count);
        vm.assertEq(next, words.length, "words taken");
    }

    function peakOf(
        bytes32 node,
        uint256 index,
        uint256 height,
        bytes32[] calldata path
    ) external pure returns (bytes32) {
        return Mountain.peakOf(node, index, height, path, 0);
    }

    /// Must hold: every leaf and path in merkle.json leads to its root. There, each word of a leaf is its index.
    function test_merklePaths() external view {
        string memory json = _file("merkle");
        uint256[] memory indexes = _numbersOf(json, ".pathIndexes");
        uint256[] memory counts = _numbersOf(json, ".pathCounts");
        uint256[] memory lengths = _numbersOf(json, ".pathLengths");
        bytes32[] memory roots = _hashes(json, ".pathRoots");
        bytes32[] memory nodes = _hashes(json, ".pathNodes");
        uint256 next = 0;
        for (uint256 i = 0; i < indexes.length; ++i) {
            vm.assertEq(Merkle.pathLength(indexes[i], counts[i]), lengths[i], "path length");
            bytes32[] memory leaf = new bytes32[](Merkle.LEAF_WORDS);
            for (uint256 word = 0; word < leaf.length; ++word) leaf[word] = bytes32(indexes[i]);
            bytes32[] memory words = Reference.joined(leaf, _part(nodes, next, lengths[i]));
            vm.assertEq(this.rootOf(words, indexes[i], counts[i]), roots[i], "root");
            next += lengths[i];
        }
        vm.assertEq(next, nodes.length, "all nodes");
        vm.assertTrue(indexes.length > 50, "there are paths");
    }

    /// Must hold: hashes of entries, peaks after each append, and paths are those in mountain.json.
    function test_mountain() external {
        string memory json = _file("mountain");
        bytes32[] memory entries = _hashes(json, ".entryHashes");
        bytes32[] memory peaks = _hashes(json, ".peaks");
        uint256[] memory peakCounts = _numbersOf(json, ".peakCounts");
        uint256 next = 0;
        for (uint256 i = 0; i < entries.length; ++i) {
            vm.assertEq(Mountain.entryHash(_entry(json, "", i)), entries[i], "entry hash");
            _peaks.append(i, entries[i]);
            for (uint256 j = 0; j < peakCounts[i]; ++j) vm.assertEq(_peaks.peak(j), peaks[next++], "peak");
        }
        vm.assertEq(next, peaks.length, "all peaks");

        bytes32[] memory nodes = _hashes(json, ".pathNodes");
        uint256[] memory lengths = _numbersOf(json, ".pathLengths");
        uint256[] memory positions = _numbersOf(json, ".peakPositions");
        next = 0;
        for (uint256 i = 0; i < entries.length; ++i) {
            (uint256 position, uint256 height) = Mountain.locate(i, entries.length);
            vm.assertEq(position, positions[i], "peak position");
            vm.assertEq(height, lengths[i], "path length");
            vm.assertEq(
                this.peakOf(entries[i], i, height, _part(nodes, next, height)),
                _peaks.peak(position),
                "peak of the path"
            );
            next += height;
        }
        vm.assertEq(next, nodes.length, "all nodes");
    }

    function _entry(string memory json, string memory prefix, uint256 i) private pure returns (Entry memory) {
        return
            Entry({
                order: OrderId.wrap(_hashes(json, string.concat(prefix, ".orders"))[i]),
                slot: uint8(_numbersOf(json, string.concat(prefix, ".slots"))[i]),
                root: _hashes(json, string.concat(prefix, ".roots"))[i],
                leafCount: uint32(_numbersOf(json, string.concat(prefix, ".leafCounts"))[i]),
                from: Epoch.wrap(uint32(_numbersOf(json, string.concat(prefix, ".froms"))[i])),
                first: uint80(_numbersOf(json, string.concat(prefix, ".firsts"))[i]),
                rate: Rate.wrap(uint80(_numbersOf(json, string.concat(prefix, ".rates"))[i]))
            });
    }

    /// Must hold: order ids, the hash of slots and the digests of acceptances are those in messages.json. These tests
    /// sign what `_acceptanceDigest` gives, and the market takes it.
    function test_messages() external view {
        string memory json = _file("messages");
        address from = vm.parseJsonAddress(json, ".renter");
        bytes32[] memory salts = _hashes(json, ".salts");
        bytes32[] memory ids = _hashes(json, ".orderIds");
        for (uint256 i = 0; i < salts.length; ++i) {
            vm.assertEq(OrderId.unwrap(market.orderId(from, salts[i])), ids[i], "order id");
        }
        bytes32[] memory digests = _hashes(json, ".acceptances.digests");
        Slot[] memory slots = new Slot[](digests.length);
        for (uint256 i = 0; i < digests.length; ++i) {
            slots[i] = Slot({
                farmer: FarmerId.wrap(uint32(_numbersOf(json, ".acceptances.farmers")[i])),
                root: _hashes(json, ".acceptances.roots")[i],
                rate: Rate.wrap(uint80(_numbersOf(json, ".acceptances.rates")[i]))
            });
            vm.assertEq(_digest(json, slots[i], i), digests[i], "digest");
            (bytes32 r, bytes32 vs) = _signCompact(_numbersOf(json, ".acceptances.operatorKeys")[i], digests[i]);
            vm.assertEq(r, _hashes(json, ".acceptances.r")[i], "r");
            vm.assertEq(vs, _hashes(json, ".acceptances.vs")[i], "vs");
        }
        uint32 leafCount = uint32(vm.parseJsonUint(json, ".slotsLeafCount"));
        uint32 pieceLeaves = uint32(vm.parseJsonUint(json, ".slotsPieceLeaves"));
        vm.assertEq(
            keccak256(abi.encode(leafCount, pieceLeaves, slots)),
            vm.parseJsonBytes32(json, ".slotsHash"),
            "hash of slots"
        );
    }

    function _digest(string memory json, Slot memory slot, uint256 i) private pure returns (bytes32) {
        return
            _acceptanceDigest(
                vm.parseJsonAddress(json, ".market"),
                vm.parseJsonUint(json, ".chainId"),
                OrderId.wrap(_hashes(json, ".acceptances.orders")[i]),
                slot.farmer,
                _numbersOf(json, ".acceptances.slots")[i],
                slot.root,
                _numbersOf(json, ".acceptances.leafCounts")[i],
                slot.rate,
                Epoch.wrap(uint32(_numbersOf(json, ".acceptances.ends")[i])),
                uint64(_numbersOf(json, ".acceptances.deadlineBlocks")[i])
            );
    }

    /// Must hold: the farm in audit.json has the books that are said there, and its proof passes and is paid.
    function test_audit() external {
        string memory json = _file("audit");
        Parameters memory p = _parameters(address(token));
        p.gridEpochs = uint32(vm.parseJsonUint(json, ".gridEpochs"));
        p.samples = uint8(vm.parseJsonUint(json, ".samples"));
        IOpenMarket open = IOpenMarket(_create("OpenMarket.sol:OpenMarket", p));
        token.approve(address(open), type(uint256).max);
        FarmerId farmer = FarmerId.wrap(uint32(vm.parseJsonUint(json, ".farmer")));
        _enter(0);
        while (open.farmerCount() < FarmerId.unwrap(farmer)) open.register(OWNER, OWNER, "", _offer(), STAKE);

        uint256[] memory ends = _numbersOf(json, ".placed.ends");
        uint256[] memory epochs = _numbersOf(json, ".placed.placedEpochs");
        for (uint256 i = 0; i < ends.length; ++i) {
            if (epochs[i] != _now()) {
                _enter(epochs[i]);
                open.settle(farmer);
            }
            open.enter(farmer, Epoch.wrap(uint32(ends[i])), _entry(json, ".placed", i));
        }
        uint256 epoch = vm.parseJsonUint(json, ".epoch");
        _enter(epoch);
        vm.setBlockhash(epoch * EPOCH_BLOCKS, vm.parseJsonBytes32(json, ".seed"));
        _checkBooks(open, farmer, json);
        open.prove(farmer, Epoch.wrap(uint32(epoch)), _hashes(json, ".words"));
        vm.assertEq(open.vault(OWNER), vm.parseJsonUint(json, ".total"), "pay");
    }

    function _checkBooks(IOpenMarket open, FarmerId farmer, string memory json) private view {
        uint256[] memory ends = _numbersOf(json, ".books.ends");
        uint256[] memory peakCounts = _numbersOf(json, ".books.peakCounts");
        bytes32[] memory peaks = _hashes(json, ".books.peaks");
        uint256 next = 0;
        for (uint256 i = 0; i < ends.length; ++i) {
            BookView memory book = open.book(farmer, Epoch.wrap(uint32(ends[i])));
            vm.assertEq(book.count, _numbersOf(json, ".books.counts")[i], "entries");
            vm.assertEq(book.rateBefore, _numbersOf(json, ".books.ratesBefore")[i], "rate before");
            vm.assertEq(book.rateAdded, _numbersOf(json, ".books.ratesAdded")[i], "rate added");
            vm.assertEq(Epoch.unwrap(book.addedEpoch), _numbersOf(json, ".books.addedEpochs")[i], "added in");
            vm.assertEq(book.peaks.length, peakCounts[i], "number of peaks");
            for (uint256 j = 0; j < book.peaks.length; ++j) vm.assertEq(book.peaks[j], peaks[next++], "peak");
        }
    }
}

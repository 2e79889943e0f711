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

    address private constant OWNER = address(0xA11CE);

    bytes32[MAX_PEAKS] private _peaks;
    IOpenMarket private _open;

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
            vm.assertEq(OrderId.unwrap(market.orderId(from, from, salts[i])), ids[i], "order id");
        }
        bytes32[] memory digests = _hashes(json, ".acceptances.digests");
        Slot[] memory slots = new Slot[](digests.length);
        for (uint256 i = 0; i < digests.length; ++i) {
            slots[i] = Slot({
                farmer: FarmerId.wrap(uint32(_numbersOf(json, ".acceptances.farmers")[i])),
                root: _hashes(json, ".acceptances.roots")[i],
                rate: Rate.wrap(uint80(_numbersOf(json, ".acceptances.rates")[i])),
                maxEgressPricePerGib: uint80(_numbersOf(json, ".acceptances.maxEgressPricesPerGib")[i]),
                from: Epoch.wrap(uint32(_numbersOf(json, ".slotsFroms")[i]))
            });
            vm.assertEq(_digest(json, slots[i], i), digests[i], "digest");
            (bytes32 r, bytes32 vs) = _signCompact(_numbersOf(json, ".acceptances.operatorKeys")[i], digests[i]);
            vm.assertEq(r, _hashes(json, ".acceptances.r")[i], "r");
            vm.assertEq(vs, _hashes(json, ".acceptances.vs")[i], "vs");
        }
        uint32 leafCount = uint32(vm.parseJsonUint(json, ".slotsLeafCount"));
        uint32 pieceLeaves = uint32(vm.parseJsonUint(json, ".slotsPieceLeaves"));
        vm.assertEq(
            Reference.slotsHash(leafCount, pieceLeaves, slots),
            vm.parseJsonBytes32(json, ".slotsHash"),
            "hash of slots"
        );
    }

    function _digest(string memory json, Slot memory slot, uint256 i) private pure returns (bytes32) {
        Consent memory consent;
        consent.order = OrderId.wrap(_hashes(json, ".acceptances.orders")[i]);
        consent.farmer = slot.farmer;
        consent.slot = _numbersOf(json, ".acceptances.slots")[i];
        consent.root = slot.root;
        consent.leafCount = _numbersOf(json, ".acceptances.leafCounts")[i];
        consent.rate = slot.rate;
        consent.maxEgressPricePerGib = slot.maxEgressPricePerGib;
        consent.end = Epoch.wrap(uint32(_numbersOf(json, ".acceptances.ends")[i]));
        consent.deadlineBlock = uint64(_numbersOf(json, ".acceptances.deadlineBlocks")[i]);
        consent.previous = _hashes(json, ".acceptances.previous")[i];
        consent.repairer = vm.parseJsonAddressArray(json, ".acceptances.repairers")[i];
        return _acceptanceDigest(vm.parseJsonAddress(json, ".market"), vm.parseJsonUint(json, ".chainId"), consent);
    }

    /// Must hold: the digests of vouchers and their signatures are those in messages.json. The tests of `redeem` sign what
    /// `_voucherDigest` gives, and the market takes it.
    function test_vouchers() external view {
        string memory json = _file("messages");
        bytes32[] memory digests = _hashes(json, ".vouchers.digests");
        for (uint256 i = 0; i < digests.length; ++i) {
            bytes32 digest = _voucherDigest(
                vm.parseJsonAddress(json, ".market"),
                vm.parseJsonUint(json, ".chainId"),
                vm.parseJsonAddress(json, ".renter"),
                FarmerId.wrap(uint32(_numbersOf(json, ".vouchers.farmers")[i])),
                _numbersOf(json, ".vouchers.cumulative")[i]
            );
            vm.assertEq(digest, digests[i], "digest");
            (bytes32 r, bytes32 vs) = _signCompact(uint256(vm.parseJsonBytes32(json, ".renterKey")), digest);
            vm.assertEq(r, _hashes(json, ".vouchers.r")[i], "r");
            vm.assertEq(vs, _hashes(json, ".vouchers.vs")[i], "vs");
        }
        vm.assertTrue(digests.length > 2, "there are vouchers");
    }

    /// Must hold: the digests of consents and their signatures are those in messages.json. The tests of `register` sign what
    /// `_consentDigest` gives, and the market takes it.
    function test_consents() external view {
        string memory json = _file("messages");
        bytes32[] memory digests = _hashes(json, ".consents.digests");
        bytes32 domain = _domain(vm.parseJsonAddress(json, ".market"), vm.parseJsonUint(json, ".chainId"));
        for (uint256 i = 0; i < digests.length; ++i) {
            bytes32 digest = _consentDigest(
                domain,
                vm.parseJsonAddress(json, ".renter"),
                vm.parseJsonAddressArray(json, ".consents.owners")[i],
                FarmerId.wrap(uint32(_numbersOf(json, ".consents.farmers")[i])),
                _numbersOf(json, ".consents.nonces")[i],
                uint64(_numbersOf(json, ".consents.deadlineBlocks")[i])
            );
            vm.assertEq(digest, digests[i], "digest");
            (bytes32 r, bytes32 vs) = _signCompact(uint256(vm.parseJsonBytes32(json, ".renterKey")), digest);
            vm.assertEq(r, _hashes(json, ".consents.r")[i], "r");
            vm.assertEq(vs, _hashes(json, ".consents.vs")[i], "vs");
        }
        vm.assertTrue(digests.length > 2, "there are consents");
    }

    /// Must hold: the farm in audit.json has the books that are said there, and its proof passes and is paid.
    function test_audit() external {
        string memory json = _file("audit");
        Parameters memory p = _parameters(address(token));
        p.gridEpochs = uint32(vm.parseJsonUint(json, ".gridEpochs"));
        p.samples = uint8(vm.parseJsonUint(json, ".samples"));
        _open = IOpenMarket(address(_deploy("OpenMarket.sol:OpenMarket", p)));
        token.approve(address(_open), type(uint256).max);
        FarmerId farmer = FarmerId.wrap(uint32(vm.parseJsonUint(json, ".farmer")));
        uint256 epoch = vm.parseJsonUint(json, ".epoch");
        _enter(0);
        while (_open.farmerCount() < FarmerId.unwrap(farmer)) {
            _open.register(OWNER, address(this), "", _offer(), STAKE, _itself());
        }
        for (uint256 passing = 0; passing <= epoch; ++passing) {
            _enter(passing);
            _placeAll(farmer, json, passing);
            _loseAll(farmer, json, passing);
        }
        vm.setBlockhash(epoch * EPOCH_BLOCKS, vm.parseJsonBytes32(json, ".seed"));
        _checkBooks(farmer, json, epoch);
        _open.prove(farmer, Epoch.wrap(uint32(epoch)), _hashes(json, ".words"));
        vm.assertEq(_open.earnings(OWNER), vm.parseJsonUint(json, ".pay"), "pay");
    }

    /// @dev Enters what was placed in an epoch.
    function _placeAll(FarmerId farmer, string memory json, uint256 epoch) private {
        uint256[] memory epochs = _numbersOf(json, ".placed.placedEpochs");
        for (uint256 i = 0; i < epochs.length; ++i) {
            if (epochs[i] != epoch) continue;
            Epoch end = Epoch.wrap(uint32(_numbersOf(json, ".placed.ends")[i]));
            _open.enter(farmer, end, _extensions(json)[i], _entry(json, ".placed", i));
        }
    }

    /// @dev Declares what was lost in an epoch, of books that are not of extensions.
    function _loseAll(FarmerId farmer, string memory json, uint256 epoch) private {
        uint256[] memory epochs = _numbersOf(json, ".lost.epochs");
        for (uint256 i = 0; i < epochs.length; ++i) {
            if (epochs[i] != epoch) continue;
            uint256 end = _numbersOf(json, ".lost.ends")[i];
            bytes32[] memory words = _lossWords(json, end, _numbersOf(json, ".lost.indexes")[i], epoch);
            vm.prank(OWNER);
            _open.declareLoss(farmer, Epoch.wrap(uint32(end)), false, words);
        }
    }

    function _lossWords(
        string memory json,
        uint256 end,
        uint256 index,
        uint256 epoch
    ) private pure returns (bytes32[] memory words) {
        bytes32[] memory hashes = _hashes(json, ".placed.entryHashes");
        bytes32[] memory entries = new bytes32[](0);
        Entry memory lost;
        for (uint256 i = 0; i < hashes.length; ++i) {
            if (_numbersOf(json, ".placed.ends")[i] != end || _extensions(json)[i]) continue;
            if (_numbersOf(json, ".placed.placedEpochs")[i] > epoch) continue;
            if (entries.length == index) lost = _entry(json, ".placed", i);
            entries = Reference.joined(entries, hashes[i]);
        }
        words = new bytes32[](4);
        words[0] = OrderId.unwrap(lost.order);
        words[1] = bytes32(
            lost.slot | (uint256(lost.leafCount) << 8) | (uint256(Epoch.unwrap(lost.from)) << 40) | (index << 72)
        );
        words[2] = bytes32((uint256(lost.first) << 128) | Rate.unwrap(lost.rate));
        words[3] = lost.root;
        words = Reference.joined(words, Reference.mountainPath(entries, index));
    }

    function _extensions(string memory json) private pure returns (bool[] memory) {
        return vm.parseJsonBoolArray(json, ".placed.extensions");
    }

    function _checkBooks(FarmerId farmer, string memory json, uint256 epoch) private view {
        uint256[] memory ends = _numbersOf(json, ".books.ends");
        bool[] memory extensions = vm.parseJsonBoolArray(json, ".books.extensions");
        uint256[] memory peakCounts = _numbersOf(json, ".books.peakCounts");
        bytes32[] memory peaks = _hashes(json, ".books.peaks");
        uint256 next = 0;
        uint256 asked = 0;
        for (uint256 i = 0; i < ends.length; ++i) {
            BookView memory book = _open.book(farmer, Epoch.wrap(uint32(ends[i])), extensions[i]);
            vm.assertEq(book.count, _numbersOf(json, ".books.counts")[i], "entries");
            vm.assertEq(book.rateBefore, _numbersOf(json, ".books.ratesBefore")[i], "rate before");
            vm.assertEq(book.rateAdded, _numbersOf(json, ".books.ratesAdded")[i], "rate added");
            vm.assertEq(Epoch.unwrap(book.addedEpoch), _numbersOf(json, ".books.addedEpochs")[i], "added in");
            vm.assertEq(book.peaks.length, peakCounts[i], "number of peaks");
            for (uint256 j = 0; j < book.peaks.length; ++j) vm.assertEq(book.peaks[j], peaks[next++], "peak");
            asked += _numbersOf(json, ".books.ratesAsked")[i];
        }
        vm.assertEq(_open.rateAt(farmer, Epoch.wrap(uint32(epoch))), asked, "rate asked");
    }
}

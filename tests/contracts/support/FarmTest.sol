// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Acceptance,
    Epoch,
    FarmerId,
    Held,
    HeldGroup,
    OrderId,
    Parting,
    Passing,
    Rate,
    Slot,
    Takeover,
    Terms,
    Voucher
} from "../../../contracts/types/Types.sol";
import {vm} from "./Cheats.sol";
import {MarketTest} from "./MarketTest.sol";
import {Reference} from "./Reference.sol";

/// @title Farmers that keep what they accept and can prove it, and orders whose slots are known
/// @dev A model of the farmer's side, from the definitions: what is live, what is drawn and every path are computed
/// from the full list of slots, not from what the contract keeps. Leaves are made from a number, the slot's data seed.
abstract contract FarmTest is MarketTest {
    struct Kept {
        OrderId order;
        uint8 slot;
        bytes32 root;
        uint32 leafCount;
        uint32 from;
        uint32 end;
        bool extension;
        uint80 first;
        uint80 rate;
        uint256 data;
        uint256 lostEpoch; // the last epoch that counts, if it was declared lost
        uint256 cutEpoch; // the last in which positions of it are drawn, if it and all before it in its book were lost
    }

    /// @dev A sample as the definitions draw it.
    struct Drawn {
        Kept kept;
        uint256 index; // in the mountain range of its book
        uint256 leaf;
    }

    /// @dev An order as its renter knows it.
    struct Stored {
        address renter;
        uint32 leafCount;
        uint32 from;
        uint32 end;
        bool closed;
        Slot[] slots;
        uint256[] data; // of each slot
    }

    uint256 private constant NEVER = type(uint256).max;

    mapping(FarmerId farmer => Kept[]) internal _kept;
    mapping(OrderId order => Stored) internal _stored;
    OrderId[] internal _placed;
    uint256 private _salts;

    /// @dev Word `word` of a leaf.
    function _leafWord(uint256 data, uint256 leaf, uint256 word) internal pure returns (bytes32) {
        return keccak256(abi.encode(data, leaf, word));
    }

    function _leafHashes(uint256 data, uint256 leafCount) internal pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](leafCount);
        for (uint256 leaf = 0; leaf < leafCount; ++leaf) {
            bytes memory content = "";
            for (uint256 word = 0; word < 16; ++word) {
                content = bytes.concat(content, _leafWord(data, leaf, word));
            }
            hashes[leaf] = sha256(content);
        }
    }

    function _slotRoot(uint256 data, uint256 leafCount) internal pure returns (bytes32) {
        return Reference.merkleRoot(_leafHashes(data, leafCount), 0, leafCount);
    }

    /// @dev Terms and acceptances of the farmers for a fresh order; every slot has data of its own.
    function _offered(
        FarmerId[] memory farmers,
        uint256 end,
        uint256 leafCount,
        uint256 rate
    ) internal returns (Terms memory terms, Acceptance[] memory acceptances) {
        terms = _terms(bytes32(++_salts), end, leafCount, 1, 1);
        acceptances = new Acceptance[](farmers.length);
        for (uint256 slot = 0; slot < farmers.length; ++slot) {
            acceptances[slot] = _accept(terms, farmers[slot], slot, _slotRoot(_data(terms, slot), leafCount), rate);
        }
    }

    function _data(Terms memory terms, uint256 slot) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(terms.salt, slot)));
    }

    /// @dev Pays for and places an order, by the renter or by the delegate that is to, and lets its farmers keep it.
    function _store(
        FarmerId[] memory farmers,
        uint256 end,
        uint256 leafCount,
        uint256 rate
    ) internal returns (OrderId order) {
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(farmers, end, leafCount, rate);
        _deposit(farmers.length * rate * (end - _now() - 1));
        if (placer == address(0)) {
            vm.prank(renter);
            order = market.place(terms, acceptances);
        } else {
            vm.prank(placer);
            order = market.placeFor(renter, terms, acceptances);
        }
        uint256[] memory data = new uint256[](farmers.length);
        for (uint256 slot = 0; slot < farmers.length; ++slot) data[slot] = _data(terms, slot);
        _know(order, terms, acceptances, _now() + 1, data, false);
    }

    function _store(FarmerId farmer, uint256 end, uint256 leafCount, uint256 rate) internal returns (OrderId) {
        return _store(_one(farmer), end, leafCount, rate);
    }

    /// @dev Pays for and places the order that goes on where `previous` ends.
    function _extend(
        OrderId previous,
        FarmerId[] memory farmers,
        uint256 end,
        uint256 rate
    ) internal returns (OrderId order) {
        Stored storage old = _stored[previous];
        Terms memory terms = _terms(bytes32(++_salts), end, old.leafCount, 1, 1);
        Acceptance[] memory acceptances = new Acceptance[](farmers.length);
        for (uint256 slot = 0; slot < farmers.length; ++slot) {
            acceptances[slot] = _accept(terms, farmers[slot], slot, old.slots[slot].root, rate, previous);
        }
        _deposit(farmers.length * rate * (end - old.end));
        vm.prank(renter);
        order = market.extend(_held(previous), terms, acceptances);
        _know(order, terms, acceptances, old.end, old.data, true);
    }

    function _know(
        OrderId order,
        Terms memory terms,
        Acceptance[] memory acceptances,
        uint256 from,
        uint256[] memory data,
        bool extension
    ) internal {
        Stored storage stored = _stored[order];
        stored.renter = renter;
        stored.leafCount = terms.leafCount;
        stored.from = uint32(from);
        stored.end = Epoch.unwrap(terms.end);
        stored.data = data;
        for (uint256 slot = 0; slot < acceptances.length; ++slot) {
            Acceptance memory a = acceptances[slot];
            stored.slots.push(
                Slot({
                    farmer: a.farmer,
                    root: a.root,
                    rate: a.rate,
                    maxEgressPricePerGib: a.maxEgressPricePerGib,
                    from: Epoch.wrap(uint32(from))
                })
            );
            _keep(order, slot, extension);
        }
        _placed.push(order);
    }

    /// @dev Lets the farmer that now has the slot keep it.
    function _keep(OrderId order, uint256 slot, bool extension) internal {
        Stored storage stored = _stored[order];
        Slot storage given = stored.slots[slot];
        Kept[] storage kept = _kept[given.farmer];
        uint80 first = 0;
        for (uint256 i = 0; i < kept.length; ++i) {
            if (kept[i].end == stored.end && kept[i].extension == extension) first += kept[i].rate;
        }
        kept.push(
            Kept({
                order: order,
                slot: uint8(slot),
                root: given.root,
                leafCount: stored.leafCount,
                from: Epoch.unwrap(given.from),
                end: stored.end,
                extension: extension,
                first: first,
                rate: Rate.unwrap(given.rate),
                data: stored.data[slot],
                lostEpoch: NEVER,
                cutEpoch: NEVER
            })
        );
    }

    /// @dev The order with its slots, as maintenance hands it in.
    function _held(OrderId order) internal view returns (Held memory held) {
        Stored storage stored = _stored[order];
        held = Held({order: order, leafCount: stored.leafCount, pieceLeaves: 1, slots: stored.slots});
    }

    /// @dev The same with the group of one slot.
    function _heldGroup(OrderId order, uint256 slot) internal view returns (HeldGroup memory) {
        Stored storage stored = _stored[order];
        return Reference.heldGroup(order, stored.leafCount, 1, stored.slots, slot);
    }

    /// @dev Slots that are handed over of one book.
    function _parting(Passing[] memory passings, bool extension) internal view returns (Parting[] memory partings) {
        partings = new Parting[](1);
        Epoch end = Epoch.wrap(passings.length == 0 ? 0 : _stored[passings[0].held.order].end);
        partings[0] = Parting({end: end, extension: extension, passings: passings});
    }

    /// @dev The farmer's consent to take over a slot.
    function _takeover(
        OrderId order,
        uint256 slot,
        FarmerId farmer,
        address repairer
    ) internal view returns (Takeover memory takeover) {
        takeover = Takeover({
            slot: uint8(slot),
            farmer: farmer,
            deadlineBlock: uint64(block.number + 100),
            r: 0,
            vs: 0
        });
        Consent memory consent = _repairConsent(order, slot, farmer, takeover.deadlineBlock, repairer);
        (takeover.r, takeover.vs) = _signCompact(
            _operatorKey(farmer),
            _acceptanceDigest(address(market), block.chainid, consent)
        );
    }

    function _repairConsent(
        OrderId order,
        uint256 slot,
        FarmerId farmer,
        uint64 deadlineBlock,
        address repairer
    ) internal view returns (Consent memory) {
        Stored storage stored = _stored[order];
        return
            Consent({
                order: order,
                farmer: farmer,
                slot: slot,
                root: stored.slots[slot].root,
                leafCount: stored.leafCount,
                rate: stored.slots[slot].rate,
                maxEgressPricePerGib: stored.slots[slot].maxEgressPricePerGib,
                end: Epoch.wrap(stored.end),
                deadlineBlock: deadlineBlock,
                previous: bytes32(uint256(Epoch.unwrap(stored.slots[slot].from))),
                repairer: repairer
            });
    }

    /// @dev Gives a vacant slot to the farmer.
    function _refill(OrderId order, uint256 slot, FarmerId farmer, address repairer) internal {
        Takeover[] memory takeovers = new Takeover[](1);
        takeovers[0] = _takeover(order, slot, farmer, repairer);
        market.refill(_held(order), repairer, takeovers);
        _stored[order].slots[slot].farmer = farmer;
        _stored[order].slots[slot].from = Epoch.wrap(uint32(_now() + 1));
        _keep(order, slot, false);
    }

    /// @dev How the farmer's `nth` slot is handed over: what the taker signed is with it.
    function _passing(FarmerId farmer, uint256 nth, FarmerId taker) internal view returns (Passing memory passing) {
        Kept memory kept = _kept[farmer][nth];
        passing.held = _heldGroup(kept.order, kept.slot);
        for (uint256 i = 0; i < nth; ++i) if (_sameBook(_kept[farmer][i], kept)) ++passing.index;
        passing.first = kept.first;
        passing.path = Reference.mountainPath(_entries(farmer, kept), passing.index);
        passing.takeover.slot = kept.slot;
        passing.takeover.farmer = taker;
        passing.takeover.deadlineBlock = uint64(block.number + 100);
        _signHandOver(passing, kept, farmer, taker, _operatorKey(taker));
    }

    function _signHandOver(
        Passing memory passing,
        Kept memory kept,
        FarmerId farmer,
        FarmerId taker,
        uint256 key
    ) internal view {
        address giver = address(uint160(FarmerId.unwrap(farmer)));
        Consent memory consent = _repairConsent(kept.order, kept.slot, taker, passing.takeover.deadlineBlock, giver);
        bytes32 message = keccak256(abi.encode(HAND_OVER_TYPEHASH, consent));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", _domain(address(market), block.chainid), message));
        (passing.takeover.r, passing.takeover.vs) = _signCompact(key, digest);
    }

    /// @dev Hands the farmer's `nth` slot over.
    function _handOver(FarmerId farmer, uint256 nth, FarmerId taker) internal {
        Passing[] memory passings = new Passing[](1);
        passings[0] = _passing(farmer, nth, taker);
        vm.prank(_operator(farmer));
        market.handOver(farmer, _parting(passings, _kept[farmer][nth].extension));
        _passed(farmer, nth, taker);
    }

    /// @dev What is known once it is done.
    function _passed(FarmerId farmer, uint256 nth, FarmerId taker) internal {
        Kept memory kept = _kept[farmer][nth];
        _giveUp(farmer, nth);
        _stored[kept.order].slots[kept.slot].farmer = taker;
        _stored[kept.order].slots[kept.slot].from = Epoch.wrap(uint32(_now() + 1));
        _keep(kept.order, kept.slot, false);
    }

    /// @dev Takes the farmer's `nth` slot back, which it declared lost.
    function _recover(FarmerId farmer, uint256 nth) internal {
        Kept memory kept = _kept[farmer][nth];
        vm.prank(_operator(farmer));
        market.recover(farmer, _heldGroup(kept.order, kept.slot), kept.slot);
        _stored[kept.order].slots[kept.slot].from = Epoch.wrap(uint32(_now() + 1));
        _keep(kept.order, kept.slot, false);
    }

    /// @dev What a farmer signs so that an order of which it has a slot is extended by mandate until `end`.
    function _signedBy(
        FarmerId farmer,
        OrderId previous,
        uint256 slot,
        uint256 end,
        uint256 rate,
        uint256 egressPrice,
        address extender
    ) internal view returns (Acceptance memory acceptance) {
        Consent memory consent = Consent({
            order: market.extensionId(previous, Epoch.wrap(uint32(end))),
            farmer: farmer,
            slot: slot,
            root: _stored[previous].slots[slot].root,
            leafCount: _stored[previous].leafCount,
            rate: Rate.wrap(uint80(rate)),
            maxEgressPricePerGib: uint80(egressPrice),
            end: Epoch.wrap(uint32(end)),
            deadlineBlock: uint64((_now() + 10) * EPOCH_BLOCKS),
            previous: OrderId.unwrap(previous),
            repairer: extender
        });
        acceptance = Acceptance({
            farmer: farmer,
            root: consent.root,
            rate: consent.rate,
            maxEgressPricePerGib: consent.maxEgressPricePerGib,
            deadlineBlock: consent.deadlineBlock,
            r: 0,
            vs: 0
        });
        bytes32 digest = _acceptanceDigest(address(market), block.chainid, consent);
        (acceptance.r, acceptance.vs) = _signCompact(_operatorKey(farmer), digest);
    }

    function _close(OrderId order) internal {
        market.close(_held(order));
        _stored[order].closed = true;
    }

    /// @dev A voucher of the holder of `key`.
    function _voucher(uint256 key, FarmerId farmer, uint256 cumulative) internal view returns (Voucher memory voucher) {
        voucher.renter = vm.addr(key);
        voucher.cumulative = cumulative;
        voucher.signature = _signBytes(
            key,
            _voucherDigest(address(market), block.chainid, voucher.renter, farmer, cumulative)
        );
    }

    function _redeem(FarmerId farmer, Voucher memory voucher) internal {
        Voucher[] memory vouchers = new Voucher[](1);
        vouchers[0] = voucher;
        market.redeem(farmer, vouchers);
    }

    /// @dev Declares the farmer's `nth` slot lost.
    function _lose(FarmerId farmer, uint256 nth) internal {
        Kept memory kept = _kept[farmer][nth];
        bytes32[] memory words = _lossWords(farmer, nth);
        vm.prank(_operator(farmer));
        market.declareLoss(farmer, Epoch.wrap(kept.end), kept.extension, words);
        _giveUp(farmer, nth);
    }

    /// @dev Counts the slot as given up, and as cut off if it is at the front of its book.
    function _giveUp(FarmerId farmer, uint256 nth) internal {
        _kept[farmer][nth].lostEpoch = _now();
        if (_front(farmer, _kept[farmer][nth].end, _kept[farmer][nth].extension) == nth) {
            _kept[farmer][nth].cutEpoch = _now();
        }
    }

    /// @dev The first slot of a book that is not cut off; as many as there are if there is none.
    function _front(FarmerId farmer, uint256 end, bool extension) internal view returns (uint256 nth) {
        Kept[] storage kept = _kept[farmer];
        while (
            nth < kept.length &&
            (kept[nth].end != end || kept[nth].extension != extension || kept[nth].cutEpoch != NEVER)
        ) ++nth;
    }

    /// @dev Cuts off so many lost slots at the front of a book.
    function _cut(FarmerId farmer, uint256 end, bool extension, uint256 count) internal {
        bytes32[] memory tenures = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 nth = _front(farmer, end, extension);
            tenures[i] = _tenureOf(_kept[farmer][nth]);
            _kept[farmer][nth].cutEpoch = _now();
        }
        market.cutFront(farmer, Epoch.wrap(uint32(end)), extension, tenures);
    }

    function _lossWords(FarmerId farmer, uint256 nth) internal view returns (bytes32[] memory words) {
        Kept memory kept = _kept[farmer][nth];
        uint256 index = 0;
        for (uint256 i = 0; i < nth; ++i) if (_sameBook(_kept[farmer][i], kept)) ++index;
        words = new bytes32[](4);
        words[0] = OrderId.unwrap(kept.order);
        words[1] = _numbers(kept.slot, kept.leafCount, kept.from, index);
        words[2] = _range(kept.first, kept.rate);
        words[3] = kept.root;
        words = Reference.joined(words, Reference.mountainPath(_entries(farmer, kept), index));
    }

    /// @dev What the farmer is asked for and paid in an epoch: the rates of the slots whose time it is.
    function _rateAt(FarmerId farmer, uint256 epoch) internal view returns (uint256 total) {
        Kept[] storage kept = _kept[farmer];
        for (uint256 i = 0; i < kept.length; ++i) {
            if (kept[i].from <= epoch && epoch < kept[i].end && epoch <= kept[i].lostEpoch) total += kept[i].rate;
        }
    }

    /// @dev What positions are drawn from: books of which something is asked, with what is lost in them.
    function _weightAt(FarmerId farmer, uint256 epoch) internal view returns (uint256 total) {
        Kept[] storage kept = _kept[farmer];
        for (uint256 i = 0; i < kept.length; ++i) {
            if (_isDrawn(farmer, kept[i], epoch) && epoch < kept[i].end) {
                total += kept[i].rate;
            }
        }
    }

    /// @dev Position `number` of an epoch: positions run over the books by end, those for extensions after the others, and
    /// in a book over its slots by age.
    function _drawn(FarmerId farmer, uint256 epoch, uint256 number) internal view returns (Drawn memory drawn) {
        uint256 random = uint256(keccak256(abi.encode(market.seed(Epoch.wrap(uint32(epoch))), farmer, number)));
        uint256 position = (random >> 128) % _weightAt(farmer, epoch);
        uint256 dates = MAX_BOOKS;
        for (uint256 nth = 0; nth < 2 * dates; ++nth) {
            uint256 end = (epoch / GRID_EPOCHS + 1 + (nth % dates)) * GRID_EPOCHS;
            bool extension = nth >= dates;
            (bool found, uint256 index, uint256 rest) = _inBook(farmer, epoch, end, extension, position);
            if (found) {
                Kept memory kept = _kept[farmer][rest];
                return Drawn({kept: kept, index: index, leaf: uint128(random) % kept.leafCount});
            }
            position = rest;
        }
        revert("nothing drawn");
    }

    /// @dev The slot at a position of a book: its index in the book, and in the farmer's list; or what is left of the
    /// position behind the book.
    function _inBook(
        FarmerId farmer,
        uint256 epoch,
        uint256 end,
        bool extension,
        uint256 position
    ) private view returns (bool found, uint256 index, uint256 rest) {
        Kept[] storage kept = _kept[farmer];
        for (uint256 i = 0; i < kept.length; ++i) {
            if (kept[i].end != end || kept[i].extension != extension) continue;
            if (_isDrawn(farmer, kept[i], epoch)) {
                if (position < kept[i].rate) return (true, index, i);
                position -= kept[i].rate;
            }
            ++index;
        }
        return (false, 0, position);
    }

    function _isDrawn(FarmerId farmer, Kept memory kept, uint256 epoch) private view returns (bool) {
        return kept.from <= epoch && epoch <= kept.cutEpoch && _bookAsked(farmer, kept, epoch);
    }

    function _bookAsked(FarmerId farmer, Kept memory of_, uint256 epoch) private view returns (bool) {
        Kept[] storage kept = _kept[farmer];
        for (uint256 i = 0; i < kept.length; ++i) {
            if (_sameBook(kept[i], of_) && kept[i].from <= epoch && epoch <= kept[i].lostEpoch) return true;
        }
        return false;
    }

    function _sameBook(Kept memory a, Kept memory b) private pure returns (bool) {
        return a.end == b.end && a.extension == b.extension;
    }

    function _entryHash(Kept memory kept) internal pure returns (bytes32) {
        return
            keccak256(abi.encode(kept.order, kept.slot, kept.root, kept.leafCount, kept.from, kept.first, kept.rate));
    }

    /// @dev The entries of the book that holds the slot.
    function _entries(FarmerId farmer, Kept memory of_) internal view returns (bytes32[] memory) {
        return _entries(farmer, of_.end, of_.extension);
    }

    /// @dev The entries of the book of this date.
    function _entries(FarmerId farmer, uint256 end, bool extension) internal view returns (bytes32[] memory entries) {
        entries = new bytes32[](0);
        Kept[] storage kept = _kept[farmer];
        for (uint256 i = 0; i < kept.length; ++i) {
            if (kept[i].end == end && kept[i].extension == extension) {
                entries = Reference.joined(entries, _entryHash(kept[i]));
            }
        }
    }

    /// @dev The words of one sample.
    function _sampleWords(FarmerId farmer, Drawn memory drawn) internal view returns (bytes32[] memory words) {
        Kept memory kept = drawn.kept;
        words = new bytes32[](19);
        words[0] = OrderId.unwrap(kept.order);
        words[1] = _numbers(kept.slot, kept.leafCount, kept.from, drawn.index);
        words[2] = _range(kept.first, kept.rate);
        for (uint256 word = 0; word < 16; ++word) words[3 + word] = _leafWord(kept.data, drawn.leaf, word);
        bytes32[] memory hashes = _leafHashes(kept.data, kept.leafCount);
        words = Reference.joined(words, Reference.merklePath(hashes, drawn.leaf, 0, hashes.length));
        words = Reference.joined(words, Reference.mountainPath(_entries(farmer, kept), drawn.index));
    }

    function _numbers(uint256 slot, uint256 leafCount, uint256 from, uint256 index) internal pure returns (bytes32) {
        return bytes32(slot | (leafCount << 8) | (from << 40) | (index << 72));
    }

    function _range(uint256 first, uint256 rate) internal pure returns (bytes32) {
        return bytes32((first << 128) | rate);
    }

    /// @dev The one word for a slot that was lost.
    function _tenureOf(Kept memory kept) internal pure returns (bytes32) {
        return keccak256(abi.encode(kept.order, kept.slot, kept.from));
    }

    /// @dev The proof that an honest farmer sends in the current epoch.
    function _proof(FarmerId farmer) internal returns (bytes32[] memory words) {
        market.recordSeed();
        words = new bytes32[](0);
        uint256 proven = 0;
        for (uint256 number = 0; proven < SAMPLES; ++number) {
            Drawn memory drawn = _drawn(farmer, _now(), number);
            if (drawn.kept.lostEpoch < _now()) {
                words = Reference.joined(words, _tenureOf(drawn.kept));
            } else {
                words = Reference.joined(words, _sampleWords(farmer, drawn));
                ++proven;
            }
        }
    }

    /// @dev Proves the current epoch.
    function _prove(FarmerId farmer) internal {
        bytes32[] memory words = _proof(farmer);
        market.prove(farmer, market.currentEpoch(), words);
    }

    /// @dev Lets the epochs up to `epoch` pass, each proven, if anything is asked, by the farmer.
    function _proveUntil(FarmerId farmer, uint256 epoch) internal {
        while (_now() < epoch) {
            _enter(_now() + 1);
            if (_rateAt(farmer, _now()) > 0) _prove(farmer);
        }
    }

    /// @dev The farmer does nothing until it lapses, and nothing in the epoch after.
    function _lapse(FarmerId farmer) internal {
        _enter(_now() + MAX_MISSES + 1);
        market.settle(farmer);
    }

    /// @dev `count` farmers more.
    function _registerMany(uint256 count) internal returns (FarmerId[] memory farmers) {
        farmers = new FarmerId[](count);
        for (uint256 i = 0; i < count; ++i) farmers[i] = _register();
    }
}

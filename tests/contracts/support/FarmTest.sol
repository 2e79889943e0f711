// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Acceptance, Epoch, FarmerId, OrderId, Rate, Terms} from "../../../contracts/types/Types.sol";
import {vm} from "./Cheats.sol";
import {MarketTest} from "./MarketTest.sol";
import {Reference} from "./Reference.sol";

/// @title Farmers that keep what they accept and can prove it
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
        uint80 first;
        uint80 rate;
        uint256 data;
    }

    /// @dev A sample as the definitions draw it.
    struct Drawn {
        Kept kept;
        uint256 index; // in the mountain range of its book
        uint256 leaf;
    }

    mapping(FarmerId farmer => Kept[]) internal _kept;
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

    /// @dev Pays for and places an order, and lets its farmers keep it.
    function _store(
        FarmerId[] memory farmers,
        uint256 end,
        uint256 leafCount,
        uint256 rate
    ) internal returns (OrderId order) {
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(farmers, end, leafCount, rate);
        _deposit(farmers.length * rate * (end - _now() - 1));
        vm.prank(renter);
        order = market.place(terms, acceptances);
        for (uint256 slot = 0; slot < farmers.length; ++slot) _keep(terms, slot, acceptances[slot]);
    }

    function _store(FarmerId farmer, uint256 end, uint256 leafCount, uint256 rate) internal returns (OrderId) {
        return _store(_one(farmer), end, leafCount, rate);
    }

    function _keep(Terms memory terms, uint256 slot, Acceptance memory acceptance) internal {
        Kept[] storage kept = _kept[acceptance.farmer];
        uint80 first = 0;
        for (uint256 i = 0; i < kept.length; ++i) {
            if (kept[i].end == Epoch.unwrap(terms.end)) first += kept[i].rate;
        }
        kept.push(
            Kept({
                order: _orderId(terms),
                slot: uint8(slot),
                root: acceptance.root,
                leafCount: terms.leafCount,
                from: uint32(_now() + 1),
                end: Epoch.unwrap(terms.end),
                first: first,
                rate: Rate.unwrap(acceptance.rate),
                data: _data(terms, slot)
            })
        );
    }

    /// @dev What the farmer is paid for an epoch: the rates of the slots whose time it is.
    function _rateAt(FarmerId farmer, uint256 epoch) internal view returns (uint256 total) {
        Kept[] storage kept = _kept[farmer];
        for (uint256 i = 0; i < kept.length; ++i) {
            if (kept[i].from <= epoch && epoch < kept[i].end) total += kept[i].rate;
        }
    }

    /// @dev Sample `number` of an epoch: positions run over the live slots by end, then by age.
    function _drawn(FarmerId farmer, uint256 epoch, uint256 number) internal view returns (Drawn memory drawn) {
        uint256 random = uint256(keccak256(abi.encode(market.seed(Epoch.wrap(uint32(epoch))), farmer, number)));
        uint256 position = (random >> 128) % _rateAt(farmer, epoch);
        Kept[] storage kept = _kept[farmer];
        for (uint256 end = epoch + 1; end <= epoch + (MAX_BOOKS + 1) * GRID_EPOCHS; ++end) {
            uint256 index = 0;
            for (uint256 i = 0; i < kept.length; ++i) {
                if (kept[i].end != end) continue;
                if (kept[i].from <= epoch) {
                    if (position < kept[i].rate) {
                        return Drawn({kept: kept[i], index: index, leaf: uint128(random) % kept[i].leafCount});
                    }
                    position -= kept[i].rate;
                }
                ++index;
            }
        }
        revert("nothing drawn");
    }

    function _entryHash(Kept memory kept) internal pure returns (bytes32) {
        return
            keccak256(abi.encode(kept.order, kept.slot, kept.root, kept.leafCount, kept.from, kept.first, kept.rate));
    }

    /// @dev The entries of the farmer's book that ends at `end`.
    function _entries(FarmerId farmer, uint256 end) internal view returns (bytes32[] memory entries) {
        entries = new bytes32[](0);
        Kept[] storage kept = _kept[farmer];
        for (uint256 i = 0; i < kept.length; ++i) {
            if (kept[i].end == end) entries = Reference.joined(entries, _entryHash(kept[i]));
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
        words = Reference.joined(words, Reference.mountainPath(_entries(farmer, kept.end), drawn.index));
    }

    function _numbers(uint256 slot, uint256 leafCount, uint256 from, uint256 index) internal pure returns (bytes32) {
        return bytes32(slot | (leafCount << 8) | (from << 40) | (index << 72));
    }

    function _range(uint256 first, uint256 rate) internal pure returns (bytes32) {
        return bytes32((first << 128) | rate);
    }

    /// @dev The proof that an honest farmer sends in the current epoch.
    function _proof(FarmerId farmer) internal returns (bytes32[] memory words) {
        market.recordSeed();
        words = new bytes32[](0);
        for (uint256 number = 0; number < SAMPLES; ++number) {
            words = Reference.joined(words, _sampleWords(farmer, _drawn(farmer, _now(), number)));
        }
    }

    /// @dev Proves the current epoch.
    function _prove(FarmerId farmer) internal {
        bytes32[] memory words = _proof(farmer);
        market.prove(farmer, market.currentEpoch(), words);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Acceptance,
    Entry,
    Epoch,
    FarmerId,
    Held,
    OrderId,
    Parameters,
    Rate,
    Slot,
    Takeover,
    Terms
} from "../../../contracts/types/Types.sol";
import {vm} from "./Cheats.sol";
import {IOpenMarket} from "./IOpenMarket.sol";
import {MarketTest} from "./MarketTest.sol";
import {Meter} from "./Meter.sol";

/// @title Many farmers, burdened with whatever makes settling them dear, and what a transaction about them costs
/// @dev All slots are of one leaf. Epochs run around a date on which a new word of the miss map begins.
abstract contract Crowd is MarketTest, Meter {
    uint256 internal constant RATE = 1e12;
    /// @dev Of a book's slots as few are left as may be.
    uint256 private constant HEIGHT = 8;
    uint256 internal constant ENTRIES = 1 << HEIGHT;
    uint256 internal constant LOST = ENTRIES - ENTRIES / 32;
    uint256 private constant DEPTH = 31;

    IOpenMarket internal open;
    Parameters internal params;
    uint256 private _salts;
    bytes32[] private _tree; // over the entries of the book that is mostly lost: the root at 1
    uint256 private _from;

    function _openMarket(Parameters memory p) internal {
        open = IOpenMarket(address(_deploy("OpenMarket.sol:OpenMarket", p)));
        market = open;
        params = p;
        token.approve(address(market), type(uint256).max);
        vm.prank(renter);
        token.approve(address(market), type(uint256).max);
        _deposit(1e28);
        _enter(_turn() - 3);
    }

    /// @dev Where a word of the miss map, and a grid period, begins.
    function _turn() internal view returns (uint256) {
        return 256 * uint256(params.gridEpochs);
    }

    function _crowd(uint256 count) internal returns (FarmerId[] memory farmers) {
        farmers = new FarmerId[](count);
        for (uint256 i = 0; i < count; ++i) farmers[i] = _register(1e24);
    }

    function _dateAhead(uint256 ahead) internal view returns (uint256) {
        return (_now() / params.gridEpochs + ahead) * params.gridEpochs;
    }

    /// @dev The first date after an epoch.
    function _dateAfter(uint256 epoch) internal view returns (uint256) {
        return (epoch / params.gridEpochs + 1) * params.gridEpochs;
    }

    /// @dev A date of which no burdened farmer has a book.
    function _freeDate() internal view returns (uint256) {
        return _dateAhead(uint256(params.maxMisses) / params.gridEpochs + 5);
    }

    /// @dev Gives the farmers a slot that they lose, slots that begin in the same epoch in which it is lost, and end on
    /// every date until they would lapse, and extensions that begin on the next date. Nothing of it is settled.
    function _burden(FarmerId[] memory farmers) internal {
        uint256 dates = uint256(params.maxMisses) / params.gridEpochs + 2;
        OrderId lost = _placed(farmers, _dateAhead(dates + 2));
        uint256 earlyEnd = _dateAfter(_now() + 1);
        OrderId[] memory early = new OrderId[](dates);
        for (uint256 i = 0; i < dates; ++i) early[i] = _placed(farmers, earlyEnd);
        uint256 lostEnd = _dateAhead(dates + 2);
        uint256 from = _now() + 1;
        _enter(_now() + 1);
        for (uint256 i = 0; i < farmers.length; ++i) _lose(farmers[i], lost, i, lostEnd);
        for (uint256 ahead = 1; ahead <= dates; ++ahead) {
            uint256 end = _dateAhead(ahead);
            if (end > _now() + 1) _placed(farmers, end);
            if (end > earlyEnd) _extended(early[ahead - 1], from, farmers, end);
        }
    }

    function _signed(
        FarmerId[] memory farmers,
        uint256 end,
        OrderId previous
    ) internal returns (Terms memory terms, Acceptance[] memory acceptances) {
        terms = _terms(bytes32(++_salts), end, 1, 1, 1);
        acceptances = new Acceptance[](farmers.length);
        for (uint256 i = 0; i < farmers.length; ++i) {
            acceptances[i] = _accept(terms, farmers[i], i, _root(i), RATE, previous);
        }
    }

    function _root(uint256 slot) internal pure returns (bytes32) {
        return keccak256(abi.encode("root", slot));
    }

    function _placed(FarmerId[] memory farmers, uint256 end) internal returns (OrderId) {
        (Terms memory terms, Acceptance[] memory acceptances) = _signed(farmers, end, OrderId.wrap(0));
        vm.prank(renter);
        return market.place(terms, acceptances);
    }

    function _extended(
        OrderId previous,
        uint256 from,
        FarmerId[] memory farmers,
        uint256 end
    ) internal returns (OrderId) {
        (Terms memory terms, Acceptance[] memory acceptances) = _signed(farmers, end, previous);
        vm.prank(renter);
        return market.extend(_heldBy(previous, farmers, from), terms, acceptances);
    }

    /// @dev An order whose slots are still with the farmers that it was placed with.
    function _heldBy(OrderId order, FarmerId[] memory farmers, uint256 from) internal pure returns (Held memory held) {
        held = Held({order: order, leafCount: 1, pieceLeaves: 1, slots: new Slot[](farmers.length)});
        for (uint256 i = 0; i < farmers.length; ++i) {
            held.slots[i] = Slot(
                farmers[i],
                _root(i),
                Rate.wrap(uint80(RATE)),
                _offer().egressPricePerGib,
                Epoch.wrap(uint32(from))
            );
        }
    }

    /// @dev Consents to take over the first slots of an order.
    function _takeovers(
        Held memory held,
        uint256 end,
        FarmerId[] memory farmers,
        address repairer
    ) internal view returns (Takeover[] memory takeovers) {
        takeovers = new Takeover[](farmers.length);
        for (uint256 i = 0; i < farmers.length; ++i) {
            Consent memory consent;
            consent.order = held.order;
            consent.farmer = farmers[i];
            consent.slot = i;
            consent.root = held.slots[i].root;
            consent.leafCount = 1;
            consent.rate = held.slots[i].rate;
            consent.maxEgressPricePerGib = held.slots[i].maxEgressPricePerGib;
            consent.end = Epoch.wrap(uint32(end));
            consent.deadlineBlock = uint64(block.number + 100);
            consent.previous = bytes32(uint256(Epoch.unwrap(held.slots[i].from)));
            consent.repairer = repairer;
            takeovers[i].slot = uint8(i);
            takeovers[i].farmer = farmers[i];
            takeovers[i].deadlineBlock = consent.deadlineBlock;
            (takeovers[i].r, takeovers[i].vs) = _signCompact(
                _operatorKey(farmers[i]),
                _acceptanceDigest(address(market), block.chainid, consent)
            );
        }
    }

    function _lose(FarmerId farmer, OrderId order, uint256 slot, uint256 end) private {
        bytes32[] memory words = new bytes32[](4);
        words[0] = OrderId.unwrap(order);
        words[1] = bytes32(slot | (1 << 8) | (_now() << 40));
        words[2] = bytes32(RATE);
        words[3] = _root(slot);
        vm.prank(_operator(farmer));
        market.declareLoss(farmer, Epoch.wrap(uint32(end)), false, words);
    }

    /// @dev Fills a book with slots of 2**31 leaves, all alike, and lets them begin.
    function _manyKept(FarmerId farmer) internal returns (Epoch end) {
        end = Epoch.wrap(uint32(_freeDate()));
        bytes32[] memory levels = _levels();
        _from = _now() + 1;
        _tree = new bytes32[](2 * ENTRIES);
        for (uint256 i = 0; i < ENTRIES; ++i) {
            Entry memory entry = _entry(i, levels[DEPTH]);
            open.enter(farmer, end, false, entry);
            _tree[ENTRIES + i] = keccak256(abi.encode(entry));
        }
        for (uint256 i = ENTRIES - 1; i > 0; --i) _tree[i] = keccak256(abi.encode(_tree[2 * i], _tree[2 * i + 1]));
        _enter(_from);
    }

    /// @dev The words by which slots [first, first + count) of such a book are declared lost.
    function _lossOf(uint256 first, uint256 count) internal view returns (bytes32[] memory words) {
        bytes32 root = _levels()[DEPTH];
        words = new bytes32[]((4 + HEIGHT) * count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 at_ = (4 + HEIGHT) * i;
            _putHead(words, at_, first + i);
            words[at_ + 3] = root;
            _putPath(words, at_ + 4, first + i);
        }
    }

    /// @dev A book of which most is lost, behind what is alive.
    function _mostlyLost(FarmerId farmer) internal {
        Epoch end = _manyKept(farmer);
        for (uint256 i = ENTRIES - LOST; i < ENTRIES; i += 8) {
            bytes32[] memory words = _lossOf(i, 8);
            vm.prank(_operator(farmer));
            market.declareLoss(farmer, end, false, words);
        }
    }

    /// @dev A proof of such a book, and how many of its words name slots that are lost.
    function _sparseProof(FarmerId farmer) internal view returns (bytes32[] memory words, uint256 lost) {
        bytes32[] memory levels = _levels();
        words = new bytes32[](10_000);
        uint256 next = 0;
        uint256 proven = 0;
        for (uint256 number = 0; proven < params.samples; ++number) {
            uint256 drawn = uint256(keccak256(abi.encode(_blockHash(_now()), farmer, number)));
            uint256 i = ((drawn >> 128) % (ENTRIES * RATE)) / RATE;
            if (i >= ENTRIES - LOST) {
                words[next++] = keccak256(abi.encode(i + 1, 0, _from));
                ++lost;
                continue;
            }
            _putHead(words, next, i);
            next += 3;
            for (uint256 word = 0; word < 16; ++word) words[next++] = bytes32(type(uint256).max);
            for (uint256 level = 0; level < DEPTH; ++level) words[next++] = levels[level];
            _putPath(words, next, i);
            next += HEIGHT;
            ++proven;
        }
        assembly ("memory-safe") {
            mstore(words, next)
        }
    }

    /// @dev What lies on each level above a slot's leaves, from the leaves to the root.
    function _levels() private pure returns (bytes32[] memory levels) {
        levels = new bytes32[](DEPTH + 1);
        bytes memory content = "";
        for (uint256 word = 0; word < 16; ++word) content = bytes.concat(content, bytes32(type(uint256).max));
        levels[0] = sha256(content);
        for (uint256 i = 0; i < DEPTH; ++i) levels[i + 1] = sha256(bytes.concat(levels[i], levels[i]));
    }

    function _entry(uint256 i, bytes32 root) private view returns (Entry memory) {
        return
            Entry({
                order: OrderId.wrap(bytes32(i + 1)),
                slot: 0,
                root: root,
                leafCount: uint32(1 << DEPTH),
                from: Epoch.wrap(uint32(_from)),
                first: uint80(i * RATE),
                rate: Rate.wrap(uint80(RATE))
            });
    }

    function _putHead(bytes32[] memory words, uint256 at_, uint256 i) private view {
        words[at_] = bytes32(i + 1);
        words[at_ + 1] = bytes32((uint256(1 << DEPTH) << 8) | (_from << 40) | (i << 72));
        words[at_ + 2] = bytes32(((i * RATE) << 128) | RATE);
    }

    function _putPath(bytes32[] memory words, uint256 at_, uint256 i) private view {
        for (uint256 node = ENTRIES + i; node > 1; node >>= 1) words[at_++] = _tree[node ^ 1];
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Acceptance,
    Epoch,
    FarmerId,
    Held,
    MandateTerms,
    OrderId,
    Rate,
    Slot,
    Takeover,
    Terms
} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Meter} from "./support/Meter.sol";
import {Reference} from "./support/Reference.sol";

/// @title What the two calls that are made over and over cost, as transactions with nothing warm
contract GasTest is FarmTest, Meter {
    uint256 private constant PLACE_PER_SLOT_LIMIT = 40_000;
    uint256 private constant PROVE_LIMIT = 350_000;
    uint256 private constant EVICT_LIMIT = 150_000;
    uint256 private constant REFILL_PER_SLOT_LIMIT = 60_000;
    uint256 private constant CLOSE_LIMIT = 400_000;
    uint256 private constant BY_MANDATE_LIMIT = 15_000;
    address private constant STRANGER = address(0x57A46E4);
    uint256 private constant TRANSACTION = 21_000;

    /// @dev The gas of a transaction with this call to the market: EIP-2028, and the floor of EIP-7623.
    function _transact(address sender, bytes memory data) private returns (uint256 gas) {
        vm.cool(address(market));
        vm.prank(sender);
        (bool done, ) = address(market).call(data);
        uint256 execution = vm.lastCallGas().gasTotalUsed;
        vm.assertTrue(done, "the call is made");
        uint256 tokens = 0;
        for (uint256 i = 0; i < data.length; ++i) tokens += data[i] == 0 ? 1 : 4;
        uint256 floor = TRANSACTION + 10 * tokens;
        gas = TRANSACTION + 4 * tokens + execution;
        if (gas < floor) gas = floor;
    }

    /// Must hold: after the first order, 30 slots cost on the mean at most the limit each.
    function test_placeOfThirtySlots() external {
        FarmerId[] memory farmers = new FarmerId[](30);
        for (uint256 i = 0; i < farmers.length; ++i) farmers[i] = _register();
        _deposit(1e24);
        uint256 total = 0;
        uint256 orders = 16;
        for (uint256 i = 0; i <= orders; ++i) {
            Terms memory terms = _terms(bytes32(i), _date(3), 2048 * 40, 2048, 10);
            Acceptance[] memory acceptances = new Acceptance[](30);
            for (uint256 slot = 0; slot < 30; ++slot) {
                acceptances[slot] = _accept(
                    terms,
                    farmers[slot],
                    slot,
                    keccak256(abi.encode(i, slot)),
                    1e15 + 12345678
                );
            }
            uint256 gas = _transact(renter, abi.encodeCall(market.place, (terms, acceptances)));
            if (i > 0) total += gas;
        }
        _note("place, per slot, mean after the first", total / orders / 30);
        vm.assertLe(total / orders / 30, PLACE_PER_SLOT_LIMIT, "gas per slot");
    }

    /// @dev An order of 30 slots with farmers of its own, in its last grid period.
    function _lastPeriod(uint256 salt) private returns (Held memory held) {
        uint256 rate = 1e15 + 12345678;
        Terms memory terms = _terms(bytes32(salt), _date(1), 2048 * 40, 2048, 10);
        Acceptance[] memory acceptances = new Acceptance[](30);
        held.slots = new Slot[](30);
        for (uint256 slot = 0; slot < 30; ++slot) {
            bytes32 root = keccak256(abi.encode(salt, slot));
            FarmerId farmer = _register();
            acceptances[slot] = _accept(terms, farmer, slot, root, rate);
            Epoch from = Epoch.wrap(uint32(_now() + 1));
            held.slots[slot] = Slot(
                farmer,
                root,
                Rate.wrap(uint80(rate)),
                acceptances[slot].maxEgressPricePerGib,
                from
            );
        }
        vm.prank(renter);
        held.order = market.place(terms, acceptances);
        (held.leafCount, held.pieceLeaves) = (2048 * 40, 2048);
        OrderId[] memory orders = new OrderId[](1);
        orders[0] = held.order;
        MandateTerms memory mandate = MandateTerms({
            highestPrice: type(uint80).max,
            highestEgressPrice: type(uint80).max,
            fee: 1e12,
            until: Epoch.wrap(uint32(_date(9))),
            termEpochs: uint32(GRID_EPOCHS),
            total: type(uint128).max
        });
        vm.prank(renter);
        market.giveMandate(uint16(salt), mandate, orders, new uint16[](0));
    }

    function _byRenter(Held memory held) private returns (uint256) {
        Terms memory terms = _terms(keccak256("next"), _date(2), held.leafCount, 2048, 10);
        Acceptance[] memory acceptances = new Acceptance[](30);
        for (uint256 i = 0; i < 30; ++i) {
            uint256 rate = Rate.unwrap(held.slots[i].rate);
            acceptances[i] = _accept(terms, held.slots[i].farmer, i, held.slots[i].root, rate, held.order);
        }
        return _transact(renter, abi.encodeCall(market.extend, (held, terms, acceptances)));
    }

    function _byMandate(Held memory held) private returns (uint256) {
        Consent memory consent;
        consent.end = Epoch.wrap(uint32(_date(2)));
        consent.order = market.extensionId(held.order, consent.end);
        consent.leafCount = held.leafCount;
        consent.deadlineBlock = uint64((_now() + 10) * EPOCH_BLOCKS);
        consent.previous = OrderId.unwrap(held.order);
        consent.repairer = STRANGER;
        Acceptance[] memory acceptances = new Acceptance[](30);
        for (uint256 i = 0; i < 30; ++i) {
            (consent.farmer, consent.root, consent.rate) = (
                held.slots[i].farmer,
                held.slots[i].root,
                held.slots[i].rate
            );
            consent.slot = i;
            bytes32 digest = _acceptanceDigest(address(market), block.chainid, consent);
            (bytes32 r, bytes32 vs) = _signCompact(_operatorKey(consent.farmer), digest);
            acceptances[i] = Acceptance(consent.farmer, consent.root, consent.rate, 0, consent.deadlineBlock, r, vs);
        }
        return _transact(STRANGER, abi.encodeCall(market.extendByMandate, (held, acceptances, STRANGER)));
    }

    /// Must hold: to extend by mandate costs little more than to extend, for somebody who has earned by it before.
    function test_extendByMandate() external {
        _enter(_date(1));
        _deposit(1e24);
        Held memory first = _lastPeriod(1);
        Held memory second = _lastPeriod(2);
        Held memory third = _lastPeriod(3);
        _byMandate(first);
        uint256 extend = _byRenter(second);
        uint256 byMandate = _byMandate(third);
        _note("extend, 30 slots", extend);
        _note("extendByMandate, 30 slots", byMandate);
        vm.assertLe(byMandate, extend + BY_MANDATE_LIMIT, "gas");
    }

    /// @dev A slot whose leaves are all alike has on each level nodes that are all alike, so its paths are known at
    /// any size.
    function _uniform(uint256 depth) private pure returns (bytes32[] memory levels) {
        levels = new bytes32[](depth + 1);
        bytes memory content = "";
        for (uint256 word = 0; word < 16; ++word) content = bytes.concat(content, _leafWord(1, 1, word));
        levels[0] = sha256(content);
        for (uint256 i = 0; i < depth; ++i) levels[i + 1] = sha256(bytes.concat(levels[i], levels[i]));
    }

    /// @dev The second proof of a farmer with 1 TiB, which records the seed.
    function _tebibyteProof(uint256 slotDepth, uint256 slots) private returns (bytes memory) {
        FarmerId farmer = _register();
        bytes32[] memory levels = _uniform(slotDepth);
        _deposit(1e24);
        for (uint256 i = 0; i < slots; ++i) {
            Terms memory terms = _terms(bytes32(i), _date(3), 1 << slotDepth, 2048, 1);
            Acceptance[] memory acceptances = new Acceptance[](1);
            acceptances[0] = _accept(terms, farmer, 0, levels[slotDepth], 1e15);
            vm.prank(renter);
            OrderId order = market.place(terms, acceptances);
            _know(order, terms, acceptances, _now() + 1, new uint256[](1), false);
        }
        _enter(_now() + 1);
        bytes memory first = abi.encodeCall(
            market.prove,
            (farmer, market.currentEpoch(), _uniformProof(farmer, levels))
        );
        _transact(STRANGER, first);
        _enter(_now() + 1);
        return abi.encodeCall(market.prove, (farmer, market.currentEpoch(), _uniformProof(farmer, levels)));
    }

    function _proveTebibyte(uint256 slotDepth, uint256 slots) private returns (uint256 gas) {
        gas = _transact(STRANGER, _tebibyteProof(slotDepth, slots));
        _note(string.concat("prove, 1 TiB, ", vm.toString(slots), " slots"), gas);
    }

    function _uniformProof(FarmerId farmer, bytes32[] memory levels) private returns (bytes32[] memory words) {
        // The seed is left for `prove` to record: what is drawn is computed from the block's hash beforehand.
        uint256 snapshot = vm.snapshotState();
        market.recordSeed();
        bytes32[] memory entries = _entries(farmer, _kept[farmer][0]);
        words = new bytes32[](0);
        for (uint256 number = 0; number < SAMPLES; ++number) {
            Drawn memory drawn = _drawn(farmer, _now(), number);
            words = Reference.joined(words, OrderId.unwrap(drawn.kept.order));
            words = Reference.joined(words, _numbers(0, drawn.kept.leafCount, drawn.kept.from, drawn.index));
            words = Reference.joined(words, _range(drawn.kept.first, drawn.kept.rate));
            for (uint256 word = 0; word < 16; ++word) words = Reference.joined(words, _leafWord(1, 1, word));
            for (uint256 i = 0; i + 1 < levels.length; ++i) words = Reference.joined(words, levels[i]);
            words = Reference.joined(words, Reference.mountainPath(entries, drawn.index));
        }
        vm.revertToState(snapshot);
    }

    /// Must hold: 5 samples over a farm of 1 TiB, in one slot, cost at most 350,000 gas.
    function test_proveOfOneSlot() external {
        vm.assertLe(_proveTebibyte(31, 1), PROVE_LIMIT, "gas of a proof");
    }

    /// Must hold: the same in 128 slots.
    function test_proveOfManySlots() external {
        vm.assertLe(_proveTebibyte(24, 128), PROVE_LIMIT, "gas of a proof");
    }

    /// Must hold: a proof that records the seed too costs no more, in a transaction of its own.
    /// hardhat-config: isolate = true
    function test_proveAndRecord() external {
        uint256 gas = _gasOf(STRANGER, address(market), _tebibyteProof(31, 1));
        _note("prove, 1 TiB, and record the seed", gas);
        vm.assertLe(gas, PROVE_LIMIT, "gas of a proof");
    }

    /// @dev A farmer with a book for every date, in both rings, and so much lost in one that no word is spared.
    function _busy() private returns (FarmerId farmer) {
        farmer = _register();
        for (uint256 i = 2; i <= MAX_BOOKS; ++i) {
            OrderId order = _store(farmer, _date(1), 1, 1e12);
            _store(farmer, _date(i), 1, 1e12);
            _extend(order, _one(farmer), _date(i), 1e12);
        }
        _store(farmer, _date(MAX_BOOKS), 1, 1e12);
    }

    /// Must hold: to evict a farmer that keeps all that there is to keep, and is not settled, costs at most the limit.
    function test_evict() external {
        FarmerId farmer = _busy();
        _enter(_now() + 1);
        _prove(farmer);
        _lose(farmer, 3 * (MAX_BOOKS - 1));
        _enter(_now() + 40);
        uint256 gas = _transact(STRANGER, abi.encodeCall(market.evict, (farmer)));
        _note("evict", gas);
        vm.assertLe(gas, EVICT_LIMIT, "gas");
    }

    /// Must hold: to refill ten slots of thirty costs at most the limit each.
    function test_refill() external {
        FarmerId[] memory farmers = _registerMany(30);
        FarmerId[] memory takers = new FarmerId[](10);
        uint256 end = _date(3);
        OrderId order = _store(farmers, end, 1, 1e15);
        _enter(_now() + MAX_MISSES + 1);
        for (uint256 i = 0; i < 30; ++i) market.evict(farmers[i]);
        for (uint256 i = 0; i < 10; ++i) _store(takers[i] = _register(), end, 1, 1e12);
        _enter(_now() + 1);
        _refill(order, 29, _register(), STRANGER);
        Takeover[] memory takeovers = new Takeover[](10);
        for (uint256 i = 0; i < 10; ++i) takeovers[i] = _takeover(order, i, takers[i], STRANGER);
        uint256 gas = _transact(STRANGER, abi.encodeCall(market.refill, (_held(order), STRANGER, takeovers)));
        _note("refill, per slot", gas / 10);
        vm.assertLe(gas / 10, REFILL_PER_SLOT_LIMIT, "gas per slot");
    }

    /// @dev As a call of its own, after which its memory is free again.
    function prove(FarmerId farmer) external {
        _prove(farmer);
    }

    /// Must hold: to close an order of thirty slots, one of them missed once, costs at most 400,000 gas.
    function test_close() external {
        FarmerId[] memory farmers = _registerMany(30);
        OrderId order = _store(farmers, _date(3), 1, 1e15);
        uint256 end = _date(3);
        while (_now() < end - 1) {
            _enter(_now() + 1);
            for (uint256 i = 0; i < 30; ++i) if (i > 0 || _now() + 3 != end) this.prove(farmers[i]);
        }
        _enter(end + 5);
        uint256 gas = _transact(STRANGER, abi.encodeCall(market.close, (_held(order))));
        _note("close, of 30 slots", gas);
        vm.assertLe(gas, CLOSE_LIMIT, "gas");
    }
}

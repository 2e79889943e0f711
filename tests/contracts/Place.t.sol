// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IBooks} from "../../contracts/interfaces/IBooks.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IOrders} from "../../contracts/interfaces/IOrders.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {
    Acceptance,
    BookView,
    Epoch,
    FarmerId,
    OperatorConsent,
    OrderId,
    OrderView,
    Permit,
    Rate,
    Slot,
    Terms
} from "../../contracts/types/Types.sol";
import {HandOverTallies} from "../../contracts/types/HandOverTally.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Reference} from "./support/Reference.sol";

/// @title An order is placed as its farmers accepted it, paid for, and entered in their books; or not at all
contract PlaceTest is FarmTest {
    uint256 private constant RATE = 1e18;

    function _farmers(uint256 count) private returns (FarmerId[] memory list) {
        list = new FarmerId[](count);
        for (uint256 i = 0; i < count; ++i) list[i] = _register();
    }

    /// @dev A sound order of `n` slots with new farmers, and the vault to pay for it.
    function _sound(uint256 n) private returns (Terms memory terms, Acceptance[] memory acceptances) {
        (terms, acceptances) = _offered(_farmers(n), _date(2), 4, RATE);
        _deposit(1e24);
    }

    function _place(Terms memory terms, Acceptance[] memory acceptances) private returns (OrderId) {
        vm.prank(renter);
        return market.place(terms, acceptances);
    }

    function _refused(Terms memory terms, Acceptance[] memory acceptances, bytes memory reason) private {
        vm.expectRevert(reason);
        _place(terms, acceptances);
    }

    /// Must hold: the order is kept, its price leaves the vault, and events say so in slot order.
    function testFuzz_placeKeepsTheOrder(uint8 n, uint8 k, uint32 pieces, uint256 rate, uint256 ahead) external {
        n = uint8(_within(n, 1, 8));
        k = uint8(_within(k, 1, n));
        rate = _within(rate, 1, STAKE / COLLATERAL_EPOCHS);
        Terms memory terms = _terms("salt", _date(_within(ahead, 1, MAX_BOOKS)), 64 * _within(pieces, 1, 1000), 64, k);
        FarmerId[] memory farmers = _farmers(n);
        Acceptance[] memory acceptances = new Acceptance[](n);
        for (uint256 i = 0; i < n; ++i) {
            acceptances[i] = _accept(terms, farmers[i], i, keccak256(abi.encode(i)), rate);
        }
        _deposit(n * rate * (Epoch.unwrap(terms.end) - _now() - 1));
        _expectEvents(terms, acceptances);
        vm.assertEq(OrderId.unwrap(_place(terms, acceptances)), OrderId.unwrap(_orderId(terms)), "id");
        vm.assertEq(market.vault(renter), 0, "vault");
        _checkOrder(terms, acceptances);
        for (uint256 i = 0; i < n; ++i) _checkRates(farmers[i], rate, Epoch.unwrap(terms.end));
    }

    function _expectEvents(Terms memory terms, Acceptance[] memory acceptances) private {
        Epoch from = Epoch.wrap(uint32(_now() + 1));
        OrderId id = _orderId(terms);
        uint8 n = uint8(acceptances.length);
        vm.expectEmit(true, true, true, true, address(market));
        emit IOrders.OrderPlaced(id, renter, from, terms.end, terms.leafCount, terms.pieceLeaves, terms.k, n);
        for (uint8 i = 0; i < n; ++i) {
            Acceptance memory a = acceptances[i];
            vm.expectEmit(true, true, true, true, address(market));
            emit IOrders.SlotFilled(
                id,
                a.farmer,
                i,
                a.root,
                a.rate,
                a.maxEgressPricePerGib,
                terms.leafCount,
                from,
                terms.end,
                false
            );
        }
    }

    function _checkOrder(Terms memory terms, Acceptance[] memory acceptances) private view {
        Slot[] memory slots = new Slot[](acceptances.length);
        for (uint256 i = 0; i < slots.length; ++i) {
            slots[i] = Slot(
                acceptances[i].farmer,
                acceptances[i].root,
                acceptances[i].rate,
                acceptances[i].maxEgressPricePerGib,
                Epoch.wrap(uint32(_now() + 1))
            );
        }
        OrderView memory expected = OrderView({
            renter: renter,
            from: Epoch.wrap(uint32(_now() + 1)),
            end: terms.end,
            k: terms.k,
            n: uint8(slots.length),
            handOvers: HandOverTallies.begin(true),
            mandate: 0,
            slotsHash: Reference.slotsHash(terms.leafCount, terms.pieceLeaves, slots)
        });
        vm.assertEq(keccak256(abi.encode(market.order(_orderId(terms)))), keccak256(abi.encode(expected)), "order");
    }

    function _checkRates(FarmerId farmer, uint256 rate, uint256 end) private view {
        vm.assertEq(market.farmer(farmer).committedRate, rate, "committed rate");
        vm.assertEq(market.rateAt(farmer, Epoch.wrap(uint32(_now()))), 0, "rate now");
        vm.assertEq(market.rateAt(farmer, Epoch.wrap(uint32(_now() + 1))), rate, "rate from the next epoch");
        vm.assertEq(market.rateAt(farmer, Epoch.wrap(uint32(end - 1))), rate, "rate in the last epoch");
        vm.assertEq(market.rateAt(farmer, Epoch.wrap(uint32(end))), 0, "rate at the end");
    }

    /// Must hold: the largest order, 80 slots with farmers new to the market, fits into a transaction under the cap of
    /// EIP-7825. What it costs at worst is in WorstCase.t.sol.
    function test_largestOrder() external {
        FarmerId[] memory farmers = _farmers(80);
        Terms memory terms = _terms("salt", _date(1), 64, 64, 1);
        Acceptance[] memory acceptances = new Acceptance[](80);
        for (uint256 i = 0; i < 80; ++i) acceptances[i] = _accept(terms, farmers[i], i, bytes32(i), RATE);
        _deposit(1e24);
        bytes memory data = abi.encodeCall(market.place, (terms, acceptances));
        uint256 gas = 21_000;
        for (uint256 i = 0; i < data.length; ++i) gas += data[i] == 0 ? 4 : 16;
        vm.cool(address(market));
        _place(terms, acceptances);
        vm.assertLe(gas + vm.lastCallGas().gasTotalUsed, 1 << 24, "gas");
    }

    /// Must hold: the id is the hash of renter and salt.
    function testFuzz_orderId(address anyone, address sender, bytes32 salt) external view {
        bytes32 expected = keccak256(abi.encode(anyone, sender, salt));
        vm.assertEq(OrderId.unwrap(market.orderId(anyone, sender, salt)), expected, "id");
    }

    /// Must hold: a salt serves once; another renter may use the same.
    function test_orderTwice() external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(2);
        _place(terms, acceptances);
        _refused(terms, acceptances, abi.encodeWithSelector(IOrders.OrderExists.selector, _orderId(terms)));
        renter = address(this);
        market.deposit(1e24);
        for (uint256 i = 0; i < 2; ++i) _sign(terms, i, acceptances[i], _operatorKey(acceptances[i].farmer));
        market.place(terms, acceptances);
    }

    /// Must hold: an acceptance counts only as it was signed; whatever is changed in what it says is noticed.
    function testFuzz_forgedAcceptance(uint256 field, uint256 value) external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(2);
        Acceptance memory forged = acceptances[1];
        FarmerId other = _register();
        field = _within(field, 0, 9);
        value = _within(value, 1, 1e9);
        if (field == 0) forged.farmer = other;
        if (field == 1) forged.root = bytes32(uint256(forged.root) ^ value);
        if (field == 2) forged.rate = Rate.wrap(Rate.unwrap(forged.rate) + uint80(value));
        if (field == 3) forged.deadlineBlock += uint64(value);
        if (field == 4) forged.r = bytes32(uint256(forged.r) ^ value);
        if (field == 5) forged.vs = bytes32(uint256(forged.vs) ^ value);
        if (field == 6) forged.vs = bytes32(uint256(forged.vs) ^ (1 << 255));
        if (field == 7) _sign(terms, 0, forged, _operatorKey(forged.farmer));
        if (field == 8) _sign(terms, 1, forged, value);
        if (field == 9) forged.maxEgressPricePerGib += uint80(value);
        address signer = _signer(terms, 1, forged);
        _refused(
            terms,
            acceptances,
            abi.encodeWithSelector(IOrders.AcceptanceForged.selector, 1, forged.farmer, signer)
        );
    }

    /// Must hold: an acceptance counts only for the order it was signed for.
    function testFuzz_acceptanceForOtherTerms(uint256 field) external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(2);
        field = _within(field, 0, 2);
        if (field == 0) terms.salt = "another";
        if (field == 1) terms.end = Epoch.wrap(uint32(_date(3)));
        if (field == 2) terms.leafCount += 1;
        FarmerId farmer = acceptances[0].farmer;
        address signer = _signer(terms, 0, acceptances[0]);
        _refused(terms, acceptances, abi.encodeWithSelector(IOrders.AcceptanceForged.selector, 0, farmer, signer));
    }

    /// Must hold: an acceptance counts only for its renter.
    function testFuzz_acceptanceForOtherRenter(address thief) external {
        vm.assume(thief != renter && thief != address(0));
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(1);
        vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
        vm.prank(thief);
        market.place(terms, acceptances);
    }

    /// Must hold: an acceptance counts only on its chain and for its market.
    function testFuzz_acceptanceForOtherDomain(uint64 chain, address other) external {
        vm.assume(chain != block.chainid && other != address(market));
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(1);
        for (uint256 i = 0; i < 2; ++i) {
            Acceptance memory acceptance = acceptances[0];
            bytes32 digest = _acceptanceDigest(
                i == 0 ? address(market) : other,
                i == 0 ? chain : block.chainid,
                _consent(terms, 0, acceptance, OrderId.wrap(0))
            );
            (acceptance.r, acceptance.vs) = _signCompact(_operatorKey(acceptance.farmer), digest);
            vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
            _place(terms, acceptances);
        }
    }

    /// Must hold: after a fork of the chain acceptances count on the side whose id they name.
    function testFuzz_acceptanceAfterFork(uint64 chain) external {
        vm.assume(chain != block.chainid && chain != 0);
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(1);
        vm.chainId(chain);
        vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
        _place(terms, acceptances);
        _sign(terms, 0, acceptances[0], _operatorKey(acceptances[0].farmer));
        _place(terms, acceptances);
    }

    /// Must hold: the error names the signer, and nobody when there is no signature.
    function test_forgerIsNamed() external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(2);
        _sign(terms, 1, acceptances[1], 4711);
        FarmerId farmer = acceptances[1].farmer;
        _refused(
            terms,
            acceptances,
            abi.encodeWithSelector(IOrders.AcceptanceForged.selector, 1, farmer, vm.addr(4711))
        );
        (acceptances[1].r, acceptances[1].vs) = (0, 0);
        _refused(terms, acceptances, abi.encodeWithSelector(IOrders.AcceptanceForged.selector, 1, farmer, address(0)));
    }

    function _changeOperator(FarmerId farmer, uint256 key, bool voidFormer) private {
        OperatorConsent memory consent = _consentTo(key, _ownerOf(farmer), farmer);
        vm.prank(_ownerOf(farmer));
        market.setOperator(farmer, vm.addr(key), voidFormer, consent);
    }

    /// Must hold: when the operator changes and the owner says so, what the one before it signed is void.
    function test_operatorChanged() external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(1);
        _changeOperator(acceptances[0].farmer, 4711, true);
        vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
        _place(terms, acceptances);
        _sign(terms, 0, acceptances[0], 4711);
        _place(terms, acceptances);
    }

    /// Must hold: else it counts for the blocks that the market gives it, so nobody makes a `place` fail by changing a key.
    function test_formerOperatorsLastBlocks() external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(1);
        _changeOperator(acceptances[0].farmer, 4711, false);
        uint256 last = block.number + FORMER_OPERATOR_BLOCKS;
        vm.roll(last + 1);
        vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
        _place(terms, acceptances);
        vm.roll(last);
        _place(terms, acceptances);
    }

    /// Must hold: of several operators in a row the last but one is the former one, and the new one counts at once.
    function test_onlyTheLastFormerOperatorCounts() external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(1);
        FarmerId farmer = acceptances[0].farmer;
        _changeOperator(farmer, 4711, false);
        _changeOperator(farmer, 4712, false);
        vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
        _place(terms, acceptances);
        uint256 snapshot = vm.snapshotState();
        for (uint256 key = 4711; key <= 4712; ++key) {
            _sign(terms, 0, acceptances[0], key);
            _place(terms, acceptances);
            vm.revertToState(snapshot);
            snapshot = vm.snapshotState();
        }
        _changeOperator(farmer, 4713, true);
        vm.expectPartialRevert(IOrders.AcceptanceForged.selector);
        _place(terms, acceptances);
    }

    /// Must hold: a farmer takes on slots up to its ceiling, to the last unit that is kept of it, and none beyond.
    function testFuzz_ceiling(uint80 ceiling) external {
        vm.assume(ceiling != type(uint80).max); // none
        FarmerId farmer = _register(type(uint96).max);
        vm.prank(_ownerOf(farmer));
        market.setLimits(farmer, ceiling, type(uint80).max);
        uint256 kept = market.farmer(farmer).ceiling;
        vm.assertLe(kept, ceiling, "rounded down");
        vm.assertLe(ceiling - kept, ceiling >> 17, "by less than one of 131,072");
        if (kept > 0) _store(farmer, _date(2), 1, kept);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(farmer), _date(2), 1, 1);
        _deposit(100);
        _refused(terms, acceptances, abi.encodeWithSelector(IFarmers.CeilingExceeded.selector, farmer, kept + 1, kept));
        vm.prank(_ownerOf(farmer));
        market.setLimits(farmer, type(uint80).max, 0);
        _place(terms, acceptances);
    }

    /// Must hold: an acceptance serves up to its deadline's block and not after.
    function testFuzz_acceptanceExpires(uint8 ahead) external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(2);
        uint256 deadline = _now() * EPOCH_BLOCKS + 1 + (ahead % 8);
        acceptances[1].deadlineBlock = uint64(deadline);
        _sign(terms, 1, acceptances[1], _operatorKey(acceptances[1].farmer));
        vm.roll(deadline + 1);
        _refused(
            terms,
            acceptances,
            abi.encodeWithSelector(IOrders.AcceptanceExpired.selector, 1, deadline, deadline + 1)
        );
        vm.roll(deadline);
        _place(terms, acceptances);
    }

    /// Must hold: a farmer that does not exist fills no slot.
    function testFuzz_unknownFarmer(uint32 number) external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(2);
        vm.assume(number == 0 || number > 2);
        acceptances[1].farmer = FarmerId.wrap(number);
        _refused(terms, acceptances, abi.encodeWithSelector(IFarmers.UnknownFarmer.selector, number));
    }

    /// Must hold: a farmer has one slot of an order, also when others are between the two.
    function testFuzz_duplicateFarmer(uint256 first, uint256 second) external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(5);
        first = _within(first, 0, 3);
        second = _within(second, first + 1, 4);
        FarmerId farmer = acceptances[first].farmer;
        acceptances[second] = _accept(terms, farmer, second, "root", RATE);
        _refused(terms, acceptances, abi.encodeWithSelector(IOrders.DuplicateFarmer.selector, second, farmer));
    }

    /// Must hold: the stake covers the collateral of all that the farmer is paid for, to the last base unit.
    function testFuzz_stakeTooSmall(uint256 before, uint256 rate) external {
        before = _within(before, 1, 1e20);
        rate = _within(rate, 1, 1e20);
        uint256 needed = (before + rate) * COLLATERAL_EPOCHS;
        FarmerId farmer = _register(needed - 1);
        _store(farmer, _date(1), 1, before);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(farmer), _date(2), 1, rate);
        _deposit(1e24);
        _refused(
            terms,
            acceptances,
            abi.encodeWithSelector(IFarmers.StakeTooSmall.selector, farmer, needed - 1, needed)
        );
        market.addStake(farmer, 1);
        _place(terms, acceptances);
    }

    /// Must hold: what has ended no longer needs collateral.
    function testFuzz_endedSlotsFreeTheStake(uint256 rate, uint256 later) external {
        rate = _within(rate, 1, 1e20);
        FarmerId farmer = _register(rate * COLLATERAL_EPOCHS);
        uint256 end = _date(1);
        _store(farmer, end, 1, rate);
        _proveUntil(farmer, end - 1);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(farmer), end + 2 * GRID_EPOCHS, 1, rate);
        _deposit(1e24);
        uint256 stake = rate * COLLATERAL_EPOCHS;
        _refused(terms, acceptances, abi.encodeWithSelector(IFarmers.StakeTooSmall.selector, farmer, stake, 2 * stake));
        _enter(end + _within(later, 0, GRID_EPOCHS));
        vm.assertEq(market.farmer(farmer).committedRate, 0, "committed rate before");
        acceptances[0].deadlineBlock = uint64((_now() + 1) * EPOCH_BLOCKS);
        _sign(terms, 0, acceptances[0], _operatorKey(farmer));
        _place(terms, acceptances);
        vm.assertEq(market.farmer(farmer).committedRate, rate, "committed rate after");
    }

    /// Must hold: rates of 80 bits are added without overflow, and refused beyond it.
    function test_rateTooLarge() external {
        uint256 most = type(uint80).max;
        FarmerId farmer = _register(type(uint96).max);
        _store(farmer, _date(1), 1, most - 1);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(farmer), _date(1), 1, 2);
        _refused(terms, acceptances, abi.encodeWithSelector(IBooks.RateTooLarge.selector, farmer, most + 1, most));
        _store(farmer, _date(1), 1, 1);
        vm.assertEq(market.farmer(farmer).committedRate, most, "committed rate");
    }

    /// Must hold: a slot without pay is refused.
    function test_zeroRate() external {
        (Terms memory terms, Acceptance[] memory acceptances) = _sound(2);
        acceptances[1].rate = Rate.wrap(0);
        _refused(terms, acceptances, abi.encodeWithSelector(IOrders.ZeroRate.selector, 1));
    }

    /// Must hold: the vault covers the price, to the last base unit.
    function testFuzz_vaultTooSmall(uint256 short) external {
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_farmers(2), _date(2), 4, RATE);
        uint256 price = 2 * RATE * (Epoch.unwrap(terms.end) - _now() - 1);
        short = _within(short, 1, price - 1);
        _deposit(price - short);
        _refused(
            terms,
            acceptances,
            abi.encodeWithSelector(IVault.VaultTooSmall.selector, renter, price - short, price)
        );
        _deposit(short);
        _place(terms, acceptances);
        vm.assertEq(market.vault(renter), 0, "vault");
    }

    /// Must hold: an order has from 1 to 80 slots.
    function testFuzz_slotCount(uint256 n) external {
        n = _within(n, 81, 600);
        Terms memory terms = _terms("salt", _date(1), 4, 1, 1);
        _refused(terms, new Acceptance[](0), abi.encodeWithSelector(IOrders.SlotCountOutOfRange.selector, 0, 80));
        _refused(terms, new Acceptance[](n), abi.encodeWithSelector(IOrders.SlotCountOutOfRange.selector, n, 80));
    }

    /// Must hold: k is from 1 to n.
    function testFuzz_threshold(uint8 n, uint8 k) external {
        n = uint8(_within(n, 1, 80));
        k = uint8(_within(k, n + 1, 255));
        Terms memory terms = _terms("salt", _date(1), 4, 1, k);
        _refused(terms, new Acceptance[](n), abi.encodeWithSelector(IOrders.ThresholdOutOfRange.selector, k, n));
        terms.k = 0;
        _refused(terms, new Acceptance[](n), abi.encodeWithSelector(IOrders.ThresholdOutOfRange.selector, 0, n));
    }

    /// Must hold: a piece is a power of two of leaves, 2048 at most, and a slot is whole pieces, at least one.
    function testFuzz_pieceLeaves(uint32 pieceLeaves, uint32 leafCount) external {
        bool power = pieceLeaves != 0 && pieceLeaves <= 2048 && (pieceLeaves & (pieceLeaves - 1)) == 0;
        vm.assume(!power || leafCount == 0 || leafCount % pieceLeaves != 0);
        Terms memory terms = _terms("salt", _date(1), leafCount, pieceLeaves, 1);
        bytes memory reason = abi.encodeWithSelector(IOrders.BadPieceLeaves.selector, pieceLeaves, leafCount);
        _refused(terms, new Acceptance[](1), reason);
    }

    /// Must hold: the largest piece is of 2048 leaves.
    function test_largestPiece() external {
        Terms memory terms = _terms("salt", _date(2), 4096, 2048, 1);
        Acceptance[] memory acceptances = new Acceptance[](1);
        acceptances[0] = _accept(terms, _farmers(1)[0], 0, bytes32("root"), RATE);
        _deposit(RATE * (Epoch.unwrap(terms.end) - _now() - 1));
        _place(terms, acceptances);
        vm.assertEq(market.vault(renter), 0, "placed");
    }

    /// Must hold: pieces that are almost right are refused as well.
    function testFuzz_pieceLeavesAlmost(uint8 exponent, uint32 pieces) external {
        uint32 power = uint32(1 << _within(exponent, 2, 11));
        uint32 leafCount = uint32(_within(pieces, 1, 1000)) * power;
        uint32[4] memory piece = [uint32(0), power - 1, power + 1, power * 2];
        for (uint256 i = 0; i < 4; ++i) {
            if (i == 3) leafCount = leafCount | power;
            Terms memory terms = _terms("salt", _date(1), leafCount, piece[i], 1);
            _refused(
                terms,
                new Acceptance[](1),
                abi.encodeWithSelector(IOrders.BadPieceLeaves.selector, piece[i], leafCount)
            );
        }
        _refused(
            _terms("salt", _date(1), 4096, 4096, 1),
            new Acceptance[](1),
            abi.encodeWithSelector(IOrders.BadPieceLeaves.selector, 4096, 4096)
        );
        _refused(
            _terms("salt", _date(1), 0, power, 1),
            new Acceptance[](1),
            abi.encodeWithSelector(IOrders.BadPieceLeaves.selector, power, 0)
        );
    }

    /// Must hold: an order ends on the grid.
    function testFuzz_endOffGrid(uint32 end) external {
        vm.assume(end % GRID_EPOCHS != 0);
        _refused(
            _terms("salt", end, 4, 1, 1),
            new Acceptance[](1),
            abi.encodeWithSelector(IBooks.EndOffGrid.selector, end, GRID_EPOCHS)
        );
    }

    /// Must hold: an order lasts at least one epoch after the current one.
    function testFuzz_endTooSoon(uint256 date, uint256 offset) external {
        uint256 end = _date(1);
        _enter(end - 1 + _within(offset, 0, GRID_EPOCHS));
        end -= GRID_EPOCHS * _within(date, 0, 5);
        _refused(
            _terms("salt", end, 4, 1, 1),
            new Acceptance[](1),
            abi.encodeWithSelector(IOrders.EndTooSoon.selector, end, _now() + 1)
        );
    }

    /// Must hold: an order ends at most MAX_BOOKS dates ahead, in every epoch of the grid.
    function testFuzz_endTooLate(uint256 date, uint256 offset) external {
        FarmerId farmer = _register();
        _enter(_now() + _within(offset, 0, GRID_EPOCHS));
        uint256 latest = _date(MAX_BOOKS);
        uint256 end = latest + GRID_EPOCHS * _within(date, 1, 1000);
        _refused(
            _terms("salt", end, 4, 1, 1),
            new Acceptance[](1),
            abi.encodeWithSelector(IOrders.EndTooLate.selector, end, latest)
        );
        _store(farmer, latest, 1, RATE);
    }

    /// Must hold: an order that ends after one epoch is placed in the last epoch in which it can be.
    function test_shortestOrder() external {
        FarmerId farmer = _register();
        uint256 end = _date(1);
        _enter(end - 2);
        _store(farmer, end, 1, RATE);
        vm.assertEq(market.vault(renter), 0, "one epoch is paid");
        vm.assertEq(market.rateAt(farmer, Epoch.wrap(uint32(end - 1))), RATE, "its rate");
    }

    /// Must hold: a permit pays for the order, no matter who submitted it first.
    function testFuzz_placeWithPermit(bool used) external {
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_farmers(2), _date(2), 4, RATE);
        uint256 price = 2 * RATE * (Epoch.unwrap(terms.end) - _now() - 1);
        vm.prank(renter);
        token.approve(address(market), 0);
        Permit memory p = _permit(RENTER_KEY, price);
        if (used) token.permit(renter, address(market), p.value, p.deadline, p.v, p.r, p.s);
        vm.prank(renter);
        market.placeWithPermit(terms, acceptances, p);
        vm.assertEq(market.vault(renter), 0, "vault");
        vm.assertEq(market.order(_orderId(terms)).renter, renter, "placed");
    }

    /// Must hold: a book that ended makes room for the one that comes MAX_BOOKS dates later, and leaves nothing in it.
    function testFuzz_ringIsReused(uint256 before, uint256 rate) external {
        before = _within(before, 1, 5);
        FarmerId farmer = _register();
        uint256 end = _date(1);
        for (uint256 i = 0; i < before; ++i) _store(farmer, end, 1, RATE);
        _enter(end - 1);
        vm.assertEq(market.rateAt(farmer, market.currentEpoch()), before * RATE, "in its last epoch");
        _enter(end);
        vm.assertEq(market.rateAt(farmer, market.currentEpoch()), 0, "at its end");
        uint256 next = end + MAX_BOOKS * GRID_EPOCHS;
        rate = _within(rate, 1, RATE);
        _store(farmer, next, 1, rate);
        vm.assertEq(market.book(farmer, Epoch.wrap(uint32(end)), false).count, 0, "the old book");
        BookView memory book = market.book(farmer, Epoch.wrap(uint32(next)), false);
        vm.assertEq(book.count, 1, "entries");
        vm.assertEq(book.rateBefore, 0, "rate before");
        vm.assertEq(book.rateAdded, rate, "rate added");
        vm.assertEq(market.farmer(farmer).committedRate, rate, "committed rate");
        _enter(end + 1);
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)), rate, "pay");
    }

    /// Must hold: books, rates and the committed rate are those of a model, over any orders in any epochs.
    function testFuzz_booksAreThoseOfTheModel(uint256 random) external {
        FarmerId farmer = _register(1e27);
        for (uint256 step = 0; step < 12; ++step) {
            random = uint256(keccak256(abi.encode(random)));
            uint256 end = _date(1 + (random % 3 == 0 ? random % MAX_BOOKS : random % 2));
            if (end > _now() + 1) _store(farmer, end, 1 + ((random >> 32) % 3), 1 + ((random >> 64) % 1e6));
            if ((random >> 96) % 3 == 0) _proveUntil(farmer, _now() + 1 + ((random >> 128) % 5));
            if ((random >> 160) % 8 == 0) _proveUntil(farmer, _now() + GRID_EPOCHS);
            uint256 ahead = _now() + ((random >> 192) % 100);
            vm.assertEq(market.rateAt(farmer, Epoch.wrap(uint32(ahead))), _rateAt(farmer, ahead), "rate");
            vm.assertEq(market.farmer(farmer).committedRate, _committedRate(farmer), "committed rate");
            _checkBook(farmer, _date(1 + ((random >> 224) % 3)));
        }
    }

    /// @dev The rates of all slots that have not ended.
    function _committedRate(FarmerId farmer) private view returns (uint256 total) {
        Kept[] storage kept = _kept[farmer];
        for (uint256 i = 0; i < kept.length; ++i) if (kept[i].end > _now()) total += kept[i].rate;
    }

    function _checkBook(FarmerId farmer, uint256 end) private view {
        BookView memory book = market.book(farmer, Epoch.wrap(uint32(end)), false);
        bytes32[] memory entries = _entries(farmer, end, false);
        vm.assertEq(book.count, entries.length, "entries");
        bytes32[] memory peaks = Reference.peaks(entries);
        vm.assertEq(book.peaks.length, peaks.length, "number of peaks");
        for (uint256 i = 0; i < peaks.length; ++i) vm.assertEq(book.peaks[i], peaks[i], "peak");
    }

    /// Must hold: a book is asked for by its date, and rates for epochs that are not past.
    function testFuzz_viewsRefuse(uint32 end, uint32 past) external {
        FarmerId farmer = _register();
        vm.assume(end % GRID_EPOCHS != 0);
        past = uint32(_within(past, 0, _now() - 1));
        vm.expectRevert(abi.encodeWithSelector(IBooks.EndOffGrid.selector, end, GRID_EPOCHS));
        market.book(farmer, Epoch.wrap(end), false);
        vm.expectRevert(abi.encodeWithSelector(IBooks.EpochIsPast.selector, past, _now()));
        market.rateAt(farmer, Epoch.wrap(past));
    }

    /// Must hold: what was lost by misses that nobody had settled yet covers nothing.
    function test_whatMissesTookCoversNothing() external {
        FarmerId farmer = _register(3 * COLLATERAL_EPOCHS * RATE);
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(_one(farmer), _date(3), 4, RATE);
        _deposit(100 * RATE);
        _place(terms, acceptances);
        _enter(_now() + 2);
        terms = _terms("another", _date(3), 4, 1, 1);
        acceptances[0] = _accept(terms, farmer, 0, bytes32("root"), 2 * RATE);
        uint256 needed = 3 * COLLATERAL_EPOCHS * RATE;
        _refused(
            terms,
            acceptances,
            abi.encodeWithSelector(IFarmers.StakeTooSmall.selector, farmer, needed - (PENALTY + FINE) * RATE, needed)
        );
    }
}

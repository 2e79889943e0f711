// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Acceptance,
    Epoch,
    FarmerId,
    Held,
    MandateTerms,
    OperatorConsent,
    OrderId,
    Passing,
    Permit,
    Takeover,
    Terms,
    Voucher
} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";
import {Meter} from "./support/Meter.sol";

/// @title What each call costs in a small market, as a transaction of its own
/// @dev Nothing must hold here but that the figures are those that are written down: `scripts/gas-snapshots` compares them.
contract GasOfCallsTest is FarmTest, Meter {
    uint256 private constant RATE = 1e15;
    uint256 private constant SLOTS = 8;
    address private constant ANYONE = address(0xA9E);

    function _measure(string memory what, address sender, bytes memory data) private {
        _note(what, _gasOf(sender, address(market), data));
    }

    /// @dev Of an account that has done it before.
    function _measureSecond(string memory what, address sender, bytes memory data) private {
        _gasOf(sender, address(market), data);
        _measure(what, sender, data);
    }

    /// Money in and out.
    /// hardhat-config: isolate = true
    function test_money() external {
        _measureSecond("deposit", renter, abi.encodeCall(market.deposit, (1e24)));
        Permit memory permit = _permit(RENTER_KEY, 1e18);
        _measure("depositWithPermit", renter, abi.encodeCall(market.depositWithPermit, (permit)));
        _measure("requestWithdrawal", renter, abi.encodeCall(market.requestWithdrawal, (1e18)));
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        _measure("withdraw", renter, abi.encodeCall(market.withdraw, (renter)));
        FarmerId farmer = _register();
        Voucher[] memory vouchers = new Voucher[](1);
        vouchers[0] = _voucher(RENTER_KEY, farmer, 1e18);
        _redeem(farmer, vouchers[0]);
        vouchers[0] = _voucher(RENTER_KEY, farmer, 2e18);
        _measure("redeem, 1 voucher", ANYONE, abi.encodeCall(market.redeem, (farmer, vouchers)));
        _measure("claim", _ownerOf(farmer), abi.encodeCall(market.claim, (_ownerOf(farmer), 1e18)));
    }

    /// What farmers do about themselves.
    /// hardhat-config: isolate = true
    function test_farmers() external {
        FarmerId farmer = _register();
        address owner = _ownerOf(farmer);
        bytes memory again = abi.encodeCall(
            market.register,
            (owner, address(this), "http://farmer", _offer(), STAKE, _itself())
        );
        _measure("register", address(this), again);
        _measure("addStake", address(this), abi.encodeCall(market.addStake, (farmer, 1e18)));
        _measure("unstake", owner, abi.encodeCall(market.unstake, (farmer, 1e18)));
        OperatorConsent memory consent = _consentTo(4711, owner, FarmerId.wrap(0));
        again = abi.encodeCall(market.register, (owner, vm.addr(4711), "http://farmer", _offer(), STAKE, consent));
        _measure("register, by consent", address(this), again);
        _measure("setLimits", owner, abi.encodeCall(market.setLimits, (farmer, 1e18, 1e18)));
        consent = _consentTo(4711, owner, farmer);
        bytes memory change = abi.encodeCall(market.setOperator, (farmer, vm.addr(4711), false, consent));
        _measure("setOperator", owner, change);
        _measure("updateFarmer", owner, abi.encodeCall(market.updateFarmer, (farmer, "http://farm", _offer())));
    }

    function _measureProof(string memory what, FarmerId farmer) private {
        bytes32[] memory words = _proof(farmer);
        _measure(what, ANYONE, abi.encodeCall(market.prove, (farmer, market.currentEpoch(), words)));
    }

    function _measurePlace(string memory what, FarmerId[] memory farmers, uint256 end) private returns (OrderId order) {
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(farmers, end, 8, RATE);
        _measure(what, renter, abi.encodeCall(market.place, (terms, acceptances)));
        uint256[] memory data = new uint256[](farmers.length);
        for (uint256 slot = 0; slot < farmers.length; ++slot) data[slot] = _data(terms, slot);
        order = _orderId(terms);
        _know(order, terms, acceptances, _now() + 1, data, false);
    }

    /// A key that the renter authorizes, and its first order.
    /// hardhat-config: isolate = true
    function test_aDelegate() external {
        _enter(_date(1));
        _deposit(1e24);
        FarmerId[] memory farmers = _registerMany(SLOTS);
        _store(farmers, _date(2), 8, RATE);
        address delegate = vm.addr(4712);
        bytes memory data = abi.encodeCall(
            market.authorize,
            (delegate, type(uint96).max, type(uint96).max, Epoch.wrap(type(uint32).max))
        );
        _measure("authorize", renter, data);
        placer = delegate;
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(farmers, _date(2), 8, RATE);
        _measure("placeFor, 8 slots", delegate, abi.encodeCall(market.placeFor, (renter, terms, acceptances)));
    }

    function _measureExtend(OrderId previous, FarmerId[] memory farmers, uint256 end) private {
        Terms memory terms = _terms("extension", end, 8, 1, 1);
        Acceptance[] memory acceptances = new Acceptance[](farmers.length);
        for (uint256 slot = 0; slot < farmers.length; ++slot) {
            acceptances[slot] = _accept(terms, farmers[slot], slot, _stored[previous].slots[slot].root, RATE, previous);
        }
        bytes memory data = abi.encodeCall(market.extend, (_held(previous), terms, acceptances));
        _measure("extend, 8 slots", renter, data);
    }

    /// An order from its placing to its end, with a farmer that loses a slot and one that goes away.
    /// hardhat-config: isolate = true
    function test_anOrder() external {
        _enter(_date(1));
        _deposit(1e24);
        FarmerId[] memory farmers = _registerMany(SLOTS);
        OrderId early = _measurePlace("place, 8 slots, first of the date", farmers, _date(1));
        OrderId order = _measurePlace("place, 8 slots, first of a later date", farmers, _date(2));
        _measurePlace("place, 8 slots", farmers, _date(2));
        _measurePlace("place, 1 slot", _one(farmers[0]), _date(2));
        _measureExtend(early, farmers, _date(2));
        _enter(_now() + 1);
        _measure("recordSeed", ANYONE, abi.encodeCall(market.recordSeed, ()));
        _measureProof("prove, first", farmers[0]);
        for (uint256 i = 1; i < SLOTS; ++i) _prove(farmers[i]);
        _enter(_now() + 1);
        market.recordSeed();
        _measureProof("prove", farmers[0]);
        bytes32[] memory words = _lossWords(farmers[0], 1);
        Epoch end = Epoch.wrap(_stored[order].end);
        _measure(
            "declareLoss, 1 slot",
            _operator(farmers[0]),
            abi.encodeCall(market.declareLoss, (farmers[0], end, false, words))
        );
        _enter(_now() + 1);
        _measure("settle, 1 miss", ANYONE, abi.encodeCall(market.settle, (farmers[1])));
        _enter(_now() + MAX_MISSES);
        _measure("evict", ANYONE, abi.encodeCall(market.evict, (farmers[1])));
        FarmerId taker = _register();
        Takeover[] memory takeovers = new Takeover[](1);
        takeovers[0] = _takeover(order, 1, taker, ANYONE);
        Held memory held = _held(order);
        _measure("refill, 1 slot", ANYONE, abi.encodeCall(market.refill, (held, ANYONE, takeovers)));
        _stored[order].slots[1].farmer = taker;
        _stored[order].slots[1].from = Epoch.wrap(uint32(_now() + 1));
        _measure("burn", ANYONE, abi.encodeCall(market.burn, ()));
        _enter(Epoch.unwrap(end));
        _measure("close, 8 slots, farmers to be evicted", ANYONE, abi.encodeCall(market.close, (_held(order))));
        _measure("close, 8 slots", ANYONE, abi.encodeCall(market.close, (_held(early))));
    }

    /// Slots that their farmer gives up, takes back and passes on. Ten orders of 30 slots, of which it has one each.
    /// hardhat-config: isolate = true
    function test_partingWithSlots() external {
        _enter(_date(1));
        FarmerId[] memory farmers = _registerMany(30);
        FarmerId giver = farmers[0];
        for (uint256 i = 0; i < 12; ++i) _store(farmers, _date(2), 8, RATE);
        _enter(_now() + 1);
        _prove(giver);
        address operator = _operator(giver);
        _lose(giver, 0);
        OrderId lost = _kept[giver][0].order;
        _measure("recover", operator, abi.encodeCall(market.recover, (giver, _heldGroup(lost, 0), 0)));
        _lose(giver, 2);
        _lose(giver, 1);
        bytes32[] memory tenures = new bytes32[](1);
        tenures[0] = _tenureOf(_kept[giver][2]);
        Epoch end = Epoch.wrap(_kept[giver][2].end);
        _measure("cutFront, 1 slot", ANYONE, abi.encodeCall(market.cutFront, (giver, end, false, tenures)));
        FarmerId taker = _register();
        _measurePassing("handOver, 1 slot, of 30", giver, taker, 3, 1);
        _measurePassing("handOver, per slot of 30, from the front of a book", giver, taker, 4, 4);
        _measurePassing("handOver, per slot of 30, from within a book", giver, taker, 9, 3);
        Epoch epoch = market.currentEpoch();
        _enter(_now() + 1);
        _prove(taker);
        _measure("release", ANYONE, abi.encodeCall(market.release, (giver, taker, epoch)));
    }

    /// @dev Hands `count` slots over, the farmer's `nth` and those behind it.
    function _measurePassing(string memory what, FarmerId giver, FarmerId taker, uint256 nth, uint256 count) private {
        Passing[] memory passings = new Passing[](count);
        for (uint256 i = 0; i < count; ++i) passings[i] = _passing(giver, nth + i, taker);
        uint256 gas = _gasOf(
            _operator(giver),
            address(market),
            abi.encodeCall(market.handOver, (giver, _parting(passings, false)))
        );
        _note(what, gas / count);
        for (uint256 i = 0; i < count; ++i) _passed(giver, nth + i, taker);
    }

    /// What a renter does about its mandates.
    /// hardhat-config: isolate = true
    function test_mandates() external {
        _deposit(1e24);
        OrderId[] memory orders = new OrderId[](1);
        orders[0] = _store(_register(), _date(3), 8, RATE);
        uint16[] memory numbers = new uint16[](1);
        numbers[0] = 1;
        MandateTerms memory terms = MandateTerms({
            highestPrice: 1e18,
            highestEgressPrice: type(uint80).max,
            fee: 1e15,
            until: Epoch.wrap(uint32(_date(9))),
            termEpochs: uint32(GRID_EPOCHS),
            total: 1e24
        });
        bytes memory give = abi.encodeCall(market.giveMandate, (1, terms, orders, new uint16[](0)));
        _measure("giveMandate, 1 order", renter, give);
        _measure("coverOrders, 1 order", renter, abi.encodeCall(market.coverOrders, (0, orders)));
        _measure("revokeMandates, 1 mandate", renter, abi.encodeCall(market.revokeMandates, (numbers)));
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Acceptance,
    EXTENDED,
    Epoch,
    FarmerId,
    FarmerView,
    Held,
    LossView,
    MandateTerms,
    OrderId,
    Rate,
    Slot,
    Terms,
    Voucher
} from "../../../contracts/types/Types.sol";
import {vm} from "./Cheats.sol";
import {Errands} from "./Errands.sol";

/// @title Stories: farmers, renters and strangers who do whatever they may, in any order, while time passes
/// @dev Every step is one call that someone could make. What the market owes is added up from its views, epoch by epoch
/// and slot by slot, and must be what it holds, to the last unit. The first farmer is honest: it proves every epoch.
/// A renter pays the rates of its order in advance, and has back just what its slots leave it, when they change hands and
/// at the end; no other renter's vault changes with it.
/// Where the chain is reorganized, all is as it was, the story's own memory too, and goes on otherwise.
abstract contract Story is Errands {
    uint256 private constant MOST_FARMERS = 7;
    uint256 private constant MOST_ORDERS = 10;
    uint256 private constant DELEGATE_KEY = 0xDE1E;
    address internal constant REPAIRER = address(0x4E9A14);

    uint256 private _honestStake; // with what others gave to it
    uint256 internal _fork;
    uint256 private _vouched;
    uint16 private _mandates;

    function _begin() internal {
        for (uint256 i = 0; i < RENTERS; ++i) {
            address account = vm.addr(RENTER_KEY + i);
            if (i > 0) token.transfer(account, 1e30);
            vm.prank(account);
            token.approve(address(market), type(uint256).max);
        }
        _honest = _register(1e9);
        _honestStake = 1e9;
        _store(_honest, _date(3), 3, 100);
        // Others that keep something from the start, so that slots can pass from one to another.
        for (uint256 i = 0; i < 4; ++i) _register(60_000);
        FarmerId[] memory three = new FarmerId[](3);
        for (uint256 ahead = 1; ahead <= 2; ++ahead) {
            for (uint256 i = 0; i < 3; ++i) three[i] = FarmerId.wrap(uint32(1 + ahead + i));
            _store(three, _date(ahead), 2, 100 * ahead);
        }
    }

    /// @dev On another branch of the chain epochs begin with other blocks.
    function _blockHash(uint256 epoch) internal view override returns (bytes32) {
        return keccak256(abi.encode("block", epoch, _fork));
    }

    /// @dev One step of the story.
    function _step(uint256 random) internal {
        _random = random;
        uint256 kind = _pick(22);
        if (kind < 4) _pass();
        else if (kind == 4) _newFarmer();
        else if (kind < 7) _tryPlace();
        else if (kind == 7 && _pick(2) == 0) _tryExtend();
        else if (kind == 7) _tryExtendByMandate();
        else if (kind < 10) _tryProve(_anyFarmer());
        else if (kind == 10) _tryLose();
        else if (kind == 11) _maintain();
        else if (kind < 14) _tryRefill();
        else if (kind == 14) _tryClose(_pick(_placed.length + 1));
        else if (kind == 15) _moveMoney();
        else if (kind < 18) _tryHandOver();
        else if (kind == 18) _tryRelease();
        else if (kind == 19) _tryRecover();
        else if (kind == 20) _changeFarmer();
        else _tryCut();
    }

    /// @dev Adds up what is owed, and compares. Farmers are settled for it, and everything is put back afterwards.
    function _checkWhole() internal {
        uint256 snapshot = vm.snapshotState();
        uint256 count = market.farmerCount();
        for (uint32 i = 1; i <= count; ++i) market.settle(FarmerId.wrap(i));
        uint256 owed = market.earnings(BURNT) + market.earnings(REPAIRER) + market.earnings(STRANGER);
        for (uint256 i = 0; i < RENTERS; ++i) owed += market.vault(vm.addr(RENTER_KEY + i));
        for (uint32 i = 1; i <= count; ++i) {
            owed += market.farmer(FarmerId.wrap(i)).stake + market.earnings(_ownerOf(FarmerId.wrap(i)));
        }
        for (uint256 i = 0; i < _bonds.length; ++i) {
            owed += market.bound(_bonds[i].giver, _bonds[i].taker, Epoch.wrap(uint32(_bonds[i].epoch)));
        }
        for (uint256 i = 0; i < _placed.length; ++i) {
            if (!_stored[_placed[i]].closed) owed += _owedFor(_placed[i]);
        }
        vm.assertEq(token.balanceOf(address(market)), owed, "what is owed is what is held");
        vm.assertEq(market.farmer(_honest).stake, _honestStake, "the honest farmer has its stake");
        vm.revertToState(snapshot);
    }

    /// @dev Ends all orders and lets everyone take what is theirs.
    function _unwind() internal {
        _enter(_now() + GRID_EPOCHS * (MAX_BOOKS + 2));
        for (uint256 i = 0; i < _placed.length; ++i) _tryClose(i);
        while (_bonds.length > 0) _release(_bonds.length - 1);
        uint256 count = market.farmerCount();
        for (uint32 i = 1; i <= count; ++i) {
            FarmerId farmer = FarmerId.wrap(i);
            FarmerView memory shown = market.farmer(farmer);
            _tryEvict(farmer);
            if (!shown.lapsed && shown.stake > 0) _unstake(farmer, shown.stake);
            _claim(_ownerOf(farmer));
        }
        _claim(REPAIRER);
        _claim(STRANGER);
        for (uint256 i = 0; i < RENTERS; ++i) _request(vm.addr(RENTER_KEY + i));
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        for (uint256 i = 0; i < RENTERS; ++i) _withdraw(vm.addr(RENTER_KEY + i));
        if (market.earnings(BURNT) > 0) {
            market.burn();
            _did(Done.Burn);
        }
        vm.assertEq(token.balanceOf(address(market)), 0, "nothing is stuck");
    }

    function _pass() private {
        uint256 epochs = _pick(12) == 0 ? 2 + _pick(9) : 1;
        if (_pick(3) == 0) {
            vm.roll(block.number + _pick(EPOCH_BLOCKS - (block.number % EPOCH_BLOCKS)));
            return;
        }
        for (uint256 i = 0; i < epochs; ++i) _passEpoch();
    }

    /// @dev The others mostly prove too: one that lapsed has nothing to pass on.
    function _passEpoch() private {
        _enter(_now() + 1);
        if (_rateAt(_honest, _now()) > 0) _prove(_honest);
        for (uint32 nth = 1; nth <= market.farmerCount(); ++nth) if (_pick(5) > 0) _tryProve(FarmerId.wrap(nth));
    }

    function _newFarmer() private {
        if (market.farmerCount() < MOST_FARMERS && _pick(2) == 0) _registerByPermit(1 + _pick(5) * 4000);
        else if (market.farmerCount() < MOST_FARMERS) {
            _register(1 + _pick(5) * 4000);
            _did(Done.Register);
        } else {
            FarmerId farmer = _anyFarmer();
            if (market.farmer(farmer).lapsed) return;
            uint256 more = 1 + _pick(10_000);
            market.addStake(farmer, more);
            _did(Done.AddStake);
            if (FarmerId.unwrap(farmer) == FarmerId.unwrap(_honest)) _honestStake += more;
        }
    }

    /// @dev Lets a delegate place the next order, and spend what it likes.
    function _authorize() private {
        placer = vm.addr(DELEGATE_KEY);
        vm.prank(renter);
        market.authorize(placer, type(uint96).max, type(uint96).max, Epoch.wrap(type(uint32).max));
        _did(Done.Authorize);
    }

    function _tryPlace() private {
        if (_placed.length >= MOST_ORDERS) return;
        _anyRenter();
        uint256 rate = 1 + _pick(300);
        FarmerId[] memory farmers = _ready(1 + _pick(3), rate);
        uint256 end = _date(1 + _pick(3));
        if (farmers.length == 0 || end <= _now() + 1) return;
        uint256[] memory before = _vaultsNow();
        uint256 how = _pick(4);
        if (how == 0) _authorize();
        if (how == 1) _storeByPermit(farmers, end, 1 + _pick(3), rate);
        else {
            _store(farmers, end, 1 + _pick(3), rate); // it deposits just what the order costs
            _did(how == 0 ? Done.PlaceFor : Done.Place);
        }
        placer = address(0);
        _checkVaults(before, renter, 0);
    }

    function _tryExtend() private {
        OrderId previous = _anyExtensible();
        if (OrderId.unwrap(previous) == 0) return;
        Stored storage stored = _stored[previous];
        uint256 rate = 1 + _pick(300);
        FarmerId[] memory farmers = _ready(stored.slots.length, rate);
        if (farmers.length < stored.slots.length) return;
        renter = stored.renter;
        uint256[] memory before = _vaultsNow();
        if (_pick(2) == 0) _extendByPermit(previous, farmers, _date(2 + _pick(3)), rate);
        else {
            _extend(previous, farmers, _date(2 + _pick(3)), rate);
            _did(Done.Extend);
        }
        _checkVaults(before, renter, 0);
    }

    /// @dev By a mandate that suffices to the unit: the farmers go on that can, and late in the period one of three may be missing.
    function _tryExtendByMandate() private {
        OrderId previous = _pick(2) == 0 ? _anyExtensible() : _freshOrder();
        if (OrderId.unwrap(previous) == 0) return;
        Stored storage stored = _stored[previous];
        renter = stored.renter;
        uint256 end = _date(2 + _pick(3));
        uint256 fee = _pick(100);
        bool late = _pick(2) == 0;
        while (late && _now() < stored.end - (GRID_EPOCHS + 1) / 2) {
            _passEpoch();
            for (uint256 i = 0; i < stored.slots.length; ++i) {
                if (FarmerId.unwrap(stored.slots[i].farmer) != 0) _tryProve(stored.slots[i].farmer);
            }
        }
        (Acceptance[] memory acceptances, uint256 cost, uint256 missing) = _goingOn(previous, end, late);
        if (missing > (late ? (acceptances.length - 1) / 2 : 0)) return;
        uint256[] memory before = _vaultsNow();
        _deposit(cost + fee);
        _giveMandate(previous, end, fee, cost + fee);
        fee += market.earnings(REPAIRER);
        _goOn(previous, end, acceptances);
        vm.assertEq(market.earnings(REPAIRER), fee, "the fee");
        vm.assertEq(market.mandate(renter, _mandates).left, 0, "all of it is spent");
        if (_pick(2) == 0) _revokeMandate();
        _checkVaults(before, renter, 0);
    }

    function _goOn(OrderId previous, uint256 end, Acceptance[] memory acceptances) private {
        Held memory held = _held(previous);
        vm.prank(STRANGER);
        OrderId next = market.extendByMandate(held, acceptances, REPAIRER);
        _did(Done.ExtendByMandate);
        Stored storage stored = _stored[previous];
        Terms memory terms = _terms(0, end, stored.leafCount, 1, 1);
        _know(next, terms, acceptances, stored.end, stored.data, true);
    }

    /// @dev An order of three slots, in the last grid period of its time at once; zero if there are too few farmers for it.
    function _freshOrder() private returns (OrderId) {
        if (_placed.length + 1 >= MOST_ORDERS || _date(1) <= _now() + 1) return OrderId.wrap(0);
        FarmerId[] memory farmers = _ready(3, 300);
        return farmers.length < 3 ? OrderId.wrap(0) : _store(farmers, _date(1), 1 + _pick(3), 1 + _pick(300));
    }

    /// @dev An order in the last grid period of its time that none extends yet, of several the largest; zero if there is none.
    function _anyExtensible() private returns (OrderId found) {
        if (_placed.length >= MOST_ORDERS) return OrderId.wrap(0);
        uint256 first = _pick(_placed.length);
        for (uint256 i = 0; i < _placed.length; ++i) {
            OrderId order = _placed[(first + i) % _placed.length];
            Stored storage stored = _stored[order];
            if (stored.closed || stored.end != _date(1) || market.order(order).mandate == EXTENDED) continue;
            if (stored.slots.length > _stored[found].slots.length) found = order;
        }
    }

    /// @dev What the farmers of an order sign, for no more than they have, which binds no more stake; what that costs with what
    /// is set aside, and how many are missing: half of the time one that is left out.
    function _goingOn(
        OrderId previous,
        uint256 end,
        bool late
    ) private returns (Acceptance[] memory acceptances, uint256 cost, uint256 missing) {
        Slot[] storage slots = _stored[previous].slots;
        uint256 epochs = end - _stored[previous].end;
        uint256 leftOut = late ? _pick(2 * slots.length) : slots.length;
        acceptances = new Acceptance[](slots.length);
        for (uint256 i = 0; i < slots.length; ++i) {
            uint256 rate = 1 + _pick(Rate.unwrap(slots[i].rate));
            bool isAway = FarmerId.unwrap(slots[i].farmer) == 0 || !_canTake(slots[i].farmer, 0);
            if (!isAway && i != leftOut) {
                acceptances[i] = _signedBy(slots[i].farmer, previous, i, end, rate, _pick(1000), REPAIRER);
                cost += rate * epochs;
            } else {
                (acceptances[i].root, acceptances[i].rate) = (slots[i].root, slots[i].rate);
                acceptances[i].maxEgressPricePerGib = slots[i].maxEgressPricePerGib;
                cost += _owedForVacant(Rate.unwrap(slots[i].rate), epochs);
                ++missing;
            }
        }
    }

    function _giveMandate(OrderId order, uint256 end, uint256 fee, uint256 total) private {
        OrderId[] memory orders = new OrderId[](1);
        orders[0] = order;
        MandateTerms memory terms = MandateTerms({
            highestPrice: type(uint80).max,
            highestEgressPrice: type(uint80).max,
            fee: uint96(fee),
            until: Epoch.wrap(uint32(end)),
            termEpochs: uint32((MAX_BOOKS - 1) * GRID_EPOCHS),
            total: uint128(total)
        });
        bool later = _pick(2) == 0;
        vm.prank(renter);
        market.giveMandate(++_mandates, terms, later ? new OrderId[](0) : orders, new uint16[](0));
        _did(Done.GiveMandate);
        if (!later) return;
        vm.prank(renter);
        market.coverOrders(_mandates, orders);
        _did(Done.CoverOrders);
    }

    function _revokeMandate() private {
        uint16[] memory numbers = new uint16[](1);
        numbers[0] = _mandates;
        vm.prank(renter);
        market.revokeMandates(numbers);
        _did(Done.RevokeMandates);
    }

    function _tryProve(FarmerId farmer) private {
        if (block.number % EPOCH_BLOCKS == 0) return;
        FarmerView memory shown = market.farmer(farmer);
        if (shown.lapsed || Epoch.unwrap(shown.settledEpoch) >= _now() || _rateAt(farmer, _now()) == 0) return;
        bytes32[] memory words = _proof(farmer);
        uint256 before = market.earnings(_ownerOf(farmer));
        market.prove(farmer, market.currentEpoch(), words);
        _did(Done.Prove);
        vm.assertEq(market.earnings(_ownerOf(farmer)) - before, _rateAt(farmer, _now()), "pay");
        (bool done, ) = address(market).call(abi.encodeCall(market.prove, (farmer, market.currentEpoch(), words)));
        vm.assertTrue(!done, "paid once");
    }

    function _maintain() private {
        FarmerId farmer = _anyFarmer();
        if (_pick(2) == 0) {
            market.settle(farmer);
            _did(Done.Settle);
        }
        if (block.number % EPOCH_BLOCKS != 0) {
            market.recordSeed();
            _did(Done.RecordSeed);
        }
        _tryEvict(farmer);
    }

    function _tryEvict(FarmerId farmer) private {
        if (_evict(farmer)) _did(Done.Evict);
    }

    function _unstake(FarmerId farmer, uint256 amount) private {
        vm.prank(_ownerOf(farmer));
        market.unstake(farmer, amount);
        _did(Done.Unstake);
    }

    function _tryRefill() private {
        (bool found, OrderId order, uint256 index) = _anyVacant();
        if (!found) return;
        Stored storage stored = _stored[order];
        Slot storage slot = stored.slots[index];
        FarmerId[] memory farmers = _ready(1, Rate.unwrap(slot.rate));
        if (farmers.length == 0) return;
        for (uint256 i = 0; i < stored.slots.length; ++i) {
            if (FarmerId.unwrap(stored.slots[i].farmer) == FarmerId.unwrap(farmers[0])) return;
        }
        uint256 back = _owedWhenSettled(order, index, index + 1);
        back -= Rate.unwrap(slot.rate) * (stored.end - _now() - 1); // what the next farmer may earn
        back += market.earnings(REPAIRER);
        uint256[] memory before = _vaultsNow();
        vm.startPrank(STRANGER);
        _refill(order, index, farmers[0], REPAIRER);
        vm.stopPrank();
        _did(Done.Refill);
        _checkVaults(before, stored.renter, back - market.earnings(REPAIRER));
    }

    /// @dev A slot that can be taken over, one after another from any order.
    function _anyVacant() private returns (bool, OrderId, uint256) {
        uint256 first = _pick(_placed.length);
        for (uint256 i = 0; i < _placed.length; ++i) {
            OrderId order = _placed[(first + i) % _placed.length];
            Stored storage stored = _stored[order];
            if (stored.closed || _now() + 1 >= stored.end || _now() + 1 < stored.from) continue;
            for (uint256 index = 0; index < stored.slots.length; ++index) {
                if (_isVacant(order, index, stored.slots[index])) return (true, order, index);
            }
        }
        return (false, OrderId.wrap(0), 0);
    }

    /// @dev Whether it began vacant, or its farmer lapsed or gave it up.
    function _isVacant(OrderId order, uint256 index, Slot storage slot) private view returns (bool) {
        if (FarmerId.unwrap(slot.farmer) == 0) return true;
        FarmerView memory shown = market.farmer(slot.farmer);
        LossView memory loss = market.loss(order, uint8(index), slot.from);
        bool lost = loss.lostBlock != 0 && Epoch.unwrap(loss.lostEpoch) <= Epoch.unwrap(shown.settledEpoch);
        return lost || shown.lapsed;
    }

    function _tryClose(uint256 nth) private {
        if (nth >= _placed.length) return;
        OrderId order = _placed[nth];
        if (_stored[order].closed || _now() < _stored[order].end) return;
        uint256 back = _owedWhenSettled(order, 0, _stored[order].slots.length);
        uint256[] memory before = _vaultsNow();
        vm.startPrank(STRANGER);
        _close(order);
        vm.stopPrank();
        _did(Done.Close);
        _checkVaults(before, _stored[order].renter, back);
    }

    function _moveMoney() private {
        _anyRenter();
        uint256 kind = _pick(6);
        FarmerId farmer = _anyFarmer();
        if (kind == 0 && _pick(2) == 0) _depositByPermit(1 + _pick(10_000));
        else if (kind == 0) {
            _deposit(1 + _pick(10_000));
            _did(Done.Deposit);
        } else if (kind == 1) _request(renter);
        else if (kind == 2) _withdraw(renter);
        else if (kind == 3) _claim(_ownerOf(farmer));
        else if (kind == 4) {
            uint256 key = _keyOf(renter);
            if (market.vault(renter) == 0) _deposit(1 + _pick(10_000));
            _vouched += 1 + _pick(1000);
            Voucher memory voucher = _voucher(key, farmer, _vouched);
            if (market.delegation(renter, vm.addr(DELEGATE_KEY)).leftForVouchers > 0 && _pick(2) == 0) {
                bytes32 digest = _voucherDigest(address(market), block.chainid, renter, farmer, _vouched);
                voucher.signature = _signBytes(DELEGATE_KEY, digest);
            }
            _redeem(farmer, voucher);
            _did(Done.Redeem);
        } else if (kind == 5 && FarmerId.unwrap(farmer) != FarmerId.unwrap(_honest)) {
            FarmerView memory shown = market.farmer(farmer);
            uint256 needed = shown.committedRate * COLLATERAL_EPOCHS;
            // It leaves, if it has given up nothing that is still asked for.
            if (needed == 0 && _lostNow(farmer)) needed = MIN_STAKE;
            if (shown.lapsed || shown.stake <= needed) return;
            _unstake(farmer, shown.stake - needed);
        }
    }

    function _lostNow(FarmerId farmer) private view returns (bool) {
        for (uint256 i = 0; i < _kept[farmer].length; ++i) if (_kept[farmer][i].lostEpoch == _now()) return true;
        return false;
    }

    function _claim(address account) private {
        uint256 amount = market.earnings(account);
        if (amount == 0) return;
        vm.prank(account);
        market.claim(account, amount);
        _did(Done.Claim);
    }

    function _request(address account) private {
        uint256 amount = market.vault(account);
        if (amount == 0) return;
        vm.prank(account);
        market.requestWithdrawal(amount);
        _did(Done.RequestWithdrawal);
    }

    function _withdraw(address account) private {
        (uint256 amount, Epoch ready) = market.withdrawal(account);
        if (amount == 0 || Epoch.unwrap(ready) > _now() || market.vault(account) == 0) return;
        vm.prank(account);
        market.withdraw(account);
        _did(Done.Withdraw);
    }
}

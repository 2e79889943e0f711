// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FarmerId, OrderId} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";

/// @title Farmers that do not keep all they are paid for, and what they hide it among
/// @dev What is drawn is chance, though the same in every run, and a single draw may well end with a gain: so what must hold
/// is said of the sum over many epochs, or of the mean as the chance of a draw gives it. Keeping data is taken to cost as much
/// as it is paid, the most that an honest farmer would bear: who keeps everything wins nothing.
contract HidingTest is AttackTest {
    uint256 private constant ROUNDS = 8;

    /// @dev A farmer that is paid R an epoch by others drops so many tenths of it, has `cover` of its own beside it, given up
    /// after the first epoch or not, and proves whenever nothing dropped is drawn. What it and its renter win beyond the cost
    /// of what is kept. A call of its own, whose memory is free when it ends.
    function hide(uint256 cover, uint256 tenths, bool givenUp) external returns (int256 won) {
        address own = vm.addr(OWN_RENTER_KEY);
        _enter(_date(1));
        uint256 end = _date(11);
        FarmerId farmer = _register();
        won = -int256(_money(own) + market.earnings(own) + _worth(farmer));
        renter = own;
        OrderId[] memory orders = new OrderId[](3);
        uint256 count = 0;
        if (cover > 0) orders[count++] = _store(farmer, end, 1, cover);
        renter = vm.addr(RENTER_KEY);
        uint256 dropped = (R * tenths) / 10;
        if (dropped < R) orders[count++] = _store(farmer, end, 1, R - dropped);
        orders[count] = _store(farmer, end, 1, dropped);
        if (givenUp) {
            _enter(_now() + 1);
            _prove(farmer);
            _lose(farmer, 0);
            won -= int256(R);
        }
        while (_now() + 1 < end) {
            _enter(_now() + 1);
            if (market.farmer(farmer).lapsed) break;
            won -= int256(R - dropped);
            if (!_drawnFrom(farmer, count)) _prove(farmer);
        }
        _enter(end);
        vm.startPrank(own);
        for (uint256 i = 0; i <= count; ++i) _close(orders[i]);
        vm.stopPrank();
        won += int256(_money(own) + market.earnings(own) + _worth(farmer));
    }

    function _hideOften(uint256 cover, uint256 tenths, bool givenUp) private returns (int256 won) {
        for (uint256 round = 0; round < ROUNDS; ++round) won += this.hide(cover, tenths, givenUp);
    }

    /// Must hold: a farmer that drops a tenth, a half, nine tenths or all, and proves whenever it can, loses more than it saves.
    function test_dropAPart() external {
        vm.assertTrue(_hideOften(0, 1, false) < 0, "a tenth");
        vm.assertTrue(_hideOften(0, 5, false) < 0, "a half");
        vm.assertTrue(_hideOften(0, 9, false) < 0, "nine tenths");
        vm.assertTrue(_hideOften(0, 10, false) < 0, "all");
    }

    /// Must hold: a farmer that hides what it dropped of R among a tenth of R to a hundred R of its own, loses by it.
    function test_hideAmongItsOwn() external {
        _asOwnRenter();
        for (uint256 tenths = 5; tenths <= 10; tenths += 5) {
            for (uint256 cover = R / 10; cover <= 100 * R; cover *= 10) {
                vm.assertTrue(_hideOften(cover, tenths, false) < 0, "a loss");
            }
        }
    }

    /// Must hold: slots of its own that a farmer gave up hide nothing, up to the most of a book that can be given up.
    function test_hideAmongWhatItGaveUp() external {
        _asOwnRenter();
        vm.assertTrue(_hideOften(R / 10, 5, true) < 0, "a tenth of R");
        vm.assertTrue(_hideOften(R, 5, true) < 0, "R");
        vm.assertTrue(_hideOften(10 * R, 5, true) < 0, "ten R");
        vm.assertTrue(_hideOften(31 * R, 5, true) < 0, "all but the least share");
    }

    /// Must hold: whatever is dropped of R and however much of its own stands beside it, what a miss costs, as often as one
    /// is to be expected, is more than what dropping saves.
    function testFuzz_theMeanOfAnEpoch(uint256 cover, uint256 dropped) external {
        cover = _within(cover, 0, 1e6 * R);
        dropped = _within(dropped, 1, R);
        address own = _asOwnRenter();
        FarmerId farmer = _register();
        uint256 end = _date(1);
        OrderId[] memory orders = new OrderId[](2);
        if (cover > 0) orders[1] = _store(farmer, end, 1, cover);
        renter = vm.addr(RENTER_KEY);
        orders[0] = _store(farmer, end, 1, R);
        _enter(_now() + 1);
        uint256 snapshot = vm.snapshotState();
        _prove(farmer);
        uint256 proven = _inTheEnd(farmer, orders, cover > 0 ? 2 : 1, own);
        vm.revertToState(snapshot);
        uint256 loss = proven - _inTheEnd(farmer, orders, cover > 0 ? 2 : 1, own);
        vm.assertEq(loss, (1 + PENALTY + FINE) * R + FINE * cover, "of a miss");
        uint256 all = (R + cover) ** SAMPLES;
        vm.assertTrue(loss * (all - (R + cover - dropped) ** SAMPLES) > dropped * all, "a loss in the mean");
    }

    /// @dev What the farmer and its renter have if it proves all that is left.
    function _inTheEnd(FarmerId farmer, OrderId[] memory orders, uint256 count, address own) private returns (uint256) {
        uint256 end = _stored[orders[0]].end;
        _proveUntil(farmer, end - 1);
        _enter(end);
        for (uint256 i = 0; i < count; ++i) _close(orders[i]);
        return _money(own) + _worth(farmer);
    }

    /// @dev A farmer keeps so many of its equal slots, and gives up of the others what is drawn. What it wins beyond the cost
    /// of what it keeps.
    function giveUp(uint256 slots, uint256 keeps) external returns (int256 won) {
        _enter(_date(1));
        FarmerId farmer = _register();
        uint256 end = _date(3);
        for (uint256 i = 0; i < slots; ++i) _store(farmer, end, 1, R / slots);
        while (_now() + 1 < end) {
            _enter(_now() + 1);
            if (market.farmer(farmer).lapsed || _rateAt(farmer, _now()) == 0) break;
            won -= int256((keeps * R) / slots);
            if (_answers(farmer, keeps)) _prove(farmer);
        }
        _enter(end);
        won += int256(_worth(farmer)) - int256(STAKE);
    }

    /// @dev Whether the farmer can prove; what is drawn of the slots behind those it keeps is declared lost, as far as the
    /// market lets it.
    function _answers(FarmerId farmer, uint256 keeps) private returns (bool answers) {
        market.recordSeed();
        answers = true;
        uint256 live = 0;
        for (uint256 number = 0; live < SAMPLES; ++number) {
            Drawn memory drawn = _drawn(farmer, _now(), number);
            if (drawn.kept.lostEpoch < _now()) continue;
            ++live;
            uint256 nth = 0;
            while (_tenureOf(_kept[farmer][nth]) != _tenureOf(drawn.kept)) ++nth;
            if (nth < keeps) continue;
            answers = false;
            if (_kept[farmer][nth].lostEpoch == type(uint256).max) _lose(farmer, nth);
        }
    }

    /// Must hold: giving up what was drawn, when it was drawn, saves nothing, be it much or little that is not kept.
    function test_giveUpWhatIsDrawn() external {
        int256[4] memory won;
        for (uint256 round = 0; round < ROUNDS; ++round) {
            won[0] += this.giveUp(10, 1);
            won[1] += this.giveUp(10, 5);
            won[2] += this.giveUp(10, 9);
            won[3] += this.giveUp(20, 2);
        }
        for (uint256 i = 0; i < 4; ++i) vm.assertTrue(won[i] < 0, "a loss");
    }

    /// Must hold: in an order's last epoch the leaves that are drawn are enough to be paid for all of it, as in every epoch, and
    /// no epoch after asks for the rest. So the rest may go when the seed is known, before the order is over: a farmer saves
    /// what keeping it for one epoch costs, once a term, and the renter is refunded nothing.
    function test_theLeavesThatAreDrawnEarnTheLastEpoch() external {
        FarmerId farmer = _register();
        uint256 end = _date(2);
        OrderId order = _store(farmer, end, 64, R);
        _proveUntil(farmer, end - 2);
        _enter(end - 1);
        uint256 earned = market.earnings(_ownerOf(farmer));
        // Three words say where a leaf is, 16 are the leaf, 6 its path.
        vm.assertEq(_proof(farmer).length, SAMPLES * (3 + 16 + 6), "of 64 leaves five, or fewer");
        _prove(farmer);
        vm.assertEq(market.earnings(_ownerOf(farmer)) - earned, R, "paid in full");
        _enter(end);
        vm.assertEq(_rateAt(farmer, _now()), 0, "and asked for no more");
        uint256 vault = market.vault(renter);
        _close(order);
        vm.assertEq(market.vault(renter), vault, "nothing is refunded");
    }
}

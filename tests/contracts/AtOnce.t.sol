// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, FarmerId, FarmerView, OrderId} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {Story} from "./support/Story.sol";

/// @title Everything that can happen to one farmer at once, around a grid date
/// @dev Stories come upon it seldom: slots that end, begin, are added, given up and extended in the epochs in which a farmer
/// stops, then eviction, repair before what was extended begins, and the end.
contract AtOnceTest is Story {
    FarmerId private _farmer;
    FarmerId private _taker;
    FarmerId private _second;
    uint256 private _bits;

    /// @dev A number below `count`, out of what is left of the fuzzed one.
    function _choose(uint256 count) private returns (uint256 chosen) {
        chosen = _bits % count;
        _bits /= count;
    }

    /// Must hold: to the last unit what is owed is held, after every step, and in the end nothing is left; what the views
    /// show of a farmer not settled is what settling makes of it.
    function testFuzz_everythingAtOnce(uint256 random) external {
        _bits = random;
        _begin();
        _farmer = _register(1e9);
        _taker = _register(1e9);
        _second = _register(1e9);
        uint256 date = _date(2);
        _store(_honest, _date(6), 1, 7);
        OrderId[4] memory orders = _burden(date);
        _checkWhole();
        for (uint256 rest = _choose(8); rest > 0; --rest) {
            _day(false);
            _checkShown();
        }
        _checkWhole();
        _repair(orders);
        _checkWhole();
        _day(false);
        _day(false);
        _checkShown();
        _checkWhole();
        _unwind();
        vm.assertEq(token.balanceOf(address(market)), 0, "nothing is left");
    }

    /// @dev Slots that end on the date, of which one is extended, and that go on; some given up, and one more added, in one
    /// epoch up to six before the date.
    function _burden(uint256 date) private returns (OrderId[4] memory orders) {
        _store(_farmer, date, 1, 1000 + _choose(7));
        OrderId extended = _store(_farmer, date, 1, 501);
        orders[0] = _store(_farmer, date + GRID_EPOCHS, 1, 333);
        orders[1] = _store(_farmer, date + 2 * GRID_EPOCHS, 1, 77);
        uint256 stops = date - 1 - _choose(6);
        while (_now() + 1 < stops) _day(true);
        _day(_choose(2) == 0);
        if (_choose(2) == 0) _lose(_farmer, 3);
        orders[2] = _extend(extended, _one(_farmer), date + 2 * GRID_EPOCHS, 250);
        orders[3] = _store(_farmer, date + GRID_EPOCHS, 1, 41);
        if (_choose(2) == 0) _lose(_farmer, 2);
    }

    function _repair(OrderId[4] memory orders) private {
        if (!market.farmer(_farmer).lapsed) {
            if (_kept[_farmer][3].lostEpoch < _now()) _tryTake(orders[1], _second);
            return;
        }
        vm.startPrank(STRANGER);
        if (_choose(2) == 0) market.evict(_farmer);
        vm.roll(block.number + _choose(5));
        _tryTake(orders[0], _taker);
        _tryTake(orders[2], _taker);
        _tryTake(orders[3], _second);
        _tryTake(orders[1], _second);
        vm.stopPrank();
    }

    /// @dev The next epoch, proven by the honest farmer and, if it is to, by the other.
    function _day(bool proven) private {
        _enter(_now() + 1);
        _prove(_honest);
        if (proven && _rateAt(_farmer, _now()) > 0 && !market.farmer(_farmer).lapsed) _prove(_farmer);
    }

    function _tryTake(OrderId order, FarmerId farmer) private {
        if (_now() + 1 >= _stored[order].end || _now() + 1 < _stored[order].from) return;
        _refill(order, 0, farmer, REPAIRER);
    }

    function _checkShown() private {
        FarmerView memory shown = market.farmer(_farmer);
        uint256 rate = shown.lapsed ? 0 : _rateAt(_farmer, _now());
        vm.assertEq(market.rateAt(_farmer, Epoch.wrap(uint32(_now()))), rate, "what is asked");
        uint256 snapshot = vm.snapshotState();
        market.settle(_farmer);
        bytes32 settled = keccak256(abi.encode(market.farmer(_farmer)));
        vm.assertEq(keccak256(abi.encode(shown)), settled, "shown as settled");
        vm.revertToState(snapshot);
    }
}

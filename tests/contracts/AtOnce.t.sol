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

    /// Must hold: to the last unit what is owed is held, after every step, and in the end nothing is left; what the views
    /// show of a farmer not settled is what settling makes of it.
    function testFuzz_everythingAtOnce(uint256 random) external {
        _begin();
        _farmer = _register(1e9);
        FarmerId taker = _register(1e9);
        FarmerId second = _register(1e9);
        uint256 date = _date(2);
        _store(_honest, _date(6), 1, 7);
        // Two that end on the date, of which one is extended; two that go on.
        OrderId ending = _store(_farmer, date, 1, 1000 + (random % 7));
        OrderId extended = _store(_farmer, date, 1, 501);
        OrderId lasting = _store(_farmer, date + GRID_EPOCHS, 1, 333);
        OrderId lost = _store(_farmer, date + 2 * GRID_EPOCHS, 1, 77);
        uint256 stops = date - 1 - ((random >> 8) % 6);
        while (_now() + 1 < stops) _day(true);
        // The epoch after the last proven one.
        _day((random >> 16) % 2 == 0);
        if ((random >> 17) % 2 == 0) _lose(_farmer, 3);
        OrderId later = _extend(extended, _one(_farmer), date + 2 * GRID_EPOCHS, 250);
        OrderId added = _store(_farmer, date + GRID_EPOCHS, 1, 41);
        if ((random >> 18) % 2 == 0 && _kept[_farmer][2].lostEpoch > _now()) _lose(_farmer, 2);
        _checkWhole();
        uint256 rest = (random >> 24) % 8;
        for (uint256 i = 0; i < rest; ++i) {
            _day(false);
            _checkShown();
        }
        _checkWhole();
        if (market.farmer(_farmer).lapsed) {
            if ((random >> 32) % 2 == 0) market.evict(_farmer);
            vm.roll(block.number + ((random >> 40) % EPOCH_BLOCKS) / 2);
            _tryTake(lasting, taker);
            _tryTake(later, taker);
            _tryTake(added, second);
            _tryTake(lost, second);
        } else if (_kept[_farmer][3].lostEpoch < _now()) {
            _tryTake(lost, second);
        }
        _checkWhole();
        _day(false);
        _day(false);
        _checkShown();
        _checkWhole();
        ending;
        _unwind();
        vm.assertEq(token.balanceOf(address(market)), 0, "nothing is left");
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

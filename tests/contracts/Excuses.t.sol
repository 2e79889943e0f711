// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAudits} from "../../contracts/interfaces/IAudits.sol";
import {Epoch, FarmerId, OrderId} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title A proof passes over a position only by the very slot that was drawn and lost
/// @dev In each of these a slot that was lost covers the position that is drawn, but for one thing.
contract ExcusesTest is FarmTest {
    uint256 private constant RATE = 1000;

    FarmerId private _farmer;

    function setUp() public override {
        super.setUp();
        _enter(_date(1));
        _farmer = _register();
    }

    /// @dev The one slot of that book that was lost is named where another is drawn first.
    function _refused(FarmerId loser, uint256 nth) private {
        bytes32[] memory words = new bytes32[](1);
        words[0] = _tenureOf(_kept[loser][nth]);
        Epoch current = market.currentEpoch();
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotLost.selector, 0, words[0]));
        market.prove(_farmer, current, words);
    }

    function _proven(FarmerId farmer) private {
        _enter(_now() + 1);
        _prove(farmer);
    }

    /// Must hold: another farmer's loss passes over nothing.
    function test_anothers() external {
        FarmerId other = _register();
        _store(other, _date(1), 3, RATE);
        _store(_farmer, _date(1), 3, RATE);
        _store(_farmer, _date(2), 3, RATE);
        _proven(other);
        _prove(_farmer);
        _lose(other, 0);
        _lose(_farmer, 1);
        _enter(_now() + 1);
        market.recordSeed();
        _refused(other, 0);
        _prove(_farmer);
    }

    /// Must hold: nor does a loss in the book of another date.
    function test_ofAnotherDate() external {
        _store(_farmer, _date(1), 3, RATE);
        _store(_farmer, _date(2), 3, RATE);
        _proven(_farmer);
        _lose(_farmer, 1);
        _enter(_now() + 1);
        market.recordSeed();
        _refused(_farmer, 1);
        _prove(_farmer);
    }

    /// Must hold: nor one among those of the same date that are no extensions.
    function test_ofTheOtherRing() external {
        OrderId early = _store(_farmer, _date(1), 3, RATE);
        _store(_farmer, _date(3), 3, RATE);
        _extend(early, _one(_farmer), _date(3), RATE);
        _proveUntil(_farmer, _date(1));
        _lose(_farmer, 1);
        _enter(_now() + 1);
        market.recordSeed();
        _refused(_farmer, 1);
        _prove(_farmer);
    }

    /// @dev Goes on until the slot is drawn first.
    function _untilDrawn(uint256 nth) private {
        OrderId order = _kept[_farmer][nth].order;
        for (uint256 i = 0; i < 100; ++i) {
            _enter(_now() + 1);
            market.recordSeed();
            if (OrderId.unwrap(_drawn(_farmer, _now(), 0).kept.order) == OrderId.unwrap(order)) return;
            _prove(_farmer);
        }
        revert("never drawn");
    }

    /// Must hold: nor one of the same book, right before or behind the slot that is drawn.
    function testFuzz_ofAnotherPlace(bool behind) external {
        for (uint256 i = 0; i < 2; ++i) _store(_farmer, _date(12), 3, 1);
        _proven(_farmer);
        _lose(_farmer, behind ? 1 : 0);
        _untilDrawn(behind ? 0 : 1);
        _refused(_farmer, behind ? 1 : 0);
        _prove(_farmer);
    }

    /// Must hold: what was drawn and lost is passed over, by its name.
    function test_itself() external {
        for (uint256 i = 0; i < 2; ++i) _store(_farmer, _date(12), 3, 1);
        _proven(_farmer);
        _lose(_farmer, 1);
        _untilDrawn(1);
        _prove(_farmer);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {FarmerId, OrderId, Parameters} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title A market whose penalty is not its fine: each goes where it belongs
contract UnequalTest is FarmTest {
    uint256 private constant RATE = 1009;
    uint256 private constant THIS_PENALTY = 3;
    uint256 private constant THIS_FINE = 2;

    function setUp() public override {
        super.setUp();
        Parameters memory p = _parameters(address(token));
        p.penalty = uint8(THIS_PENALTY);
        p.fine = uint8(THIS_FINE);
        p.collateralEpochs = uint32(2 * MAX_MISSES * (THIS_PENALTY + THIS_FINE));
        market = _deploy(p);
        token.approve(address(market), type(uint256).max);
        vm.prank(renter);
        token.approve(address(market), type(uint256).max);
    }

    /// Must hold: of a missed epoch the penalty goes to the renter when the order is closed, and the fine is burnt.
    function testFuzz_eachWhereItBelongs(uint256 missed) external {
        missed = _within(missed, 1, MAX_MISSES - 1);
        FarmerId farmer = _register();
        uint256 end = _date(1);
        OrderId order = _store(farmer, end, 2, RATE);
        uint256 served = end - _now() - 1;
        _proveUntil(farmer, end - 1 - missed);
        _enter(end);
        (uint256 moved, uint256 burnt) = (THIS_PENALTY * RATE * missed, THIS_FINE * RATE * missed);
        vm.expectEmit(true, true, true, true, address(market));
        emit IFarmers.StakeLost(farmer, moved, burnt, STAKE - moved - burnt);
        market.settle(farmer);
        vm.assertEq(market.earnings(BURNT), burnt, "burnt");
        vm.assertEq(market.farmer(farmer).stake, STAKE - moved - burnt, "stake");
        uint256 before = market.vault(renter);
        _close(order);
        vm.assertEq(market.vault(renter) - before, RATE * missed + moved, "refund and compensation");
        vm.assertEq(market.earnings(_ownerOf(farmer)), RATE * (served - missed), "paid for what was proven");
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FarmerId, OrderId, Parameters} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";

/// @title What a name costs in the end: how far the same stake goes
contract NamesTest is AttackTest {
    uint96 private constant LEAST = uint96(COLLATERAL_EPOCHS * R);

    function _dear() private {
        Parameters memory p = _parameters(address(token));
        p.minStake = LEAST;
        market = _deploy(p);
        token.approve(address(market), type(uint256).max);
    }

    /// Holds, to the harm of clients that look for farmers by chance: the stake of a name that leaves is free at once for the
    /// next, and the id stays. So any number of ids costs one least stake, and gas.
    function test_idsOfThoseThatLeftStay() external {
        _dear();
        uint256 before = token.balanceOf(address(this));
        for (uint256 i = 0; i < 20; ++i) {
            FarmerId id = market.register(address(this), address(this), "", _offer(), LEAST, _itself());
            market.unstake(id, LEAST);
            market.claim(address(this), LEAST);
            vm.assertTrue(market.farmer(id).lapsed, "it gets nothing and anyone sees it");
        }
        vm.assertEq(market.farmerCount(), 20, "ids");
        vm.assertEq(token.balanceOf(address(this)), before, "for nothing");
    }

    /// Holds: a name that proves once what it rents from itself, and declares it lost, has its stake back as a renter and has not
    /// lapsed. With nothing at stake it can take no slot.
    function test_aNameThatLostAllStays() external {
        _dear();
        address own = _asOwnRenter();
        FarmerId id = _register(LEAST);
        uint256 before = _money(own);
        OrderId order = _store(id, _date(1), 1, R);
        _enter(_now() + 1);
        _prove(id);
        _lose(id, 0);
        vm.assertEq(market.farmer(id).stake, 0, "no stake");
        vm.assertTrue(!market.farmer(id).lapsed, "and still there");
        _enter(_date(1));
        _close(order);
        vm.assertEq(_money(own) + market.earnings(_ownerOf(id)), before + LEAST, "back");
        vm.assertTrue(!market.farmer(id).lapsed, "and still there");
    }
}
